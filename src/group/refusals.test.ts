import { expect, test } from "vitest";
import { Refusals } from "./refusals.ts";

test("the log is told once a minute, the status as long as it lasts", () => {
  const refusals = new Refusals();
  expect(refusals.note("another cluster", 0)).toBe(true);
  for (let ms = 1_000; ms < 60_000; ms += 1_000) expect(refusals.note("another cluster", ms)).toBe(false);
  expect(refusals.note("node 2 runs raft", 59_500)).toBe(true);
  expect(refusals.note("another cluster", 60_000)).toBe(true);
  expect(refusals.current(60_500)).toEqual(["another cluster", "node 2 runs raft"]);
  expect(refusals.current(64_600)).toEqual(["another cluster"]);
  expect(refusals.current(70_000)).toEqual([]);
});

test("a peer with ever new reasons does not fill the memory", () => {
  const refusals = new Refusals();
  for (let i = 0; i < 100; i++) refusals.note(`reason ${i}`, i);
  expect(refusals.current(100)).toHaveLength(16);
  expect(refusals.current(100).at(-1)).toBe("reason 99");
});
