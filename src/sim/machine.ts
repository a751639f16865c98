/**
 * One simulated machine: a disk, clocks and a place on the network that outlive the processes which run on it one after
 * the other. Boot makes a life and its ports; kill ends it.
 */
import { assert } from "../base/assert.ts";
import type { Prng } from "../base/prng.ts";
import type { Kernels } from "../ports/kernels.ts";
import type { ObservedEvent } from "../ports/observer.ts";
import type { Ports } from "../ports/ports.ts";
import { type ClockSettings, SimClock } from "./sim-clock.ts";
import type { SimDisk } from "./sim-disk.ts";
import type { SimNetwork } from "./sim-network.ts";
import { SimProcess } from "./sim-process.ts";
import { SimRandom } from "./sim-random.ts";
import type { World } from "./world.ts";

/** `process`: killed, the kernel lives on and so does the page cache. `power`: the whole machine stops at once. */
export type KillMode = "process" | "power";

export interface MachineParts {
  readonly world: World;
  readonly network: SimNetwork;
  readonly disk: SimDisk;
  readonly clock: ClockSettings;
  readonly kernels: Kernels;
  readonly prng: Prng;
  readonly observe: (node: number, event: ObservedEvent) => void;
}

export interface Life {
  readonly process: SimProcess;
  readonly ports: Ports;
}

export class Machine {
  /** From 1. */
  readonly node: number;
  readonly disk: SimDisk;
  readonly clock: ClockSettings;
  readonly #parts: MachineParts;
  #process: SimProcess | undefined;
  #lives = 0;

  constructor(node: number, parts: MachineParts) {
    this.node = node;
    this.disk = parts.disk;
    this.clock = parts.clock;
    this.#parts = parts;
  }

  /** The living process, paused or not. */
  get process(): SimProcess | undefined {
    return this.#process;
  }

  get isUp(): boolean {
    return this.#process !== undefined;
  }

  /** Lives begun so far; the count of restarts is one less. */
  get lives(): number {
    return this.#lives;
  }

  /** Starts a process and gives it its world. */
  boot(): Life {
    assert(this.#process === undefined, "one process a machine", { node: this.node });
    const { world, network, kernels, prng, observe } = this.#parts;
    const process = new SimProcess(this.node, this.#lives++);
    this.#process = process;
    const lifePrng = prng.fork(); // one draw per life: what a life draws does not shift the next one
    network.powerOn(this.node);
    const ports: Ports = {
      clock: new SimClock(world, process, this.clock, lifePrng.fork()),
      random: new SimRandom(lifePrng.fork()),
      network: network.port(process),
      disk: this.disk.port(process),
      kernels,
      observer: {
        observe: (event) => {
          if (process.alive) observe(this.node, event);
        },
      },
    };
    return { process, ports };
  }

  /** Ends the life at this moment. Harmless on a machine that is down. */
  kill(mode: KillMode, why: string): void {
    const process = this.#process;
    if (process === undefined) return;
    this.#process = undefined;
    process.kill(why);
    if (mode === "power") this.disk.powerLost();
    else this.disk.processDied();
    this.#parts.network.processDied(process, mode === "power");
  }

  pause(): void {
    this.#process?.pause();
  }

  resume(): void {
    if (this.#process?.paused === true) this.#parts.world.resume(this.#process);
  }
}
