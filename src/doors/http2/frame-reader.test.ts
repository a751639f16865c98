/** The same frames, however the bytes are cut. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { frameBytes } from "../testing/http2-peer.ts";
import { ConnectionError, ErrorCode, FRAME_BYTES_MAX } from "./frame.ts";
import { FrameReader, uint31, uint32 } from "./frame-reader.ts";

function read(chunks: readonly Uint8Array[]): string[] {
  const frames: string[] = [];
  const reader = new FrameReader((type, flags, id, bytes, from, to) => {
    frames.push(`${type}/${flags}@${id}:${Buffer.from(bytes.subarray(from, to)).toString("hex")}`);
  });
  for (const chunk of chunks) reader.push(chunk);
  return frames;
}

const frames = fc.array(
  fc.record({
    type: fc.nat(255),
    flags: fc.nat(255),
    id: fc.nat(0x7fff_ffff),
    payload: fc.uint8Array({ maxLength: 40 }),
    reserved: fc.boolean(),
  }),
  { maxLength: 12 },
);

describe("FrameReader", () => {
  it("gives the same frames for any cuts, the reserved bit left out", () => {
    fc.assert(
      fc.property(frames, fc.array(fc.nat(600)), (list, cuts) => {
        const bytes = Buffer.concat(
          list.map((one) => frameBytes(one.type, one.flags, one.reserved ? one.id + 2 ** 31 : one.id, one.payload)),
        );
        const places = [...new Set([0, ...cuts.filter((cut) => cut < bytes.length), bytes.length])].sort(
          (a, b) => a - b,
        );
        const chunks = places.slice(1).map((to, index) => bytes.subarray(places[index], to));
        const wanted = list.map(
          (one) => `${one.type}/${one.flags}@${one.id}:${Buffer.from(one.payload).toString("hex")}`,
        );
        expect(read(chunks)).toEqual(wanted);
        expect(read([...bytes].map((byte) => Uint8Array.of(byte)))).toEqual(wanted);
      }),
      { numRuns: 300, seed: 9113 },
    );
  });

  it("takes the largest frame and refuses a larger one by its length alone, in any cut", () => {
    const largest = frameBytes(0, 0, 1, Buffer.alloc(FRAME_BYTES_MAX, 9));
    expect(read([largest])).toHaveLength(1);
    expect(read([largest.subarray(0, 5), largest.subarray(5, 3_000), largest.subarray(3_000)])).toHaveLength(1);
    const tooLarge = frameBytes(0, 0, 1, [], FRAME_BYTES_MAX + 1);
    for (let cut = 1; cut <= 9; cut++) {
      let error: unknown;
      try {
        read([tooLarge.subarray(0, cut), tooLarge.subarray(cut)]);
      } catch (caught) {
        error = caught;
      }
      expect(error).toBeInstanceOf(ConnectionError);
      expect((error as ConnectionError).code).toBe(ErrorCode.frameSize); // checked by the line above
    }
  });

  it("keeps nothing of a frame that lies whole in its chunk", () => {
    const chunk = frameBytes(0, 0, 1, [1, 2, 3]);
    let seen: Uint8Array | undefined;
    new FrameReader((_type, _flags, _id, bytes) => {
      seen = bytes;
    }).push(chunk);
    expect(seen).toBe(chunk);
  });
});

describe("uint31(), uint32()", () => {
  it("read all 32 bits as a positive number, or 31 of them", () => {
    const bytes = Uint8Array.of(7, 0xff, 0xff, 0xff, 0xfe);
    expect([uint32(bytes, 1), uint31(bytes, 1)]).toEqual([0xffff_fffe, 0x7fff_fffe]);
  });
});
