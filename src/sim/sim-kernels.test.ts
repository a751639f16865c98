import { crc32 as zlibCrc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { crc32, latin1 } from "./sim-kernels.ts";

describe("crc32()", () => {
  it("gives the check value of the standard", () => {
    expect(crc32(new TextEncoder().encode("123456789"))).toBe(0xcbf43926);
    expect(crc32(new Uint8Array(0))).toBe(0);
  });

  it("equals zlib's for any bytes and any seed", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(0xffff_ffff), (bytes, seed) => {
        expect(crc32(bytes, seed)).toBe(zlibCrc32(bytes, seed));
      }),
    );
  });

  it("continues: the CRC of the parts is the CRC of the whole", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(64), (bytes, cut) => {
        expect(crc32(bytes.subarray(cut), crc32(bytes.subarray(0, cut)))).toBe(crc32(bytes));
      }),
    );
  });
});

describe("latin1()", () => {
  it("equals Buffer's, also beyond one chunk", () => {
    const bytes = Uint8Array.from({ length: 10_000 }, (_, i) => (i * 7) & 0xff);
    expect(latin1(bytes)).toBe(Buffer.from(bytes).toString("latin1"));
  });
});
