/**
 * Notices a disk that hangs, and one that failed while nothing was being written.
 * A leader whose disk hangs resigns: the others would wait for it for ever, as its heartbeats go on.
 */
import type { Pump } from "./pump.ts";

export class DiskWatchdog {
  readonly #pump: Pump;
  #stalled = false;

  constructor(pump: Pump) {
    this.#pump = pump;
  }

  check(): void {
    const { settings, ports } = this.#pump;
    const { wal } = settings;
    if (!this.#pump.isFlushing) {
      // An error beside the batches (the next segment, a folder) is told by the next flush only, and an idle node has none.
      wal.flush().catch((error: unknown) => this.#pump.failed(error));
    }
    const stalled = wal.oldestOpenMs() > settings.timings.diskStallMs;
    if (stalled === this.#stalled) return;
    this.#stalled = stalled;
    ports.observer.observe({
      type: stalled ? "disk-stalled" : "disk-recovered",
      level: "warn",
      group: settings.group,
    });
    this.#pump.step({ type: "disk", stalled });
  }
}
