/**
 * The messages of Multi-Paxos and their bytes. Values travel as they lie in the WAL: body and checksum unchanged.
 * Source  Lamport 2001, section 2.2 (`prepare`, `promise`, `accept`, `accepted`); reference of `round`: Ongaro 2014, section 6.4
 *         (a confirmation begun after the read came); `canvass` is a pre-vote (section 9.6), `stand-now` a TimeoutNow (3.10).
 *
 * Every frame begins with two bytes that no frame of another engine begins with, so that a member that runs another engine
 * is refused and not misread.
 */
import { ByteReader, ByteWriter, BytesError } from "../../base/bytes.ts";
import { type LogIndex, logIndex, term } from "../../base/ids.ts";
import type { Ballot } from "./ballot.ts";
import { type Digest, readTag, type SlotValue } from "./value.ts";

/** "Would you promise me a ballot?" Binds nobody. */
export interface Canvass {
  readonly type: "canvass";
  readonly attempt: number;
  readonly era: number;
  readonly chosen: LogIndex;
  /** The asker holds nothing. */
  readonly isBlank: boolean;
}

export interface CanvassReply {
  readonly type: "canvass-reply";
  readonly attempt: number;
  readonly granted: boolean;
  readonly promised: Ballot;
  readonly chosen: LogIndex;
}

export interface PaxosPrepare {
  readonly type: "prepare";
  readonly ballot: Ballot;
  /** Everything up to here is chosen and known to the proposer. */
  readonly chosen: LogIndex;
  readonly isBlank: boolean;
  /** Asked by the old leader to stand: receivers do not wait for it to fall silent. */
  readonly transfer: boolean;
  /** The receiver has promised already: only says that the proposer is alive. */
  readonly hold: boolean;
}

/** What an acceptor has accepted in one slot. `value` is left out when it is large. */
export interface Report {
  readonly index: LogIndex;
  readonly ballot: Ballot;
  readonly digest: Digest;
  readonly value: SlotValue | undefined;
}

export interface PaxosPromise {
  readonly type: "promise";
  readonly ballot: Ballot;
  readonly chosen: LogIndex;
  /** Slots up to here are trimmed: they are chosen, and no longer in the log. */
  readonly start: LogIndex;
  readonly part: number;
  readonly parts: number;
  readonly reports: readonly Report[];
}

export interface Refusal {
  readonly type: "refusal";
  /** The ballot that was refused. */
  readonly ballot: Ballot;
  readonly promised: Ballot;
  readonly chosen: LogIndex;
  readonly why: RefusalWhy;
}

export const refusalWhys = ["promised", "behind"] as const;
export type RefusalWhy = (typeof refusalWhys)[number];

/** Values of consecutive slots from `first`. */
export interface PaxosAccept {
  readonly type: "accept";
  readonly ballot: Ballot;
  readonly chosen: LogIndex;
  readonly first: LogIndex;
  readonly values: readonly SlotValue[];
}

export interface PaxosAccepted {
  readonly type: "accepted";
  readonly ballot: Ballot;
  readonly chosen: LogIndex;
  /** Pairs of first and last slot, in any order. */
  readonly ranges: readonly (readonly [LogIndex, LogIndex])[];
}

export interface Beat {
  readonly type: "beat";
  readonly ballot: Ballot;
  readonly round: number;
  readonly chosen: LogIndex;
}

export interface BeatReply {
  readonly type: "beat-reply";
  readonly ballot: Ballot;
  readonly round: number;
  readonly chosen: LogIndex;
  /** The answer confirms nothing: the sender may have forgotten what it promised. */
  readonly isMute: boolean;
}

/** "Which values were chosen, after `after`?" `held` are digests of what the asker has there, in order, holes left out. */
export interface AskChosen {
  readonly type: "ask-chosen";
  readonly after: LogIndex;
  readonly held: readonly { readonly index: LogIndex; readonly digest: Digest }[];
}

export type ChosenValue =
  | { readonly type: "value"; readonly value: SlotValue }
  /** The asker holds it already. */
  | { readonly type: "held"; readonly digest: Digest };

/** Consecutive chosen values after `after`. None, with `after` below `start`: they are trimmed here. */
export interface TellChosen {
  readonly type: "tell-chosen";
  readonly after: LogIndex;
  readonly start: LogIndex;
  readonly chosen: LogIndex;
  readonly values: readonly ChosenValue[];
}

/** Phase 1: values that were reported as digests only. */
export interface AskAccepted {
  readonly type: "ask-accepted";
  readonly ballot: Ballot;
  readonly slots: readonly LogIndex[];
}

export interface TellAccepted {
  readonly type: "tell-accepted";
  readonly ballot: Ballot;
  readonly values: readonly { readonly index: LogIndex; readonly value: SlotValue }[];
}

export interface StandNow {
  readonly type: "stand-now";
  readonly ballot: Ballot;
}

export type PaxosMessage =
  | Canvass
  | CanvassReply
  | PaxosPrepare
  | PaxosPromise
  | Refusal
  | PaxosAccept
  | PaxosAccepted
  | Beat
  | BeatReply
  | AskChosen
  | TellChosen
  | AskAccepted
  | TellAccepted
  | StandNow;

const ENGINE = 0x70;
const VERSION = 1;
const HEAD_BYTES = 64;
const VALUE_BYTES = 24;

const tags = {
  canvass: 1,
  "canvass-reply": 2,
  prepare: 3,
  promise: 4,
  refusal: 5,
  accept: 6,
  accepted: 7,
  beat: 8,
  "beat-reply": 9,
  "ask-chosen": 10,
  "tell-chosen": 11,
  "ask-accepted": 12,
  "tell-accepted": 13,
  "stand-now": 14,
} as const satisfies Record<PaxosMessage["type"], number>;

/** Bytes that a frame with these values needs, about. */
const roomFor = (values: readonly { readonly body: Uint8Array }[]): number => {
  let size = HEAD_BYTES;
  for (const { body } of values) size += body.length + VALUE_BYTES;
  return size;
};

export function encodePaxosMessage(message: PaxosMessage): Uint8Array {
  const room = message.type === "accept" ? roomFor(message.values) : HEAD_BYTES;
  const out = new ByteWriter(room).u8(ENGINE).u8(VERSION).u8(tags[message.type]);
  switch (message.type) {
    case "canvass":
      return out
        .varint(message.attempt)
        .varint(message.era)
        .varint(message.chosen)
        .u8(message.isBlank ? 1 : 0)
        .finish();
    case "canvass-reply":
      out.varint(message.attempt).u8(message.granted ? 1 : 0);
      return out.varint(message.promised).varint(message.chosen).finish();
    case "prepare":
      out.varint(message.ballot).varint(message.chosen);
      return out.u8((message.isBlank ? 1 : 0) | (message.transfer ? 2 : 0) | (message.hold ? 4 : 0)).finish();
    case "promise":
      out
        .varint(message.ballot)
        .varint(message.chosen)
        .varint(message.start)
        .varint(message.part)
        .varint(message.parts);
      out.varint(message.reports.length);
      for (const { index, ballot, digest, value } of message.reports) {
        writeDigest(out.varint(index).varint(ballot), digest).u8(value === undefined ? 0 : 1);
        if (value !== undefined) out.raw(value.body);
      }
      return out.finish();
    case "refusal":
      out.varint(message.ballot).varint(message.promised).varint(message.chosen);
      return out.u8(refusalWhys.indexOf(message.why)).finish();
    case "accept":
      out.varint(message.ballot).varint(message.chosen).varint(message.first).varint(message.values.length);
      for (const value of message.values) writeValue(out, value);
      return out.finish();
    case "accepted":
      out.varint(message.ballot).varint(message.chosen).varint(message.ranges.length);
      for (const [first, last] of message.ranges) out.varint(first).varint(last - first);
      return out.finish();
    case "beat":
      return out.varint(message.ballot).varint(message.round).varint(message.chosen).finish();
    case "beat-reply":
      out.varint(message.ballot).varint(message.round).varint(message.chosen);
      return out.u8(message.isMute ? 1 : 0).finish();
    case "ask-chosen":
      out.varint(message.after).varint(message.held.length);
      for (const { index, digest } of message.held) writeDigest(out.varint(index), digest);
      return out.finish();
    case "tell-chosen":
      out.varint(message.after).varint(message.start).varint(message.chosen).varint(message.values.length);
      for (const told of message.values) {
        if (told.type === "value") writeValue(out.u8(1), told.value);
        else writeDigest(out.u8(0), told.digest);
      }
      return out.finish();
    case "ask-accepted":
      out.varint(message.ballot).varint(message.slots.length);
      for (const index of message.slots) out.varint(index);
      return out.finish();
    case "tell-accepted":
      out.varint(message.ballot).varint(message.values.length);
      for (const { index, value } of message.values) writeValue(out.varint(index), value);
      return out.finish();
    case "stand-now":
      return out.varint(message.ballot).finish();
  }
}

/** Throws `BytesError` on anything but what `encodePaxosMessage` wrote. Bodies are views of `frame`. */
export function decodePaxosMessage(frame: Uint8Array): PaxosMessage {
  const input = new ByteReader(frame);
  if (input.u8() !== ENGINE) throw new BytesError("a message of another engine");
  const version = input.u8();
  if (version !== VERSION) throw new BytesError(`unknown version of Paxos ${version}`);
  const message = readMessage(input, input.u8());
  input.end();
  return message;
}

function readMessage(input: ByteReader, tag: number): PaxosMessage {
  switch (tag) {
    case tags.canvass:
      return {
        type: "canvass",
        attempt: input.varint(),
        era: input.varint(),
        chosen: readIndex(input),
        isBlank: readFlags(input, 1) === 1,
      };
    case tags["canvass-reply"]:
      return {
        type: "canvass-reply",
        attempt: input.varint(),
        granted: readFlags(input, 1) === 1,
        promised: readBallot(input),
        chosen: readIndex(input),
      };
    case tags.prepare: {
      const ballot = readBallot(input);
      const chosen = readIndex(input);
      const flags = readFlags(input, 7);
      const isBlank = (flags & 1) !== 0;
      return { type: "prepare", ballot, chosen, isBlank, transfer: (flags & 2) !== 0, hold: (flags & 4) !== 0 };
    }
    case tags.promise: {
      const ballot = readBallot(input);
      const chosen = readIndex(input);
      const start = readIndex(input);
      const part = input.varint();
      const parts = input.varint();
      if (part >= parts) throw new BytesError("a part beyond the parts");
      return { type: "promise", ballot, chosen, start, part, parts, reports: readMany(input, readReport) };
    }
    case tags.refusal: {
      const ballot = readBallot(input);
      const promised = readBallot(input);
      const chosen = readIndex(input);
      const why = refusalWhys[input.u8()];
      if (why === undefined) throw new BytesError("unknown reason of a refusal");
      return { type: "refusal", ballot, promised, chosen, why };
    }
    case tags.accept: {
      const ballot = readBallot(input);
      const chosen = readIndex(input);
      const first = readIndex(input);
      if (first === 0) throw new BytesError("slots begin with 1");
      return { type: "accept", ballot, chosen, first, values: readMany(input, readValue) };
    }
    case tags.accepted:
      return {
        type: "accepted",
        ballot: readBallot(input),
        chosen: readIndex(input),
        ranges: readMany(input, readRange),
      };
    case tags.beat:
      return { type: "beat", ballot: readBallot(input), round: input.varint(), chosen: readIndex(input) };
    case tags["beat-reply"]: {
      const ballot = readBallot(input);
      const round = input.varint();
      const chosen = readIndex(input);
      return { type: "beat-reply", ballot, round, chosen, isMute: readFlags(input, 1) === 1 };
    }
    case tags["ask-chosen"]: {
      const after = readIndex(input);
      const held = readMany(input, (from) => ({ index: readIndex(from), digest: readDigest(from) }));
      return { type: "ask-chosen", after, held };
    }
    case tags["tell-chosen"]: {
      const after = readIndex(input);
      const start = readIndex(input);
      const chosen = readIndex(input);
      return { type: "tell-chosen", after, start, chosen, values: readMany(input, readChosen) };
    }
    case tags["ask-accepted"]:
      return { type: "ask-accepted", ballot: readBallot(input), slots: readMany(input, readIndex) };
    case tags["tell-accepted"]: {
      const ballot = readBallot(input);
      const values = readMany(input, (from) => ({ index: readIndex(from), value: readValue(from) }));
      return { type: "tell-accepted", ballot, values };
    }
    case tags["stand-now"]:
      return { type: "stand-now", ballot: readBallot(input) };
    default:
      throw new BytesError(`unknown Paxos message ${tag}`);
  }
}

function readMany<Item>(input: ByteReader, read: (input: ByteReader) => Item): Item[] {
  const count = input.varint();
  if (count > input.remaining) throw new BytesError(`${count} items in ${input.remaining} bytes`);
  const items: Item[] = [];
  for (let i = 0; i < count; i++) items.push(read(input));
  return items;
}

function readReport(input: ByteReader): Report {
  const index = readIndex(input);
  const ballot = readBallot(input);
  const digest = readDigest(input);
  if (readFlags(input, 1) === 0) return { index, ballot, digest, value: undefined };
  const { tag, origin, bodyCrc, length } = digest;
  return { index, ballot, digest, value: { tag, origin, bodyCrc, body: input.raw(length) } };
}

function readChosen(input: ByteReader): ChosenValue {
  return readFlags(input, 1) === 1
    ? { type: "value", value: readValue(input) }
    : { type: "held", digest: readDigest(input) };
}

function readRange(input: ByteReader): readonly [LogIndex, LogIndex] {
  const first = readIndex(input);
  return [first, readSum(first, input.varint())];
}

function readSum(first: LogIndex, more: number): LogIndex {
  if (!Number.isSafeInteger(first + more)) throw new BytesError("a slot beyond 2^53");
  return logIndex(first + more);
}

const readIndex = (input: ByteReader): LogIndex => logIndex(input.varint());
const readBallot = (input: ByteReader): Ballot => term(input.varint());

function readFlags(input: ByteReader, most: number): number {
  const flags = input.u8();
  if (flags > most) throw new BytesError(`unknown flags ${flags}`);
  return flags;
}

function writeDigest(out: ByteWriter, digest: Digest): ByteWriter {
  return out.u8(digest.tag).varint(digest.origin).u32(digest.bodyCrc).varint(digest.length);
}

function readDigest(input: ByteReader): Digest {
  const tag = readTag(input.u8());
  return { tag, origin: readBallot(input), bodyCrc: input.u32(), length: input.varint() };
}

function writeValue(out: ByteWriter, value: SlotValue): void {
  out.u8(value.tag).varint(value.origin).u32(value.bodyCrc).bytes(value.body);
}

function readValue(input: ByteReader): SlotValue {
  const tag = readTag(input.u8());
  return { tag, origin: readBallot(input), bodyCrc: input.u32(), body: input.bytes() };
}
