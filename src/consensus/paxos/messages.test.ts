import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BytesError, utf8 } from "../../base/bytes.ts";
import { type LogIndex, logIndex, term } from "../../base/ids.ts";
import { decodeRaftMessage, encodeRaftMessage } from "../raft/messages.ts";
import { ballotOf } from "./ballot.ts";
import { decodePaxosMessage, encodePaxosMessage, type PaxosMessage } from "./messages.ts";
import { digestOf, type SlotValue, ValueTag } from "./value.ts";

fc.configureGlobal({ seed: 2001 });

const ballot = ballotOf({ era: 3, round: 900, node: 7 });
const at = (index: number): LogIndex => logIndex(index);
const value: SlotValue = { tag: ValueTag.command, origin: ballot, body: utf8("a body"), bodyCrc: 0xdeadbeef };
const noop: SlotValue = { tag: ValueTag.noop, origin: ballot, body: new Uint8Array(0), bodyCrc: 0 };
const digest = digestOf(value);

const messages: readonly PaxosMessage[] = [
  { type: "canvass", attempt: 5, era: 3, chosen: at(9), isBlank: true },
  { type: "canvass-reply", attempt: 5, granted: true, promised: ballot, chosen: at(2 ** 40) },
  { type: "prepare", ballot, chosen: at(9), isBlank: false, transfer: true, hold: false },
  {
    type: "promise",
    ballot,
    chosen: at(9),
    start: at(3),
    part: 1,
    parts: 2,
    reports: [
      { index: at(10), ballot, digest, value },
      { index: at(12), ballot, digest, value: undefined },
    ],
  },
  { type: "refusal", ballot, promised: term(ballot + 1), chosen: at(1), why: "behind" },
  { type: "accept", ballot, chosen: at(9), first: at(10), values: [value, noop] },
  {
    type: "accepted",
    ballot,
    chosen: at(9),
    ranges: [
      [at(12), at(15)],
      [at(10), at(10)],
    ],
  },
  { type: "beat", ballot, round: 4, chosen: at(9) },
  { type: "beat-reply", ballot, round: 4, chosen: at(9), isMute: true },
  { type: "ask-chosen", after: at(9), held: [{ index: at(11), digest }] },
  {
    type: "tell-chosen",
    after: at(9),
    start: at(1),
    chosen: at(12),
    values: [
      { type: "value", value },
      { type: "held", digest },
    ],
  },
  { type: "ask-accepted", ballot, slots: [at(10), at(300)] },
  { type: "tell-accepted", ballot, values: [{ index: at(10), value }] },
  { type: "stand-now", ballot },
];

describe("encodePaxosMessage()", () => {
  test.each(messages)("$type comes back as it went", (message) => {
    expect(decodePaxosMessage(encodePaxosMessage(message))).toEqual(message);
  });
});

describe("decodePaxosMessage()", () => {
  test("throws BytesError on every truncation, and on trailing bytes", () => {
    for (const message of messages) {
      const frame = encodePaxosMessage(message);
      for (let end = 0; end < frame.length; end++) {
        expect(() => decodePaxosMessage(frame.subarray(0, end)), `${message.type} at ${end}`).toThrow(BytesError);
      }
      expect(() => decodePaxosMessage(new Uint8Array([...frame, 0]))).toThrow(BytesError);
    }
  });

  test("throws nothing but BytesError on any bytes", () => {
    const survives = (bytes: Uint8Array): void => {
      try {
        decodePaxosMessage(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(BytesError);
      }
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), survives));
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (tail) => survives(new Uint8Array([0x70, 1, ...tail]))));
    fc.assert(
      fc.property(fc.constantFrom(...messages), fc.nat(200), fc.nat(255), (message, place, byte) => {
        const frame = encodePaxosMessage(message).slice();
        frame[place % frame.length] = byte;
        survives(frame);
      }),
      { numRuns: 2_000 },
    );
  });

  test("refuses a message of the other engine, and the other engine refuses ours", () => {
    const raft = encodeRaftMessage({ type: "timeout-now", term: term(1) });
    expect(() => decodePaxosMessage(raft)).toThrow(/another engine/);
    for (const message of messages) expect(() => decodeRaftMessage(encodePaxosMessage(message))).toThrow(BytesError);
  });
});
