/**
 * What nodes say to each other besides the consensus engine's own messages, and the envelope of all of it.
 * A frame is `kind, group, body`. Unknown kinds are ignored with a note, so that a newer peer may say more.
 */
import { ByteReader, ByteWriter, BytesError } from "../base/bytes.ts";
import { type GroupId, groupId, type LogIndex, logIndex, type Term, term } from "../base/ids.ts";
import type { LogStart } from "../consensus/contract/core.ts";
import { decodeStart, encodeStart } from "./replica.ts";

export type PeerFrame =
  /** A message of the consensus core. */
  | { readonly type: "consensus"; readonly frame: Uint8Array }
  /** A follower's part for the leader's next entry (`batch.ts`). */
  | { readonly type: "forward"; readonly part: Uint8Array }
  /** The forwarded part was not taken: nothing of it will be executed. */
  | { readonly type: "forward-refused"; readonly reason: number }
  | { readonly type: "read"; readonly context: number }
  /** `index` 0: not granted, ask again. */
  | { readonly type: "read-grant"; readonly context: number; readonly index: LogIndex }
  | { readonly type: "ask"; readonly id: number; readonly control: boolean; readonly question: Uint8Array }
  | { readonly type: "answer"; readonly id: number; readonly ok: boolean; readonly body: Uint8Array }
  | {
      readonly type: "snapshot-offer";
      readonly snapshot: number;
      readonly term: Term;
      readonly start: LogStart;
      readonly meta: Uint8Array;
    }
  | {
      readonly type: "snapshot-chunk";
      readonly snapshot: number;
      readonly offset: number;
      readonly crc: number;
      readonly last: boolean;
      readonly bytes: Uint8Array;
    }
  /** The receiver holds everything below `offset`; `done` when installed, `refused` when it will not take it. */
  | {
      readonly type: "snapshot-progress";
      readonly snapshot: number;
      readonly offset: number;
      readonly state: "receiving" | "done" | "refused";
    }
  /** As of this committed entry the receiver is not a member. */
  | { readonly type: "not-member"; readonly index: LogIndex; readonly term: Term }
  /** To be answered with `not-member`, or not at all. */
  | { readonly type: "member-query" };

const kinds = {
  consensus: 1,
  forward: 2,
  "forward-refused": 3,
  read: 4,
  "read-grant": 5,
  ask: 6,
  answer: 7,
  "snapshot-offer": 8,
  "snapshot-chunk": 9,
  "snapshot-progress": 10,
  "not-member": 11,
  "member-query": 12,
} as const satisfies Record<PeerFrame["type"], number>;

const progressStates = ["receiving", "done", "refused"] as const;

export function encodePeerFrame(group: GroupId, frame: PeerFrame): Uint8Array {
  const out = new ByteWriter(sizeHint(frame)).u8(kinds[frame.type]).varint(group);
  switch (frame.type) {
    case "consensus":
      return out.raw(frame.frame).finish();
    case "forward":
      return out.raw(frame.part).finish();
    case "forward-refused":
      return out.u8(frame.reason).finish();
    case "read":
      return out.varint(frame.context).finish();
    case "read-grant":
      return out.varint(frame.context).varint(frame.index).finish();
    case "ask":
      return out
        .varint(frame.id)
        .u8(frame.control ? 1 : 0)
        .raw(frame.question)
        .finish();
    case "answer":
      return out
        .varint(frame.id)
        .u8(frame.ok ? 1 : 0)
        .raw(frame.body)
        .finish();
    case "snapshot-offer":
      out.u53(frame.snapshot).varint(frame.term);
      encodeStart(out, frame.start);
      return out.bytes(frame.meta).finish();
    case "snapshot-chunk":
      out.u53(frame.snapshot).varint(frame.offset).u32(frame.crc);
      return out
        .u8(frame.last ? 1 : 0)
        .raw(frame.bytes)
        .finish();
    case "snapshot-progress":
      return out.u53(frame.snapshot).varint(frame.offset).u8(progressStates.indexOf(frame.state)).finish();
    case "not-member":
      return out.varint(frame.index).varint(frame.term).finish();
    case "member-query":
      return out.finish();
  }
}

function sizeHint(frame: PeerFrame): number {
  switch (frame.type) {
    case "consensus":
      return frame.frame.length + 12;
    case "forward":
      return frame.part.length + 12;
    case "ask":
      return frame.question.length + 24;
    case "answer":
      return frame.body.length + 24;
    case "snapshot-chunk":
      return frame.bytes.length + 48;
    case "snapshot-offer":
      return frame.meta.length + 1024;
    case "forward-refused":
    case "read":
    case "read-grant":
    case "snapshot-progress":
    case "not-member":
    case "member-query":
      return 40;
  }
}

/** Throws `BytesError`; undefined for a kind that a newer version may know. Bodies are views of `bytes`. */
export function decodePeerFrame(bytes: Uint8Array): { readonly group: GroupId; readonly frame: PeerFrame } | undefined {
  const input = new ByteReader(bytes);
  const kind = input.u8();
  const number = input.varint();
  if (number === 0) throw new BytesError("a frame without a group");
  const group = groupId(number);
  const frame = decodeBody(kind, input);
  return frame === undefined ? undefined : { group, frame };
}

function decodeBody(kind: number, input: ByteReader): PeerFrame | undefined {
  const rest = (): Uint8Array => input.raw(input.remaining);
  switch (kind) {
    case kinds.consensus:
      return { type: "consensus", frame: rest() };
    case kinds.forward:
      return { type: "forward", part: rest() };
    case kinds["forward-refused"]:
      return { type: "forward-refused", reason: input.u8() };
    case kinds.read:
      return { type: "read", context: input.varint() };
    case kinds["read-grant"]:
      return { type: "read-grant", context: input.varint(), index: logIndex(input.varint()) };
    case kinds.ask:
      return { type: "ask", id: input.varint(), control: input.u8() === 1, question: rest() };
    case kinds.answer:
      return { type: "answer", id: input.varint(), ok: input.u8() === 1, body: rest() };
    case kinds["snapshot-offer"]: {
      const snapshot = input.u53();
      const offerTerm = term(input.varint());
      const start = decodeStart(input);
      return { type: "snapshot-offer", snapshot, term: offerTerm, start, meta: input.bytes() };
    }
    case kinds["snapshot-chunk"]: {
      const snapshot = input.u53();
      const offset = input.varint();
      const crc = input.u32();
      return { type: "snapshot-chunk", snapshot, offset, crc, last: input.u8() === 1, bytes: rest() };
    }
    case kinds["snapshot-progress"]: {
      const snapshot = input.u53();
      const offset = input.varint();
      const state = progressStates[input.u8()];
      if (state === undefined) throw new BytesError("unknown snapshot state");
      return { type: "snapshot-progress", snapshot, offset, state };
    }
    case kinds["not-member"]:
      return { type: "not-member", index: logIndex(input.varint()), term: term(input.varint()) };
    case kinds["member-query"]:
      return { type: "member-query" };
    default:
      return undefined;
  }
}
