/**
 * What happened when, in buckets of 100 ms since the start: acknowledged calls, their latencies, and the kills. It is the
 * one record from which the drawing and the summary are made.
 */
export const BUCKET_MS = 100;

export interface Kill {
  readonly atMs: number;
  readonly id: number;
  /** When the killed node was running again; undefined: not yet. */
  readonly backAtMs: number | undefined;
}

export interface Bucket {
  readonly writes: number;
  readonly reads: number;
  /** Milliseconds; undefined in a bucket without an answer. */
  readonly p50: number | undefined;
  readonly p99: number | undefined;
}

export interface KillReport {
  readonly id: number;
  readonly atMs: number;
  /** The longest time after the kill in which no client got a write acknowledged. */
  readonly clusterGapMs: number;
  /** The longest time that any single client waited for its write. */
  readonly clientStallMs: number;
  /** From the kill until the node served again. */
  readonly backAfterMs: number | undefined;
}

/** Latencies kept per bucket; more than enough for a p99, and bounded. */
const SAMPLES_MAX = 1_000;

interface Gathered {
  writes: number;
  reads: number;
  latencies: number[];
}

export class Timeline {
  readonly #buckets: Gathered[] = [];
  readonly #kills: { atMs: number; id: number; backAtMs: number | undefined }[] = [];
  /** When each write was acknowledged, and how long it took, in order of acknowledgement. */
  readonly #writes: { readonly atMs: number; readonly tookMs: number }[] = [];

  acknowledged(kind: "write" | "read", atMs: number, tookMs: number): void {
    const bucket = this.#bucket(atMs);
    if (kind === "write") {
      bucket.writes++;
      this.#writes.push({ atMs, tookMs });
    } else {
      bucket.reads++;
    }
    if (bucket.latencies.length < SAMPLES_MAX) bucket.latencies.push(tookMs);
  }

  killed(id: number, atMs: number): void {
    this.#bucket(atMs);
    this.#kills.push({ id, atMs, backAtMs: undefined });
  }

  back(id: number, atMs: number): void {
    const kill = this.#kills.findLast((candidate) => candidate.id === id);
    if (kill !== undefined) kill.backAtMs = atMs;
  }

  get kills(): readonly Kill[] {
    return this.#kills;
  }

  get writes(): number {
    return this.#writes.length;
  }

  /** Every bucket up to `nowMs`; buckets without an answer are there too, because they are what a kill looks like. */
  buckets(nowMs: number): readonly Bucket[] {
    this.#bucket(Math.max(0, nowMs));
    return this.#buckets.map(({ writes, reads, latencies }) => {
      const sorted = latencies.toSorted((a, b) => a - b);
      return { writes, reads, p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99) };
    });
  }

  /** `endMs`: when the clients were stopped. A gap that had not ended by then is as long as it was. */
  killReports(endMs: number): readonly KillReport[] {
    return this.#kills.map((kill, i) => {
      const until = this.#kills[i + 1]?.atMs ?? endMs;
      let gap = 0;
      let stall = 0;
      let last = kill.atMs;
      for (const { atMs, tookMs } of this.#writes) {
        if (atMs < kill.atMs) continue;
        if (atMs > until) break;
        gap = Math.max(gap, atMs - last);
        stall = Math.max(stall, tookMs);
        last = atMs;
      }
      const open = until - last;
      return {
        id: kill.id,
        atMs: kill.atMs,
        clusterGapMs: Math.max(gap, open),
        clientStallMs: Math.max(stall, open),
        backAfterMs: kill.backAtMs === undefined ? undefined : kill.backAtMs - kill.atMs,
      };
    });
  }

  #bucket(atMs: number): Gathered {
    const index = Math.floor(atMs / BUCKET_MS);
    for (let i = this.#buckets.length; i <= index; i++) this.#buckets.push({ writes: 0, reads: 0, latencies: [] });
    const bucket = this.#buckets[index];
    if (bucket === undefined) throw new Error("a bucket was just made for every index");
    return bucket;
  }
}

/** Nearest rank, of sorted numbers. */
export function percentile(sorted: readonly number[], share: number): number | undefined {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
}
