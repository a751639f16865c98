/**
 * One streaming call on one HTTP/2 stream: messages in until the caller half-closes, messages out until `end`.
 *
 * S1. Nothing is sent after the status.
 * S2. Paused means paused: no message is handed on, and the caller's flow-control window is not opened again.
 * S3. `cancel` comes once, and only if the call did not end before.
 */
import type { Http2Stream } from "../http2/stream.ts";
import type { ConnectionEnvironment, OpenStream } from "./call-environment.ts";
import { Deframer } from "./deframer.ts";
import { handlerFailure } from "./handler-failure.ts";
import { faultStatus, frameInPlace, frameMessage, openMessage } from "./message.ts";
import type { StreamCall, StreamHandler } from "./method.ts";
import { statusTrailers } from "./responder.ts";
import { type GrpcStatus, grpcCode, grpcStatus } from "./status.ts";
import type { RpcRequest } from "./unary-rpc.ts";

export class StreamRpc implements StreamCall, OpenStream {
  readonly #stream: Http2Stream;
  readonly #request: RpcRequest;
  readonly #connection: ConnectionEnvironment;
  readonly #deframer: Deframer;
  #handler: StreamHandler | undefined;
  #isEnded = false;
  #paused = false;
  #pumping = false;
  #deadline: NodeJS.Timeout | undefined;
  #cancels: (() => void)[] = [];

  constructor(
    stream: Http2Stream,
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
    stream.listen({
      data: (bytes) => this.#receive(bytes),
      end: () => this.#endRequest(),
      drain: () => this.#drain(),
      close: () => this.#close(),
    });
    this.#guard(() => {
      this.#handler = open(this);
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
    if (this.#isEnded || this.#stream.isClosed) return false;
    if (!this.#stream.isRespondedTo) this.#stream.respond(this.#request.headers);
    return this.#stream.write(frameInPlace(framed));
  }

  end(status: GrpcStatus): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#release();
    if (this.#stream.isRespondedTo) this.#stream.end(statusTrailers(status));
    else this.#stream.respond([...this.#request.headers, ...statusTrailers(status)], true);
    this.#stream.resume(); // let the caller's own end of the stream be seen
  }

  pause(): void {
    this.#paused = true;
    this.#stream.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#pump();
    if (!this.#paused) this.#stream.resume();
  }

  #receive(bytes: Uint8Array): void {
    if (this.#isEnded) return;
    this.#deframer.push(bytes);
    this.#pump();
  }

  #drain(): void {
    if (!this.#isEnded) this.#guard(() => this.#handler?.drain());
  }

  /** Hands on the messages that are whole, until one handler pauses. */
  #pump(): void {
    if (this.#pumping) return; // a handler resumed inside its own `message`: the loop below goes on
    this.#pumping = true;
    try {
      while (!this.#paused && !this.#isEnded) {
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
    if (this.#isEnded) return;
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
    if (this.#isEnded) return;
    this.end(status);
    this.#cancelHandler();
  }

  #close(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
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
