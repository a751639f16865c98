import fc from "fast-check";
import { expect, test } from "vitest";
import { AckRing } from "./ack-ring.ts";

fc.configureGlobal({ seed: 2001 });

test("AckRing keeps what a naive map keeps, over any mix of opening, marking and choosing", () => {
  const step = fc.oneof(
    fc.record({ type: fc.constant("push" as const), count: fc.integer({ min: 1, max: 40 }) }),
    fc.record({
      type: fc.constant("mark" as const),
      from: fc.integer({ min: 0, max: 400 }),
      length: fc.integer({ min: 0, max: 60 }),
      bit: fc.integer({ min: 0, max: 29 }),
    }),
    fc.record({ type: fc.constant("shift" as const), count: fc.integer({ min: 1, max: 30 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const ring = new AckRing(7);
      const twin = new Map<number, number>();
      let first = 7;
      let end = 7;
      for (const s of steps) {
        if (s.type === "push") {
          for (let i = 0; i < s.count; i++) {
            ring.push();
            twin.set(end++, 0);
          }
        } else if (s.type === "shift") {
          for (let i = 0; i < s.count && first < end; i++) {
            ring.shift();
            twin.delete(first++);
          }
        } else {
          ring.mark(s.from, s.from + s.length, s.bit);
          for (let i = s.from; i <= s.from + s.length; i++) {
            if (twin.has(i)) twin.set(i, (twin.get(i) ?? 0) | (1 << s.bit));
          }
        }
        expect([ring.first, ring.end]).toEqual([first, end]);
      }
      for (const [slot, mask] of twin) expect(ring.at(slot)).toBe(mask);
    }),
  );
});

test("AckRing.at() stops outside the open slots", () => {
  const ring = new AckRing(3);
  ring.push();
  expect(ring.at(3)).toBe(0);
  expect(() => ring.at(4)).toThrow();
  expect(() => ring.at(2)).toThrow();
});

test("a slot opened where an acknowledged one stood, a turn of the ring before, begins with nobody", () => {
  const ring = new AckRing(1);
  for (let slot = 1; slot <= 200; slot++) {
    ring.push();
    expect(ring.at(slot)).toBe(0);
    ring.mark(slot, slot, slot % 5);
    expect(ring.at(slot)).toBe(1 << (slot % 5));
    ring.shift();
  }
});
