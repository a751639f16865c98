/**
 * One public TCP port: looks at the first bytes of each connection and hands it to the server of that protocol. What was
 * read is pushed back, so that `node:http2` and `node:http` take the socket over as if they had accepted it themselves.
 *
 * L1. A connection is told within `detectionMs`, or it is closed.
 * L2. Before it is told, a connection costs one read buffer and nothing else.
 * L3. Over `connectionsMax` a connection is closed at once: those that are served go on.
 */
import { createServer, type Server, type Socket } from "node:net";
import { AlthingError } from "../base/errors.ts";
import type { Observer } from "../ports/observer.ts";
import { formatAddress, parseAddress } from "./address.ts";
import { type Detection, detectProtocol } from "./protocol-detection.ts";
import { postgresqlStartup, TLS_REFUSAL } from "./refusal.ts";

export interface ListenerOptions {
  /** `host:port`; port 0 picks a free one. */
  readonly address: string;
  readonly connectionsMax: number;
  readonly observer: Observer;
  /** Default 10 s. */
  readonly detectionMs?: number;
  readonly http1: (socket: Socket) => void;
  readonly http2: (socket: Socket) => void;
}

/** How long a refused connection may take to read the refusal. */
const LINGER_MS = 1_000;
/** A PostgreSQL client asks once for GSSAPI and once for TLS. */
const ENCRYPTION_REQUESTS_MAX = 2;

export class Listener {
  readonly #options: ListenerOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Detecting or refusing: a closing listener does not wait for them. */
  readonly #strangers = new Set<Socket>();
  #address: string;

  /** Fails with ADDRESS_IN_USE, CONFIG_INVALID. */
  static async open(options: ListenerOptions): Promise<Listener> {
    const { host, port } = parseAddress(options.address);
    const listener = new Listener(options);
    await listener.#listen(host, port);
    return listener;
  }

  private constructor(options: ListenerOptions) {
    this.#options = options;
    this.#address = options.address;
    // Half-open, because an HTTP/1.1 client may end its side before the answer; each path below ends the other side.
    this.#server = createServer({ noDelay: true, allowHalfOpen: true, keepAlive: true, keepAliveInitialDelay: 60_000 });
    this.#server.on("connection", (socket) => this.#accept(socket));
  }

  /** The address with the port filled in. */
  get address(): string {
    return this.#address;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  /** No new connections; those whose protocol is not known yet are cut. The rest belong to their servers. */
  stopAccepting(): void {
    if (this.#server.listening) this.#server.close();
    for (const socket of this.#strangers) socket.destroy();
  }

  /** Resolves when no connection is left, after `graceMs` at the latest. */
  async drain(graceMs: number): Promise<void> {
    const closed = [...this.#sockets].map(
      (socket) => new Promise<void>((resolve) => socket.once("close", () => resolve())),
    );
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, graceMs);
    });
    await Promise.race([Promise.all(closed), late]);
    clearTimeout(timer);
  }

  /** Cuts every connection that is left. */
  async close(): Promise<void> {
    this.stopAccepting();
    const closed = [...this.#sockets].map(
      (socket) => new Promise<void>((resolve) => socket.once("close", () => resolve())),
    );
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closed);
  }

  #listen(host: string, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const onError = (error: NodeJS.ErrnoException): void => {
        const address = formatAddress({ host, port });
        reject(
          error.code === "EADDRINUSE"
            ? new AlthingError(
                "ADDRESS_IN_USE",
                `Cannot listen on ${address}: another program does; stop it or choose another port`,
                { cause: error },
              )
            : new AlthingError("CONFIG_INVALID", `Cannot listen on ${address}: ${error.message}`, { cause: error }),
        );
      };
      this.#server.once("error", onError);
      this.#server.listen({ host, port, backlog: 1024 }, () => {
        this.#server.off("error", onError);
        this.#server.on("error", (error) => {
          // Accepting failed, for lack of file descriptors as a rule. Those that are served go on.
          this.#options.observer.observe({ type: "door-accept-failed", level: "warn", message: error.message });
        });
        const bound = this.#server.address();
        if (bound !== null && typeof bound !== "string") this.#address = formatAddress({ host, port: bound.port });
        resolve();
      });
    });
  }

  #accept(socket: Socket): void {
    socket.on("error", () => undefined); // a reset; `close` follows
    if (this.#sockets.size >= this.#options.connectionsMax) {
      this.#options.observer.observe({
        type: "door-connection-refused",
        level: "warn",
        connections: this.#sockets.size,
        limit: "connectionsMax",
      });
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    this.#detect(socket);
  }

  #detect(socket: Socket): void {
    this.#strangers.add(socket);
    let head: Buffer = Buffer.alloc(0);
    const leave = (): void => {
      clearTimeout(timer);
      socket.off("readable", onReadable);
      socket.off("end", onEnd);
      socket.off("close", onClose);
    };
    const timer = setTimeout(() => {
      this.#options.observer.observe({ type: "door-protocol-unknown", level: "debug", why: "silent" });
      socket.destroy();
    }, this.#options.detectionMs ?? 10_000);
    const onEnd = (): void => {
      socket.destroy();
    };
    const onClose = (): void => {
      this.#strangers.delete(socket);
      leave();
    };
    const onReadable = (): void => {
      const chunk = socket.read() as Buffer | null; // the socket has no encoding, so it reads buffers
      if (chunk === null) return;
      head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
      const detection = detectProtocol(head);
      if (detection.type === "undecided") return;
      leave();
      this.#route(socket, head, detection);
    };
    socket.on("readable", onReadable);
    socket.on("end", onEnd);
    socket.on("close", onClose);
  }

  #route(socket: Socket, head: Buffer, detection: Exclude<Detection, { type: "undecided" }>): void {
    switch (detection.type) {
      case "http1":
        this.#strangers.delete(socket);
        socket.unshift(head);
        this.#options.http1(socket);
        return;
      case "http2":
        this.#strangers.delete(socket);
        socket.unshift(head);
        this.#options.http2(socket);
        return;
      case "postgresql":
        this.#refusePostgresql(socket, head);
        return;
      case "tls":
        this.#observeRefusal("tls");
        this.#refuse(socket, TLS_REFUSAL);
        return;
      case "unknown":
        this.#observeRefusal("unknown");
        socket.once("close", () => this.#strangers.delete(socket));
        socket.destroy();
        return;
    }
  }

  #observeRefusal(protocol: string): void {
    this.#options.observer.observe({ type: "door-protocol-refused", level: "debug", protocol });
  }

  /** Answers requests for encryption with no, and the start-up message with an error. */
  #refusePostgresql(socket: Socket, first: Buffer): void {
    this.#observeRefusal("postgresql");
    let head = first;
    let answers = 0;
    const timer = setTimeout(() => socket.destroy(), this.#options.detectionMs ?? 10_000);
    const leave = (): void => {
      clearTimeout(timer);
      socket.off("data", onData);
      socket.off("end", onEnd);
    };
    const onEnd = (): void => {
      socket.destroy();
    };
    const step = (): void => {
      for (;;) {
        const next = postgresqlStartup(head);
        switch (next.type) {
          case "incomplete":
            return;
          case "answer":
            head = head.subarray(next.consumed);
            socket.write(next.answer);
            if (++answers <= ENCRYPTION_REQUESTS_MAX) continue;
            leave();
            socket.destroy();
            return;
          case "refuse":
            leave();
            this.#refuse(socket, next.answer);
            return;
          case "close":
            leave();
            socket.destroy();
            return;
        }
      }
    };
    const onData = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk]);
      step();
    };
    socket.once("close", () => {
      leave();
      this.#strangers.delete(socket);
    });
    socket.on("data", onData);
    socket.on("end", onEnd);
    socket.resume();
    step();
  }

  /** Sends the last words, reads on so that they are not lost to a reset, and closes. */
  #refuse(socket: Socket, words: Uint8Array): void {
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once("close", () => {
      clearTimeout(timer);
      this.#strangers.delete(socket);
    });
    socket.once("end", () => socket.destroy());
    socket.on("data", () => undefined);
    socket.resume();
    socket.end(words);
  }
}
