/**
 * The sending side of a socket: frames are put together in one buffer and leave in one write for all that happened in a turn
 * of the event loop.
 *
 * O1. What was staged leaves in its order, at the end of the turn at the latest.
 * O2. A buffer is written to again only when the socket has taken all of it.
 */
import type { Socket } from "node:net";
import { assert } from "../../base/assert.ts";
import { FRAME_BYTES_MAX, FRAME_HEAD_BYTES, FrameType } from "./frame.ts";
import type { HpackEncoder, WireField } from "./hpack-encoder.ts";

const BUFFER_BYTES = 32 * 1024;
/** A payload of this size travels as it is; a smaller one is copied beside its neighbours. */
const COPY_BYTES_MAX = 8 * 1024;
const SPARE_BUFFERS_MAX = 16;

/** Buffers that no socket holds at the moment, for all connections: an idle connection keeps none. */
const spare: Buffer[] = [];

export class Output {
  readonly #socket: Socket;
  #buffer: Buffer | undefined;
  /** Bytes [from, to) of the buffer are staged; before them stand those that the socket has. */
  #from = 0;
  #to = 0;
  /** Whole pieces, each behind the part of a buffer that stands before it. */
  #pieces: Uint8Array[] = [];
  #stagedBytes = 0;
  #isCorked = false;
  #isFlushDue = false;
  #isEnded = false;
  readonly #flush = (): void => {
    this.#isFlushDue = false;
    this.flush();
  };

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Bytes that the peer's system has not taken yet. */
  get unsentBytes(): number {
    return this.#stagedBytes + this.#socket.writableLength;
  }

  /** Between `cork` and `uncork` nothing leaves by itself: many frames are being worked on. */
  cork(): void {
    this.#isCorked = true;
  }

  uncork(): void {
    this.#isCorked = false;
    if (this.#stagedBytes > 0) this.flush();
  }

  frame(payloadBytes: number, type: number, flags: number, streamId: number): void {
    const buffer = this.#room(FRAME_HEAD_BYTES);
    writeHead(buffer, this.#to, payloadBytes, type, flags, streamId);
    this.#to += FRAME_HEAD_BYTES;
    this.#staged(FRAME_HEAD_BYTES);
  }

  byte(value: number): void {
    this.#room(1)[this.#to++] = value;
    this.#staged(1);
  }

  /** Not to be changed afterwards. */
  bytes(piece: Uint8Array): void {
    if (piece.length > COPY_BYTES_MAX) {
      this.#cut();
      this.#pieces.push(piece);
    } else {
      this.#room(piece.length).set(piece, this.#to);
      this.#to += piece.length;
    }
    this.#staged(piece.length);
  }

  uint32(value: number): void {
    this.#room(4).writeUInt32BE(value, this.#to);
    this.#to += 4;
    this.#staged(4);
  }

  /** A header block in one HEADERS frame, whose length is filled in behind. */
  headers(streamId: number, fields: readonly WireField[], flags: number, encoder: HpackEncoder): void {
    this.frame(0, FrameType.headers, flags, streamId);
    const before = this.#stagedBytes;
    const buffer = this.#buffer as Buffer; // `frame` wrote to it; the head stays where it is, also when the rest is cut off
    const at = this.#to - FRAME_HEAD_BYTES;
    encoder.encode(fields, this);
    const payloadBytes = this.#stagedBytes - before;
    assert(payloadBytes <= FRAME_BYTES_MAX, "our own headers fit in one frame", { payloadBytes });
    buffer[at] = payloadBytes >>> 16;
    buffer[at + 1] = payloadBytes >>> 8;
    buffer[at + 2] = payloadBytes;
  }

  flush(): void {
    if (this.#stagedBytes === 0 || this.#isEnded) return;
    const socket = this.#socket;
    if (this.#pieces.length > 0) {
      this.#cut();
      socket.cork();
      for (const piece of this.#pieces) socket.write(piece);
      socket.uncork();
      this.#pieces = [];
    } else {
      socket.write((this.#buffer as Buffer).subarray(this.#from, this.#to)); // something is staged, so it is there
      this.#from = this.#to;
    }
    this.#stagedBytes = 0;
    if (socket.writableLength === 0) this.#rewind();
  }

  /** Sends what is staged and closes this side. */
  end(): void {
    this.flush();
    this.#isEnded = true;
    this.#socket.end();
  }

  #staged(bytes: number): void {
    this.#stagedBytes += bytes;
    if (this.#isCorked || this.#isFlushDue) return;
    this.#isFlushDue = true;
    queueMicrotask(this.#flush);
  }

  /** A buffer with so many bytes free behind `#to`. */
  #room(bytes: number): Buffer {
    const buffer = this.#buffer;
    if (buffer !== undefined && buffer.length - this.#to >= bytes) return buffer;
    this.#cut();
    const next =
      bytes > BUFFER_BYTES ? Buffer.allocUnsafeSlow(bytes) : (spare.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES));
    this.#buffer = next;
    this.#from = 0;
    this.#to = 0;
    return next;
  }

  /** Makes a piece of what is staged in the buffer. */
  #cut(): void {
    if (this.#buffer === undefined || this.#from === this.#to) return;
    this.#pieces.push(this.#buffer.subarray(this.#from, this.#to));
    this.#from = this.#to;
  }

  /** O2: the system has everything, so the buffer is free for whoever sends next. */
  #rewind(): void {
    const buffer = this.#buffer;
    if (buffer === undefined) return;
    this.#buffer = undefined;
    this.#from = 0;
    this.#to = 0;
    if (buffer.length === BUFFER_BYTES && spare.length < SPARE_BUFFERS_MAX) spare.push(buffer);
  }
}

function writeHead(buffer: Buffer, at: number, payloadBytes: number, type: number, flags: number, id: number): void {
  buffer[at] = payloadBytes >>> 16;
  buffer[at + 1] = payloadBytes >>> 8;
  buffer[at + 2] = payloadBytes;
  buffer[at + 3] = type;
  buffer[at + 4] = flags;
  buffer[at + 5] = id >>> 24;
  buffer[at + 6] = id >>> 16;
  buffer[at + 7] = id >>> 8;
  buffer[at + 8] = id;
}
