/**
 * A gRPC caller for tests that can do everything wrong: any headers, any bytes in any pieces, resets, half-closes. It tells
 * exactly what came back and judges nothing.
 */
import { type ClientHttp2Session, connect, constants, type IncomingHttpHeaders } from "node:http2";

export interface RawCall {
  /** Merged over the usual ones; undefined removes one. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly chunks?: readonly Uint8Array[];
  /** Default true: half-close after the chunks. */
  readonly end?: boolean;
  /** Give up listening after this; `timedOut` tells. Default 2 s. */
  readonly timeoutMs?: number;
  /** Reset the stream as soon as this many messages are here. */
  readonly resetAfter?: number;
}

export interface RawAnswer {
  readonly httpStatus: number | undefined;
  readonly contentType: string | undefined;
  /** From the trailers, or from the headers when they are all there is. */
  readonly grpcStatus: number | undefined;
  /** Percent-decoded. */
  readonly grpcMessage: string | undefined;
  readonly trailersOnly: boolean;
  readonly messages: readonly Uint8Array[];
  readonly text: string;
  readonly rstCode: number;
  readonly timedOut: boolean;
}

/** A message in its gRPC frame; `flag` and `declared` to lie with. */
export function frame(message: Uint8Array, flag = 0, declared: number = message.length): Uint8Array {
  const head = Buffer.alloc(5);
  head[0] = flag;
  head.writeUInt32BE(declared, 1);
  return Buffer.concat([head, message]);
}

export class GrpcClient {
  readonly session: ClientHttp2Session;

  constructor(address: string) {
    this.session = connect(`http://${address}`);
    this.session.on("error", () => undefined);
  }

  call(path: string, call: RawCall = {}): Promise<RawAnswer> {
    return new Promise((resolve) => {
      const headers: Record<string, string> = {};
      const wanted = { "content-type": "application/grpc", te: "trailers", ":method": "POST", ...call.headers };
      for (const [name, value] of Object.entries(wanted)) if (value !== undefined) headers[name] = value;
      const stream = this.session.request({ ...headers, ":path": path });
      let http: IncomingHttpHeaders = {};
      let trailers: IncomingHttpHeaders | undefined;
      let timedOut = false;
      const data: Buffer[] = [];
      const timer = setTimeout(() => {
        timedOut = true;
        stream.close(constants.NGHTTP2_CANCEL);
      }, call.timeoutMs ?? 2_000);
      stream.on("response", (received) => {
        http = received;
      });
      stream.on("trailers", (received: IncomingHttpHeaders) => {
        trailers = received;
      });
      stream.on("data", (chunk: Buffer) => {
        data.push(chunk);
        if (call.resetAfter !== undefined && splitFrames(Buffer.concat(data)).length >= call.resetAfter) {
          stream.close(constants.NGHTTP2_CANCEL);
        }
      });
      stream.on("error", () => undefined);
      stream.on("close", () => {
        clearTimeout(timer);
        const last = trailers ?? http;
        const status = last["grpc-status"];
        const message = last["grpc-message"];
        const body = Buffer.concat(data);
        const isGrpc = String(http["content-type"]).startsWith("application/grpc");
        resolve({
          httpStatus: http[":status"] === undefined ? undefined : Number(http[":status"]),
          contentType: http["content-type"],
          grpcStatus: status === undefined ? undefined : Number(status),
          grpcMessage: message === undefined ? undefined : decodeURIComponent([message].flat().join()),
          trailersOnly: trailers === undefined,
          messages: isGrpc ? splitFrames(body) : [],
          text: isGrpc ? "" : body.toString(),
          rstCode: stream.rstCode ?? 0,
          timedOut,
        });
      });
      for (const chunk of call.chunks ?? []) stream.write(chunk);
      if (call.end ?? true) stream.end();
    });
  }

  close(): void {
    this.session.destroy();
  }
}

/** The whole messages of a body. */
export function splitFrames(body: Buffer): Uint8Array[] {
  const messages: Uint8Array[] = [];
  let at = 0;
  while (at + 5 <= body.length) {
    const length = body.readUInt32BE(at + 1);
    if (at + 5 + length > body.length) break;
    messages.push(body.subarray(at + 5, at + 5 + length));
    at += 5 + length;
  }
  return messages;
}
