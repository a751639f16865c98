/**
 * The part of a plan that replicates a user's own StateMachine: production nodes (log, consensus, group) with one group
 * each, ready once a leader serves, repaired once a damaged node is a whole voter again.
 *
 * ```ts
 * const scenario = (seed: number) => ({
 *   ...replicatedGroup({ nodes: 3, machine: () => new Counter() }),
 *   durationMs: 20_000,
 *   clients: 4,
 *   client: async (client) => { … await client.call(client.anyNode(), ({ group }) => group.propose(command)) … },
 * });
 * ```
 */
import { groupId } from "../base/ids.ts";
import { defaultLimits, defaultTimings, type Limits, type Timings } from "../config/limits.ts";
import { type NodeConfig, nodeDefaults } from "../config/node-config.ts";
import type { GroupHandle } from "../group/handle.ts";
import type { StateMachine } from "../group/state-machine.ts";
import { Foundation } from "../node/foundation.ts";
import type { Ports } from "../ports/ports.ts";
import { frameDescriber } from "./describe-frame.ts";
import type { SimulationPlan } from "./simulate.ts";

export interface ReplicatedGroupOptions<Result, Query, Answer> {
  /** All of them vote. Default 3. */
  readonly nodes?: number;
  /** An empty machine, for each start of each node. */
  readonly machine: () => StateMachine<Result, Query, Answer>;
  readonly consensus?: NodeConfig["consensus"];
  /** Default: small ones, so that a short run sees checkpoints, trimmed logs and snapshots. */
  readonly limits?: Partial<Limits>;
  readonly timings?: Partial<Timings>;
}

/** One simulated node of the group. Checks look at its own replica with `group.query`; clients ask with `group.read`. */
export interface GroupSimNode<Result, Query, Answer> {
  readonly group: GroupHandle<Result, Query, Answer>;
  readonly stopped: Promise<unknown>;
  /** All that the node once acknowledged is on its disk, and it votes. */
  isWhole(): boolean;
  close(): Promise<void>;
}

type NodeOptions = Pick<ReplicatedGroupOptions<unknown, unknown, unknown>, "consensus" | "limits" | "timings">;
type GroupPlan<TNode extends { close(): Promise<void> }> = Required<
  Pick<SimulationPlan<TNode>, "nodes" | "factory" | "isReady" | "isRepaired" | "faults" | "describeFrame">
>;

const GROUP = groupId(1);
/** Replicas that differ by fewer entries count as level. */
const LEVEL_ENTRIES = 20;
const smallLimits: Partial<Limits> = { diskReserveBytes: 256 * 1024, dirtyBytesMax: 8 * 1024, logBytesKept: 4 * 1024 };
const SEGMENT_BYTES = 64 * 1024;

/** A plan without clients, duration and check: spread it into yours, and overwrite what should be different. */
export function replicatedGroup<Result, Query, Answer>(
  options: ReplicatedGroupOptions<Result, Query, Answer>,
): GroupPlan<GroupSimNode<Result, Query, Answer>> {
  const { nodes = 3 } = options;
  const timings = { ...defaultTimings, ...options.timings };
  return {
    nodes,
    factory: { start: (ports, node) => startNode(ports, configOf(node, nodes, options), options.machine()) },
    isReady(running) {
      if (!running.some(({ group }) => group.isReadyLeader)) return false;
      const applied = running.map(({ group }) => group.applied);
      return Math.max(...applied) - Math.min(...applied) < LEVEL_ENTRIES;
    },
    isRepaired: (_, node) => node.isWhole(),
    faults: { rotPrefix: "wal/", electionMs: 2 * timings.electionMs, meanGapMs: 1_500 },
    describeFrame: frameDescriber(options.consensus ?? nodeDefaults.consensus),
  };
}

async function startNode<Result, Query, Answer>(
  ports: Ports,
  config: NodeConfig,
  machine: StateMachine<Result, Query, Answer>,
): Promise<GroupSimNode<Result, Query, Answer>> {
  const foundation = await Foundation.open(ports, config);
  try {
    const group = await foundation.openGroup(GROUP, { folder: "group", machine });
    return {
      group,
      stopped: foundation.failed,
      isWhole: () => isWhole(foundation, group),
      async close() {
        await group.close();
        await foundation.close();
      },
    };
  } catch (error) {
    await foundation.close();
    throw error;
  }
}

function isWhole<Result, Query, Answer>(foundation: Foundation, group: GroupHandle<Result, Query, Answer>): boolean {
  const { damaged, commit, configuration } = group.status();
  const me = configuration.members.find(({ id }) => id === group.nodeId);
  const isBound = me?.role === "voter" && me.incarnation === foundation.identity.incarnation;
  return !damaged && isBound && commit > 0 && configuration.outgoing.length === 0;
}

function configOf(id: number, nodes: number, options: NodeOptions): NodeConfig {
  const address = (node: number): string => `n${node}:1`;
  return {
    ...nodeDefaults,
    id,
    name: `n${id}`,
    peerListen: address(id),
    clientUrls: [],
    consensus: options.consensus ?? nodeDefaults.consensus,
    initialMembers: Array.from({ length: nodes }, (_, i) => ({
      id: i + 1,
      name: `n${i + 1}`,
      address: address(i + 1),
      clientUrls: [],
    })),
    walSegmentBytes: SEGMENT_BYTES,
    limits: { ...defaultLimits, ...smallLimits, ...options.limits },
    timings: { ...defaultTimings, ...options.timings },
  };
}
