/** The check, seen to fail: every way a step can go wrong must end in the count of failures. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { check, settle, type Tally } from "./check.ts";
import { runStep, type Step, type StepResult } from "./lib/step.ts";

const folder = mkdtempSync(join(tmpdir(), "althing-check-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const step = (script: string, more: Partial<Step> = {}): Step => ({
  name: "step",
  command: ["sh", "-c", script],
  after: [],
  limitMs: 5_000,
  report: undefined,
  ...more,
});

function report(counts: { readonly passed: number; readonly failed?: number; readonly pending?: number }): string {
  const path = join(folder, "report.json");
  const { passed, failed = 0, pending = 0 } = counts;
  const fields = { numPassedTests: passed, numFailedTests: failed, numPendingTests: pending, numTodoTests: 0 };
  writeFileSync(path, JSON.stringify(fields));
  return path;
}

describe("runStep()", () => {
  it("keeps what the command wrote, and its success", async () => {
    expect(await runStep(step("echo out; echo err >&2"))).toMatchObject({ ending: "passed", output: "out\nerr\n" });
  });
  it("reports a status that is not 0, a signal, and a program that is not there as failures", async () => {
    expect(await runStep(step("exit 3"))).toMatchObject({ ending: "failed" });
    expect(await runStep(step("kill -9 $$"))).toMatchObject({
      ending: "failed",
      output: expect.stringContaining("SIGKILL"),
    });
    const missing = step("", { command: ["no-such-program-of-althing"] });
    expect(await runStep(missing)).toMatchObject({ ending: "failed", output: expect.stringContaining("ENOENT") });
  });
  it("kills a step at its limit, with what it started", async () => {
    const pidFile = join(folder, "pid");
    const result = await runStep(step(`sleep 60 & echo $! > ${pidFile}; wait`, { limitMs: 150 }));
    expect(result).toMatchObject({ ending: "late", output: expect.stringContaining("Killed after 0.15 s") });
    const pid = Number(readFileSync(pidFile, "utf8"));
    await expect.poll(() => isAlive(pid)).toBe(false);
  });
});

describe("check()", () => {
  beforeEach(() => {
    vi.spyOn(process.stdout, "write").mockReturnValue(true);
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it("does not run a step whose forerunner failed, and counts it as failed", async () => {
    const steps = [
      step("exit 1", { name: "a" }),
      step("exit 0", { name: "b", after: ["a"] }),
      step("exit 0", { name: "c" }),
    ];
    expect(await check(steps)).toEqual({ passed: 0, failed: 2 });
  });

  const passed: StepResult = { ending: "passed", output: "", elapsedMs: 1 };
  const tallyOf = (counts: Parameters<typeof report>[0] | undefined, result: StepResult): Tally => {
    const tally = { passed: 0, failed: 0 };
    settle(step("", { report: counts === undefined ? join(folder, "none.json") : report(counts) }), result, tally);
    return tally;
  };

  it("counts tests, and nothing else, as passed", () => {
    expect(tallyOf({ passed: 7 }, passed)).toEqual({ passed: 7, failed: 0 });
  });
  it.each([
    ["a failed test", { passed: 7, failed: 2 }, { ...passed, ending: "failed" as const }, { passed: 7, failed: 2 }],
    ["a test that was switched off", { passed: 7, pending: 1 }, passed, { passed: 7, failed: 1 }],
    ["no tests at all", { passed: 0 }, passed, { passed: 0, failed: 1 }],
    ["no report", undefined, passed, { passed: 0, failed: 1 }],
    [
      "a runner that failed after its tests passed",
      { passed: 7 },
      { ...passed, ending: "failed" as const },
      { passed: 7, failed: 1 },
    ],
    [
      "a runner that came to its limit",
      { passed: 7 },
      { ...passed, ending: "late" as const },
      { passed: 7, failed: 1 },
    ],
  ])("fails on %s", (_, counts, result, expected) => {
    expect(tallyOf(counts, result)).toEqual(expected);
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // a zombie that nobody has waited for is dead too
  return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}
