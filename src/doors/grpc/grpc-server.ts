/**
 * gRPC on cleartext HTTP/2 over `node:http2`: takes connections whose first bytes are the HTTP/2 preface, and serves the
 * given services on them.
 * Source  gRPC over HTTP/2; RFC 9113 (HTTP/2); CVE-2023-44487 (rapid reset); gRPC A8/A9 (keepalive).
 *
 * G1. Every bound stands before the buffer: streams of a connection, bytes of a message, unfinished bytes of a connection
 *     and of the door, unread answers, header bytes, resets and pings a second.
 * G2. A connection that does not answer a ping is closed; so is one that sends no SETTINGS.
 */
import {
  constants,
  createServer,
  type Http2Session,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerStreamResponseOptions,
} from "node:http2";
import type { Socket } from "node:net";
import type { Observer } from "../../ports/observer.ts";
import { ByteBudget } from "./byte-budget.ts";
import type { CallEnvironment, ConnectionEnvironment } from "./call-environment.ts";
import { parseEncoding } from "./message.ts";
import type { Services } from "./method.ts";
import { sendTrailersOnly } from "./responder.ts";
import { Router } from "./route.ts";
import { openServerStream } from "./server-stream.ts";
import { type GrpcStatus, grpcCode, grpcStatus } from "./status.ts";
import { StreamRpc } from "./stream-rpc.ts";
import { parseGrpcTimeout } from "./timeout.ts";
import { type RpcRequest, UnaryRpc } from "./unary-rpc.ts";

export interface GrpcServerOptions {
  readonly services: Services;
  readonly observer: Observer;
  /** The largest message, without its prefix. */
  readonly messageBytesMax: number;
  readonly streamsPerConnectionMax: number;
  /** Bytes of unfinished messages, over all connections. */
  readonly unfinishedBytesMax: number;
  /** Bytes of answers that one connection has not read yet, from which on its calls are refused. Default 64 MiB. */
  readonly unreadBytesMax?: number;
  /** A request whose bytes stop arriving is refused after this. Default 30 s; it may take up to a third longer. */
  readonly requestArrivalMs?: number;
  /** A ping goes out this often; its answer has `keepaliveTimeoutMs`. Defaults 60 s and 20 s. */
  readonly keepaliveMs?: number;
  readonly keepaliveTimeoutMs?: number;
  /** The client's SETTINGS must be here after this. Default 10 s. */
  readonly handshakeMs?: number;
}

const HEADER_BYTES_MAX = 16 * 1024;
const HEADER_PAIRS_MAX = 128;
const SWEEPS_PER_ARRIVAL = 3;
/** Pings a client may send at once, and the refill: grpc-go's own clients send one in ten seconds at most. */
const PINGS_BURST = 100;
const PING_REFILL_MS = 1_000;
/** Resets of a connection at once, and a second: well above what cancelled watches make. */
const RESETS_BURST = 1_000;
const RESETS_PER_SECOND = 100;

/** `sendDate` is documented by Node and missing in its types. */
const WITHOUT_DATE: ServerStreamResponseOptions & { readonly sendDate: boolean } = { sendDate: false };

interface Connection {
  readonly session: ServerHttp2Session;
  readonly environment: ConnectionEnvironment;
  readonly handshake: NodeJS.Timeout;
  /** Pings the client may still send before it is sent away. */
  pingsLeft: number;
  /** The moment until which a ping of ours must be answered, by sweeps; 0 when none is out. */
  pingTimer: NodeJS.Timeout | undefined;
}

export class GrpcServer {
  readonly #server: Http2Server;
  readonly #router: Router;
  readonly #door: CallEnvironment;
  readonly #budget: ByteBudget;
  /** Over all connections: eight that read nothing, at their bound. */
  readonly #answers: ByteBudget;
  readonly #unreadBytesMax: number;
  readonly #options: GrpcServerOptions;
  readonly #connections = new Map<Http2Session, Connection>();
  readonly #sweeper: NodeJS.Timeout;
  readonly #keepalive: NodeJS.Timeout;
  readonly #pingRefill: NodeJS.Timeout;
  #closing = false;

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    this.#router = new Router(options.services);
    this.#budget = new ByteBudget(options.unfinishedBytesMax);
    this.#unreadBytesMax = options.unreadBytesMax ?? 64 * 1024 * 1024;
    this.#answers = new ByteBudget(8 * this.#unreadBytesMax);
    this.#door = {
      messageBytesMax: options.messageBytesMax,
      observer: options.observer,
      arriving: new Set(),
      openStreams: new Set(),
      sweep: 0,
    };
    this.#server = createServer({
      maxHeaderListPairs: HEADER_PAIRS_MAX,
      streamResetBurst: RESETS_BURST,
      streamResetRate: RESETS_PER_SECOND,
      settings: {
        enablePush: false,
        maxConcurrentStreams: options.streamsPerConnectionMax,
        maxHeaderListSize: HEADER_BYTES_MAX,
      },
    });
    this.#server.on("session", (session) => this.#adopt(session));
    this.#server.on("stream", (stream, headers) => this.#serve(stream, headers));
    this.#server.on("sessionError", () => undefined); // each session's own listener does what there is to do

    const arrivalMs = options.requestArrivalMs ?? 30_000;
    this.#sweeper = setInterval(() => this.#sweep(), arrivalMs / SWEEPS_PER_ARRIVAL).unref();
    this.#keepalive = setInterval(() => this.#pingAll(), options.keepaliveMs ?? 60_000).unref();
    this.#pingRefill = setInterval(() => this.#refillPings(), PING_REFILL_MS).unref();
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Bytes of messages that have not arrived whole. */
  get unfinishedBytes(): number {
    return this.#budget.used;
  }

  /** Takes over a socket none of whose bytes were consumed (what was read for detection is pushed back). */
  take(socket: Socket): void {
    if (this.#closing) socket.destroy();
    else this.#server.emit("connection", socket);
  }

  /** Lets running unary calls finish for `graceMs`, ends the streams, then cuts what is left. */
  async close(graceMs: number): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    clearInterval(this.#sweeper);
    clearInterval(this.#keepalive);
    clearInterval(this.#pingRefill);
    const stopped = grpcStatus(grpcCode.unavailable, "etcdserver: server stopped");
    for (const stream of [...this.#door.openStreams]) stream.end(stopped);
    const sessions = [...this.#connections.keys()];
    await Promise.all(sessions.map((session) => closeSession(session, graceMs)));
  }

  #adopt(session: ServerHttp2Session): void {
    const shareMax = Math.max(this.#options.messageBytesMax * 2, this.#options.unfinishedBytesMax / 4);
    const handshake = setTimeout(() => session.destroy(), this.#options.handshakeMs ?? 10_000);
    const connection: Connection = {
      session,
      environment: {
        door: this.#door,
        budget: new ByteBudget(shareMax, this.#budget),
        answers: new ByteBudget(this.#unreadBytesMax, this.#answers),
      },
      handshake,
      pingsLeft: PINGS_BURST,
      pingTimer: undefined,
    };
    this.#connections.set(session, connection);
    session.once("remoteSettings", () => clearTimeout(handshake));
    session.on("ping", () => {
      connection.pingsLeft--;
      if (connection.pingsLeft >= 0) return;
      this.#options.observer.observe({ type: "door-ping-flood", level: "warn" });
      session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
    });
    session.on("error", (error: Error) => {
      this.#options.observer.observe({ type: "door-connection-failed", level: "debug", message: error.message });
    });
    session.on("close", () => {
      clearTimeout(handshake);
      clearTimeout(connection.pingTimer);
      this.#connections.delete(session);
    });
  }

  #serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const connection = stream.session === undefined ? undefined : this.#connections.get(stream.session);
    if (connection === undefined || stream.destroyed) {
      stream.on("error", () => undefined);
      stream.destroy();
      return;
    }
    const contentType = grpcContentType(headers["content-type"]);
    if (contentType === undefined || headers[":method"] !== "POST") {
      refuseHttp(stream, contentType === undefined);
      return;
    }
    const path = headers[":path"] ?? "";
    const route = this.#router.find(path);
    if (route.type === "missing") {
      refuseCall(stream, contentType, route.status);
      return;
    }
    const encoding = parseEncoding(headers["grpc-encoding"]);
    if (encoding === undefined) {
      const text = `grpc: Decompressor is not installed for grpc-encoding "${String(headers["grpc-encoding"])}"`;
      refuseCall(stream, contentType, grpcStatus(grpcCode.unimplemented, text), ["grpc-accept-encoding", "gzip"]);
      return;
    }
    const timeoutText = headers["grpc-timeout"];
    const timeoutMs = timeoutText === undefined ? undefined : parseGrpcTimeout(String(timeoutText));
    if (timeoutText !== undefined && timeoutMs === undefined) {
      const text = `malformed grpc-timeout: "${String(timeoutText)}"`;
      refuseCall(stream, contentType, grpcStatus(grpcCode.internal, text));
      return;
    }
    if (timeoutMs === 0) {
      refuseCall(stream, contentType, grpcStatus(grpcCode.deadlineExceeded, "context deadline exceeded"));
      return;
    }
    const request: RpcRequest = { path, contentType, encoding, timeoutMs };
    const { method } = route;
    switch (method.type) {
      case "unary":
        new UnaryRpc(stream, method.handle, request, connection.environment);
        return;
      case "server-stream":
        new StreamRpc(stream, request, connection.environment, openServerStream(method.open));
        return;
      case "bidi":
        new StreamRpc(stream, request, connection.environment, method.open);
        return;
    }
  }

  #sweep(): void {
    const door = this.#door;
    door.sweep++;
    for (const call of door.arriving) {
      if (door.sweep - call.since <= SWEEPS_PER_ARRIVAL) break; // a set keeps its order: the rest are younger
      call.expire();
    }
  }

  #pingAll(): void {
    for (const connection of this.#connections.values()) {
      const { session } = connection;
      if (session.destroyed || session.closed || connection.pingTimer !== undefined) continue;
      connection.pingTimer = setTimeout(() => {
        this.#options.observer.observe({ type: "door-connection-silent", level: "info" });
        session.destroy();
      }, this.#options.keepaliveTimeoutMs ?? 20_000);
      session.ping(() => {
        clearTimeout(connection.pingTimer);
        connection.pingTimer = undefined;
      });
    }
  }

  #refillPings(): void {
    for (const connection of this.#connections.values()) {
      if (connection.pingsLeft < PINGS_BURST) connection.pingsLeft++;
    }
  }
}

/** The content type to answer with, or undefined if it is not gRPC's. */
function grpcContentType(header: string | undefined): string | undefined {
  if (header === "application/grpc") return header;
  if (header === undefined) return undefined;
  if (header.startsWith("application/grpc+")) return header;
  return header.startsWith("application/grpc;") ? "application/grpc" : undefined;
}

function refuseCall(
  stream: ServerHttp2Stream,
  contentType: string,
  status: GrpcStatus,
  more: readonly string[] = [],
): void {
  stream.on("error", () => undefined);
  sendTrailersOnly(stream, contentType, status, more);
  endUnread(stream);
}

/** gRPC says 415 for a content type that is not its own; a method other than POST gets 405. */
function refuseHttp(stream: ServerHttp2Stream, wrongType: boolean): void {
  stream.on("error", () => undefined);
  const text = wrongType
    ? "Cannot serve this content type: HTTP/2 on this port carries gRPC (application/grpc); JSON is on HTTP/1.1\n"
    : "Cannot serve this method: gRPC calls are POST\n";
  stream.respond(
    [
      ":status",
      wrongType ? "415" : "405",
      "content-type",
      "text/plain; charset=utf-8",
      ...(wrongType ? [] : ["allow", "POST"]),
    ],
    WITHOUT_DATE,
  );
  stream.end(text);
  endUnread(stream);
}

/** After an early answer: throw away what has arrived already, and tell a caller that still sends to stop. */
function endUnread(stream: ServerHttp2Stream): void {
  stream.resume();
  const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), 1_000);
  stream.once("close", () => clearTimeout(timer));
}

function closeSession(session: Http2Session, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => session.destroy(), graceMs);
    session.once("close", () => {
      clearTimeout(timer);
      resolve();
    });
    session.close();
  });
}
