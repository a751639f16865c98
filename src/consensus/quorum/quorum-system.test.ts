/** Quorum systems against their naive twin: all pairs of subsets, one by one. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type NodeId, nodeId } from "../../base/ids.ts";
import {
  bitCount,
  disprove,
  majoritySystem,
  type QuorumSpec,
  type QuorumSystem,
  quorumSystem,
} from "./quorum-system.ts";

fc.configureGlobal({ seed: 2016 });

const ids = (count: number, from = 1): NodeId[] => Array.from({ length: count }, (_, i) => nodeId(from + i));

/** Every phase-1 quorum meets every phase-2 quorum, found by looking at every pair. */
function meets(system: QuorumSystem): boolean {
  const count = 1 << system.voters.length;
  for (let a = 0; a < count; a++) {
    if (!system.isPhase1(a)) continue;
    for (let b = 0; b < count; b++) if (system.isPhase2(b) && (a & b) === 0) return false;
  }
  return true;
}

function made(spec: QuorumSpec, voters: readonly NodeId[]): QuorumSystem {
  const verdict = quorumSystem(spec, voters);
  if (verdict.type !== "system") throw new Error(verdict.fault.why);
  return verdict.system;
}

const maskOf = (system: QuorumSystem, members: readonly number[]): number =>
  members.reduce((mask, id) => mask | (1 << system.voters.indexOf(nodeId(id))), 0);

describe("quorumSystem() hands out what meets", () => {
  test.each([1, 2, 3, 4, 5, 6, 7])("majorities of %i", (count) => {
    const system = majoritySystem(ids(count));
    expect(meets(system)).toBe(true);
    for (let mask = 0; mask < 1 << count; mask++) expect(system.isPhase2(mask)).toBe(2 * bitCount(mask) > count);
  });

  test("sizes: exactly those with phase1 + phase2 above the count, as far as all voters can fill them", () => {
    for (let n = 1; n <= 6; n++) {
      for (let phase1 = 1; phase1 <= n + 1; phase1++) {
        for (let phase2 = 1; phase2 <= n + 1; phase2++) {
          const verdict = quorumSystem({ type: "sizes", phase1, phase2 }, ids(n));
          const safe = phase1 <= n && phase2 <= n && phase1 + phase2 > n;
          expect(verdict.type, `${phase1} and ${phase2} of ${n}`).toBe(safe ? "system" : "refused");
          if (verdict.type === "system") expect(meets(verdict.system)).toBe(true);
        }
      }
    }
  });

  test("weights: the verdict is the naive one", () => {
    const weights = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 5 });
    const sum = fc.integer({ min: 1, max: 14 });
    let refused = 0;
    fc.assert(
      fc.property(weights, sum, sum, (list, phase1, phase2) => {
        const voters = ids(list.length);
        const named = voters.map((id, i) => ({ id, weight: list[i] ?? 0 }));
        const verdict = quorumSystem({ type: "weighted", weights: named, phase1, phase2 }, voters);
        const reach = (mask: number): number => list.reduce((s, w, i) => s + ((mask & (1 << i)) !== 0 ? w : 0), 0);
        const twin: QuorumSystem = {
          voters,
          isPhase1: (mask) => reach(mask) >= phase1,
          isPhase2: (mask) => reach(mask) >= phase2,
        };
        const all = reach((1 << list.length) - 1);
        const safe = all >= phase1 && all >= phase2 && meets(twin);
        if (!safe) refused++;
        expect(verdict.type).toBe(safe ? "system" : "refused");
      }),
    );
    expect(refused).toBeGreaterThan(10);
  });

  test("a grid: a column meets every row", () => {
    const [a, b, c, d, e, f] = ids(6);
    const rows = [
      [a, b, c],
      [d, e, f],
    ].map((row) => row.filter((id) => id !== undefined));
    const system = made({ type: "grid", rows }, ids(6));
    expect(meets(system)).toBe(true);
    expect(system.isPhase1(maskOf(system, [1, 4]))).toBe(true);
    expect(system.isPhase1(maskOf(system, [1, 5]))).toBe(false);
    expect(system.isPhase2(maskOf(system, [4, 5, 6]))).toBe(true);
    expect(system.isPhase2(maskOf(system, [1, 5, 6]))).toBe(false);
  });

  test("zones: the loss of one of three zones stops neither phase", () => {
    const zones = [ids(3, 1), ids(3, 4), ids(3, 7)];
    const system = made({ type: "zones", zones, zonesLost: 1 }, ids(9));
    expect(meets(system)).toBe(true);
    const left = maskOf(system, [1, 2, 3, 4, 5, 6]);
    expect([system.isPhase1(left), system.isPhase2(left)]).toEqual([true, true]);
    expect(system.isPhase1(maskOf(system, [1, 2, 3, 4, 7]))).toBe(false);
  });

  test("zones: without loss, choosing stays in one zone and taking over needs all", () => {
    const system = made({ type: "zones", zones: [ids(3, 1), ids(3, 4)], zonesLost: 0 }, ids(6));
    expect(system.isPhase2(maskOf(system, [1, 2]))).toBe(true);
    expect(system.isPhase1(maskOf(system, [1, 2, 3]))).toBe(false);
    expect(system.isPhase1(maskOf(system, [1, 2, 4, 5]))).toBe(true);
  });
});

describe("quorumSystem() refuses", () => {
  test("quorums that miss each other, and names two such sets", () => {
    const verdict = quorumSystem({ type: "sizes", phase1: 2, phase2: 2 }, ids(4));
    expect(verdict).toEqual({
      type: "refused",
      fault: {
        why: "phase-1 quorum {1, 2} misses phase-2 quorum {3, 4}",
        phase1: [1, 2],
        phase2: [3, 4],
      },
    });
  });

  test.each<[string, QuorumSpec, number, RegExp]>([
    ["no voters", { type: "majority" }, 0, /no voters/],
    ["too many voters", { type: "majority" }, 31, /more than 30/],
    ["what cannot be enumerated", { type: "sizes", phase1: 6, phase2: 6 }, 11, /more than 9/],
    ["a phase that nobody fills", { type: "sizes", phase1: 4, phase2: 1 }, 3, /no phase-1 quorum/],
    ["sizes that are no counts", { type: "sizes", phase1: 0, phase2: 3 }, 3, /whole numbers/],
    ["a stranger in a grid", { type: "grid", rows: [[nodeId(1), nodeId(9)]] }, 2, /no voter/],
    ["a voter in two places", { type: "grid", rows: [[nodeId(1)], [nodeId(1)]] }, 2, /twice/],
    ["ragged rows", { type: "grid", rows: [[nodeId(1)], []] }, 2, /one length/],
    ["all zones lost", { type: "zones", zones: [[nodeId(1)]], zonesLost: 1 }, 1, /fewer zones/],
    ["an empty zone", { type: "zones", zones: [[nodeId(1)], []], zonesLost: 0 }, 1, /a zone has members/],
  ])("%s", (_, spec, count, why) => {
    const verdict = quorumSystem(spec, ids(count));
    expect(verdict.type === "refused" ? verdict.fault.why : "handed out").toMatch(why);
  });
});

test("disprove() finds the hole in a system that was made by hand", () => {
  const system: QuorumSystem = { voters: ids(3), isPhase1: (m) => (m & 1) !== 0, isPhase2: (m) => (m & 6) !== 0 };
  expect(disprove(system)).toMatchObject({ phase1: [1], phase2: [3] });
});

test("bitCount() counts", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 30 - 1 }), (mask) => {
      expect(bitCount(mask)).toBe(mask.toString(2).replaceAll("0", "").length);
    }),
  );
});
