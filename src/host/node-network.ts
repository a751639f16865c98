/**
 * The Network port over TCP. Nagle's algorithm is off: the turn's writes are gathered already. Authentication and
 * encryption belong to the layer above, or to the socket that a later TLS network hands in.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import { AlthingError } from "../base/errors.ts";
import type { Connection, Listener, Network } from "../ports/network.ts";
import { type Observer, silentObserver } from "../ports/observer.ts";
import { formatAddress, parseAddress } from "./address.ts";
import { type ConnectionOptions, NodeConnection } from "./node-connection.ts";
import { Turn } from "./turn.ts";

const KEEP_ALIVE_MS = 15_000;
const DIAL_TIMEOUT_MS = 5_000;
const CONNECTIONS_MAX = 1_024;

export interface NodeNetworkOptions extends ConnectionOptions {
  readonly turn?: Turn;
  readonly observer?: Observer;
  /** Accepted connections of one listener; more are dropped at once. Default 1,024. */
  readonly connectionsMax?: number;
}

export class NodeNetwork implements Network {
  readonly #turn: Turn;
  readonly #observer: Observer;
  readonly #options: NodeNetworkOptions;

  constructor(options: NodeNetworkOptions = {}) {
    this.#options = options;
    this.#turn = options.turn ?? new Turn();
    this.#observer = options.observer ?? silentObserver;
  }

  /**
   * Fails with ADDRESS_IN_USE, or CONFIG_INVALID for an address that this machine cannot listen on. Closing the listener
   * leaves the connections that were handed out alone: they have owners.
   */
  async listen(address: string, onConnection: (connection: Connection) => void): Promise<Listener> {
    const { host, port } = parseAddress(address);
    const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS }, (socket) => {
      onConnection(this.#connection(socket));
    });
    server.maxConnections = this.#options.connectionsMax ?? CONNECTIONS_MAX;
    server.on("drop", () => {
      this.#observer.observe({ type: "connection-dropped", level: "warn", address, limit: server.maxConnections });
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error: NodeJS.ErrnoException) => reject(listenError(address, error)));
      server.listen({ host, port }, resolve);
    });
    server.removeAllListeners("error");
    server.on("error", (error: NodeJS.ErrnoException) => {
      this.#observer.observe({ type: "accept-failed", level: "warn", address, why: error.code ?? error.message });
    });
    return new NodeListener(server, formatAddress({ host, port: boundPort(server, port) }));
  }

  /** Rejects with the signal's reason when it aborts, else with UNREACHABLE, after `timeoutMs` (default 5 s) at the latest. */
  async dial(
    address: string,
    options: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {},
  ): Promise<Connection> {
    const { host, port } = parseAddress(address);
    const { signal, timeoutMs = DIAL_TIMEOUT_MS } = options;
    signal?.throwIfAborted();
    const socket = connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS });
    const unreachable = (why: string, cause?: unknown): AlthingError =>
      new AlthingError("UNREACHABLE", `Cannot reach ${address}: ${why}`, { details: { address }, cause });
    return await new Promise<Connection>((resolve, reject) => {
      const deadline = setTimeout(() => fail(unreachable(`no answer within ${timeoutMs} ms`)), timeoutMs);
      const onAbort = (): void => fail(signal?.reason);
      const settle = (): void => {
        clearTimeout(deadline);
        signal?.removeEventListener("abort", onAbort);
        socket.removeAllListeners();
      };
      const fail = (reason: unknown): void => {
        settle();
        socket.on("error", () => undefined); // a late one has no reader
        socket.destroy();
        reject(reason);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      socket.once("error", (error: NodeJS.ErrnoException) => fail(unreachable(dialFailure(error), error)));
      socket.once("connect", () => {
        settle();
        resolve(this.#connection(socket));
      });
    });
  }

  #connection(socket: Socket): NodeConnection {
    return new NodeConnection(socket, { turn: this.#turn, observer: this.#observer }, this.#options);
  }
}

class NodeListener implements Listener {
  readonly #server: Server;
  readonly address: string;

  constructor(server: Server, address: string) {
    this.#server = server;
    this.address = address;
  }

  /** The port is free again when this resolves. */
  async close(): Promise<void> {
    this.#server.close(); // its callback would wait for every connection
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

function boundPort(server: Server, wanted: number): number {
  const bound = server.address();
  return typeof bound === "object" && bound !== null ? bound.port : wanted;
}

function listenError(address: string, error: NodeJS.ErrnoException): AlthingError {
  const details = { address, errno: error.code };
  if (error.code === "EADDRINUSE") {
    const why = "another program listens there; stop it or choose another port";
    return new AlthingError("ADDRESS_IN_USE", `Cannot listen on ${address}: ${why}`, { details, cause: error });
  }
  const why =
    error.code === "EACCES"
      ? "ports under 1024 need a privilege; choose a higher one"
      : error.code === "EADDRNOTAVAIL"
        ? "no network interface of this machine has the address"
        : error.code === "ENOTFOUND" || error.code === "EAI_AGAIN"
          ? "the host name has no address"
          : error.message;
  return new AlthingError("CONFIG_INVALID", `Cannot listen on ${address}: ${why}`, { details, cause: error });
}

function dialFailure(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case "ECONNREFUSED":
      return "nothing listens there";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "the host name has no address";
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return "there is no route";
    case "ECONNRESET":
      return "the connection was reset";
    case undefined:
      return error.message;
    default:
      return error.code;
  }
}
