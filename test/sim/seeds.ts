/**
 * `npm run seeds -- --engine paxos --count 10000`: the long sweep of the group scenario, every kind of run in turn, in as many
 * processes as there are cores. Progress and failures on stderr, each with the command that shows it again; the figures for
 * `docs/reliability.md` on stdout. Exit code 1 if a seed failed.
 *
 *   --engine NAME  raft (default) or paxos
 *   --from N       the first seed; default 1
 *   --count N      how many; default 1,000
 *   --seconds N    simulated seconds of each run under faults; default 20
 *   --jobs N       processes; default: all cores
 */
import { fork } from "node:child_process";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { NodeConfig } from "../../src/config/node-config.ts";
import { runSimulation } from "../../src/sim/simulate.ts";
import { groupScenario } from "./lib/group-scenario.ts";
import { type GroupVariant, groupVariants, variantOptions } from "./lib/group-variants.ts";

type Engine = NodeConfig["consensus"];

interface Run {
  readonly seed: number;
  readonly engine: Engine;
  readonly durationMs: number;
}

type Told =
  | {
      readonly type: "passed";
      readonly faults: readonly string[];
      readonly virtualMs: number;
      readonly operations: number;
    }
  | { readonly type: "failed"; readonly seed: number; readonly message: string };

/** What a seed runs: its kind and its size follow from its number, so that the number names the run. */
function shapeOf(seed: number): { readonly variant: GroupVariant; readonly nodes: number } {
  const variant = groupVariants[seed % groupVariants.length] ?? "plain";
  return { variant, nodes: Math.floor(seed / groupVariants.length) % 3 === 2 ? 5 : 3 };
}

async function runOne({ seed, engine, durationMs }: Run): Promise<Told> {
  const { variant, nodes } = shapeOf(seed);
  const scenario = groupScenario(seed, { ...variantOptions(variant), nodes, durationMs, consensus: engine });
  try {
    const result = await runSimulation(scenario);
    return {
      type: "passed",
      faults: result.faults.map((fault) => fault.type),
      virtualMs: result.virtualMs,
      operations: scenario.acknowledged.length,
    };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { type: "failed", seed, message: message.slice(0, 600) };
  }
}

/** A worker: seeds come in, verdicts go out. */
function work(): void {
  process.on("message", (run: Run) => {
    void runOne(run).then((told) => process.send?.(told));
  });
  process.on("disconnect", () => process.exit(0));
}

class Sweep {
  readonly #engine: Engine;
  readonly #durationMs: number;
  readonly #end: number;
  readonly #from: number;
  #next: number;
  #passed = 0;
  #failed = 0;
  #virtualMs = 0;
  #operations = 0;
  readonly #faults = new Map<string, number>();
  readonly #startedMs = performance.now();

  constructor(options: { engine: Engine; from: number; count: number; durationMs: number }) {
    this.#engine = options.engine;
    this.#durationMs = options.durationMs;
    this.#from = options.from;
    this.#next = options.from;
    this.#end = options.from + options.count;
  }

  get failed(): number {
    return this.#failed;
  }

  /** One worker process until no seed is left. A worker that dies takes the sweep with it: that too is a failure. */
  run(): Promise<void> {
    const child = fork(fileURLToPath(import.meta.url), ["--worker"], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    return new Promise((resolve, reject) => {
      const give = (): void => {
        if (this.#next >= this.#end) {
          child.disconnect();
          resolve();
          return;
        }
        child.send({ seed: this.#next++, engine: this.#engine, durationMs: this.#durationMs } satisfies Run);
      };
      child.on("message", (told: Told) => {
        this.#take(told);
        give();
      });
      child.on("exit", (code) => {
        if (code !== 0) reject(new Error(`a worker ended with ${code}, near seed ${this.#next}`));
      });
      give();
    });
  }

  #take(told: Told): void {
    if (told.type === "failed") {
      this.#failed++;
      const { variant, nodes } = shapeOf(told.seed);
      const again = `npm run seeds -- --engine ${this.#engine} --from ${told.seed} --count 1 --seconds ${this.#durationMs / 1000}`;
      process.stderr.write(`seed ${told.seed} (${variant}, ${nodes} nodes): ${told.message}\n  again: ${again}\n`);
    } else {
      this.#passed++;
      this.#virtualMs += told.virtualMs;
      this.#operations += told.operations;
      for (const fault of told.faults) this.#faults.set(fault, (this.#faults.get(fault) ?? 0) + 1);
    }
    const done = this.#passed + this.#failed;
    if (done % 100 === 0) {
      const left = ((performance.now() - this.#startedMs) / done) * (this.#end - this.#from - done);
      process.stderr.write(
        `${done} of ${this.#end - this.#from}, ${this.#failed} failed, ${Math.ceil(left / 60_000)} min left\n`,
      );
    }
  }

  summary(): string {
    const faults = [...this.#faults].sort((a, b) => b[1] - a[1]);
    const total = faults.reduce((sum, [, count]) => sum + count, 0);
    const hours = (this.#virtualMs / 3_600_000).toFixed(1);
    const minutes = ((performance.now() - this.#startedMs) / 60_000).toFixed(1);
    return [
      `${this.#engine}: seeds ${this.#from} to ${this.#end - 1}, ${this.#passed} passed, ${this.#failed} failed, in ${minutes} minutes`,
      `${hours} simulated hours, ${this.#operations.toLocaleString("en")} acknowledged appends, ${total.toLocaleString("en")} faults:`,
      `  ${faults.map(([name, count]) => `${name} ${count.toLocaleString("en")}`).join(", ")}`,
      "",
    ].join("\n");
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      engine: { type: "string", default: "raft" },
      from: { type: "string", default: "1" },
      count: { type: "string", default: "1000" },
      seconds: { type: "string", default: "20" },
      jobs: { type: "string", default: String(availableParallelism()) },
    },
  });
  const { engine } = values;
  if (engine !== "raft" && engine !== "paxos")
    throw new Error(`Cannot sweep ${engine}: the engines are raft and paxos`);
  const sweep = new Sweep({
    engine,
    from: whole("from", values.from),
    count: whole("count", values.count),
    durationMs: whole("seconds", values.seconds) * 1_000,
  });
  await Promise.all(Array.from({ length: whole("jobs", values.jobs) }, () => sweep.run()));
  process.stdout.write(sweep.summary());
  if (sweep.failed > 0) process.exitCode = 1;
}

function whole(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new Error(`Cannot read --${name}: ${text} is no whole number from 1`);
  return value;
}

if (process.argv.includes("--worker")) work();
else if (import.meta.main) {
  try {
    await main();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
