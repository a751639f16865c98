/**
 * The JSON gateway: etcd's RPCs as `POST /v3/...` on HTTP/1.1. A request's JSON becomes the request's protobuf bytes, the
 * method is called as gRPC would call it, and its answer's bytes become JSON: one implementation of each RPC, two notations.
 * Source  the `google.api.http` options in etcd's rpc.proto; grpc-gateway 1.9 as built into etcd 3.4.23.
 *
 * A stream of answers is one `{"result":...}` a line; if it fails after the first, `{"error":...}` is the last line.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { BytesError } from "../../base/bytes.ts";
import type { Message } from "../../base/protobuf.ts";
import type { Observer } from "../../ports/observer.ts";
import type { ByteBudget } from "../grpc/byte-budget.ts";
import { handlerFailure } from "../grpc/handler-failure.ts";
import { FRAME_HEADROOM, type Method, type StreamCall, type StreamHandler, type UnaryCall } from "../grpc/method.ts";
import { openServerStream } from "../grpc/server-stream.ts";
import { type GrpcCode, type GrpcStatus, grpcCode, grpcStatus } from "../grpc/status.ts";
import { readBody } from "../http/request-body.ts";
import { respondJson, respondText } from "../http/respond.ts";
import { httpStatusOf } from "./http-status.ts";
import { JsonSplitter, parseJson } from "./json-text.ts";
import { fromJson, toJson } from "./proto-json.ts";

/** A message with its types forgotten: the gateway maps it by its fields. */
export type AnyMessage = Message<unknown, Readonly<Record<string, unknown>>>;

export interface GatewayRoute {
  readonly method: Method;
  readonly request: AnyMessage;
  readonly response: AnyMessage;
}

export interface GatewayOptions {
  /** By path behind `/v3`, as in `/kv/put`. */
  readonly routes: ReadonlyMap<string, GatewayRoute>;
  /** Bytes of one JSON request. Base64 and names make it longer than its message. */
  readonly bodyBytesMax: number;
  readonly budget: ByteBudget;
  readonly observer: Observer;
}

/** One request on a stream: a watch or a keep-alive. It is kept outside the budget, so it is held short. */
const STREAM_VALUE_BYTES_MAX = 256 * 1024;

/** etcd's gateway calls a malformed request of a unary call an invalid argument, and has no code for one on a stream. */
const MALFORMED_ON_STREAM = grpcCode.unknown;

/** The prefixes of etcd 3.4: v3beta is its older name for the same. */
const PREFIXES = ["/v3", "/v3beta"];

export class Gateway {
  readonly #options: GatewayOptions;
  readonly #open = new Set<HttpStream>();

  constructor(options: GatewayOptions) {
    this.#options = options;
  }

  /** Serves a request under one of the prefixes; false: not a path of the gateway. */
  serve(path: string, request: IncomingMessage, response: ServerResponse): boolean {
    const prefix = PREFIXES.find((one) => path.startsWith(`${one}/`));
    if (prefix === undefined) return false;
    const route = this.#options.routes.get(path.slice(prefix.length));
    if (route === undefined) {
      respondText(response, 404, "Not Found\n");
      return true;
    }
    if (request.method !== "POST") {
      respondText(response, 405, "Method Not Allowed\n", { allow: "POST" });
      return true;
    }
    switch (route.method.type) {
      case "unary":
        this.#serveUnary(route, route.method.handle, request, response);
        return true;
      case "server-stream":
        this.#serveStream(route, openServerStream(route.method.open), request, response);
        return true;
      case "bidi":
        this.#serveStream(route, route.method.open, request, response);
        return true;
    }
  }

  /** Ends the streams of answers; unary calls end by themselves. */
  close(): void {
    for (const stream of [...this.#open]) stream.end(grpcStatus(grpcCode.unavailable, "etcdserver: server stopped"));
  }

  #serveUnary(
    route: GatewayRoute,
    handle: (request: Uint8Array, call: UnaryCall) => void,
    request: IncomingMessage,
    response: ServerResponse,
  ): void {
    const { bodyBytesMax, budget, observer } = this.#options;
    readBody(request, { bytesMax: bodyBytesMax, budget }, (body) => {
      const call = new HttpUnary(route, response);
      switch (body.type) {
        case "aborted":
          return;
        case "too-large":
          response.setHeader("connection", "close");
          call.fail(grpcStatus(grpcCode.resourceExhausted, `the JSON request is over ${bodyBytesMax} bytes`));
          request.resume();
          return;
        case "over-budget":
          response.setHeader("connection", "close");
          call.fail(grpcStatus(grpcCode.resourceExhausted, "etcdserver: too many requests"));
          request.resume();
          return;
        case "whole": {
          const message = requestBytes(route, () => firstValue(body.bytes, bodyBytesMax), grpcCode.invalidArgument);
          if (message.type === "refused") {
            call.fail(message.status);
            return;
          }
          try {
            handle(message.bytes, call);
          } catch (error) {
            call.fail(handlerFailure(observer, request.url ?? "", error));
          }
        }
      }
    });
  }

  #serveStream(
    route: GatewayRoute,
    open: (call: StreamCall) => StreamHandler,
    request: IncomingMessage,
    response: ServerResponse,
  ): void {
    const stream = new HttpStream(route, request, response, this.#options, open, () => this.#open.delete(stream));
    this.#open.add(stream);
    stream.start();
  }
}

/** The first JSON value of a body; an empty body is an empty message, and what follows the first value is ignored. */
function firstValue(bytes: Uint8Array, bytesMax: number): unknown {
  const splitter = new JsonSplitter(bytesMax);
  const text = splitter.push(bytes)[0] ?? splitter.finish();
  return text === undefined ? {} : parseJson(text);
}

function requestBytes(
  route: GatewayRoute,
  read: () => unknown,
  code: GrpcCode,
): { readonly type: "bytes"; readonly bytes: Uint8Array } | { readonly type: "refused"; readonly status: GrpcStatus } {
  try {
    // A copy: encoded messages share a slab, and a stream's handler may keep this one for long.
    return { type: "bytes", bytes: route.request.encode(fromJson(route.request, read())).slice() };
  } catch (error) {
    if (!(error instanceof BytesError)) throw error;
    return { type: "refused", status: grpcStatus(code, error.message) };
  }
}

function errorJson(status: GrpcStatus): string {
  return JSON.stringify({ error: status.message, message: status.message, code: status.code });
}

class HttpUnary implements UnaryCall {
  readonly timeoutMs: number | undefined = undefined;
  readonly #route: GatewayRoute;
  readonly #response: ServerResponse;
  #answered = false;

  constructor(route: GatewayRoute, response: ServerResponse) {
    this.#route = route;
    this.#response = response;
  }

  onCancel(callback: () => void): void {
    this.#response.once("close", () => {
      if (!this.#answered) callback();
    });
  }

  reply(message: Uint8Array): void {
    if (this.#answered) return;
    this.#answered = true;
    const { response } = this.#route;
    respondJson(this.#response, 200, JSON.stringify(toJson(response, response.decode(message))));
  }

  replyFramed(framed: Uint8Array): void {
    this.reply(framed.subarray(FRAME_HEADROOM));
  }

  fail(status: GrpcStatus): void {
    if (this.#answered) return;
    this.#answered = true;
    respondJson(this.#response, httpStatusOf(status.code), errorJson(status));
  }
}

class HttpStream implements StreamCall {
  readonly timeoutMs: number | undefined = undefined;
  readonly #route: GatewayRoute;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #options: GatewayOptions;
  readonly #splitter: JsonSplitter;
  readonly #open: (call: StreamCall) => StreamHandler;
  readonly #released: () => void;
  #handler: StreamHandler | undefined;
  #cancels: (() => void)[] = [];
  /** Values of the caller that wait while paused: those of one chunk at most, because the request is paused too. */
  #waiting: (string | GrpcStatus)[] = [];
  #requestEnded = false;
  #halfClosed = false;
  #paused = false;
  #pumping = false;
  #ended = false;

  constructor(
    route: GatewayRoute,
    request: IncomingMessage,
    response: ServerResponse,
    options: GatewayOptions,
    open: (call: StreamCall) => StreamHandler,
    released: () => void,
  ) {
    this.#route = route;
    this.#request = request;
    this.#response = response;
    this.#options = options;
    this.#splitter = new JsonSplitter(STREAM_VALUE_BYTES_MAX);
    this.#open = open;
    this.#released = released;
  }

  start(): void {
    this.#guard(() => {
      this.#handler = this.#open(this);
    });
    this.#request.on("data", (chunk: Buffer) => this.#receive(() => this.#splitter.push(chunk)));
    this.#request.on("end", () => {
      this.#receive(() => {
        const last = this.#splitter.finish();
        return last === undefined ? [] : [last];
      });
      this.#requestEnded = true;
      this.#pump();
    });
    this.#request.on("error", () => undefined);
    this.#response.on("drain", () => {
      if (!this.#ended) this.#guard(() => this.#handler?.drain());
    });
    this.#response.on("close", () => {
      if (this.#ended) return;
      this.#ended = true;
      this.#released();
      this.#guard(() => this.#handler?.cancel());
      for (const cancel of this.#cancels) this.#guard(cancel);
    });
  }

  onCancel(callback: () => void): void {
    this.#cancels.push(callback);
  }

  send(message: Uint8Array): boolean {
    if (this.#ended) return false;
    if (!this.#response.headersSent) {
      this.#response.writeHead(200, { "content-type": "application/json", "x-content-type-options": "nosniff" });
    }
    const { response } = this.#route;
    return this.#response.write(`${JSON.stringify({ result: toJson(response, response.decode(message)) })}\n`);
  }

  sendFramed(framed: Uint8Array): boolean {
    return this.send(framed.subarray(FRAME_HEADROOM));
  }

  end(status: GrpcStatus): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#released();
    const code = httpStatusOf(status.code);
    if (!this.#response.headersSent) {
      if (!this.#requestEnded) this.#response.setHeader("connection", "close");
      respondJson(this.#response, code, status.code === grpcCode.ok ? "" : errorJson(status));
    } else if (status.code === grpcCode.ok) {
      this.#response.end();
    } else {
      const error = { grpc_code: status.code, http_code: code, message: status.message };
      this.#response.end(`${JSON.stringify({ error })}\n`);
    }
    this.#request.resume();
  }

  pause(): void {
    this.#paused = true;
    this.#request.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#pump();
    if (!this.#paused) this.#request.resume();
  }

  #receive(read: () => string[]): void {
    if (this.#ended) return;
    try {
      this.#waiting.push(...read());
    } catch (error) {
      if (!(error instanceof BytesError)) throw error;
      this.#waiting.push(grpcStatus(MALFORMED_ON_STREAM, error.message)); // after what came whole before it
    }
    this.#pump();
  }

  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (!this.#paused && !this.#ended) {
        const next = this.#waiting.shift();
        if (next === undefined) break;
        const message =
          typeof next === "string"
            ? requestBytes(this.#route, () => parseJson(next), MALFORMED_ON_STREAM)
            : ({ type: "refused", status: next } as const);
        if (message.type === "bytes") this.#guard(() => this.#handler?.message(message.bytes));
        else {
          this.end(message.status);
          this.#guard(() => this.#handler?.cancel());
        }
      }
      if (this.#requestEnded && !this.#halfClosed && !this.#paused && !this.#ended) {
        this.#halfClosed = true;
        this.#guard(() => this.#handler?.halfClose());
      }
    } finally {
      this.#pumping = false;
    }
  }

  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.end(handlerFailure(this.#options.observer, this.#request.url ?? "", error));
    }
  }
}
