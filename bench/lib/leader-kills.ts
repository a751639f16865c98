/**
 * How long clients cannot write when the leader is killed. One client per node writes in a loop to its node, with default
 * settings; when a call does not succeed it turns to the next node at once. The unavailability that a client sees at a kill
 * is the longest time between two of its successful answers around it, the kill's moment included.
 */
import type { Cluster } from "../../test/e2e/lib/cluster.ts";
import { KvClient } from "../../test/e2e/lib/kv-client.ts";
import { type Acknowledged, lostWrites } from "../../test/e2e/lib/load.ts";
import { sleep, until } from "../../test/e2e/lib/until.ts";

const SETTLE_MS = 500;
const RECOVERY_LIMIT_MS = 30_000;
/** A client's deadline for one call: long, so that a node may hold the call over an election instead of refusing it. */
const CALL_TIMEOUT_MS = 5_000;
const RETRY_PAUSE_MS = 5;

export interface KillResult {
  /** Milliseconds, one a client, for each kill. */
  readonly gapsMs: readonly (readonly number[])[];
  readonly acknowledged: number;
}

/** Kills the leader `kills` times. Fails if an acknowledged write is missing at the end. */
export async function killLeaders(
  cluster: Cluster,
  kills: number,
  onKill: (index: number, gapsMs: readonly number[]) => void,
): Promise<KillResult> {
  const writers = cluster.nodes.map((_, index) => new Writer(index, cluster.endpoints));
  const allSettled = (since: number): boolean => writers.every((writer) => writer.hasSettledAfter(since));
  const gapsMs: number[][] = [];
  try {
    const started = performance.now();
    await until("first writes", RECOVERY_LIMIT_MS, () => (allSettled(started) ? true : undefined));
    for (let index = 0; index < kills; index++) {
      const leader = await until("a leader", RECOVERY_LIMIT_MS, () => cluster.leader());
      const killedAt = performance.now();
      await leader.process.kill();
      await until("writes by every client", RECOVERY_LIMIT_MS, () => (allSettled(killedAt) ? true : undefined));
      leader.process.start();
      await cluster.ready();
      await sleep(SETTLE_MS);
      const gaps = writers.map((writer) => writer.longestGapAround(killedAt));
      gapsMs.push(gaps);
      onKill(index, gaps);
    }
  } finally {
    await Promise.all(writers.map((writer) => writer.stop()));
  }
  const acknowledged = writers.flatMap((writer) => writer.acknowledged);
  for (const node of cluster.nodes) {
    const kv = new KvClient(node.endpoint, { timeoutMs: 20_000 });
    const lost = await lostWrites(kv, "journal/", acknowledged, { serializable: false });
    kv.close();
    if (lost.length > 0)
      throw new Error(`Cannot use the run: ${node.endpoint} lost ${lost.length} writes, ${lost[0]} first`);
  }
  return { gapsMs, acknowledged: acknowledged.length };
}

class Writer {
  readonly acknowledged: Acknowledged[] = [];
  /** When each answer came, in milliseconds. */
  readonly #successesMs: number[] = [];
  readonly #index: number;
  readonly #clients: readonly KvClient[];
  readonly #done: Promise<void>;
  #isStopping = false;

  constructor(index: number, endpoints: readonly string[]) {
    this.#index = index;
    this.#clients = endpoints.map((endpoint) => new KvClient(endpoint, { timeoutMs: CALL_TIMEOUT_MS }));
    this.#done = this.#run();
  }

  /** Has this client written steadily again, after the kill at `killedAt`? */
  hasSettledAfter(killedAt: number): boolean {
    return (this.#successesMs.at(-20) ?? 0) > killedAt;
  }

  longestGapAround(killedAt: number): number {
    // From the last answer before the kill to the end of the list: a later gap, of a second election, counts too.
    const after = this.#successesMs.findIndex((at) => at > killedAt);
    if (after <= 0) throw new Error("Cannot measure: a client had no answer on both sides of the kill");
    let longest = 0;
    for (let i = after; i < this.#successesMs.length; i++) {
      longest = Math.max(longest, (this.#successesMs[i] ?? 0) - (this.#successesMs[i - 1] ?? 0));
    }
    return longest;
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#done;
    for (const client of this.#clients) client.close();
  }

  async #run(): Promise<void> {
    let at = this.#index;
    for (let serial = 0; !this.#isStopping; serial++) {
      const client = this.#clients[at % this.#clients.length];
      if (client === undefined) throw new Error("Cannot write to a cluster without nodes");
      const key = `journal/${this.#index}/${serial}`;
      const outcome = await client.put(key, key);
      if (outcome.type === "done") {
        this.#successesMs.push(performance.now());
        this.acknowledged.push({ key, value: key });
        await sleep(1); // three clients, not a load test
      } else {
        at += 1;
        await sleep(RETRY_PAUSE_MS);
      }
    }
  }
}
