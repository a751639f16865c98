/**
 * Tells the Observer from time to time what the node takes and has left: free disk space, size of the engine's file. Nothing
 * announces these by itself; metrics and the console show them.
 */
import { AlthingError } from "../base/errors.ts";
import type { Timer } from "../ports/clock.ts";
import type { Ports } from "../ports/ports.ts";
import type { Engine } from "../storage/engine/engine.ts";

const SAMPLE_EVERY_MS = 10_000;

export class ResourceSampler {
  readonly #ports: Pick<Ports, "clock" | "disk" | "observer">;
  readonly #engine: Pick<Engine, "size">;
  #timer: Timer | undefined;
  #closed = false;

  /** Samples at once, and then every ten seconds until `close`, which has to come before the engine's. */
  constructor(ports: Pick<Ports, "clock" | "disk" | "observer">, engine: Pick<Engine, "size">) {
    this.#ports = ports;
    this.#engine = engine;
    this.#sample();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #sample(): void {
    this.#timer = this.#ports.clock.timer(SAMPLE_EVERY_MS, () => this.#sample());
    this.#ports.disk.freeBytes().then(
      (freeBytes) => this.#tell(freeBytes),
      (error: unknown) => {
        if (!(error instanceof AlthingError)) throw error;
        this.#tell(undefined); // a disk that cannot say it: the log finds out what that means
      },
    );
  }

  #tell(diskFreeBytes: number | undefined): void {
    if (this.#closed) return;
    const { fileBytes, usedBytes } = this.#engine.size();
    this.#ports.observer.observe({
      type: "resources",
      engine: "meta",
      engineFileBytes: fileBytes,
      engineUsedBytes: usedBytes,
      diskFreeBytes,
    });
  }
}
