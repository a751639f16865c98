/** Randomness from the operating system's generator, fit for secrets. */
import { randomBytes, randomFillSync } from "node:crypto";
import { assert } from "../base/assert.ts";
import type { Random } from "../ports/random.ts";

const WORDS = 256;
const BELOW_BOUND_MAX = 2 ** 48;

export class NodeRandom implements Random {
  /** Drawn in blocks: one call for each number would cost a microsecond. */
  readonly #block = new Uint32Array(WORDS);
  #used = WORDS;

  unit(): number {
    return (this.#word() * 0x20_0000 + (this.#word() >>> 11)) / 2 ** 53;
  }

  below(bound: number): number {
    assert(Number.isSafeInteger(bound) && bound >= 1 && bound <= BELOW_BOUND_MAX, "bound out of range", { bound });
    // Values at or over the last multiple of `bound` are drawn again, or small results would be more likely.
    const limit = 2 ** 53 - (2 ** 53 % bound);
    for (;;) {
      const value = this.#word() * 0x20_0000 + (this.#word() >>> 11);
      if (value < limit) return value % bound;
    }
  }

  bytes(length: number): Uint8Array {
    const bytes = randomBytes(length);
    return new Uint8Array(bytes.buffer, bytes.byteOffset, length);
  }

  #word(): number {
    if (this.#used === WORDS) {
      randomFillSync(this.#block);
      this.#used = 0;
    }
    const word = this.#block[this.#used] as number; // used < WORDS
    this.#block[this.#used++] = 0; // what was given out is not kept
    return word;
  }
}
