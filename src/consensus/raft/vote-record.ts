/**
 * The sticky record that keeps a replica's term and vote.
 * Source  Ongaro & Ousterhout 2014, figure 2 (currentTerm, votedFor).
 *
 * Body: varint of the node voted for (0: none), then a byte of flags: 1 blank, 2 unreadable.
 */
import { ByteReader, ByteWriter } from "../../base/bytes.ts";
import { logIndex, type NodeId, nodeId, type Term } from "../../base/ids.ts";
import { type LogRecord, RecordKind } from "../contract/record.ts";

/** `unreadable`: given to somebody, but the record that named them was lost. Nobody gets it again in that term. */
export type VotedFor = NodeId | "unreadable" | undefined;

export interface Vote {
  readonly term: Term;
  readonly votedFor: VotedFor;
  /** Its writer had never voted and held nothing (R9). */
  readonly isBlank: boolean;
}

const BLANK = 1;
const UNREADABLE = 2;

export function encodeVote(vote: Vote, crc32: (bytes: Uint8Array) => number): LogRecord {
  const { term, votedFor, isBlank } = vote;
  const named = votedFor === undefined || votedFor === "unreadable" ? 0 : votedFor;
  const flags = (isBlank ? BLANK : 0) | (votedFor === "unreadable" ? UNREADABLE : 0);
  const body = new ByteWriter(16).varint(named).u8(flags).finish();
  return { kind: RecordKind.vote, index: logIndex(0), term, chain: 0, body, bodyCrc: crc32(body) };
}

/** Throws `BytesError` on a body that no version has written. */
export function decodeVote(record: LogRecord): Vote {
  const input = new ByteReader(record.body);
  const named = input.varint();
  const flags = input.remaining > 0 ? input.u8() : 0;
  input.end();
  const votedFor = (flags & UNREADABLE) !== 0 ? "unreadable" : named === 0 ? undefined : nodeId(named);
  return { term: record.term, votedFor, isBlank: (flags & BLANK) !== 0 };
}
