/**
 * The faults of torture rounds: what each needs of the machine, and how it is made and healed. When `make` resolves, every
 * node is running again and nothing stands in its way any more. Nodes are drawn from the run's seed.
 */
import { join } from "node:path";
import type { Prng } from "../../../src/base/prng.ts";
import type { ClusterNode } from "./cluster.ts";
import { type Need, namespaces, root, strace, xfs } from "./faults/machine.ts";
import { TamperedProcess } from "./faults/syscall-faults.ts";
import type { TortureSite } from "./torture-site.ts";
import { sleep, until } from "./until.ts";

interface Scene {
  readonly site: TortureSite;
  readonly nodes: readonly ClusterNode[];
  readonly leader: ClusterNode;
  readonly others: readonly ClusterNode[];
  /** A node of any role: the leader half of the time. */
  readonly victim: ClusterNode;
  readonly prng: Prng;
}

interface FaultKind {
  readonly needs: readonly Need[];
  readonly hosts?: true;
  readonly disks?: true;
  readonly make: (scene: Scene) => Promise<void>;
}

/** Longer than any lease or election timeout that the systems have by default. */
const PAUSE_MS = 2_500;
const LEADER_LIMIT_MS = 15_000;
const END_LIMIT_MS = 15_000;

const kinds = {
  "kill-leader": { needs: [], make: ({ leader, prng }) => killAndRestart([leader], downMs(prng)) },
  "kill-one": { needs: [], make: ({ nodes, prng }) => killAndRestart([prng.pick(nodes)], downMs(prng)) },
  "kill-two": {
    needs: [],
    make: ({ nodes, prng }) => killAndRestart(prng.shuffle([...nodes]).slice(0, 2), downMs(prng)),
  },
  "kill-all": { needs: [], make: ({ nodes, prng }) => killAndRestart(nodes, downMs(prng)) },
  "kill-in-recovery": {
    needs: [],
    make: async ({ victim, prng }) => {
      await killAndRestart([victim], prng.between(0, 50));
      for (let kills = prng.between(1, 3); kills > 0; kills--) {
        await sleep(prng.between(5, 900)); // the process's start, the log's replay, the first elections
        await killAndRestart([victim], prng.between(0, 50));
      }
    },
  },
  "kill-all-in-recovery": {
    needs: [],
    make: async ({ nodes, prng }) => {
      await killAndRestart(nodes, prng.between(0, 50));
      await sleep(prng.between(100, 1_500));
      await killAndRestart(nodes, prng.between(0, 50));
    },
  },
  "pause-leader": { needs: [], make: ({ leader }) => pause([leader]) },
  "pause-two": { needs: [], make: ({ nodes, prng }) => pause(prng.shuffle([...nodes]).slice(0, 2)) },
  "cut-leader": {
    needs: [namespaces],
    hosts: true,
    make: ({ site, leader }) => cut(site, () => site.hosts.isolate(leader.plan.id)),
  },
  "cut-leader-one-way": {
    needs: [namespaces],
    hosts: true,
    make: ({ site, leader, others, prng }) => {
      const isDeaf = prng.chance(0.5);
      return cut(site, () => {
        for (const other of others) {
          const [from, to] = isDeaf ? [other, leader] : [leader, other];
          site.hosts.cutOneWay(from.plan.id, to.plan.id);
        }
      });
    },
  },
  "cut-one-link": {
    needs: [namespaces],
    hosts: true,
    make: ({ site, leader, others, prng }) => {
      const other = prng.pick(others);
      return cut(site, () => site.hosts.cut(leader.plan.id, other.plan.id));
    },
  },
  "fill-disk": {
    needs: [xfs],
    disks: true,
    make: async ({ site, victim, prng }) => {
      const disk = site.diskOf(victim);
      disk.fill();
      await sleep(prng.between(500, PAUSE_MS));
      disk.free();
    },
  },
  "fail-sync": {
    needs: [root, strace],
    make: async ({ site, victim }) => {
      const log = join(site.folder, "strace.log");
      const fault = { calls: "fdatasync", inject: "fdatasync:error=EIO" };
      const tampered = await TamperedProcess.attach(victim.process.pid, fault, log);
      const code = await tampered.exitCode(END_LIMIT_MS);
      if (code === 0) throw new Error(`Node ${victim.plan.id} ended with exit code 0 after a failed sync`);
      if (tampered.met === 0) throw new Error(`Node ${victim.plan.id} ended before a sync failed`);
      await restartEnded(victim);
    },
  },
  "slow-sync": {
    needs: [root, strace],
    make: async ({ site, victim, prng }) => {
      const log = join(site.folder, "strace.log");
      const inject = `fdatasync:delay_enter=${prng.between(100, 1_500) * 1_000}`;
      const tampered = await TamperedProcess.attach(victim.process.pid, { calls: "fdatasync", inject }, log);
      await sleep(PAUSE_MS);
      await tampered.detach();
    },
  },
  "shut-down-disk": {
    needs: [xfs],
    disks: true,
    make: async ({ site, victim }) => {
      site.diskOf(victim).shutDown();
      await until(`the end of node ${victim.plan.id}, whose disk is gone`, END_LIMIT_MS, () =>
        victim.process.running ? undefined : true,
      );
      await remount(site, [victim]);
    },
  },
  "shut-down-all-disks": {
    // As a power cut of the whole room: whatever was not synced is lost on every node at the same moment.
    needs: [xfs],
    disks: true,
    make: async ({ site, nodes }) => {
      for (const node of nodes) site.diskOf(node).shutDown();
      await Promise.all(nodes.map((node) => node.process.kill()));
      await remount(site, nodes);
    },
  },
} satisfies Readonly<Record<string, FaultKind>>;

export type Fault = keyof typeof kinds;

const table: Readonly<Record<Fault, FaultKind>> = kinds;

/** Every kind, in the order of the table. */
export const allFaults: readonly Fault[] = Object.keys(kinds).filter((name): name is Fault => name in kinds);

/** Kinds after which another system than ours may rightly have ended by itself. */
export const ownFaults: readonly Fault[] = ["fill-disk"];

/** What this machine lacks for a fault; empty if it can be made. */
export function missingFor(fault: Fault): readonly string[] {
  return table[fault].needs.filter((need) => !need.isMet()).map((need) => need.name);
}

export function needsHosts(faults: readonly Fault[]): boolean {
  return faults.some((fault) => table[fault].hosts === true);
}

export function needsDisks(faults: readonly Fault[]): boolean {
  return faults.some((fault) => table[fault].disks === true);
}

/** Makes a fault and heals it. */
export async function makeFault(fault: Fault, site: TortureSite, prng: Prng): Promise<void> {
  const { cluster } = site;
  const { nodes } = cluster;
  const leader = await until("a leader", LEADER_LIMIT_MS, () => cluster.leader());
  const others = nodes.filter((node) => node !== leader);
  const victim = prng.chance(0.5) ? leader : prng.pick(others);
  await table[fault].make({ site, nodes, leader, others, victim, prng });
}

const downMs = (prng: Prng): number => prng.between(50, 1_500);

async function killAndRestart(nodes: readonly ClusterNode[], holdMs: number): Promise<void> {
  await Promise.all(nodes.map((node) => node.process.kill()));
  await sleep(holdMs);
  for (const node of nodes) node.process.start();
}

async function pause(nodes: readonly ClusterNode[]): Promise<void> {
  for (const node of nodes) node.process.pause();
  await sleep(PAUSE_MS);
  for (const node of nodes) node.process.resume();
}

async function cut(site: TortureSite, make: () => void): Promise<void> {
  make();
  await sleep(PAUSE_MS);
  site.hosts.heal();
}

async function remount(site: TortureSite, nodes: readonly ClusterNode[]): Promise<void> {
  for (const node of nodes) site.diskOf(node).remount();
  for (const node of nodes) node.process.start();
}

/** strace sees the end of a process a moment before its parent does. */
async function restartEnded(node: ClusterNode): Promise<void> {
  await until(`the end of node ${node.plan.id}`, END_LIMIT_MS, () => (node.process.running ? undefined : true));
  node.process.start();
}
