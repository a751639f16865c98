/**
 * A node killed at each change of its disk, one run after the other: the crash points that random times seldom hit. A first
 * run counts the changes; each further run is the same up to its kill.
 */
import { runScenario, type SimulateOptions, type SimulationScenario } from "./scenario-run.ts";
import type { SimNode } from "./sim-cluster.ts";
import type { SimulationResult } from "./simulate.ts";
import type { Fault } from "./faults.ts";
import type { SimHost } from "./world.ts";

export interface KillPointOptions extends Pick<SimulateOptions, "seed" | "replay"> {
  /** The node that is killed. Default 1. */
  readonly node?: number;
  /** The first change, counted from 1, and how many further on the next one is. Default 1 and 1: all of them. */
  readonly from?: number;
  readonly step?: number;
  /** Runs at most. Default: as many as there are changes. */
  readonly runsMax?: number;
  /** How long the node stays down, in virtual milliseconds. Default 200. */
  readonly downMs?: number;
  /** Called after each run. */
  readonly passed?: (write: number, result: SimulationResult) => void;
}

export interface KillPointsResult {
  /** Changes of the node's disk in the run without a kill. */
  readonly writes: number;
  /** Runs with a kill. */
  readonly runs: number;
}

const DOWN_MS = 200;

/**
 * Runs the scenario without faults, then once for each change of the node's disk with a kill there: in turn before and after
 * it took effect, and in turn of the process and of the whole machine. Rejects with the first `SimulationFailure`.
 */
export async function killAtEveryWrite<TNode extends SimNode>(
  host: SimHost,
  scenario: SimulationScenario<TNode>,
  options: KillPointOptions,
): Promise<KillPointsResult> {
  const { seed, node = 1, from = 1, step = 1, runsMax = Number.POSITIVE_INFINITY, downMs = DOWN_MS } = options;
  const run = (faults: readonly Fault[]): Promise<SimulationResult> =>
    runScenario(host, (chosen) => ({ ...scenario(chosen), faults }), {
      seed,
      shrink: false,
      replay: options.replay ?? (() => replayCall(seed, faults)),
    });
  const whole = await run([]);
  const writes = whole.writes[node - 1] ?? 0;
  let runs = 0;
  for (let write = from; write <= writes && runs < runsMax; write += step) {
    const when = runs % 2 === 0 ? "before" : "after";
    const mode = runs % 4 < 2 ? "power" : "process";
    const result = await run([{ type: "kill-at-write", atMs: 0, node, write, when, mode, downMs }]);
    runs++;
    options.passed?.(write, result);
  }
  return { writes, runs };
}

function replayCall(seed: number, faults: readonly Fault[]): string {
  return `simulate((seed) => ({ ...scenario(seed), faults: ${JSON.stringify(faults)} }), { seed: ${seed} })`;
}
