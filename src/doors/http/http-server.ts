/**
 * HTTP/1.1 on the public port: health, metrics and version under fixed paths, and whatever else the door mounts by prefix.
 *
 * H1. Headers have 16 KiB and 10 s; a whole request has 60 s; an idle connection is closed after 75 s.
 * H2. A web page of another origin gets nothing (`origin-guard.ts`).
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Observer } from "../../ports/observer.ts";
import {
  answerEtcdHealth,
  answerLivez,
  answerReadyz,
  answerVersion,
  type HealthSource,
  type VersionInfo,
} from "./health.ts";
import { judgeOrigin } from "./origin-guard.ts";
import { respondText } from "./respond.ts";

export interface HttpServerOptions {
  readonly health: HealthSource;
  readonly version: VersionInfo;
  /** The metrics as text, in the format of its content type. */
  readonly metrics: () => Promise<{ readonly contentType: string; readonly text: string }>;
  readonly observer: Observer;
  /** Any host name may point here: the address is public by choice. */
  readonly trustHosts: boolean;
  /** Answers a request under its prefix; `path` is without the query. False: nothing is there. */
  readonly mounts: Readonly<
    Record<string, (path: string, request: IncomingMessage, response: ServerResponse) => boolean>
  >;
  /** Bound of receiving the headers. Default 10 s. */
  readonly headersMs?: number;
}

export class HttpServer {
  readonly #server: Server;
  readonly #options: HttpServerOptions;

  constructor(options: HttpServerOptions) {
    this.#options = options;
    this.#server = createServer(
      {
        maxHeaderSize: 16 * 1024,
        headersTimeout: options.headersMs ?? 10_000,
        requestTimeout: Math.max(60_000, options.headersMs ?? 0),
        keepAliveTimeout: 75_000,
        connectionsCheckingInterval: Math.min(5_000, options.headersMs ?? 5_000),
        requireHostHeader: true,
      },
      (request, response) => this.#serve(request, response),
    );
    this.#server.maxRequestsPerSocket = 0;
    this.#server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
      if (!socket.writable || error.code === "ECONNRESET") {
        socket.destroy();
        return;
      }
      const status =
        error.code === "HPE_HEADER_OVERFLOW"
          ? "431 Request Header Fields Too Large"
          : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
            ? "408 Request Timeout"
            : "400 Bad Request";
      socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy());
    });
    // This server never listens itself: sockets come from the one-port listener. node:http starts the clock of its
    // timeouts on this event, and without it a slow sender of headers would never be closed.
    this.#server.emit("listening");
  }

  /** Takes over a socket none of whose bytes were consumed. */
  take(socket: Socket): void {
    this.#server.emit("connection", socket);
  }

  /** Closes idle connections at once and stops the clocks; requests under way end by themselves, or with their sockets. */
  close(): void {
    this.#server.close();
    this.#server.closeIdleConnections();
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    response.on("error", () => undefined);
    const url = request.url ?? "/";
    const query = url.indexOf("?");
    const path = query === -1 ? url : url.slice(0, query);
    const verdict = judgeOrigin(request.headers, this.#options.trustHosts);
    if (verdict.type === "refused") {
      respondText(response, 403, `Cannot serve ${path.slice(0, 256)}: ${verdict.why}\n`);
      return;
    }
    for (const [prefix, mount] of Object.entries(this.#options.mounts)) {
      if (path.startsWith(prefix) && mount(path, request, response)) return;
    }
    const answer = this.#fixed(path);
    if (answer === undefined) {
      respondText(response, 404, NOT_FOUND);
      return;
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      respondText(response, 405, "Method Not Allowed\n", { allow: "GET" });
      return;
    }
    answer(response);
  }

  #fixed(path: string): ((response: ServerResponse) => void) | undefined {
    const { health, version } = this.#options;
    switch (path) {
      case "/_althing/livez":
        return (response) => answerLivez(health, response);
      case "/_althing/readyz":
        return (response) => answerReadyz(health, response);
      case "/health":
        return (response) => answerEtcdHealth(health, response);
      case "/version":
        return (response) => answerVersion(version, response);
      case "/_althing/metrics":
      case "/metrics":
        return (response) => this.#answerMetrics(response);
      default:
        return undefined;
    }
  }

  #answerMetrics(response: ServerResponse): void {
    this.#options.metrics().then(
      ({ contentType, text }) => respondText(response, 200, text, { "content-type": contentType }),
      (error: unknown) => {
        const message = error instanceof Error ? error.message : String(error);
        this.#options.observer.observe({ type: "door-metrics-failed", level: "warn", message });
        respondText(response, 500, "Cannot collect metrics\n");
      },
    );
  }
}

const NOT_FOUND = `Nothing is served at this path. This port carries:
- gRPC of etcd v3 over HTTP/2 (etcdctl --endpoints=HOST:PORT)
- its JSON gateway: POST /v3/kv/put, /v3/kv/range, ...
- GET /_althing/livez, /_althing/readyz, /_althing/metrics, /health, /version
`;
