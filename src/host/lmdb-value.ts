/** A value as LMDB holds it: CRC-32 of key and value (u32, little-endian), then the value. LMDB notices no flipped bit. */
import { crc32 } from "node:zlib";
import { AlthingError } from "../base/errors.ts";

export const VALUE_HEADER_BYTES = 4;

/**
 * A view of the value within what LMDB holds under `key`: `size` bytes at the start of `stored`, whose own length counts for
 * nothing. Throws DATA_CORRUPT unless it is the value that was written there.
 */
export function openStored(key: Uint8Array, stored: Uint8Array, size: number, folder: string): Uint8Array<ArrayBuffer> {
  if (size >= VALUE_HEADER_BYTES) {
    const value = new Uint8Array(
      stored.buffer as ArrayBuffer, // LMDB's memory and Node's buffers are not shared ones
      stored.byteOffset + VALUE_HEADER_BYTES,
      size - VALUE_HEADER_BYTES,
    );
    // Four bytes are there.
    const low = (stored[0] as number) | ((stored[1] as number) << 8);
    const high = (stored[2] as number) | ((stored[3] as number) << 8);
    if (crc32(value, crc32(key)) === (low | (high << 16)) >>> 0) return value;
  }
  throw new AlthingError("DATA_CORRUPT", `Cannot read from ${folder}: a value fails its checksum`, {
    details: { folder, key: Buffer.from(key).toString("hex").slice(0, 80), bytes: size },
  });
}

/** Fills in the header of a stored value whose bytes are already there. */
export function sealStored(key: Uint8Array, stored: Buffer): void {
  stored.writeUInt32LE(crc32(stored.subarray(VALUE_HEADER_BYTES), crc32(key)), 0);
}
