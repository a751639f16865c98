/**
 * One request and its answer, as the server sees them.
 * Source  RFC 9113 sections 5.1 (stream states), 5.2 (flow control).
 * Owns    both windows of the stream, and what waits for them.
 * Leaves  frames to `connection.ts`, the connection's windows too.
 *
 * F1. No more is sent than the windows of the stream and of the connection allow.
 * F2. The caller's window opens again only for bytes that were handed on: a paused listener stops its caller.
 * F3. After the answer has ended, or a reset in either direction, nothing is sent on the stream but one reset without an
 *     error, to a caller that has not finished.
 */
import { assert } from "../../base/assert.ts";
import { ErrorCode } from "./frame.ts";
import { HeldBytes } from "./held-bytes.ts";
import type { WireField } from "./hpack-encoder.ts";

/** What a stream tells the one who serves it. */
export interface StreamListener {
  /** Bytes of the body: a view of the socket's memory. Copy what is kept for long. */
  data(bytes: Uint8Array): void;
  /** The body is whole. */
  end(): void;
  /** `write` answered false before, and now there is room again. */
  drain(): void;
  /** The last call: both sides are done, or the stream was reset, or the connection is gone. */
  close(): void;
}

/** What a stream needs of its connection. */
export interface StreamCarrier {
  /** Bytes that may be sent now, over all streams. */
  readonly sendRoom: number;
  sendHeaders(stream: Http2Stream, fields: readonly WireField[], isLast: boolean): void;
  sendData(stream: Http2Stream, bytes: Uint8Array, isLast: boolean): void;
  sendReset(stream: Http2Stream, code: ErrorCode): void;
  /** The stream has bytes and a window, and the connection no room; `pump` is called when that has changed. */
  wait(stream: Http2Stream): void;
  /** Bytes of the body were handed on, or thrown away. */
  consumed(stream: Http2Stream, bytes: number): void;
  queued(bytes: number): void;
  forget(stream: Http2Stream): void;
}

/** Bytes queued on one stream from which on `write` answers false. */
const QUEUE_BYTES_HIGH = 16 * 1024;

type SendState =
  /** The headers are not sent. */
  | "idle"
  | "open"
  /** `end` was called; queued bytes come first. */
  | "ending"
  | "ended";

export class Http2Stream {
  readonly id: number;
  readonly #carrier: StreamCarrier;
  #listener: StreamListener | undefined;
  #send: SendState = "idle";
  #sendWindow: number;
  #queue: Uint8Array[] | undefined;
  #queuedBytes = 0;
  #trailers: readonly WireField[] | undefined;
  #owesDrain = false;

  #receiveWindow: number;
  /** Handed on since the caller's window was opened last. */
  #consumedBytes = 0;
  #bodyBytesLeft: number | undefined;
  #isRequestEnded = false;
  #isPaused = false;
  #held: HeldBytes | undefined;
  /** Held bytes are being handed on: whoever resumes inside is inside the loop that does it. */
  #isReleasing = false;
  #owesEnd = false;
  #isClosed = false;

  constructor(
    id: number,
    carrier: StreamCarrier,
    windows: { readonly send: number; readonly receive: number },
    bodyBytes: number | undefined,
  ) {
    this.id = id;
    this.#carrier = carrier;
    this.#sendWindow = windows.send;
    this.#receiveWindow = windows.receive;
    this.#bodyBytesLeft = bodyBytes;
  }

  /** Reset, or done on both sides. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The caller will send no more. */
  get isRequestEnded(): boolean {
    return this.#isRequestEnded;
  }

  get isRespondedTo(): boolean {
    return this.#send !== "idle";
  }

  listen(listener: StreamListener): void {
    this.#listener = listener;
  }

  // Sending.

  /** The head of the answer; with `isLast` the whole of it. */
  respond(fields: readonly WireField[], isLast = false): void {
    if (this.#isClosed) return;
    assert(this.#send === "idle", "a stream is answered once", { id: this.id });
    this.#send = isLast ? "ended" : "open";
    this.#carrier.sendHeaders(this, fields, isLast);
    if (isLast) this.#settle();
  }

  /** Sends or queues; not to be changed afterwards. False: full, wait for `drain`. */
  write(bytes: Uint8Array): boolean {
    if (this.#isClosed || this.#send !== "open") return false;
    if (this.#queue === undefined && this.#room() >= bytes.length) {
      this.#transmit(bytes, false);
      return true;
    }
    this.#enqueue(bytes);
    this.pump();
    if (this.#queuedBytes < QUEUE_BYTES_HIGH) return true;
    this.#owesDrain = true;
    return false;
  }

  /** Ends the answer, with trailers or without, once all that was written has left. */
  end(trailers?: readonly WireField[]): void {
    if (this.#isClosed || this.#send !== "open") return;
    this.#send = "ending";
    this.#trailers = trailers;
    if (this.#queue === undefined) this.#finish();
  }

  /** Gives the stream up. */
  reset(code: ErrorCode): void {
    if (this.#isClosed) return;
    this.#carrier.sendReset(this, code);
    this.abandon();
  }

  /** Sends what the windows allow by now. */
  pump(): void {
    const queue = this.#queue;
    if (queue === undefined || this.#isClosed) return;
    let sent = 0;
    for (let room = this.#room(); sent < queue.length && room > 0; room = this.#room()) {
      const bytes = queue[sent] as Uint8Array; // in range by the loop's condition
      if (bytes.length <= room) {
        sent++;
        this.#dequeued(bytes.length);
        this.#transmit(bytes, false);
      } else {
        queue[sent] = bytes.subarray(room);
        this.#dequeued(room);
        this.#transmit(bytes.subarray(0, room), false);
      }
    }
    queue.splice(0, sent);
    if (queue.length > 0) {
      if (this.#sendWindow > 0) this.#carrier.wait(this); // else the peer's own word for this stream comes first
      return;
    }
    this.#queue = undefined;
    if (this.#send === "ending") this.#finish();
    else if (this.#owesDrain) {
      this.#owesDrain = false;
      this.#listener?.drain();
    }
  }

  /** The peer opened the window, or moved it by its settings; false if it overflows. */
  widen(bytes: number, windowBytesMax: number): boolean {
    this.#sendWindow += bytes;
    if (this.#sendWindow > windowBytesMax) return false;
    this.pump();
    return true;
  }

  // Receiving.

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    if (this.#isReleasing) return;
    const held = this.#held;
    if (held !== undefined) {
      this.#isReleasing = true;
      try {
        this.#release(held);
      } finally {
        this.#isReleasing = false;
      }
      if (held.length > 0) return;
      this.#held = undefined;
    }
    this.#deliverEnd();
  }

  /**
   * A DATA frame of `wireBytes` with padding, `bytes` without. Answers the error that ends the stream, or `none`.
   */
  receive(bytes: Uint8Array, wireBytes: number, isLast: boolean): ErrorCode {
    if (this.#isRequestEnded) return ErrorCode.streamClosed;
    this.#receiveWindow -= wireBytes;
    if (this.#receiveWindow < 0) return ErrorCode.flowControl;
    if (this.#bodyBytesLeft !== undefined) {
      this.#bodyBytesLeft -= bytes.length;
      if (this.#bodyBytesLeft < 0) return ErrorCode.protocol;
    }
    // Before the bytes are handed on: who answers them at once then knows that the caller has said all.
    if (isLast && !this.#endRequest()) return ErrorCode.protocol;
    if (wireBytes > bytes.length) this.#consumed(wireBytes - bytes.length);
    if (bytes.length > 0) {
      if (this.#isPaused || this.#held !== undefined) (this.#held ??= new HeldBytes()).push(bytes);
      else this.#deliver(bytes);
    }
    if (isLast) {
      this.#owesEnd = true;
      this.#deliverEnd();
      this.#settle();
    }
    return ErrorCode.none;
  }

  /** The request ended without a further byte: by its head, or by trailers. */
  endRequest(): ErrorCode {
    if (this.#isRequestEnded) return ErrorCode.streamClosed;
    if (!this.#endRequest()) return ErrorCode.protocol;
    this.#owesEnd = true;
    this.#deliverEnd();
    this.#settle();
    return ErrorCode.none;
  }

  /** Window to give back to the caller, if it is worth a frame. */
  takeCredit(leastBytes: number): number {
    if (this.#isRequestEnded || this.#isClosed || this.#consumedBytes < leastBytes) return 0;
    const bytes = this.#consumedBytes;
    this.#consumedBytes = 0;
    this.#receiveWindow += bytes;
    return bytes;
  }

  /** The stream is gone: by a reset in either direction, with its connection, or done. */
  abandon(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#carrier.queued(-this.#queuedBytes);
    this.#queuedBytes = 0;
    this.#queue = undefined;
    if (this.#held !== undefined) {
      this.#carrier.consumed(this, this.#held.length);
      this.#held = undefined;
    }
    this.#carrier.forget(this);
    this.#listener?.close();
  }

  #endRequest(): boolean {
    this.#isRequestEnded = true;
    return this.#bodyBytesLeft === undefined || this.#bodyBytesLeft === 0;
  }

  #release(held: HeldBytes): void {
    while (!this.#isPaused && !this.#isClosed) {
      const bytes = held.shift();
      if (bytes === undefined) return;
      this.#deliver(bytes);
    }
  }

  #deliver(bytes: Uint8Array): void {
    this.#consumed(bytes.length);
    if (!this.#isClosed) this.#listener?.data(bytes);
  }

  #deliverEnd(): void {
    if (!this.#owesEnd || this.#isPaused || this.#held !== undefined || this.#isClosed) return;
    this.#owesEnd = false;
    this.#listener?.end();
  }

  #consumed(bytes: number): void {
    this.#consumedBytes += bytes;
    this.#carrier.consumed(this, bytes);
  }

  #room(): number {
    return Math.min(this.#sendWindow, this.#carrier.sendRoom);
  }

  #enqueue(bytes: Uint8Array): void {
    (this.#queue ??= []).push(bytes);
    this.#queuedBytes += bytes.length;
    this.#carrier.queued(bytes.length);
  }

  #dequeued(bytes: number): void {
    this.#queuedBytes -= bytes;
    this.#carrier.queued(-bytes);
  }

  #transmit(bytes: Uint8Array, isLast: boolean): void {
    this.#sendWindow -= bytes.length;
    assert(this.#sendWindow >= 0, "F1: never more than the window", { id: this.id });
    this.#carrier.sendData(this, bytes, isLast);
  }

  #finish(): void {
    this.#send = "ended";
    if (this.#trailers !== undefined) this.#carrier.sendHeaders(this, this.#trailers, true);
    else this.#carrier.sendData(this, NOTHING, true);
    this.#settle();
  }

  /** The answer is whole: a caller that still sends is told that nobody reads (section 8.1), without an error. */
  #settle(): void {
    if (this.#send !== "ended") return;
    if (!this.#isRequestEnded) this.#carrier.sendReset(this, ErrorCode.none);
    this.abandon();
  }
}

const NOTHING = new Uint8Array(0);
