/**
 * One TCP connection that carries frames.
 *
 * C1. Frames sent in one turn of the event loop leave in one write at its end.
 * C2. `onClose` is called exactly once, and no frame is handed out after `close` or `onClose`.
 * C3. What was sent before a local `close` is still written, if the peer takes it within `LINGER_MS`.
 * C4. A peer that reads too slowly loses the connection before its queue passes `bufferedBytesMax`.
 * Whether a silent peer is alive is the business of the protocol above; TCP keepalive only cleans up after it.
 */
import type { Socket } from "node:net";
import { assert } from "../base/assert.ts";
import type { Connection } from "../ports/network.ts";
import type { Observer } from "../ports/observer.ts";
import { encodeFrames, FRAME_BYTES_MAX, FRAME_HEADER_BYTES } from "./frame.ts";
import { type FrameFault, FrameParser } from "./frame-parser.ts";
import type { Turn } from "./turn.ts";

/** How long a closed connection waits for the peer to take the last frames and close its side. */
const LINGER_MS = 1_000;

export interface ConnectionOptions {
  /** Default `FRAME_BYTES_MAX`. */
  readonly frameBytesMax?: number;
  /** Bytes queued for a peer before it is cut off. Default 256 MiB; it must hold at least one frame. */
  readonly bufferedBytesMax?: number;
}

export class NodeConnection implements Connection {
  readonly #socket: Socket;
  readonly #turn: Turn;
  readonly #observer: Observer;
  readonly #peer: string;
  readonly #parser: FrameParser;
  readonly #frameBytesMax: number;
  readonly #bufferedBytesMax: number;
  #state: "open" | "closed" = "open";
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #frameHandler: ((frame: Uint8Array) => void) | undefined;
  #closeHandler: ((reason: string) => void) | undefined;
  #closeReason = "";

  constructor(socket: Socket, parts: { readonly turn: Turn; readonly observer: Observer }, options: ConnectionOptions) {
    this.#socket = socket;
    this.#turn = parts.turn;
    this.#observer = parts.observer;
    this.#peer = `${socket.remoteAddress ?? "?"}:${socket.remotePort ?? 0}`;
    this.#frameBytesMax = options.frameBytesMax ?? FRAME_BYTES_MAX;
    this.#bufferedBytesMax = options.bufferedBytesMax ?? 4 * FRAME_BYTES_MAX;
    this.#parser = new FrameParser(
      (frame) => {
        if (this.#state === "open") this.#frameHandler?.(frame);
      },
      { frameBytesMax: this.#frameBytesMax },
    );
    socket.on("error", (error: NodeJS.ErrnoException) =>
      this.#finish(`connection lost (${error.code ?? error.message})`),
    );
    socket.on("end", () =>
      this.#finish(this.#parser.atBoundary ? "closed by the peer" : "closed by the peer in the middle of a frame"),
    );
    socket.on("close", () => this.#finish("connection lost"));
  }

  /** Bytes that this node has queued and the operating system has not taken. */
  get bufferedBytes(): number {
    return this.#queuedBytes + this.#socket.writableLength;
  }

  get onFrame(): (frame: Uint8Array) => void {
    return this.#frameHandler ?? (() => undefined);
  }

  /** Reading begins here: frames that arrived earlier wait in the kernel, so none is missed and none is buffered twice. */
  set onFrame(handler: (frame: Uint8Array) => void) {
    const first = this.#frameHandler === undefined;
    this.#frameHandler = handler;
    if (!first || this.#state !== "open") return;
    this.#socket.on("data", (chunk: Buffer) => {
      if (this.#state !== "open") return; // lingering: what still comes is not for anybody
      const fault = this.#parser.push(chunk);
      if (fault !== undefined) this.#refuse(describeFault(fault));
    });
  }

  get onClose(): (reason: string) => void {
    return this.#closeHandler ?? (() => undefined);
  }

  set onClose(handler: (reason: string) => void) {
    const late = this.#closeHandler === undefined && this.#state === "closed";
    this.#closeHandler = handler;
    if (late) queueMicrotask(() => handler(this.#closeReason));
  }

  /** The frame must stay unchanged until it is written. Throws an assertion if it is over the limit of a frame. */
  send(frame: Uint8Array): void {
    if (this.#state !== "open") return;
    assert(frame.length <= this.#frameBytesMax, "a frame is over the limit", { length: frame.length });
    const bytes = frame.length + FRAME_HEADER_BYTES;
    if (this.bufferedBytes + bytes > this.#bufferedBytesMax) {
      this.#refuse(`the peer reads too slowly: ${this.bufferedBytes} bytes wait for it`); // C4
      return;
    }
    this.#queue.push(frame);
    this.#queuedBytes += bytes;
    if (this.#queue.length === 1) this.#turn.atEnd(() => this.#flush());
  }

  close(): void {
    if (this.#state !== "open") return;
    this.#flush();
    this.#finish("closed by this node");
  }

  #flush(): void {
    const frames = this.#queue;
    if (frames.length === 0) return;
    this.#queue = [];
    this.#queuedBytes = 0;
    const pieces = encodeFrames(frames);
    const [only] = pieces;
    if (pieces.length === 1 && only !== undefined) {
      this.#socket.write(only);
      return;
    }
    this.#socket.cork();
    for (const piece of pieces) this.#socket.write(piece);
    this.#socket.uncork(); // one writev
  }

  /** The stream cannot go on: nothing more is read or written. */
  #refuse(why: string): void {
    this.#observer.observe({ type: "connection-refused", level: "warn", peer: this.#peer, why });
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#socket.destroy();
    this.#finish(why);
  }

  #finish(reason: string): void {
    if (this.#state === "closed") return;
    this.#state = "closed"; // C2
    this.#closeReason = reason;
    this.#queue = [];
    this.#queuedBytes = 0;
    if (!this.#socket.destroyed) {
      this.#socket.end();
      this.#socket.resume(); // unread bytes would turn our FIN into a reset, and the last frames would be lost
      const lingering = setTimeout(() => this.#socket.destroy(), LINGER_MS).unref();
      this.#socket.once("close", () => clearTimeout(lingering));
    }
    const handler = this.#closeHandler;
    if (handler !== undefined) queueMicrotask(() => handler(reason));
  }
}

function describeFault(fault: FrameFault): string {
  switch (fault.type) {
    case "oversized":
      return `a frame of ${fault.length} bytes is over the limit of ${fault.limit}`;
    case "damaged":
      return `a frame of ${fault.length} bytes fails its checksum`;
  }
}
