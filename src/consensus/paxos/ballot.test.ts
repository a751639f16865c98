import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nodeId } from "../../base/ids.ts";
import {
  ballotAbove,
  ballotFromLow,
  ballotOf,
  ballotText,
  ERA_MAX,
  eraOf,
  isSettled,
  lowOf,
  NO_BALLOT,
  NODE_MAX,
  nodeOf,
  openingBallot,
  ROUND_MAX,
  ROUND_SETTLED,
  roundOf,
  settledBallot,
} from "./ballot.ts";

fc.configureGlobal({ seed: 2001 });

const parts = fc.record({
  era: fc.integer({ min: 0, max: ERA_MAX }),
  round: fc.integer({ min: 0, max: ROUND_SETTLED }),
  node: fc.integer({ min: 0, max: NODE_MAX }),
});

describe("ballotOf()", () => {
  test("gives back its parts, also at the bounds", () => {
    const check = (p: { era: number; round: number; node: number }): void => {
      const ballot = ballotOf(p);
      expect(Number.isSafeInteger(ballot)).toBe(true);
      expect({ era: eraOf(ballot), round: roundOf(ballot), node: nodeOf(ballot) }).toEqual(p);
      expect(ballotFromLow(p.era, lowOf(ballot))).toBe(ballot);
    };
    check({ era: ERA_MAX, round: ROUND_SETTLED, node: NODE_MAX });
    fc.assert(fc.property(parts, check));
  });

  test("orders as (era, round, node) do", () => {
    fc.assert(
      fc.property(parts, parts, (a, b) => {
        const naive = [a.era - b.era, a.round - b.round, a.node - b.node].find((d) => d !== 0) ?? 0;
        expect(Math.sign(ballotOf(a) - ballotOf(b))).toBe(Math.sign(naive));
      }),
    );
  });

  test.each([
    { era: ERA_MAX + 1, round: 0, node: 0 },
    { era: 0, round: ROUND_SETTLED + 1, node: 0 },
    { era: 0, round: 0, node: NODE_MAX + 1 },
    { era: -1, round: 0, node: 0 },
  ])("refuses what does not fit: %o", (bad) => {
    expect(() => ballotOf(bad)).toThrow();
  });
});

describe("ballotAbove()", () => {
  test("is above what was seen, in the era, of the node", () => {
    const seen = ballotOf({ era: 3, round: 7, node: 9 });
    expect(ballotAbove(seen, 3, nodeId(2))).toBe(ballotOf({ era: 3, round: 8, node: 2 }));
  });

  test("begins an era with round 1: round 0 belongs to the opening ballot", () => {
    expect(ballotAbove(ballotOf({ era: 3, round: 7, node: 9 }), 4, nodeId(2))).toBe(
      ballotOf({ era: 4, round: 1, node: 2 }),
    );
    expect(ballotAbove(NO_BALLOT, 0, nodeId(2))).toBe(ballotOf({ era: 0, round: 1, node: 2 }));
    expect(openingBallot(4, nodeId(2))).toBeLessThan(ballotOf({ era: 4, round: 1, node: 1 }));
  });

  test("has none left beyond the last round, and never takes the settled one", () => {
    expect(ballotAbove(ballotOf({ era: 3, round: ROUND_MAX, node: 1 }), 3, nodeId(2))).toBeUndefined();
    expect(ballotOf({ era: 3, round: ROUND_MAX, node: NODE_MAX })).toBeLessThan(settledBallot(3));
    expect(isSettled(settledBallot(3))).toBe(true);
  });

  test("stops at a ballot of a later era", () => {
    expect(() => ballotAbove(openingBallot(4, nodeId(1)), 3, nodeId(2))).toThrow();
  });
});

test("ballotText() reads era.round.node", () => {
  expect(ballotText(ballotOf({ era: 1, round: 2, node: 3 }))).toBe("1.2.3");
});
