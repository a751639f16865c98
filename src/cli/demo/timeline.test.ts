import { describe, expect, test } from "vitest";
import { groupToWidth, sparkline } from "./sparkline.ts";
import { percentile, Timeline } from "./timeline.ts";

describe("Timeline", () => {
  test("a bucket without an answer is there, and empty", () => {
    const timeline = new Timeline();
    timeline.acknowledged("write", 10, 4);
    timeline.acknowledged("read", 20, 2);
    timeline.acknowledged("write", 250, 8);
    expect(timeline.buckets(399)).toEqual([
      { writes: 1, reads: 1, p50: 2, p99: 4 },
      { writes: 0, reads: 0, p50: undefined, p99: undefined },
      { writes: 1, reads: 0, p50: 8, p99: 8 },
      { writes: 0, reads: 0, p50: undefined, p99: undefined },
    ]);
  });

  test("killReports() measures the longest gap of the cluster and the longest wait of a client after each kill", () => {
    const timeline = new Timeline();
    timeline.acknowledged("write", 900, 700); // before the kill: it does not count
    timeline.killed(1, 1_000);
    timeline.acknowledged("write", 1_020, 15);
    timeline.acknowledged("write", 1_620, 610);
    timeline.acknowledged("write", 1_700, 690);
    timeline.back(1, 3_000);
    timeline.killed(2, 4_000);
    timeline.acknowledged("write", 4_300, 310);
    const [first, second] = timeline.killReports(4_350);
    expect(first).toMatchObject({ id: 1, clientStallMs: 2_300, clusterGapMs: 2_300, backAfterMs: 2_000 });
    expect(second).toEqual({ id: 2, atMs: 4_000, clusterGapMs: 300, clientStallMs: 310, backAfterMs: undefined });
  });

  test("killReports() counts a gap that never ended", () => {
    const timeline = new Timeline();
    timeline.killed(1, 1_000);
    expect(timeline.killReports(9_000)[0]?.clusterGapMs).toBe(8_000);
  });
});

test("percentile() takes the nearest rank", () => {
  expect(percentile([], 0.5)).toBeUndefined();
  expect(percentile([7], 0.99)).toBe(7);
  expect(percentile([1, 2, 3, 4], 0.5)).toBe(2);
  expect(
    percentile(
      Array.from({ length: 100 }, (_, i) => i + 1),
      0.99,
    ),
  ).toBe(99);
});

describe("sparkline()", () => {
  test("draws zero as the lowest block, the greatest as the highest, and nothing as a blank", () => {
    expect(sparkline([0, undefined, 5, 10])).toBe("▁ ▅█");
    expect(sparkline([0, 0])).toBe("▁▁");
    expect(sparkline([])).toBe("");
  });

  test("keeps small latencies visible beside large ones with `log`", () => {
    expect(sparkline([1, 1_000])).toBe("▂█");
    expect(sparkline([3, 1_000], { log: true })).toBe("▃█");
  });
});

test("groupToWidth() keeps every item and never makes more groups than there is room", () => {
  for (const [count, width] of [
    [0, 10],
    [10, 10],
    [11, 10],
    [1_000, 7],
  ] as const) {
    const groups = groupToWidth(
      Array.from({ length: count }, (_, i) => i),
      width,
    );
    expect(groups.flat()).toHaveLength(count);
    expect(groups.length).toBeLessThanOrEqual(width);
  }
});
