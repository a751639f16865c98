/**
 * Cuts what a socket gives into frames. A frame that lies whole in a chunk is handed on as a view; one that does not is put
 * together in a buffer of its own size.
 *
 * D1. A frame is refused by its declared length, before one byte of it is kept.
 */
import { ConnectionError, ErrorCode, FRAME_BYTES_MAX, FRAME_HEAD_BYTES } from "./frame.ts";

/** One frame: its payload is bytes [from, to) of `bytes`. */
export type TakeFrame = (
  type: number,
  flags: number,
  streamId: number,
  bytes: Uint8Array,
  from: number,
  to: number,
) => void;

export class FrameReader {
  readonly #take: TakeFrame;
  #partial: Uint8Array | undefined;
  #kept = 0;

  constructor(take: TakeFrame) {
    this.#take = take;
  }

  /** Throws a `ConnectionError` for a frame over the limit; what `take` throws passes through. */
  push(chunk: Uint8Array): void {
    let at = this.#partial === undefined ? 0 : this.#fill(chunk);
    while (chunk.length - at >= FRAME_HEAD_BYTES) {
      const to = at + FRAME_HEAD_BYTES + payloadLength(chunk, at);
      if (to > chunk.length) break;
      this.#dispatch(chunk, at, to);
      at = to;
    }
    if (at < chunk.length) this.#keep(chunk, at);
  }

  /** Adds to the kept frame; answers where the chunk goes on. */
  #fill(chunk: Uint8Array): number {
    let at = 0;
    for (;;) {
      const partial = this.#partial as Uint8Array; // there while a frame is kept
      const taken = Math.min(partial.length - this.#kept, chunk.length - at);
      partial.set(chunk.subarray(at, at + taken), this.#kept);
      this.#kept += taken;
      at += taken;
      if (this.#kept < partial.length) return at;
      const bytes = FRAME_HEAD_BYTES + payloadLength(partial, 0);
      if (partial.length === bytes) {
        this.#partial = undefined;
        this.#dispatch(partial, 0, bytes);
        return at;
      }
      this.#grow(partial, bytes);
    }
  }

  #keep(chunk: Uint8Array, at: number): void {
    const left = chunk.length - at;
    this.#kept = left;
    const bytes = left < FRAME_HEAD_BYTES ? FRAME_HEAD_BYTES : FRAME_HEAD_BYTES + payloadLength(chunk, at);
    this.#partial = Buffer.allocUnsafe(bytes);
    this.#partial.set(chunk.subarray(at));
  }

  /** The head is whole now, and tells how long the frame is. */
  #grow(head: Uint8Array, bytes: number): void {
    this.#partial = Buffer.allocUnsafe(bytes);
    this.#partial.set(head);
  }

  #dispatch(bytes: Uint8Array, at: number, to: number): void {
    this.#take(
      bytes[at + 3] as number, // the head is whole here and below
      bytes[at + 4] as number,
      uint31(bytes, at + 5),
      bytes,
      at + FRAME_HEAD_BYTES,
      to,
    );
  }
}

/** The four bytes at `at` without the reserved bit. */
export function uint31(bytes: Uint8Array, at: number): number {
  return uint32(bytes, at) & 0x7fff_ffff;
}

export function uint32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  );
}

function payloadLength(bytes: Uint8Array, at: number): number {
  const length = ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
  if (length > FRAME_BYTES_MAX) {
    throw new ConnectionError(ErrorCode.frameSize, `Cannot take a frame of ${length} bytes: over ${FRAME_BYTES_MAX}`);
  }
  return length;
}
