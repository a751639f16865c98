/**
 * Bad clients on the public port of a live cluster, all kinds at once. Meanwhile a good client is served in time on the same
 * node, memory stays bounded, and afterwards nothing of them is left. Single malformed messages and the answers to them are
 * compared with etcd's in `etcd-wire-differential.test.ts`.
 */
import { readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { althingSpec } from "./lib/althing-spec.ts";
import { Cluster, type ClusterNode } from "./lib/cluster.ts";
import {
  type BadClients,
  garbage,
  halfOpen,
  idle,
  oversized,
  rapidReset,
  slowloris,
} from "./lib/faults/bad-clients.ts";
import { isLong, whenLong } from "./lib/faults/needs.ts";
import { expectWhole } from "./lib/faults/verify.ts";
import { freePorts } from "./lib/free-ports.ts";
import { KvClient } from "./lib/kv-client.ts";
import type { Acknowledged } from "./lib/load.ts";
import { sleep, until } from "./lib/until.ts";

const MIB = 1024 * 1024;
const RSS_MAX = 400 * MIB;
const P99_MAX_MS = 1_000;
const ATTACK_MS = isLong ? 60_000 : 4_000;

let cluster: Cluster;
let target: ClusterNode;
beforeAll(async () => {
  cluster = await Cluster.start(althingSpec(), { ports: await freePorts(6) });
  target = await cluster.ready(); // the leader: it has the most to lose
});
afterAll(async () => {
  await cluster?.close();
});

const descriptors = (node: ClusterNode): number => readdirSync(`/proc/${node.process.pid}/fd`).length;

/** Puts and reads one after another for as long as the attack lasts. */
async function goodClient(
  endpoint: string,
  prefix: string,
  forMs: number,
): Promise<{
  readonly tookMs: readonly number[];
  readonly failed: readonly string[];
  readonly acknowledged: readonly Acknowledged[];
}> {
  const kv = new KvClient(endpoint, { timeoutMs: 5_000 });
  const tookMs: number[] = [];
  const failed: string[] = [];
  const acknowledged: Acknowledged[] = [];
  const end = performance.now() + forMs;
  for (let serial = 0; performance.now() < end; serial++) {
    const key = `${prefix}${serial}`;
    const before = performance.now();
    const put = await kv.put(key, String(serial));
    tookMs.push(performance.now() - before);
    if (put.type === "done") acknowledged.push({ key, value: String(serial) });
    else failed.push(put.reason);
    const middle = performance.now();
    const read = await kv.get(key);
    tookMs.push(performance.now() - middle);
    if (read.type !== "done") failed.push(read.reason);
    await sleep(2);
  }
  kv.close();
  return { tookMs, failed, acknowledged };
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.POSITIVE_INFINITY;
}

/** Attacks with new clients again and again, and watches. */
async function underAttack(
  name: string,
  connectionsMin: number,
  attack: (port: number, round: number) => readonly BadClients[],
): Promise<void> {
  const descriptorsBefore = descriptors(target);
  const underWay: BadClients[] = [];
  let rssMax = 0;
  let descriptorsMax = 0;
  const watching = setInterval(() => {
    if (!target.process.running) return; // said below
    rssMax = Math.max(rssMax, target.process.rssBytes());
    descriptorsMax = Math.max(descriptorsMax, descriptors(target));
  }, 50);
  let round = 0;
  const attacking = setInterval(() => underWay.push(...attack(target.plan.clientPort, ++round)), 1_500);
  underWay.push(...attack(target.plan.clientPort, 0));
  try {
    const [here, elsewhere] = await Promise.all([
      goodClient(target.endpoint, `good/${name}/here-`, ATTACK_MS),
      goodClient(cluster.endpoints.find((one) => one !== target.endpoint) ?? "", `good/${name}/there-`, ATTACK_MS),
    ]);
    expect([...here.failed, ...elsewhere.failed]).toEqual([]);
    expect(here.acknowledged.length).toBeGreaterThan(20);
    expect(percentile(here.tookMs, 0.99)).toBeLessThan(P99_MAX_MS);
    expect(percentile(elsewhere.tookMs, 0.99)).toBeLessThan(P99_MAX_MS);
    expect(rssMax).toBeLessThan(RSS_MAX);
    expect(descriptorsMax - descriptorsBefore).toBeGreaterThan(connectionsMin); // the attack did arrive
    expect(target.process.running).toBe(true);
    for (const clients of underWay) clients.close();
    await expectWhole(cluster, `good/${name}/`, [...here.acknowledged, ...elsewhere.acknowledged]);
  } finally {
    clearInterval(attacking);
    clearInterval(watching);
    for (const clients of underWay) clients.close();
  }
  await until("the descriptors of the bad clients", 15_000, () =>
    descriptors(target) <= descriptorsBefore + 10 ? true : undefined,
  );
}

describe("a good client is served in time, memory stays bounded, and nothing is left over", () => {
  it("under 1,000 idle sockets, slow and half-open ones", async () => {
    await underAttack("slow", 1_000, (port, round) =>
      round === 0 ? [idle(port, 1_000), slowloris(port, 200), halfOpen(port, 200)] : [halfOpen(port, 40)],
    );
  });

  it("under noise, oversized messages and rapid resets", async () => {
    await underAttack("loud", 4, (port, round) => [
      garbage(port, 100, round),
      oversized(port, 6),
      rapidReset(port, 4, 5_000),
    ]);
  });
});

whenLong(() => {
  it("who says nothing, or not enough to tell what it wants, is sent away within ten seconds", async () => {
    const silent = idle(target.plan.clientPort, 20);
    const slow = slowloris(target.plan.clientPort, 3);
    await sleep(200);
    expect([silent.open, slow.open]).toEqual([20, 3]);
    const since = performance.now();
    await until("the end of the silent ones", 15_000, () => (silent.open === 0 ? true : undefined), 50);
    expect(performance.now() - since).toBeGreaterThan(5_000); // not because the node shuts the door on everyone
    silent.close();
    slow.close();
  });
});

it("who opens streams only to cancel them is cut off", async () => {
  const resetting = rapidReset(target.plan.clientPort, 2, 20_000);
  expect(resetting.open).toBe(2);
  await until("the end of the resetting ones", 10_000, () => (resetting.open === 0 ? true : undefined), 50);
});
