import { describe, expect, it } from "vitest";
import { nodeSimHost } from "../../test/sim/sim-host.ts";
import { Prng } from "../base/prng.ts";
import { SimClock } from "./sim-clock.ts";
import { SimProcess } from "./sim-process.ts";
import { EventKind, World } from "./world.ts";

const settings = { driftPpm: 0, wallOffsetMs: 0, timerLatenessMs: 0 };

function clockOf(world: World, process: SimProcess, drift = 0): SimClock {
  return new SimClock(world, process, { ...settings, driftPpm: drift }, new Prng(1));
}

describe("World", () => {
  it("W1: runs events in the order of time and stops the clock at the limit", async () => {
    const world = new World(1, nodeSimHost);
    const seen: number[] = [];
    for (const at of [30, 10, 20, 99]) world.schedule(undefined, at, EventKind.timer, 0, () => seen.push(world.nowMs));
    expect(await world.run({ untilMs: 50 })).toBe("time");
    expect(seen).toEqual([10, 20, 30]);
    expect(world.nowMs).toBe(50);
    expect(await world.run({ untilMs: 1_000 })).toBe("idle");
    expect(seen).toEqual([10, 20, 30, 99]);
  });

  it("W1: the order of events at one time is drawn from the seed", async () => {
    const orders = new Set<string>();
    for (let seed = 0; seed < 20; seed++) {
      const world = new World(seed, nodeSimHost);
      let order = "";
      for (const name of "abc") world.schedule(undefined, 1, EventKind.timer, 0, () => (order += name));
      await world.run({ untilMs: 2 });
      orders.add(order);
    }
    expect(orders.size).toBeGreaterThan(3);
  });

  it("W2: promise jobs run dry between two events, however deep and detached", async () => {
    const world = new World(1, nodeSimHost);
    let depth = 0;
    let seen = -1;
    world.schedule(undefined, 1, EventKind.timer, 0, () => {
      void (async () => {
        for (let i = 0; i < 500; i++) {
          await Promise.resolve();
          queueMicrotask(() => depth++);
        }
      })();
    });
    world.schedule(undefined, 1, EventKind.timer, 0, () => undefined);
    world.schedule(undefined, 2, EventKind.timer, 0, () => {
      seen = depth;
    });
    await world.run({ untilMs: 3 });
    expect(seen).toBe(500);
  });

  it("W4: an exception, a rejection or fail() ends the run", async () => {
    const thrown = new World(1, nodeSimHost);
    let later = false;
    thrown.schedule(new SimProcess(2, 0), 1, EventKind.timer, 0, () => {
      throw new Error("broken");
    });
    thrown.schedule(undefined, 2, EventKind.timer, 0, () => {
      later = true;
    });
    await expect(thrown.run({ untilMs: 9 })).rejects.toThrow("broken");
    expect(later).toBe(false);
    expect(thrown.failure?.node).toBe(2);

    const failed = new World(1, nodeSimHost);
    failed.schedule(undefined, 1, EventKind.timer, 0, () => failed.fail(new Error("reported"), 3));
    await expect(failed.run({ untilMs: 9 })).rejects.toThrow("reported");
  });

  it("afterTurn() runs after the promise jobs of the input, before the next event", async () => {
    const world = new World(1, nodeSimHost);
    const process = new SimProcess(1, 0);
    const clock = clockOf(world, process);
    const order: string[] = [];
    world.schedule(process, 1, EventKind.timer, 0, () => {
      clock.afterTurn(() => order.push("turn"));
      void Promise.resolve().then(() => order.push("job"));
      order.push("input");
    });
    world.schedule(process, 1.5, EventKind.timer, 0, () => order.push("next"));
    await world.run({ untilMs: 3 });
    expect(order).toEqual(["input", "job", "turn", "next"]);
  });

  it("afterTurn() from turn work belongs to the next turn, so a loop of turns does not stop time", async () => {
    const world = new World(1, nodeSimHost);
    const clock = clockOf(world, new SimProcess(1, 0));
    let turns = 0;
    const again = (): void => {
      turns++;
      clock.afterTurn(again);
    };
    clock.afterTurn(again);
    expect(await world.run({ untilMs: 1 })).toBe("time");
    expect(turns).toBeGreaterThan(10);
  });

  it("P1: a dead life never runs again, not even its turn work", async () => {
    const world = new World(1, nodeSimHost);
    const process = new SimProcess(1, 0);
    const clock = clockOf(world, process);
    const seen: string[] = [];
    clock.timer(5, () => seen.push("timer"));
    clock.afterTurn(() => seen.push("turn"));
    process.kill("test");
    clock.timer(5, () => seen.push("new timer"));
    await world.run({ untilMs: 100 });
    expect(seen).toEqual([]);
  });

  it("P2: a paused life holds its events and gets them in order", async () => {
    const world = new World(1, nodeSimHost);
    const process = new SimProcess(1, 0);
    const seen: [string, number][] = [];
    for (const at of [10, 20, 30]) {
      world.schedule(process, at, EventKind.timer, 0, () => seen.push([`t${at}`, world.nowMs]));
    }
    world.schedule(undefined, 5, EventKind.fault, 0, () => process.pause());
    world.schedule(undefined, 25, EventKind.fault, 0, () => world.resume(process));
    await world.run({ untilMs: 100 });
    expect(seen).toEqual([
      ["t10", 25],
      ["t20", 25],
      ["t30", 30],
    ]);
  });
});

describe("SimClock", () => {
  it("C1: a timer's callback sees that its time has come, at any drift", async () => {
    const world = new World(1, nodeSimHost);
    for (const drift of [-500, -1, 0, 1, 500]) {
      const clock = clockOf(world, new SimProcess(1, 0), drift);
      for (const delay of [0, 0.1, 1 / 3, 7, 1000.7]) {
        const due = clock.monotonicMs() + delay;
        clock.timer(delay, () => expect(clock.monotonicMs()).toBeGreaterThanOrEqual(due));
      }
    }
    await world.run({ untilMs: 5_000 });
  });

  it("C2: a loop of zero delays does not stop time", async () => {
    const world = new World(1, nodeSimHost);
    const clock = clockOf(world, new SimProcess(1, 0));
    let rounds = 0;
    const again = (): void => {
      rounds++;
      clock.timer(0, again);
    };
    again();
    expect(await world.run({ untilMs: 1 })).toBe("time");
    expect(rounds).toBeGreaterThan(10);
  });

  it("drifts, and wall time jumps while monotonic time does not", async () => {
    const world = new World(1, nodeSimHost);
    const own = { driftPpm: 1_000, wallOffsetMs: 0, timerLatenessMs: 0 };
    const clock = new SimClock(world, new SimProcess(1, 0), own, new Prng(1));
    const start = clock.monotonicMs();
    const wall = clock.wallMs();
    world.schedule(undefined, 1_000_000, EventKind.fault, 0, () => {
      own.wallOffsetMs = -3_600_000;
    });
    await world.run({ untilMs: 1_000_000 });
    expect(clock.monotonicMs() - start).toBeCloseTo(1_001_000, 3);
    expect(clock.wallMs() - wall).toBe(1_001_000 - 3_600_000);
  });

  it("a cancelled timer stays silent", async () => {
    const world = new World(1, nodeSimHost);
    const clock = clockOf(world, new SimProcess(1, 0));
    let fired = false;
    clock
      .timer(5, () => {
        fired = true;
      })
      .cancel();
    await world.run({ untilMs: 100 });
    expect(fired).toBe(false);
  });
});
