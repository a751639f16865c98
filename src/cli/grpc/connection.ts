/**
 * One HTTP/2 connection to one endpoint, and the calls on it.
 * Source: grpc.io, "gRPC over HTTP2".
 *
 * Owns the session and its keepalive. Leaves the choice of an endpoint and every retry to `client.ts`.
 *
 * G1. A call ends exactly once: with its messages and status 0, or with a `GrpcError`.
 * G2. The error's `progress` never understates: `not-sent` only if no server can have seen the request.
 */
import http2 from "node:http2";
import { FramingError, frameMessage, MessageParser } from "./framing.ts";
import { grpcCode } from "../../doors/grpc/status.ts";
import { type CallProgress, decodeGrpcMessage, GrpcError, statusOfHttp } from "./status.ts";

export interface GrpcMethod<Request, Response> {
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly request: { encode(value: Request): Uint8Array };
  readonly response: { decode(bytes: Uint8Array): Response };
  /** May the call be repeated when its answer was lost? True for reads and for writes that set a state. */
  readonly repeatable: boolean;
}

export interface CallOptions {
  /** Milliseconds until DEADLINE_EXCEEDED, on this side and, by the `grpc-timeout` header, on the server's. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** One open stream of calls: send messages, then consume the answers. Answers are held back by flow control. */
export interface GrpcStream<Request, Response> extends AsyncIterable<Response> {
  send(request: Request): void;
  /** No more requests follow. */
  finish(): void;
  /** Gives the call up. The iteration then ends without an error. */
  cancel(): void;
}

const CONNECT_MS = 3_000;
const WINDOW_BYTES = 4 * 1024 * 1024;
const KEEPALIVE_MS = 5_000;
const KEEPALIVE_ANSWER_MS = 5_000;

export class GrpcConnection {
  readonly endpoint: string;
  readonly #session: http2.ClientHttp2Session;
  readonly #keepalive: NodeJS.Timeout;
  #lastAnswer = performance.now();

  private constructor(endpoint: string, session: http2.ClientHttp2Session) {
    this.endpoint = endpoint;
    this.#session = session;
    this.#keepalive = setInterval(() => this.#ping(), KEEPALIVE_MS);
    this.#keepalive.unref();
    session.on("close", () => clearInterval(this.#keepalive));
    session.on("error", () => undefined); // each open call hears of it through its own stream
  }

  /** Fails with a `GrpcError` UNAVAILABLE, `not-sent`. */
  static async open(endpoint: string, options: CallOptions = {}): Promise<GrpcConnection> {
    const session = http2.connect(endpoint, { settings: { initialWindowSize: WINDOW_BYTES, enablePush: false } });
    const budgetMs = Math.max(1, Math.min(CONNECT_MS, options.timeoutMs ?? CONNECT_MS));
    try {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`no answer within ${budgetMs} ms`)), budgetMs);
        const onAbort = (): void => reject(new Error("given up"));
        const settle = (act: () => void) => () => {
          clearTimeout(timer);
          options.signal?.removeEventListener("abort", onAbort);
          act();
        };
        options.signal?.addEventListener("abort", onAbort, { once: true });
        if (options.signal?.aborted === true) onAbort();
        // The server's SETTINGS prove that something there speaks HTTP/2; a bare TCP connection proves nothing.
        session.once("remoteSettings", settle(resolve));
        session.once("error", (error: Error) => settle(() => reject(error))());
        session.once(
          "close",
          settle(() => reject(new Error("the connection was closed before it stood"))),
        );
      });
    } catch (error) {
      session.on("error", () => undefined);
      session.destroy();
      throw new GrpcError(grpcCode.unavailable, reasonOf(error), { progress: "not-sent", endpoint, cause: error });
    }
    session.setLocalWindowSize(WINDOW_BYTES);
    return new GrpcConnection(endpoint, session);
  }

  get usable(): boolean {
    return !this.#session.closed && !this.#session.destroyed;
  }

  async unary<Request, Response>(
    method: GrpcMethod<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): Promise<Response> {
    const call = new Call(this.#request(method.path, options), method, this.endpoint, options);
    call.send(request);
    call.finish();
    let answer: { readonly message: Response } | undefined;
    for await (const message of call) answer ??= { message };
    if (answer !== undefined) return answer.message;
    if (options.signal?.aborted === true) throw this.#error(grpcCode.cancelled, "the call was given up", "lost");
    throw this.#error(grpcCode.internal, "the server answered without a message", "lost");
  }

  stream<Request, Response>(
    method: GrpcMethod<Request, Response>,
    options: CallOptions = {},
  ): GrpcStream<Request, Response> {
    return new Call(this.#request(method.path, options), method, this.endpoint, options);
  }

  close(): void {
    clearInterval(this.#keepalive);
    this.#session.destroy();
  }

  #request(path: string, options: CallOptions): http2.ClientHttp2Stream {
    if (!this.usable) throw this.#error(grpcCode.unavailable, "the connection is closed", "not-sent");
    const headers: http2.OutgoingHttpHeaders = {
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      "user-agent": "althing-cli",
    };
    if (options.timeoutMs !== undefined) headers["grpc-timeout"] = grpcTimeout(options.timeoutMs);
    try {
      return this.#session.request(headers);
    } catch (error) {
      throw this.#error(grpcCode.unavailable, reasonOf(error), "not-sent");
    }
  }

  /** A peer that is paused or cut off keeps its TCP connection open for minutes; only an unanswered ping shows it. */
  #ping(): void {
    if (!this.usable) return;
    const answered = this.#session.ping((error) => {
      if (error === null) this.#lastAnswer = performance.now();
    });
    if (!answered) return; // ten pings are already on the way
    const sent = performance.now();
    setTimeout(() => {
      if (this.usable && this.#lastAnswer < sent) this.#session.destroy(new Error("the endpoint stopped answering"));
    }, KEEPALIVE_ANSWER_MS).unref();
  }

  #error(code: number, message: string, progress: CallProgress): GrpcError {
    return new GrpcError(code, message, { progress, endpoint: this.endpoint });
  }
}

type CallEnd = { readonly type: "ok" } | { readonly type: "failed"; readonly error: GrpcError };

/** `setTimeout` takes a longer delay for none at all. */
const TIMER_MS_MAX = 0x7fff_ffff;

/** Messages that may wait for the consumer before the stream is paused. */
const QUEUE_MAX = 64;

class Call<Request, Response> implements GrpcStream<Request, Response> {
  readonly #stream: http2.ClientHttp2Stream;
  readonly #method: GrpcMethod<Request, Response>;
  readonly #endpoint: string;
  readonly #parser = new MessageParser();
  readonly #queue: Response[] = [];
  #wake: () => void = () => undefined;
  #end: CallEnd | undefined;
  /** From the trailers; it counts once the body has been read to its end. */
  #status: CallEnd | undefined;
  #timer: NodeJS.Timeout | undefined;
  #release: () => void = () => undefined;

  constructor(
    stream: http2.ClientHttp2Stream,
    method: GrpcMethod<Request, Response>,
    endpoint: string,
    options: CallOptions,
  ) {
    this.#stream = stream;
    this.#method = method;
    this.#endpoint = endpoint;
    if (options.timeoutMs !== undefined) {
      const { timeoutMs } = options;
      const delayMs = Math.min(timeoutMs, TIMER_MS_MAX);
      this.#timer = setTimeout(() => {
        this.#fail(grpcCode.deadlineExceeded, `no answer within ${Math.round(timeoutMs)} ms`, "lost");
      }, delayMs);
    }
    const { signal } = options;
    if (signal !== undefined) {
      const onAbort = (): void => this.cancel();
      signal.addEventListener("abort", onAbort, { once: true });
      this.#release = () => signal.removeEventListener("abort", onAbort);
      if (signal.aborted) queueMicrotask(onAbort);
    }
    stream.on("response", (headers) => this.#onHeaders(headers));
    stream.on("trailers", (headers: http2.IncomingHttpHeaders) => this.#onStatus(headers));
    stream.on("data", (chunk: Buffer) => this.#onData(chunk));
    stream.on("end", () => this.#onEnd());
    stream.on("error", (error) => this.#fail(grpcCode.unavailable, reasonOf(error), this.#brokenAt()));
    stream.on("close", () => this.#onClose());
  }

  send(request: Request): void {
    if (this.#end === undefined) this.#stream.write(frameMessage(this.#method.request.encode(request)));
  }

  finish(): void {
    if (this.#end === undefined) this.#stream.end();
  }

  cancel(): void {
    this.#queue.length = 0;
    this.#settle({ type: "ok" });
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Response> {
    try {
      for (;;) {
        const next = this.#queue.shift();
        if (next !== undefined) {
          if (this.#queue.length === 0 && this.#stream.isPaused()) this.#stream.resume();
          yield next;
        } else if (this.#end !== undefined) {
          if (this.#end.type === "failed") throw this.#end.error;
          return;
        } else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
      }
    } finally {
      this.#settle({ type: "ok" }); // a consumer that leaves early gives the call up
    }
  }

  #onHeaders(headers: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader): void {
    const status = headers[":status"] ?? 0;
    if (headers["grpc-status"] !== undefined) {
      this.#onStatus(headers); // trailers only
    } else if (status !== 200) {
      this.#fail(statusOfHttp(status), `the endpoint answered with HTTP status ${status}`, "answered");
    } else if (!String(headers["content-type"]).startsWith("application/grpc")) {
      this.#fail(grpcCode.unknown, "the endpoint does not speak gRPC", "answered");
    }
  }

  #onData(chunk: Buffer): void {
    if (this.#end !== undefined) return;
    try {
      for (const message of this.#parser.push(chunk)) this.#queue.push(this.#method.response.decode(message));
    } catch (error) {
      const what = error instanceof FramingError ? "badly framed" : "undecodable";
      this.#fail(grpcCode.internal, `${what} answer: ${reasonOf(error)}`, "lost");
      return;
    }
    if (this.#queue.length >= QUEUE_MAX) this.#stream.pause();
    this.#wake();
  }

  #onStatus(headers: http2.IncomingHttpHeaders): void {
    const text = headers["grpc-status"];
    const code = typeof text === "string" && /^\d{1,3}$/.test(text) ? Number(text) : grpcCode.unknown;
    const message = headers["grpc-message"];
    this.#status =
      code === grpcCode.ok
        ? { type: "ok" }
        : this.#failed(code, typeof message === "string" ? decodeGrpcMessage(message) : `status ${code}`, "answered");
  }

  #onEnd(): void {
    if (this.#status?.type === "ok" && !this.#parser.atBoundary) {
      this.#fail(grpcCode.internal, "the answer ends inside a message", "lost");
    } else if (this.#status !== undefined) {
      this.#settle(this.#status);
    }
  }

  /** REFUSED_STREAM promises that nothing was processed (RFC 9113, section 8.7); any other break promises nothing. */
  #brokenAt(): CallProgress {
    return this.#stream.rstCode === http2.constants.NGHTTP2_REFUSED_STREAM ? "not-sent" : "lost";
  }

  #onClose(): void {
    if (this.#status !== undefined) {
      this.#onEnd();
      return;
    }
    this.#fail(grpcCode.unavailable, "the connection broke before an answer came", this.#brokenAt());
  }

  #failed(code: number, message: string, progress: CallProgress): CallEnd {
    return { type: "failed", error: new GrpcError(code, message, { progress, endpoint: this.#endpoint }) };
  }

  #fail(code: number, message: string, progress: CallProgress): void {
    this.#settle(this.#failed(code, message, progress));
  }

  #settle(end: CallEnd): void {
    if (this.#end !== undefined) return; // G1
    this.#end = end;
    clearTimeout(this.#timer);
    this.#release();
    if (!this.#stream.closed) this.#stream.close(http2.constants.NGHTTP2_CANCEL);
    this.#wake();
  }
}

/** The value of `grpc-timeout`: at most eight digits and a unit. */
export function grpcTimeout(timeoutMs: number): string {
  const whole = Math.max(1, Math.ceil(timeoutMs));
  return whole <= 99_999_999 ? `${whole}m` : `${Math.ceil(whole / 1000)}S`;
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ("code" in error) {
    switch (error.code) {
      case "ECONNREFUSED":
        return "connection refused";
      case "ECONNRESET":
        return "connection reset";
      case "ENOTFOUND":
      case "EAI_AGAIN":
        return "the host name does not resolve";
      case "EHOSTUNREACH":
      case "ENETUNREACH":
        return "no route to the host";
      case "ERR_HTTP2_ERROR":
        return "the endpoint does not speak HTTP/2";
    }
  }
  return error.message;
}
