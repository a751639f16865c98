/**
 * From a failing run to the few faults that it takes: the same seed again and again, with parts of its schedule left out.
 *
 * Z1. Only the same failure counts: a smaller schedule that fails in another way is another finding.
 * Z2. What is returned has been run: it failed with exactly the faults it names.
 */
import { minimise } from "./delta-debugging.ts";
import type { SimulationFailure } from "./trace.ts";

export interface ShrinkBudget {
  /** Runs at most. Default 200. */
  readonly runsMax?: number;
  /** Real milliseconds at most, where the host has a clock; a run under way is finished. Default 20,000. */
  readonly realMsMax?: number;
  /** Is it the same failure? Default: the same first words, see `failureKind`. */
  readonly isSame?: (first: SimulationFailure, other: SimulationFailure) => boolean;
}

/** The faults that are left, as positions in the schedule of the run. */
export interface Shrunk {
  readonly keep: readonly number[];
  readonly failure: SimulationFailure;
  /** Faults of the failing run before. */
  readonly from: number;
  readonly runs: number;
  /** True: it takes every one of them. */
  readonly isMinimal: boolean;
}

const RUNS_MAX = 200;
const REAL_MS_MAX = 20_000;

/**
 * Shrinks a failure. `run` runs the same seed with some of the faults, by their positions, and resolves with the failure, or
 * undefined if there is none. `schedule` are the positions that the failing run had.
 */
export async function shrinkFailure(
  first: SimulationFailure,
  schedule: readonly number[],
  run: (keep: readonly number[]) => Promise<SimulationFailure | undefined>,
  options: ShrinkBudget & { readonly realMs?: () => number } = {},
): Promise<Shrunk> {
  const { runsMax = RUNS_MAX, realMsMax = REAL_MS_MAX, realMs } = options;
  const isSame = options.isSame ?? ((a, b) => failureKind(a) === failureKind(b));
  const startMs = realMs?.() ?? 0;
  let failure = first;
  let runs = 0;
  const fails = async (keep: readonly number[]): Promise<boolean> => {
    runs++;
    const found = await run(keep);
    if (found === undefined || !isSame(first, found)) return false; // Z1
    failure = found;
    return true;
  };
  const mayGoOn = (): boolean => runs < runsMax && (realMs?.() ?? 0) - startMs < realMsMax;
  const { items, isMinimal } = await minimise(schedule, fails, mayGoOn);
  return { keep: items, failure, from: schedule.length, runs, isMinimal };
}

/**
 * What kind of failure it is: the error's name and the first words of its message, an invariant's number included, up to
 * the first figure, quotation or detail, which differ from run to run.
 */
export function failureKind(failure: SimulationFailure): string {
  const { cause } = failure;
  if (!(cause instanceof Error)) return typeof cause === "string" ? words(cause) : typeof cause;
  return `${cause.name}: ${words(cause.message)}`;
}

function words(message: string): string {
  const [line = ""] = message.split("\n");
  const invariant = /^[A-Z]{1,2}\d{1,2}: /.exec(line)?.[0] ?? "";
  const [text = ""] = line.slice(invariant.length).split(/[\d"'`{[(]/);
  return invariant + text.trim();
}
