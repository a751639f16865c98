// The services as a door calls them: etcd's codes and words, bytes in and out, members, maintenance, alarms, compaction.
import { describe, expect, test } from "vitest";
import { BytesError, concatBytes, utf8 } from "../base/bytes.ts";
import type { Outcome } from "../group/outcome.ts";
import { simKernels } from "../sim/sim-kernels.ts";
import { AlarmTable } from "./store-state.ts";
import { EtcdError, etcdErrors } from "./etcd-error.ts";
import {
  AlarmRequest,
  CompactionRequest,
  DefragmentRequest,
  HashKVRequest,
  HashRequest,
  MemberAddRequest,
  MemberListRequest,
  MemberPromoteRequest,
  MemberRemoveRequest,
  MemberUpdateRequest,
  MoveLeaderRequest,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  type RequestOpInput,
  SnapshotRequest,
  StatusRequest,
  TxnRequest,
} from "./messages.ts";
import { decodeAnswer, decodeQuestion, encodeAnswer, encodeQuestion } from "./question.ts";
import { snapshotContent } from "./snapshot-file.ts";
import { Store } from "./store.ts";
import type { StoreResult } from "./store-result.ts";
import { Fixture, type FixtureOptions } from "./testing/fixture.ts";
import { MapEngine } from "./testing/map-engine.ts";
import { settle, TestClock } from "./testing/test-clock.ts";

const b = utf8;
const open = (options?: FixtureOptions) => new Fixture(simKernels, options);
const put = (key: string): RequestOpInput => ({ request: { type: "requestPut", value: { key: b(key) } } });
const remove = (key: string, end = ""): RequestOpInput => ({
  request: { type: "requestDeleteRange", value: { key: b(key), rangeEnd: b(end) } },
});
const nest = (success: RequestOpInput[], failure: RequestOpInput[] = []): RequestOpInput => ({
  request: { type: "requestTxn", value: { success, failure } },
});

describe("refusals", () => {
  const cases: readonly (readonly [string, (f: Fixture) => Promise<unknown>, number, string])[] = [
    ["a put without key", (f) => f.put(""), 3, "etcdserver: key is not provided"],
    ["a range without key", (f) => f.coordination.range(RangeRequest.make()), 3, "etcdserver: key is not provided"],
    ["a value beside ignore_value", (f) => f.put("k", "v", { ignoreValue: true }), 3, "etcdserver: value is provided"],
    [
      "a lease beside ignore_lease",
      (f) => f.put("k", "", { ignoreLease: true, lease: 1n }),
      3,
      "etcdserver: lease is provided",
    ],
    ["ignore_value of nothing", (f) => f.put("k", "", { ignoreValue: true }), 3, "etcdserver: key not found"],
    ["a lease that is not there", (f) => f.put("k", "", { lease: 9n }), 5, "etcdserver: requested lease not found"],
    [
      "129 operations",
      (f) => f.coordination.txn(TxnRequest.make({ success: Array.from({ length: 129 }, (_, i) => put(`${i}`)) })),
      3,
      "etcdserver: too many operations in txn request",
    ],
    [
      "129 operations over two levels",
      (f) =>
        f.coordination.txn(TxnRequest.make({ success: [nest(Array.from({ length: 128 }, (_, i) => put(`${i}`)))] })),
      3,
      "etcdserver: too many operations in txn request",
    ],
    [
      "two puts of a key",
      (f) => f.coordination.txn(TxnRequest.make({ success: [put("a"), put("a")] })),
      3,
      "etcdserver: duplicate key given in txn request",
    ],
    [
      "a put inside a deleted range",
      (f) => f.coordination.txn(TxnRequest.make({ failure: [put("b"), remove("a", "c")] })),
      3,
      "etcdserver: duplicate key given in txn request",
    ],
    [
      "a put of what a nested transaction puts",
      (f) => f.coordination.txn(TxnRequest.make({ success: [nest([], [put("a")]), put("a")] })),
      3,
      "etcdserver: duplicate key given in txn request",
    ],
    [
      "two nested transactions that may put the same key",
      (f) => f.coordination.txn(TxnRequest.make({ success: [nest([put("a")]), nest([], [put("a")])] })),
      3,
      "etcdserver: duplicate key given in txn request",
    ],
    [
      "an operation that is none",
      (f) => f.coordination.txn(TxnRequest.make({ success: [{}] })),
      3,
      "etcdserver: key not found",
    ],
    [
      "a comparison without key",
      (f) => f.coordination.txn(TxnRequest.make({ compare: [{}] })),
      3,
      "etcdserver: key is not provided",
    ],
    [
      "a value of 1.6 MiB",
      (f) => f.coordination.put(PutRequest.make({ key: b("k"), value: new Uint8Array(1_677_721) })),
      3,
      "etcdserver: request is too large",
    ],
    [
      "a revision to come",
      (f) => f.coordination.range(RangeRequest.make({ key: b("k"), revision: 2 })),
      11,
      "etcdserver: mvcc: required revision is a future revision",
    ],
    [
      "a compaction to come",
      (f) => f.coordination.compact(CompactionRequest.make({ revision: 2 })),
      11,
      "etcdserver: mvcc: required revision is a future revision",
    ],
  ];
  for (const [what, call, grpc, message] of cases) {
    test(`${what} is refused as etcd does`, async () => {
      const f = open();
      await expect(call(f)).rejects.toMatchObject({ name: "EtcdError", grpc, message });
      expect(f.store.revision).toBe(1);
    });
  }

  test("what a transaction may do beside itself: nested branches exclude each other, deletions overlap", async () => {
    const f = open();
    const txn = (success: RequestOpInput[]) => f.coordination.txn(TxnRequest.make({ success }));
    await txn([nest([put("a")], [put("a")])]);
    await txn([remove("a", "c"), remove("b", "d")]);
    await txn([remove("a"), put("b")]);
    expect(f.store.revision).toBe(4); // a put, its deletion, the other put
  });

  test("a read below the compacted revision is refused", async () => {
    const f = open();
    for (let i = 0; i < 5; i++) await f.put("k");
    await f.coordination.compact(CompactionRequest.make({ revision: 4, physical: true }));
    expect(f.store.mvcc.compactionPending).toBe(false);
    await expect(f.coordination.range(RangeRequest.make({ key: b("k"), revision: 3 }))).rejects.toMatchObject({
      grpc: 11,
      message: "etcdserver: mvcc: required revision has been compacted",
    });
    await expect(f.coordination.compact(CompactionRequest.make({ revision: 4 }))).rejects.toMatchObject({ grpc: 11 });
  });

  test("every end of a proposal has its code", async () => {
    const f = open();
    const ends: readonly (readonly [Outcome<StoreResult>, keyof typeof etcdErrors])[] = [
      [{ type: "rejected", reason: "no-leader", leader: undefined }, "NO_LEADER"],
      [{ type: "rejected", reason: "overloaded", leader: undefined }, "TOO_MANY_REQUESTS"],
      [{ type: "rejected", reason: "too-large", leader: undefined }, "REQUEST_TOO_LARGE"],
      [{ type: "rejected", reason: "disk-full", leader: undefined }, "NO_SPACE"],
      [{ type: "rejected", reason: "closed", leader: undefined }, "STOPPED"],
      [{ type: "unknown", reason: "timeout" }, "TIMEOUT"],
      [{ type: "unknown", reason: "aborted" }, "CANCELLED"],
      [{ type: "unknown", reason: "session-expired" }, "TIMEOUT_CONNECTION_LOST"],
      [{ type: "unknown", reason: "result-lost" }, "TIMEOUT_CONNECTION_LOST"],
    ];
    for (const [outcome, code] of ends) {
      f.group.failWith = outcome;
      await expect(f.put("k")).rejects.toMatchObject({ code, message: etcdErrors[code].text });
    }
  });
});

describe("KV", () => {
  test("answers carry cluster, member, revision and term", async () => {
    const f = open();
    const response = await f.coordination.put(PutRequest.make({ key: b("k"), value: b("1") }));
    expect(response).toEqual({ header: { clusterId: 42n, memberId: 1n, revision: 2, raftTerm: 1 }, prevKv: undefined });
    const again = await f.coordination.put(PutRequest.make({ key: b("k"), value: b("2"), prevKv: true }));
    expect(again.prevKv).toMatchObject({ value: b("1"), version: 1, createRevision: 2 });
  });

  test("without a leader only serializable reads answer", async () => {
    const f = open();
    await f.put("k", "v");
    f.group.stepDown();
    const request = RangeRequest.make({ key: b("k") });
    await expect(f.coordination.range(request)).rejects.toMatchObject({ grpc: 14, message: "etcdserver: no leader" });
    expect((await f.coordination.range({ ...request, serializable: true })).count).toBe(1);
    const read = { request: { type: "requestRange" as const, value: request } };
    await expect(f.coordination.txn(TxnRequest.make({ success: [read] }))).rejects.toMatchObject({ grpc: 14 });
    const stale = { request: { type: "requestRange" as const, value: { ...request, serializable: true } } };
    expect((await f.coordination.txn(TxnRequest.make({ success: [stale] }))).responses.length).toBe(1);
  });

  test("a transaction that only reads is not proposed", async () => {
    const f = open();
    await f.put("k", "v");
    const before = f.group.proposalCount;
    const read = { request: { type: "requestRange" as const, value: { key: b("k") } } };
    const response = await f.coordination.txn(TxnRequest.make({ success: [read, nest([read])] }));
    expect(f.group.proposalCount).toBe(before);
    expect(response).toMatchObject({ succeeded: true, header: { revision: 2, clusterId: 42n } });
  });

  test("putBytes() and rangeBytes() go from bytes to bytes, never synchronously, and copy what they keep", async () => {
    const f = open();
    const call = (method: "putBytes" | "rangeBytes", bytes: Uint8Array) => {
      let synchronous = true;
      const answer = new Promise<Uint8Array>((resolve, reject) => {
        f.coordination[method](bytes, (error, response) => {
          expect(synchronous).toBe(false);
          if (response === undefined) reject(error);
          else resolve(response);
        });
      });
      synchronous = false;
      bytes.fill(0xff);
      return answer;
    };
    const putting = call("putBytes", PutRequest.encode({ key: b("k"), value: b("v") }).slice());
    expect(PutResponse.decode(await putting)).toMatchObject({ header: { revision: 2 } });
    const reading = call("rangeBytes", RangeRequest.encode({ key: b("k") }).slice());
    expect(RangeResponse.decode(await reading)).toMatchObject({ count: 1, kvs: [{ value: b("v") }] });
    await expect(call("putBytes", PutRequest.encode({}).slice())).rejects.toMatchObject({ code: "EMPTY_KEY" });
    await expect(call("rangeBytes", new Uint8Array(0))).rejects.toMatchObject({ code: "EMPTY_KEY" });
    await expect(call("rangeBytes", RangeRequest.encode({ key: b("k"), revision: 99 }).slice())).rejects.toMatchObject({
      code: "FUTURE_REVISION",
    });
    expect(() => f.coordination.putBytes(new Uint8Array([0x0a, 9]), () => undefined)).toThrow(BytesError);
    f.group.failWith = { type: "unknown", reason: "timeout" };
    await expect(call("putBytes", PutRequest.encode({ key: b("k") }).slice())).rejects.toMatchObject({ grpc: 14 });
  });

  test("order, limit and filters work together: all are sorted before the limit cuts", async () => {
    const f = open();
    for (const [key, value] of [
      ["a", "3"],
      ["b", "1"],
      ["c", "4"],
      ["d", "1"],
      ["a", "5"],
    ] as const)
      await f.put(key, value);
    const ask = async (more: Partial<RangeRequest>) => {
      const request = RangeRequest.make({ key: b("a"), rangeEnd: b("z"), ...more });
      const { kvs, more: rest, count } = await f.coordination.range(request);
      return `${kvs.map((kv) => new TextDecoder().decode(kv.key)).join("")} ${rest} ${count}`;
    };
    expect(await ask({ sortOrder: 2, limit: 1 })).toBe("d true 4");
    expect(await ask({ sortOrder: 2, sortTarget: 4, limit: 2 })).toBe("ac true 4");
    expect(await ask({ sortOrder: 1, sortTarget: 4 })).toBe("bdca false 4");
    expect(await ask({ sortOrder: 1, sortTarget: 3 })).toBe("bcda false 4");
    expect(await ask({ sortOrder: 2, sortTarget: 2 })).toBe("dcba false 4");
    expect(await ask({ sortOrder: 2, sortTarget: 1, limit: 1 })).toBe("a true 4");
    expect(await ask({ minModRevision: 4, limit: 2 })).toBe("ac true 4");
    expect(await ask({ maxModRevision: 4 })).toBe("bc false 4");
    expect(await ask({ minCreateRevision: 5 })).toBe("d false 4");
    expect(await ask({ maxCreateRevision: 3 })).toBe("ab false 4");
    // Another target without an order means ascending, but the limit has cut by key before: so etcd 3.4 does it.
    expect(await ask({ sortTarget: 4, limit: 1 })).toBe("b true 4");
  });

  test("puts of one caller are applied in the order of their calls", async () => {
    const f = open();
    const all = Array.from({ length: 50 }, (_, i) => f.put("k", `${i}`));
    expect(await Promise.all(all)).toEqual(Array.from({ length: 50 }, (_, i) => i + 2));
    expect(await f.values("k")).toEqual(["49"]);
  });
});

describe("Cluster", () => {
  test("a member is added as a learner with a fresh id, updated, promoted and removed", async () => {
    const f = open();
    const { coordination: c } = f;
    const added = await c.memberAdd(MemberAddRequest.make({ peerUrls: ["http://10.0.0.2:7401"] }));
    expect(added.member).toEqual({
      id: 2n,
      name: "",
      peerUrls: ["http://10.0.0.2:7401"],
      clientUrls: [],
      isLearner: true,
    });
    expect(f.group.members.find((member) => member.id === 2)).toMatchObject({ promote: true });
    expect(added.members.map((member) => member.id)).toEqual([1n, 2n]);
    await c.memberUpdate(MemberUpdateRequest.make({ id: 2n, peerUrls: ["http://10.0.0.3:7401"] }));
    const list = await c.memberList(MemberListRequest.make({ linearizable: true }));
    expect(list.members[1]?.peerUrls).toEqual(["http://10.0.0.3:7401"]);
    const promoted = await c.memberPromote(MemberPromoteRequest.make({ id: 2n }));
    expect(promoted.members[1]?.isLearner).toBe(false);
    await c.memberRemove(MemberRemoveRequest.make({ id: 2n }));
    const third = await c.memberAdd(MemberAddRequest.make({ peerUrls: ["http://10.0.0.4:7401"], isLearner: true }));
    expect(third.member?.id).toBe(3n); // 2 is not given out again
    expect(f.group.members.find((member) => member.id === 3)).toMatchObject({ promote: false });
  });

  test("what cannot be is refused as etcd does", async () => {
    const { coordination: c } = open();
    const add = (url: string) => c.memberAdd(MemberAddRequest.make({ peerUrls: [url] }));
    await expect(add("http://127.0.0.1:7401")).rejects.toMatchObject({
      grpc: 9,
      message: "etcdserver: Peer URLs already exists",
    });
    for (const url of ["", "10.0.0.1:1", "http://x", "http://x:99999", "ftp://x:1", "http://x:1/y"]) {
      await expect(add(url), url).rejects.toMatchObject({
        grpc: 3,
        message: "etcdserver: given member URLs are invalid",
      });
    }
    await expect(c.memberRemove(MemberRemoveRequest.make({ id: 1n << 63n }))).rejects.toMatchObject({
      grpc: 5,
      message: "etcdserver: member not found",
    });
    await expect(c.memberPromote(MemberPromoteRequest.make({ id: 1n }))).rejects.toMatchObject({
      grpc: 9,
      message: "etcdserver: can only promote a learner member",
    });
  });

  test("a learner that lags is not promoted", async () => {
    const f = open();
    await f.coordination.memberAdd(MemberAddRequest.make({ peerUrls: ["http://10.0.0.2:7401"], isLearner: true }));
    for (let i = 0; i < 30; i++) await f.put("k");
    const status = f.group.status.bind(f.group);
    f.group.status = () => {
      const now = status();
      const first = now.first;
      return { ...now, peers: now.peers.map((peer) => ({ ...peer, match: first })) };
    };
    await expect(f.coordination.memberPromote(MemberPromoteRequest.make({ id: 2n }))).rejects.toMatchObject({
      message: "etcdserver: can only promote a learner member which is in sync with leader",
    });
  });
});

describe("Maintenance", () => {
  test("status, hash, defragment and move-leader answer", async () => {
    const f = open();
    await f.put("k", "v");
    const { coordination: c } = f;
    expect(await c.status(StatusRequest.make())).toMatchObject({
      version: "3.4.23",
      leader: 1n,
      raftTerm: 1,
      raftIndex: 1,
      raftAppliedIndex: 1,
      errors: [],
      isLearner: false,
    });
    f.group.stepDown();
    expect((await c.status(StatusRequest.make())).errors).toEqual(["etcdserver: no leader"]);
    await expect(c.moveLeader(MoveLeaderRequest.make({ targetId: 1n }))).rejects.toMatchObject({
      message: "etcdserver: not leader",
    });
    f.group.lead();
    await expect(c.moveLeader(MoveLeaderRequest.make({ targetId: 9n }))).rejects.toMatchObject({
      message: "etcdserver: bad leader transferee",
    });
    await c.moveLeader(MoveLeaderRequest.make({ targetId: 1n }));
    expect(await c.defragment(DefragmentRequest.make())).toMatchObject({ header: { revision: 2 } });
    expect((await c.hash(HashRequest.make())).hash).toBeGreaterThan(0);
    const at2 = await c.hashKv(HashKVRequest.make({ revision: 2 }));
    await f.put("k", "w");
    expect((await c.hashKv(HashKVRequest.make({ revision: 2 }))).hash).toBe(at2.hash);
    expect((await c.hashKv(HashKVRequest.make())).hash).not.toBe(at2.hash);
    await expect(c.hashKv(HashKVRequest.make({ revision: 9 }))).rejects.toMatchObject({ grpc: 11 });
  });

  test("a snapshot streams a file that restores to the same state", async () => {
    const f = open();
    for (let i = 0; i < 300; i++) await f.put(`k${i % 50}`, "x".repeat(3_000));
    const blobs: Uint8Array[] = [];
    let last = -1;
    for await (const response of f.coordination.snapshot(SnapshotRequest.make())) {
      blobs.push(response.blob);
      last = response.remainingBytes;
      if (response.blob.length !== 0 && blobs.length === 1) expect(last).toBeGreaterThan(0);
    }
    expect(last).toBe(0);
    const file = concatBytes(blobs);
    expect(file.length % 512).toBe(32);
    const clock = new TestClock();
    const restored = new Store({ engine: new MapEngine(simKernels), kernels: simKernels, clock });
    async function* source() {
      for (let at = 0; at < file.length; at += 1_000) yield file.subarray(at, at + 1_000);
    }
    await restored.restore(snapshotContent(source()));
    expect(restored.hashAll()).toBe(f.store.hashAll());
  });

  test("a snapshot stops when its caller gives up", async () => {
    const f = open();
    for (let i = 0; i < 200; i++) await f.put(`k${i}`, "x".repeat(5_000));
    const controller = new AbortController();
    const stream = f.coordination.snapshot(SnapshotRequest.make(), { signal: controller.signal });
    const read = async () => {
      for await (const _ of stream) controller.abort();
    };
    await expect(read()).rejects.toMatchObject({ code: "CANCELLED" });
    expect(f.engine.openSnapshots).toBe(0);
  });
});

describe("alarms", () => {
  test("a disk without room raises NOSPACE, which refuses puts, shows in the status and clears by itself", async () => {
    const f = open();
    await f.put("k", "v");
    // The log still has room for the alarm itself: so it is with the reserve that the WAL keeps.
    const status = f.group.status.bind(f.group);
    let full = true;
    f.group.status = () => ({ ...status(), diskFull: full });
    await f.clock.advance(1_100);
    await expect(f.put("k", "w")).rejects.toMatchObject({
      grpc: 8,
      message: "etcdserver: mvcc: database space exceeded",
    });
    expect(await f.values("k")).toEqual(["v"]);
    expect((await f.coordination.status(StatusRequest.make())).errors).toEqual(["memberID:1 alarm:NOSPACE "]);
    const get = AlarmRequest.make({ action: 0 });
    expect((await f.coordination.alarm(get)).alarms).toEqual([{ memberId: 1n, alarm: 1 }]);
    full = false;
    await f.clock.advance(1_100);
    expect((await f.coordination.alarm(get)).alarms).toEqual([]);
    await f.put("k", "w");
  });

  test("the leader takes back the alarm of a member that has left", async () => {
    const f = open();
    await f.coordination.alarm(AlarmRequest.make({ action: 1, alarm: 1, memberId: 77n }));
    expect(f.store.alarms.length).toBe(1);
    await f.clock.advance(1_100);
    expect(f.store.alarms).toEqual([]);
  });

  test("AlarmTable keeps its order and knows what it had", () => {
    const table = new AlarmTable();
    expect(table.raise(2, 5n)).toBe(true);
    expect(table.raise(1, 9n)).toBe(true);
    expect(table.raise(1, 3n)).toBe(true);
    expect(table.raise(1, 3n)).toBe(false);
    expect(table.all.map((one) => `${one.alarm}.${one.memberId}`)).toEqual(["1.3", "1.9", "2.5"]);
    expect(table.clear(1, 9n)).toBe(true);
    expect(table.clear(1, 9n)).toBe(false);
    expect(table.has(1) && table.has(2) && !table.has(3)).toBe(true);
  });
});

describe("automatic compaction", () => {
  test("is off by default", async () => {
    const f = open();
    for (let i = 0; i < 10; i++) await f.put("k");
    await f.clock.advance(86_400_000);
    expect(f.store.compactRevision).toBe(-1);
  });

  test("by age keeps what was current lately", async () => {
    const f = open({ coordination: { autoCompaction: { type: "periodic", retentionMs: 60_000 } } });
    for (let i = 0; i < 5; i++) await f.put("k");
    await f.clock.advance(30_000);
    const middle = f.store.revision;
    for (let i = 0; i < 5; i++) await f.put("k");
    await f.clock.advance(36_000);
    expect(f.store.compactRevision).toBe(middle);
    await f.clock.advance(120_000);
    expect(f.store.compactRevision).toBe(f.store.revision);
  });

  test("by count keeps that many revisions, and only the leader proposes", async () => {
    const f = open({ coordination: { autoCompaction: { type: "revision", retention: 10 } } });
    for (let i = 0; i < 30; i++) await f.put("k");
    f.group.stepDown();
    const proposed = f.group.proposalCount;
    await f.clock.advance(301_000);
    expect(f.group.proposalCount).toBe(proposed);
    f.group.lead();
    await f.clock.advance(301_000);
    expect(f.store.compactRevision).toBe(f.store.revision - 10);
  });
});

describe("questions between nodes", () => {
  test("travel as bytes, errors too", async () => {
    for (const question of [
      { type: "lease-renew", id: -5n },
      { type: "lease-time-to-live", id: 5n },
      { type: "learner-ready", member: 3 },
    ] as const) {
      expect(decodeQuestion(encodeQuestion(question))).toEqual(question);
    }
    expect(decodeAnswer(await encodeAnswer(async () => -1))).toBe(-1);
    const failed = await encodeAnswer(async () => {
      throw new EtcdError("NO_LEADER");
    });
    expect(() => decodeAnswer(failed)).toThrow("etcdserver: no leader");
    expect(() => decodeAnswer(new Uint8Array(0))).toThrow(BytesError);
    expect(() => decodeQuestion(new Uint8Array([9]))).toThrow(BytesError);
    await expect(open().group.ask(open().group.nodeId, new Uint8Array([9]))).resolves.toBeInstanceOf(Uint8Array);
  });
});

test("close() leaves no timer and no listener behind", async () => {
  const f = open({ coordination: { autoCompaction: { type: "revision", retention: 1 }, leaseCheckpointMs: 1_000 } });
  await f.put("k");
  f.coordination.close();
  await settle();
  expect(f.clock.timerCount).toBe(0);
});
