/**
 * The simulator on a small program of its own: ping-pong over connections, a counter on disk, promises everywhere. Tested
 * here: a seed repeats bit for bit, seeds differ, crashes keep what was synced, planted bugs are found, failures say how to
 * replay them.
 */
import { describe, expect, it } from "vitest";
import { assert } from "../../src/base/assert.ts";
import { AlthingError } from "../../src/base/errors.ts";
import type { Connection } from "../../src/ports/network.ts";
import type { Ports } from "../../src/ports/ports.ts";
import { sleep } from "../../src/ports/clock.ts";
import type { Fault } from "../../src/sim/faults.ts";
import type { NodeFactory } from "../../src/sim/sim-cluster.ts";
import { checkReplay, runSimulation, type Scenario } from "../../src/sim/simulate.ts";
import { SimulationFailure } from "../../src/sim/trace.ts";
import { nodeSimHost } from "./sim-host.ts";

interface CounterOptions {
  readonly skipSync?: boolean;
  readonly readsWallOutside?: boolean;
  readonly ignoresFailedSync?: boolean;
}

/** Counts on disk, one durable step at a time, and pings its neighbours for company. */
class Counter {
  readonly stopped: Promise<unknown>;
  value = 0;
  pongs = 0;
  readonly #ports: Ports;
  readonly #options: CounterOptions;
  #stop: (why: unknown) => void = () => undefined;
  #queue: Promise<unknown> = Promise.resolve();
  readonly #connections = new Set<Connection>();
  #closed = false;

  private constructor(ports: Ports, options: CounterOptions) {
    this.#ports = ports;
    this.#options = options;
    this.stopped = new Promise((resolve) => {
      this.#stop = resolve;
    });
  }

  static async start(ports: Ports, node: number, nodes: number, options: CounterOptions): Promise<Counter> {
    const counter = new Counter(ports, options);
    await ports.disk.lock("LOCK");
    counter.value = await counter.#load();
    await ports.network.listen(`n${node}:1`, (connection) => counter.#serve(connection));
    for (let peer = 1; peer <= nodes; peer++) if (peer !== node) void counter.#ping(`n${peer}:1`);
    ports.observer.observe({ type: "counter-started", value: counter.value });
    return counter;
  }

  /** One more; resolves with the new value when it is durable. */
  increment(): Promise<number> {
    const next = this.#queue.then(() => this.#write(this.value + 1));
    this.#queue = next.catch(() => undefined);
    return next;
  }

  close(): Promise<void> {
    this.#closed = true;
    for (const connection of this.#connections) connection.close();
    return Promise.resolve();
  }

  async #load(): Promise<number> {
    const file = await this.#ports.disk.open("count", { create: false });
    if (file === undefined) return 0;
    let best = 0;
    const slots = new Uint8Array(1024);
    await file.read(slots, 0);
    for (const at of [0, 512]) {
      const view = new DataView(slots.buffer, at);
      const sum = this.#ports.kernels.crc32(slots.subarray(at, at + 4));
      if (view.getUint32(4, true) === sum) best = Math.max(best, view.getUint32(0, true));
    }
    await file.close();
    return best;
  }

  /** Two slots in turn, so that a torn write harms the older value only. */
  async #write(value: number): Promise<number> {
    const slot = new Uint8Array(8);
    const view = new DataView(slot.buffer);
    view.setUint32(0, value, true);
    view.setUint32(4, this.#ports.kernels.crc32(slot.subarray(0, 4)), true);
    try {
      const file = await this.#ports.disk.open("count", { create: true });
      assert(file !== undefined, "created");
      await file.write([slot], (value % 2) * 512);
      if (this.#options.skipSync !== true) {
        await file.sync();
        await this.#ports.disk.syncDirectory("");
      }
      await file.close();
    } catch (error) {
      if (this.#options.ignoresFailedSync !== true) this.#stop(error);
      throw error;
    }
    this.value = value;
    return value;
  }

  #serve(connection: Connection): void {
    this.#connections.add(connection);
    connection.onFrame = (frame) => {
      void Promise.resolve()
        .then(() => sleep(this.#ports.clock, this.#ports.random.unit()))
        .then(() => connection.send(frame));
    };
    connection.onClose = () => this.#connections.delete(connection);
  }

  async #ping(address: string): Promise<void> {
    while (!this.#closed) {
      try {
        await this.#pingOnce(await this.#ports.network.dial(address, { timeoutMs: 500 }));
      } catch {
        // dial again
      }
      await sleep(this.#ports.clock, 50);
    }
  }

  #pingOnce(connection: Connection): Promise<void> {
    this.#connections.add(connection);
    const payload = new Uint8Array(16);
    const ping = (): void => {
      payload.set(this.#ports.random.bytes(8));
      if (this.#options.readsWallOutside === true) new DataView(payload.buffer).setFloat64(8, performance.now());
      this.#ports.clock.afterTurn(() => connection.send(payload));
    };
    connection.onFrame = () => {
      this.pongs++;
      this.#ports.clock.timer(20, ping);
    };
    ping();
    return new Promise((resolve) => {
      connection.onClose = () => {
        this.#connections.delete(connection);
        resolve();
      };
    });
  }
}

function factory(nodes: number, options: CounterOptions = {}): NodeFactory<Counter> {
  return { start: (ports, node) => Counter.start(ports, node, nodes, options) };
}

/** Each client increments one node's counter and remembers what was acknowledged. */
function scenario(
  seed: number,
  options: CounterOptions = {},
  more: Partial<Scenario<Counter>> = {},
): Scenario<Counter> {
  const nodes = 3;
  const acknowledged = new Map<number, number>();
  return {
    seed,
    nodes,
    host: nodeSimHost,
    factory: factory(nodes, options),
    durationMs: 5_000,
    clients: 3,
    faults: {
      meanGapMs: 300,
      kinds: ["crash", "pause", "partition", "clog", "reset", "clock-jump", "slow-disk", "stalled-disk", "sync-error"],
    },
    client: async (client) => {
      const node = client.number;
      while (!client.stopping) {
        const result = await client.call(node, (counter) => counter.increment(), { timeoutMs: 1_000 });
        if (result.type === "answer") {
          assert(result.value > (acknowledged.get(node) ?? 0), "an acknowledged count is never lost", {
            node,
            got: result.value,
            acknowledged: acknowledged.get(node),
          });
          acknowledged.set(node, result.value);
          client.progress();
        }
        await client.sleep(client.random.below(20));
      }
    },
    isReady: (counters) => counters.every((counter) => counter.pongs > 0),
    check: ({ nodes: counters }) => {
      assert(counters.length === nodes, "all are up");
      for (const [i, counter] of counters.entries()) {
        assert(counter.value >= (acknowledged.get(i + 1) ?? 0), "the end holds what was acknowledged");
      }
    },
    ...more,
  };
}

describe("the simulator", () => {
  it("repeats a seed bit for bit, promises, network, disk and faults included", async () => {
    const result = await checkReplay(() => scenario(1));
    expect(result.events).toBeGreaterThan(2_000);
    expect(result.hash).toMatch(/^[0-9a-f]{16}$/);
  });

  it("gives every seed a run of its own", async () => {
    const hashes = new Set<string>();
    for (let seed = 1; seed <= 5; seed++)
      hashes.add((await runSimulation(scenario(seed, {}, { durationMs: 500 }))).hash);
    expect(hashes.size).toBe(5);
  });

  it("notices a node that looks at the real clock", async () => {
    await expect(checkReplay(() => scenario(2, { readsWallOutside: true }))).rejects.toThrow(/R1: the same seed/);
  });

  it("passes a correct program over many seeds, and the faults fired", async () => {
    const fired = new Map<string, number>();
    for (let seed = 100; seed < 115; seed++) {
      const { trace } = await runSimulation(scenario(seed));
      for (const [type, count] of trace.counts) fired.set(type, (fired.get(type) ?? 0) + count);
    }
    const wanted = [
      "crash",
      "pause",
      "partition",
      "clog",
      "reset",
      "clock-jump",
      "slow-disk",
      "stalled-disk",
      "sync-error",
    ];
    for (const kind of wanted) expect(fired.get(`fault-${kind}`) ?? 0, kind).toBeGreaterThan(0);
    expect(fired.get("sync-failed") ?? 0).toBeGreaterThan(0);
  });

  it("finds a skipped sync within a few seeds, and says how to replay it", async () => {
    let failure: unknown;
    for (let seed = 1; seed <= 30 && failure === undefined; seed++) {
      const options = { replayOptions: "--nodes 3" };
      await runSimulation(scenario(seed, { skipSync: true }, options)).catch((error: unknown) => {
        failure = error;
      });
    }
    expect(failure).toBeInstanceOf(SimulationFailure);
    const { message, seed } = failure as SimulationFailure; // checked above
    expect(message).toMatch(/an acknowledged count is never lost|the end holds what was acknowledged/);
    expect(message).toContain(`npx althing sim --seed ${seed} --nodes 3`);
    expect(message).toContain('"type":"killed"');
  });

  it("finds a node that goes on after a failed sync (L1)", async () => {
    const fault: Fault = { type: "sync-error", atMs: 500, node: 1, downMs: 100 };
    const run = runSimulation(scenario(1, { ignoresFailedSync: true }, { faults: [fault] }));
    await expect(run).rejects.toThrow(/L1: the node went on/);
  });

  it("fails a run whose node reports an error (R2), rejects unhandled (W4), or never gets ready (R3)", async () => {
    const broken = (start: (ports: Ports) => Promise<Counter>): Promise<unknown> =>
      runSimulation(scenario(1, {}, { factory: { start }, faults: "none", clients: 0, readyWithinMs: 2_000 }));
    const idle = (ports: Ports): Promise<Counter> => Counter.start(ports, 1, 1, {});
    await expect(
      broken(async (ports) => {
        ports.observer.observe({ type: "bad-news", level: "error" });
        return idle(ports);
      }),
    ).rejects.toThrow(/R2: the node reported an error.*bad-news/);
    await expect(broken(() => new Promise(() => undefined))).rejects.toThrow(
      /R3: waited 2000 ms for the cluster to be ready/,
    );
    await expect(
      broken(() => Promise.reject(new AlthingError("DATA_NEWER", "Cannot open the data folder: newer"))),
    ).rejects.toThrow(/newer/);
  });

  it("an empty disk after a wipe, and a flipped bit after rot, are what the node finds", async () => {
    const starts: number[] = [];
    const faults: Fault[] = [
      { type: "wipe", atMs: 1_000, node: 1, downMs: 100 },
      { type: "rot", atMs: 2_000, node: 1, prefix: "count", downMs: 100 },
      { type: "wipe", atMs: 3_000, node: 2, downMs: 100 }, // G1: one of three is the most
    ];
    const { trace } = await runSimulation(
      scenario(
        3,
        {},
        {
          faults,
          check: () => undefined,
          client: async (client) => {
            while (!client.stopping) {
              if ((await client.call(client.number, (counter) => counter.increment())).type === "answer")
                client.progress();
              await client.sleep(5);
            }
          },
          observe: (node, event) => {
            if (node === 1 && event.type === "counter-started") starts.push(Number(event["value"]));
          },
        },
      ),
    );
    expect(starts.slice(0, 2)).toEqual([0, 0]); // the second start is after the wipe
    expect(trace.counts.get("rotted")).toBe(1);
    expect(trace.counts.get("fault-skipped")).toBe(1);
  });

  it("closes nodes in an orderly way at the end, and a node that cannot close fails the run", async () => {
    const stuck: NodeFactory<Counter> = {
      start: async (ports, node) => {
        const counter = await Counter.start(ports, node, 3, {});
        counter.close = () => new Promise(() => undefined);
        return counter;
      },
    };
    const run = runSimulation(scenario(1, {}, { factory: stuck, faults: "none", durationMs: 100 }));
    await expect(run).rejects.toThrow(/for the nodes to close/);
  });
});
