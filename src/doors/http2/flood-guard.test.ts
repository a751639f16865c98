/** How much of what costs more than it says is too much. */
import { describe, expect, it } from "vitest";
import { FloodGuard } from "./flood-guard.ts";

/** Asks `count` times; every one of them must be allowed. */
function expectAllowed(count: number, ask: () => boolean): void {
  for (let i = 0; i < count; i++) expect(ask(), `number ${i}`).toBe(true);
}

describe("FloodGuard", () => {
  it("allows 100 pings at once, then one a second", () => {
    const guard = new FloodGuard();
    expectAllowed(100, () => guard.allowsPing());
    for (let second = 0; second < 3; second++) guard.refill();
    expectAllowed(3, () => guard.allowsPing());
    expect(guard.allowsPing()).toBe(false);
  });

  it("allows pings beside answers without an end", () => {
    const guard = new FloodGuard();
    for (let i = 0; i < 10_000; i++) {
      guard.sentContent();
      expect(guard.allowsPing()).toBe(true);
    }
  });

  it("allows 1,000 resets at once, then 100 a second, answers or not", () => {
    const guard = new FloodGuard();
    expectAllowed(1_000, () => guard.allowsReset());
    guard.sentContent();
    guard.refill();
    expectAllowed(100, () => guard.allowsReset());
    for (let second = 0; second < 30; second++) guard.refill();
    expectAllowed(1_000, () => guard.allowsReset());
    expect(guard.allowsReset()).toBe(false);
  });
});
