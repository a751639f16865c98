/** A small program for tests of the simulator: counts in a file, one new file and a rename a step, in a folder of its own. */
import { nodeHost } from "../../sim.ts";
import type { Disk } from "../../ports/disk.ts";
import type { Ports } from "../../ports/ports.ts";
import type { SimHost } from "../world.ts";
import type { SimNode } from "../sim-cluster.ts";
import type { SimulationPlan } from "../simulate.ts";

/** What it may forget: each is a bug that a kill at the right write, and only there, shows. */
export type Forgets = "nothing" | "syncDirectory" | "sync";

export class FileCounter implements SimNode {
  value: number;
  readonly stopped: Promise<unknown>;
  readonly #disk: Disk;
  readonly #forgets: Forgets;
  #last: Promise<unknown> = Promise.resolve();
  #stop: (why: unknown) => void = () => undefined;

  private constructor(disk: Disk, forgets: Forgets, value: number) {
    this.#disk = disk;
    this.#forgets = forgets;
    this.value = value;
    this.stopped = new Promise((resolve) => {
      this.#stop = resolve;
    });
  }

  static async open({ disk }: Ports, forgets: Forgets): Promise<FileCounter> {
    await disk.makeFolder("data");
    await disk.syncDirectory("");
    const file = await disk.open("data/count", { create: false });
    if (file === undefined) return new FileCounter(disk, forgets, 0);
    const bytes = new Uint8Array(await file.length());
    await file.read(bytes, 0);
    await file.close();
    return new FileCounter(disk, forgets, Number(new TextDecoder().decode(bytes)));
  }

  /** One step after the other, whoever has given up waiting. */
  increment(): Promise<number> {
    const step = this.#last.then(() => this.#increment());
    this.#last = step.catch(() => undefined);
    return step;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #increment(): Promise<number> {
    const next = this.value + 1;
    try {
      const file = await this.#disk.open("data/count.new", { create: true });
      if (file === undefined) throw new Error("Cannot count: no file");
      await file.truncate(0);
      await file.write([new TextEncoder().encode(`${next}`)], 0);
      if (this.#forgets !== "sync") await file.sync();
      await file.close();
      await this.#disk.rename("data/count.new", "data/count");
      if (this.#forgets !== "syncDirectory") await this.#disk.syncDirectory("data");
    } catch (error) {
      this.#stop(error);
      throw error;
    }
    this.value = next;
    return next;
  }
}

export const host: SimHost = nodeHost;

/** One node, one client; an acknowledged count never goes back. */
export function counterPlan(
  forgets: Forgets,
  more: Partial<SimulationPlan<FileCounter>> = {},
): SimulationPlan<FileCounter> {
  let acknowledged = 0;
  return {
    nodes: 1,
    clients: 1,
    durationMs: 400,
    factory: { start: (ports) => FileCounter.open(ports, forgets) },
    faults: { kinds: ["crash", "pause", "slow-disk", "clock-jump"], meanGapMs: 100, electionMs: 50, swarm: false },
    client: async (client) => {
      while (!client.stopping) {
        const result = await client.call(1, (counter) => counter.increment(), { timeoutMs: 200 });
        if (result.type === "answer") {
          if (result.value <= acknowledged) throw new Error(`count ${acknowledged} was acknowledged and lost`);
          acknowledged = result.value;
          client.progress();
        }
        await client.sleep(5);
      }
    },
    ...more,
  };
}
