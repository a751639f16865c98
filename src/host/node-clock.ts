/** The machine's clocks. */
import type { Clock, Timer } from "../ports/clock.ts";
import { Turn } from "./turn.ts";

/** The longest delay `setTimeout` keeps; a longer one would fire at once. About 24.8 days. */
const TIMEOUT_MS_MAX = 0x7fff_ffff;

export class NodeClock implements Clock {
  readonly #turn: Turn;

  constructor(turn: Turn = new Turn()) {
    this.#turn = turn;
  }

  monotonicMs(): number {
    return performance.now();
  }

  wallMs(): number {
    return Date.now();
  }

  /** Timers do not keep the process alive: its listeners and connections do. */
  timer(delayMs: number, callback: () => void): Timer {
    return new NodeTimer(performance.now() + Math.max(0, delayMs), callback);
  }

  afterTurn(callback: () => void): void {
    this.#turn.after(callback);
  }
}

/** libuv rounds to milliseconds and may fire a fraction early; the port promises "not before", so the rest is waited for. */
class NodeTimer implements Timer {
  readonly #dueMs: number;
  readonly #callback: () => void;
  #timeout: NodeJS.Timeout;

  constructor(dueMs: number, callback: () => void) {
    this.#dueMs = dueMs;
    this.#callback = callback;
    this.#timeout = this.#arm();
  }

  cancel(): void {
    clearTimeout(this.#timeout);
  }

  #arm(): NodeJS.Timeout {
    const leftMs = Math.min(Math.max(0, Math.ceil(this.#dueMs - performance.now())), TIMEOUT_MS_MAX);
    return setTimeout(() => this.#fire(), leftMs).unref();
  }

  #fire(): void {
    if (performance.now() < this.#dueMs) this.#timeout = this.#arm();
    else this.#callback();
  }
}
