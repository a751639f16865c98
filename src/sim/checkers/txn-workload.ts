/**
 * Seeded transactions for the two workloads: what each client asks for, before any store has answered.
 * Source  Kingsbury & Alvaro 2020, section 7 (few keys at a time, so that transactions meet; each key retired after some
 *         writes, so that lists stay short).
 */
import { Prng } from "../../base/prng.ts";

export type PlannedOp =
  | { readonly type: "read"; readonly key: string }
  /** An append in list-append, a write in rw-register. */
  | { readonly type: "write"; readonly key: string; readonly value: number };

export interface WorkloadOptions {
  readonly seed: number;
  /** Keys in use at one time. Default 5. */
  readonly keys?: number;
  /** After so many writes a key is retired and a new one takes its place. Default 32. */
  readonly writesPerKeyMax?: number;
  /** Default 1 to 4. */
  readonly operationsMin?: number;
  readonly operationsMax?: number;
  /** Share of operations that are reads. Default 0.5. */
  readonly readChance?: number;
}

/** An endless supply of transactions; no value is written twice to one key. */
export class TxnWorkload {
  readonly #prng: Prng;
  readonly #options: Required<WorkloadOptions>;
  readonly #keys: { readonly key: string; written: number }[] = [];
  #made = 0;

  constructor(options: WorkloadOptions) {
    this.#options = { keys: 5, writesPerKeyMax: 32, operationsMin: 1, operationsMax: 4, readChance: 0.5, ...options };
    const { keys, writesPerKeyMax, operationsMin, operationsMax } = this.#options;
    if (keys < 1 || writesPerKeyMax < 1 || operationsMin < 1 || operationsMax < operationsMin) {
      throw new RangeError("Cannot make a workload: every count must be at least 1, and the least not above the most");
    }
    this.#prng = new Prng(options.seed);
    for (let i = 0; i < keys; i++) this.#keys.push(this.#newKey());
  }

  next(): readonly PlannedOp[] {
    const { operationsMin, operationsMax, readChance } = this.#options;
    const count = this.#prng.between(operationsMin, operationsMax);
    return Array.from({ length: count }, (): PlannedOp => {
      const at = this.#prng.below(this.#keys.length);
      const place = this.#keys[at] ?? this.#newKey();
      if (this.#prng.chance(readChance)) return { type: "read", key: place.key };
      const { key } = place;
      const value = ++place.written;
      if (value >= this.#options.writesPerKeyMax) this.#keys[at] = this.#newKey();
      return { type: "write", key, value };
    });
  }

  #newKey(): { readonly key: string; written: number } {
    return { key: `k${this.#made++}`, written: 0 };
  }
}
