/** Raft's frames: every message survives the way there and back, and no bytes from outside do harm. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BytesError } from "../../base/bytes.ts";
import { logIndex, nodeId, term } from "../../base/ids.ts";
import { encodeConfiguration } from "../contract/configuration.ts";
import { RecordKind } from "../contract/record.ts";
import { decodeRaftMessage, encodeRaftMessage, type RaftMessage } from "./messages.ts";

fc.configureGlobal({ seed: 2014 }); // the same cases in every run

const safe = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER - 64 });
const terms = safe.map(term);
const indexes = safe.map(logIndex);
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });

const configuration = encodeConfiguration({
  members: [1, 2, 5].map((id) => ({
    id: nodeId(id),
    incarnation: id,
    role: "voter",
    promote: false,
    name: `n${id}`,
    address: `n${id}:1`,
    clientUrls: [],
  })),
  outgoing: [nodeId(1)],
});

const contents = fc.oneof(
  fc.record({
    kind: fc.constantFrom(RecordKind.command, RecordKind.noop),
    body: fc.uint8Array({ maxLength: 300 }),
  }),
  fc.constant({ kind: RecordKind.configuration, body: configuration }),
);

const entries = fc.array(
  fc
    .record({ content: contents, term: terms, chain: u32, bodyCrc: u32 })
    .map(({ content, ...rest }) => ({ ...rest, ...content })),
  { maxLength: 5 },
);

const messages: fc.Arbitrary<RaftMessage> = fc.oneof(
  fc
    .record({ term: terms, round: safe, previousIndex: indexes, previousTerm: terms, commit: indexes, entries })
    .map((m) => ({
      type: "append" as const,
      ...m,
      entries: m.entries.map((e, i) => ({ ...e, index: logIndex(m.previousIndex + 1 + i) })),
    })),
  fc.record({
    type: fc.constant("append-response" as const),
    term: terms,
    round: safe,
    match: indexes,
    refused: indexes,
    hintIndex: indexes,
    hintTerm: terms,
  }),
  fc.record({ type: fc.constant("heartbeat" as const), term: terms, round: safe, commit: indexes }),
  fc.record({ type: fc.constant("heartbeat-response" as const), term: terms, round: safe, last: indexes }),
  fc.record({
    type: fc.constant("vote" as const),
    term: terms,
    pre: fc.boolean(),
    transfer: fc.boolean(),
    lastIndex: indexes,
    lastTerm: terms,
    boundTo: fc.maxSafeNat(),
  }),
  fc.record({
    type: fc.constant("vote-response" as const),
    term: terms,
    pre: fc.boolean(),
    granted: fc.boolean(),
    asked: terms,
  }),
  fc.record({ type: fc.constant("timeout-now" as const), term: terms }),
);

describe("decodeRaftMessage()", () => {
  test("gives back what encodeRaftMessage() was given", () => {
    fc.assert(
      fc.property(messages, (message) => {
        expect(decodeRaftMessage(encodeRaftMessage(message))).toEqual(message);
      }),
      { numRuns: 500 },
    );
  });

  test("refuses every frame that was cut short or has something after it", () => {
    fc.assert(
      fc.property(messages, fc.nat(), (message, at) => {
        const frame = encodeRaftMessage(message);
        expect(() => decodeRaftMessage(frame.subarray(0, at % frame.length))).toThrow(BytesError);
        expect(() => decodeRaftMessage(new Uint8Array([...frame, 0]))).toThrow(BytesError);
      }),
      { numRuns: 300 },
    );
  });

  test("throws nothing but BytesError on any bytes", () => {
    fc.assert(
      fc.property(fc.nat(8), fc.uint8Array({ maxLength: 60 }), (tag, rest) => {
        try {
          decodeRaftMessage(new Uint8Array([tag, ...rest]));
        } catch (error) {
          expect(error).toBeInstanceOf(BytesError);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test("does not believe a count of entries that the frame cannot hold", () => {
    const frame = encodeRaftMessage({
      type: "append",
      term: term(1),
      round: 0,
      previousIndex: logIndex(0),
      previousTerm: term(0),
      commit: logIndex(0),
      entries: [],
    });
    const huge = new Uint8Array([...frame.subarray(0, frame.length - 1), 0xff, 0xff, 0xff, 0x7f]);
    expect(() => decodeRaftMessage(huge)).toThrow(BytesError);
  });

  test("refuses an entry that is no valid configuration, before it is in a log", () => {
    const frame = (body: Uint8Array): Uint8Array =>
      encodeRaftMessage({
        type: "append",
        term: term(1),
        round: 0,
        previousIndex: logIndex(0),
        previousTerm: term(0),
        commit: logIndex(0),
        entries: [{ kind: RecordKind.configuration, index: logIndex(1), term: term(1), chain: 0, bodyCrc: 0, body }],
      });
    expect(decodeRaftMessage(frame(configuration)).type).toBe("append");
    expect(() => decodeRaftMessage(frame(configuration.subarray(0, 20)))).toThrow(BytesError);
    expect(() => decodeRaftMessage(frame(new Uint8Array(0)))).toThrow(BytesError);
  });

  test("refuses entries beyond the largest index", () => {
    const body = new Uint8Array(0);
    const index = logIndex(Number.MAX_SAFE_INTEGER);
    const frame = encodeRaftMessage({
      type: "append",
      term: term(1),
      round: 0,
      previousIndex: index,
      previousTerm: term(0),
      commit: logIndex(0),
      entries: [{ kind: RecordKind.command, index, term: term(1), chain: 0, bodyCrc: 0, body }],
    });
    expect(() => decodeRaftMessage(frame)).toThrow(BytesError);
  });

  test("an entry of a kind that is no position in the log is refused", () => {
    const body = new Uint8Array(0);
    const entry = { kind: RecordKind.vote, index: logIndex(1), term: term(1), chain: 0, bodyCrc: 0, body };
    const frame = encodeRaftMessage({
      type: "append",
      term: term(1),
      round: 0,
      previousIndex: logIndex(0),
      previousTerm: term(0),
      commit: logIndex(0),
      entries: [entry],
    });
    expect(() => decodeRaftMessage(frame)).toThrow("not an entry");
  });
});
