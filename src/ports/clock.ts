/** Time, as the node sees it. `host/` reads the machine's clocks; `sim/` makes time from the seed. */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds on a clock that never jumps and does not follow wall time; fractions allowed. All protocol time. */
  monotonicMs(): number;
  /** Milliseconds since the epoch, for people to read. May jump; no decision of a protocol depends on it. */
  wallMs(): number;
  /** Calls back once, not before `delayMs` have passed. */
  timer(delayMs: number, callback: () => void): Timer;
  /** Calls back once, after the input that is being handled in this turn: the place where a turn's work is batched. */
  afterTurn(callback: () => void): void;
}

/** A promise for `delayMs` from now; rejects with the signal's reason when it aborts. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = clock.timer(delayMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    const onAbort = (): void => {
      timer.cancel();
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
