/**
 * Tests that need something of the machine. One whose needs are not met is not registered, so that no report counts it as
 * passed, and one line on stderr says which and why.
 */
import { describe } from "vitest";
import type { Need } from "./machine.ts";

/** The long variants are wanted, which take minutes: `ALTHING_LONG=1`. */
export const isLong: boolean = process.env["ALTHING_LONG"] === "1";

/** Defines tests that only the long run has; elsewhere they are not registered. */
export function whenLong(define: () => void): void {
  if (isLong) define();
}

/** `describe`, if every need is met; else a line on stderr and nothing. */
export function describeWithNeeds(name: string, needs: readonly Need[], define: () => void): void {
  const missing = needs.filter((need) => !need.isMet()).map((need) => need.name);
  if (missing.length === 0) describe(name, define);
  else process.stderr.write(`NOT RUN: "${name}" needs ${missing.join(" and ")}\n`);
}
