import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { concatBytes } from "../base/bytes.ts";
import { encodeFrames, FRAME_BYTES_MAX, FRAME_HEADER_BYTES } from "./frame.ts";
import { FrameParser } from "./frame-parser.ts";

function parse(chunks: readonly Uint8Array[], frameBytesMax = FRAME_BYTES_MAX) {
  const frames: Uint8Array[] = [];
  const parser = new FrameParser((frame) => frames.push(frame), { frameBytesMax });
  const faults = chunks.map((chunk) => parser.push(chunk));
  return { frames, fault: faults.at(-1), parser };
}

/** Cuts `bytes` at the given places, taken modulo its length. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const sorted = [...places.map((place) => place % (bytes.length + 1)), 0, bytes.length].sort((a, b) => a - b);
  return sorted.slice(1).map((end, i) => bytes.subarray(sorted[i], end));
}

const frame = fc.oneof(
  { weight: 4, arbitrary: fc.uint8Array({ maxLength: 40 }) },
  { weight: 1, arbitrary: fc.integer({ min: 8_000, max: 9_000 }).map((n) => new Uint8Array(n).fill(n & 255)) },
);

describe("FrameParser.push()", () => {
  test("gives back what encodeFrames() laid out, however the stream is cut", () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 30 }), (sent, places) => {
        const stream = concatBytes(encodeFrames(sent));
        const { frames, fault, parser } = parse(cut(stream, places));
        expect(fault).toBeUndefined();
        expect(frames.map((bytes) => [...bytes])).toEqual(sent.map((bytes) => [...bytes]));
        expect(parser.atBoundary).toBe(true);
      }),
      { numRuns: 150 },
    );
  });

  test("gives back a frame that comes byte by byte, and one larger than its first buffer", () => {
    const small = Uint8Array.from([1, 2, 3]);
    const large = new Uint8Array(3 * 1024 * 1024 + 5).map((_, i) => i * 31);
    const stream = concatBytes(encodeFrames([small, large]));
    const head = stream.subarray(0, 20);
    const rest = stream.subarray(20);
    const pieces: Uint8Array[] = [...head].map((byte) => Uint8Array.of(byte));
    for (let at = 0; at < rest.length; at += 65_536) pieces.push(rest.subarray(at, at + 65_536));
    const { frames } = parse(pieces);
    expect(frames).toHaveLength(2);
    expect(Buffer.compare(frames[1] ?? small, large)).toBe(0);
  });

  test("hands out plain Uint8Arrays, whose slice() copies", () => {
    const { frames } = parse([Buffer.from(concatBytes(encodeFrames([Uint8Array.of(7)])))]);
    expect(frames[0]?.constructor).toBe(Uint8Array);
  });

  test("refuses every damaged byte and hands out nothing after it", () => {
    const frames = [Uint8Array.of(1, 2, 3, 4), Uint8Array.of(5, 6)];
    const stream = concatBytes(encodeFrames(frames));
    const firstEnd = FRAME_HEADER_BYTES + 4;
    for (let at = 0; at < firstEnd; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const damaged = stream.slice();
        damaged[at] = (damaged[at] ?? 0) ^ (1 << bit);
        const result = parse([damaged], 1_000);
        expect(result.frames).toEqual([]);
        // A shorter or longer length that stays under the limit waits for bytes, or fails its checksum.
        if (at >= 4) expect(result.fault).toEqual({ type: "damaged", length: 4 });
        expect(result.parser.atBoundary && result.fault === undefined).toBe(false);
      }
    }
  });

  test("refuses an oversized length before any of its bytes", () => {
    const header = new Uint8Array(FRAME_HEADER_BYTES);
    new DataView(header.buffer).setUint32(0, 1_001, true);
    const { frames, fault, parser } = parse([header], 1_000);
    expect(fault).toEqual({ type: "oversized", length: 1_001, limit: 1_000 });
    expect(parser.push(concatBytes(encodeFrames([Uint8Array.of(1)])))).toEqual(fault);
    expect(frames).toEqual([]);
  });

  test("keeps memory near what arrived, not what was announced", () => {
    const header = new Uint8Array(FRAME_HEADER_BYTES);
    new DataView(header.buffer).setUint32(0, FRAME_BYTES_MAX, true);
    const before = process.memoryUsage().arrayBuffers;
    const parsers = Array.from({ length: 20 }, () => {
      const parser = new FrameParser(() => undefined);
      parser.push(header);
      parser.push(new Uint8Array(100));
      return parser;
    });
    expect(parsers).toHaveLength(20);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(40 * 1024 * 1024);
  });
});

describe("encodeFrames()", () => {
  test("copies small frames together and passes big ones as they are", () => {
    const big = new Uint8Array(100_000);
    const pieces = encodeFrames([Uint8Array.of(1), Uint8Array.of(2), big, Uint8Array.of(3)]);
    expect(pieces).toHaveLength(3);
    expect(pieces[1]).toBe(big);
  });
});
