/**
 * A shared bound on bytes kept in memory. Budgets nest: a connection's budget draws on the door's, so that one connection
 * cannot spend what all of them share.
 */
import { assert } from "../../base/assert.ts";

export class ByteBudget {
  readonly #bytesMax: number;
  readonly #parent: ByteBudget | undefined;
  #used = 0;

  constructor(bytesMax: number, parent?: ByteBudget) {
    this.#bytesMax = bytesMax;
    this.#parent = parent;
  }

  get used(): number {
    return this.#used;
  }

  /** Charges `bytes`, or charges nothing and answers false. */
  take(bytes: number): boolean {
    if (this.#used + bytes > this.#bytesMax) return false;
    if (this.#parent !== undefined && !this.#parent.take(bytes)) return false;
    this.#used += bytes;
    return true;
  }

  /** Charges `bytes` that are there already, over the bound if need be: `isSpent` then tells those who come next. */
  charge(bytes: number): void {
    this.#parent?.charge(bytes);
    this.#used += bytes;
  }

  get isSpent(): boolean {
    return this.#used >= this.#bytesMax || (this.#parent?.isSpent ?? false);
  }

  give(bytes: number): void {
    assert(bytes <= this.#used, "gave back more than was taken", { bytes, used: this.#used });
    this.#used -= bytes;
    this.#parent?.give(bytes);
  }
}
