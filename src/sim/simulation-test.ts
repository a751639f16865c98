/**
 * Scenarios as tests, for any runner whose tests are `test(name, { timeout }, body)`: vitest and node:test both are. One
 * test runs many seeds; the first failure is shrunk, and its message ends in one command that shows it again.
 */
import { assert } from "../base/assert.ts";
import { parsePositions, positionsText } from "./fault-positions.ts";
import type { SimulateOptions, SimulationScenario } from "./scenario-run.ts";
import type { ShrinkBudget } from "./shrink.ts";
import type { SimNode } from "./sim-cluster.ts";
import type { SimulationResult } from "./simulate.ts";
import type { ReplayKey } from "./trace.ts";

/** The part of a test runner that is used. */
export type RegisterTest = (
  name: string,
  options: { readonly timeout: number },
  body: (context: unknown) => Promise<void>,
) => unknown;

export interface SimulationTestOptions {
  /** How many seeds, from `firstSeed` on, or the very seeds. */
  readonly seeds: number | readonly number[];
  /** Default 1. */
  readonly firstSeed?: number;
  /** How many of the seeds are run twice, to see that a run depends on its seed only. Default 1. */
  readonly twice?: number;
  readonly shrink?: boolean | ShrinkBudget;
  /** Real milliseconds for all seeds and the shrinking. Default 120,000. */
  readonly timeoutMs?: number;
  /** Called after each seed that passed, to see what was reached: `result.trace.counts`. */
  readonly passed?: (result: SimulationResult) => void;
}

/** What the adapter needs of the process it runs in. */
export interface TestEnvironment {
  /** The seed and the faults of a replay, as text; undefined: run all. */
  readonly replay: { readonly seed: string | undefined; readonly faults: string | undefined };
  /** The command that runs one test of one file. */
  command(test: { readonly name: string; readonly file: string | undefined }): string;
}

export const SEED_VARIABLE = "ALTHING_SIM_SEED";
export const FAULTS_VARIABLE = "ALTHING_SIM_FAULTS";
const TIMEOUT_MS = 120_000;

type RunSeed = <TNode extends SimNode>(
  scenario: SimulationScenario<TNode>,
  options: SimulateOptions,
) => Promise<SimulationResult>;

/** Registers a test that runs the seeds one after the other. */
export function registerSimulationTest<TNode extends SimNode>(
  parts: { readonly test: RegisterTest; readonly run: RunSeed; readonly environment: () => TestEnvironment },
  name: string,
  scenario: SimulationScenario<TNode>,
  options: SimulationTestOptions,
): void {
  const { timeoutMs = TIMEOUT_MS, twice = 1, shrink = true, passed } = options;
  void parts.test(name, { timeout: timeoutMs }, async (context) => {
    const environment = parts.environment();
    const file = fileOf(context);
    const replay = (key: ReplayKey): string => `${variables(key)} ${environment.command({ name, file })}`;
    const asked = askedRun(environment.replay);
    if (asked !== undefined) {
      const result = await parts.run(scenario, { ...asked, shrink, replay });
      passed?.(result);
      return;
    }
    const seeds = seedsOf(options);
    assert(seeds.length > 0, "a simulation test has seeds", { name });
    for (const [i, seed] of seeds.entries()) {
      const result = await parts.run(scenario, { seed, twice: i < twice, shrink, replay });
      passed?.(result);
    }
  });
}

function seedsOf({ seeds, firstSeed = 1 }: SimulationTestOptions): readonly number[] {
  return typeof seeds === "number" ? Array.from({ length: seeds }, (_, i) => firstSeed + i) : seeds;
}

function variables({ seed, keepFaults }: ReplayKey): string {
  const faults = keepFaults === undefined ? "" : ` ${FAULTS_VARIABLE}=${positionsText(keepFaults)}`;
  return `${SEED_VARIABLE}=${seed}${faults}`;
}

function askedRun({ seed, faults }: TestEnvironment["replay"]): ReplayKey | undefined {
  if (seed === undefined || seed === "") return undefined;
  const number = Number(seed);
  if (!Number.isSafeInteger(number) || number < 0) {
    throw new Error(`Cannot replay: ${SEED_VARIABLE} is a whole number, not "${seed}"`);
  }
  const keepFaults = faults === undefined || faults === "" ? undefined : parsePositions(faults, FAULTS_VARIABLE);
  return keepFaults === undefined ? { seed: number } : { seed: number, keepFaults };
}

/** vitest's context has `task.file.filepath`, node:test's has `filePath`. */
function fileOf(context: unknown): string | undefined {
  const path = at(at(at(context, "task"), "file"), "filepath") ?? at(context, "filePath");
  return typeof path === "string" ? path : undefined;
}

function at(value: unknown, field: string): unknown {
  return typeof value === "object" || typeof value === "function" ? Reflect.get(value ?? {}, field) : undefined;
}
