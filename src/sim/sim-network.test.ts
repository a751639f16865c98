import { describe, expect, it } from "vitest";
import { nodeSimHost } from "../../test/sim/sim-host.ts";
import type { Connection } from "../ports/network.ts";
import { calmNetwork, type NetworkOptions, SimNetwork } from "./sim-network.ts";
import { SimProcess } from "./sim-process.ts";
import { EventKind, World } from "./world.ts";

class End {
  readonly got: number[] = [];
  readonly closed: string[] = [];
  readonly connection: Connection;

  constructor(connection: Connection) {
    this.connection = connection;
    connection.onFrame = (frame) => {
      expect(this.closed).toEqual([]); // N2: no frame after the close
      this.got.push(frame[0] ?? -1);
    };
    connection.onClose = (reason) => this.closed.push(reason);
  }
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

async function make(seed = 1, options: Partial<NetworkOptions> = {}) {
  const world = new World(seed, nodeSimHost);
  const network = new SimNetwork(world, { ...calmNetwork, ...options });
  const a = new SimProcess(1, 0);
  const b = new SimProcess(2, 0);
  network.powerOn(1);
  network.powerOn(2);
  const ends: { a: End | undefined; b: End | undefined } = { a: undefined, b: undefined };
  world.schedule(b, 0, EventKind.boot, 0, () => {
    void network.port(b).listen("b:1", (connection) => {
      ends.b = new End(connection);
    });
  });
  world.schedule(a, 1, EventKind.boot, 0, () => {
    void network
      .port(a)
      .dial("b:1")
      .then((connection) => {
        ends.a = new End(connection);
      });
  });
  await world.run({ untilMs: 100, until: () => ends.a !== undefined && ends.b !== undefined });
  if (ends.a === undefined || ends.b === undefined) throw new Error("not connected");
  const run = (ms: number) => world.run({ untilMs: world.nowMs + ms });
  const later = (ms: number, work: () => void) => world.schedule(undefined, ms, EventKind.fault, 0, work);
  const send = (end: End, value: number) => end.connection.send(Uint8Array.of(value));
  return { world, network, a, b, near: ends.a, far: ends.b, run, later, send };
}

describe("SimNetwork", () => {
  it("N1: frames arrive in order, both ways, with a delay", async () => {
    const { near, far, run, later, send, world } = await make();
    for (const i of numbers(50)) {
      later(i / 10, () => {
        send(near, i);
        send(far, 100 + i);
      });
    }
    const before = world.nowMs;
    await run(1_000);
    expect(far.got).toEqual(numbers(50));
    expect(near.got).toEqual(numbers(50).map((i) => i + 100));
    expect(world.nowMs).toBeGreaterThan(before);
  });

  it("frames sent and changed afterwards in the same turn are taken as they are at its end, and then copied", async () => {
    const { near, far, run, later } = await make();
    const frame = Uint8Array.of(1);
    later(1, () => {
      near.connection.send(frame);
      frame[0] = 2;
    });
    later(1.01, () => {
      frame[0] = 3;
    });
    await run(100);
    expect(far.got).toEqual([2]);
  });

  it("N2: close() tells both ends once, after what was sent before it", async () => {
    const { near, far, run, later, send } = await make();
    later(1, () => {
      send(near, 1);
      near.connection.close();
      near.connection.close();
      send(near, 2);
    });
    await run(100);
    expect(far.got).toEqual([1]);
    expect(near.closed).toEqual(["closed here"]);
    expect(far.closed).toEqual(["closed by peer"]);
  });

  it("N1: a short cut delays the frames, a long one resets the connection", async () => {
    const short = await make();
    short.network.topology.cut(1, 2);
    for (const i of numbers(5)) short.later(i, () => short.send(short.near, i));
    await short.run(1_000);
    expect(short.far.got).toEqual([]);
    short.network.topology.heal(1, 2);
    await short.run(1_000);
    expect(short.far.got).toEqual(numbers(5));

    const long = await make();
    long.network.topology.cut(1, 2);
    long.later(1, () => long.send(long.near, 1));
    await long.run(10_000);
    long.network.topology.heal(1, 2);
    await long.run(1_000);
    expect(long.far.got).toEqual([]);
    expect(long.far.closed).toEqual(["timed out"]);
    expect(long.near.closed).toEqual(["timed out"]);
  });

  it("a one-way cut stops one direction only", async () => {
    const { near, far, network, run, later, send } = await make();
    network.topology.cut(1, 2);
    later(1, () => {
      send(near, 1);
      send(far, 2);
    });
    await run(1_000);
    expect(far.got).toEqual([]);
    expect(near.got).toEqual([2]);
  });

  it("overlapping cuts heal when the last one ends", async () => {
    const { far, near, network, run, later, send } = await make();
    network.topology.cut(1, 2);
    network.topology.cut(1, 2);
    later(1, () => send(near, 1));
    await run(100);
    network.topology.heal(1, 2);
    await run(500);
    expect(far.got).toEqual([]);
    network.topology.heal(1, 2);
    await run(500);
    expect(far.got).toEqual([1]);
  });

  it("a clog delays everything until it ends", async () => {
    const { far, near, network, run, later, send, world } = await make();
    network.topology.clog(1, 2, world.nowMs + 2_000);
    later(1, () => send(near, 1));
    await run(1_900);
    expect(far.got).toEqual([]);
    await run(200);
    expect(far.got).toEqual([1]);
  });

  it("a killed process: its kernel tells the peer; N3: the dead gets nothing", async () => {
    const { near, far, network, b, run, later, send } = await make();
    later(1, () => send(near, 1));
    later(1.01, () => {
      b.kill("test");
      network.processDied(b, false);
    });
    await run(1_000);
    expect(near.closed).toEqual(["reset by peer"]);
    expect(far.got).toEqual([]);
    expect(far.closed).toEqual([]);
  });

  it("a machine without power leaves a half-open connection until it is up again and is written to", async () => {
    const { near, network, b, run, later, send } = await make();
    b.kill("test");
    network.processDied(b, true);
    await run(5_000);
    expect(near.closed).toEqual([]);
    expect(near.connection.bufferedBytes).toBe(0);
    later(1, () => send(near, 1));
    await run(5_000);
    expect(near.closed).toEqual([]); // it wrote, and nobody answers
    network.powerOn(2);
    await run(1_000);
    expect(near.closed).toEqual(["reset by peer"]);
  });

  it("a paused process keeps its connections; frames wait for it, and count as buffered beyond the window", async () => {
    const { near, far, b, run, later, world, send } = await make(1, { windowBytes: 10 });
    b.pause();
    for (const i of numbers(30)) later(i, () => send(near, i));
    await run(5_000);
    expect(far.got).toEqual([]);
    expect(near.connection.bufferedBytes).toBe(20);
    world.resume(b);
    await run(100);
    expect(far.got).toEqual(numbers(30));
    expect(near.connection.bufferedBytes).toBe(0);
  });

  it("resets in the middle of a turn's frames deliver a prefix, and close both ends", async () => {
    const counts = new Set<number>();
    for (let seed = 0; seed < 30; seed++) {
      const { near, far, run, later, send } = await make(seed, { resetChance: 1 });
      later(1, () => {
        for (const i of numbers(5)) send(near, i);
      });
      await run(100);
      expect(far.got).toEqual(numbers(far.got.length));
      expect(near.closed).toHaveLength(1);
      expect(far.closed).toHaveLength(1);
      counts.add(far.got.length);
    }
    expect(counts.size).toBeGreaterThan(2);
  });

  it("a flipped byte is caught by the checksum: the receiver closes, nothing wrong arrives", async () => {
    const { near, far, run, later, send } = await make(3, { corruptChance: 1 });
    later(1, () => send(near, 1));
    await run(100);
    expect(far.closed).toEqual(["checksum mismatch"]);
    expect(near.closed).toEqual(["reset by peer"]);
    expect(far.got.length).toBeLessThan(2);
  });

  it("datagram mode drops, repeats and reorders, but not the handshake", async () => {
    const options = { datagram: { dropChance: 0.2, duplicateChance: 0.2, reorderChance: 0.2 }, reliableFrames: 3 };
    const { near, far, run, later, send } = await make(1, options);
    for (const i of numbers(200)) later(i / 2, () => send(near, i));
    await run(5_000);
    expect(far.got.slice(0, 3)).toEqual([0, 1, 2]);
    const distinct = new Set(far.got);
    expect(distinct.size).toBeLessThan(200); // dropped
    expect(far.got.length).toBeGreaterThan(distinct.size); // repeated
    expect(far.got).not.toEqual([...far.got].sort((x, y) => x - y)); // reordered
    expect(far.closed).toEqual([]);
  });

  it("datagram mode spares the frames that are not its own", async () => {
    const applies = (frame: Uint8Array): boolean => (frame[0] ?? 0) % 2 === 1;
    const datagram = { dropChance: 1, duplicateChance: 0, reorderChance: 0, applies };
    const { near, far, run, later, send } = await make(1, { datagram, reliableFrames: 0 });
    for (const i of numbers(10)) later(i, () => send(near, i));
    await run(1_000);
    expect(far.got).toEqual([0, 2, 4, 6, 8]);
  });

  it("dial() fails with UNREACHABLE: refused at once, or after its timeout behind a cut; or with the signal's reason", async () => {
    const { network, a, b, world, later, run } = await make();
    const outcomes: [string, string, number][] = [];
    const dial = (name: string, address: string, options = {}): void => {
      const start = world.nowMs;
      void network
        .port(a)
        .dial(address, options)
        .then(
          () => outcomes.push([name, "connected", 0]),
          (error: Error) => outcomes.push([name, error.message, Math.round((world.nowMs - start) / 100)]),
        );
    };
    later(1, () => dial("nobody", "nobody:1"));
    await run(1_000);
    network.topology.cut(1, 2);
    const controller = new AbortController();
    later(1, () => {
      dial("cut", "b:1", { timeoutMs: 2_000 });
      dial("aborted", "b:1", { signal: controller.signal });
    });
    later(500, () => controller.abort(new Error("gave up")));
    await run(3_000);
    later(1, () => dial("healed", "b:1", { timeoutMs: 8_000 }));
    later(10, () => network.topology.heal(1, 2));
    await run(3_000);
    b.kill("test");
    network.processDied(b, false);
    later(1, () => dial("dead", "b:1"));
    await run(1_000);
    expect(outcomes).toEqual([
      ["nobody", "Cannot connect to nobody:1: connection refused", 0],
      ["aborted", "gave up", 5],
      ["cut", "Cannot connect to b:1: timed out", 20],
      ["healed", "connected", 0],
      ["dead", "Cannot connect to b:1: connection refused", 0],
    ]);
  });

  it("listen() refuses a busy address, picks a free port for 0, and frees the address of the dead", async () => {
    const { network, a, b, run, later } = await make();
    const outcomes: string[] = [];
    const listen = (address: string, process: SimProcess): void => {
      void network
        .port(process)
        .listen(address, () => undefined)
        .then(
          (listener) => outcomes.push(listener.address),
          (error: Error) => outcomes.push(error.message),
        );
    };
    later(1, () => listen("b:1", a));
    later(2, () => listen("b:0", b));
    later(3, () => {
      b.kill("test");
      network.processDied(b, false);
      listen("b:1", new SimProcess(2, 1));
    });
    await run(100);
    expect(outcomes).toEqual(["Cannot listen on b:1: the address is in use", "b:49152", "b:1"]);
  });
});
