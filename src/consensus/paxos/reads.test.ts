import { describe, expect, test } from "vitest";
import { logIndex } from "../../base/ids.ts";
import { PaxosReads } from "./reads.ts";

const yes = (): boolean => true;

describe("P11: PaxosReads", () => {
  test("confirms a read only by a round begun after it came", () => {
    const reads = new PaxosReads();
    reads.begin();
    reads.add(7, logIndex(3));
    expect(reads.take(yes)).toEqual([]);
    reads.begin();
    expect(reads.take((round) => round <= 1)).toEqual([]);
    expect(reads.take((round) => round <= 2)).toEqual([{ context: 7, index: 3 }]);
    expect(reads.take(yes)).toEqual([]);
  });

  test("asks anew when an era ends, and for all of it", () => {
    const reads = new PaxosReads();
    reads.add(7, logIndex(3));
    reads.begin();
    reads.renew(logIndex(5));
    expect(reads.take(yes)).toEqual([]);
    reads.begin();
    expect(reads.take(yes)).toEqual([{ context: 7, index: 5 }]);
  });

  test("holds reads until the leadership is open, then gives them the index of that moment", () => {
    const reads = new PaxosReads();
    reads.hold(1);
    reads.begin();
    expect(reads.take(yes)).toEqual([]);
    reads.release(logIndex(9));
    reads.begin();
    expect(reads.take(yes)).toEqual([{ context: 1, index: 9 }]);
  });

  test("drain() gives back all that nobody answered", () => {
    const reads = new PaxosReads();
    reads.hold(1);
    reads.add(2, logIndex(1));
    expect(reads.drain()).toEqual([2, 1]);
    expect(reads.waiting).toBe(false);
  });
});
