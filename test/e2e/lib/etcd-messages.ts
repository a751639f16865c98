/**
 * The etcd v3 messages that the test clients send and read. Field numbers: etcd's `rpc.proto` and `kv.proto`
 * (etcd.io/docs/v3.5/dev-guide/api_reference_v3).
 */
import { bytesOf, decodeMessage, encodeMessage, encodeNested, numberOf } from "./protobuf-lite.ts";

export const methods = {
  put: "/etcdserverpb.KV/Put",
  range: "/etcdserverpb.KV/Range",
  deleteRange: "/etcdserverpb.KV/DeleteRange",
  txn: "/etcdserverpb.KV/Txn",
  status: "/etcdserverpb.Maintenance/Status",
} as const;

export interface KeyValue {
  readonly key: string;
  readonly value: Uint8Array;
  readonly modRevision: bigint;
  /** How often the key was put since it was created. */
  readonly version: bigint;
}

export interface Header {
  readonly memberId: bigint;
  readonly revision: bigint;
  readonly raftTerm: bigint;
}

const text = new TextDecoder();
const utf8 = (value: string): Uint8Array => Buffer.from(value, "utf8");

export function putRequest(key: string, value: Uint8Array): Buffer {
  return encodeMessage([
    [1, utf8(key)],
    [2, value],
  ]);
}

/** One key, or with `end` a range up to it; `end` of one zero byte reads to the end of the keyspace. */
export function rangeRequest(
  key: string,
  options: { readonly end?: string; readonly limit?: number; readonly serializable?: boolean } = {},
): Buffer {
  return encodeMessage([
    [1, utf8(key)],
    [2, utf8(options.end ?? "")],
    [3, options.limit ?? 0],
    [7, options.serializable ?? false],
  ]);
}

export function deleteRequest(key: string): Buffer {
  return encodeMessage([[1, utf8(key)]]);
}

/** Puts `next` if the key's value is `expected`, where `undefined` is: the key does not exist. */
export function compareAndPutRequest(key: string, expected: Uint8Array | undefined, next: Uint8Array): Buffer {
  const compare =
    expected === undefined
      ? Buffer.concat([
          encodeMessage([
            [2, 1],
            [3, utf8(key)],
          ]),
          Buffer.from([4 << 3, 0]),
        ]) // create revision = 0
      : encodeMessage([
          [2, 3],
          [3, utf8(key)],
          [7, expected],
        ]);
  return Buffer.concat([encodeNested(1, compare), encodeNested(2, encodeNested(2, putRequest(key, next)))]);
}

export const statusRequest: Buffer = Buffer.alloc(0);

/** The header is field 1 of every answer. */
export function decodeHeader(message: Uint8Array): Header {
  const header = decodeMessage(bytesOf(decodeMessage(message), 1));
  return { memberId: numberOf(header, 2), revision: numberOf(header, 3), raftTerm: numberOf(header, 4) };
}

export function decodeRange(message: Uint8Array): { readonly kvs: readonly KeyValue[]; readonly count: number } {
  const fields = decodeMessage(message);
  const kvs = fields
    .filter((found) => found.field === 2)
    .map((found) => {
      const kv = decodeMessage(found.bytes);
      return {
        key: text.decode(bytesOf(kv, 1)),
        value: bytesOf(kv, 5),
        modRevision: numberOf(kv, 3),
        version: numberOf(kv, 4),
      };
    });
  return { kvs, count: Number(numberOf(fields, 4)) };
}

export function decodeDeleted(message: Uint8Array): number {
  return Number(numberOf(decodeMessage(message), 2));
}

/** Did the comparison hold? */
export function decodeSucceeded(message: Uint8Array): boolean {
  return numberOf(decodeMessage(message), 2) === 1n;
}

export interface NodeStatus {
  readonly memberId: bigint;
  /** 0: this node knows no leader. */
  readonly leader: bigint;
  readonly raftTerm: bigint;
  readonly raftIndex: bigint;
  readonly version: string;
}

export function decodeStatus(message: Uint8Array): NodeStatus {
  const fields = decodeMessage(message);
  return {
    memberId: decodeHeader(message).memberId,
    version: text.decode(bytesOf(fields, 2)),
    leader: numberOf(fields, 4),
    raftIndex: numberOf(fields, 5),
    raftTerm: numberOf(fields, 6),
  };
}
