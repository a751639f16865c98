/** Histories that can take too many steps: the verdict is `unknown`, never `ok`, if they are not allowed. */
import { describe, expect, it } from "vitest";
import { Prng } from "../../base/prng.ts";
import { checkLinearizability } from "./linearizability.ts";
import { registerModel } from "./models.ts";
import { busyHistory } from "./testing/linear-histories.ts";

describe("checkLinearizability() where five values are written again and again", () => {
  it("decides 10,000 operations of 8 clients, 5 % of them unknown", () => {
    const operations = busyHistory(new Prng(1), 10_000, 8, 0.05, 5);
    expect(checkLinearizability(registerModel, operations).type).toBe("ok");
  });

  it("says unknown of 32 clients, not ok, if it may not take the steps", () => {
    const operations = busyHistory(new Prng(1), 10_000, 32, 0.05, 5);
    const result = checkLinearizability(registerModel, operations, { stepsMax: 200_000 });
    expect(result).toMatchObject({ type: "unknown", why: "steps", partition: "x" });
  });
});

describe("checkLinearizability() in a box", () => {
  it("tells a search that was cut short from an answer", () => {
    // Sixty clients at once, and values that are written again and again: too many orders to try them all.
    const stuck = busyHistory(new Prng(2), 5_000, 60, 0.05, 4);
    expect(checkLinearizability(registerModel, stuck, { stepsMax: 1_000 })).toMatchObject({
      type: "unknown",
      why: "steps",
    });
    let asked = 0;
    const isOver = (): boolean => ++asked > 1;
    expect(checkLinearizability(registerModel, stuck, { isOver })).toMatchObject({ type: "unknown", why: "time" });
  });
});
