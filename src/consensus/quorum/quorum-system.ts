/**
 * Quorum systems for Paxos: which sets are enough for phase 1 (taking over) and for phase 2 (choosing). They need not be
 * alike, nor majorities: all that safety asks is that every phase-1 quorum meets every phase-2 quorum.
 * Source  Howard, Malkhi & Spiegelman 2016, "Flexible Paxos" (arXiv 1608.06696), sections 3 and 4 (sizes, grids); zones after
 *         Ailijiang et al. 2017, "WPaxos", section 3; weights after Gifford 1979.
 *
 * Q4. A system that is handed out was proven: over all subsets of up to nine voters, no phase-1 quorum leaves a phase-2
 *     quorum in its complement. (Quorums are monotone, so that is the same as "every two meet".) For more voters only
 *     majorities are handed out, which meet because two halves of a set cannot both be more than half.
 *
 * Sets are bit masks over `voters`: bit i stands for `voters[i]`. Asking costs no allocation.
 */
import { assert } from "../../base/assert.ts";
import type { NodeId } from "../../base/ids.ts";
import { majority } from "./quorum.ts";

export type QuorumSpec =
  | { readonly type: "majority" }
  /** Any `phase1` voters, any `phase2` voters. */
  | { readonly type: "sizes"; readonly phase1: number; readonly phase2: number }
  /** Voters whose weights reach a sum. A voter that is not named weighs nothing. */
  | {
      readonly type: "weighted";
      readonly weights: readonly { readonly id: NodeId; readonly weight: number }[];
      readonly phase1: number;
      readonly phase2: number;
    }
  /** Phase 1 wants a whole column, phase 2 a whole row. Rows have one length. */
  | { readonly type: "grid"; readonly rows: readonly (readonly NodeId[])[] }
  /**
   * Phase 2 wants majorities in `zonesLost + 1` zones, phase 1 in all zones but `zonesLost`: choosing goes on without far
   * zones, and taking over without a lost one.
   */
  | { readonly type: "zones"; readonly zones: readonly (readonly NodeId[])[]; readonly zonesLost: number };

export interface QuorumSystem {
  /** Sorted. At most 30. */
  readonly voters: readonly NodeId[];
  isPhase1(mask: number): boolean;
  isPhase2(mask: number): boolean;
}

export const PROVEN_VOTERS_MAX = 9;
export const VOTERS_MAX = 30;

/** Two quorums that miss each other, or why a specification makes no sense for these voters. */
export interface QuorumFault {
  readonly why: string;
  readonly phase1?: readonly NodeId[];
  readonly phase2?: readonly NodeId[];
}

export type QuorumVerdict =
  | { readonly type: "system"; readonly system: QuorumSystem }
  | { readonly type: "refused"; readonly fault: QuorumFault };

/** The system that `spec` describes over `voters`, proven, or what is wrong with it. */
export function quorumSystem(spec: QuorumSpec, voters: readonly NodeId[]): QuorumVerdict {
  const sorted = [...new Set(voters)].sort((a, b) => a - b);
  if (sorted.length === 0) return refused({ why: "there are no voters" });
  if (sorted.length > VOTERS_MAX) return refused({ why: `there are more than ${VOTERS_MAX} voters` });
  const made = makeSystem(spec, sorted);
  if (typeof made === "string") return refused({ why: made });
  if (spec.type === "majority") return { type: "system", system: made };
  if (sorted.length > PROVEN_VOTERS_MAX) {
    return refused({ why: `quorums over more than ${PROVEN_VOTERS_MAX} voters are majorities` });
  }
  const fault = disprove(made);
  return fault === undefined ? { type: "system", system: made } : refused(fault);
}

/** Majorities: what a configuration has that says nothing else. */
export function majoritySystem(voters: readonly NodeId[]): QuorumSystem {
  const verdict = quorumSystem({ type: "majority" }, voters);
  assert(verdict.type === "system", "majorities of at least one voter", { voters });
  return verdict.system;
}

/** Q4, by enumeration: two quorums that miss each other, or a phase that nobody can fill; undefined: there are none. */
export function disprove(system: QuorumSystem): QuorumFault | undefined {
  const { voters } = system;
  assert(voters.length <= PROVEN_VOTERS_MAX, "few enough voters to enumerate", { count: voters.length });
  const all = (1 << voters.length) - 1;
  if (!system.isPhase1(all)) return { why: "all voters together are no phase-1 quorum" };
  if (!system.isPhase2(all)) return { why: "all voters together are no phase-2 quorum" };
  for (let mask = 0; mask <= all; mask++) {
    if (!system.isPhase1(mask) || !system.isPhase2(all & ~mask)) continue;
    const phase1 = least(mask, (m) => system.isPhase1(m));
    const phase2 = least(all & ~mask, (m) => system.isPhase2(m));
    const [first, second] = [names(voters, phase1), names(voters, phase2)];
    const why = `phase-1 quorum {${first.join(", ")}} misses phase-2 quorum {${second.join(", ")}}`;
    return { why, phase1: first, phase2: second };
  }
  return undefined;
}

export function bitCount(mask: number): number {
  let left = mask - ((mask >>> 1) & 0x55555555);
  left = (left & 0x33333333) + ((left >>> 2) & 0x33333333);
  return Math.imul((left + (left >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

const refused = (fault: QuorumFault): QuorumVerdict => ({ type: "refused", fault });

/** A smallest part of `mask` that still is enough, by leaving out what can be left out. */
function least(mask: number, isEnough: (mask: number) => boolean): number {
  let left = mask;
  for (let bit = 1; bit <= mask; bit <<= 1) if ((left & bit) !== 0 && isEnough(left & ~bit)) left &= ~bit;
  return left;
}

const names = (voters: readonly NodeId[], mask: number): NodeId[] => voters.filter((_, i) => (mask & (1 << i)) !== 0);

/** The system, not yet proven, or why there is none. */
function makeSystem(spec: QuorumSpec, voters: readonly NodeId[]): QuorumSystem | string {
  switch (spec.type) {
    case "majority": {
      const enough = majority(voters.length);
      return bySize(voters, enough, enough);
    }
    case "sizes":
      if (!isCount(spec.phase1) || !isCount(spec.phase2)) return "quorum sizes are whole numbers from 1";
      return bySize(voters, spec.phase1, spec.phase2);
    case "weighted": {
      if (!(spec.phase1 > 0) || !(spec.phase2 > 0)) return "the weights to reach are above 0";
      const weights = voters.map((id) => spec.weights.find((w) => w.id === id)?.weight ?? 0);
      if (weights.some((weight) => !Number.isFinite(weight) || weight < 0)) return "weights are numbers from 0";
      const stray = strayOf(
        spec.weights.map((w) => w.id),
        voters,
      );
      if (stray !== undefined) return stray;
      const reaches = (mask: number, sum: number): boolean => {
        let left = sum;
        for (let i = 0; i < weights.length; i++) if ((mask & (1 << i)) !== 0) left -= weights[i] ?? 0;
        return left <= 0;
      };
      return { voters, isPhase1: (mask) => reaches(mask, spec.phase1), isPhase2: (mask) => reaches(mask, spec.phase2) };
    }
    case "grid": {
      const width = spec.rows[0]?.length ?? 0;
      if (width === 0 || spec.rows.some((row) => row.length !== width)) return "the rows of a grid have one length";
      const stray = strayOf(spec.rows.flat(), voters);
      if (stray !== undefined) return stray;
      const rows = spec.rows.map((row) => maskOf(voters, row));
      const columns = Array.from({ length: width }, (_, i) =>
        maskOf(
          voters,
          spec.rows.flatMap((row) => row[i] ?? []),
        ),
      );
      return {
        voters,
        isPhase1: (mask) => columns.some((column) => (mask & column) === column),
        isPhase2: (mask) => rows.some((row) => (mask & row) === row),
      };
    }
    case "zones": {
      const { zonesLost } = spec;
      if (spec.zones.some((zone) => zone.length === 0)) return "a zone has members";
      if (!Number.isInteger(zonesLost) || zonesLost < 0 || zonesLost >= spec.zones.length) {
        return "fewer zones may be lost than there are";
      }
      const stray = strayOf(spec.zones.flat(), voters);
      if (stray !== undefined) return stray;
      const zones = spec.zones.map((zone) => ({ mask: maskOf(voters, zone), enough: majority(zone.length) }));
      const held = (mask: number): number => zones.filter((z) => bitCount(mask & z.mask) >= z.enough).length;
      return {
        voters,
        isPhase1: (mask) => held(mask) >= zones.length - zonesLost,
        isPhase2: (mask) => held(mask) >= zonesLost + 1,
      };
    }
  }
}

const isCount = (value: number): boolean => Number.isInteger(value) && value >= 1;

function bySize(voters: readonly NodeId[], phase1: number, phase2: number): QuorumSystem {
  return { voters, isPhase1: (mask) => bitCount(mask) >= phase1, isPhase2: (mask) => bitCount(mask) >= phase2 };
}

function maskOf(voters: readonly NodeId[], ids: readonly NodeId[]): number {
  let mask = 0;
  for (const id of ids) mask |= 1 << voters.indexOf(id);
  return mask;
}

/** Everybody who is named votes, once. */
function strayOf(ids: readonly NodeId[], voters: readonly NodeId[]): string | undefined {
  if (new Set(ids).size !== ids.length) return "a voter is named twice";
  const stray = ids.find((id) => !voters.includes(id));
  return stray === undefined ? undefined : `${stray} is named and is no voter`;
}
