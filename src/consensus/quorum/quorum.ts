/**
 * Quorum mathematics over sets of voters.
 * Source  Ongaro & Ousterhout 2014, section 5.3 (commit by majority); Ongaro 2014, section 4.3 (joint consensus).
 * Owns    the one definition of "enough": votes, commit, check-quorum and read confirmation all ask here.
 *
 * Q1. Two majorities of one set share a voter; a joint decision needs a majority of each half.
 * Q2. Everything is computed anew from the current sets. No tally lives between calls, so none goes stale when the
 *     configuration changes between two votes or two acknowledgements.
 * Q3. A voter counts once, however often a list names it.
 *
 * An empty set has nothing to object: it is won, and it bounds no index. That makes the absent outgoing half of a
 * configuration neutral. That a configuration has voters at all is checked where configurations are made.
 */
import { assert } from "../../base/assert.ts";
import type { NodeId } from "../../base/ids.ts";

/** Two sets that both must agree; outside a joint configuration `outgoing` is empty. */
export interface JointVoters {
  readonly incoming: readonly NodeId[];
  readonly outgoing: readonly NodeId[];
}

export type VoteResult = "won" | "lost" | "pending";

/** The least number of voters out of `count` (at least 1) that any other such number must overlap. */
export function majority(count: number): number {
  assert(Number.isSafeInteger(count) && count >= 1, "a majority is of at least one voter", { count });
  return Math.floor(count / 2) + 1;
}

/** The largest index that a majority of `voters` holds, given what each holds; Infinity for an empty set. */
export function committedIndex(voters: readonly NodeId[], match: (id: NodeId) => number): number {
  const held: number[] = []; // descending; sets are small, so insertion beats a sort with a comparator
  for (let i = 0; i < voters.length; i++) {
    const id = voters[i] as NodeId; // in range by the loop bound
    if (voters.indexOf(id) !== i) continue;
    const index = match(id);
    assert(index >= 0, "a match index is a number from 0", { id, index });
    let at = held.length;
    held.push(index);
    while (at > 0 && (held[at - 1] as number) < index) {
      held[at] = held[at - 1] as number;
      at--;
    }
    held[at] = index;
  }
  if (held.length === 0) return Number.POSITIVE_INFINITY;
  return held[majority(held.length) - 1] as number; // a majority of n is at most n
}

/** The largest index that a majority of each half holds. */
export function jointCommittedIndex(voters: JointVoters, match: (id: NodeId) => number): number {
  return Math.min(committedIndex(voters.incoming, match), committedIndex(voters.outgoing, match));
}

/**
 * Where a vote stands: `won` once a majority said yes, `lost` once so many said no that a majority of yes cannot come any
 * more, else `pending`. `vote` gives undefined for a voter that has not answered.
 */
export function voteResult(voters: readonly NodeId[], vote: (id: NodeId) => boolean | undefined): VoteResult {
  let count = 0;
  let yes = 0;
  let open = 0;
  for (let i = 0; i < voters.length; i++) {
    const id = voters[i] as NodeId; // in range by the loop bound
    if (voters.indexOf(id) !== i) continue;
    count++;
    const answer = vote(id);
    if (answer === undefined) open++;
    else if (answer) yes++;
  }
  if (count === 0) return "won";
  const needed = majority(count);
  if (yes >= needed) return "won";
  return yes + open >= needed ? "pending" : "lost";
}

/** A joint vote is won when both halves are, and lost as soon as one half is. */
export function jointVoteResult(voters: JointVoters, vote: (id: NodeId) => boolean | undefined): VoteResult {
  const incoming = voteResult(voters.incoming, vote);
  const outgoing = voteResult(voters.outgoing, vote);
  if (incoming === "lost" || outgoing === "lost") return "lost";
  return incoming === "won" && outgoing === "won" ? "won" : "pending";
}

/** True if those who `has` answers for form a quorum of both halves. */
export function hasQuorum(voters: JointVoters, has: (id: NodeId) => boolean): boolean {
  return jointVoteResult(voters, has) === "won";
}
