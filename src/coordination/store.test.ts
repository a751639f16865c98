// The store against a naive twin, over restarts, checkpoints under way, snapshots and compactions.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { concatBytes, utf8 } from "../base/bytes.ts";
import { logIndex, sessionId, term } from "../base/ids.ts";
import type { InferInput } from "../base/protobuf.ts";
import { hasCode } from "../base/errors.ts";
import { simKernels } from "../sim/sim-kernels.ts";
import { CommandTag, command, LeaseExpire, LeaseNotes, MemberIdRequest } from "./command.ts";
import {
  AlarmRequest,
  CompactionRequest,
  DeleteRangeRequest,
  type KeyValue,
  LeaseGrantRequest,
  LeaseRevokeRequest,
  PutRequest,
  RangeRequest,
  type ResponseOp,
  TxnRequest,
  type TxnRequestInput,
  type TxnResponse,
} from "./messages.ts";
import { Store } from "./store.ts";
import { type StoreResult, storeResultCodec } from "./store-result.ts";
import { MapEngine } from "./testing/map-engine.ts";
import { NaiveError, NaiveStore, plain, text } from "./testing/naive-store.ts";
import { TestClock } from "./testing/test-clock.ts";

class Bench {
  engine = new MapEngine(simKernels);
  store: Store;
  index = 0;
  /** Commands since the last checkpoint: what the log would replay. */
  log: Uint8Array[] = [];

  constructor(cacheBytesMax = 4_000) {
    this.cacheBytesMax = cacheBytesMax;
    this.store = this.open();
  }
  readonly cacheBytesMax: number;

  open(): Store {
    return new Store({
      engine: this.engine,
      kernels: simKernels,
      clock: new TestClock(),
      cacheBytesMax: this.cacheBytesMax,
    });
  }

  apply(bytes: Uint8Array, at = 5): StoreResult {
    this.log.push(bytes);
    return this.run(this.store, bytes, at);
  }

  run(store: Store, bytes: Uint8Array, at = 5): StoreResult {
    const index = logIndex(++this.index);
    const result = store.apply(bytes, { index, term: term(at), session: sessionId(1), sequence: this.index });
    store.entryApplied(index);
    const again = storeResultCodec.decode(storeResultCodec.encode(result));
    expect(again).toEqual(result);
    return result;
  }

  put(request: InferInput<typeof PutRequest>) {
    return this.apply(command(CommandTag.put, PutRequest, request));
  }
  txn(request: TxnRequestInput) {
    return this.apply(command(CommandTag.txn, TxnRequest, request));
  }
  delete(request: InferInput<typeof DeleteRangeRequest>) {
    return this.apply(command(CommandTag.deleteRange, DeleteRangeRequest, request));
  }
  compact(revision: number) {
    return this.apply(command(CommandTag.compact, CompactionRequest, { revision }));
  }
  grant(id: bigint, ttl = 10) {
    return this.apply(command(CommandTag.leaseGrant, LeaseGrantRequest, { id, ttl }));
  }
  revoke(id: bigint) {
    return this.apply(command(CommandTag.leaseRevoke, LeaseRevokeRequest, { id }));
  }
  range(request: InferInput<typeof RangeRequest>) {
    return this.store.range(RangeRequest.make(request));
  }

  async checkpoint(): Promise<void> {
    const covered = this.log.length;
    const done = this.store.durable.checkpoint(utf8(`meta ${this.index}`));
    await done;
    this.log = this.log.slice(covered);
  }

  async restart(): Promise<void> {
    this.store = this.open();
    await this.store.durable.load();
    for (const bytes of this.log) this.run(this.store, bytes);
  }
}

const b = utf8;
const everything = { key: new Uint8Array([0]), rangeEnd: new Uint8Array([0]) };
const error = (code: string) => ({ type: "error", error: code });

// The differential test

const key = fc
  .constantFrom("a", "b", "ba", "c", "d", "\x00", "\xff")
  .map((name) => Uint8Array.from(name, (c) => c.charCodeAt(0)));
const rangeEnd = fc.oneof(
  { weight: 3, arbitrary: fc.constant(new Uint8Array(0)) },
  { weight: 1, arbitrary: fc.constant(new Uint8Array([0])) },
  { weight: 2, arbitrary: key },
);
const value = fc.constantFrom("1", "2", "three").map(utf8);
const lease = fc.constantFrom(0n, 0n, 0n, 1n, 2n, -3n);
const revision = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: -1, max: 30 }));
const bound = fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 30 }));

const put = fc
  .record({ key, value, lease, prevKv: fc.boolean(), mode: fc.integer({ min: 0, max: 5 }) })
  .map(({ mode, ...q }) =>
    PutRequest.make({
      ...q,
      value: mode === 1 ? new Uint8Array(0) : q.value,
      lease: mode === 2 ? 0n : q.lease,
      ignoreValue: mode === 1,
      ignoreLease: mode === 2,
    }),
  );
const deletion = fc.record({ key, rangeEnd, prevKv: fc.boolean() });
const rangeRequest = fc.record({
  key,
  rangeEnd,
  revision,
  limit: fc.constantFrom(0, 0, 1, 2),
  sortOrder: fc.constantFrom(0, 0, 1, 2),
  sortTarget: fc.constantFrom(0, 0, 1, 2, 3, 4),
  serializable: fc.constant(false),
  keysOnly: fc.boolean(),
  countOnly: fc.constantFrom(false, false, true),
  minModRevision: bound,
  maxModRevision: bound,
  minCreateRevision: bound,
  maxCreateRevision: bound,
});
const compare = fc.record({
  key,
  rangeEnd,
  result: fc.integer({ min: 0, max: 3 }),
  target: fc.integer({ min: 0, max: 4 }),
  targetUnion: fc.oneof(
    fc.record({ type: fc.constant("version" as const), value: fc.integer({ min: 0, max: 3 }) }),
    fc.record({ type: fc.constant("createRevision" as const), value: fc.integer({ min: 0, max: 20 }) }),
    fc.record({ type: fc.constant("modRevision" as const), value: fc.integer({ min: 0, max: 20 }) }),
    fc.record({ type: fc.constant("value" as const), value }),
    fc.record({ type: fc.constant("lease" as const), value: lease }),
  ),
});
const { txn } = fc.letrec<{ txn: TxnRequest; op: TxnRequest["success"][number] }>((tie) => ({
  op: fc.oneof(
    { maxDepth: 2 },
    { weight: 3, arbitrary: put.map((q) => ({ request: { type: "requestPut" as const, value: q } })) },
    { weight: 2, arbitrary: deletion.map((q) => ({ request: { type: "requestDeleteRange" as const, value: q } })) },
    { weight: 2, arbitrary: rangeRequest.map((q) => ({ request: { type: "requestRange" as const, value: q } })) },
    { weight: 1, arbitrary: tie("txn").map((q) => ({ request: { type: "requestTxn" as const, value: q } })) },
  ),
  txn: fc.record({
    compare: fc.array(compare, { maxLength: 2 }),
    success: fc.array(tie("op"), { maxLength: 4 }),
    failure: fc.array(tie("op"), { maxLength: 3 }),
  }),
}));

const step = fc.oneof(
  { weight: 8, arbitrary: put.map((q) => ({ type: "put" as const, q })) },
  { weight: 3, arbitrary: deletion.map((q) => ({ type: "delete" as const, q })) },
  { weight: 5, arbitrary: txn.map((q) => ({ type: "txn" as const, q })) },
  { weight: 6, arbitrary: rangeRequest.map((q) => ({ type: "range" as const, q })) },
  { weight: 2, arbitrary: fc.constantFrom(1n, 2n, -3n).map((id) => ({ type: "grant" as const, id })) },
  { weight: 1, arbitrary: fc.constantFrom(1n, 2n, -3n).map((id) => ({ type: "revoke" as const, id })) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 9 }).map((back) => ({ type: "compact" as const, back })) },
  { weight: 1, arbitrary: fc.constant({ type: "checkpoint" as const }) },
  { weight: 1, arbitrary: fc.constant({ type: "restart" as const }) },
  { weight: 1, arbitrary: fc.constant({ type: "reinstall" as const }) },
);

const kvs = (list: readonly KeyValue[]) => list.map(plain);

function comparableOp(op: ResponseOp): unknown {
  const r = op.response;
  if (r?.type === "responseRange") {
    return { kvs: kvs(r.value.kvs), count: r.value.count, more: r.value.more, revision: r.value.header?.revision };
  }
  if (r?.type === "responsePut") {
    return { prev: r.value.prevKv && plain(r.value.prevKv), revision: r.value.header?.revision };
  }
  if (r?.type === "responseDeleteRange") {
    return { deleted: r.value.deleted, prevs: kvs(r.value.prevKvs), revision: r.value.header?.revision };
  }
  return r === undefined ? undefined : comparableTxn(r.value);
}

function comparableTxn(response: TxnResponse): unknown {
  return { succeeded: response.succeeded, answers: response.responses.map(comparableOp) };
}

/** The answer, or the code of the refusal, in one form for both. */
function attempt(action: () => unknown): unknown {
  try {
    return action();
  } catch (e) {
    if (e instanceof NaiveError) return e.message;
    throw e;
  }
}
function failure(result: StoreResult | ReturnType<Store["range"]>): string | undefined {
  return result.type === "error" ? result.error : undefined;
}

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

async function compareRun(steps: readonly Step[]): Promise<void> {
  const bench = new Bench(1_400); // room for a few records
  const naive = new NaiveStore();
  for (const s of steps) {
    switch (s.type) {
      case "put": {
        const r = bench.put(s.q);
        const got = failure(r) ?? (r.type === "put" && { prev: r.prevKv && plain(r.prevKv), revision: r.revision });
        expect(got).toEqual(attempt(() => naive.put(s.q)));
        break;
      }
      case "delete": {
        const r = bench.delete(s.q);
        const want = naive.deleteRange(s.q.key, s.q.rangeEnd);
        expect(r).toMatchObject({ deleted: want.victims.length, revision: want.revision });
        if (s.q.prevKv && r.type === "delete-range") expect(kvs(r.prevKvs)).toEqual(want.victims);
        break;
      }
      case "txn": {
        const r = bench.txn(s.q);
        const got = failure(r) ?? (r.type === "txn" && { answer: comparableTxn(r.response), revision: r.revision });
        expect(got).toEqual(attempt(() => naive.txn(s.q)));
        break;
      }
      case "range": {
        const r = bench.store.range(s.q);
        const got =
          failure(r) ?? (r.type === "range" && { kvs: kvs(r.kvs), count: r.count, more: r.more, revision: r.revision });
        expect(got).toEqual(attempt(() => naive.range(s.q)));
        break;
      }
      case "grant":
        expect(failure(bench.grant(s.id)) ?? undefined).toBe(attempt(() => naive.grant(s.id, 10)));
        break;
      case "revoke": {
        const r = bench.revoke(s.id);
        expect(failure(r) ?? (r.type === "lease-revoke" && r.revision)).toEqual(attempt(() => naive.revoke(s.id)));
        break;
      }
      case "compact": {
        const at = naive.revision - s.back;
        expect(failure(bench.compact(at))).toBe(attempt(() => naive.compact(at)));
        break;
      }
      case "checkpoint":
        await bench.checkpoint();
        break;
      case "restart":
        await bench.restart();
        break;
      case "reinstall": {
        const target = new Bench(600);
        const snapshot = bench.store.snapshot();
        await target.store.restore(snapshot.chunks());
        snapshot.close();
        expect(target.store.hashAll()).toBe(bench.store.hashAll());
        expect(await bytesOf(target.store)).toEqual(await bytesOf(bench.store));
        bench.engine = target.engine;
        bench.store = target.store;
        bench.log = [];
        await bench.checkpoint();
        break;
      }
    }
    expect(bench.store.revision).toBe(naive.revision);
  }
  // Every revision that may be read, and every change that may be watched.
  for (let at = Math.max(naive.compacted, 1); at <= naive.revision; at++) {
    const r = bench.range({ ...everything, revision: at });
    expect(r.type === "range" && kvs(r.kvs)).toEqual([...naive.at(at).values()]);
  }
  const from = Math.max(naive.compacted, 1);
  const seen = [...bench.store.changes(from, naive.revision)].map((c) => [
    c.kv.modRevision,
    c.sub,
    text(c.kv.key),
    c.tombstone,
  ]);
  const want = naive.changes.filter((c) => c.main >= from).map((c) => [c.main, c.sub, c.key, c.put === undefined]);
  expect(seen).toEqual(want);
  for (const l of bench.store.leases.all()) {
    const held = [...l.keys].map((e) => e.name).sort();
    const wanted = [...naive.at(naive.revision).values()].filter((kv) => kv.lease === l.id).map((kv) => kv.key);
    expect(held).toEqual(wanted.sort());
  }
}

async function bytesOf(store: Store): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  const snapshot = store.snapshot();
  for await (const chunk of snapshot.chunks()) {
    expect(chunk.length).toBeLessThanOrEqual(256 * 1024);
    chunks.push(chunk);
  }
  snapshot.close();
  return Buffer.from(concatBytes(chunks));
}

describe("against the naive store", () => {
  test("every answer, revision and change is the same, over restarts, snapshots and compactions", async () => {
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 45, size: "max" }), compareRun), { numRuns: 150 });
  }, 20_000);
});

describe("Store.apply()", () => {
  test("refuses with etcd's codes and changes nothing", () => {
    const bench = new Bench();
    expect(bench.put({ value: b("v") })).toEqual(error("EMPTY_KEY"));
    expect(bench.put({ key: b("k"), lease: 7n })).toEqual(error("LEASE_NOT_FOUND"));
    expect(bench.put({ key: b("k"), ignoreValue: true })).toEqual(error("KEY_NOT_FOUND"));
    expect(bench.delete({})).toEqual(error("EMPTY_KEY"));
    expect(bench.compact(2)).toEqual(error("FUTURE_REVISION"));
    expect(bench.revoke(9n)).toEqual(error("LEASE_NOT_FOUND"));
    expect(bench.grant(1n, 9_000_000_001)).toEqual(error("LEASE_TTL_TOO_LARGE"));
    expect(bench.grant(0n)).toEqual(error("LEASE_NOT_FOUND"));
    expect(bench.apply(new Uint8Array([99, 1, 2]))).toEqual(error("REQUEST_MALFORMED"));
    expect(bench.apply(new Uint8Array(0))).toEqual(error("REQUEST_MALFORMED"));
    expect(bench.apply(new Uint8Array([CommandTag.put, 0x0a, 9]))).toEqual(error("REQUEST_MALFORMED"));
    expect(bench.store.revision).toBe(1);
  });

  test("a transaction that fails a late check has written nothing", () => {
    const bench = new Bench();
    const result = bench.txn({
      success: [
        { request: { type: "requestPut", value: { key: b("a"), value: b("1") } } },
        { request: { type: "requestPut", value: { key: b("b"), lease: 77n } } },
      ],
    });
    expect(result).toEqual(error("LEASE_NOT_FOUND"));
    expect(bench.range(everything)).toMatchObject({ count: 0, revision: 1 });
  });

  test("an expiry of an earlier term is void", () => {
    const bench = new Bench();
    bench.grant(4n);
    bench.put({ key: b("k"), lease: 4n });
    const expiry = command(CommandTag.leaseExpire, LeaseExpire, { id: 4n, term: 5 });
    expect(bench.apply(expiry, 6)).toEqual(error("FENCED"));
    expect(bench.range(everything)).toMatchObject({ count: 1 });
    expect(bench.apply(expiry, 5)).toMatchObject({ type: "lease-revoke" });
    expect(bench.range(everything)).toMatchObject({ count: 0 });
  });

  test("an alarm NOSPACE refuses what takes space, and nothing else", () => {
    const bench = new Bench();
    bench.put({ key: b("k"), value: b("v") });
    const alarm = (action: number) =>
      bench.apply(command(CommandTag.alarm, AlarmRequest, { action, alarm: 1, memberId: 2n }));
    expect(alarm(1)).toMatchObject({ alarms: [{ alarm: 1, memberId: 2n }] });
    expect(bench.put({ key: b("k") })).toEqual(error("NO_SPACE"));
    expect(bench.grant(1n)).toEqual(error("NO_SPACE"));
    const putting = { request: { type: "requestPut" as const, value: { key: b("x") } } };
    expect(bench.txn({ failure: [putting] })).toEqual(error("NO_SPACE"));
    expect(bench.delete({ key: b("k") })).toMatchObject({ deleted: 1 });
    expect(alarm(2)).toMatchObject({ alarms: [{ alarm: 1, memberId: 2n }] });
    expect(alarm(2)).toMatchObject({ alarms: [] });
    expect(bench.put({ key: b("k") })).toMatchObject({ type: "put" });
  });

  test("member ids are never given out twice, over a restart too", async () => {
    const bench = new Bench();
    const draw = (least: number) => bench.apply(command(CommandTag.memberId, MemberIdRequest, { least }));
    expect(draw(4)).toEqual({ type: "member-id", id: 4 });
    expect(draw(2)).toEqual({ type: "member-id", id: 5 });
    await bench.checkpoint();
    await bench.restart();
    expect(draw(1)).toEqual({ type: "member-id", id: 6 });
  });

  test("a lease's note of time left survives a checkpoint", async () => {
    const bench = new Bench();
    bench.grant(8n, 100);
    const checkpoints = [{ id: 8n, remainingTtl: 40 }];
    const notes = command(CommandTag.leaseCheckpoint, LeaseNotes, { term: 5, checkpoints });
    expect(bench.apply(notes, 6)).toEqual(error("FENCED"));
    expect(bench.store.leases.get(8n)).toMatchObject({ remainingTtl: 0 });
    bench.apply(notes, 5);
    await bench.checkpoint();
    await bench.restart();
    expect(bench.store.leases.get(8n)).toMatchObject({ ttl: 100, remainingTtl: 40 });
  });
});

describe("Store.durable", () => {
  test("commands applied while a checkpoint is written belong to the next one", async () => {
    const bench = new Bench();
    bench.put({ key: b("k"), value: b("1") });
    let open = () => {};
    bench.engine.gate = new Promise((resolve) => {
      open = resolve;
    });
    const covered = bench.log.length;
    const writing = bench.store.durable.checkpoint(b("first"));
    bench.put({ key: b("k"), value: b("2") });
    bench.put({ key: b("l"), value: b("3") });
    bench.compact(3);
    bench.store.mvcc.finishCompaction();
    expect(bench.range({ key: b("k"), revision: 3 })).toMatchObject({ kvs: [{ value: b("2") }] });
    expect(bench.range(everything)).toMatchObject({ count: 2 });
    const between = await bytesOf(bench.store);
    open();
    await writing;
    expect(await bytesOf(bench.store)).toEqual(between);
    bench.log = bench.log.slice(covered);
    const loaded = bench.open();
    expect(await loaded.durable.load()).toEqual(b("first"));
    expect(loaded.revision).toBe(2);
    for (const bytes of bench.log) bench.run(loaded, bytes);
    expect(await bytesOf(loaded)).toEqual(between);
    expect(loaded.hashAll()).toBe(bench.store.hashAll());
  });

  test("between a write and the news of it, nothing is seen twice", async () => {
    const bench = new Bench();
    for (let i = 0; i < 5; i++) bench.put({ key: b(`k${i}`), value: b("1") });
    const before = await bytesOf(bench.store);
    let report = () => {};
    bench.engine.reportGate = new Promise((resolve) => {
      report = resolve;
    });
    const writing = bench.store.durable.checkpoint(b("m"));
    for (let i = 0; i < 20; i++) await Promise.resolve();
    expect(bench.engine.writes).toBe(1);
    expect([...bench.store.changes(2, 6)].map((c) => c.kv.modRevision)).toEqual([2, 3, 4, 5, 6]);
    expect([...bench.store.changes(1, 99)].map((c) => c.kv.modRevision)).toEqual([2, 3, 4, 5, 6]);
    expect(await bytesOf(bench.store)).toEqual(before);
    report();
    await writing;
    expect(await bytesOf(bench.store)).toEqual(before);
  });

  test("a checkpoint that fails loses nothing, and the next one holds all", async () => {
    const bench = new Bench();
    for (let i = 0; i < 20; i++) bench.put({ key: b(`k${i % 5}`), value: b(`${i}`) });
    bench.grant(5n);
    bench.compact(10);
    const before = await bytesOf(bench.store);
    bench.engine.gate = Promise.reject(new Error("no space"));
    const writing = bench.store.durable.checkpoint(b("x"));
    bench.put({ key: b("k1"), value: b("late") });
    bench.delete({ key: b("k1") });
    await expect(writing).rejects.toThrow("no space");
    bench.engine.gate = undefined;
    expect(bench.store.durable.dirtyBytes()).toBeGreaterThan(1_000);
    const loadedNothing = bench.open();
    expect(await loadedNothing.durable.load()).toBeUndefined();
    const twin = new Bench(); // the same commands without any checkpoint
    for (const bytes of bench.log) twin.apply(bytes);
    expect(await bytesOf(bench.store)).toEqual(await bytesOf(twin.store));
    await bench.store.durable.checkpoint(b("y"));
    expect(bench.store.durable.dirtyBytes()).toBe(0);
    expect(await bytesOf(bench.store)).toEqual(await bytesOf(twin.store));
    const loaded = bench.open();
    expect(await loaded.durable.load()).toEqual(b("y"));
    expect(await bytesOf(loaded)).toEqual(await bytesOf(bench.store));
    expect(await bytesOf(loaded)).not.toEqual(before);
    expect(loaded.leases.get(5n)).toBeDefined();
  });

  test("an installation that was cut off leaves an empty store, not half of one", async () => {
    const source = new Bench();
    for (let i = 0; i < 50; i++) source.put({ key: b(`key ${i}`), value: new Uint8Array(200_000) });
    const snapshot = source.store.snapshot();
    const target = new Bench();
    target.put({ key: b("old") });
    await target.checkpoint();
    async function* cut() {
      let left = 30;
      for await (const chunk of snapshot.chunks()) {
        if (left-- === 0) return;
        yield chunk;
      }
    }
    await target.store.restore(cut()).then(
      () => expect.unreachable(),
      (e: unknown) => expect(hasCode(e, "DATA_CORRUPT")).toBe(true),
    );
    const loaded = target.open();
    expect(await loaded.durable.load()).toBeUndefined();
    expect(loaded.range(RangeRequest.make(everything))).toMatchObject({ count: 0 });
    await target.store.restore(snapshot.chunks());
    expect(target.store.hashAll()).toBe(source.store.hashAll());
    await target.store.durable.checkpoint(b("m"));
    const again = target.open();
    expect(await again.durable.load()).toEqual(b("m"));
    expect(again.hashAll()).toBe(source.store.hashAll());
  });

  test("an installation without a checkpoint is not loaded", async () => {
    const source = new Bench();
    source.put({ key: b("k") });
    const target = new Bench();
    const snapshot = source.store.snapshot();
    await target.store.restore(snapshot.chunks());
    expect(target.range(everything)).toMatchObject({ count: 1 });
    expect(await target.open().durable.load()).toBeUndefined();
  });

  test("a flipped byte in a snapshot is found", async () => {
    const source = new Bench();
    for (let i = 0; i < 10; i++) source.put({ key: b(`key ${i}`), value: b("v") });
    const whole = await bytesOf(source.store);
    for (const at of [0, 9, 30, whole.length - 30, whole.length - 1]) {
      const bad = Uint8Array.from(whole);
      bad[at] = (bad[at] ?? 0) ^ 1;
      async function* chunks() {
        for (let i = 0; i < bad.length; i += 7) yield bad.subarray(i, i + 7);
      }
      await expect(new Bench().store.restore(chunks()), `byte ${at}`).rejects.toThrow("damaged");
    }
  });

  test("a snapshot keeps its state while the store goes on, checkpoints included", async () => {
    const bench = new Bench();
    for (let i = 0; i < 30; i++) bench.put({ key: b(`k${i}`), value: b("1") });
    await bench.checkpoint();
    for (let i = 0; i < 30; i++) bench.put({ key: b(`k${i}`), value: b("2") });
    const hash = bench.store.hashAll();
    const snapshot = bench.store.snapshot();
    bench.delete(everything);
    bench.compact(bench.store.revision);
    bench.store.mvcc.finishCompaction();
    await bench.checkpoint();
    const target = new Bench();
    await target.store.restore(snapshot.chunks());
    snapshot.close();
    expect(target.store.hashAll()).toBe(hash);
    expect(target.range(everything)).toMatchObject({ count: 30 });
  });

  test("hot keys are read from disk once", async () => {
    const bench = new Bench(1_000_000);
    for (let i = 0; i < 100; i++) bench.put({ key: b(`k${i}`), value: b("v") });
    await bench.checkpoint();
    const before = bench.engine.reads;
    for (let i = 0; i < 1_000; i++) bench.range({ key: b(`k${i % 100}`) });
    expect(bench.engine.reads - before).toBe(100);
    bench.put({ key: b("k1"), value: b("w") });
    expect(bench.range({ key: b("k1") })).toMatchObject({ kvs: [{ value: b("w"), version: 2 }] });
    expect(bench.engine.reads - before).toBe(100);
    await bench.checkpoint();
    expect(bench.range({ key: b("k1") })).toMatchObject({ kvs: [{ value: b("w"), version: 2 }] });
    expect(bench.engine.reads - before).toBe(101);
  });

  test("the cache stays within its bound, and keeps what is read again", async () => {
    const bench = new Bench(20_000); // about a hundred records
    for (let i = 0; i < 1_000; i++) bench.put({ key: b(`k${i}`), value: b("v") });
    await bench.checkpoint();
    const start = bench.engine.reads;
    for (let i = 0; i < 1_000; i++) {
      bench.range({ key: b(`k${i}`) });
      bench.range({ key: b("k7") });
    }
    expect(bench.engine.reads - start).toBe(1_000); // k7 once
    const before = bench.engine.reads;
    for (let i = 0; i < 1_000; i++) bench.range({ key: b(`k${i}`) });
    expect(bench.engine.reads - before).toBeGreaterThan(800);
  });
});

describe("compaction", () => {
  test("what was changed at the compacted revision stays watchable, deletions too", async () => {
    const bench = new Bench();
    /** As a watcher would see it after a checkpoint: from disk. */
    const seen = async (from: number, to: number) => {
      await bench.checkpoint();
      return changes(from, to);
    };
    const changes = (from: number, to: number) =>
      [...bench.store.changes(from, to)].map((c) => `${c.kv.modRevision}${text(c.kv.key)}${c.tombstone ? "-" : "+"}`);
    bench.put({ key: b("a") }); // 2
    bench.put({ key: b("b") }); // 3
    bench.delete(everything); // 4
    bench.put({ key: b("c") }); // 5
    bench.put({ key: b("a") }); // 6
    // One key put and deleted in one revision: etcd lets the open-ended deletion stand beside the put.
    const fromX = { key: b("x"), rangeEnd: new Uint8Array([0]) };
    bench.txn({
      success: [
        { request: { type: "requestPut", value: { key: b("x") } } },
        { request: { type: "requestDeleteRange", value: fromX } },
      ],
    }); // 7
    bench.compact(4);
    bench.store.mvcc.finishCompaction();
    expect(await seen(4, 7)).toEqual(["4a-", "4b-", "5c+", "6a+", "7x+", "7x-"]);
    expect(bench.range({ key: b("a"), revision: 3 })).toEqual(error("COMPACTED"));
    bench.compact(7);
    bench.store.mvcc.finishCompaction();
    expect(await seen(1, 7)).toEqual(["5c+", "6a+", "7x+", "7x-"]);
    expect(bench.store.keyCount).toBe(3); // a, c, and x for the sake of watchers
    bench.put({ key: b("d") });
    bench.compact(8);
    bench.store.mvcc.finishCompaction();
    expect(bench.store.keyCount).toBe(3); // a, c, d
    expect(await seen(1, 8)).toEqual(["5c+", "6a+", "8d+"]);
    expect(bench.compact(8)).toEqual(error("COMPACTED"));
    bench.delete({ key: b("a") }); // 9
    bench.put({ key: b("e") }); // 10
    bench.put({ key: b("a") }); // 11
    bench.compact(10);
    bench.store.mvcc.finishCompaction();
    expect(await seen(1, 11)).toEqual(["5c+", "8d+", "10e+", "11a+"]); // a deletion before it is nobody's business
  });

  test("runs behind in bounded steps, and the answer does not depend on how far it is", async () => {
    const bench = new Bench();
    for (let i = 0; i < 3_000; i++) bench.put({ key: b(`k${i % 1_500}`), value: b(`${i}`) });
    const before = bench.range({ ...everything, revision: 2_500 });
    bench.compact(2_400);
    expect(bench.store.mvcc.compactionPending).toBe(true);
    expect(bench.range({ ...everything, revision: 2_500 })).toEqual(before);
    const other = new Bench();
    for (const bytes of bench.log) other.apply(bytes);
    other.store.mvcc.finishCompaction();
    const whole = bytesOf(other.store);
    expect(await bytesOf(bench.store)).toEqual(await whole);
    expect(other.store.hashAll()).toBe(bench.store.hashAll());
    expect(bench.range({ ...everything, revision: 2_500 })).toEqual(before);
    bench.compact(2_500);
    let steps = 1; // one came with the command
    while (bench.store.compactStep()) steps++;
    expect(steps).toBe(Math.floor(1_500 / 256));
    expect(bench.range({ ...everything, revision: 2_500 })).toEqual(before);
  });
});
