/**
 * One unary call on one HTTP/2 stream. The hot path of the whole door: a request that came in one chunk is handed on as
 * a view of it, and the answer is one HEADERS, one DATA and one trailers frame.
 *
 * U1. The handler runs at most once, as soon as the message is whole; like grpc-go, it does not wait for END_STREAM.
 * U2. Answers that a caller does not read are charged to its connection; when they reach the bound, it is refused more.
 * U3. The stream is answered at most once, and not at all after the caller reset it.
 */
import type { ServerHttp2Stream } from "node:http2";
import type { ArrivingCall, ConnectionEnvironment } from "./call-environment.ts";
import { Deframer, declaredLength } from "./deframer.ts";
import { handlerFailure } from "./handler-failure.ts";
import { type Encoding, faultStatus, frameInPlace, frameMessage, openMessage } from "./message.ts";
import type { UnaryCall } from "./method.ts";
import { responseHeaders, sendOkTrailers, sendTrailersOnly, startResponse, stopReading } from "./responder.ts";
import { type GrpcStatus, grpcCode, grpcStatus } from "./status.ts";

export interface RpcRequest {
  readonly path: string;
  /** `application/grpc`, or with the caller's subtype. */
  readonly contentType: string;
  readonly encoding: Encoding;
  readonly timeoutMs: number | undefined;
}

const callOf = Symbol("call");

interface OwnedStream extends ServerHttp2Stream {
  [callOf]: UnaryRpc;
}

let onData: (this: OwnedStream, chunk: Uint8Array) => void;
let onEnd: (this: OwnedStream) => void;
let onWantTrailers: (this: OwnedStream) => void;
let onClose: (this: OwnedStream) => void;

/** Answers up to this size are not counted: a thousand of them are the most that one connection holds. */
const ANSWER_BYTES_FREE = 16 * 1024;

type Phase = "arriving" | "handling" | "answered";

export class UnaryRpc implements UnaryCall, ArrivingCall {
  readonly since: number;
  readonly #stream: ServerHttp2Stream;
  readonly #handle: (request: Uint8Array, call: UnaryCall) => void;
  readonly #request: RpcRequest;
  readonly #connection: ConnectionEnvironment;
  #phase: Phase = "arriving";
  #requestEnded = false;
  #deframer: Deframer | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #cancels: (() => void)[] | undefined;
  /** Charged for an answer that is on its way. */
  #answerBytes = 0;

  constructor(
    stream: ServerHttp2Stream,
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
    // The listeners are shared by all streams and find their call through a symbol: a call then makes no closure.
    const owned = stream as OwnedStream; // the cast declares the property that the next line adds
    owned[callOf] = this;
    owned.on("error", ignore);
    owned.on("wantTrailers", onWantTrailers);
    owned.on("data", onData);
    owned.on("end", onEnd);
    owned.on("close", onClose);
  }

  static {
    onData = function (this: OwnedStream, chunk: Uint8Array): void {
      this[callOf].#receive(chunk);
    };
    onEnd = function (this: OwnedStream): void {
      this[callOf].#endRequest();
    };
    onWantTrailers = function (this: OwnedStream): void {
      sendOkTrailers(this);
      // The caller still sends. Trailers leave in the next immediate; what comes right after them may be the reset.
      if (!this[callOf].#requestEnded) setImmediate(() => setImmediate(stopReading, this));
    };
    onClose = function (this: OwnedStream): void {
      this[callOf].#close();
    };
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
    if (framed.length > ANSWER_BYTES_FREE) {
      this.#answerBytes = framed.length;
      this.#connection.answers.charge(framed.length);
    }
    startResponse(this.#stream, responseHeaders(this.#request.contentType));
    this.#stream.end(frameInPlace(framed));
  }

  fail(status: GrpcStatus): void {
    if (!this.#settle()) return;
    sendTrailersOnly(this.#stream, this.#request.contentType, status);
    if (!this.#requestEnded) stopReading(this.#stream);
  }

  expire(): void {
    this.#arrived();
    this.fail(grpcStatus(grpcCode.deadlineExceeded, "Cannot read the request: its body did not arrive in time"));
  }

  #receive(chunk: Uint8Array): void {
    if (this.#phase !== "arriving") return; // more than one message: grpc-go ignores the rest, and so do we
    if (
      this.#deframer === undefined &&
      chunk.length >= 5 &&
      chunk[0] === 0 &&
      declaredLength(chunk, 0) === chunk.length - 5 &&
      chunk.length - 5 <= this.#connection.door.messageBytesMax
    ) {
      this.#run(chunk.subarray(5));
      return;
    }
    this.#deframer ??= new Deframer(this.#connection.door.messageBytesMax, this.#connection.budget);
    this.#deframer.push(chunk);
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

  #endRequest(): void {
    this.#requestEnded = true;
    if (this.#phase !== "arriving") return;
    const whole = this.#deframer === undefined || this.#deframer.atBoundary;
    this.#arrived();
    this.fail(grpcStatus(grpcCode.unknown, whole ? "EOF" : "unexpected EOF"));
  }

  #expireDeadline(): void {
    this.#deadline = undefined;
    const cancels = this.#cancels;
    this.#arrived();
    this.fail(grpcStatus(grpcCode.deadlineExceeded, "context deadline exceeded"));
    if (cancels !== undefined) for (const cancel of cancels) cancel();
  }

  #close(): void {
    this.#arrived();
    if (this.#answerBytes > 0) {
      this.#connection.answers.give(this.#answerBytes);
      this.#answerBytes = 0;
    }
    if (this.#phase === "answered") return;
    this.#phase = "answered";
    clearTimeout(this.#deadline);
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
    return !this.#stream.destroyed && !this.#stream.closed;
  }
}

function ignore(): void {
  // A reset by the caller comes as an error before `close`; `close` does what there is to do.
}
