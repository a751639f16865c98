/** What one node is told at start. Parsed and checked once, at the edge (`cli/`, `althing.ts`); everyone else gets slices. */
import { AlthingError } from "../base/errors.ts";
import { defaultLimits, defaultTimings, type Limits, type Timings } from "./limits.ts";

/** How the replicas of a group agree; the first is the usual one. */
export const consensusEngines = ["raft", "paxos"] as const;
export type ConsensusEngine = (typeof consensusEngines)[number];

export interface InitialMember {
  readonly id: number;
  readonly name: string;
  /** `host:port` of the peer port. */
  readonly address: string;
  readonly clientUrls: readonly string[];
}

export interface AutoCompaction {
  /** `off`; `revision`: keep the last `keep` revisions; `periodic`: keep the history of the last `keep` milliseconds. */
  readonly mode: "off" | "revision" | "periodic";
  readonly keep: number;
}

export interface NodeConfig {
  /** From 1, unique in the cluster, never reused. */
  readonly id: number;
  readonly name: string;
  /** Nodes with another cluster name are refused at the handshake. */
  readonly cluster: string;
  /** Where the peer port listens: `host:port`. */
  readonly peerListen: string;
  /** What others dial, if it differs from `peerListen`. */
  readonly peerAddress?: string;
  /** URLs of the public port, told to clients by the member list. */
  readonly clientUrls: readonly string[];
  /** The same list on every node of a new cluster. Undefined: this node waits until a member adds it. */
  readonly initialMembers: readonly InitialMember[] | undefined;
  /** The same on every node of a cluster, and for the life of its data. */
  readonly consensus: ConsensusEngine;
  /** Higher stands earlier for election. */
  readonly priority: number;
  readonly limits: Limits;
  readonly timings: Timings;
  /** Pace of a snapshot to one follower. */
  readonly snapshotBytesPerSecond: number;
  readonly walSegmentBytes: number;
  readonly autoCompaction: AutoCompaction;
}

/** What a node gets when nothing else is said. */
export const nodeDefaults: Omit<NodeConfig, "id" | "name" | "peerListen" | "clientUrls" | "initialMembers"> = {
  cluster: "althing",
  consensus: "raft",
  priority: 0,
  limits: defaultLimits,
  timings: defaultTimings,
  snapshotBytesPerSecond: 64 * 1024 * 1024,
  walSegmentBytes: 16 * 1024 * 1024,
  autoCompaction: { mode: "off", keep: 0 },
};

/** What a ballot of Paxos has room for. */
const PAXOS_ID_MAX = 1_023;

/** Rules between fields. Throws CONFIG_INVALID. */
export function checkNodeConfig(config: NodeConfig): void {
  const fail = (why: string): never => {
    throw new AlthingError("CONFIG_INVALID", `Cannot start the node: ${why}`);
  };
  const { heartbeatMs, electionMs, diskStallMs, leaseMs } = config.timings;
  if (!Number.isSafeInteger(config.id) || config.id < 1) fail(`id must be a whole number from 1, not ${config.id}`);
  if (config.consensus === "paxos" && config.id > PAXOS_ID_MAX)
    fail(`id must be at most ${PAXOS_ID_MAX} with Paxos, not ${config.id}`);
  if (electionMs < 2 * heartbeatMs)
    fail(`electionMs (${electionMs}) must be at least twice heartbeatMs (${heartbeatMs})`);
  if (diskStallMs >= electionMs) fail(`diskStallMs (${diskStallMs}) must be below electionMs (${electionMs})`);
  if (leaseMs >= electionMs) fail(`leaseMs (${leaseMs}) must be below electionMs (${electionMs})`);
  const initial = config.initialMembers;
  if (initial === undefined) return;
  if (new Set(initial.map((m) => m.id)).size !== initial.length) fail("two initial members have the same id");
  if (!initial.some((m) => m.id === config.id)) fail(`the initial members do not contain this node (id ${config.id})`);
}
