// While a snapshot is being installed the store is neither old nor new: nobody is told anything of that half state.
import { describe, expect, test } from "vitest";
import { concatBytes, utf8 } from "../base/bytes.ts";
import { Deferred } from "../base/deferred.ts";
import { simKernels } from "../sim/sim-kernels.ts";
import {
  AlarmRequest,
  CompactionRequest,
  HashKVRequest,
  LeaseGrantRequest,
  LeaseTimeToLiveRequest,
  RangeRequest,
} from "./messages.ts";
import { snapshotContent } from "./snapshot-file.ts";
import { Store } from "./store.ts";
import { Fixture } from "./testing/fixture.ts";
import { MapEngine } from "./testing/map-engine.ts";
import { settle, TestClock } from "./testing/test-clock.ts";

const all = { key: new Uint8Array([0]), rangeEnd: new Uint8Array([0]) };

/** The state of `source`, the second half of which comes only when it is let go. */
async function inHalves(source: Fixture): Promise<{ chunks: AsyncIterable<Uint8Array>; go: () => void }> {
  const snapshot = source.store.snapshot();
  const pieces: Uint8Array[] = [];
  for await (const chunk of snapshot.chunks()) pieces.push(chunk);
  snapshot.close();
  const bytes = concatBytes(pieces);
  const middle = Math.floor(bytes.length / 2);
  const gate = new Deferred<void>();
  async function* chunks(): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, middle);
    await gate.promise;
    yield bytes.subarray(middle);
  }
  return { chunks: chunks(), go: () => gate.resolve() };
}

/** A replica with revisions 2 to 4, which takes over one with revisions 2 to 8, and stops half-way. */
async function halfWay(prepare: (f: Fixture) => Promise<void> | void = () => undefined) {
  const source = new Fixture(simKernels);
  const target = new Fixture(simKernels);
  await source.coordination.leaseGrant(LeaseGrantRequest.make({ id: 9n, ttl: 100 }));
  for (const f of [source, target]) for (let i = 2; i <= 4; i++) await f.put(`k${i}`, `${i}`);
  await prepare(target);
  await target.group.checkpoint();
  for (let i = 5; i <= 8; i++) await source.put(`k${i}`, `${i}`, i === 8 ? { lease: 9n } : {});
  const { chunks, go } = await inHalves(source);
  const installed = target.group.install(chunks);
  await settle();
  const finish = async (): Promise<void> => {
    go();
    await installed;
    await settle();
  };
  return { source, target, finish };
}

describe("a watcher that is behind while a snapshot is installed", () => {
  test("gets every change once it is whole, and is not taken for current before (W1, W5)", async () => {
    let w: ReturnType<Fixture["watch"]> | undefined;
    const { target, finish } = await halfWay(async (f) => {
      w = f.watch();
      w.stream.pause();
      w.create({ ...all, startRevision: 2 });
      await settle();
    });
    w?.stream.resume();
    w?.progress();
    const late = target
      .watch()
      .create({ ...all, startRevision: 3 })
      .progress();
    expect(await w?.lines()).toEqual(["0@4 created"]);
    expect(await late.lines()).toEqual(["0@4 created"]);
    expect(target.coordination.watchCounts.behind).toBe(2);
    await finish();
    const events = "5:k5=5 6:k6=6 7:k7=7 8:k8=8";
    expect(await w?.lines()).toEqual([`0@8 2:k2=2 3:k3=3 4:k4=4 ${events}`, "-1@8"]);
    expect(await late.lines()).toEqual([`0@8 3:k3=3 4:k4=4 ${events}`, "-1@8"]);
  });

  test("hears of a compaction that came with the snapshot when that is whole (W4)", async () => {
    const source = new Fixture(simKernels);
    const target = new Fixture(simKernels);
    for (const f of [source, target]) for (let i = 2; i <= 4; i++) await f.put("k", `${i}`);
    for (let i = 5; i <= 8; i++) await source.put("k", `${i}`);
    await source.coordination.compact(CompactionRequest.make({ revision: 7, physical: true }));
    const { chunks, go } = await inHalves(source);
    const installed = target.group.install(chunks);
    await settle();
    const w = target.watch().create({ ...all, startRevision: 2 });
    expect(await w.lines()).toEqual(["0@4 created"]);
    go();
    await installed;
    expect(await w.lines()).toEqual(["0@0 canceled compacted 7"]);
  });

  test("a live one that is up to date keeps hearing of progress, of what it has", async () => {
    let w: ReturnType<Fixture["watch"]> | undefined;
    const { finish } = await halfWay((f) => {
      w = f.watch().create(all);
    });
    w?.progress();
    expect(await w?.lines()).toEqual(["0@4 created", "-1@4"]);
    await finish();
    expect(await w?.lines()).toEqual(["0@8 5:k5=5 6:k6=6 7:k7=7 8:k8=8"]);
  });
});

describe("what reads the store while a snapshot is installed", () => {
  /** Resolves to what the call gave, `waiting` while it gives nothing. */
  function follow<T>(call: Promise<T>): { now: () => Promise<T | "waiting"> } {
    let result: { readonly value: T } | undefined;
    let failure: { readonly error: unknown } | undefined;
    call.then(
      (value) => (result = { value }),
      (error: unknown) => (failure = { error }),
    );
    return {
      now: async () => {
        await settle();
        if (failure !== undefined) throw failure.error;
        return result === undefined ? "waiting" : result.value;
      },
    };
  }

  test("hash and hashKv wait, and then equal those of the replica that it came from", async () => {
    const { source, target, finish } = await halfWay();
    const hash = follow(target.coordination.hash({}));
    const hashKv = follow(target.coordination.hashKv(HashKVRequest.make({ revision: 4 })));
    expect([await hash.now(), await hashKv.now()]).toEqual(["waiting", "waiting"]);
    await finish();
    expect(await hash.now()).toEqual(await source.coordination.hash({}));
    expect(await hashKv.now()).toEqual(await source.coordination.hashKv(HashKVRequest.make({ revision: 4 })));
  });

  test("a saved snapshot waits, and then holds the new state", async () => {
    const { source, target, finish } = await halfWay();
    const blobs: Uint8Array[] = [];
    const revisions = new Set<number | undefined>();
    const saved = follow(
      (async () => {
        for await (const { blob, header } of target.coordination.snapshot({})) {
          blobs.push(blob);
          revisions.add(header?.revision);
        }
        return "saved";
      })(),
    );
    expect(await saved.now()).toBe("waiting");
    await finish();
    await target.clock.advance(10);
    expect(await saved.now()).toBe("saved");
    async function* file(): AsyncGenerator<Uint8Array> {
      yield concatBytes(blobs);
    }
    const store = new Store({ engine: new MapEngine(simKernels), kernels: simKernels, clock: new TestClock() });
    await store.restore(snapshotContent(file()));
    expect(store.hashAll()).toBe(source.store.hashAll());
    expect([...revisions]).toEqual([8]);
  });

  test("leases, their keys and alarms are told when all of them are there", async () => {
    const { target, finish } = await halfWay();
    const leases = follow(target.coordination.leaseLeases({}));
    const left = follow(target.coordination.leaseTimeToLive(LeaseTimeToLiveRequest.make({ id: 9n, keys: true })));
    const alarms = follow(target.coordination.alarm(AlarmRequest.make()));
    expect([await leases.now(), await left.now(), await alarms.now()]).toEqual(["waiting", "waiting", "waiting"]);
    await finish();
    await target.clock.advance(100); // the leader's clock of leases began anew, and is asked again
    expect(await leases.now()).toMatchObject({ header: { revision: 8 }, leases: [{ id: 9n }] });
    expect(await left.now()).toMatchObject({ id: 9n, grantedTtl: 100, keys: [utf8("k8")] });
    expect(await alarms.now()).toEqual({ header: undefined, alarms: [] });
  });

  test("answers that name no read of their own name the revision that could be read last", async () => {
    const { target, finish } = await halfWay();
    expect((await target.coordination.status({})).header?.revision).toBe(4);
    expect((await target.coordination.defragment({})).header?.revision).toBe(4);
    await finish();
    expect((await target.coordination.status({})).header?.revision).toBe(8);
  });

  test("a read that does not wait is a bug, and fails as one (S4)", async () => {
    const { target, finish } = await halfWay();
    const { store } = target;
    const reads = [
      () => store.range(RangeRequest.make(all)),
      () => store.hashAll(),
      () => store.snapshot(),
      () => store.changes(2, 4).next(),
    ];
    expect(store.isWhole).toBe(false);
    for (const read of reads) expect(read).toThrow("half of a snapshot");
    await finish();
    expect(store.isWhole).toBe(true);
    for (const read of reads) expect(read).not.toThrow();
  });
});
