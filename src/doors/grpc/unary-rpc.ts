/**
 * One unary call on one HTTP/2 stream. The hot path of the whole door: a request that came in one frame is handed on as
 * a view of it, and the answer is one HEADERS, one DATA and one trailers frame.
 *
 * U1. The handler runs at most once, as soon as the message is whole; like grpc-go, it does not wait for END_STREAM.
 * U2. A caller that does not read its answers is refused more.
 * U3. The stream is answered at most once, and not at all after the caller reset it.
 */
import type { WireField } from "../http2/hpack-encoder.ts";
import type { Http2Stream, StreamListener } from "../http2/stream.ts";
import type { ArrivingCall, ConnectionEnvironment } from "./call-environment.ts";
import { Deframer, declaredLength } from "./deframer.ts";
import { handlerFailure } from "./handler-failure.ts";
import { type Encoding, faultStatus, frameInPlace, frameMessage, openMessage } from "./message.ts";
import type { UnaryCall } from "./method.ts";
import { OK_TRAILERS, statusTrailers } from "./responder.ts";
import { type GrpcStatus, grpcCode, grpcStatus } from "./status.ts";

export interface RpcRequest {
  readonly path: string;
  /** Of the answer. */
  readonly headers: readonly WireField[];
  readonly encoding: Encoding;
  readonly timeoutMs: number | undefined;
}

type Phase = "arriving" | "handling" | "answered";

export class UnaryRpc implements UnaryCall, ArrivingCall, StreamListener {
  readonly since: number;
  readonly #stream: Http2Stream;
  readonly #handle: (request: Uint8Array, call: UnaryCall) => void;
  readonly #request: RpcRequest;
  readonly #connection: ConnectionEnvironment;
  #phase: Phase = "arriving";
  #deframer: Deframer | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #cancels: (() => void)[] | undefined;

  constructor(
    stream: Http2Stream,
    handle: (request: Uint8Array, call: UnaryCall) => void,
    request: RpcRequest,
    connection: ConnectionEnvironment,
  ) {
    this.#stream = stream;
    this.#handle = handle;
    this.#request = request;
    this.#connection = connection;
    this.since = connection.door.sweep;
    connection.door.arriving.add(this);
    if (request.timeoutMs !== undefined) {
      this.#deadline = setTimeout(() => this.#expireDeadline(), request.timeoutMs);
    }
    stream.listen(this);
  }

  get timeoutMs(): number | undefined {
    return this.#request.timeoutMs;
  }

  onCancel(callback: () => void): void {
    if (this.#phase === "answered") return;
    this.#cancels ??= [];
    this.#cancels.push(callback);
  }

  reply(message: Uint8Array): void {
    this.replyFramed(frameMessage(message));
  }

  replyFramed(framed: Uint8Array): void {
    if (!this.#settle()) return;
    this.#stream.respond(this.#request.headers);
    this.#stream.write(frameInPlace(framed));
    this.#stream.end(OK_TRAILERS);
  }

  fail(status: GrpcStatus): void {
    if (!this.#settle()) return;
    this.#stream.respond([...this.#request.headers, ...statusTrailers(status)], true);
  }

  expire(): void {
    this.#arrived();
    this.fail(grpcStatus(grpcCode.deadlineExceeded, "Cannot read the request: its body did not arrive in time"));
  }

  data(bytes: Uint8Array): void {
    if (this.#phase !== "arriving") return; // more than one message: grpc-go ignores the rest, and so do we
    if (
      this.#deframer === undefined &&
      bytes.length >= 5 &&
      bytes[0] === 0 &&
      declaredLength(bytes, 0) === bytes.length - 5 &&
      bytes.length - 5 <= this.#connection.door.messageBytesMax
    ) {
      this.#run(bytes.subarray(5));
      return;
    }
    this.#deframer ??= new Deframer(this.#connection.door.messageBytesMax, this.#connection.budget);
    this.#deframer.push(bytes);
    const frame = this.#deframer.next();
    if (frame.type === "starved") return;
    if (frame.type !== "message") {
      this.#arrived();
      this.fail(faultStatus(frame, this.#connection.door.messageBytesMax));
      return;
    }
    const opened = openMessage(frame, this.#request.encoding, this.#connection.door.messageBytesMax);
    if (opened.type === "bytes") this.#run(opened.bytes);
    else {
      this.#arrived();
      this.fail(opened.status);
    }
  }

  end(): void {
    if (this.#phase !== "arriving") return;
    const whole = this.#deframer === undefined || this.#deframer.atBoundary;
    this.#arrived();
    this.fail(grpcStatus(grpcCode.unknown, whole ? "EOF" : "unexpected EOF"));
  }

  drain(): void {
    // One answer, written whole: nobody waits for room.
  }

  close(): void {
    this.#arrived();
    if (this.#phase === "answered") return;
    this.#phase = "answered";
    clearTimeout(this.#deadline);
    this.#cancel();
  }

  #run(message: Uint8Array): void {
    this.#arrived();
    if (this.#connection.answers.isSpent) {
      this.fail(grpcStatus(grpcCode.resourceExhausted, "etcdserver: too many requests"));
      return;
    }
    this.#phase = "handling";
    try {
      this.#handle(message, this);
    } catch (error) {
      this.fail(handlerFailure(this.#connection.door.observer, this.#request.path, error));
    }
  }

  #expireDeadline(): void {
    this.#deadline = undefined;
    this.#arrived();
    const cancels = this.#cancels;
    this.fail(grpcStatus(grpcCode.deadlineExceeded, "context deadline exceeded"));
    this.#cancels = cancels;
    this.#cancel();
  }

  #cancel(): void {
    const cancels = this.#cancels;
    this.#cancels = undefined;
    if (cancels !== undefined) for (const cancel of cancels) cancel();
  }

  /** The request needs no more memory or watching. */
  #arrived(): void {
    this.#connection.door.arriving.delete(this);
    if (this.#deframer === undefined) return;
    this.#deframer.close();
    this.#deframer = undefined;
  }

  /** Enters `answered`; false if it was answered before, or nobody is there to be answered. */
  #settle(): boolean {
    if (this.#phase === "answered") return false;
    this.#phase = "answered";
    this.#cancels = undefined;
    if (this.#deadline !== undefined) clearTimeout(this.#deadline);
    return !this.#stream.isClosed;
  }
}
