import { describe, expect, it } from "vitest";
import { median, percentile } from "./stats.ts";

describe("median()", () => {
  it("takes the middle, or the mean of the two in the middle", () => {
    expect([median([5]), median([9, 1, 5]), median([4, 1, 3, 2])]).toEqual([5, 5, 2.5]);
  });
  it("refuses an empty list", () => expect(() => median([])).toThrow("Cannot take the median"));
});

describe("percentile()", () => {
  it("takes the nearest rank", () => {
    const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect([0, 0.5, 0.99, 1].map((share) => percentile(hundred, share))).toEqual([1, 50, 99, 100]);
    expect(percentile([7, 8], 0.99)).toBe(8);
  });
  it("refuses an empty list", () => expect(() => percentile([], 0.5)).toThrow("Cannot take a percentile"));
});
