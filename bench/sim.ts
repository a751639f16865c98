/**
 * `npm run bench sim [--seconds N]`: how fast the simulator runs, in events a second and in simulated seconds for each second
 * of processor time (all threads, so that a busy machine does not change the figure) and of real time. Two kinds of nodes:
 * a bare replication path (a leader sends, everyone writes and syncs, a majority answers), which shows the simulator's own
 * cost, and whole nodes of the product with clients that put and get.
 */
import { crc32 } from "node:zlib";
import { parseArgs } from "node:util";
import { defaultLimits } from "../src/config/limits.ts";
import { type NodeConfig, nodeDefaults } from "../src/config/node-config.ts";
import { PutRequest, RangeRequest } from "../src/coordination/messages.ts";
import { AlthingNode } from "../src/node/node.ts";
import type { Kernels } from "../src/ports/kernels.ts";
import type { Connection } from "../src/ports/network.ts";
import type { Ports } from "../src/ports/ports.ts";
import { macrotaskHost } from "../src/sim/macrotask-host.ts";
import { runSimulation, type SimulationResult } from "../src/sim/simulate.ts";
import { EventKind, type SimHost, World } from "../src/sim/world.ts";
import { memoryEngineOpener } from "../src/storage/engine/memory-engine.ts";

const NODES = 5;
const HEARTBEAT_MS = 50;
const PAYLOAD_BYTES = 256;

const host: SimHost = macrotaskHost({ macrotask: setImmediate });

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
  const took = stopwatch();
  await world.run({ untilMs: Number.POSITIVE_INFINITY });
  report("heap, hash and drain alone", { events: world.eventCount, virtualMs: 0 }, took());
}

async function benchBare(perSecond: number, seconds: number): Promise<void> {
  let puts = 0;
  const took = stopwatch();
  const result = await runSimulation<Replica>({
    seed: 1,
    nodes: NODES,
    host,
    kernels,
    factory: { start: (ports, node) => Replica.start(ports, node) },
    isReady: (nodes) => nodes.every((node) => node.ready),
    durationMs: seconds * 1_000,
    faults: "none",
    network: calm,
    clients: perSecond === 0 ? 0 : CLIENTS,
    client: async (client) => {
      while (!client.stopping) {
        const done = await client.call(1, (leader) => leader.put(new Uint8Array(PAYLOAD_BYTES)));
        if (done.type === "answer") puts++;
        await client.sleep((client.random.unit() * 2 * CLIENTS * 1_000) / perSecond);
      }
    },
  });
  report(`${NODES} bare nodes, ${pace(puts, seconds)}`, result, took());
}

interface WholeNode {
  readonly node: AlthingNode;
  readonly stopped: Promise<unknown>;
  close(): Promise<void>;
}

/** The composition that runs in production, over the in-memory engine: any node serves, half of the requests are reads. */
async function benchWhole(perSecond: number, seconds: number): Promise<void> {
  let requests = 0;
  const took = stopwatch();
  const result = await runSimulation<WholeNode>({
    seed: 1,
    nodes: NODES,
    host,
    kernels,
    factory: {
      async start(ports, number) {
        const node = await AlthingNode.open(ports, memoryEngineOpener(ports), configOf(number));
        return { node, stopped: node.failed, close: () => node.close() };
      },
    },
    isReady: (nodes) => nodes.some(({ node }) => node.group.isReadyLeader),
    durationMs: seconds * 1_000,
    faults: "none",
    network: calm,
    clients: perSecond === 0 ? 0 : CLIENTS,
    client: async (client) => {
      while (!client.stopping) {
        const key = Uint8Array.of(client.random.below(100));
        const isPut = client.random.chance(0.5);
        const done = await client.call<unknown>(client.anyNode(), ({ node }) =>
          isPut
            ? node.coordination.put(PutRequest.make({ key, value: new Uint8Array(PAYLOAD_BYTES) }))
            : node.coordination.range(RangeRequest.make({ key })),
        );
        if (done.type === "answer") requests++;
        await client.sleep((client.random.unit() * 2 * CLIENTS * 1_000) / perSecond);
      }
    },
  });
  report(`${NODES} whole nodes, ${pace(requests, seconds)}`, result, took());
}

const CLIENTS = 10;
const calm = { resetChance: 0, corruptChance: 0, datagram: undefined } as const;

function configOf(id: number): NodeConfig {
  const members = Array.from({ length: NODES }, (_, i) => ({
    id: i + 1,
    name: `node-${i + 1}`,
    address: `node-${i + 1}:7401`,
    clientUrls: [],
  }));
  return {
    ...nodeDefaults,
    id,
    name: `node-${id}`,
    peerListen: `node-${id}:7401`,
    clientUrls: [],
    initialMembers: members,
    limits: defaultLimits,
  };
}

function pace(requests: number, seconds: number): string {
  return requests === 0 ? "idle" : `${Math.round(requests / seconds)} requests/s`;
}

interface Took {
  readonly realMs: number;
  readonly cpuMs: number;
}

function stopwatch(): () => Took {
  const startMs = performance.now();
  const start = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(start);
    return { realMs: performance.now() - startMs, cpuMs: (user + system) / 1_000 };
  };
}

function report(name: string, run: Pick<SimulationResult, "events" | "virtualMs">, { realMs, cpuMs }: Took): void {
  const rate = `${Math.round(run.events / cpuMs).toLocaleString("en")} k events/s`;
  const speed = (tookMs: number): string => `${Math.round(run.virtualMs / tookMs)} ×`;
  const paces = run.virtualMs === 0 ? "" : `${speed(cpuMs).padStart(8)} cpu ${speed(realMs).padStart(8)} real time`;
  process.stdout.write(`${name.padEnd(32)} ${rate.padStart(16)} ${paces}\n`);
}

/** Prints one line for each kind of run. */
export async function benchSim(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({ args: [...args], options: { seconds: { type: "string", default: "60" } } });
  const seconds = Number(values.seconds);
  await benchWorld();
  await benchBare(0, seconds * 5);
  await benchBare(100, seconds);
  await benchBare(1_000, seconds / 4);
  await benchWhole(0, seconds * 5);
  await benchWhole(100, seconds);
}
