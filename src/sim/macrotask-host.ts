/**
 * The simulator's host on an event loop. Many macrotasks are queued at once: between two of them the loop runs all promise
 * jobs, as between any two, and it looks for input and timers only once a batch, which is most of what a macrotask costs.
 */
import type { SimHost } from "./world.ts";

export interface MacrotaskParts {
  /** Queues a macrotask; what is queued first runs first. In Node.js: `setImmediate`. */
  readonly macrotask: (run: () => void) => unknown;
  /** Starts to report promise rejections that nobody handles; returns the way to stop. */
  readonly watchRejections?: (report: (error: unknown) => void) => () => void;
  /** Real milliseconds, for budgets of real time only; never part of a run. */
  readonly realMs?: () => number;
}

const BATCH = 128;

export function macrotaskHost(parts: MacrotaskParts): SimHost {
  const { macrotask, watchRejections, realMs } = parts;
  return {
    drain: () => new Promise((resolve) => void macrotask(resolve)),
    turns: (step) =>
      new Promise((resolve) => {
        let queued = 0;
        let over = false;
        const turn = (): void => {
          queued--;
          if (over) return; // what is left of the batch
          if (!step()) {
            over = true;
            resolve();
          } else if (queued === 0) queue();
        };
        const queue = (): void => {
          for (queued = 0; queued < BATCH; queued++) macrotask(turn);
        };
        queue();
      }),
    ...(watchRejections === undefined ? {} : { watchRejections }),
    ...(realMs === undefined ? {} : { realMs }),
  };
}
