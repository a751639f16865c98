/**
 * The standard simulated run: a cluster of production nodes, clients that put, read, swap and delete through any node, the
 * faults that the seed draws, and at the end: the history is linearizable, and every node holds the same state.
 */
import { crc32 } from "node:zlib";
import { AssertionError, assert } from "../../base/assert.ts";
import { defaultLimits } from "../../config/limits.ts";
import { type NodeConfig, nodeDefaults } from "../../config/node-config.ts";
import { HashKVRequest } from "../../coordination/messages.ts";
import { AlthingNode } from "../../node/node.ts";
import type { Ports } from "../../ports/ports.ts";
import { History, type Operation } from "../../sim/checkers/history.ts";
import { checkLinearizability } from "../../sim/checkers/linearizability.ts";
import { type KvInput, type KvOutput, kvModel } from "../../sim/checkers/models.ts";
import { frameDescriber } from "../../sim/describe-frame.ts";
import { faultKinds, furtherFaultKinds } from "../../sim/faults.ts";
import { macrotaskHost } from "../../sim/macrotask-host.ts";
import { simKernels } from "../../sim/sim-kernels.ts";
import type { Scenario } from "../../sim/simulate.ts";
import type { SimHost } from "../../sim/world.ts";
import { memoryEngineOpener } from "../../storage/engine/memory-engine.ts";
import { type KvNode, kvClient } from "./kv-workload.ts";

export interface KvRunOptions {
  readonly seed: number;
  readonly nodes: number;
  /** Virtual milliseconds under faults. */
  readonly durationMs: number;
  /** Clients read without a confirmation by the leader: the history is then not linearizable, and the check must say so. */
  readonly staleReads: boolean;
  readonly consensus?: NodeConfig["consensus"];
  readonly faults?: Scenario<KvSimNode>["faults"];
}

export interface KvSimNode extends KvNode {
  readonly node: AlthingNode;
}

export interface KvRun {
  readonly scenario: Scenario<KvSimNode>;
  /** Operations whose outcome some client knew or may have caused. */
  operations(): number;
}

const CLIENTS = 5;
const ELECTION_MS = 500;
/** Steps of the checker's search; a history that needs more is reported, never taken for correct. */
const STEPS_MAX = 20_000_000;

/** Everything of one run; a second run needs a second call, because the history belongs to the run. */
export function kvRun(options: KvRunOptions): KvRun {
  const history = new History<KvInput, KvOutput>();
  const { seed, nodes, durationMs, consensus = nodeDefaults.consensus } = options;
  const scenario: Scenario<KvSimNode> = {
    seed,
    nodes,
    durationMs,
    clients: CLIENTS,
    client: (client) => kvClient(client, history, { staleReads: options.staleReads }),
    host: nodeHost,
    kernels: { ...simKernels, crc32: (bytes, start) => crc32(bytes, start) },
    factory: { start: (ports, number) => startNode(ports, configOf(number, nodes, consensus)) },
    isReady,
    isRepaired: isWhole,
    describeFrame: frameDescriber(consensus),
    faults: options.faults ?? {
      kinds: [...faultKinds, ...furtherFaultKinds],
      rotPrefix: "wal/",
      folders: ["wal", "meta"],
      meanGapMs: 1_500,
      electionMs: 2 * ELECTION_MS,
    },
    check: async ({ nodes: running }) => {
      checkHistory(history);
      await checkEqualStates(running);
    },
  };
  return { scenario, operations: () => history.operations().length };
}

async function startNode(ports: Ports, config: NodeConfig): Promise<KvSimNode> {
  const node = await AlthingNode.open(ports, memoryEngineOpener(ports), config);
  return { node, kv: node.coordination, stopped: node.failed, close: () => node.close() };
}

/** Small limits, so that a short run sees checkpoints, trimmed logs and snapshots. */
function configOf(id: number, nodes: number, consensus: NodeConfig["consensus"]): NodeConfig {
  const address = (member: number): string => `node-${member}:7401`;
  return {
    ...nodeDefaults,
    id,
    name: `node-${id}`,
    peerListen: address(id),
    clientUrls: [],
    consensus,
    initialMembers: Array.from({ length: nodes }, (_, i) => ({
      id: i + 1,
      name: `node-${i + 1}`,
      address: address(i + 1),
      clientUrls: [],
    })),
    timings: { ...nodeDefaults.timings, electionMs: ELECTION_MS },
    walSegmentBytes: 64 * 1024,
    limits: { ...defaultLimits, diskReserveBytes: 256 * 1024, dirtyBytesMax: 8 * 1024, logBytesKept: 4 * 1024 },
  };
}

const LEVEL_ENTRIES = 20;

function isReady(running: readonly KvSimNode[]): boolean {
  const applied = running.map(({ node }) => node.group.applied);
  const isLevel = Math.max(...applied) - Math.min(...applied) < LEVEL_ENTRIES;
  return isLevel && running.some(({ node }) => node.group.isReadyLeader);
}

/** A node whose disk was damaged or wiped counts as a whole copy again. */
function isWhole(number: number, { node }: KvSimNode): boolean {
  const { damaged, commit, configuration } = node.group.status();
  const member = configuration.members.find(({ id }) => id === number);
  const isBound = member?.role === "voter" && member.incarnation === node.incarnation;
  return !damaged && isBound && commit > 0 && configuration.outgoing.length === 0;
}

function checkHistory(history: History<KvInput, KvOutput>): void {
  const verdict = checkLinearizability(kvModel, history.operations(), { stepsMax: STEPS_MAX });
  if (verdict.type === "violation") {
    const { partition, stuck, order } = verdict;
    const before = order.slice(-ORDER_SHOWN).map(showOperation).join("; ");
    throw new AssertionError(
      `not linearizable at key ${partition}: ${showOperation(stuck)} fits nowhere behind ${order.length} operations, the last of them ${before}`,
    );
  }
  assert(verdict.type === "ok", "the checker reaches a verdict; shorten the run", verdict);
}

const ORDER_SHOWN = 6;

function showOperation({ client, input, output }: Operation<KvInput, KvOutput>): string {
  return `client ${client} ${JSON.stringify(input)} → ${output === undefined ? "unknown" : JSON.stringify(output)}`;
}

/** All nodes agree on every revision up to the lowest that each has. */
async function checkEqualStates(running: readonly KvSimNode[]): Promise<void> {
  const heads = await Promise.all(
    running.map(({ node }) => node.coordination.hashKv(HashKVRequest.make({ revision: 0 }))),
  );
  const common = Math.min(...heads.map((head) => head.header?.revision ?? 0));
  const hashes = await Promise.all(
    running.map(({ node }) => node.coordination.hashKv(HashKVRequest.make({ revision: common }))),
  );
  // A hash covers what its node has not compacted; equal compactions are compared only.
  const [first, ...others] = hashes;
  for (const other of others) {
    if (first?.compactRevision !== other.compactRevision) continue;
    assert(first.hash === other.hash, "replicas hold equal states", { revision: common, hashes });
  }
}

/** The real event loop under the simulated world. */
export const nodeHost: SimHost = macrotaskHost({
  macrotask: setImmediate,
  watchRejections(report) {
    process.on("unhandledRejection", report);
    return () => void process.off("unhandledRejection", report);
  },
  realMs: () => performance.now(),
});
