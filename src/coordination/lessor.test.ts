// Leases by the leader's monotonic clock, over changes of leader, pauses and jumps of wall time.
import { describe, expect, test } from "vitest";
import { utf8 } from "../base/bytes.ts";
import { simKernels } from "../sim/sim-kernels.ts";
import {
  LeaseGrantRequest,
  LeaseKeepAliveRequest,
  LeaseLeasesRequest,
  LeaseRevokeRequest,
  LeaseTimeToLiveRequest,
} from "./messages.ts";
import { Fixture, type FixtureOptions } from "./testing/fixture.ts";
import { settle } from "./testing/test-clock.ts";

class LeaseFixture extends Fixture {
  constructor(options: FixtureOptions = {}) {
    super(simKernels, options);
  }
  async grant(id: bigint, ttl: number): Promise<number> {
    return (await this.coordination.leaseGrant(LeaseGrantRequest.make({ id, ttl }))).ttl;
  }
  async renew(id: bigint): Promise<number> {
    return (await this.coordination.leaseKeepAlive(LeaseKeepAliveRequest.make({ id }))).ttl;
  }
  async left(id: bigint): Promise<number> {
    return (await this.coordination.leaseTimeToLive(LeaseTimeToLiveRequest.make({ id }))).ttl;
  }
}

describe("granting", () => {
  test("id 0 draws one; the TTL has a least and a greatest value; an id is given once", async () => {
    const f = new LeaseFixture();
    const drawn = await f.coordination.leaseGrant(LeaseGrantRequest.make({ ttl: 10 }));
    expect(drawn.id).toBeGreaterThan(0n);
    expect(drawn).toMatchObject({ ttl: 10, error: "", header: { clusterId: 42n, memberId: 1n, raftTerm: 1 } });
    expect(await f.grant(5n, 0)).toBe(2);
    await expect(f.grant(5n, 9)).rejects.toMatchObject({ grpc: 9, message: "etcdserver: lease already exists" });
    await expect(f.grant(6n, 9_000_000_001)).rejects.toMatchObject({
      grpc: 11,
      message: "etcdserver: too large lease TTL",
    });
    expect((await f.coordination.leaseLeases(LeaseLeasesRequest.make())).leases.map((l) => l.id)).toEqual([
      5n,
      drawn.id,
    ]);
  });

  test("revoking takes the keys along, in one revision", async () => {
    const f = new LeaseFixture();
    await f.grant(5n, 10);
    await f.put("b", "1", { lease: 5n });
    await f.put("a", "2", { lease: 5n });
    await f.put("c", "3");
    const w = f.watch().create({ key: utf8("a"), rangeEnd: utf8("z") });
    await f.coordination.leaseRevoke(LeaseRevokeRequest.make({ id: 5n }));
    expect(await w.lines()).toEqual(["0@4 created", "0@5 5:a- 5:b-"]);
    await expect(f.coordination.leaseRevoke(LeaseRevokeRequest.make({ id: 5n }))).rejects.toMatchObject({
      grpc: 5,
      message: "etcdserver: requested lease not found",
    });
  });

  test("time to live counts down, and lists the keys", async () => {
    const f = new LeaseFixture();
    await f.grant(5n, 10);
    await f.put("b", "1", { lease: 5n });
    await f.put("a", "1", { lease: 5n });
    await f.clock.advance(3_500);
    const request = LeaseTimeToLiveRequest.make({ id: 5n, keys: true });
    expect(await f.coordination.leaseTimeToLive(request)).toMatchObject({
      ttl: 6,
      grantedTtl: 10,
      keys: [utf8("a"), utf8("b")],
    });
    expect(await f.left(77n)).toBe(-1);
    expect(await f.renew(77n)).toBe(0);
  });
});

describe("expiry", () => {
  test("a lease ends after its TTL and takes its keys along; one that is renewed does not", async () => {
    const f = new LeaseFixture();
    await f.grant(1n, 3);
    await f.grant(2n, 3);
    await f.put("one", "1", { lease: 1n });
    await f.put("two", "2", { lease: 2n });
    for (let i = 0; i < 5; i++) {
      await f.clock.advance(1_000);
      expect(await f.renew(2n)).toBe(3);
    }
    expect(await f.values("one")).toEqual([]);
    expect(await f.values("two")).toEqual(["2"]);
    expect(await f.renew(1n)).toBe(0);
    await f.clock.advance(2_900);
    expect(await f.values("two")).toEqual(["2"]);
    await f.clock.advance(200);
    expect(await f.values("two")).toEqual([]);
  });

  test("a jump of wall time ends nothing", async () => {
    const f = new LeaseFixture();
    await f.grant(1n, 10);
    f.clock.wallOffsetMs += 3_600_000;
    await f.clock.advance(5_000);
    expect(await f.left(1n)).toBe(5);
  });

  test("a lease far beyond a timer's reach does not end early", async () => {
    const f = new LeaseFixture();
    await f.grant(1n, 9_000_000);
    await f.clock.advance(90_000_000);
    expect(await f.left(1n)).toBe(8_910_000);
  });

  test("thousands that end at once are revoked in rounds, all of them", async () => {
    const f = new LeaseFixture();
    for (let i = 1; i <= 1_000; i++) await f.grant(BigInt(i), 5);
    await f.clock.advance(5_100);
    expect(f.store.leases.size).toBe(0);
  });

  test("a refused revocation is tried again", async () => {
    const f = new LeaseFixture();
    await f.grant(1n, 3);
    f.group.failWith = { type: "rejected", reason: "overloaded", leader: undefined };
    await f.clock.advance(3_100);
    expect(f.store.leases.size).toBe(1);
    f.group.failWith = undefined;
    await f.clock.advance(600);
    expect(f.store.leases.size).toBe(0);
  });

  test("a renewal that meets an expiry under way waits, and then knows that the lease is gone", async () => {
    const f = new LeaseFixture();
    await f.grant(1n, 3);
    f.group.failWith = { type: "unknown", reason: "timeout" };
    await f.clock.advance(3_050);
    const renewal = f.renew(1n);
    await settle();
    f.group.failWith = undefined;
    await f.clock.advance(600);
    expect(await renewal).toBe(0);
  });
});

describe("changes of leader", () => {
  test("a new leader gives the whole TTL again, and an election timeout on top", async () => {
    const f = new LeaseFixture();
    await f.grant(1n, 10);
    await f.clock.advance(9_000);
    f.group.stepDown();
    await f.clock.advance(60_000); // nobody leads: nothing ends
    expect(f.store.leases.size).toBe(1);
    f.group.lead();
    await f.clock.advance(10_400);
    expect(f.store.leases.size).toBe(1);
    await f.clock.advance(200);
    expect(f.store.leases.size).toBe(0);
  });

  test("an expiry proposed in an earlier term is void", async () => {
    const f = new LeaseFixture();
    await f.grant(1n, 3);
    const propose = f.group.submit.bind(f.group);
    const held: (() => void)[] = [];
    f.group.submit = (command, done, options) => {
      held.push(() => propose(command, done, options)); // the old leader's proposal is under way for long
    };
    await f.clock.advance(3_100);
    expect(held.length).toBe(1);
    f.group.stepDown();
    f.group.submit = propose;
    f.group.lead();
    for (const late of held) late();
    await settle();
    expect(f.store.leases.size).toBe(1);
    await f.clock.advance(3_600);
    expect(f.store.leases.size).toBe(0);
  });

  test("a renewal is answered only after the leader made sure that it leads", async () => {
    const f = new LeaseFixture();
    await f.grant(1n, 10);
    f.group.readsHeld = true;
    let answered: number | undefined;
    const renewal = f.renew(1n).then((ttl) => {
      answered = ttl;
    });
    await f.clock.advance(1_000);
    expect(answered).toBeUndefined();
    f.group.stepDown(); // the confirmation fails: no answer from this leadership
    f.group.readsHeld = false;
    await f.clock.advance(200);
    expect(answered).toBeUndefined();
    f.group.lead();
    await f.clock.advance(200);
    await renewal;
    expect(answered).toBe(10);
  });

  test("a renewal counts from before it was confirmed", async () => {
    const f = new LeaseFixture();
    await f.grant(1n, 10);
    await f.clock.advance(1_000);
    f.group.readsHeld = true;
    const renewal = f.renew(1n);
    await f.clock.advance(2_000);
    f.group.releaseReads();
    await renewal;
    expect(await f.left(1n)).toBe(8);
  });

  test("without a leader a renewal keeps looking until its time is over", async () => {
    const f = new LeaseFixture();
    await f.grant(1n, 10);
    f.group.stepDown();
    const failing = expect(f.renew(1n)).rejects.toMatchObject({ grpc: 14, message: "etcdserver: no leader" });
    await f.clock.advance(6_000);
    await failing;
  });
});

describe("notes of what is left", () => {
  const options = { coordination: { leaseCheckpointMs: 10_000 } };

  test("a new leader goes by the last note", async () => {
    const f = new LeaseFixture(options);
    await f.grant(1n, 100);
    await f.clock.advance(41_000);
    f.group.stepDown();
    f.group.lead();
    expect(await f.left(1n)).toBe(60);
  });

  test("a renewal takes the note back before it is answered", async () => {
    const f = new LeaseFixture(options);
    await f.grant(1n, 100);
    await f.clock.advance(41_000);
    expect(f.store.leases.get(1n)?.remainingTtl).toBe(60);
    expect(await f.renew(1n)).toBe(100);
    expect(f.store.leases.get(1n)?.remainingTtl).toBe(0);
    f.group.stepDown();
    f.group.lead();
    expect(await f.left(1n)).toBe(100);
  });

  test("a renewal whose note cannot be taken back is not answered", async () => {
    const f = new LeaseFixture(options);
    await f.grant(1n, 100);
    await f.clock.advance(41_000);
    f.group.failWith = { type: "rejected", reason: "overloaded", leader: undefined };
    const failing = expect(f.renew(1n)).rejects.toMatchObject({ code: "NO_LEADER" });
    await f.clock.advance(6_000);
    await failing;
  });
});
