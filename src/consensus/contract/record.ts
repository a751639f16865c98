/**
 * What a consensus core asks the WAL to keep, and gets back at start. An entry of the log *is* its record: the body and
 * its checksum travel unchanged from the proposer's memory to the wire, to the follower's disk and back.
 */
import type { LogIndex, Term } from "../../base/ids.ts";

/**
 * 1–15 are positions in the log; a later record at the same index replaces it and all above it.
 * 16 and up are `sticky`: only the newest of its kind in a group counts, and the WAL carries it forward when it recycles
 * the segment that holds it.
 */
export const RecordKind = {
  /** A batch of commands of the state machine above. */
  command: 1,
  /** The empty entry with which a leader opens its term. */
  noop: 2,
  /** A configuration of members: `encodeConfiguration`. */
  configuration: 3,
  /** Sticky. Raft's durable vote: `term` is the current term, the body names whom it voted for. */
  vote: 16,
  /** Sticky. The log begins after `index`; the body is the configuration in force there. */
  start: 17,
} as const;
export type RecordKind = (typeof RecordKind)[keyof typeof RecordKind];

export const isSticky = (kind: RecordKind): boolean => kind >= 16;

export interface LogRecord {
  readonly kind: RecordKind;
  readonly index: LogIndex;
  readonly term: Term;
  /**
   * Hash over the whole log up to and with this entry (`chainHash`): two logs with the same chain at an index are the same
   * log. Checked on every append, so a breach of log matching stops the node instead of spreading. 0 for sticky records.
   */
  readonly chain: number;
  readonly body: Uint8Array;
  /** CRC-32 of the body, made once by the proposer. */
  readonly bodyCrc: number;
}

/** The next link of the chain: a 32-bit mix of the link before, the term and the body's checksum (murmur3's finaliser). */
export function chainHash(before: number, recordTerm: number, bodyCrc: number): number {
  let h = Math.imul(before ^ 0x9e3779b9, 0x85ebca6b) ^ recordTerm;
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35) ^ bodyCrc;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
