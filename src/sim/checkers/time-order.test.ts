import { describe, expect, it } from "vitest";
import { Prng } from "../../base/prng.ts";
import { eachRealTimePair, eachSessionPair } from "./time-order.ts";
import type { Transaction } from "./transaction.ts";

function transaction(begin: number, end: number, process = 0): Transaction<never> {
  return { process, begin, end, outcome: end === Number.POSITIVE_INFINITY ? "unknown" : "committed", operations: [] };
}

function pairs(
  each: typeof eachRealTimePair,
  transactions: readonly Transaction<never>[],
  isIn: (index: number) => boolean = () => true,
): readonly string[] {
  const found: string[] = [];
  each(transactions, isIn, (before, after) => found.push(`${before}-${after}`));
  return found.sort();
}

describe("eachRealTimePair()", () => {
  it("takes transactions that touch for concurrent", () => {
    expect(pairs(eachRealTimePair, [transaction(0, 2), transaction(2, 4), transaction(3, 5)])).toEqual(["0-2"]);
  });

  it("leaves out what follows from others, and those that take no part", () => {
    const row = [transaction(0, 1), transaction(2, 3), transaction(4, 5), transaction(6, Number.POSITIVE_INFINITY)];
    expect(pairs(eachRealTimePair, row)).toEqual(["0-1", "1-2", "2-3"]);
    expect(pairs(eachRealTimePair, row, (index) => index !== 1)).toEqual(["0-2", "2-3"]);
  });

  it("implies exactly the order of ends and beginnings", () => {
    for (let seed = 0; seed < 100; seed++) {
      const prng = new Prng(seed);
      const some = Array.from({ length: 9 }, () => {
        const begin = prng.below(30);
        return transaction(begin, prng.chance(0.2) ? Number.POSITIVE_INFINITY : begin + 1 + prng.below(10));
      });
      const before = some.map(() => new Set<number>());
      eachRealTimePair(
        some,
        () => true,
        (a, b) => before[b]?.add(a),
      );
      const all = (index: number): Set<number> =>
        new Set([...(before[index] ?? [])].flatMap((earlier) => [earlier, ...all(earlier)]));
      for (const [index, { begin }] of some.entries()) {
        const expected = [...some.keys()].filter((other) => (some[other]?.end ?? 0) < begin);
        expect([seed, all(index)]).toEqual([seed, new Set(expected)]);
      }
    }
  });
});

describe("eachSessionPair()", () => {
  it("joins a client's transactions in a row, over those of which nobody knows", () => {
    const row = [
      transaction(0, 1, 1),
      transaction(2, Number.POSITIVE_INFINITY, 1),
      transaction(4, 5, 1),
      transaction(6, 7, 2),
    ];
    expect(pairs(eachSessionPair, row)).toEqual(["0-1", "0-2"]);
  });
});
