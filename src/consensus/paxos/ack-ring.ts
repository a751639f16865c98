/**
 * Who has acknowledged which slot: one bit mask a slot, in a ring over the slots that are not yet chosen. Acknowledgements
 * come in any order; a slot's mask is dropped when the slot is chosen. (Lamport 2001, section 3: any number of instances at once.)
 */
import { assert } from "../../base/assert.ts";

const CAPACITY_LEAST = 64;

export class AckRing {
  #masks: Int32Array = new Int32Array(CAPACITY_LEAST);
  /** The first slot that is open, and the first that is not open yet. */
  #first: number;
  #end: number;

  constructor(first: number) {
    this.#first = first;
    this.#end = first;
  }

  get first(): number {
    return this.#first;
  }

  get end(): number {
    return this.#end;
  }

  /** Opens the next slot. */
  push(): void {
    if (this.#end - this.#first === this.#masks.length) this.#grow();
    this.#masks[this.#end & (this.#masks.length - 1)] = 0;
    this.#end++;
  }

  /** Marks the slots of a range that are open. */
  mark(from: number, to: number, bit: number): void {
    const last = Math.min(to, this.#end - 1);
    const wrap = this.#masks.length - 1;
    for (let slot = Math.max(from, this.#first); slot <= last; slot++) {
      this.#masks[slot & wrap] = (this.#masks[slot & wrap] ?? 0) | (1 << bit);
    }
  }

  /** The mask of an open slot. */
  at(slot: number): number {
    assert(slot >= this.#first && slot < this.#end, "an open slot", { slot, first: this.#first, end: this.#end });
    return this.#masks[slot & (this.#masks.length - 1)] ?? 0;
  }

  /** The first slot is chosen. */
  shift(): void {
    assert(this.#first < this.#end, "a slot to take out");
    this.#first++;
  }

  #grow(): void {
    const masks = new Int32Array(this.#masks.length * 2);
    for (let slot = this.#first; slot < this.#end; slot++) masks[slot & (masks.length - 1)] = this.at(slot);
    this.#masks = masks;
  }
}
