/** What travels between nodes, and what stands in an entry: round trips, and input that is cut short or made up. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteReader, ByteWriter, BytesError } from "../base/bytes.ts";
import { groupId, logIndex, nodeId, sessionId, term } from "../base/ids.ts";
import type { Configuration, Member } from "../consensus/contract/configuration.ts";
import { decodeParts, type EntryPart, encodePart } from "./batch.ts";
import { decodePeerFrame, encodePeerFrame, type PeerFrame } from "./frames.ts";

const bytes = fc.uint8Array({ maxLength: 60 });
const safe = fc.maxSafeNat();
const u32 = fc.nat(0xffff_ffff);
const index = safe.map(logIndex);

const member: fc.Arbitrary<Omit<Member, "id">> = fc.record({
  incarnation: safe,
  role: fc.constantFrom("voter" as const, "learner" as const),
  promote: fc.boolean(),
  name: fc.string(),
  address: fc.string(),
  clientUrls: fc.array(fc.string(), { maxLength: 2 }),
});

const configuration: fc.Arbitrary<Configuration> = fc
  .tuple(
    fc.uniqueArray(fc.integer({ min: 1, max: 99 }), { minLength: 1, maxLength: 4 }),
    fc.array(member, { minLength: 4, maxLength: 4 }),
    fc.uniqueArray(fc.integer({ min: 1, max: 99 }), { maxLength: 3 }),
  )
  .map(([ids, members, outgoing]) => ({
    members: ids
      .sort((a, b) => a - b)
      .map((id, i) => ({ ...(members[i] as Member), id: nodeId(id), ...(i === 0 ? { role: "voter" as const } : {}) })),
    outgoing: outgoing.map(nodeId),
  }));

const start = fc.record({ index, term: safe.map(term), chain: u32, configuration });

const frame: fc.Arbitrary<PeerFrame> = fc.oneof(
  fc.record({ type: fc.constant("consensus" as const), frame: bytes }),
  fc.record({ type: fc.constant("forward" as const), part: bytes }),
  fc.record({ type: fc.constant("forward-refused" as const), reason: fc.nat(255) }),
  fc.record({ type: fc.constant("read" as const), context: safe }),
  fc.record({ type: fc.constant("read-grant" as const), context: safe, index }),
  fc.record({ type: fc.constant("ask" as const), id: safe, control: fc.boolean(), question: bytes }),
  fc.record({ type: fc.constant("answer" as const), id: safe, ok: fc.boolean(), body: bytes }),
  fc.record({
    type: fc.constant("snapshot-offer" as const),
    snapshot: safe,
    term: safe.map(term),
    start,
    meta: bytes,
  }),
  fc.record({
    type: fc.constant("snapshot-chunk" as const),
    snapshot: safe,
    offset: safe,
    crc: u32,
    last: fc.boolean(),
    bytes,
  }),
  fc.record({
    type: fc.constant("snapshot-progress" as const),
    snapshot: safe,
    offset: safe,
    state: fc.constantFrom("receiving" as const, "done" as const, "refused" as const),
  }),
  fc.record({ type: fc.constant("not-member" as const), index, term: safe.map(term) }),
  fc.record({ type: fc.constant("member-query" as const) }),
);

/** Frames whose last field is "the rest" are whole at any length from there on: those may be cut without being noticed. */
function openEnd(f: PeerFrame): number {
  switch (f.type) {
    case "consensus":
      return f.frame.length;
    case "forward":
      return f.part.length;
    case "ask":
      return f.question.length;
    case "answer":
      return f.body.length;
    case "snapshot-chunk":
      return f.bytes.length;
    case "forward-refused":
    case "read":
    case "read-grant":
    case "snapshot-offer":
    case "snapshot-progress":
    case "not-member":
    case "member-query":
      return 0;
  }
}

/** Undefined, or what it threw. */
function failure(run: () => unknown): unknown {
  try {
    run();
    return undefined;
  } catch (error) {
    return error;
  }
}

describe("decodePeerFrame()", () => {
  test("gives back what encodePeerFrame() was given", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000 }), frame, (group, f) => {
        expect(decodePeerFrame(encodePeerFrame(groupId(group), f))).toEqual({ group, frame: f });
      }),
      { numRuns: 500 },
    );
  });

  test("throws BytesError, and nothing else, on a frame that is cut short", () => {
    fc.assert(
      fc.property(frame, (f) => {
        const whole = encodePeerFrame(groupId(7), f);
        for (let length = 0; length < whole.length - openEnd(f); length++) {
          expect(failure(() => decodePeerFrame(whole.subarray(0, length)))).toBeInstanceOf(BytesError);
        }
      }),
      { numRuns: 200 },
    );
  });

  test("throws BytesError, or finds something, in made-up bytes", () => {
    const offer = 8; // its configuration is checked by rules of its own: see the test of configurations
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 80 }), (made) => {
        fc.pre(made[0] !== offer);
        const error = failure(() => decodePeerFrame(made));
        if (error !== undefined) expect(error).toBeInstanceOf(BytesError);
      }),
      { numRuns: 1_000 },
    );
  });

  test("leaves a kind that it does not know to the caller, and refuses group 0", () => {
    expect(decodePeerFrame(new ByteWriter(4).u8(200).varint(3).u8(1).finish())).toBeUndefined();
    expect(() => decodePeerFrame(new ByteWriter(4).u8(4).varint(0).varint(1).finish())).toThrow(BytesError);
    expect(() => decodePeerFrame(new ByteWriter(16).u8(10).varint(1).u53(1).varint(1).u8(3).finish())).toThrow(
      BytesError,
    );
  });
});

const part: fc.Arbitrary<EntryPart> = fc.oneof(
  fc.record({ type: fc.constant("open-session" as const), nonce: safe }),
  fc.record({
    type: fc.constant("commands" as const),
    session: safe.map(sessionId),
    first: safe,
    resultsBelow: safe,
    commands: fc.array(bytes, { maxLength: 5 }),
  }),
);

describe("decodeParts()", () => {
  test("gives back the parts that were put one after another", () => {
    fc.assert(
      fc.property(fc.array(part, { maxLength: 6 }), (parts) => {
        const body = Uint8Array.from(parts.flatMap((p) => [...encodePart(p)]));
        expect([...decodeParts(body)]).toEqual(parts);
      }),
      { numRuns: 300 },
    );
  });

  test("throws BytesError on a part that is cut short, and on bytes that are none", () => {
    fc.assert(
      fc.property(part, fc.uint8Array({ maxLength: 40 }), (p, made) => {
        const whole = encodePart(p);
        for (let length = 1; length < whole.length; length++) {
          expect(failure(() => [...decodeParts(whole.subarray(0, length))])).toBeInstanceOf(BytesError);
        }
        const error = failure(() => [...decodeParts(made)]);
        if (error !== undefined) expect(error).toBeInstanceOf(BytesError);
      }),
      { numRuns: 200 },
    );
  });

  test("does not trust a count", () => {
    const body = new ByteWriter(32)
      .u8(1)
      .varint(1)
      .varint(1)
      .varint(1)
      .varint(2 ** 40)
      .finish();
    expect(() => [...decodeParts(body)]).toThrow("more commands than bytes");
    expect(new ByteReader(body).u8()).toBe(1);
  });
});
