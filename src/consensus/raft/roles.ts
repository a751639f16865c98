/**
 * The four roles of a replica, each with what only that role has: nothing of a leadership outlives it, because it lives in it.
 * Source  Ongaro & Ousterhout 2014, figure 2 (volatile state) and figure 4 (roles); pre-candidates, Ongaro 2014, section 9.6.
 *
 * A learner is a follower without a vote; whether it has one is the configuration's to say.
 */
import type { LogIndex, NodeId } from "../../base/ids.ts";
import type { Progress } from "./progress.ts";
import type { ReadQueue } from "./reads.ts";

export interface Follower {
  readonly type: "follower";
  readonly leader: NodeId | undefined;
  deadlineMs: number;
}

/** Asks who would vote for it, and changes nothing by asking. */
export interface PreCandidate {
  readonly type: "pre-candidate";
  readonly votes: Map<NodeId, boolean>;
  readonly deadlineMs: number;
}

export interface Candidate {
  readonly type: "candidate";
  readonly votes: Map<NodeId, boolean>;
  readonly deadlineMs: number;
}

export interface Leader {
  readonly type: "leader";
  readonly progress: Map<NodeId, Progress>;
  readonly reads: ReadQueue;
  /** Index of the empty entry that opened the term. */
  readonly opening: LogIndex;
  heartbeatDueMs: number;
  /** When followers that nobody waits at learn of the newest commit, unless an append tells them before. */
  commitDueMs: number;
  transfer: { readonly to: NodeId; readonly deadlineMs: number } | undefined;
  /** Somebody was asked to stand without waiting for silence: the request may arrive late, so no lease in this term again. */
  askedToStand: boolean;
  uncommittedBytes: number;
}

export type RoleState = Follower | PreCandidate | Candidate | Leader;
