/**
 * Every value of every key that a history speaks of, as a number, with who wrote it. Version numbers are dense, so that what
 * is known of versions can stand in arrays.
 */
import type { TxnValue } from "./transaction.ts";

/** Nobody: the value was read but never written. */
export const NOBODY = -1;

export class Versions {
  readonly #ids = new Map<string, Map<TxnValue, number>>();
  readonly #keys: string[] = [];
  readonly #values: TxnValue[] = [];
  readonly #writers: number[] = [];
  readonly #isFinal: boolean[] = [];
  /** Of a version: the one its writer wrote to the key before. */
  readonly #ownBefore = new Map<number, number>();

  get count(): number {
    return this.#keys.length;
  }

  /**
   * A transaction writes a value; by its order of calls the last one for a key is what the transaction leaves behind.
   * @throws RangeError if the value was written to the key before: such a history tells nothing.
   */
  write(transaction: number, key: string, value: TxnValue, before: number | undefined): number {
    const id = this.of(key, value);
    if (this.#writers[id] !== NOBODY) {
      throw new RangeError(`Cannot check the history: ${String(value)} was written twice to ${key}`);
    }
    this.#writers[id] = transaction;
    this.#isFinal[id] = true;
    if (before !== undefined) {
      this.#isFinal[before] = false;
      this.#ownBefore.set(id, before);
    }
    return id;
  }

  /** The version that a value of a key stands for. */
  of(key: string, value: TxnValue): number {
    let ids = this.#ids.get(key);
    if (ids === undefined) this.#ids.set(key, (ids = new Map<TxnValue, number>()));
    const known = ids.get(value);
    if (known !== undefined) return known;
    const id = this.#keys.length;
    ids.set(value, id);
    this.#keys.push(key);
    this.#values.push(value);
    this.#writers.push(NOBODY);
    this.#isFinal.push(false);
    return id;
  }

  keyOf(id: number): string {
    return this.#keys[id] ?? "";
  }

  valueOf(id: number): TxnValue {
    return this.#values[id] ?? "";
  }

  /** Index of the transaction, or `NOBODY`. */
  writerOf(id: number): number {
    return this.#writers[id] ?? NOBODY;
  }

  /** What its writer had written to the key just before; undefined if this was its first. */
  ownBefore(id: number): number | undefined {
    return this.#ownBefore.get(id);
  }

  /** It is the last that its writer wrote to the key. */
  isFinal(id: number): boolean {
    return this.#isFinal[id] ?? false;
  }
}
