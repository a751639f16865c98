/**
 * How a frame stands on a TCP stream: u32 length, u32 CRC-32 of the bytes (both little-endian), then the bytes. TCP's own
 * 16-bit checksum lets about one in 65,536 damaged segments through (Stone & Partridge 2000), so a frame carries its own.
 */
import { crc32 } from "node:zlib";
import { assert } from "../base/assert.ts";

export const FRAME_HEADER_BYTES = 8;

/** The largest frame that is sent or accepted, in bytes. Larger things are cut into chunks by the layers above. */
export const FRAME_BYTES_MAX: number = 64 * 1024 * 1024;

/** Up to this size a frame is copied beside its neighbours; above, it goes to the socket as it is. */
const COPIED_FRAME_BYTES_MAX = 8 * 1024;

/**
 * Lays frames out for the stream, in order: runs of small frames become one buffer each, big frames are not copied and
 * must stay unchanged until they are written.
 */
export function encodeFrames(frames: readonly Uint8Array[]): readonly Uint8Array[] {
  let copiedBytes = 0;
  for (const frame of frames) {
    assert(frame.length <= FRAME_BYTES_MAX, "a frame is over the limit", { length: frame.length });
    copiedBytes += FRAME_HEADER_BYTES + (frame.length <= COPIED_FRAME_BYTES_MAX ? frame.length : 0);
  }
  const block = Buffer.allocUnsafe(copiedBytes);
  const pieces: Uint8Array[] = [];
  let from = 0;
  let at = 0;
  for (const frame of frames) {
    block.writeUInt32LE(frame.length, at);
    block.writeUInt32LE(crc32(frame), at + 4);
    at += FRAME_HEADER_BYTES;
    if (frame.length <= COPIED_FRAME_BYTES_MAX) {
      block.set(frame, at);
      at += frame.length;
    } else {
      pieces.push(block.subarray(from, at), frame);
      from = at;
    }
  }
  if (at > from) pieces.push(block.subarray(from, at));
  return pieces;
}
