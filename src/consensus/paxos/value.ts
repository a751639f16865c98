/**
 * What stands in a slot, and the WAL records that keep it.
 * Source  Lamport 2001, sections 2.2 and 2.5 (what an acceptor remembers).
 * Owns    the value's identity, and its packing into a record whose body is the proposer's body, unchanged.
 *
 * A value's `origin` is the ballot under which it was first proposed. It travels with the value through every later ballot,
 * and the term that the entry is handed up with is made of it (L4): so all replicas hand up the same. A proposer proposes one value a slot
 * and ballot, so (slot, origin) names a value for good.
 *
 * A stop entry is the configuration that ends an era. Its origin is its proposer's opening ballot of the next era
 * (`openingBallot`): so the era in force after any entry is the era of that entry's term.
 *
 * A slot's record: index = slot, term = ballot of the acceptance (always of the slot's era), chain = origin's round and node,
 * and the tag below; body and bodyCrc as proposed. Not part of a prefix log: it replaces its own slot and no other.
 */
import { ByteReader, ByteWriter, BytesError, EMPTY_BYTES } from "../../base/bytes.ts";
import { type LogIndex, logIndex } from "../../base/ids.ts";
import { encodeConfiguration } from "../contract/configuration.ts";
import type { LogStart } from "../contract/core.ts";
import { acceptedKind, type EntryKind, type LogRecord, RecordKind } from "../contract/record.ts";
import { type Ballot, ballotFromLow, eraOf, lowOf } from "./ballot.ts";

export const ValueTag = { noop: 0, command: 1, stop: 2 } as const;
export type ValueTag = (typeof ValueTag)[keyof typeof ValueTag];

export interface SlotValue {
  readonly tag: ValueTag;
  readonly origin: Ballot;
  readonly body: Uint8Array;
  readonly bodyCrc: number;
}

/** A value without its bytes. */
export interface Digest {
  readonly tag: ValueTag;
  readonly origin: Ballot;
  readonly bodyCrc: number;
  readonly length: number;
}

/** Throws `BytesError` on a number that is no tag. */
export function readTag(tag: number): ValueTag {
  if (tag > ValueTag.stop) throw new BytesError(`unknown kind of value ${tag}`);
  return tag as ValueTag; // the check above makes it one
}

export const digestOf = (value: SlotValue): Digest => ({
  tag: value.tag,
  origin: value.origin,
  bodyCrc: value.bodyCrc,
  length: value.body.length,
});

export const sameValue = (a: SlotValue | Digest, b: SlotValue | Digest): boolean =>
  a.origin === b.origin && a.tag === b.tag && a.bodyCrc === b.bodyCrc;

export const kindOf = (tag: ValueTag): EntryKind =>
  tag === ValueTag.command ? RecordKind.command : tag === ValueTag.noop ? RecordKind.noop : RecordKind.configuration;

/** The era of the slot in which a value stands. */
export const slotEra = (value: SlotValue | Digest): number =>
  eraOf(value.origin) - (value.tag === ValueTag.stop ? 1 : 0);

export function acceptedRecord(index: LogIndex, ballot: Ballot, value: SlotValue): LogRecord {
  const chain = (lowOf(value.origin) * 4 + value.tag) >>> 0;
  return {
    kind: acceptedKind(kindOf(value.tag)),
    index,
    term: ballot,
    chain,
    body: value.body,
    bodyCrc: value.bodyCrc,
  };
}

export function readAccepted(record: LogRecord): SlotValue {
  const tag = readTag(record.chain & 3);
  const era = eraOf(record.term) + (tag === ValueTag.stop ? 1 : 0);
  return { tag, origin: ballotFromLow(era, record.chain >>> 2), body: record.body, bodyCrc: record.bodyCrc };
}

/** Sticky: the acceptor's promise, and whether it still may have been wiped (`isBlank` of `replica.ts`). */
export function promiseRecord(promised: Ballot, isBlank: boolean, crc32: (bytes: Uint8Array) => number): LogRecord {
  const body = new ByteWriter(1).u8(isBlank ? 1 : 0).finish();
  return { kind: RecordKind.promise, index: logIndex(0), term: promised, chain: 0, body, bodyCrc: crc32(body) };
}

export function readPromise(record: LogRecord): { readonly promised: Ballot; readonly isBlank: boolean } {
  const input = new ByteReader(record.body);
  const flags = input.u8();
  input.end();
  if (flags > 1) throw new BytesError(`unknown flags of a promise ${flags}`);
  return { promised: record.term, isBlank: flags === 1 };
}

/** Sticky: every slot up to `index` is chosen, and its record lies before this one. */
export function chosenRecord(index: LogIndex, crc32: (bytes: Uint8Array) => number): LogRecord {
  const body = EMPTY_BYTES;
  return { kind: RecordKind.chosen, index, term: ballotFromLow(0, 0), chain: 0, body, bodyCrc: crc32(body) };
}

/** Sticky: up to `start` the log is in a checkpoint, and with which members it goes on. */
export function startRecord(start: LogStart, crc32: (bytes: Uint8Array) => number): LogRecord {
  const { index, term, chain, configuration } = start;
  const body = encodeConfiguration(configuration);
  return { kind: RecordKind.start, index, term, chain, body, bodyCrc: crc32(body) };
}
