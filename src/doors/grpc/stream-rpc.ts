/**
 * One streaming call on one HTTP/2 stream: messages in until the caller half-closes, messages out until `end`.
 *
 * S1. Nothing is sent after the status.
 * S2. Paused means paused: no message is handed on, and the caller's flow-control window is not opened again.
 * S3. `cancel` comes once, and only if the call did not end before.
 */
import type { ServerHttp2Stream } from "node:http2";
import type { ConnectionEnvironment, OpenStream } from "./call-environment.ts";
import { Deframer } from "./deframer.ts";
import { handlerFailure } from "./handler-failure.ts";
import { faultStatus, frameInPlace, frameMessage, openMessage } from "./message.ts";
import type { StreamCall, StreamHandler } from "./method.ts";
import { responseHeaders, sendStatusTrailers, sendTrailersOnly, startResponse, stopReading } from "./responder.ts";
import { type GrpcStatus, grpcCode, grpcStatus } from "./status.ts";
import type { RpcRequest } from "./unary-rpc.ts";

type State =
  | { readonly type: "open" }
  /** The status waits for the last messages to leave. */
  | { readonly type: "ended"; readonly status: GrpcStatus };

export class StreamRpc implements StreamCall, OpenStream {
  readonly #stream: ServerHttp2Stream;
  readonly #request: RpcRequest;
  readonly #connection: ConnectionEnvironment;
  readonly #deframer: Deframer;
  #handler: StreamHandler | undefined;
  #state: State = { type: "open" };
  #requestEnded = false;
  #paused = false;
  #pumping = false;
  #deadline: NodeJS.Timeout | undefined;
  #cancels: (() => void)[] = [];

  constructor(
    stream: ServerHttp2Stream,
    request: RpcRequest,
    connection: ConnectionEnvironment,
    open: (call: StreamCall) => StreamHandler,
  ) {
    this.#stream = stream;
    this.#request = request;
    this.#connection = connection;
    this.#deframer = new Deframer(connection.door.messageBytesMax, connection.budget);
    connection.door.openStreams.add(this);
    if (request.timeoutMs !== undefined) {
      this.#deadline = setTimeout(() => this.#expireDeadline(), request.timeoutMs);
    }
    stream.on("error", () => undefined); // `close` follows and does what there is to do
    stream.on("wantTrailers", () => {
      if (this.#state.type !== "ended") return;
      sendStatusTrailers(stream, this.#state.status);
      // Trailers leave in the next immediate; what comes right after them may be the reset.
      if (!this.#requestEnded) setImmediate(() => setImmediate(stopReading, stream));
    });
    stream.on("close", () => this.#close());
    this.#guard(() => {
      this.#handler = open(this);
    });
    stream.on("data", (chunk: Uint8Array) => {
      if (this.#state.type === "ended") return;
      this.#deframer.push(chunk);
      this.#pump();
    });
    stream.on("end", () => this.#endRequest());
    stream.on("drain", () => {
      if (this.#state.type === "open") this.#guard(() => this.#handler?.drain());
    });
  }

  get timeoutMs(): number | undefined {
    return this.#request.timeoutMs;
  }

  onCancel(callback: () => void): void {
    this.#cancels.push(callback);
  }

  send(message: Uint8Array): boolean {
    return this.sendFramed(frameMessage(message));
  }

  sendFramed(framed: Uint8Array): boolean {
    if (this.#state.type === "ended" || this.#stream.destroyed || this.#stream.closed) return false;
    if (!this.#stream.headersSent) startResponse(this.#stream, responseHeaders(this.#request.contentType));
    return this.#stream.write(frameInPlace(framed));
  }

  end(status: GrpcStatus): void {
    if (this.#state.type === "ended") return;
    this.#state = { type: "ended", status };
    this.#release();
    if (this.#stream.destroyed || this.#stream.closed) return;
    if (this.#stream.headersSent) this.#stream.end();
    else {
      sendTrailersOnly(this.#stream, this.#request.contentType, status);
      if (!this.#requestEnded) stopReading(this.#stream);
    }
    if (!this.#requestEnded) this.#stream.resume(); // let the caller's own end of the stream be seen
  }

  pause(): void {
    this.#paused = true;
    this.#stream.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#pump();
    if (!this.#paused && !this.#stream.destroyed) this.#stream.resume();
  }

  /** Hands on the messages that are whole, until one handler pauses. */
  #pump(): void {
    if (this.#pumping) return; // a handler resumed inside its own `message`: the loop below goes on
    this.#pumping = true;
    try {
      while (!this.#paused && this.#state.type === "open") {
        const frame = this.#deframer.next();
        if (frame.type === "starved") return;
        if (frame.type !== "message") {
          this.#abandon(faultStatus(frame, this.#connection.door.messageBytesMax));
          return;
        }
        const opened = openMessage(frame, this.#request.encoding, this.#connection.door.messageBytesMax);
        if (opened.type === "refused") {
          this.#abandon(opened.status);
          return;
        }
        this.#guard(() => this.#handler?.message(opened.bytes));
      }
    } finally {
      this.#pumping = false;
    }
  }

  #endRequest(): void {
    this.#requestEnded = true;
    if (this.#state.type === "ended") return;
    if (!this.#deframer.atBoundary) {
      this.#abandon(grpcStatus(grpcCode.internal, "unexpected EOF"));
      return;
    }
    this.#guard(() => this.#handler?.halfClose());
  }

  #expireDeadline(): void {
    this.#deadline = undefined;
    this.#abandon(grpcStatus(grpcCode.deadlineExceeded, "context deadline exceeded"));
  }

  /** Ends the call from this side, for a reason the handler does not know. */
  #abandon(status: GrpcStatus): void {
    if (this.#state.type === "ended") return;
    this.end(status);
    this.#cancelHandler();
  }

  #close(): void {
    if (this.#state.type === "ended") return;
    this.#state = { type: "ended", status: grpcStatus(grpcCode.cancelled, "context canceled") };
    this.#release();
    this.#cancelHandler();
  }

  #cancelHandler(): void {
    this.#guard(() => this.#handler?.cancel());
    for (const cancel of this.#cancels) this.#guard(cancel);
    this.#cancels = [];
  }

  #release(): void {
    clearTimeout(this.#deadline);
    this.#deframer.close();
    this.#connection.door.openStreams.delete(this);
  }

  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.end(handlerFailure(this.#connection.door.observer, this.#request.path, error));
    }
  }
}
