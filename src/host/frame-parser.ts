/**
 * Cuts a stream of bytes into the frames of `frame.ts`, however the stream was fragmented.
 *
 * P1. A frame that lies within one chunk is handed out as a view of it; one that spans chunks is copied once.
 * P2. The length is checked before anything is stored, and memory grows with the bytes that arrived, not with the length
 *     that was announced.
 * P3. After a fault nothing more is handed out: on a stream, the next frame cannot be found again.
 */
import { crc32 } from "node:zlib";
import { FRAME_BYTES_MAX, FRAME_HEADER_BYTES } from "./frame.ts";

export type FrameFault =
  | { readonly type: "oversized"; readonly length: number; readonly limit: number }
  | { readonly type: "damaged"; readonly length: number };

/** A spanning frame up to this size gets its whole buffer at once; a longer one starts with this and doubles. */
const FIRST_BUFFER_BYTES = 1024 * 1024;

export class FrameParser {
  readonly #onFrame: (frame: Uint8Array) => void;
  readonly #frameBytesMax: number;
  readonly #header = new Uint8Array(FRAME_HEADER_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);
  #headerFilled = 0;
  /** Length of the body that is awaited, or undefined while the header is incomplete. */
  #length: number | undefined;
  #crc = 0;
  #body: Uint8Array = this.#header.subarray(0, 0);
  #bodyFilled = 0;
  #fault: FrameFault | undefined;

  constructor(onFrame: (frame: Uint8Array) => void, options: { readonly frameBytesMax?: number } = {}) {
    this.#onFrame = onFrame;
    this.#frameBytesMax = options.frameBytesMax ?? FRAME_BYTES_MAX;
  }

  /** True between two frames: the place where a stream may end. */
  get atBoundary(): boolean {
    return this.#headerFilled === 0 && this.#length === undefined;
  }

  /** Takes the next bytes of the stream and hands out every frame they complete. Returns the fault, once there is one. */
  push(chunk: Uint8Array): FrameFault | undefined {
    let at = 0;
    while (this.#fault === undefined) {
      if (this.#length === undefined) {
        if (at === chunk.length) return undefined;
        at += this.#readHeader(chunk, at);
        if (this.#length === undefined) continue;
      }
      const left = chunk.length - at;
      if (this.#bodyFilled === 0 && left >= this.#length) {
        const end = at + this.#length;
        this.#finish(new Uint8Array(chunk.buffer, chunk.byteOffset + at, this.#length)); // P1; never a Buffer
        at = end;
      } else {
        if (left === 0) return undefined;
        const taken = Math.min(left, this.#length - this.#bodyFilled);
        this.#room(this.#length, taken);
        this.#body.set(chunk.subarray(at, at + taken), this.#bodyFilled);
        this.#bodyFilled += taken;
        at += taken;
        if (this.#bodyFilled === this.#length) this.#finish(this.#body);
      }
    }
    return this.#fault;
  }

  /** Reads what there is of a header; returns how many bytes it took. */
  #readHeader(chunk: Uint8Array, at: number): number {
    const taken = Math.min(chunk.length - at, FRAME_HEADER_BYTES - this.#headerFilled);
    for (let i = 0; i < taken; i++) this.#header[this.#headerFilled + i] = chunk[at + i] as number; // within the chunk
    this.#headerFilled += taken;
    if (this.#headerFilled < FRAME_HEADER_BYTES) return taken;

    this.#headerFilled = 0;
    const length = this.#headerView.getUint32(0, true);
    this.#crc = this.#headerView.getUint32(4, true);
    if (length > this.#frameBytesMax) this.#fault = { type: "oversized", length, limit: this.#frameBytesMax };
    else this.#length = length;
    return taken;
  }

  #room(length: number, more: number): void {
    const needed = this.#bodyFilled + more;
    if (needed <= this.#body.length) return;
    const size = Math.min(length, Math.max(FIRST_BUFFER_BYTES, needed, this.#body.length * 2));
    const body = new Uint8Array(size);
    body.set(this.#body.subarray(0, this.#bodyFilled));
    this.#body = body;
  }

  #finish(frame: Uint8Array): void {
    this.#length = undefined;
    this.#body = this.#header.subarray(0, 0);
    this.#bodyFilled = 0;
    if (crc32(frame) !== this.#crc) this.#fault = { type: "damaged", length: frame.length };
    else this.#onFrame(frame);
  }
}
