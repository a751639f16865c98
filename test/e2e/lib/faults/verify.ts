/** What must hold once a fault is over: nothing acknowledged is gone, and all replicas are one. */
import type { Cluster, ClusterNode } from "../cluster.ts";
import { KvClient } from "../kv-client.ts";
import { type Acknowledged, lostWrites } from "../load.ts";
import { until } from "../until.ts";
import { AdminClient } from "./admin-client.ts";

const CATCH_UP_LIMIT_MS = 15_000;

/** Fails unless every node comes to hold every write itself, and the digests of all nodes at one revision come to be equal. */
export async function expectWhole(
  cluster: Cluster,
  prefix: string,
  acknowledged: readonly Acknowledged[],
): Promise<void> {
  for (const node of cluster.nodes) await expectHolds(node, prefix, acknowledged);
  await expectEqualDigests(cluster);
}

/** Fails unless the node itself comes to hold every write. */
export async function expectHolds(
  node: ClusterNode,
  prefix: string,
  acknowledged: readonly Acknowledged[],
): Promise<void> {
  const kv = new KvClient(node.endpoint);
  let last = "no answer";
  try {
    await until("every acknowledged write", CATCH_UP_LIMIT_MS, async () => {
      const linearizable = await kv.get(prefix); // any answer: the node serves again, and has caught up to it
      if (linearizable.type !== "done") {
        last = linearizable.reason;
        return undefined;
      }
      const lost = await lostWrites(kv, prefix, acknowledged, { serializable: true });
      last = `${lost.length} of ${acknowledged.length}: ${lost.slice(0, 3).join(", ")}`;
      return lost.length === 0 ? true : undefined;
    });
  } catch (error) {
    throw new Error(`Lost acknowledged writes on node ${node.plan.id}: ${last}`, { cause: error });
  } finally {
    kv.close();
  }
}

/** Fails unless all nodes come to have the same digest of the whole history at the newest revision. */
export async function expectEqualDigests(cluster: Cluster): Promise<void> {
  const clients = cluster.nodes.map((node) => new AdminClient(node.endpoint));
  let last = "no answer";
  try {
    await until("equal digests", CATCH_UP_LIMIT_MS, async () => {
      const newest = await Promise.all(clients.map((client) => client.hashKv(0n)));
      let revision = 0n;
      for (const one of newest) if (one.type === "done" && one.value.newest > revision) revision = one.value.newest;
      const hashes = await Promise.all(clients.map((client) => client.hashKv(revision)));
      const seen = hashes.map((one) => (one.type === "done" ? String(one.value.hash) : one.reason));
      last = `at revision ${revision}: ${seen.join(" | ")}`;
      const isEqual = revision > 0n && hashes.every((one) => one.type === "done") && new Set(seen).size === 1;
      return isEqual ? true : undefined;
    });
  } catch (error) {
    throw new Error(`Replicas differ, ${last}`, { cause: error });
  } finally {
    for (const client of clients) client.close();
  }
}

/** Writes `count` keys one after another through `kv`, each with a value of its own, and fails at the first that fails. */
export async function writeMany(
  kv: KvClient,
  prefix: string,
  count: number,
  options: { readonly from?: number; readonly valueBytes?: number } = {},
): Promise<readonly Acknowledged[]> {
  const { from = 0, valueBytes = 0 } = options;
  const written: Acknowledged[] = [];
  const WINDOW = 16;
  for (let start = from; start < from + count; start += WINDOW) {
    const keys = Array.from({ length: Math.min(WINDOW, from + count - start) }, (_, i) => {
      const name = String(start + i).padStart(6, "0");
      return { key: `${prefix}${name}`, value: `value-of-${name}-`.padEnd(valueBytes, "abcdefgh") };
    });
    const outcomes = await Promise.all(keys.map((pair) => kv.put(pair.key, pair.value)));
    const bad = outcomes.find((outcome) => outcome.type !== "done");
    if (bad !== undefined) throw new Error(`Cannot write below ${prefix}: ${JSON.stringify(bad.type)} ${bad.reason}`);
    written.push(...keys);
  }
  return written;
}
