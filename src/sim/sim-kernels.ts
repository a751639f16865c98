/**
 * The Kernels port without native code, equal to `host/`'s in every result.
 * CRC-32: polynomial 0xEDB88320 reflected (IEEE 802.3), eight bytes a step ("slicing-by-8", Kounavis & Berry 2005).
 */
import type { Kernels } from "../ports/kernels.ts";

const POLYNOMIAL = 0xedb88320;
const SLICES = 8;

/** Table k, entry b: the CRC of byte b followed by k zero bytes. One flat array: entry at k * 256 + b. */
const table = buildTable();

function buildTable(): Uint32Array {
  const out = new Uint32Array(SLICES * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    out[byte] = crc;
  }
  for (let i = 256; i < out.length; i++) {
    const shorter = out[i - 256] as number; // i starts at 256
    out[i] = (shorter >>> 8) ^ (out[shorter & 0xff] as number);
  }
  return out;
}

/** CRC-32 of `bytes`, continued from `seed`: `crc32(b, crc32(a))` is the CRC of a followed by b. */
export function crc32(bytes: Uint8Array, seed = 0): number {
  let crc = ~seed;
  let i = 0;
  const whole = bytes.length - (bytes.length % SLICES);
  // The casts below: all indexes are inside `bytes` by the loop bound, and inside the table by the masks.
  for (; i < whole; i += SLICES) {
    const low =
      crc ^
      ((bytes[i] as number) |
        ((bytes[i + 1] as number) << 8) |
        ((bytes[i + 2] as number) << 16) |
        ((bytes[i + 3] as number) << 24));
    crc =
      (table[0x700 + (low & 0xff)] as number) ^
      (table[0x600 + ((low >>> 8) & 0xff)] as number) ^
      (table[0x500 + ((low >>> 16) & 0xff)] as number) ^
      (table[0x400 + (low >>> 24)] as number) ^
      (table[0x300 + (bytes[i + 4] as number)] as number) ^
      (table[0x200 + (bytes[i + 5] as number)] as number) ^
      (table[0x100 + (bytes[i + 6] as number)] as number) ^
      (table[bytes[i + 7] as number] as number);
  }
  for (; i < bytes.length; i++) crc = (crc >>> 8) ^ (table[(crc ^ (bytes[i] as number)) & 0xff] as number);
  return ~crc >>> 0;
}

/** Characters a call of `String.fromCharCode` takes at most: argument lists live on the stack. */
const CHUNK = 4_096;

/** Each byte becomes the character of the same number. */
export function latin1(bytes: Uint8Array): string {
  let out = "";
  for (let i = 0; i < bytes.length; i += CHUNK) out += String.fromCharCode(...bytes.subarray(i, i + CHUNK));
  return out;
}

export const simKernels: Kernels = { crc32, latin1 };
