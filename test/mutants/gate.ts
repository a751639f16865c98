/**
 * The mutation gate: each mutant is made, hunted for a budget, and must be found.
 *
 * M1. An attempt that finds a mutant passes without it: run again on the whole copy, at once.
 * M2. When every mutant is hunted, each engine's whole budget is first spent on the whole copy, and must find nothing.
 * M3. A mutant that survives, or that cannot run at all, fails the gate.
 */
import type { HuntVerdict } from "./hunt.ts";
import { Hunter } from "./hunter.ts";
import type { Engine, Mutant } from "./mutant.ts";
import { type Bench, Workshop } from "./workshop.ts";

export interface GateOptions {
  readonly mutants: readonly Mutant[];
  /** Processor seconds for each hunt. */
  readonly budgetSeconds: number;
  readonly workers: number;
  /** M2. */
  readonly baseline: boolean;
  /** Told of each result as it comes. */
  readonly tell: (line: string) => void;
}

export interface MutantResult {
  readonly mutant: Mutant;
  readonly verdict: HuntVerdict;
  /** M1: what the attempt that found it found in the whole copy; undefined is good. */
  readonly unproven: string | undefined;
}

export interface GateResult {
  readonly results: readonly MutantResult[];
  /** M2: engines whose hunt found something in the whole copy. */
  readonly baseline: readonly { readonly engine: Engine; readonly verdict: HuntVerdict }[];
}

export const isKilled = ({ verdict, unproven }: MutantResult): boolean =>
  verdict.type === "killed" && unproven === undefined;

export const hasPassed = ({ results, baseline }: GateResult): boolean =>
  results.every(isKilled) && baseline.every(({ verdict }) => verdict.type === "survived");

export class Gate {
  readonly #options: GateOptions;
  readonly #workshop = new Workshop();
  readonly #hunter = new Hunter();

  constructor(options: GateOptions) {
    this.#options = options;
  }

  async run(): Promise<GateResult> {
    const { mutants, workers, baseline } = this.#options;
    const engines = baseline ? [...new Set(mutants.map((m) => m.engine))] : [];
    const clean: GateResult["baseline"][number][] = [];
    await shareOut(engines, workers, async (engine) => {
      const verdict = await this.#hunter.hunt(this.#workshop.clean, engine, this.#options.budgetSeconds);
      clean.push({ engine, verdict });
      this.#options.tell(`${engine}, nothing broken: ${describe(verdict)}`);
    });
    if (clean.some(({ verdict }) => verdict.type !== "survived")) return { results: [], baseline: clean };

    const results = new Map<Mutant, MutantResult>();
    const benches = Array.from({ length: Math.min(workers, mutants.length) }, () => this.#workshop.bench());
    await shareOut(mutants, workers, async (mutant) => {
      const bench = benches.pop();
      if (bench === undefined) throw new Error("Cannot hunt: there are fewer copies than workers");
      const result = await this.#hunt(mutant, bench);
      benches.push(bench);
      results.set(mutant, result);
      this.#options.tell(
        `${isKilled(result) ? "✓" : "✗"} ${mutant.name}: ${describe(result.verdict)}${result.unproven ?? ""}`,
      );
    });
    return { results: mutants.flatMap((mutant) => results.get(mutant) ?? []), baseline: clean };
  }

  async #hunt(mutant: Mutant, bench: Bench): Promise<MutantResult> {
    const restore = bench.make(mutant);
    const verdict = await this.#hunter.hunt(bench.folder, mutant.engine, this.#options.budgetSeconds);
    restore();
    if (verdict.type !== "killed") return { mutant, verdict, unproven: undefined };
    const again = await this.#hunter.attempt(this.#workshop.clean, verdict.attempt);
    return {
      mutant,
      verdict,
      unproven: again.type === "survived" ? undefined : `, and so without it: ${describe(again)}`,
    };
  }

  close(): void {
    this.#hunter.close();
    this.#workshop.close();
  }
}

/** Gives out the items one by one; at most `workers` are worked on at once. */
async function shareOut<T>(items: readonly T[], workers: number, work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items];
  const lane = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: workers }, lane));
}

export function describe(verdict: HuntVerdict): string {
  switch (verdict.type) {
    case "killed":
      return `${verdict.attempt} after ${verdict.cpuSeconds.toFixed(1)} s, ${verdict.attempts} runs: ${shorten(verdict.caught)}`;
    case "survived":
      return `${verdict.attempts} runs in ${verdict.cpuSeconds.toFixed(1)} s found nothing`;
    case "broken":
      return `it cannot run (${verdict.attempt}): ${shorten(verdict.caught)}`;
  }
}

const shorten = (text: string): string => (text.length > 160 ? `${text.slice(0, 160)}…` : text);
