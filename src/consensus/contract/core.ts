/**
 * The contract between a consensus core (Raft, Paxos) and the host that drives it (`group/`).
 *
 * A core is a pure machine: the same inputs at the same times give the same effects; no clock, no I/O, no promise.
 * The host's duties:
 *  1. Hand in inputs one at a time, with a monotonic time that never goes back.
 *  2. Call `step({ type: "tick" })` no later than shortly after `deadlineMs`.
 *  3. Send `send` at once. Frames may be lost, repeated, delayed and reordered; they may not be altered.
 *  4. Append `persist.records` to the WAL in the order in which steps returned them. When they are durable, hand in
 *     `{ type: "durable", ticket }`; only the effects of *that* step carry the messages that had to wait. A failed write
 *     stops the process.
 *  5. Apply `committed` in order, once, and only after handing the effects' records to the WAL.
 *  6. Answer a granted read from a state that has applied at least the granted index.
 */
import type { LogIndex, NodeId, Term } from "../../base/ids.ts";
import type { Configuration, Member } from "./configuration.ts";
import type { LogRecord } from "./record.ts";

/** Where a log begins: everything up to `index` lives in a snapshot of the state machine. */
export interface LogStart {
  readonly index: LogIndex;
  readonly term: Term;
  readonly chain: number;
  readonly configuration: Configuration;
}

export type Input =
  | { readonly type: "tick" }
  /** `isStranger`: the sender is not the data folder that the configuration names, so that it has no vote to give. */
  | { readonly type: "message"; readonly from: NodeId; readonly frame: Uint8Array; readonly isStranger?: boolean }
  /**
   * Append one batch. Answered by `Effects.outcome`. `waiting`: peers that answer clients when they see it committed, and
   * are told at once; others learn of it with the next message.
   */
  | {
      readonly type: "propose";
      readonly body: Uint8Array;
      readonly bodyCrc: number;
      readonly waiting?: readonly NodeId[];
    }
  /** Ask for a read index. `context` is the caller's own and comes back in the grant; a core adds its own freshness. */
  | { readonly type: "read"; readonly context: number }
  | { readonly type: "durable"; readonly ticket: number }
  /** A new set of members. Answered by `Effects.outcome`; finished when an event `configuration` without joint half comes. */
  | { readonly type: "change"; readonly members: readonly Member[] }
  | { readonly type: "transfer"; readonly to: NodeId }
  /** The connection to a peer broke: a hint that it may be dead, never a proof. */
  | { readonly type: "peer-lost"; readonly peer: NodeId }
  /** The oldest open disk write is older than the host's limit: a leader resigns, nobody stands. Ends with `stalled: false`. */
  | { readonly type: "disk"; readonly stalled: boolean }
  /** Records up to `index` are in a durable checkpoint; the core may forget entries below it. */
  | { readonly type: "trim"; readonly start: LogStart }
  /** The state machine was replaced by a peer's snapshot that ends at `start`. */
  | { readonly type: "installed"; readonly start: LogStart }
  /** A transfer of a snapshot to `peer` ended. */
  | { readonly type: "snapshot-sent"; readonly peer: NodeId; readonly index: LogIndex; readonly ok: boolean };

export interface Outgoing {
  readonly to: NodeId;
  readonly frame: Uint8Array;
}

export interface Persist {
  /** Rises by one with each persist of this core. */
  readonly ticket: number;
  readonly records: readonly LogRecord[];
}

export interface ReadGrant {
  readonly context: number;
  /** State that has applied this index may answer; undefined: ask again, the leader changed or is not ready. */
  readonly index: LogIndex | undefined;
}

export type RefusalReason =
  | "not-leader"
  | "overloaded"
  | "transferring"
  | "change-pending"
  | "not-ready"
  | "invalid-members";

export type StepOutcome =
  | { readonly type: "accepted"; readonly index: LogIndex; readonly term: Term }
  | { readonly type: "refused"; readonly reason: RefusalReason; readonly leader: NodeId | undefined };

export type Role = "follower" | "pre-candidate" | "candidate" | "leader" | "learner";

/** Facts for the Observer, the checkers and the host. */
export type CoreEvent =
  | {
      readonly type: "role";
      readonly role: Role;
      readonly term: Term;
      readonly leader: NodeId | undefined;
      readonly why: string;
    }
  | {
      readonly type: "configuration";
      readonly configuration: Configuration;
      readonly index: LogIndex;
      readonly committed: boolean;
    }
  | { readonly type: "need-snapshot"; readonly peer: NodeId }
  | { readonly type: "stuck"; readonly peer: NodeId; readonly why: string }
  | { readonly type: "ignored"; readonly from: NodeId; readonly message: string; readonly why: string }
  | { readonly type: "truncated"; readonly from: LogIndex; readonly to: LogIndex }
  | { readonly type: "repaired"; readonly upTo: LogIndex };

export interface Effects {
  readonly send: readonly Outgoing[];
  readonly persist: Persist | undefined;
  /** Newly committed entries in order, each exactly once over the life of this core. */
  readonly committed: readonly LogRecord[];
  readonly reads: readonly ReadGrant[];
  readonly events: readonly CoreEvent[];
  /** Only for `propose`, `change` and `transfer`. */
  readonly outcome: StepOutcome | undefined;
}

export interface PeerStatus {
  readonly peer: NodeId;
  readonly match: LogIndex;
  readonly state: "probe" | "replicate" | "snapshot";
  readonly lastHeardMs: number;
}

export interface CoreStatus {
  readonly role: Role;
  readonly term: Term;
  readonly leader: NodeId | undefined;
  readonly commit: LogIndex;
  readonly last: LogIndex;
  readonly first: LogIndex;
  readonly configuration: Configuration;
  readonly configurationIndex: LogIndex;
  /** Entries proposed here and not yet committed, in entries and bytes. */
  readonly uncommitted: { readonly entries: number; readonly bytes: number };
  readonly peers: readonly PeerStatus[];
  /** True while acknowledged entries are missing and being fetched; such a node does not vote. */
  readonly damaged: boolean;
}

export interface ConsensusCore {
  step(input: Input, nowMs: number): Effects;
  /** Monotonic time of the next tick the core wants; Infinity: none. */
  readonly deadlineMs: number;
  readonly role: Role;
  readonly term: Term;
  readonly leader: NodeId | undefined;
  readonly commit: LogIndex;
  /** False while this node leads and a proposal would only have to wait: in Paxos, until the era that ends has ended. */
  readonly takesProposals: boolean;
  /** Whose snapshots a replica takes, if they go beyond its commit index: the present leader's, or any other replica's. */
  readonly snapshotsFrom: "leader" | "anyone";
  status(): CoreStatus;
  /** True if the leader may answer reads up to its commit index without a round: an opt-in lease holds at `nowMs`. */
  leaseHolds(nowMs: number): boolean;
  /** The chain and term at an index still in the log or at its start; undefined when trimmed. */
  startAt(index: LogIndex): LogStart | undefined;
}

/** What a core is built from after a (re)start. */
export interface Recovered {
  /** The newest `start` that the checkpoint of the state machine reaches. */
  readonly start: LogStart;
  /** Records of this group in WAL order. */
  readonly records: readonly LogRecord[];
  /**
   * The highest index this node may have acknowledged but cannot read (a damaged record), or undefined. Until its log
   * reaches that index again the node neither votes nor stands (Alagappan et al. 2018, "PAR").
   */
  readonly damagedUpTo: LogIndex | undefined;
  /**
   * The term of a vote (in Paxos: the ballot of a promise) that was durable here and cannot be read any more, when no newer
   * one can: what it promised still binds. A host that does not even know its term, because the record is lost with its
   * header and no later vote follows, must not start a core under the old incarnation: as after a lost disk, it comes back
   * as a stranger. Absent: no vote was lost.
   */
  readonly lostVoteTerm?: Term | undefined;
}

export interface CoreOptions {
  readonly id: NodeId;
  /** This node's data folder; 0 or absent: not told. Where the configuration names another one under `id`, it has no vote. */
  readonly incarnation?: number;
  readonly heartbeatMs: number;
  /** Least election timeout; each draw is from [1, 2) times it. */
  readonly electionMs: number;
  /** Lease reads are opt-in: 0 turns them off. Less than `electionMs`. */
  readonly leaseMs: number;
  /** Higher stands earlier; 0 is usual. */
  readonly priority: number;
  readonly uncommittedEntriesMax: number;
  readonly uncommittedBytesMax: number;
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
  /** Bytes of entries in one message. */
  readonly messageBytesMax: number;
  /** Uniform in [0, 1), from the seeded port. */
  readonly random: () => number;
  readonly crc32: (bytes: Uint8Array) => number;
}

export type CoreFactory = (options: CoreOptions, recovered: Recovered, nowMs: number) => ConsensusCore;
