/**
 * The clients of the tour: writers, each of which waits for one acknowledgement before the next write, and readers, which
 * check what they read.
 *
 * D1. `acknowledged` holds exactly the writes whose answer arrived. A write whose answer was lost is sent again with the
 *     same key and value, which is safe because no two writes share a key, and counts once it is answered.
 */
import { Prng } from "../../base/prng.ts";
import { kv } from "../etcd/api.ts";
import type { GrpcMethod } from "../grpc/connection.ts";
import { GrpcClient } from "../grpc/client.ts";
import { GrpcError } from "../grpc/status.ts";
import { pause } from "../pause.ts";
import type { FileRecord } from "./records.ts";
import type { Timeline } from "./timeline.ts";

/** Writing the same value to a key of one's own again changes nothing but the revision. */
const ownPut: typeof kv.put = repeatable(kv.put);

function repeatable<Request, Response>(method: GrpcMethod<Request, Response>): GrpcMethod<Request, Response> {
  return { ...method, repeatable: true };
}

const CALL_MS = 2_000;
const RETRY_MS = 20;

export interface ClientsOptions {
  readonly endpoints: readonly string[];
  readonly timeline: Timeline;
  /** Milliseconds since the start of the tour. */
  readonly now: () => number;
  readonly writers: number;
  readonly readers: number;
  /** Aborts when the clients should stop. */
  readonly signal: AbortSignal;
}

export class TourClients {
  /** Every write that was answered. */
  readonly acknowledged: Map<string, string> = new Map();
  /** A read that returned something else than the write that was acknowledged before it began. */
  readonly wrongReads: string[] = [];
  readonly #options: ClientsOptions;
  readonly #clients: GrpcClient[] = [];
  #running: Promise<void>[] = [];

  constructor(options: ClientsOptions) {
    this.#options = options;
  }

  /** Loads the records with many writers, then keeps a few writers and readers running until the signal. */
  async load(records: AsyncIterable<FileRecord>, onLoaded: (count: number) => void): Promise<void> {
    const source = records[Symbol.asyncIterator]();
    let count = 0;
    const loader = async (index: number): Promise<void> => {
      const client = this.#client(index);
      for (;;) {
        const next = await source.next();
        if (next.done === true || this.#options.signal.aborted) return;
        await this.#write(client, next.value.key, next.value.value);
        onLoaded(++count);
      }
    };
    await Promise.all(Array.from({ length: this.#options.writers * 4 }, (_, index) => loader(index)));
  }

  start(): void {
    const { writers, readers } = this.#options;
    this.#running = [
      ...Array.from({ length: writers }, (_, index) => this.#writer(index)),
      ...Array.from({ length: readers }, (_, index) => this.#reader(index)),
    ];
  }

  /** Resolves when every client has ended; each ends with its last call answered or given up. */
  async ended(): Promise<void> {
    await Promise.all(this.#running);
    for (const client of this.#clients) client.close();
  }

  async #writer(index: number): Promise<void> {
    const client = this.#client(index);
    for (let sequence = 0; !this.#options.signal.aborted; sequence++) {
      await this.#write(client, `live/writer-${index}/${String(sequence).padStart(8, "0")}`, `${index}:${sequence}`);
    }
  }

  async #write(client: GrpcClient, key: string, value: string): Promise<void> {
    const { signal, timeline, now } = this.#options;
    const text = new TextEncoder();
    const request = { key: text.encode(key), value: text.encode(value) };
    const start = now();
    while (!signal.aborted) {
      try {
        await client.unary(ownPut, request, { timeoutMs: CALL_MS, signal });
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof GrpcError)) throw error;
        client.avoid();
        await pause(RETRY_MS, signal);
        continue;
      }
      this.acknowledged.set(key, value); // D1
      timeline.acknowledged("write", now(), now() - start);
      return;
    }
  }

  async #reader(index: number): Promise<void> {
    const { signal, timeline, now } = this.#options;
    const client = this.#client(index);
    const prng = new Prng(index + 1);
    const keys = [...this.acknowledged.keys()];
    while (!signal.aborted && keys.length > 0) {
      const key = prng.pick(keys);
      const expected = this.acknowledged.get(key);
      const start = now();
      try {
        const answer = await client.unary(
          kv.range,
          { key: new TextEncoder().encode(key) },
          { timeoutMs: CALL_MS, signal },
        );
        timeline.acknowledged("read", now(), now() - start);
        const [found] = answer.kvs;
        const value = found === undefined ? undefined : new TextDecoder().decode(found.value);
        if (value !== expected) this.wrongReads.push(`${key}: read ${value ?? "nothing"}, expected ${expected}`);
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof GrpcError)) throw error;
        client.avoid();
        await pause(RETRY_MS, signal);
      }
    }
  }

  /** Every client begins with another node, so that each kill meets some of them. */
  #client(index: number): GrpcClient {
    const { endpoints } = this.#options;
    const first = index % endpoints.length;
    const client = new GrpcClient([...endpoints.slice(first), ...endpoints.slice(0, first)], { timeoutMs: CALL_MS });
    this.#clients.push(client);
    return client;
  }
}
