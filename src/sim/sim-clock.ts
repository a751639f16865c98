/**
 * The clocks of one process. Monotonic time starts anywhere, drifts and never jumps; wall time has an offset and jumps
 * when a fault says so. Timers run on monotonic time and fire a little late, as real ones do.
 *
 * C1. A timer fires when monotonic time has reached its target, and the callback can see that: rounding of floating
 *     point never shows an earlier time.
 * C2. Every timer moves virtual time on, so a loop of zero delays cannot stop the world.
 */
import { assert } from "../base/assert.ts";
import type { Prng } from "../base/prng.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { SimProcess } from "./sim-process.ts";
import { EventKind, type World } from "./world.ts";

/** The part of a machine's clocks that outlives its processes. Faults write it. */
export interface ClockSettings {
  /** How far monotonic time runs ahead of virtual time, in parts per million; may be negative. */
  driftPpm: number;
  /** Wall time minus true time, in milliseconds. */
  wallOffsetMs: number;
  /** Timers fire up to this late. */
  timerLatenessMs: number;
}

/** 2026-01-01T00:00:00Z: where every world's true wall time begins. */
export const WALL_EPOCH_MS = 1_767_225_600_000;
const LATENESS_LEAST_MS = 0.001;

export class SimClock implements Clock {
  readonly #world: World;
  readonly #process: SimProcess;
  readonly #settings: ClockSettings;
  readonly #prng: Prng;
  readonly #startMs: number;
  readonly #bootMs: number;
  readonly #rate: number;
  #floor = 0;

  constructor(world: World, process: SimProcess, settings: ClockSettings, prng: Prng) {
    this.#world = world;
    this.#process = process;
    this.#settings = settings;
    this.#prng = prng;
    this.#startMs = world.nowMs;
    this.#bootMs = 1 + prng.below(1_000_000); // nobody may rely on where it begins
    this.#rate = 1 + settings.driftPpm / 1_000_000;
  }

  monotonicMs(): number {
    return Math.max(this.#floor, this.#bootMs + (this.#world.nowMs - this.#startMs) * this.#rate);
  }

  wallMs(): number {
    return Math.floor(WALL_EPOCH_MS + this.#world.nowMs * this.#rate + this.#settings.wallOffsetMs);
  }

  timer(delayMs: number, callback: () => void): Timer {
    assert(delayMs < Number.POSITIVE_INFINITY, "a timer has an end", { delayMs }); // Node.js would fire at once
    if (!this.#process.alive) return { cancel: () => undefined };
    const delay = Math.max(0, delayMs);
    const target = this.monotonicMs() + delay;
    const lateness = LATENESS_LEAST_MS + this.#prng.unit() * this.#settings.timerLatenessMs;
    const event = this.#world.schedule(this.#process, delay / this.#rate + lateness, EventKind.timer, 0, () => {
      this.#floor = Math.max(this.#floor, target); // C1
      callback();
    });
    return {
      cancel: () => {
        event.run = undefined;
      },
    };
  }

  afterTurn(callback: () => void): void {
    if (this.#process.alive) this.#world.afterTurn(this.#process, callback);
  }
}
