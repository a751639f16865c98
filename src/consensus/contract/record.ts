/**
 * What a consensus core asks the WAL to keep, and gets back at start. An entry of the log *is* its record: the body and
 * its checksum travel unchanged from the proposer's memory to the wire, to the follower's disk and back.
 */
import type { LogIndex, Term } from "../../base/ids.ts";

/**
 * What a record replaces is told by its number, so that a log that holds kinds of a later version can still be recovered:
 *
 *   1–7    entries, positions in a log without holes: a later one at the same index replaces it and all above it
 *   8–15   slots: a later one at the same slot replaces only that one, and slots may be missing between others
 *   16 …   sticky: only the newest of its kind in a group counts, and the WAL carries it forward when it recycles the
 *          segment that holds it
 */
export const RecordKind = {
  /** A batch of commands of the state machine above. */
  command: 1,
  /** The empty entry with which a leader opens its term. */
  noop: 2,
  /** A configuration of members: `encodeConfiguration`. */
  configuration: 3,
  /**
   * Slots. What a Paxos acceptor has accepted: `index` is the slot, `term` the ballot as one number that orders as ballots
   * do, the body the value. The kind says which kind of entry the value becomes when it is chosen: `chosenKind`.
   */
  acceptedCommand: 9,
  acceptedNoop: 10,
  acceptedConfiguration: 11,
  /** Sticky. Raft's durable vote: `term` is the current term, the body names whom it voted for. */
  vote: 16,
  /** Sticky. The log begins after `index`; the body is the configuration in force there. */
  start: 17,
  /** Sticky. What a Paxos acceptor has promised: `term` is the ballot. */
  promise: 18,
  /** Sticky. Every slot up to `index` is known to be chosen. */
  chosen: 19,
} as const;
export type RecordKind = (typeof RecordKind)[keyof typeof RecordKind];

const SLOT_KINDS = 8;
const STICKY_KINDS = 16;

export const isEntry = (kind: number): boolean => kind < SLOT_KINDS;
export const isSlot = (kind: number): boolean => kind >= SLOT_KINDS && kind < STICKY_KINDS;
export const isSticky = (kind: number): boolean => kind >= STICKY_KINDS;

export type EntryKind = (typeof RecordKind)["command" | "noop" | "configuration"];
export type SlotKind = (typeof RecordKind)["acceptedCommand" | "acceptedNoop" | "acceptedConfiguration"];

/** The kind of slot that holds such an entry, accepted and perhaps never chosen. */
export function acceptedKind(kind: EntryKind): SlotKind {
  switch (kind) {
    case RecordKind.command:
      return RecordKind.acceptedCommand;
    case RecordKind.noop:
      return RecordKind.acceptedNoop;
    case RecordKind.configuration:
      return RecordKind.acceptedConfiguration;
  }
}

/** The kind of entry that an accepted value becomes when it is chosen. */
export function chosenKind(kind: SlotKind): EntryKind {
  switch (kind) {
    case RecordKind.acceptedCommand:
      return RecordKind.command;
    case RecordKind.acceptedNoop:
      return RecordKind.noop;
    case RecordKind.acceptedConfiguration:
      return RecordKind.configuration;
  }
}

export interface LogRecord {
  readonly kind: RecordKind;
  readonly index: LogIndex;
  readonly term: Term;
  /**
   * Hash over the whole log up to and with this entry (`chainHash`): two logs with the same chain at an index are the same
   * log. Checked on every append, so a breach of log matching stops the node instead of spreading. What a slot keeps here
   * is its engine's own, and kept as it is; 0 for sticky records.
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
