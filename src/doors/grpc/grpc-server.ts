/**
 * gRPC on cleartext HTTP/2: takes connections whose first bytes are the HTTP/2 preface, and serves the given services.
 * Source  gRPC over HTTP/2; gRPC A8/A9 (keepalive).
 *
 * G1. Every bound stands before the buffer: streams of a connection, bytes of a message, unfinished bytes of a connection
 *     and of the door, unread answers; header bytes, resets and pings a second are `http2/`'s.
 * G2. A connection that does not answer a ping is closed; so is one that sends no SETTINGS.
 */
import type { Socket } from "node:net";
import type { Observer } from "../../ports/observer.ts";
import { Http2Connection } from "../http2/connection.ts";
import type { Http2Stream } from "../http2/stream.ts";
import { ByteBudget } from "./byte-budget.ts";
import type { CallEnvironment, ConnectionEnvironment } from "./call-environment.ts";
import type { Services } from "./method.ts";
import { type PreparedCall, prepareCall } from "./prepare.ts";
import { Router } from "./route.ts";
import { openServerStream } from "./server-stream.ts";
import { grpcCode, grpcStatus } from "./status.ts";
import { StreamRpc } from "./stream-rpc.ts";
import { UnaryRpc } from "./unary-rpc.ts";

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

const SWEEPS_PER_ARRIVAL = 3;
const REFILL_MS = 1_000;

interface Connection {
  readonly http2: Http2Connection<PreparedCall>;
  readonly handshake: NodeJS.Timeout;
  /** Until when a ping of ours must be answered; undefined when none is out. */
  pingTimer: NodeJS.Timeout | undefined;
}

export class GrpcServer {
  readonly #router: Router;
  readonly #door: CallEnvironment;
  readonly #budget: ByteBudget;
  /** Over all connections: eight that read nothing, at their bound. */
  readonly #answers: ByteBudget;
  readonly #unreadBytesMax: number;
  readonly #options: GrpcServerOptions;
  readonly #connections = new Set<Connection>();
  readonly #sweeper: NodeJS.Timeout;
  readonly #keepalive: NodeJS.Timeout;
  readonly #refill: NodeJS.Timeout;
  #closing = false;
  #emptied: (() => void) | undefined;

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
    const arrivalMs = options.requestArrivalMs ?? 30_000;
    this.#sweeper = setInterval(() => this.#sweep(), arrivalMs / SWEEPS_PER_ARRIVAL).unref();
    this.#keepalive = setInterval(() => this.#pingAll(), options.keepaliveMs ?? 60_000).unref();
    this.#refill = setInterval(() => this.#refillAll(), REFILL_MS).unref();
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
    if (this.#closing) {
      socket.destroy();
      return;
    }
    const environment = this.#environment();
    const { answers } = environment;
    const http2 = new Http2Connection<PreparedCall>(socket, {
      streamsMax: this.#options.streamsPerConnectionMax,
      observer: this.#options.observer,
      prepare: (head) => prepareCall(this.#router, head),
      serve: (stream, call) => serve(stream, call, environment),
      queued: (bytes) => (bytes >= 0 ? answers.charge(bytes) : answers.give(-bytes)),
      closed: () => this.#forget(connection),
    });
    const handshake = setTimeout(() => {
      if (!http2.hasSettings) http2.destroy();
    }, this.#options.handshakeMs ?? 10_000).unref();
    const connection: Connection = { http2, handshake, pingTimer: undefined };
    this.#connections.add(connection);
  }

  /** Lets running unary calls finish for `graceMs`, ends the streams, then cuts what is left. */
  async close(graceMs: number): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    clearInterval(this.#sweeper);
    clearInterval(this.#keepalive);
    clearInterval(this.#refill);
    const stopped = grpcStatus(grpcCode.unavailable, "etcdserver: server stopped");
    for (const stream of [...this.#door.openStreams]) stream.end(stopped);
    for (const connection of [...this.#connections]) connection.http2.drain();
    if (this.#connections.size === 0) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#emptied = resolve;
      timer = setTimeout(resolve, graceMs);
    });
    clearTimeout(timer);
    for (const connection of [...this.#connections]) connection.http2.destroy();
  }

  #environment(): ConnectionEnvironment {
    const shareMax = Math.max(this.#options.messageBytesMax * 2, this.#options.unfinishedBytesMax / 4);
    return {
      door: this.#door,
      budget: new ByteBudget(shareMax, this.#budget),
      answers: new ByteBudget(this.#unreadBytesMax, this.#answers),
    };
  }

  #forget(connection: Connection): void {
    clearTimeout(connection.handshake);
    clearTimeout(connection.pingTimer);
    this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#emptied?.();
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
    for (const connection of this.#connections) {
      if (connection.pingTimer !== undefined) continue;
      connection.pingTimer = setTimeout(() => {
        this.#options.observer.observe({ type: "door-connection-silent", level: "info" });
        connection.http2.destroy();
      }, this.#options.keepaliveTimeoutMs ?? 20_000).unref();
      connection.http2.ping(() => {
        clearTimeout(connection.pingTimer);
        connection.pingTimer = undefined;
      });
    }
  }

  #refillAll(): void {
    for (const connection of this.#connections) connection.http2.refill();
  }
}

function serve(stream: Http2Stream, call: PreparedCall, environment: ConnectionEnvironment): void {
  if (call.type === "refused") {
    stream.respond(call.headers, call.text === undefined);
    if (call.text === undefined) return;
    stream.write(Buffer.from(call.text));
    stream.end();
    return;
  }
  const { method, request } = call;
  switch (method.type) {
    case "unary":
      new UnaryRpc(stream, method.handle, request, environment);
      return;
    case "server-stream":
      new StreamRpc(stream, request, environment, openServerStream(method.open));
      return;
    case "bidi":
      new StreamRpc(stream, request, environment, method.open);
      return;
  }
}
