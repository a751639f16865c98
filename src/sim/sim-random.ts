/** The Random port from a seed: every process gets a fork of its own, so one's draws never shift another's. */
import { assert } from "../base/assert.ts";
import type { Prng } from "../base/prng.ts";
import type { Random } from "../ports/random.ts";

const BOUND_MAX = 2 ** 48;

export class SimRandom implements Random {
  readonly #prng: Prng;

  constructor(prng: Prng) {
    this.#prng = prng;
  }

  unit(): number {
    return this.#prng.unit();
  }

  below(bound: number): number {
    assert(Number.isInteger(bound) && bound >= 1 && bound <= BOUND_MAX, "bound out of range", { bound });
    if (bound <= 0x1_0000_0000) return this.#prng.below(bound);
    // 53 bits in [0, 1), as many as a double holds.
    const unit = (this.#prng.u32() * 0x20_0000 + (this.#prng.u32() >>> 11)) / 2 ** 53;
    return Math.floor(unit * bound);
  }

  bytes(length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let i = 0; i < length; i++) out[i] = this.#prng.u32() >>> 24;
    return out;
  }
}
