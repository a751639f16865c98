/**
 * `npm run check`, which is also `npm test`: everything that must hold, in one command, the same everywhere. Steps run two
 * at a time; each prints one line with its time, and its whole output only if it fails. The last line is
 * `N passed, N failed`: counts of tests, where a step that fails otherwise counts as one failed test.
 *
 * `node scripts/check.ts unit sim` runs only the steps named.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { killRunningSteps, runStep, type Step, type StepResult } from "./lib/step.ts";
import { readTestReport } from "./lib/test-report.ts";

const NODE_MAJOR_MIN = 24;
const PARALLEL_MAX = 2;
const seconds = 1_000;

function tool(name: string, command: Step["command"], limitMs: number): Step {
  return { name, command, after: [], limitMs, report: undefined };
}

function tests(reports: string, project: string, after: readonly string[], limitMs: number): Step {
  const report = join(reports, `${project}.json`);
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  return { name: project, command: ["vitest", "run", "--project", project, ...reporters], after, limitMs, report };
}

/** In order of start. The longest come early, so that two lanes end together. `reports` is where test runners write. */
function planSteps(reports: string): readonly Step[] {
  return [
    tool("build", ["tsc", "-b", "--pretty", "false"], 120 * seconds),
    tool("lint", ["oxlint"], 120 * seconds),
    tool("format", ["biome", "format", "."], 60 * seconds),
    tests(reports, "e2e", ["build"], 1_500 * seconds),
    tests(reports, "sim", [], 600 * seconds),
    tests(reports, "unit", [], 400 * seconds),
    tests(reports, "scenario", [], 400 * seconds),
    tests(reports, "tidy", ["build"], 120 * seconds),
    tool("mutants", ["node", "scripts/mutants.ts", "--sample", "5", "--seed", "1"], 600 * seconds),
  ];
}

export interface Tally {
  passed: number;
  failed: number;
}

export async function check(chosen: readonly Step[]): Promise<Tally> {
  const tally: Tally = { passed: 0, failed: 0 };
  const waiting = [...chosen];
  const done = new Map<string, boolean>();
  const underWay = new Map<string, Promise<void>>();
  const isReady = (step: Step): boolean =>
    step.after.every((name) => done.has(name) || !chosen.some((other) => other.name === name));

  while (waiting.length > 0 || underWay.size > 0) {
    const next = underWay.size < PARALLEL_MAX ? waiting.findIndex(isReady) : -1;
    const step = waiting[next];
    if (step === undefined) {
      await Promise.race(underWay.values());
      continue;
    }
    waiting.splice(next, 1);
    const missing = step.after.find((name) => done.get(name) === false);
    if (missing !== undefined) {
      say(`✗ ${step.name}: not run, because ${missing} failed`);
      tally.failed += 1;
      done.set(step.name, false);
      continue;
    }
    const run = runStep(step).then((result) => {
      done.set(step.name, settle(step, result, tally));
      underWay.delete(step.name);
    });
    underWay.set(step.name, run);
  }
  return tally;
}

/** Counts and prints a step that has ended; true if it passed. */
export function settle(step: Step, result: StepResult, tally: Tally): boolean {
  const counts = step.report === undefined ? undefined : readTestReport(step.report);
  const testsFailed = (counts?.failed ?? 0) + (counts?.skipped ?? 0);
  const hollow = step.report !== undefined && (counts === undefined || counts.passed + counts.failed === 0);
  const passed = result.ending === "passed" && testsFailed === 0 && !hollow;
  tally.passed += counts?.passed ?? 0;
  tally.failed += passed ? 0 : Math.max(testsFailed, 1);
  const summary = counts === undefined ? "" : `, ${counts.passed} passed`;
  const skipped = counts === undefined || counts.skipped === 0 ? "" : `, ${counts.skipped} switched off (a failure)`;
  say(`${passed ? "✓" : "✗"} ${step.name} ${(result.elapsedMs / 1000).toFixed(1)} s${summary}${skipped}`);
  if (!passed) say(`${result.output.trimEnd()}${hollow ? "\nNo test was run" : ""}\n`);
  return passed;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function fail(line: string): never {
  process.stderr.write(`${line}\n`);
  process.exit(2);
}

if (import.meta.main) {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < NODE_MAJOR_MIN) {
    fail(
      `Cannot check under Node.js ${process.versions.node}: the tests need ${NODE_MAJOR_MIN}. ` +
        "Run it as npm test: npm ci brings Node.js 24 and npm scripts find it first",
    );
  }
  const reports = mkdtempSync(join(tmpdir(), "althing-check-"));
  process.on("exit", () => rmSync(reports, { recursive: true, force: true }));
  const steps = planSteps(reports);
  const names = process.argv.slice(2);
  const unknown = names.find((name) => !steps.some((step) => step.name === name));
  if (unknown !== undefined) {
    fail(`Cannot run step ${unknown}: the steps are ${steps.map((step) => step.name).join(", ")}`);
  }
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      killRunningSteps();
      process.exit(130);
    });
  }
  const tally = await check(names.length === 0 ? steps : steps.filter((step) => names.includes(step.name)));
  say(`${tally.passed} passed, ${tally.failed} failed`);
  process.exitCode = tally.failed === 0 ? 0 : 1;
}
