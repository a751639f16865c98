/**
 * Calls on whichever endpoint answers.
 *
 * F1. A call that may already have changed something is never sent twice: only `not-sent` failures, refusals that promise
 *     that nothing was done, and calls marked `repeatable` move on to the next endpoint.
 * F2. All attempts of one call share its one deadline.
 */
import { type CallOptions, GrpcConnection, type GrpcMethod, type GrpcStream } from "./connection.ts";
import { grpcCode } from "../../doors/grpc/status.ts";
import { GrpcError } from "./status.ts";

/** Refusals by which a server says that the request went no further. The texts are etcd's own. */
const notDone: ReadonlySet<string> = new Set([
  "etcdserver: no leader",
  "etcdserver: not leader",
  "etcdserver: server stopped",
  "etcdserver: too many requests",
]);

const PAUSE_MS = 100;

export class GrpcClient {
  readonly endpoints: readonly string[];
  readonly timeoutMs: number;
  readonly #connections = new Map<string, GrpcConnection>();
  /** The endpoint that answered last stays the first choice. */
  #preferred = 0;

  /** `endpoints` as URLs (`endpoints.ts` makes them); `timeoutMs` bounds each unary call, Infinity bounds none. */
  constructor(endpoints: readonly string[], options: { readonly timeoutMs: number }) {
    this.endpoints = endpoints;
    this.timeoutMs = options.timeoutMs;
  }

  /** Fails with `GrpcError`: the last one seen, or DEADLINE_EXCEEDED. */
  async unary<Request, Response>(
    method: GrpcMethod<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): Promise<Response> {
    return await this.#anywhere(options, method.repeatable, (connection, left) =>
      connection.unary(method, request, left),
    );
  }

  /** A stream on the first endpoint that answers. Once open it stays there: going on elsewhere is the caller's affair. */
  async stream<Request, Response>(
    method: GrpcMethod<Request, Response>,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<GrpcStream<Request, Response>> {
    return await this.#anywhere(options, true, (connection) =>
      Promise.resolve(connection.stream(method, { signal: options.signal })),
    );
  }

  /** The endpoint that answered last. */
  get endpoint(): string {
    return this.endpoints[this.#preferred] ?? "";
  }

  /** Calls go to another endpoint first from now on: for streams that broke. */
  avoid(): void {
    this.#preferred = (this.#preferred + 1) % Math.max(1, this.endpoints.length);
  }

  close(): void {
    for (const connection of this.#connections.values()) connection.close();
    this.#connections.clear();
  }

  async #anywhere<T>(
    options: CallOptions,
    repeatable: boolean,
    attempt: (connection: GrpcConnection, options: CallOptions) => Promise<T>,
  ): Promise<T> {
    const timeoutMs = options.timeoutMs ?? this.timeoutMs;
    const deadline = performance.now() + timeoutMs;
    const leftMs = (): number => deadline - performance.now();
    let someoneThere = false;
    for (let tried = 0; ; tried++) {
      const index = (this.#preferred + tried) % this.endpoints.length;
      const endpoint = this.endpoints[index] ?? "";
      try {
        const share = leftMs() / (this.endpoints.length - (tried % this.endpoints.length)); // a mute one leaves time for the rest
        const connection = await this.#connect(endpoint, { timeoutMs: bound(share), signal: options.signal });
        const result = await attempt(connection, { timeoutMs: bound(leftMs()), signal: options.signal });
        this.#preferred = index;
        return result;
      } catch (error) {
        if (!(error instanceof GrpcError) || options.signal?.aborted === true || !mayMoveOn(error, repeatable))
          throw error;
        if (error.progress !== "not-sent") someoneThere = true;
        const roundOver = (tried + 1) % this.endpoints.length === 0;
        if (!roundOver) continue;
        // After a whole round only a cluster that is there, but has no leader yet, is worth waiting for.
        if (!someoneThere || leftMs() <= PAUSE_MS) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      someoneThere = false;
    }
  }

  async #connect(endpoint: string, options: CallOptions): Promise<GrpcConnection> {
    const known = this.#connections.get(endpoint);
    if (known?.usable === true) return known;
    const opened = await GrpcConnection.open(endpoint, options);
    this.#connections.set(endpoint, opened);
    return opened;
  }
}

/** Infinity is a call without a deadline. */
function bound(ms: number): number | undefined {
  return ms === Number.POSITIVE_INFINITY ? undefined : Math.max(1, ms);
}

function mayMoveOn(error: GrpcError, repeatable: boolean): boolean {
  switch (error.progress) {
    case "not-sent":
      return true;
    case "answered":
      return error.code === grpcCode.unavailable && (repeatable || notDone.has(error.message));
    case "lost":
      return repeatable && error.code === grpcCode.unavailable;
  }
}
