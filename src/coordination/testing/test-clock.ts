/** A clock that a test moves by hand. Timers run in order of their time; turns end in microtasks. */
import type { Clock, Timer } from "../../ports/clock.ts";

interface Entry {
  readonly atMs: number;
  readonly order: number;
  readonly callback: () => void;
}

export class TestClock implements Clock {
  #nowMs = 1_000;
  wallOffsetMs = 1_700_000_000_000;
  #order = 0;
  readonly #timers = new Set<Entry>();

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs + this.wallOffsetMs;
  }

  timer(delayMs: number, callback: () => void): Timer {
    const entry: Entry = { atMs: this.#nowMs + Math.max(delayMs, 0), order: this.#order++, callback };
    this.#timers.add(entry);
    return { cancel: () => this.#timers.delete(entry) };
  }

  afterTurn(callback: () => void): void {
    queueMicrotask(callback);
  }

  get timerCount(): number {
    return this.#timers.size;
  }

  /** Lets `ms` pass: each timer that is due runs, and what it set off settles before the next one. */
  async advance(ms: number): Promise<void> {
    const end = this.#nowMs + ms;
    await settle();
    for (;;) {
      let next: Entry | undefined;
      for (const entry of this.#timers) {
        if (entry.atMs > end) continue;
        if (next === undefined || entry.atMs < next.atMs || (entry.atMs === next.atMs && entry.order < next.order)) {
          next = entry;
        }
      }
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.callback();
      await settle();
    }
    this.#nowMs = end;
    await settle();
  }
}

/** Waits until promises that need nothing but turns of the microtask queue have settled. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 60; i++) await Promise.resolve();
}
