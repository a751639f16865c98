/**
 * Who may stand for election and when, shared by the engines (Raft's candidates, Paxos' proposers that want to lead).
 * Source  Ongaro 2014, sections 4.2.3 (a live leader is not disturbed), 6.4 (a leader that hears no quorum steps down) and 9.6
 *         (pre-vote); Ng et al. 2023, Omni-Paxos, section 4 (only a quorum-connected node leads).
 * Owns    timeouts, and the judgement from times: silence, connectedness, having been held up.
 * Leaves  terms and ballots, votes and what is in a log to the engine; what is a quorum to the caller, since quorums of
 *         phase 1 and phase 2 need not be alike.
 *
 * E1. Only a node stands that decisions need, that holds all it ever acknowledged, and whose disk answers.
 * E2. Only a quorum-connected node leads: it stands after a pre-vote that a quorum granted, and steps down when it has not
 *     heard a quorum for an election timeout.
 * E3. Who heard a leader within an election timeout helps nobody to replace it: it grants no pre-vote and no vote, unless
 *     that leader itself asked for the election and no lease stands on the silence.
 * E4. Nobody concludes from silence while it was held up itself: what it would have heard may wait in its sockets.
 */
import type { NodeId } from "../../base/ids.ts";
import { type Configuration, isVoter } from "./configuration.ts";

export interface ElectionTiming {
  /** The least election timeout. */
  readonly electionMs: number;
  readonly heartbeatMs: number;
  /** How long a leader may answer reads after a quorum heard it; 0: it never does. */
  readonly leaseMs: number;
  /** Higher stands earlier; 0 is usual. */
  readonly priority: number;
  /** Uniform in [0, 1), from the seeded port. */
  readonly random: () => number;
}

/** A fresh election timeout: from [1, 2) times the least one; a higher priority draws from a narrower range. */
export function electionTimeoutMs(timing: ElectionTiming): number {
  return timing.electionMs * (1 + timing.random() / (1 + timing.priority));
}

/**
 * The leader's connection broke, so it is probably dead. Voters stand one after the other, by rank: two that stand at the
 * same moment would split the vote and wait for a whole timeout.
 */
export function hurriedTimeoutMs(timing: ElectionTiming, rank: number): number {
  return 2 + rank * timing.heartbeatMs + timing.random() * 3;
}

/**
 * How many voters stand before `self` after the connection to the leader `lost` broke: those with lower ids. Every voter
 * counts alike without a message. A voter that stands in both halves of a joint configuration counts once.
 */
export function rankAfter(lost: NodeId, self: NodeId, voters: readonly NodeId[]): number {
  let rank = 0;
  for (let i = 0; i < voters.length; i++) {
    const id = voters[i];
    if (id !== undefined && id < self && id !== lost && voters.indexOf(id) === i) rank++;
  }
  return rank;
}

/** What E1 asks of a node. An engine's state can be this interface itself, so that asking costs nothing. */
export interface Fitness {
  /** `isNeeded` of this module, for the configuration in force. */
  readonly isNeeded: boolean;
  /** It may have acknowledged what it cannot read any more, a vote or an entry. */
  readonly isDamaged: boolean;
  /** See `isUnboundReplacement`. */
  readonly isUnbound: boolean;
  /** The oldest open write is older than the host's limit. */
  readonly isStalled: boolean;
}

/** E1. */
export function mayStand(node: Fitness): boolean {
  return node.isNeeded && !node.isDamaged && !node.isUnbound && !node.isStalled;
}

/**
 * A voter; or one that a change not yet known to be committed removes (`before`: the configuration that it replaces):
 * nobody else may hold the change (Ongaro 2014, section 4.2.2).
 */
export function isNeeded(self: NodeId, now: Configuration, before: Configuration | undefined): boolean {
  return isVoter(now, self) || (before !== undefined && isVoter(before, self));
}

/** E4: true if a tick comes so long after it was due that this process must have been held up. */
export function wasHeldUp(timing: ElectionTiming, times: { readonly nowMs: number; readonly dueMs: number }): boolean {
  return times.nowMs - times.dueMs > timing.electionMs / 2;
}

/** E4: a leader that was held up takes its peers as heard no longer ago than this, which leaves them two heartbeats to answer. */
export function heardAfterHoldUpMs(timing: ElectionTiming, nowMs: number): number {
  return nowMs - timing.electionMs + timing.heartbeatMs * 2;
}

/** True if what was heard at `heardMs` is younger than an election timeout. Never heard is negative infinity. */
export function isRecent(timing: ElectionTiming, times: { readonly heardMs: number; readonly nowMs: number }): boolean {
  return times.nowMs - times.heardMs < timing.electionMs;
}

/**
 * E2: has the leader `self` heard a quorum within an election timeout? It always hears itself. `lastHeardMs` gives undefined
 * for one that it never heard, `isQuorum` judges the set of those for which its argument answers true.
 */
export function isQuorumConnected(
  timing: ElectionTiming,
  view: {
    readonly self: NodeId;
    readonly nowMs: number;
    readonly lastHeardMs: (id: NodeId) => number | undefined;
    readonly isQuorum: (has: (id: NodeId) => boolean) => boolean;
  },
): boolean {
  const { self, nowMs, lastHeardMs, isQuorum } = view;
  return isQuorum(
    (id) => id === self || isRecent(timing, { heardMs: lastHeardMs(id) ?? Number.NEGATIVE_INFINITY, nowMs }),
  );
}

/** What a node knows of a leader when somebody asks for its vote. */
export interface LeaderView {
  readonly isLeader: boolean;
  /** A leader is known, and its connection has not broken since it was heard. */
  readonly knowsLeader: boolean;
}

/** When a leader was last heard, and what follows from it for those who ask for votes (E3). */
export class LeaderWatch {
  readonly #timing: ElectionTiming;
  #heardMs: number;

  /**
   * With leases on, a node that starts must not vote while the leader that it may have promised to could still serve reads:
   * it begins as if it had heard one now.
   */
  constructor(timing: ElectionTiming, nowMs: number) {
    this.#timing = timing;
    this.#heardMs = timing.leaseMs > 0 ? nowMs : Number.NEGATIVE_INFINITY;
  }

  /** A leader of the current or a newer term was heard. */
  hear(nowMs: number): void {
    this.#heardMs = nowMs;
  }

  /** E3: is a request for a vote or a pre-vote to be turned away, whatever the asker's log? */
  forbidsVote(nowMs: number, view: LeaderView): boolean {
    return view.isLeader || ((view.knowsLeader || this.#leasesOn) && this.#heardRecently(nowMs));
  }

  /** A lost connection is a hint to stand soon, unless a lease may stand on our silence: that outlives a connection. */
  get mayHurry(): boolean {
    return !this.#leasesOn;
  }

  get #leasesOn(): boolean {
    return this.#timing.leaseMs > 0;
  }

  #heardRecently(nowMs: number): boolean {
    return isRecent(this.#timing, { heardMs: this.#heardMs, nowMs });
  }
}
