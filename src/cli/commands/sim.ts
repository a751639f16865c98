/**
 * `althing sim`: whole clusters of production nodes on simulated networks and disks. One line per seed; a failing seed prints
 * its last events and the one command that replays it, and the exit code is 1.
 */

import { runSimulation, type SimulationResult } from "../../sim/simulate.ts";
import { SimulationFailure } from "../../sim/trace.ts";
import type { CommandContext, GlobalOptions } from "../context.ts";
import type { ExitName } from "../exit-codes.ts";
import { hint } from "../invocation.ts";
import { showDuration } from "../parse.ts";
import { type KvRun, kvRun } from "../simulation/kv-scenario.ts";

export interface SimOptions extends GlobalOptions {
  readonly seed: number;
  readonly seeds: number;
  readonly nodes: number;
  readonly seconds: number;
  readonly twice?: boolean;
  readonly staleReads?: boolean;
}

export async function sim(context: CommandContext, options: SimOptions): Promise<ExitName> {
  const { output, signal } = context;
  const { style } = output;
  const failed: number[] = [];
  for (let seed = options.seed; seed < options.seed + options.seeds; seed++) {
    if (signal.aborted) return "interrupted";
    output.progress(`seed ${seed}: ${options.nodes} nodes, ${options.seconds} simulated seconds …`);
    const start = performance.now();
    const outcome = await runSeed(seed, options);
    const tookMs = performance.now() - start;
    if (outcome.type === "failed") {
      failed.push(seed);
      const replay = hint(`sim --seed ${seed}${replayOptions(options)}`);
      output.record({
        seed,
        ok: false,
        tookMs: Math.round(tookMs),
        message: outcome.message,
        replay,
        trace: outcome.trace,
      });
      output.line(`${style.bad("✗")} seed ${seed}: ${outcome.message}`);
      for (const line of outcome.trace) output.line(`  ${style.dim(line)}`);
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
  if (options.seeds > 1) output.note(`${options.seeds - failed.length} of ${options.seeds} seeds passed`);
  return failed.length === 0 ? "success" : "failure";
}

type SeedOutcome =
  | { readonly type: "passed"; readonly result: SimulationResult; readonly operations: number }
  | { readonly type: "failed"; readonly message: string; readonly trace: readonly string[] };

const TRACE_LINES = 60;

async function runSeed(seed: number, options: SimOptions): Promise<SeedOutcome> {
  const prepare = (): KvRun =>
    kvRun({
      seed,
      nodes: options.nodes,
      durationMs: options.seconds * 1_000,
      staleReads: options.staleReads === true,
      replayOptions: replayOptions(options).trim(),
    });
  try {
    const run = prepare();
    const result = await runSimulation(run.scenario);
    if (options.twice === true) {
      const again = await runSimulation(prepare().scenario);
      if (again.hash !== result.hash || again.events !== result.events) {
        const message = `two runs differ: ${result.events} events, hash ${result.hash}; then ${again.events}, ${again.hash}`;
        return { type: "failed", message, trace: again.trace.toJsonLines(TRACE_LINES).split("\n") };
      }
    }
    return { type: "passed", result, operations: run.operations() };
  } catch (error) {
    if (!(error instanceof SimulationFailure)) throw error;
    const cause = error.cause instanceof Error ? error.cause.message : error.message.split("\n")[0];
    const message = `failed at ${showDuration(error.timeMs)} of virtual time: ${cause ?? "no reason given"}`;
    return { type: "failed", message, trace: error.trace.toJsonLines(TRACE_LINES).split("\n") };
  }
}

/** What the run depends on besides the seed, as flags. The defaults stand in `program.ts`. */
function replayOptions({ nodes, seconds, staleReads }: SimOptions): string {
  return `${nodes === 3 ? "" : ` --nodes ${nodes}`}${seconds === 30 ? "" : ` --seconds ${seconds}`}${staleReads === true ? " --stale-reads" : ""}`;
}
