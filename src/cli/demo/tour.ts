/**
 * The tour itself: load, then kill the leader again and again under load, then verify. It knows a cluster only through
 * `TourCluster` and draws nothing.
 */
import { CliFailure } from "../failure.ts";
import { pause } from "../pause.ts";
import { TourClients } from "./clients.ts";
import type { FileRecord } from "./records.ts";
import { type KillReport, Timeline } from "./timeline.ts";
import { currentRevision, type NodeVerdict, verifyNode } from "./verify.ts";

export interface TourCluster {
  readonly endpoints: readonly string[];
  /** The leader's id, waiting for one if there is none. */
  leader(): Promise<number>;
  /** kill -9; resolves when the process is gone. */
  kill(id: number): Promise<void>;
  /** Resolves when the node serves again. */
  restart(id: number): Promise<void>;
}

export type TourStep =
  | { readonly type: "loading"; readonly count: number }
  /** `complete`: every record there is; else the time for loading was over. */
  | { readonly type: "loaded"; readonly count: number; readonly complete: boolean; readonly tookMs: number }
  | { readonly type: "killed"; readonly id: number; readonly round: number }
  | { readonly type: "led"; readonly id: number; readonly afterMs: number }
  | { readonly type: "restarted"; readonly id: number }
  | { readonly type: "verifying" };

export interface TourOptions {
  readonly records: AsyncIterable<FileRecord>;
  readonly kills: number;
  /** The tour's upper bound; loading stops at a third of it. */
  readonly boundMs: number;
  readonly signal: AbortSignal;
  readonly onStep: (step: TourStep) => void;
}

export interface TourResult {
  readonly records: number;
  readonly acknowledged: number;
  readonly lost: number;
  readonly wrongReads: number;
  readonly examples: readonly string[];
  readonly nodes: readonly NodeVerdict[];
  readonly kills: readonly KillReport[];
  readonly tookMs: number;
}

const WRITERS = 8;
const READERS = 4;
/** Undisturbed running before, between and after the kills, so that the drawing has something to compare with. */
const CALM_MS = 2_000;
const DOWN_MS = 1_500;
const ELECTION_MS_MAX = 15_000;

export class Tour {
  readonly timeline: Timeline = new Timeline();
  readonly #cluster: TourCluster;
  readonly #options: TourOptions;
  readonly #start = performance.now();

  constructor(cluster: TourCluster, options: TourOptions) {
    this.#cluster = cluster;
    this.#options = options;
  }

  /** Milliseconds since the tour was made. */
  now(): number {
    return performance.now() - this.#start;
  }

  async run(): Promise<TourResult> {
    const { signal, onStep, kills, boundMs } = this.#options;
    const { endpoints } = this.#cluster;
    const stop = new AbortController();
    const onAbort = (): void => stop.abort();
    signal.addEventListener("abort", onAbort, { once: true });
    const clients = new TourClients({
      endpoints,
      timeline: this.timeline,
      now: () => this.now(),
      writers: WRITERS,
      readers: READERS,
      signal: stop.signal,
    });
    try {
      const records = await this.#load(clients);
      clients.start();
      await pause(CALM_MS, signal);
      for (let round = 1; round <= kills && !signal.aborted; round++) {
        if (this.now() > boundMs) throw new CliFailure("timeout", `Cannot finish the tour within ${boundMs / 1_000} s`);
        await this.#killLeader(round);
        await pause(CALM_MS, signal);
      }
      const endedAt = this.now();
      stop.abort();
      await clients.ended();
      signal.throwIfAborted();
      onStep({ type: "verifying" });
      const revision = await currentRevision(endpoints, signal);
      const nodes = await Promise.all(endpoints.map((one) => verifyNode(one, clients.acknowledged, revision, signal)));
      return {
        records,
        acknowledged: clients.acknowledged.size,
        lost: Math.max(...nodes.map((node) => node.missing + node.changed)),
        wrongReads: clients.wrongReads.length,
        examples: [...nodes.flatMap((node) => node.examples), ...clients.wrongReads].slice(0, 10),
        nodes,
        kills: this.timeline.killReports(endedAt),
        tookMs: this.now(),
      };
    } finally {
      signal.removeEventListener("abort", onAbort);
      stop.abort();
      await clients.ended();
    }
  }

  async #load(clients: TourClients): Promise<number> {
    const { boundMs, onStep } = this.#options;
    const start = this.now();
    let loaded = 0;
    let complete = true;
    const inTime = (): boolean => {
      complete = this.now() < boundMs / 3;
      return complete;
    };
    await clients.load(until(this.#options.records, inTime), (count) => {
      loaded = count;
      if (count % 100 === 0) onStep({ type: "loading", count });
    });
    onStep({ type: "loaded", count: loaded, complete, tookMs: this.now() - start });
    return loaded;
  }

  async #killLeader(round: number): Promise<void> {
    const { onStep, signal } = this.#options;
    const id = await bounded(this.#cluster.leader(), ELECTION_MS_MAX, "no node leads");
    const killedAt = this.now();
    this.timeline.killed(id, killedAt);
    await this.#cluster.kill(id);
    onStep({ type: "killed", id, round });
    const next = await bounded(this.#cluster.leader(), ELECTION_MS_MAX, "no other node leads");
    onStep({ type: "led", id: next, afterMs: this.now() - killedAt });
    await pause(DOWN_MS, signal);
    await this.#cluster.restart(id);
    this.timeline.back(id, this.now());
    onStep({ type: "restarted", id });
  }
}

async function* until<T>(items: AsyncIterable<T>, more: () => boolean): AsyncGenerator<T> {
  for await (const item of items) {
    if (!more()) return;
    yield item;
  }
}

async function bounded<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new CliFailure("unhealthy", `Cannot go on: ${what} within ${ms / 1_000} s`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
