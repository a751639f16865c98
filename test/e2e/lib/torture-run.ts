/**
 * Rounds of faults on a real cluster under load. After each round every node runs again, and then must hold:
 * - every write acknowledged in the round is on every node's own disk state, and still is at the end of all rounds;
 * - the history of the registers is linearizable;
 * - the cluster serves again within a bound.
 */
import { Prng } from "../../../src/base/prng.ts";
import { Cluster, type ClusterNode, type ClusterSpec } from "./cluster.ts";
import { freePorts } from "./free-ports.ts";
import { KvClient } from "./kv-client.ts";
import { type Acknowledged, type Epoch, Load, lostWrites } from "./load.ts";
import { PeerLinks } from "./peer-links.ts";
import { sleep, until } from "./until.ts";

/** What is done to the cluster in one round. `links` are cut only where peers are dialled through proxies. */
export type Fault =
  | "kill-leader"
  | "kill-one"
  | "kill-two"
  | "kill-all"
  | "kill-twice"
  | "pause-leader"
  | "cut-leader"
  | "cut-leader-one-way"
  | "cut-one-link";

export const killFaults: readonly Fault[] = ["kill-leader", "kill-one", "kill-two", "kill-all", "kill-twice"];
export const linkFaults: readonly Fault[] = ["cut-leader", "cut-leader-one-way", "cut-one-link"];
export const allFaults: readonly Fault[] = [...killFaults, "pause-leader", ...linkFaults];

export interface TortureOptions {
  readonly spec: ClusterSpec;
  readonly seed: number;
  /** Ends after this many rounds … */
  readonly rounds: number;
  /** … or at this time of `performance.now()`, whichever comes first. */
  readonly endMs?: number;
  readonly faults: readonly Fault[];
  readonly onRound?: (round: RoundReport) => void;
}

export interface RoundReport {
  readonly round: number;
  readonly fault: Fault;
  readonly acknowledged: number;
  readonly operations: number;
  readonly unknown: number;
  /** Milliseconds from the end of the fault until every node ran and named one leader. */
  readonly recoveryMs: number;
}

export interface TortureReport {
  readonly rounds: readonly RoundReport[];
  readonly acknowledged: number;
}

const NODES = 3;
const CLIENTS = 6;
const REGISTERS = 3;
const CALL_TIMEOUT_MS = 1_000;
/** Longer than any lease or election timeout that the systems have by default. */
const PAUSE_MS = 2_500;
const CATCH_UP_LIMIT_MS = 15_000;

/** Runs the rounds. Fails at the first thing that must hold and does not, saying which round and which seed. */
export async function torture(options: TortureOptions): Promise<TortureReport> {
  const prng = new Prng(options.seed);
  const ports = await freePorts(2 * NODES);
  const usesLinks = options.faults.some((fault) => linkFaults.includes(fault));
  const links = usesLinks ? await PeerLinks.open(ports.filter((_, index) => index % 2 === 1)) : undefined;
  const peers = links === undefined ? {} : { peerAddress: links.address };
  await using _closing = links;
  await using cluster = await Cluster.start(options.spec, { ports, ...peers });
  const load = Load.start({
    endpoints: cluster.endpoints,
    clients: CLIENTS,
    registers: REGISTERS,
    seed: options.seed,
    timeoutMs: CALL_TIMEOUT_MS,
    pauseMs: 2,
  });
  const rounds: RoundReport[] = [];
  const epochs: { readonly prefix: string; readonly acknowledged: readonly Acknowledged[] }[] = [];
  try {
    for (let round = 1; round <= options.rounds; round++) {
      if (performance.now() >= (options.endMs ?? Number.POSITIVE_INFINITY)) break;
      const fault = prng.pick(options.faults);
      const where = `seed ${options.seed}, round ${round}, ${fault}`;
      await sleep(prng.between(100, 500));
      await makeFault(fault, cluster, links, prng);
      const healedAt = performance.now();
      await cluster.ready().catch((error: unknown) => {
        throw new Error(`Cannot go on (${where}): ${String(error)}\n${logs(cluster)}`, { cause: error });
      });
      const recoveryMs = performance.now() - healedAt;
      await sleep(prng.between(50, 200));
      const epoch = await load.turn();
      await mustHold(epoch, cluster, where);
      epochs.push({ prefix: epoch.journal, acknowledged: epoch.acknowledged });
      const { done, unknown } = epoch.counts;
      const report = { round, fault, acknowledged: epoch.acknowledged.length, operations: done, unknown, recoveryMs };
      rounds.push(report);
      options.onRound?.(report);
    }
  } finally {
    await load.stop();
  }
  for (const { prefix, acknowledged } of epochs) {
    await mustBeOnEveryNode(cluster, prefix, acknowledged, `seed ${options.seed}, after all rounds`);
  }
  return { rounds, acknowledged: epochs.reduce((sum, epoch) => sum + epoch.acknowledged.length, 0) };
}

async function makeFault(fault: Fault, cluster: Cluster, links: PeerLinks | undefined, prng: Prng): Promise<void> {
  const leader = await until("a leader", CATCH_UP_LIMIT_MS, () => cluster.leader());
  const holdMs = prng.between(50, 1_500);
  switch (fault) {
    case "kill-leader":
      return await killAndRestart([leader], holdMs);
    case "kill-one":
      return await killAndRestart([prng.pick(cluster.nodes)], holdMs);
    case "kill-two":
      return await killAndRestart(prng.shuffle([...cluster.nodes]).slice(0, 2), holdMs);
    case "kill-all":
      return await killAndRestart(cluster.nodes, holdMs);
    case "kill-twice": {
      // The second kill meets the node in its recovery.
      const node = prng.pick(cluster.nodes);
      await killAndRestart([node], prng.between(0, 50));
      await sleep(prng.between(5, 400));
      return await killAndRestart([node], prng.between(0, 50));
    }
    case "pause-leader":
      leader.process.pause();
      await sleep(PAUSE_MS);
      leader.process.resume();
      return;
    case "cut-leader":
    case "cut-leader-one-way":
    case "cut-one-link": {
      if (links === undefined) throw new Error(`Cannot make the fault ${fault}: the links have no proxies`);
      const others = cluster.nodes.filter((node) => node !== leader).map((node) => node.plan.id);
      const id = leader.plan.id;
      if (fault === "cut-leader") links.isolate(id);
      else if (fault === "cut-one-link") links.cut(id, prng.pick(others));
      else if (prng.chance(0.5)) for (const other of others) links.cutOneWay(id, other);
      else for (const other of others) links.cutOneWay(other, id);
      await sleep(PAUSE_MS);
      links.heal({ reset: prng.chance(0.5) });
      return;
    }
  }
}

async function killAndRestart(nodes: readonly ClusterNode[], holdMs: number): Promise<void> {
  await Promise.all(nodes.map((node) => node.process.kill()));
  await sleep(holdMs);
  for (const node of nodes) node.process.start();
}

async function mustHold(epoch: Epoch, cluster: Cluster, where: string): Promise<void> {
  await mustBeOnEveryNode(cluster, epoch.journal, epoch.acknowledged, where);
  const verdict = epoch.judge();
  if (verdict.type === "violation") {
    const order = verdict.order.slice(-10).map((operation) => JSON.stringify(operation));
    const stuck = JSON.stringify(verdict.stuck);
    throw new Error(
      `Not linearizable (${where}): on ${verdict.partition}, after\n${order.join("\n")}\nthere is no place for\n${stuck}`,
    );
  }
  if (verdict.type === "unknown") {
    throw new Error(
      `Cannot judge (${where}): the search ended for ${verdict.why}; make rounds shorter or registers more`,
    );
  }
}

/** Asks each node for what it holds itself, and waits a while for one that lags. */
async function mustBeOnEveryNode(
  cluster: Cluster,
  prefix: string,
  acknowledged: readonly Acknowledged[],
  where: string,
): Promise<void> {
  for (const node of cluster.nodes) {
    const kv = new KvClient(node.endpoint);
    let lost: readonly string[] = [];
    try {
      await until("all acknowledged writes", CATCH_UP_LIMIT_MS, async () => {
        lost = await lostWrites(kv, prefix, acknowledged, { serializable: true });
        return lost.length === 0 ? true : undefined;
      });
    } catch (error) {
      const what = lost.length === 0 ? String(error) : `${lost.length} of ${acknowledged.length}, ${lost[0]} first`;
      throw new Error(`Lost acknowledged writes on node ${node.plan.id} (${where}): ${what}`, { cause: error });
    } finally {
      kv.close();
    }
  }
}

function logs(cluster: Cluster): string {
  return cluster.nodes.map((node) => `node ${node.plan.id}:\n${node.process.logTail()}`).join("\n");
}
