/**
 * A gRPC client connection for tests: unary calls over one HTTP/2 session (grpc.io, "gRPC over HTTP2"). What matters to a
 * checker is kept apart: `unsent` calls certainly did nothing, `unknown` ones may have done everything.
 */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";

export type UnaryResult =
  /** The server answered; `status` 0 is success, and then `body` is there. */
  | { readonly type: "answered"; readonly status: number; readonly message: string; readonly body: Uint8Array }
  /** The request did not reach a server that would act on it. */
  | { readonly type: "unsent"; readonly reason: string }
  /** Sent, and no answer. */
  | { readonly type: "unknown"; readonly reason: string };

const MESSAGE_PREFIX_BYTES = 5;
const { NGHTTP2_REFUSED_STREAM, NGHTTP2_CANCEL } = constants;

export class GrpcConnection {
  readonly endpoint: string;
  #session: ClientHttp2Session | undefined;

  /** `endpoint` is `host:port`. Dials with the first call, and again after the connection broke. */
  constructor(endpoint: string) {
    this.endpoint = endpoint;
  }

  /** Sends one message and waits for the answer, at most `timeoutMs`. Never rejects. */
  unary(path: string, message: Uint8Array, options: { readonly timeoutMs: number }): Promise<UnaryResult> {
    const session = this.#open();
    return new Promise((resolve) => {
      const stream = session.request({
        ":method": "POST",
        ":path": path,
        "content-type": "application/grpc",
        te: "trailers",
      });
      const call = new UnaryCall(session, stream, resolve);
      const timer = setTimeout(() => {
        call.giveUp(`no answer in ${options.timeoutMs} ms`);
        stream.close(NGHTTP2_CANCEL);
        // A node that does not answer at all, not even to connect: the next call dials anew.
        if (session.connecting) session.destroy();
      }, options.timeoutMs);
      call.onSettled = () => clearTimeout(timer);
      stream.end(frame(message));
    });
  }

  close(): void {
    this.#session?.destroy();
    this.#session = undefined;
  }

  #open(): ClientHttp2Session {
    if (this.#session !== undefined && !this.#session.closed && !this.#session.destroyed) return this.#session;
    const session = connect(`http://${this.endpoint}`);
    session.setMaxListeners(0); // one per call under way
    session.on("error", () => undefined); // each call hears of it through its stream
    session.on("goaway", () => {
      if (this.#session === session) this.#session = undefined; // the streams under way may still end well
    });
    this.#session = session;
    return session;
  }
}

/** One call's life: collects the answer, settles once. */
class UnaryCall {
  onSettled: () => void = () => undefined;
  readonly #session: ClientHttp2Session;
  readonly #resolve: (result: UnaryResult) => void;
  readonly #chunks: Buffer[] = [];
  #status: string | undefined;
  #message = "";
  #settled = false;
  #wasConnected: boolean;

  constructor(session: ClientHttp2Session, stream: ClientHttp2Stream, resolve: (result: UnaryResult) => void) {
    this.#session = session;
    this.#resolve = resolve;
    this.#wasConnected = !session.connecting;
    if (!this.#wasConnected) {
      session.once("connect", () => {
        this.#wasConnected = true;
      });
    }
    const onHeaders = (headers: object): void => {
      const status: unknown = Reflect.get(headers, "grpc-status");
      const text: unknown = Reflect.get(headers, "grpc-message");
      const http: unknown = Reflect.get(headers, ":status");
      if (typeof status === "string") this.#status = status;
      if (typeof text === "string") this.#message = decodeURIComponent(text);
      if (typeof http === "number" && http !== 200) this.giveUp(`HTTP status ${http}`);
    };
    stream.on("response", onHeaders);
    stream.on("trailers", onHeaders);
    stream.on("data", (chunk: Buffer) => this.#chunks.push(chunk));
    stream.on("error", (error: Error) => this.#broken(stream.rstCode, error.message));
    stream.on("close", () => this.#ended(stream.rstCode));
  }

  giveUp(reason: string): void {
    this.#settle({ type: this.#wasConnected ? "unknown" : "unsent", reason });
  }

  #ended(code: number | undefined): void {
    if (this.#settled) return;
    if (this.#status === undefined) {
      this.#broken(code, "the stream ended without a status");
      return;
    }
    const status = Number(this.#status);
    const body = unframe(Buffer.concat(this.#chunks));
    if (status === 0 && body === undefined)
      this.#settle({ type: "unknown", reason: "status 0 without a whole message" });
    else this.#settle({ type: "answered", status, message: this.#message, body: body ?? new Uint8Array(0) });
  }

  #broken(code: number | undefined, reason: string): void {
    const refused = code === NGHTTP2_REFUSED_STREAM || !this.#wasConnected || this.#session.connecting;
    this.#settle({ type: refused ? "unsent" : "unknown", reason });
  }

  #settle(result: UnaryResult): void {
    if (this.#settled) return;
    this.#settled = true;
    this.onSettled();
    this.#resolve(result);
  }
}

/** gRPC's length-prefixed message, not compressed. */
export function frame(message: Uint8Array): Buffer {
  const framed = Buffer.alloc(MESSAGE_PREFIX_BYTES + message.length);
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, MESSAGE_PREFIX_BYTES);
  return framed;
}

function unframe(bytes: Buffer): Uint8Array | undefined {
  if (bytes.length < MESSAGE_PREFIX_BYTES || bytes[0] !== 0) return undefined;
  const length = bytes.readUInt32BE(1);
  return bytes.length === MESSAGE_PREFIX_BYTES + length ? bytes.subarray(MESSAGE_PREFIX_BYTES) : undefined;
}
