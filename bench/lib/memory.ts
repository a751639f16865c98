/** Resident memory of each node of a cluster that holds many keys. */
import type { Cluster } from "../../test/e2e/lib/cluster.ts";
import { KvClient } from "../../test/e2e/lib/kv-client.ts";
import { sleep, until } from "../../test/e2e/lib/until.ts";
import { VALUE_BYTES } from "./kv-load.ts";

const CALLS_UNDER_WAY = 128;
const SAMPLE = 200;
const SETTLE_MS = 2_000;

/** Writes `count` keys, reads a sample back from every node, waits two seconds, and reads the nodes' memory. In bytes. */
export async function memoryWithKeys(cluster: Cluster, count: number): Promise<readonly number[]> {
  const leader = await until("a leader", 10_000, () => cluster.leader());
  await writeKeys(leader.endpoint, count);
  for (const node of cluster.nodes) await readSample(node.endpoint, count);
  await sleep(SETTLE_MS);
  return residentBytes(cluster);
}

export function residentBytes(cluster: Cluster): readonly number[] {
  return cluster.nodes.map((node) => node.process.rssBytes());
}

const keyOf = (index: number): string => `memory/${String(index).padStart(8, "0")}`;
const valueOf = (index: number): Buffer => Buffer.from(`value ${index} `.padEnd(VALUE_BYTES, "x"));

async function writeKeys(endpoint: string, count: number): Promise<void> {
  const kv = new KvClient(endpoint, { timeoutMs: 20_000 });
  let next = 0;
  const writer = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) {
      const outcome = await kv.put(keyOf(index), valueOf(index));
      if (outcome.type !== "done") throw new Error(`Cannot write key ${index}: ${outcome.reason}`);
    }
  };
  try {
    await Promise.all(Array.from({ length: CALLS_UNDER_WAY }, writer));
  } finally {
    kv.close();
  }
}

async function readSample(endpoint: string, count: number): Promise<void> {
  const kv = new KvClient(endpoint, { timeoutMs: 20_000 });
  try {
    for (let i = 0; i < SAMPLE; i++) {
      const index = Math.floor((i * (count - 1)) / (SAMPLE - 1));
      const outcome = await kv.get(keyOf(index));
      const good = outcome.type === "done" && outcome.value !== undefined;
      if (!good || Buffer.compare(outcome.value.value, valueOf(index)) !== 0) {
        throw new Error(`Cannot use the run: ${endpoint} does not have key ${index} as it was written`);
      }
    }
  } finally {
    kv.close();
  }
}
