// Locks and elections: one at a time, in the order of coming, tied to leases.
import { describe, expect, test } from "vitest";
import { utf8 } from "../base/bytes.ts";
import { simKernels } from "../sim/sim-kernels.ts";
import {
  CampaignRequest,
  CompactionRequest,
  LeaderRequest,
  type LeaderResponse,
  LeaseGrantRequest,
  LeaseRevokeRequest,
  LockRequest,
  ProclaimRequest,
  ResignRequest,
  UnlockRequest,
} from "./messages.ts";
import { Fixture } from "./testing/fixture.ts";
import { settle } from "./testing/test-clock.ts";

const b = utf8;
const name = b("job");

async function open(leases = 3): Promise<Fixture> {
  const f = new Fixture(simKernels);
  for (let i = 1; i <= leases; i++) {
    await f.coordination.leaseGrant(LeaseGrantRequest.make({ id: BigInt(0xa0 + i), ttl: 60 }));
  }
  return f;
}
const lease = (i: number): bigint => BigInt(0xa0 + i);

describe("Lock", () => {
  const lock = (f: Fixture, i: number, signal?: AbortSignal) =>
    f.coordination.lock(LockRequest.make({ name, lease: lease(i) }), signal === undefined ? {} : { signal });
  const unlock = (f: Fixture, i: number) =>
    f.coordination.unlock(UnlockRequest.make({ key: b(`job/${lease(i).toString(16)}`) }));

  test("goes to one at a time, in the order of coming; the key names the lease", async () => {
    const f = await open();
    const order: number[] = [];
    const first = await lock(f, 1);
    expect(first.key).toEqual(b("job/a1"));
    const waiting = [2, 3].map(async (i) => {
      await lock(f, i);
      order.push(i);
    });
    await settle();
    expect(order).toEqual([]);
    await unlock(f, 1);
    await settle();
    expect(order).toEqual([2]);
    await unlock(f, 2);
    await Promise.all(waiting);
    expect(order).toEqual([2, 3]);
    expect(f.coordination.watchCounts).toEqual({ streams: 0, watchers: 0, behind: 0 });
  });

  test("the same lease locks again at once", async () => {
    const f = await open();
    const first = await lock(f, 1);
    expect((await lock(f, 1)).key).toEqual(first.key);
  });

  test("the end of the holder's lease frees it", async () => {
    const f = await open();
    await lock(f, 1);
    const next = lock(f, 2);
    await settle();
    await f.coordination.leaseRevoke(LeaseRevokeRequest.make({ id: lease(1) }));
    expect((await next).key).toEqual(b("job/a2"));
  });

  test("one that waits in the middle and gives up leaves the queue in order", async () => {
    const f = await open();
    await lock(f, 1);
    const controller = new AbortController();
    const second = lock(f, 2, controller.signal);
    let third = false;
    const last = lock(f, 3).then(() => {
      third = true;
    });
    await settle();
    controller.abort();
    await expect(second).rejects.toMatchObject({ grpc: 1, message: "context canceled" });
    await settle();
    expect(third).toBe(false); // the first still holds it
    await unlock(f, 1);
    await last;
    expect(await f.values("job/a2")).toEqual([]);
  });

  test("a deadline ends the wait", async () => {
    const f = await open();
    await lock(f, 1);
    const second = f.coordination.lock(LockRequest.make({ name, lease: lease(2) }), { timeoutMs: 3_000 });
    const failing = expect(second).rejects.toMatchObject({ grpc: 14, message: "etcdserver: request timed out" });
    await f.clock.advance(3_100);
    await failing;
    expect(await f.values("job/a2")).toEqual([]);
  });

  test("a lease that ends while its owner waits gives no lock", async () => {
    const f = await open();
    await lock(f, 1);
    const second = lock(f, 2);
    const failing = expect(second).rejects.toMatchObject({ message: "mutex: session is expired" });
    await settle();
    await f.coordination.leaseRevoke(LeaseRevokeRequest.make({ id: lease(2) }));
    await unlock(f, 1);
    await failing;
  });

  test("an unknown lease is refused; no lease means one of sixty seconds", async () => {
    const f = await open();
    await expect(f.coordination.lock(LockRequest.make({ name, lease: 99n }))).rejects.toMatchObject({
      grpc: 5,
      message: "etcdserver: requested lease not found",
    });
    await f.coordination.lock(LockRequest.make({ name }));
    const drawn = f.store.leases.all().find((one) => one.keys.size === 1);
    expect(drawn?.ttl).toBe(60);
    await f.clock.advance(60_600);
    expect(await f.values("job/")).toEqual([]);
  });

  test("a compaction while one waits changes nothing", async () => {
    const f = await open();
    await lock(f, 1);
    const next = lock(f, 2);
    await settle();
    for (let i = 0; i < 5; i++) await f.put("x", `${i}`);
    await f.coordination.compact(CompactionRequest.make({ revision: f.store.revision, physical: true }));
    await unlock(f, 1);
    expect((await next).key).toEqual(b("job/a2"));
  });

  test("locks of names that begin alike do not meet", async () => {
    const f = await open();
    await f.coordination.lock(LockRequest.make({ name: b("job"), lease: lease(1) }));
    await f.coordination.lock(LockRequest.make({ name: b("job2"), lease: lease(2) }));
    await f.coordination.lock(LockRequest.make({ name: b("jo"), lease: lease(3) }));
  });
});

describe("Election", () => {
  const campaign = (f: Fixture, i: number, value: string) =>
    f.coordination.campaign(CampaignRequest.make({ name, lease: lease(i), value: b(value) }));
  const leader = async (f: Fixture) =>
    new TextDecoder().decode((await f.coordination.leader(LeaderRequest.make({ name }))).kv?.value);

  test("one leads, proclaims and resigns; the next one follows", async () => {
    const f = await open();
    await expect(f.coordination.leader(LeaderRequest.make({ name }))).rejects.toMatchObject({
      grpc: 2,
      message: "election: no leader",
    });
    const first = await campaign(f, 1, "one");
    expect(first.leader).toEqual({ name, key: b("job/a1"), rev: 2, lease: lease(1) });
    const second = campaign(f, 2, "two");
    await settle();
    expect(await leader(f)).toBe("one");
    await f.coordination.proclaim(ProclaimRequest.make({ leader: first.leader, value: b("uno") }));
    expect(await leader(f)).toBe("uno");
    await f.coordination.resign(ResignRequest.make({ leader: first.leader }));
    await second;
    expect(await leader(f)).toBe("two");
    await expect(
      f.coordination.proclaim(ProclaimRequest.make({ leader: first.leader, value: b("x") })),
    ).rejects.toMatchObject({ grpc: 2, message: "election: not leader" });
    await f.coordination.resign(ResignRequest.make({ leader: first.leader })); // again: nothing happens
    expect(await leader(f)).toBe("two");
  });

  test("who campaigns again with another value proclaims it", async () => {
    const f = await open();
    await campaign(f, 1, "one");
    await campaign(f, 1, "other");
    expect(await leader(f)).toBe("other");
  });

  test("a missing leader key is refused in etcd's words", async () => {
    const f = await open();
    const message = '"leader" field must be provided';
    await expect(f.coordination.proclaim(ProclaimRequest.make())).rejects.toMatchObject({ grpc: 2, message });
    await expect(f.coordination.resign(ResignRequest.make())).rejects.toMatchObject({ grpc: 2, message });
  });

  test("a candidate that gives up is out of the race", async () => {
    const f = await open();
    const first = await campaign(f, 1, "one");
    const controller = new AbortController();
    const second = f.coordination.campaign(CampaignRequest.make({ name, lease: lease(2), value: b("two") }), {
      signal: controller.signal,
    });
    const third = campaign(f, 3, "three");
    await settle();
    controller.abort();
    await expect(second).rejects.toMatchObject({ grpc: 1 });
    await f.coordination.resign(ResignRequest.make({ leader: first.leader }));
    await third;
    expect(await leader(f)).toBe("three");
  });

  test("observe() holds little for a reader that is slow, and leaves nothing out", async () => {
    const f = await open();
    const { leader: key } = await campaign(f, 1, "0");
    const stream = f.coordination.observe(LeaderRequest.make({ name }))[Symbol.asyncIterator]();
    const next = async () => {
      const { value } = (await stream.next()) as IteratorYieldResult<LeaderResponse>;
      return new TextDecoder().decode(value.kv?.value);
    };
    expect(await next()).toBe("0");
    const first = next();
    for (let i = 1; i <= 200; i++) {
      await f.coordination.proclaim(ProclaimRequest.make({ leader: key, value: b(`${i}`) }));
    }
    expect(f.coordination.watchCounts.behind).toBe(1); // paused: the rest waits in the store
    expect(await first).toBe("1");
    for (let i = 2; i <= 200; i++) expect(await next()).toBe(`${i}`);
    await stream.return?.(undefined);
    expect(f.coordination.watchCounts.streams).toBe(0);
  });

  test("observe() shows the leader, what it proclaims, and those after it, from before the first on", async () => {
    const f = await open();
    const seen: string[] = [];
    const controller = new AbortController();
    const watching = (async () => {
      const stream: AsyncIterable<LeaderResponse> = f.coordination.observe(LeaderRequest.make({ name }), {
        signal: controller.signal,
      });
      for await (const { kv, header } of stream) {
        seen.push(`${new TextDecoder().decode(kv?.value)}@${kv?.modRevision}`);
        expect(header?.clusterId).toBe(42n);
      }
    })();
    await settle();
    expect(seen).toEqual([]);
    const first = await campaign(f, 1, "one");
    await settle();
    const second = campaign(f, 2, "two");
    await f.coordination.proclaim(ProclaimRequest.make({ leader: first.leader, value: b("uno") }));
    await f.coordination.proclaim(ProclaimRequest.make({ leader: first.leader, value: b("un") }));
    await settle();
    await f.coordination.leaseRevoke(LeaseRevokeRequest.make({ id: lease(1) }));
    const won = await second;
    await settle();
    await f.coordination.resign(ResignRequest.make({ leader: won.leader }));
    await settle();
    await campaign(f, 3, "three");
    await settle();
    expect(seen).toEqual(["one@2", "uno@4", "un@5", "two@3", "three@8"]);
    const ended = expect(watching).rejects.toMatchObject({ code: "CANCELLED" });
    controller.abort();
    await ended;
    expect(f.coordination.watchCounts.streams).toBe(0);
  });
});
