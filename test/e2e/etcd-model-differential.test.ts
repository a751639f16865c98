/**
 * The same requests to Debian's etcd and to our coordination behind the door, from two empty stores: every answer must be the
 * same, revisions included; only ids, terms and times are put aside. Fixed cases first, then random walks from a seed: a walk
 * that fails prints its seed and the step.
 */
import { describe, expect, it } from "vitest";
import { Prng } from "../../src/base/prng.ts";
import * as m from "../../src/coordination/messages.ts";
import { toJson } from "../../src/doors/etcd/proto-json.ts";
import { startEtcd } from "../../src/doors/testing/etcd-process.ts";
import { frame, GrpcClient } from "../../src/doors/testing/grpc-client.ts";
import { openLocalDoor } from "../../src/doors/testing/local-door.ts";

interface Step {
  readonly path: string;
  readonly request: Uint8Array;
  /** Of the answer, as printed JSON. */
  readonly read: (bytes: Uint8Array) => unknown;
}

type Codec<In> = { encode(value: In): Uint8Array };
type Printed = Parameters<typeof toJson>[0] & { decode(bytes: Uint8Array): unknown };

function step<In>(path: string, request: Codec<In>, response: Printed, value: In): Step {
  return {
    path,
    request: request.encode(value).slice(),
    read: (bytes) => toJson(response, response.decode(bytes)),
  };
}

const kv = "/etcdserverpb.KV";
const put = (value: Parameters<typeof m.PutRequest.encode>[0]): Step =>
  step(`${kv}/Put`, m.PutRequest, m.PutResponse, value);
const range = (value: Parameters<typeof m.RangeRequest.encode>[0]): Step =>
  step(`${kv}/Range`, m.RangeRequest, m.RangeResponse, value);
const remove = (value: Parameters<typeof m.DeleteRangeRequest.encode>[0]): Step =>
  step(`${kv}/DeleteRange`, m.DeleteRangeRequest, m.DeleteRangeResponse, value);
const txn = (value: m.TxnRequestInput): Step => step(`${kv}/Txn`, m.TxnRequest, m.TxnResponse, value);
const compact = (revision: number): Step =>
  step(`${kv}/Compact`, m.CompactionRequest, m.CompactionResponse, { revision, physical: true });
const grant = (id: bigint, ttl: number): Step =>
  step("/etcdserverpb.Lease/LeaseGrant", m.LeaseGrantRequest, m.LeaseGrantResponse, { id, ttl });
const revoke = (id: bigint): Step =>
  step("/etcdserverpb.Lease/LeaseRevoke", m.LeaseRevokeRequest, m.LeaseRevokeResponse, { id });
const leases = (): Step => step("/etcdserverpb.Lease/LeaseLeases", m.LeaseLeasesRequest, m.LeaseLeasesResponse, {});
const timeToLive = (id: bigint): Step =>
  step("/etcdserverpb.Lease/LeaseTimeToLive", m.LeaseTimeToLiveRequest, m.LeaseTimeToLiveResponse, { id, keys: true });

const bytes = (text: string): Uint8Array => Buffer.from(text);

/** An answer without what two clusters cannot have in common. */
function plain(json: unknown): unknown {
  return JSON.parse(
    JSON.stringify(json, (key: string, value: unknown) => {
      if (key === "cluster_id" || key === "member_id" || key === "raft_term") return undefined;
      if (key === "TTL") return undefined; // seconds that pass while the test runs
      // etcd lists leases by what is left of them, and their keys in no order at all; we by id and by key.
      if ((key === "leases" || key === "keys") && Array.isArray(value)) {
        return value.map((one) => JSON.stringify(one)).sort();
      }
      return value;
    }),
  ) as unknown;
}

async function ask(client: GrpcClient, { path, request, read }: Step): Promise<unknown> {
  const answer = await client.call(path, { chunks: [frame(request)], timeoutMs: 5_000 });
  const message = answer.messages[0];
  return {
    code: answer.grpcStatus,
    message: answer.grpcMessage ?? "",
    answer: message === undefined ? undefined : plain(read(message)),
  };
}

/** Runs the steps on two fresh stores and compares after each. */
async function compare(steps: Iterable<Step>, name = ""): Promise<void> {
  const etcd = await startEtcd();
  const door = await openLocalDoor();
  const clients = [new GrpcClient(etcd.address), new GrpcClient(door.address)] as const;
  try {
    let index = 0;
    for (const one of steps) {
      const [theirs, ours] = await Promise.all(clients.map((client) => ask(client, one)));
      expect(
        ours,
        `${name} step ${index++}: ${one.path} ${Buffer.from(one.request).toString("hex").slice(0, 200)}`,
      ).toEqual(theirs);
    }
  } finally {
    for (const client of clients) client.close();
    await door.close();
    await etcd.stop();
  }
}

const operation = (value: m.RequestOpInput["request"]): m.RequestOpInput => ({ request: value });
const puts = (count: number): readonly m.RequestOpInput[] =>
  Array.from({ length: count }, (_, i) => operation({ type: "requestPut", value: { key: bytes(`k${i}`) } }));

describe("requests at the edges", () => {
  it("are answered as etcd answers them", async () => {
    const key = bytes("a");
    await compare([
      put({}),
      put({ key, value: bytes("1") }),
      put({ key, value: bytes("2"), prevKv: true }),
      put({ key, value: bytes("3"), lease: 99n }),
      put({ key, value: bytes("3"), ignoreValue: true }),
      put({ key, ignoreValue: true }),
      put({ key: bytes("none"), ignoreValue: true }),
      put({ key, ignoreLease: true, lease: 5n }),
      put({ key, value: bytes("4"), ignoreLease: true }),
      put({ key: bytes("none"), ignoreLease: true }),
      put({ key, value: new Uint8Array(1_572_864) }),
      range({}),
      range({ key }),
      range({ key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) }),
      range({ key: bytes("z"), rangeEnd: bytes("a") }),
      range({ key, rangeEnd: bytes("a") }),
      range({ key, revision: 2 }),
      range({ key, revision: 999 }),
      range({ key, revision: -1 }),
      range({ key, limit: -1 }),
      range({ key, serializable: true }),
      range({ key, keysOnly: true }),
      range({ key, countOnly: true }),
      range({ key, sortOrder: 9 }),
      // No range with an unknown sort target: etcd 3.4 panics on it, the whole process.
      remove({}),
      remove({ key: bytes("none") }),
      remove({ key, prevKv: true }),
      remove({ key, prevKv: true }),
      txn({}),
      txn({ success: puts(128) }),
      txn({ success: puts(129) }),
      txn({ compare: Array.from({ length: 129 }, () => ({ key })) }),
      txn({ failure: puts(129) }),
      txn({ success: [{}] }),
      txn({ success: [operation({ type: "requestPut", value: {} })] }),
      txn({ success: [operation({ type: "requestRange", value: {} })] }),
      txn({ compare: [{}] }),
      txn({
        success: [
          operation({ type: "requestPut", value: { key, value: bytes("1") } }),
          operation({ type: "requestPut", value: { key, value: bytes("2") } }),
        ],
      }),
      txn({
        success: [
          operation({ type: "requestPut", value: { key, value: bytes("1") } }),
          operation({ type: "requestDeleteRange", value: { key, rangeEnd: bytes("b") } }),
        ],
      }),
      txn({
        success: [operation({ type: "requestPut", value: { key } })],
        failure: [operation({ type: "requestPut", value: { key } })],
      }),
      txn({
        success: [
          operation({
            type: "requestTxn",
            value: { success: [operation({ type: "requestPut", value: { key, value: bytes("in") } })] },
          }),
          operation({ type: "requestRange", value: { key } }),
        ],
      }),
      txn({ success: [operation({ type: "requestRange", value: { key, revision: 999 } })] }),
      txn({ success: [operation({ type: "requestPut", value: { key, lease: 77n } })] }),
      compact(999),
      compact(2),
      compact(2),
      compact(1),
      compact(0),
      compact(-1),
      range({ key, revision: 1 }),
      range({ key, revision: 2 }),
      grant(6n, 0), // raised to the least TTL, two seconds
      revoke(6n),
      grant(7n, 100),
      grant(7n, 100),
      grant(8n, 9_000_000_001),
      grant(-5n, 100),
      put({ key: bytes("leased"), lease: 7n }),
      put({ key: bytes("leased2"), lease: 7n }),
      timeToLive(7n),
      timeToLive(1234n),
      leases(),
      revoke(1234n),
      revoke(7n),
      revoke(7n),
      range({ key: bytes("leased"), rangeEnd: bytes("leasee") }),
      leases(),
    ]);
  });
});

describe("random walks", () => {
  for (const seed of [1, 2, 3]) {
    it(`are answered as etcd answers them (seed ${seed})`, async () => {
      await compare(walk(new Prng(seed), 400), `seed ${seed}`);
    });
  }
});

/** A few keys, so that the same one is written, removed and written again. */
function* walk(prng: Prng, length: number): Generator<Step> {
  const below = (bound: number): number => prng.u32() % bound;
  const flip = (): boolean => below(2) === 0;
  const key = (): Uint8Array => bytes(["a", "aa", "ab", "b", "c", "ca"][below(6)] ?? "a");
  const rangeEnd = (): Uint8Array => bytes(["", "", "b", "c", "z", "\0"][below(6)] ?? "");
  const value = (): Uint8Array => bytes(`v${below(5)}`);
  /** Grows about as the store's revision does; past, present and a little future are all asked for. */
  let guess = 2;
  const revision = (): number => (flip() ? 0 : Math.max(0, guess - below(12) + 2));
  const rangeOf = (): Parameters<typeof m.RangeRequest.encode>[0] => ({
    key: key(),
    rangeEnd: rangeEnd(),
    limit: below(3) === 0 ? below(4) : 0,
    revision: revision(),
    sortOrder: below(3),
    sortTarget: below(5),
    serializable: flip(),
    keysOnly: below(5) === 0,
    countOnly: below(6) === 0,
    minModRevision: below(4) === 0 ? revision() : 0,
    maxModRevision: below(4) === 0 ? revision() : 0,
    minCreateRevision: below(4) === 0 ? revision() : 0,
    maxCreateRevision: below(4) === 0 ? revision() : 0,
  });
  const putOf = (): Parameters<typeof m.PutRequest.encode>[0] => ({
    key: key(),
    value: below(8) === 0 ? bytes("") : value(),
    prevKv: flip(),
    lease: below(6) === 0 ? BigInt(below(3) + 1) : 0n,
    ignoreLease: below(10) === 0,
    ignoreValue: below(12) === 0,
  });
  const compareOf = (): Parameters<typeof m.Compare.encode>[0] => {
    const base = { key: key(), rangeEnd: below(3) === 0 ? rangeEnd() : bytes(""), result: below(4) };
    const revisionOf = revision();
    switch (below(5)) {
      case 0:
        return { ...base, target: 0, targetUnion: { type: "version", value: below(4) } };
      case 1:
        return { ...base, target: 1, targetUnion: { type: "createRevision", value: revisionOf } };
      case 2:
        return { ...base, target: 2, targetUnion: { type: "modRevision", value: revisionOf } };
      case 3:
        return { ...base, target: 3, targetUnion: { type: "value", value: value() } };
      default:
        return { ...base, target: 4, targetUnion: { type: "lease", value: BigInt(below(4)) } };
    }
  };
  const operations = (depth: number): readonly m.RequestOpInput[] =>
    Array.from({ length: below(4) }, (): m.RequestOpInput => {
      switch (below(depth > 0 ? 4 : 3)) {
        case 0:
          return operation({ type: "requestPut", value: putOf() });
        case 1:
          return operation({ type: "requestRange", value: rangeOf() });
        case 2:
          return operation({ type: "requestDeleteRange", value: { key: key(), rangeEnd: rangeEnd(), prevKv: flip() } });
        default:
          return operation({ type: "requestTxn", value: txnOf(depth - 1) });
      }
    });
  const txnOf = (depth: number): m.TxnRequestInput => ({
    compare: Array.from({ length: below(3) }, compareOf) as NonNullable<m.TxnRequestInput["compare"]>,
    success: operations(depth),
    failure: operations(depth),
  });

  for (let i = 0; i < length; i++) {
    switch (below(12)) {
      case 0:
      case 1:
      case 2:
        guess++;
        yield put(putOf());
        break;
      case 3:
      case 4:
      case 5:
        yield range(rangeOf());
        break;
      case 6:
        yield remove({ key: key(), rangeEnd: rangeEnd(), prevKv: flip() });
        break;
      case 7:
      case 8:
      case 9:
        guess++;
        yield txn(txnOf(2));
        break;
      case 10:
        yield below(4) === 0 ? compact(Math.max(1, guess - below(15))) : leases();
        break;
      default: {
        const id = BigInt(below(3) + 1);
        const choice = below(3);
        yield choice === 0 ? grant(id, 1_000) : choice === 1 ? revoke(id) : timeToLive(id);
      }
    }
  }
}
