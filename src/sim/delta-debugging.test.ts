import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { minimise } from "./delta-debugging.ts";

const always = (): boolean => true;

describe("minimise()", () => {
  it("finds a set that fails, from which no item can be taken, in the order of the items", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.nat(40), { maxLength: 24 }),
        fc.array(fc.array(fc.nat(40))),
        async (items, causes) => {
          const known = causes.map((cause) => cause.filter((item) => items.includes(item)));
          // Fails if all of some cause is there; the whole always does, as the caller promises.
          const fails = (subset: readonly number[]): boolean =>
            subset.length === items.length || known.some((cause) => cause.every((item) => subset.includes(item)));
          const found = await minimise(items, (subset) => Promise.resolve(fails(subset)), always);
          expect(found.isMinimal).toBe(true);
          expect(fails(found.items)).toBe(true);
          expect(found.items).toEqual(items.filter((item) => found.items.includes(item)));
          for (const item of found.items) {
            const without = found.items.filter((other) => other !== item);
            expect(fails(without), `without ${item}`).toBe(false);
          }
        },
      ),
      { numRuns: 300, seed: 5 },
    );
  });

  it("asks about as often as the logarithm when one item is the cause", async () => {
    const items = Array.from({ length: 256 }, (_, i) => i);
    let asked = 0;
    const found = await minimise(
      items,
      (subset) => {
        asked++;
        return Promise.resolve(subset.includes(77));
      },
      always,
    );
    expect(found).toEqual({ items: [77], isMinimal: true });
    expect(asked).toBeLessThan(2 * 8 + 2);
  });

  it("stops when the budget ends, with what is known to fail, and says that it may not be minimal", async () => {
    const items = Array.from({ length: 64 }, (_, i) => i);
    let left = 6;
    const fails = (subset: readonly number[]): boolean => subset.includes(3) && subset.includes(60);
    const found = await minimise(
      items,
      (subset) => {
        left--;
        return Promise.resolve(fails(subset));
      },
      () => left > 0,
    );
    expect(found.isMinimal).toBe(false);
    expect(fails(found.items)).toBe(true);
    expect(left).toBe(0);
  });
});
