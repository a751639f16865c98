/**
 * Ballots: (era, round, node) in one number, which is the contract's term, so that ballots compare as terms do.
 * Source  Lamport 2001, section 2.2 (proposal numbers drawn from disjoint sets); DESIGN section 4.
 *
 *   era 23 bits | round 20 bits | node 10 bits      53 bits, the safe integers
 *
 * The era counts the sets of voters that a group has had: ballots of a later era are above all of an earlier one. The node
 * makes ballots of different proposers differ. A proposer never uses a ballot twice, because it promises its own ballot to
 * itself, durably, before it uses it.
 *
 * Two rounds are special. Round 0 belongs to one proposer of an era, the one whose stop entry began it (`leadership.ts`).
 * `ROUND_SETTLED` is above all that are used: under it a replica files values that it has learned to be chosen.
 */
import { assert } from "../../base/assert.ts";
import { type NodeId, type Term, term } from "../../base/ids.ts";

export type Ballot = Term;

const NODE_RANGE = 1 << 10;
const ROUND_RANGE = 1 << 20;
const LOW_RANGE = NODE_RANGE * ROUND_RANGE;

export const NODE_MAX: number = NODE_RANGE - 1;
export const ERA_MAX: number = (1 << 23) - 1;
export const ROUND_SETTLED: number = ROUND_RANGE - 1;
/** The last round that a proposer may use. */
export const ROUND_MAX: number = ROUND_SETTLED - 1;

/** Below every ballot: nothing promised, nothing accepted. */
export const NO_BALLOT: Ballot = term(0);

export function ballotOf(parts: { readonly era: number; readonly round: number; readonly node: number }): Ballot {
  const { era, round, node } = parts;
  assert(Number.isInteger(era) && era >= 0 && era <= ERA_MAX, "an era of a ballot", parts);
  assert(Number.isInteger(round) && round >= 0 && round <= ROUND_SETTLED, "a round of a ballot", parts);
  assert(Number.isInteger(node) && node >= 0 && node <= NODE_MAX, "a node of a ballot", parts);
  return term(era * LOW_RANGE + round * NODE_RANGE + node);
}

export const eraOf = (ballot: Ballot): number => Math.floor(ballot / LOW_RANGE);
export const roundOf = (ballot: Ballot): number => Math.floor(ballot / NODE_RANGE) % ROUND_RANGE;
export const nodeOf = (ballot: Ballot): number => ballot % NODE_RANGE;

/** Round and node, 30 bits: what is left of a ballot where the era is known. */
export const lowOf = (ballot: Ballot): number => ballot % LOW_RANGE;
export const ballotFromLow = (era: number, low: number): Ballot => term(era * LOW_RANGE + low);

/** The ballot under which values known to be chosen are filed: any is safe, this one says so. */
export const settledBallot = (era: number): Ballot => ballotOf({ era, round: ROUND_SETTLED, node: 0 });
export const isSettled = (ballot: Ballot): boolean => roundOf(ballot) === ROUND_SETTLED;

/** The first ballot of a stop entry's proposer in the era after it. */
export const openingBallot = (era: number, node: NodeId): Ballot => ballotOf({ era, round: 0, node });

/** The least ballot of `node` in `era` with a round above `seen`; undefined once the rounds of the era are used up. */
export function ballotAbove(seen: Ballot, era: number, node: NodeId): Ballot | undefined {
  assert(eraOf(seen) <= era, "no ballot of an era can be above one of a later era", { seen, era });
  const round = eraOf(seen) === era ? roundOf(seen) + 1 : 1;
  return round > ROUND_MAX ? undefined : ballotOf({ era, round, node });
}

/** `era.round.node`, for people. */
export const ballotText = (ballot: Ballot): string => `${eraOf(ballot)}.${roundOf(ballot)}.${nodeOf(ballot)}`;
