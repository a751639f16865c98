/**
 * `althing sim`: whole clusters of production nodes on simulated networks and disks. One line per seed; a failing seed prints
 * its last events and the one command that replays it, and the exit code is 1. `--shrink` leaves out faults first until it
 * takes each of those that are left; `--trace` and `--diagram` write down what happened.
 */
import { writeFile } from "node:fs/promises";
import type { NodeConfig } from "../../config/node-config.ts";
import { parsePositions, positionsText } from "../../sim/fault-positions.ts";
import type { SimulationPlan, SimulationResult } from "../../sim/simulate.ts";
import { runScenario, type SimulateOptions } from "../../sim/scenario-run.ts";
import { sequenceDiagram } from "../../sim/sequence-diagram.ts";
import { type ReplayKey, SimulationFailure, type Trace } from "../../sim/trace.ts";
import type { CommandContext, GlobalOptions } from "../context.ts";
import type { ExitName } from "../exit-codes.ts";
import { CliFailure } from "../failure.ts";
import { hint } from "../invocation.ts";
import { showDuration } from "../parse.ts";
import { type KvSimNode, kvRun, nodeHost } from "../simulation/kv-scenario.ts";

export interface SimOptions extends GlobalOptions {
  readonly seed: number;
  readonly seeds: number;
  readonly nodes: number;
  readonly seconds: number;
  readonly twice?: boolean;
  readonly staleReads?: boolean;
  /** Which faults of the seed's schedule happen: `none` or positions, as a shrunk failure names them. */
  readonly faults?: string;
  readonly shrink?: boolean;
  /** Default: that of every node. */
  readonly consensus?: NodeConfig["consensus"];
  /** Where to write every event, one JSON object a line: of the first seed that fails, else of the last. */
  readonly trace?: string;
  /** Where to write a sequence diagram of the same run: Mermaid, or plain text if the name ends in `.txt`. */
  readonly diagram?: string;
}

export async function sim(context: CommandContext, options: SimOptions): Promise<ExitName> {
  const { output, signal } = context;
  const { style } = output;
  const keepFaults = positionsOf(options);
  let failed = 0;
  for (let seed = options.seed; seed < options.seed + options.seeds; seed++) {
    if (signal.aborted) return "interrupted";
    output.progress(`seed ${seed}: ${options.nodes} nodes, ${options.seconds} simulated seconds …`);
    const start = performance.now();
    const outcome = await runSeed(seed, keepFaults, options);
    const tookMs = performance.now() - start;
    const isLast = seed === options.seed + options.seeds - 1;
    if (outcome.type === "failed" ? failed === 0 : isLast && failed === 0) await writeFiles(outcome.trace, options);
    if (outcome.type === "failed") {
      failed++;
      const { replay, message, faults } = outcome;
      const trace = outcome.trace.toJsonLines(TRACE_LINES).split("\n");
      output.record({ seed, ok: false, tookMs: Math.round(tookMs), message, faults, replay, trace });
      output.line(`${style.bad("✗")} seed ${seed}: ${message}`);
      for (const line of outcome.notes) output.line(`  ${line}`);
      for (const line of trace) output.line(`  ${style.dim(line)}`);
      output.line(`Replay: ${replay}`);
      continue;
    }
    const { result, operations } = outcome;
    const speed = ((options.twice === true ? 2 : 1) * result.virtualMs) / tookMs;
    output.record({
      seed,
      ok: true,
      hash: result.hash,
      events: result.events,
      virtualMs: Math.round(result.virtualMs),
      faults: result.faults.length,
      operations,
      tookMs: Math.round(tookMs),
    });
    output.line(
      `${style.ok("✓")} seed ${seed}: ${operations} operations linearizable under ${result.faults.length} faults, ` +
        `${showDuration(result.virtualMs)} simulated in ${showDuration(tookMs)} (${speed.toFixed(0)}×), hash ${result.hash}`,
    );
  }
  if (options.seeds > 1) output.note(`${options.seeds - failed} of ${options.seeds} seeds passed`);
  return failed === 0 ? "success" : "failure";
}

type SeedOutcome =
  | { readonly type: "passed"; readonly result: SimulationResult; readonly trace: Trace; readonly operations: number }
  | {
      readonly type: "failed";
      readonly message: string;
      /** The faults that are left, and how they were found. */
      readonly notes: readonly string[];
      readonly faults: readonly unknown[];
      readonly replay: string;
      readonly trace: Trace;
    };

const TRACE_LINES = 60;
/** Enough for minutes of a cluster with all its messages; the rest of a longer run is its end. */
const TRACE_ENTRIES_MAX = 1_000_000;

async function runSeed(
  seed: number,
  keepFaults: readonly number[] | undefined,
  options: SimOptions,
): Promise<SeedOutcome> {
  let operations = (): number => 0;
  const wantsFiles = options.trace !== undefined || options.diagram !== undefined;
  const scenario = (): SimulationPlan<KvSimNode> => {
    const run = kvRun({
      seed,
      nodes: options.nodes,
      durationMs: options.seconds * 1_000,
      staleReads: options.staleReads === true,
      ...(options.consensus === undefined ? {} : { consensus: options.consensus }),
    });
    operations = () => run.operations();
    return wantsFiles ? { ...run.scenario, traceMessages: true, traceEntriesMax: TRACE_ENTRIES_MAX } : run.scenario;
  };
  const replay = (key: ReplayKey): string => hint(`sim --seed ${key.seed}${replayOptions(options, key)}`);
  const how: SimulateOptions = {
    seed,
    replay,
    shrink: options.shrink === true,
    ...(keepFaults === undefined ? {} : { keepFaults }),
  };
  try {
    const result = await runScenario(nodeHost, scenario, how);
    if (options.twice === true) {
      const again = await runScenario(nodeHost, scenario, how);
      if (again.hash !== result.hash || again.events !== result.events) {
        const message = `two runs differ: ${result.events} events, hash ${result.hash}; then ${again.events}, ${again.hash}`;
        const { trace, faults } = again;
        return { type: "failed", message, notes: [], faults, replay: `${replay(how)} --twice`, trace };
      }
    }
    return { type: "passed", result, trace: result.trace, operations: operations() };
  } catch (error) {
    if (!(error instanceof SimulationFailure)) throw error;
    const cause = error.cause instanceof Error ? error.cause.message : error.message.split("\n")[0];
    const message = `failed at ${showDuration(error.timeMs)} of virtual time: ${cause ?? "no reason given"}`;
    const { faults, trace } = error;
    return {
      type: "failed",
      message,
      notes: options.shrink === true ? error.notes : [],
      faults,
      replay: error.replay,
      trace,
    };
  }
}

function positionsOf({ faults, seeds }: SimOptions): readonly number[] | undefined {
  if (faults === undefined) return undefined;
  if (seeds > 1) throw new CliFailure("usage", "Cannot choose faults of several seeds: each has a schedule of its own");
  try {
    return parsePositions(faults, "--faults");
  } catch (cause) {
    throw new CliFailure("usage", cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

async function writeFiles(trace: Trace, options: SimOptions): Promise<void> {
  const { trace: traceFile, diagram: diagramFile } = options;
  if (traceFile !== undefined) await write(traceFile, `${trace.toJsonLines()}\n`);
  if (diagramFile === undefined) return;
  const format = diagramFile.endsWith(".txt") ? "text" : "mermaid";
  await write(diagramFile, sequenceDiagram(trace, { format }));
}

async function write(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CliFailure("failure", `Cannot write ${file}: ${why}`, { cause });
  }
}

/** What the run depends on besides the seed, as flags. The defaults stand in `program.ts`. */
function replayOptions({ nodes, seconds, staleReads, consensus }: SimOptions, { keepFaults }: ReplayKey): string {
  const flags = [
    nodes === 3 ? "" : ` --nodes ${nodes}`,
    seconds === 30 ? "" : ` --seconds ${seconds}`,
    consensus === undefined ? "" : ` --consensus ${consensus}`,
    staleReads === true ? " --stale-reads" : "",
    keepFaults === undefined ? "" : ` --faults ${positionsText(keepFaults)}`,
  ];
  return flags.join("");
}
