/**
 * Handshakes that failed. A peer that is set up wrongly dials again and again: the log is told once in a while, the status
 * as long as it lasts.
 */

const TELL_AGAIN_MS = 60_000;
/** Longer than the longest pause between two attempts to dial. */
const LASTS_MS = 5_000;
/** What a peer says is its own: the list must not grow by it. */
const REASONS_MAX = 16;

export class Refusals {
  readonly #reasons = new Map<string, { toldMs: number; lastMs: number }>();

  /** Returns true if the log should be told. */
  note(why: string, nowMs: number): boolean {
    const known = this.#reasons.get(why);
    if (known !== undefined) {
      known.lastMs = nowMs;
      if (nowMs - known.toldMs < TELL_AGAIN_MS) return false;
      known.toldMs = nowMs;
      return true;
    }
    if (this.#reasons.size >= REASONS_MAX) this.#reasons.delete(this.#oldest());
    this.#reasons.set(why, { toldMs: nowMs, lastMs: nowMs });
    return true;
  }

  /** Why peers are being refused, or refuse this node, just now. */
  current(nowMs: number): readonly string[] {
    return [...this.#reasons].filter(([, { lastMs }]) => nowMs - lastMs < LASTS_MS).map(([why]) => why);
  }

  #oldest(): string {
    let oldest = "";
    let oldestMs = Number.POSITIVE_INFINITY;
    for (const [why, { lastMs }] of this.#reasons) if (lastMs < oldestMs) [oldest, oldestMs] = [why, lastMs];
    return oldest;
  }
}
