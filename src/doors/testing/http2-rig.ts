/**
 * A door of bare HTTP/2 for tests: every request is served by its path, and what the server did can be looked at.
 *
 * /echo    answers with the body it was sent, as it comes; its window opens as the client's does
 * /whole   answers with the body it was sent once it is whole
 * /bytes/N answers with N bytes, without waiting for the request's end
 * /fat     answers with 8,000 bytes of header fields, which no window holds back
 * /hold    never answers
 * /paused  reads nothing and never answers
 */
import { createServer, type Server, type Socket } from "node:net";
import type { ObservedEvent } from "../../ports/observer.ts";
import { Http2Connection } from "../http2/connection.ts";
import { OK_STATUS, wireField } from "../http2/hpack-encoder.ts";
import type { RequestHead } from "../http2/request-head.ts";
import type { Http2Stream } from "../http2/stream.ts";

const TYPE = wireField("content-type", "application/octet-stream", true);
const FAT = wireField("x-fat", "f".repeat(8_000));
const STATUS = wireField("grpc-status", "0", true);

export interface Served {
  readonly stream: Http2Stream;
  readonly head: RequestHead;
  bodyBytes: number;
  isEnded: boolean;
  closes: number;
}

export class Http2Rig {
  readonly served: Served[] = [];
  readonly observed: ObservedEvent[] = [];
  readonly connections: Http2Connection<RequestHead>[] = [];
  readonly sockets: Socket[] = [];
  /** Bytes that wait for the peers' windows, over all connections. */
  queuedBytes = 0;
  closedConnections = 0;
  readonly #server: Server;
  readonly #streamsMax: number;

  private constructor(streamsMax: number) {
    this.#streamsMax = streamsMax;
    this.#server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => this.#take(socket));
  }

  static async open(options: { readonly streamsMax?: number } = {}): Promise<Http2Rig> {
    const rig = new Http2Rig(options.streamsMax ?? 100);
    await new Promise<void>((resolve) => rig.#server.listen(0, "127.0.0.1", resolve));
    return rig;
  }

  get port(): number {
    const bound = this.#server.address();
    if (bound === null || typeof bound === "string") throw new Error("Cannot tell the port: the rig does not listen");
    return bound.port;
  }

  /** Streams that the connections still know. */
  get openStreams(): number {
    return this.connections.reduce((sum, one) => sum + [...one.streams].length, 0);
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #take(socket: Socket): void {
    this.sockets.push(socket);
    this.connections.push(
      new Http2Connection<RequestHead>(socket, {
        streamsMax: this.#streamsMax,
        observer: { observe: (event) => this.observed.push(event) },
        prepare: (head) => head,
        serve: (stream, head) => this.#serve(stream, head),
        queued: (bytes) => {
          this.queuedBytes += bytes;
        },
        closed: () => {
          this.closedConnections++;
        },
      }),
    );
  }

  #serve(stream: Http2Stream, head: RequestHead): void {
    const served: Served = { stream, head, bodyBytes: 0, isEnded: false, closes: 0 };
    this.served.push(served);
    const whole: Uint8Array[] = [];
    stream.listen({
      data: (bytes) => {
        served.bodyBytes += bytes.length;
        if (head.path === "/whole") whole.push(Uint8Array.from(bytes));
        if (head.path === "/echo" && !stream.write(Uint8Array.from(bytes))) stream.pause();
      },
      end: () => {
        served.isEnded = true;
        if (head.path === "/echo") stream.end([STATUS]);
        if (head.path === "/whole") {
          stream.respond([OK_STATUS, TYPE]);
          stream.write(Buffer.concat(whole));
          stream.end([STATUS]);
        }
      },
      drain: () => stream.resume(),
      close: () => {
        served.closes++;
      },
    });
    if (head.path === "/paused") stream.pause();
    if (head.path === "/echo") stream.respond([OK_STATUS, TYPE]);
    if (head.path === "/fat") stream.respond([OK_STATUS, FAT], true);
    const bytes = /^\/bytes\/([0-9]+)$/.exec(head.path);
    if (bytes !== null) {
      stream.respond([OK_STATUS, TYPE]);
      stream.write(Buffer.alloc(Number(bytes[1]), 7));
      stream.end([STATUS]);
    }
  }
}
