/** A queue of bytes, against a plain one. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HeldBytes } from "./held-bytes.ts";

describe("HeldBytes", () => {
  it("gives back what it was given, in order, whatever pushes and shifts", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.nat(40_000), fc.nat(20), fc.constant("shift" as const)), { maxLength: 20 }),
        (steps) => {
          const held = new HeldBytes();
          let next = 0;
          let expected = 0;
          const check = (bytes: Uint8Array): void => {
            let wrong = 0;
            for (const byte of bytes) if (byte !== (expected++ & 0xff)) wrong++;
            expect(wrong).toBe(0);
          };
          const given: Uint8Array[] = [];
          for (const step of steps) {
            if (step !== "shift") {
              held.push(Uint8Array.from({ length: step }, () => next++ & 0xff));
            } else {
              const bytes = held.shift();
              expect(bytes === undefined).toBe(next === expected + given.reduce((sum, one) => sum + one.length, 0));
              if (bytes !== undefined) given.push(bytes);
            }
            expect(held.length).toBe(next - given.reduce((sum, one) => sum + one.length, 0));
          }
          for (const bytes of given) check(bytes); // only now: what was given out is not written to again
          for (let bytes = held.shift(); bytes !== undefined; bytes = held.shift()) check(bytes);
          expect(expected).toBe(next);
        },
      ),
      { numRuns: 40, seed: 3 },
    );
  });

  it("copies: the caller's memory is its own again", () => {
    const held = new HeldBytes();
    const bytes = Buffer.from("abc");
    held.push(bytes);
    bytes.fill(0);
    expect(Buffer.from(held.shift() ?? []).toString()).toBe("abc");
  });
});
