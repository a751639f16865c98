import * as fc from "fast-check";
import { expect, test } from "vitest";
import { type Interval, IntervalTree } from "./interval-tree.ts";
import { WatcherIndex } from "./watcher-index.ts";

const point = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 3 });
const interval = fc.record({ from: point, to: fc.option(point, { nil: undefined }) });

test("IntervalTree finds what a walk over the list finds, in order, after any additions and removals", () => {
  fc.assert(
    fc.property(fc.array(fc.record({ interval, add: fc.boolean() }), { maxLength: 60 }), point, (steps, at) => {
      const tree = new IntervalTree<Interval>();
      const list = new Map<string, Interval>();
      for (const step of steps) {
        const name = JSON.stringify(step.interval);
        const there = list.get(name);
        if (there !== undefined && !step.add) {
          tree.remove(there);
          list.delete(name);
        } else if (there === undefined && step.add) {
          tree.add(step.interval);
          list.set(name, step.interval);
        }
      }
      const found: Interval[] = [];
      tree.visit(at, (item) => found.push(item));
      const order = (i: Interval) => `${i.from} ${i.to ?? "~"}`;
      const wanted = [...list.values()].filter((i) => i.from <= at && (i.to === undefined || at < i.to));
      expect(found.map(order)).toEqual(wanted.map(order).sort());
      expect(tree.size).toBe(list.size);
    }),
    { numRuns: 300 },
  );
});

test("IntervalTree visits a handful of ten thousand disjoint intervals", () => {
  const tree = new IntervalTree<Interval>();
  let looked = 0;
  for (let i = 0; i < 10_000; i++) {
    const name = String((i * 7919) % 10_000).padStart(5, "0");
    tree.add({
      get from() {
        looked++;
        return name;
      },
      to: `${name}~`,
    });
  }
  looked = 0;
  const found: Interval[] = [];
  for (let i = 0; i < 100; i++) tree.visit(String(i * 100).padStart(5, "0"), (item) => found.push(item));
  expect(found.length).toBe(100);
  expect(looked).toBeLessThan(100 * 100); // depth of a treap of 10,000: about 30
});

test("WatcherIndex matches exact keys and shared ranges, and forgets what is deleted", () => {
  const index = new WatcherIndex<{
    readonly id: number;
    readonly keys: { type: "one"; name: string } | { type: "span"; from: string; to: string | undefined };
  }>();
  const watchers = [
    { id: 1, keys: { type: "one" as const, name: "a" } },
    { id: 2, keys: { type: "one" as const, name: "a" } },
    { id: 3, keys: { type: "span" as const, from: "a", to: "b" } },
    { id: 4, keys: { type: "span" as const, from: "a", to: "b" } },
    { id: 5, keys: { type: "span" as const, from: "", to: undefined } },
  ];
  for (const watcher of watchers) index.add(watcher);
  const match = (name: string) => {
    const ids: number[] = [];
    index.match(name, (watcher) => ids.push(watcher.id));
    return ids.sort((x, y) => x - y);
  };
  expect(match("a")).toEqual([1, 2, 3, 4, 5]);
  expect(match("ab")).toEqual([3, 4, 5]);
  expect(match("b")).toEqual([5]);
  for (const watcher of watchers.slice(0, 4)) expect(index.delete(watcher)).toBe(true);
  expect(index.delete({ id: 1, keys: { type: "one", name: "a" } })).toBe(false);
  expect(match("a")).toEqual([5]);
  expect(index.size).toBe(1);
});
