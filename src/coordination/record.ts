/**
 * One change of one key, and how it lies in the engine, in etcd's way: the engine's key is the revision, so that the
 * engine holds history in the order in which it happened.
 *
 *     0x01 main:u64 sub:u64      →  flags, create revision, version, lease, key, value
 *     0x02 lease:u64             →  ttl, remaining ttl
 *     0x03 name                  →  the store's own state, and the group's
 *
 * Integers in engine keys are big-endian: byte order is number order.
 */
import { ByteReader, BytesError, varintSize } from "../base/bytes.ts";
import { AlthingError } from "../base/errors.ts";
import { Slab } from "../base/slab.ts";
import type { KeyValue } from "./messages.ts";

/** `sub` counts the changes within one main revision, from 0. */
export interface HistoryRecord {
  readonly kv: KeyValue;
  readonly sub: number;
  /** A deletion: `kv` holds the key and the revision, nothing else. */
  readonly tombstone: boolean;
  /** The key as a string of its bytes: comparing two such strings is comparing the bytes. */
  readonly name: string;
}

const RECORDS = 1;
const LEASES = 2;
const STATE = 3;
const TOMBSTONE = 1;
const LEASED = 2;

/** Everything of the store lies in [from, to). */
export const storeBounds = { from: new Uint8Array([RECORDS]), to: new Uint8Array([STATE + 1]) } as const;
export const leaseBounds = { from: new Uint8Array([LEASES]), to: new Uint8Array([LEASES + 1]) } as const;

/** Records live until the next checkpoint is written, all of a block at about the same time. */
const slab = new Slab();

function putU64(bytes: Uint8Array, at: number, value: number): void {
  let high = Math.floor(value / 0x1_0000_0000);
  let low = value >>> 0;
  for (let i = 7; i >= 4; i--) {
    bytes[at + i] = low & 0xff;
    low >>>= 8;
  }
  for (let i = 3; i >= 0; i--) {
    bytes[at + i] = high & 0xff;
    high >>>= 8;
  }
}

function getU64(bytes: Uint8Array, at: number): number {
  let value = 0;
  for (let i = 0; i < 8; i++) value = value * 256 + (bytes[at + i] ?? 0);
  return value;
}

export function recordKey(main: number, sub: number): Uint8Array {
  const key = slab.take(17);
  key[0] = RECORDS;
  putU64(key, 1, main);
  putU64(key, 9, sub);
  return key;
}

export function leaseKey(id: bigint): Uint8Array {
  const key = new Uint8Array(9);
  key[0] = LEASES;
  new DataView(key.buffer).setBigUint64(1, BigInt.asUintN(64, id));
  return key;
}

export function leaseIdOf(key: Uint8Array): bigint {
  return new DataView(key.buffer, key.byteOffset, key.byteLength).getBigInt64(1);
}

export function stateKey(name: number): Uint8Array {
  return new Uint8Array([STATE, name]);
}

/** Memory that a record holds, roughly: its bytes and its objects. */
export function recordBytes(record: HistoryRecord): number {
  return record.kv.key.length + record.kv.value.length + 160;
}

export function encodeRecord(record: HistoryRecord): Uint8Array {
  const { kv } = record;
  const leased = kv.lease !== 0n;
  const size =
    1 +
    varintSize(kv.createRevision) +
    varintSize(kv.version) +
    (leased ? 8 : 0) +
    varintSize(kv.key.length) +
    kv.key.length +
    kv.value.length;
  const bytes = slab.take(size);
  bytes[0] = (record.tombstone ? TOMBSTONE : 0) | (leased ? LEASED : 0);
  let at = putVarint(bytes, 1, kv.createRevision);
  at = putVarint(bytes, at, kv.version);
  if (leased) {
    new DataView(bytes.buffer, bytes.byteOffset).setBigInt64(at, kv.lease);
    at += 8;
  }
  at = putVarint(bytes, at, kv.key.length);
  bytes.set(kv.key, at);
  bytes.set(kv.value, at + kv.key.length);
  return bytes;
}

function putVarint(bytes: Uint8Array, at: number, value: number): number {
  while (value >= 0x80) {
    bytes[at++] = (value % 0x80) | 0x80;
    value = Math.floor(value / 0x80);
  }
  bytes[at++] = value;
  return at;
}

/** `latin1` turns the key's bytes into its name. Fails with DATA_CORRUPT: the engine gave something else than was written. */
export function decodeRecord(
  engineKey: Uint8Array,
  bytes: Uint8Array,
  latin1: (bytes: Uint8Array) => string,
): HistoryRecord {
  try {
    if (engineKey.length !== 17 || engineKey[0] !== RECORDS) throw new BytesError("not a record's key");
    const modRevision = getU64(engineKey, 1);
    const input = new ByteReader(bytes);
    const flags = input.u8();
    const createRevision = input.varint();
    const version = input.varint();
    let lease = 0n;
    if ((flags & LEASED) !== 0) {
      const raw = input.raw(8);
      lease = new DataView(raw.buffer, raw.byteOffset, 8).getBigInt64(0);
    }
    const key = input.bytes();
    const value = input.raw(input.remaining);
    return {
      kv: { key, createRevision, modRevision, version, value, lease },
      sub: getU64(engineKey, 9),
      tombstone: (flags & TOMBSTONE) !== 0,
      name: latin1(key),
    };
  } catch (cause) {
    if (!(cause instanceof BytesError)) throw cause;
    throw new AlthingError("DATA_CORRUPT", "Cannot read a revision: the stored record is damaged", { cause });
  }
}

/** The inverse of `latin1`. */
export function bytesOfName(name: string): Uint8Array {
  const bytes = new Uint8Array(name.length);
  for (let i = 0; i < name.length; i++) bytes[i] = name.charCodeAt(i);
  return bytes;
}
