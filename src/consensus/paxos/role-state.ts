/**
 * The role of a node (Lamport 2001, section 2.4: one leader proposes) and what lives as long as it does. Each phase's timer
 * stands in its phase.
 */
import type { NodeId } from "../../base/ids.ts";
import type { CoreStatus } from "../contract/core.ts";
import type { Ballot } from "./ballot.ts";
import type { Canvass } from "./canvass.ts";
import type { Candidacy } from "./candidacy.ts";
import type { Leadership } from "./leadership.ts";
import type { Replica } from "./replica.ts";
import type { Stewardship } from "./stewardship.ts";

export interface Follower {
  readonly type: "follower";
  readonly leader: NodeId | undefined;
  /** The leader's ballot; without one, the promised one. */
  readonly ballot: Ballot;
  deadlineMs: number;
}

export interface PreCandidate {
  readonly type: "pre-candidate";
  readonly canvass: Canvass;
  readonly deadlineMs: number;
}

export interface Candidate {
  readonly type: "candidate";
  readonly candidacy: Candidacy;
  deadlineMs: number;
}

export interface Leader {
  readonly type: "leader";
  readonly leadership: Leadership;
  readonly stewardship: Stewardship;
}

export type State = Follower | PreCandidate | Candidate | Leader;

/**
 * The ballot that a node shows as its term: the one it leads, stands for, or else has promised, which is that of the leader it
 * follows. Not the ballot of a leader in an era that it has not reached: it may yet have to stand in its own, and terms
 * never fall.
 */
export function shownBallot(state: State, promised: Ballot): Ballot {
  switch (state.type) {
    case "follower":
    case "pre-candidate":
      return promised;
    case "candidate":
      return state.candidacy.ballot;
    case "leader":
      return state.leadership.ballot;
  }
}

/** The part of a node's status that its role and its replica tell. */
export function statusOf(
  state: State,
  replica: Replica,
  needsSnapshot: (id: NodeId) => boolean,
): Omit<CoreStatus, "role" | "term" | "leader"> {
  const { log, configuration, isDamaged } = replica;
  const leadership = state.type === "leader" ? state.leadership : undefined;
  const last = leadership?.last ?? log.last;
  return {
    commit: log.chosen,
    last,
    first: log.first,
    configuration,
    configurationIndex: log.configurationIndex,
    uncommitted: { entries: last - log.chosen, bytes: leadership?.openBytes ?? 0 },
    peers: leadership?.status(needsSnapshot) ?? [],
    damaged: isDamaged,
  };
}

/** When the role's own timer is due. Infinity: `isIdle`, it waits for nothing. */
export function dueMs(state: State, isIdle: boolean): number {
  switch (state.type) {
    case "leader":
      return state.leadership.deadlineMs;
    case "candidate":
      return Math.min(state.deadlineMs, state.candidacy.dueMs);
    case "follower":
    case "pre-candidate":
      return isIdle ? Number.POSITIVE_INFINITY : state.deadlineMs;
  }
}
