/**
 * Runs a user's scenario for a seed: once, or twice to see that both runs are one; what fails is shrunk to the faults that it
 * takes. A scenario is a function, because clients, histories and checks keep state: each run gets a plan of its own.
 */
import { assert } from "../base/assert.ts";
import { type ShrinkBudget, type Shrunk, shrinkFailure } from "./shrink.ts";
import type { SimNode } from "./sim-cluster.ts";
import { runSimulation, type SimulationPlan, type SimulationResult } from "./simulate.ts";
import { type ReplayKey, SimulationFailure } from "./trace.ts";
import type { SimHost } from "./world.ts";

/** What runs under a seed. Called once for each run; must depend on the seed only. */
export type SimulationScenario<TNode extends SimNode> = (seed: number) => SimulationPlan<TNode>;

export interface SimulateOptions {
  readonly seed: number;
  /** Which faults of the schedule happen, by their positions from 0: what a shrunk failure names. Default: all. */
  readonly keepFaults?: readonly number[];
  /** Run twice, and fail unless both runs are the same run. Default false. */
  readonly twice?: boolean;
  /** Whether, and how long, a failure is shrunk. Default true. */
  readonly shrink?: boolean | ShrinkBudget;
  /** The one command that shows a failure again. Default: this call, as code. */
  readonly replay?: (key: ReplayKey) => string;
}

/**
 * Runs a scenario under one seed. Rejects with `SimulationFailure`, which names the faults that it takes and the way to see
 * it again, or with an AssertionError R1 if two runs differ.
 */
export async function runScenario<TNode extends SimNode>(
  host: SimHost,
  scenario: SimulationScenario<TNode>,
  options: SimulateOptions,
): Promise<SimulationResult> {
  const { seed, keepFaults, shrink = true } = options;
  const replay = options.replay ?? replayCall;
  const run = (keep: readonly number[] | undefined): Promise<SimulationResult> =>
    runSimulation({
      replay,
      ...scenario(seed),
      seed,
      host,
      ...(keep === undefined ? {} : { keepFaults: keep }),
    });
  let result: SimulationResult;
  try {
    result = await run(keepFaults);
  } catch (error) {
    if (!(error instanceof SimulationFailure) || shrink === false) throw error;
    const budget: ShrinkBudget = shrink === true ? {} : shrink;
    const schedule = keepFaults ?? error.faults.map((_, position) => position);
    const shrunk = await shrinkFailure(error, schedule, (keep) => failureOf(run(keep)), {
      ...budget,
      ...(host.realMs === undefined ? {} : { realMs: () => host.realMs?.() ?? 0 }),
    });
    throw shrunkFailure(error, shrunk);
  }
  if (options.twice === true) await again(result, () => run(keepFaults));
  return result;
}

async function again(first: SimulationResult, run: () => Promise<SimulationResult>): Promise<void> {
  const second = await run();
  assert(
    first.hash === second.hash && first.events === second.events,
    "R1: the same seed gives the same run, else something reads a clock, a random number or the world outside the ports",
    { seed: first.seed, first: first.hash, second: second.hash, events: [first.events, second.events] },
  );
}

async function failureOf(run: Promise<unknown>): Promise<SimulationFailure | undefined> {
  try {
    await run;
    return undefined;
  } catch (error) {
    if (error instanceof SimulationFailure) return error;
    throw error;
  }
}

function shrunkFailure(first: SimulationFailure, shrunk: Shrunk): SimulationFailure {
  const { keep, failure, from, runs, isMinimal } = shrunk;
  if (keep.length === from) return first;
  const needed = keep.length === 0 ? "it takes no fault" : "it takes each of them";
  const verdict = isMinimal ? needed : "fewer may do: the budget for shrinking is spent";
  return failure.withNote(`Shrunk from ${from} faults to ${keep.length}, runs needed: ${runs}; ${verdict}`);
}

function replayCall({ seed, keepFaults }: ReplayKey): string {
  const keep = keepFaults === undefined ? "" : `, keepFaults: [${keepFaults.join(", ")}]`;
  return `simulate(scenario, { seed: ${seed}${keep} })`;
}
