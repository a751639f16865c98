/**
 * The loads of the key-value benchmark, and the proof that each did its work: h2load counts HTTP answers only, so after a
 * put load the key's version must equal the number of requests, on every node; after a read load the bytes of the answers
 * must be those of that many good answers; and during both, calls of a client of our own must end with `grpc-status: 0`.
 */
import type { Cluster } from "../../test/e2e/lib/cluster.ts";
import { methods, putRequest, rangeRequest } from "../../test/e2e/lib/etcd-messages.ts";
import { frame, GrpcConnection } from "../../test/e2e/lib/grpc-connection.ts";
import { KvClient } from "../../test/e2e/lib/kv-client.ts";
import { sleep, until } from "../../test/e2e/lib/until.ts";
import { type H2loadReport, runH2load } from "./h2load.ts";

export const VALUE_BYTES = 256;

export interface Variant {
  readonly name: string;
  readonly kind: "put" | "read";
  readonly clients: number;
  readonly streams: number;
  readonly requests: number;
}

export const variants: readonly Variant[] = [
  { name: "puts, one client", kind: "put", clients: 1, streams: 1, requests: 4_000 },
  { name: "puts, 8×8", kind: "put", clients: 8, streams: 8, requests: 40_000 },
  { name: "puts, 8×32", kind: "put", clients: 8, streams: 32, requests: 60_000 },
  { name: "puts, 16×64", kind: "put", clients: 16, streams: 64, requests: 80_000 },
  { name: "linearizable reads, one client", kind: "read", clients: 1, streams: 1, requests: 4_000 },
  { name: "linearizable reads, 8×32", kind: "read", clients: 8, streams: 32, requests: 60_000 },
];

export interface LoadResult extends H2loadReport {
  /** Calls of our own client during the load, all with `grpc-status: 0`. */
  readonly sampled: number;
}

/** Runs one variant against the node that leads now. `key` must not exist yet. Fails if any request did not do its work. */
export async function runVariant(cluster: Cluster, variant: Variant, key: string): Promise<LoadResult> {
  const leader = await until("a leader", 10_000, () => cluster.leader());
  const value = valueFor(key);
  if (variant.kind === "read") await mustPut(leader.endpoint, key, value);

  const request = variant.kind === "put" ? putRequest(key, value) : rangeRequest(key);
  const method = variant.kind === "put" ? methods.put : methods.range;
  const sampler = new Sampler(leader.endpoint, variant.kind === "put" ? methods.range : method, rangeRequest(key));
  const report = await runH2load({
    endpoint: leader.endpoint,
    method,
    body: frame(request),
    clients: variant.clients,
    streams: variant.streams,
    requests: variant.requests,
  });
  const sampled = await sampler.stop();

  if (variant.kind === "put") await verifyVersion(cluster, key, value, BigInt(variant.requests));
  else verifyBytes(report, sampled.answerBytes);
  return { ...report, sampled: sampled.count };
}

/** A value that tells which key it belongs to. */
function valueFor(key: string): Buffer {
  return Buffer.from(key.padEnd(VALUE_BYTES, "."));
}

async function mustPut(endpoint: string, key: string, value: Uint8Array): Promise<void> {
  const kv = new KvClient(endpoint);
  const outcome = await kv.put(key, value);
  kv.close();
  if (outcome.type !== "done") throw new Error(`Cannot put ${key}: ${outcome.reason}`);
}

/** Each put makes one version (etcd's `KeyValue.version`), so the version counts the puts that took effect. */
async function verifyVersion(cluster: Cluster, key: string, value: Uint8Array, puts: bigint): Promise<void> {
  for (const node of cluster.nodes) {
    const kv = new KvClient(node.endpoint);
    const outcome = await kv.get(key);
    kv.close();
    if (outcome.type !== "done") throw new Error(`Cannot read ${key} back from ${node.endpoint}: ${outcome.reason}`);
    const found = outcome.value;
    if (found === undefined || Buffer.compare(found.value, value) !== 0 || found.version !== puts) {
      throw new Error(
        `Cannot use the run: ${node.endpoint} has version ${found?.version} of ${key} after ${puts} puts`,
      );
    }
  }
}

/** Nothing is written during a read load, so all good answers are equally long, and a failed one has no bytes at all. */
function verifyBytes(report: H2loadReport, answerBytes: number): void {
  const expected = report.succeeded * answerBytes;
  if (report.dataBytes !== expected) {
    throw new Error(`Cannot use the run: the answers have ${report.dataBytes} bytes, ${expected} were expected`);
  }
}

/** Calls a method every 100 ms while a load runs. */
class Sampler {
  readonly #connection: GrpcConnection;
  readonly #done: Promise<{ count: number; answerBytes: number }>;
  #isStopping = false;

  constructor(endpoint: string, method: string, request: Uint8Array) {
    this.#connection = new GrpcConnection(endpoint);
    this.#done = this.#run(method, request);
    this.#done.catch(() => undefined); // heard of in stop()
  }

  async stop(): Promise<{ readonly count: number; readonly answerBytes: number }> {
    this.#isStopping = true;
    try {
      return await this.#done;
    } finally {
      this.#connection.close();
    }
  }

  async #run(method: string, request: Uint8Array): Promise<{ count: number; answerBytes: number }> {
    let count = 0;
    let answerBytes = 0;
    do {
      const result = await this.#connection.unary(method, request, { timeoutMs: 10_000 });
      if (result.type !== "answered" || result.status !== 0) {
        throw new Error(`Cannot use the run: a sampled call ended as ${JSON.stringify(result)}`);
      }
      count += 1;
      answerBytes = frame(result.body).length;
      await sleep(100);
    } while (!this.#isStopping);
    return { count, answerBytes };
  }
}
