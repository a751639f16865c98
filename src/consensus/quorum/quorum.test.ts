/**
 * Quorum mathematics against a naive twin: a quorum is any subset with more than half of the set, and every answer is
 * found by enumerating subsets. Sets of up to seven of nine ids, with repeated names.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type NodeId, nodeId } from "../../base/ids.ts";
import { committedIndex, hasQuorum, jointCommittedIndex, jointVoteResult, majority, voteResult } from "./quorum.ts";

fc.configureGlobal({ seed: 2014 }); // the same cases in every run

const RUNS = { numRuns: 300 };

function subsets(set: readonly NodeId[]): NodeId[][] {
  return set.reduce<NodeId[][]>((all, id) => [...all, ...all.map((some) => [...some, id])], [[]]);
}

/** All quorums of the set that `list` names; the empty set has one, the empty quorum. */
function quorums(list: readonly NodeId[]): NodeId[][] {
  const set = [...new Set(list)];
  if (set.length === 0) return [[]];
  return subsets(set).filter((some) => some.length * 2 > set.length);
}

function jointQuorums(incoming: readonly NodeId[], outgoing: readonly NodeId[]): NodeId[][] {
  return quorums(incoming).flatMap((a) => quorums(outgoing).map((b) => [...new Set([...a, ...b])]));
}

const oracle = {
  committed(all: readonly NodeId[][], match: (id: NodeId) => number): number {
    return Math.max(...all.map((quorum) => Math.min(Number.POSITIVE_INFINITY, ...quorum.map(match))));
  },
  vote(all: readonly NodeId[][], vote: (id: NodeId) => boolean | undefined): string {
    if (all.some((quorum) => quorum.every((id) => vote(id) === true))) return "won";
    if (all.some((quorum) => quorum.every((id) => vote(id) !== false))) return "pending";
    return "lost";
  },
};

const ids = fc.array(fc.integer({ min: 1, max: 9 }).map(nodeId), { maxLength: 7 });
const matches = fc.array(fc.oneof(fc.integer({ min: 0, max: 5 }), fc.constant(Number.POSITIVE_INFINITY)), {
  minLength: 10,
  maxLength: 10,
});
const votes = fc.array(fc.constantFrom(true, false, undefined), { minLength: 10, maxLength: 10 });
const at =
  <T>(values: readonly T[]) =>
  (id: NodeId): T =>
    values[id] as T; // ids are below the array's fixed length

describe("majority()", () => {
  test("is the least count that any two of which overlap", () => {
    for (let count = 1; count <= 99; count++) {
      expect(2 * majority(count)).toBeGreaterThan(count);
      expect(2 * (majority(count) - 1)).toBeLessThanOrEqual(count);
    }
  });

  test.each([0, -1, 1.5, Number.NaN])("refuses %s voters", (count) => {
    expect(() => majority(count)).toThrow("at least one voter");
  });
});

describe("quorums", () => {
  test("Q1: any two that win overlap in each half", () => {
    fc.assert(
      fc.property(ids, ids, fc.array(fc.boolean(), { minLength: 20, maxLength: 20 }), (incoming, outgoing, coin) => {
        const one = (id: NodeId): boolean => coin[id] === true;
        const other = (id: NodeId): boolean => coin[id + 10] === true;
        if (!hasQuorum({ incoming, outgoing }, one) || !hasQuorum({ incoming, outgoing }, other)) return;
        for (const half of [incoming, outgoing]) {
          expect(half.length === 0 || half.some((id) => one(id) && other(id))).toBe(true);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("committedIndex()", () => {
  test("equals the best over all quorums of the least in each", () => {
    fc.assert(
      fc.property(ids, matches, (voters, held) => {
        expect(committedIndex(voters, at(held))).toBe(oracle.committed(quorums(voters), at(held)));
      }),
      RUNS,
    );
  });

  test("does not depend on the order or repetition of names", () => {
    fc.assert(
      fc.property(ids, matches, (voters, held) => {
        const shown = committedIndex(voters, at(held));
        expect(committedIndex([...voters].reverse(), at(held))).toBe(shown);
        expect(committedIndex([...voters, ...voters], at(held))).toBe(shown);
      }),
      RUNS,
    );
  });

  test("never goes back when one voter's match grows", () => {
    fc.assert(
      fc.property(ids, matches, fc.integer({ min: 1, max: 9 }), (voters, held, grown) => {
        const before = committedIndex(voters, at(held));
        const after = held.with(grown, (held[grown] ?? 0) + 1);
        expect(committedIndex(voters, at(after))).toBeGreaterThanOrEqual(before);
      }),
      RUNS,
    );
  });

  test("two of five are not enough, three are", () => {
    const five = [1, 2, 3, 4, 5].map(nodeId);
    expect(committedIndex(five, (id) => (id <= 2 ? 7 : 0))).toBe(0);
    expect(committedIndex(five, (id) => (id <= 3 ? 7 : 0))).toBe(7);
  });

  test("is unbounded for the empty set", () => {
    expect(committedIndex([], () => 0)).toBe(Number.POSITIVE_INFINITY);
  });

  test.each([Number.NaN, -1])("refuses a match of %s", (index) => {
    expect(() => committedIndex([nodeId(1)], () => index)).toThrow("match index");
  });
});

describe("jointCommittedIndex()", () => {
  test("equals the best over all pairs of quorums", () => {
    fc.assert(
      fc.property(ids, ids, matches, (incoming, outgoing, held) => {
        const expected = oracle.committed(jointQuorums(incoming, outgoing), at(held));
        expect(jointCommittedIndex({ incoming, outgoing }, at(held))).toBe(expected);
      }),
      { numRuns: 100 },
    );
  });

  test("needs both halves: all of the new one alone commit nothing", () => {
    const incoming = [4, 5, 6].map(nodeId);
    const outgoing = [1, 2, 3].map(nodeId);
    expect(jointCommittedIndex({ incoming, outgoing }, (id) => (id >= 4 ? 9 : 0))).toBe(0);
    expect(jointCommittedIndex({ incoming, outgoing }, (id) => (id >= 4 || id === 1 ? 9 : 0))).toBe(0);
    expect(jointCommittedIndex({ incoming, outgoing }, (id) => (id >= 4 || id <= 2 ? 9 : 0))).toBe(9);
  });
});

describe("voteResult()", () => {
  test("equals the verdict over all quorums", () => {
    fc.assert(
      fc.property(ids, votes, (voters, cast) => {
        expect(voteResult(voters, at(cast))).toBe(oracle.vote(quorums(voters), at(cast)));
      }),
      RUNS,
    );
  });

  test("once decided, a late answer changes nothing", () => {
    fc.assert(
      fc.property(ids, votes, fc.integer({ min: 1, max: 9 }), fc.boolean(), (voters, cast, late, answer) => {
        const before = voteResult(voters, at(cast));
        if (before === "pending" || cast[late] !== undefined) return;
        expect(voteResult(voters, at(cast.with(late, answer)))).toBe(before);
      }),
      RUNS,
    );
  });

  test("half of an even set is not enough", () => {
    const four = [1, 2, 3, 4].map(nodeId);
    expect(voteResult(four, (id) => (id <= 2 ? true : undefined))).toBe("pending");
    expect(voteResult(four, (id) => id <= 2)).toBe("lost");
    expect(voteResult(four, (id) => id <= 3)).toBe("won");
  });

  test("is won for the empty set", () => {
    expect(voteResult([], () => undefined)).toBe("won");
  });
});

describe("jointVoteResult() and hasQuorum()", () => {
  test("equal the verdict over all pairs of quorums", () => {
    fc.assert(
      fc.property(ids, ids, votes, (incoming, outgoing, cast) => {
        const all = jointQuorums(incoming, outgoing);
        const joint = { incoming, outgoing };
        expect(jointVoteResult(joint, at(cast))).toBe(oracle.vote(all, at(cast)));
        const has = (id: NodeId): boolean => cast[id] === true;
        expect(hasQuorum(joint, has)).toBe(all.some((quorum) => quorum.every(has)));
      }),
      { numRuns: 100 },
    );
  });
});
