/** Reads that wait for a round: Q1 of `reads.ts`. */
import { describe, expect, test } from "vitest";
import { logIndex } from "../../base/ids.ts";
import { ReadQueue } from "./reads.ts";

describe("ReadQueue", () => {
  test("Q1: a read waits for a round that begins after it", () => {
    const reads = new ReadQueue();
    reads.begin(0);
    reads.add(7, logIndex(3));
    expect(
      reads.take(() => true),
      "round 1 began before it came",
    ).toEqual([]);
    reads.begin(10);
    expect(reads.take((round) => round < 2)).toEqual([]);
    expect(reads.take((round) => round >= 2)).toEqual([{ context: 7, index: 3 }]);
    expect(
      reads.take(() => true),
      "once",
    ).toEqual([]);
  });

  test("reads of one round are granted together, later ones are not", () => {
    const reads = new ReadQueue();
    reads.add(1, logIndex(1));
    reads.add(2, logIndex(2));
    reads.begin(0);
    reads.add(3, logIndex(2));
    reads.begin(1);
    expect(reads.take((round) => round <= 1).map((grant) => grant.context)).toEqual([1, 2]);
    expect(reads.take(() => true).map((grant) => grant.context)).toEqual([3]);
  });

  test("a lease counts from the sending of the newest confirmed round", () => {
    const reads = new ReadQueue();
    expect(reads.confirmedSinceMs(() => true)).toBeUndefined();
    for (const atMs of [100, 150, 200]) reads.begin(atMs);
    expect(reads.confirmedSinceMs((round) => round <= 2)).toBe(150);
    expect(reads.confirmedSinceMs(() => false)).toBeUndefined();
  });

  test("drain() hands back everything, held or pending, and leaves nothing", () => {
    const reads = new ReadQueue();
    reads.hold(1);
    reads.add(2, logIndex(1));
    expect(new Set(reads.drain())).toEqual(new Set([1, 2]));
    reads.begin(0);
    expect(reads.take(() => true)).toEqual([]);
    expect(reads.takeHeld()).toEqual([]);
  });
});
