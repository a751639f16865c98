/**
 * `npm run mutants`: the mutation gate. Makes every deliberate bug of `test/mutants`, one at a time, and demands that
 * simulated runs find it. Progress on stderr, a table on stdout; exit code 1 if one survives, 2 on a wrong option.
 *
 *   --only NAME      one mutant, or several with commas    --workers N   processes at once, default 2
 *   --sample N       N of them, drawn by --seed S          --budget S    processor seconds a mutant, default 60
 *   --engine NAME    raft, host or wal                     --json        results as JSON lines instead of the table
 *   --list           names and what they break             --write       docs/reference/mutants.md, for a run of all
 */
import { parseArgs } from "node:util";
import { Prng } from "../src/base/prng.ts";
import { mutants } from "../test/mutants/catalogue.ts";
import { Gate, type GateResult, hasPassed, isKilled } from "../test/mutants/gate.ts";
import type { Mutant } from "../test/mutants/mutant.ts";
import { mutantsPage, mutantsPagePath } from "../test/mutants/page.ts";
import { writePage } from "./lib/page.ts";

const BUDGET_SECONDS = 60;
const WORKERS = 2;

class UsageError extends Error {}

function parse(): ReturnType<typeof options>["values"] {
  try {
    return options().values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

const options = () =>
  parseArgs({
    options: {
      only: { type: "string" },
      engine: { type: "string" },
      sample: { type: "string" },
      seed: { type: "string" },
      budget: { type: "string" },
      workers: { type: "string" },
      json: { type: "boolean" },
      list: { type: "boolean" },
      write: { type: "boolean" },
    },
  });

function positive(text: string | undefined, otherwise: number, name: string): number {
  const value = text === undefined ? otherwise : Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new UsageError(`--${name} is a number from 1`);
  return value;
}

function choose(values: ReturnType<typeof parse>): readonly Mutant[] {
  let chosen: readonly Mutant[] = mutants;
  const { only, engine, sample, seed } = values;
  if (engine !== undefined) {
    chosen = chosen.filter((mutant) => mutant.engine === engine);
    if (chosen.length === 0) throw new UsageError(`no mutant is of the engine ${engine}`);
  }
  if (only !== undefined) {
    const names = only.split(",");
    const unknown = names.find((name) => !chosen.some((mutant) => mutant.name === name));
    if (unknown !== undefined) throw new UsageError(`there is no mutant ${unknown}: --list shows them`);
    chosen = chosen.filter(({ name }) => names.includes(name));
  }
  if (sample !== undefined) {
    const shuffled = new Prng(positive(seed, 1, "seed")).shuffle([...chosen]);
    chosen = shuffled.slice(0, positive(sample, 1, "sample"));
  }
  return chosen;
}

async function main(): Promise<void> {
  const values = parse();
  const chosen = choose(values);
  if (values.list === true) {
    for (const { name, engine, invariant, why } of chosen) say(`${name} (${engine}, ${invariant}): ${why}`);
    return;
  }
  const isWhole = chosen.length === mutants.length;
  if (values.write === true && !isWhole) throw new UsageError("--write needs a run of all mutants");
  const budgetSeconds = positive(values.budget, BUDGET_SECONDS, "budget");
  let done = 0;
  const gate = new Gate({
    mutants: chosen,
    budgetSeconds,
    workers: positive(values.workers, WORKERS, "workers"),
    baseline: isWhole,
    tell: (line) => {
      if (/^[✓✗]/.test(line)) done++;
      process.stderr.write(`${String(done).padStart(3)}/${chosen.length} ${line}\n`);
    },
  });
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      gate.close();
      process.exit(130);
    });
  }
  let result: GateResult;
  try {
    result = await gate.run();
  } finally {
    gate.close();
  }
  report(result, values.json === true);
  if (values.write === true && hasPassed(result)) {
    writePage(mutantsPagePath, mutantsPage(result, budgetSeconds), "scripts/mutants.ts --write");
  }
  if (!hasPassed(result)) process.exitCode = 1;
}

function report(result: GateResult, asJson: boolean): void {
  const { results, baseline } = result;
  for (const { mutant, verdict, unproven } of results) {
    const { name, engine, invariant } = mutant;
    if (asJson) {
      say(JSON.stringify({ name, engine, invariant, ...verdict, unproven }));
      continue;
    }
    const found = verdict.type === "killed" ? verdict.attempt : verdict.type;
    const seconds = verdict.type === "broken" ? "" : `${verdict.cpuSeconds.toFixed(1)} s`;
    say(`${name.padEnd(46)} ${invariant.padEnd(12)} ${found.padEnd(24)} ${seconds.padStart(7)}`);
  }
  const killed = results.filter(isKilled);
  const times = killed.map(({ verdict }) => (verdict.type === "killed" ? verdict.cpuSeconds : 0)).sort((a, b) => a - b);
  const median = times[times.length >> 1] ?? 0;
  const slowest = times.at(-1) ?? 0;
  const disturbed = baseline.filter(({ verdict }) => verdict.type !== "survived");
  for (const { engine, verdict } of disturbed) {
    process.stderr.write(`✗ Cannot hunt: with nothing broken a run of ${engine} fails: ${JSON.stringify(verdict)}\n`);
  }
  const summary = `${killed.length} of ${results.length} mutants killed, median ${median.toFixed(1)} s, slowest ${slowest.toFixed(1)} s`;
  if (asJson) process.stderr.write(`${summary}\n`);
  else say(summary);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

if (import.meta.main) {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`Cannot run the mutation gate: ${error.message}\n`);
    process.exitCode = 2;
  }
}
