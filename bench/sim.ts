/**
 * `npm run bench sim [--seconds N]`: how fast the simulator runs, in events a second and in simulated seconds a second, on
 * one core. The nodes are a bare replication path (a leader sends, everyone writes and syncs, a majority answers), so the
 * figure is that of the simulator: its heap, drains, network and disk.
 */
import { crc32 } from "node:zlib";
import { parseArgs } from "node:util";
import type { Kernels } from "../src/ports/kernels.ts";
import type { Connection } from "../src/ports/network.ts";
import type { Ports } from "../src/ports/ports.ts";
import { runSimulation } from "../src/sim/simulate.ts";
import { EventKind, type SimHost, World } from "../src/sim/world.ts";

const NODES = 5;
const HEARTBEAT_MS = 50;
const PAYLOAD_BYTES = 256;

const host: SimHost = { drain: () => new Promise((resolve) => setImmediate(resolve)) };

const kernels: Kernels = {
  crc32: (bytes, seed) => crc32(bytes, seed),
  latin1: (bytes) => Buffer.from(bytes).toString("latin1"),
};

/** Node 1 leads. A frame is a tag byte (0 heartbeat, 1 entry, 2 acknowledgement), a number and a payload. */
class Replica {
  readonly #ports: Ports;
  readonly #append: (payload: Uint8Array) => Promise<void>;
  readonly #followers: Connection[] = [];
  readonly #waiting = new Map<number, { left: number; readonly done: () => void }>();
  #next = 0;
  #closed = false;

  private constructor(ports: Ports, append: (payload: Uint8Array) => Promise<void>) {
    this.#ports = ports;
    this.#append = append;
  }

  static async start(ports: Ports, node: number): Promise<Replica> {
    const file = await ports.disk.open("log", { create: true });
    if (file === undefined) throw new Error("Cannot open the log: it was not created");
    let offset = 0;
    const append = async (payload: Uint8Array): Promise<void> => {
      const at = offset;
      offset += payload.length;
      await file.write([payload], at);
      await file.sync();
    };
    const replica = new Replica(ports, append);
    if (node === 1) {
      await ports.network.listen("leader:1", (connection) => replica.#lead(connection));
      replica.#heartbeat();
    } else {
      replica.#follow(await ports.network.dial("leader:1"));
    }
    return replica;
  }

  get ready(): boolean {
    return this.#followers.length === NODES - 1 || this.#next === -1;
  }

  put(payload: Uint8Array): Promise<void> {
    const number = this.#next++;
    const frame = new Uint8Array(5 + payload.length);
    frame[0] = 1;
    new DataView(frame.buffer).setUint32(1, number);
    frame.set(payload, 5);
    return new Promise((resolve) => {
      this.#waiting.set(number, { left: NODES >> 1, done: resolve });
      for (const follower of this.#followers) follower.send(frame);
      void this.#append(frame);
    });
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  #lead(connection: Connection): void {
    this.#followers.push(connection);
    connection.onFrame = (frame) => {
      if (frame[0] !== 2) return;
      const number = new DataView(frame.buffer, frame.byteOffset).getUint32(1);
      const waiting = this.#waiting.get(number);
      if (waiting === undefined || --waiting.left > 0) return;
      this.#waiting.delete(number);
      waiting.done();
    };
  }

  #follow(connection: Connection): void {
    this.#next = -1;
    connection.onFrame = (frame) => {
      if (frame[0] === 0) connection.send(frame.slice());
      else void this.#append(frame).then(() => connection.send(Uint8Array.of(2, ...frame.subarray(1, 5))));
    };
  }

  #heartbeat(): void {
    if (this.#closed) return;
    for (const follower of this.#followers) follower.send(Uint8Array.of(0, 0, 0, 0, 0));
    this.#ports.clock.timer(HEARTBEAT_MS, () => this.#heartbeat());
  }
}

async function benchWorld(): Promise<void> {
  const world = new World(1, host);
  let left = 300_000;
  const again = (): void => {
    if (left-- > 0) world.schedule(undefined, 1, EventKind.timer, 0, again);
  };
  for (let i = 0; i < 50; i++) again();
  const start = performance.now();
  await world.run({ untilMs: Number.POSITIVE_INFINITY });
  report("heap, hash and drain alone", world.eventCount, 0, performance.now() - start);
}

async function benchNodes(perSecond: number, seconds: number): Promise<void> {
  const durationMs = seconds * 1_000;
  let puts = 0;
  const start = performance.now();
  const { events, virtualMs } = await runSimulation<Replica>({
    seed: 1,
    nodes: NODES,
    host,
    kernels,
    factory: { start: (ports, node) => Replica.start(ports, node) },
    isReady: (nodes) => nodes.every((node) => node.ready),
    durationMs,
    faults: "none",
    network: { resetChance: 0, corruptChance: 0, datagram: undefined },
    clients: perSecond === 0 ? 0 : 10,
    client: async (client) => {
      while (!client.stopping) {
        const result = await client.call(1, (leader) => leader.put(new Uint8Array(PAYLOAD_BYTES)));
        if (result.type === "answer") puts++;
        await client.sleep((client.random.unit() * 2 * 10_000) / perSecond);
      }
    },
  });
  const name = perSecond === 0 ? `${NODES} nodes, idle` : `${NODES} nodes, ${Math.round(puts / seconds)} puts/s`;
  report(name, events, virtualMs, performance.now() - start);
}

function report(name: string, events: number, virtualMs: number, tookMs: number): void {
  const rate = `${Math.round(events / tookMs).toLocaleString("en")} k events/s`;
  const pace = virtualMs === 0 ? "" : `${Math.round(virtualMs / tookMs)} x real time`;
  process.stdout.write(`${name.padEnd(32)} ${rate.padStart(16)} ${pace.padStart(20)}\n`);
}

/** Prints one line for each kind of run. */
export async function benchSim(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({ args: [...args], options: { seconds: { type: "string", default: "60" } } });
  const seconds = Number(values.seconds);
  await benchWorld();
  await benchNodes(0, seconds * 5);
  await benchNodes(100, seconds);
  await benchNodes(1_000, seconds / 4);
}
