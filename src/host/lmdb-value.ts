/** A value as LMDB holds it: CRC-32 of key and value (u32, little-endian), then the value. LMDB notices no flipped bit. */
import { crc32 } from "node:zlib";
import { AlthingError } from "../base/errors.ts";

export const VALUE_HEADER_BYTES = 4;

/** Throws DATA_CORRUPT unless `stored` is the value that was written under `key`. */
export function checkStored(key: Uint8Array, stored: Uint8Array, folder: string): void {
  if (stored.length >= VALUE_HEADER_BYTES) {
    // Four bytes are there.
    const low = (stored[0] as number) | ((stored[1] as number) << 8);
    const high = (stored[2] as number) | ((stored[3] as number) << 8);
    const expected = (low | (high << 16)) >>> 0;
    if (crc32(stored.subarray(VALUE_HEADER_BYTES), crc32(key)) === expected) return;
  }
  throw new AlthingError("DATA_CORRUPT", `Cannot read from ${folder}: a value fails its checksum`, {
    details: { folder, key: Buffer.from(key).toString("hex").slice(0, 80), bytes: stored.length },
  });
}

/** Fills in the header of a stored value whose bytes are already there. */
export function sealStored(key: Uint8Array, stored: Buffer): void {
  stored.writeUInt32LE(crc32(stored.subarray(VALUE_HEADER_BYTES), crc32(key)), 0);
}
