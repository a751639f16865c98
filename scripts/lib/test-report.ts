/** The counts in a report that vitest wrote with its `json` reporter. */
import { readFileSync } from "node:fs";

export interface TestCounts {
  readonly passed: number;
  readonly failed: number;
  /** Not run: switched off, or marked as to be written. The check counts them as failed. */
  readonly skipped: number;
}

/** Reads a report; undefined if the run ended before it wrote one. */
export function readTestReport(path: string): TestCounts | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
  const report: unknown = JSON.parse(text);
  return {
    passed: count(report, "numPassedTests"),
    failed: count(report, "numFailedTests"),
    skipped: count(report, "numPendingTests") + count(report, "numTodoTests"),
  };
}

function count(report: unknown, field: string): number {
  const value: unknown = typeof report === "object" && report !== null ? Reflect.get(report, field) : undefined;
  if (typeof value !== "number") throw new Error(`Cannot read the test report: no number ${field}`);
  return value;
}
