/**
 * When to stand, shared by the engines. A node stands only after a pre-vote shows that a quorum hears it, and a leader that
 * loses its quorum steps down: so only a quorum-connected node ever leads (Ng et al. 2023, Omni-Paxos, section 4).
 */
export interface ElectionTiming {
  readonly electionMs: number;
  readonly heartbeatMs: number;
  readonly priority: number;
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
