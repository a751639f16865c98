/** The checksum made here against the native one: all short lengths, every alignment, random bytes and seeds. */
import { crc32 } from "node:zlib";
import { expect, it } from "vitest";
import { Prng } from "../../base/prng.ts";
import { sumOf } from "./header-sum.ts";

it("sumOf() is CRC-32, wherever the bytes stand and whatever it goes on from", () => {
  const prng = new Prng(17);
  const bytes = Uint8Array.from({ length: 700 }, () => prng.below(256));
  expect(sumOf(new TextEncoder().encode("123456789"), 0, 9, 0)).toBe(0xcbf43926);
  for (let length = 0; length <= 300; length++) {
    const from = prng.below(bytes.length - length + 1);
    const seed = prng.below(0x1_0000_0000);
    expect(sumOf(bytes, from, from + length, seed)).toBe(crc32(bytes.subarray(from, from + length), seed));
  }
  for (let from = 0; from < 16; from++) {
    expect(sumOf(bytes, from, from + 68, 7)).toBe(crc32(bytes.subarray(from, from + 68), 7));
  }
});
