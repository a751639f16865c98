/**
 * Raft's messages and their bytes. Entries travel as they lie in the WAL: body and checksum unchanged.
 * Source  Ongaro & Ousterhout 2014, figure 2; Ongaro 2014, sections 3.10 (TimeoutNow), 6.4 (ReadIndex), 9.6 (pre-vote).
 *
 * `round` is the freshness of a leader's confirmation: a counter that rises with every round of heartbeats within a term
 * and comes back in the answer, so that an old answer never confirms a new read.
 */
import { ByteReader, ByteWriter, BytesError } from "../../base/bytes.ts";
import { type LogIndex, logIndex, type Term, term } from "../../base/ids.ts";
import { decodeConfiguration } from "../contract/configuration.ts";
import { type LogRecord, RecordKind } from "../contract/record.ts";

export interface AppendRequest {
  readonly type: "append";
  readonly term: Term;
  readonly round: number;
  readonly previousIndex: LogIndex;
  readonly previousTerm: Term;
  readonly commit: LogIndex;
  readonly entries: readonly LogRecord[];
}

export interface AppendResponse {
  readonly type: "append-response";
  readonly term: Term;
  readonly round: number;
  /** Accepted: the log equals the leader's up to here, durably. */
  readonly match: LogIndex;
  /** Refused: the request's previous index; 0 when accepted. */
  readonly refused: LogIndex;
  /** Refused: the last index that may match, and its term. */
  readonly hintIndex: LogIndex;
  readonly hintTerm: Term;
}

export interface Heartbeat {
  readonly type: "heartbeat";
  readonly term: Term;
  readonly round: number;
  /** Never above what the receiver is known to hold. */
  readonly commit: LogIndex;
}

export interface HeartbeatResponse {
  readonly type: "heartbeat-response";
  readonly term: Term;
  readonly round: number;
  /** Last index in the receiver's memory, durable or not: shows the leader that an append was lost. */
  readonly last: LogIndex;
}

export interface VoteRequest {
  readonly type: "vote";
  /** The term the sender would lead, or with `pre` would like to. */
  readonly term: Term;
  readonly pre: boolean;
  /** Asked by the old leader to stand (TimeoutNow): receivers do not wait for it to fall silent. */
  readonly transfer: boolean;
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  /** The data folder that the sender's configuration names for the receiver; 0: none. */
  readonly boundTo: number;
}

export interface VoteResponse {
  readonly type: "vote-response";
  readonly term: Term;
  readonly pre: boolean;
  readonly granted: boolean;
  /** The term that was asked for. */
  readonly asked: Term;
}

export interface TimeoutNow {
  readonly type: "timeout-now";
  readonly term: Term;
}

export type RaftMessage =
  | AppendRequest
  | AppendResponse
  | Heartbeat
  | HeartbeatResponse
  | VoteRequest
  | VoteResponse
  | TimeoutNow;

const tags = {
  append: 1,
  "append-response": 2,
  heartbeat: 3,
  "heartbeat-response": 4,
  vote: 5,
  "vote-response": 6,
  "timeout-now": 7,
} as const satisfies Record<RaftMessage["type"], number>;

const ENTRY_OVERHEAD = 24;

export function encodeRaftMessage(message: RaftMessage): Uint8Array {
  switch (message.type) {
    case "append": {
      let size = 64;
      for (const entry of message.entries) size += entry.body.length + ENTRY_OVERHEAD;
      const out = new ByteWriter(size).u8(tags.append).varint(message.term).varint(message.round);
      out.varint(message.previousIndex).varint(message.previousTerm).varint(message.commit);
      out.varint(message.entries.length);
      // Indexes are consecutive from previousIndex + 1, so they are not sent.
      for (const e of message.entries) out.u8(e.kind).varint(e.term).u32(e.chain).u32(e.bodyCrc).bytes(e.body);
      return out.finish();
    }
    case "append-response": {
      const out = new ByteWriter(32).u8(tags["append-response"]).varint(message.term).varint(message.round);
      return out
        .varint(message.match)
        .varint(message.refused)
        .varint(message.hintIndex)
        .varint(message.hintTerm)
        .finish();
    }
    case "heartbeat":
      return new ByteWriter(24)
        .u8(tags.heartbeat)
        .varint(message.term)
        .varint(message.round)
        .varint(message.commit)
        .finish();
    case "heartbeat-response": {
      const out = new ByteWriter(24).u8(tags["heartbeat-response"]).varint(message.term);
      return out.varint(message.round).varint(message.last).finish();
    }
    case "vote": {
      const out = new ByteWriter(32).u8(tags.vote).varint(message.term);
      out.u8((message.pre ? 1 : 0) | (message.transfer ? 2 : 0));
      return out.varint(message.lastIndex).varint(message.lastTerm).u53(message.boundTo).finish();
    }
    case "vote-response": {
      const out = new ByteWriter(24).u8(tags["vote-response"]).varint(message.term);
      return out
        .u8((message.pre ? 1 : 0) | (message.granted ? 2 : 0))
        .varint(message.asked)
        .finish();
    }
    case "timeout-now":
      return new ByteWriter(8).u8(tags["timeout-now"]).varint(message.term).finish();
  }
}

/** Throws `BytesError` on anything that `encodeRaftMessage` does not write. Bodies are views of `frame`. */
export function decodeRaftMessage(frame: Uint8Array): RaftMessage {
  const input = new ByteReader(frame);
  const message = decodeBody(input);
  input.end();
  return message;
}

function decodeBody(input: ByteReader): RaftMessage {
  const tag = input.u8();
  const messageTerm = term(input.varint());
  switch (tag) {
    case tags.append: {
      const round = input.varint();
      const previousIndex = logIndex(input.varint());
      const previousTerm = term(input.varint());
      const commit = logIndex(input.varint());
      const count = input.varint();
      if (count > input.remaining) throw new BytesError("more entries than bytes");
      if (previousIndex + count > Number.MAX_SAFE_INTEGER) throw new BytesError("log index beyond 2^53");
      const entries: LogRecord[] = [];
      for (let i = 1; i <= count; i++) entries.push(readEntry(input, logIndex(previousIndex + i)));
      return { type: "append", term: messageTerm, round, previousIndex, previousTerm, commit, entries };
    }
    case tags["append-response"]:
      return {
        type: "append-response",
        term: messageTerm,
        round: input.varint(),
        match: logIndex(input.varint()),
        refused: logIndex(input.varint()),
        hintIndex: logIndex(input.varint()),
        hintTerm: term(input.varint()),
      };
    case tags.heartbeat:
      return { type: "heartbeat", term: messageTerm, round: input.varint(), commit: logIndex(input.varint()) };
    case tags["heartbeat-response"]:
      return { type: "heartbeat-response", term: messageTerm, round: input.varint(), last: logIndex(input.varint()) };
    case tags.vote: {
      const flags = input.u8();
      const lastIndex = logIndex(input.varint());
      const pre = (flags & 1) !== 0;
      const transfer = (flags & 2) !== 0;
      const lastTerm = term(input.varint());
      return { type: "vote", term: messageTerm, pre, transfer, lastIndex, lastTerm, boundTo: input.u53() };
    }
    case tags["vote-response"]: {
      const flags = input.u8();
      const pre = (flags & 1) !== 0;
      const granted = (flags & 2) !== 0;
      return { type: "vote-response", term: messageTerm, pre, granted, asked: term(input.varint()) };
    }
    case tags["timeout-now"]:
      return { type: "timeout-now", term: messageTerm };
    default:
      throw new BytesError(`unknown raft message ${tag}`);
  }
}

function readEntry(input: ByteReader, index: LogIndex): LogRecord {
  const kind = input.u8();
  if (kind < 1 || kind > 3) throw new BytesError(`not an entry: kind ${kind}`);
  const entryTerm = term(input.varint());
  const chain = input.u32();
  const bodyCrc = input.u32();
  const body = input.bytes();
  if (kind === RecordKind.configuration) decodeConfiguration(body); // refused here, before it is in a log
  // The range check above makes the cast true.
  return { kind: kind as RecordKind, index, term: entryTerm, chain, bodyCrc, body };
}
