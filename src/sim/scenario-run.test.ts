/** Scenarios of users: shrinking, replay by position, kill points, lost folders, traces. What a run is: world.test.ts. */
import { describe, expect, it } from "vitest";
import { killAtEveryWrite, simulate } from "../sim.ts";
import type { Fault } from "./faults.ts";
import { runScenario } from "./scenario-run.ts";
import { counterPlan, FileCounter, host } from "./testing/file-counter.ts";
import { SimulationFailure } from "./trace.ts";

async function failureOf(run: Promise<unknown>): Promise<SimulationFailure> {
  const error: unknown = await run.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  if (error instanceof SimulationFailure) return error;
  throw new Error(`not a SimulationFailure: ${String(error)}`);
}

const FAULTS_LEAST = 4;

/** The first seed with some faults under which a program that forgets to sync is caught. */
async function firstFailure(shrink: boolean): Promise<SimulationFailure> {
  for (let seed = 1; seed <= 100; seed++) {
    try {
      await simulate(() => counterPlan("sync"), { seed, shrink: false });
    } catch (error) {
      if (!(error instanceof SimulationFailure)) throw error;
      if (error.faults.length < FAULTS_LEAST) continue;
      return shrink ? await failureOf(simulate(() => counterPlan("sync"), { seed })) : error;
    }
  }
  throw new Error("no seed shows the missing sync");
}

describe("simulate()", () => {
  it("is the same run with and without the schedule spelled out, and with a message trace", async () => {
    const whole = await simulate(() => counterPlan("nothing"), { seed: 4, twice: true });
    expect(whole.faults.length).toBeGreaterThan(1);
    const given = await simulate(() => counterPlan("nothing", { faults: whole.faults }), { seed: 4 });
    const kept = await simulate(() => counterPlan("nothing"), { seed: 4, keepFaults: whole.faults.map((_, i) => i) });
    const traced = await simulate(() => counterPlan("nothing", { traceMessages: true }), { seed: 4 });
    for (const run of [given, kept, traced]) expect([run.hash, run.events]).toEqual([whole.hash, whole.events]);
    expect(traced.trace.counts.get("call")).toBeGreaterThan(5);
    const fewer = await simulate(() => counterPlan("nothing"), { seed: 4, keepFaults: [0] });
    expect(fewer.faults).toEqual(whole.faults.slice(0, 1));
    expect(fewer.hash).not.toBe(whole.hash);
  });

  it("runs the same world on a host that only drains", async () => {
    const drains = { drain: () => new Promise<void>((resolve) => void setImmediate(resolve)) };
    const slow = await runScenario(drains, () => counterPlan("nothing"), { seed: 4 });
    const fast = await runScenario(host, () => counterPlan("nothing"), { seed: 4 });
    expect([slow.hash, slow.events]).toEqual([fast.hash, fast.events]);
  });

  it("shrinks a failure to faults of which each is needed, and the replay it prints fails in the same way", async () => {
    const whole = await firstFailure(false);
    const shrunk = await firstFailure(true);
    expect(shrunk.seed).toBe(whole.seed);
    expect(shrunk.faults.length).toBeLessThan(whole.faults.length);
    const keep = shrunk.keepFaults ?? [];
    expect(keep.length).toBe(shrunk.faults.length);
    expect(shrunk.faults).toEqual(keep.map((position) => whole.faults[position]));
    expect(shrunk.faults.some((fault) => fault.type === "crash")).toBe(true); // else nothing is lost
    expect(shrunk.replay).toBe(`simulate(scenario, { seed: ${whole.seed}, keepFaults: [${keep.join(", ")}] })`);
    expect(shrunk.message).toMatch(/Shrunk from \d+ faults to \d+, runs needed: \d+; it takes each of them/);
    expect(shrunk.message.endsWith(`Replay it with: ${shrunk.replay}`)).toBe(true);

    const scenario = () => counterPlan("sync");
    const again = await failureOf(simulate(scenario, { seed: whole.seed, keepFaults: keep, shrink: false }));
    expect([again.hash, again.events]).toEqual([shrunk.hash, shrunk.events]);
    for (const left of keep) {
      const keepFaults = keep.filter((position) => position !== left);
      await simulate(scenario, { seed: whole.seed, keepFaults, shrink: false }); // passes
    }
  });

  it("keeps to the budget of a shrink, and says that fewer faults may do", async () => {
    const { seed, faults } = await firstFailure(false);
    const cut = await failureOf(simulate(() => counterPlan("sync"), { seed, shrink: { runsMax: 2 } }));
    if (cut.faults.length < faults.length) expect(cut.message).toContain("the budget for shrinking is spent");
    const none = await failureOf(simulate(() => counterPlan("sync"), { seed, shrink: { runsMax: 0 } }));
    expect(none.faults).toEqual(faults);
  });

  it("does not take another failure for the same one", async () => {
    let runs = 0;
    const plan = () => {
      const number = runs++;
      return counterPlan("nothing", {
        check: () => {
          throw new Error(number === 0 ? "the first kind" : "quite another kind");
        },
      });
    };
    const failure = await failureOf(simulate(plan, { seed: 4 }));
    expect(failure.message).toContain("the first kind");
    expect(failure.keepFaults).toBeUndefined();
  });

  it("fails if two runs of one seed differ", async () => {
    let runs = 0;
    const plan = () => counterPlan("nothing", { durationMs: 300 + 100 * runs++ });
    await expect(simulate(plan, { seed: 1, twice: true })).rejects.toThrow(/R1: the same seed gives the same run/);
  });
});

describe("killAtEveryWrite()", () => {
  const calm = { durationMs: 60, network: { resetChance: 0, corruptChance: 0, datagram: undefined } };

  it("kills at each change of the disk, from the first life on, and a right program survives all of them", async () => {
    const killed: number[] = [];
    const { writes, runs } = await killAtEveryWrite(() => counterPlan("nothing", calm), {
      seed: 2,
      passed: (write, { trace }) => {
        killed.push(write);
        expect(trace.counts.get("killed"), `write ${write}`).toBe(1);
      },
    });
    expect(writes).toBeGreaterThan(20);
    expect(runs).toBe(writes);
    expect(killed).toEqual(Array.from({ length: writes }, (_, i) => i + 1));
  });

  it.each(["sync", "syncDirectory"] as const)("finds a forgotten %s, and its replay is one kill", async (forgets) => {
    let found: SimulationFailure | undefined;
    for (let seed = 1; seed <= 10 && found === undefined; seed++) {
      await killAtEveryWrite(() => counterPlan(forgets, calm), { seed }).catch((error: unknown) => {
        if (!(error instanceof SimulationFailure)) throw error;
        found = error;
      });
    }
    expect(found?.message).toMatch(/was acknowledged and lost/);
    expect(found?.faults).toHaveLength(1);
    expect(found?.replay).toContain('"type":"kill-at-write"');
    const again = await failureOf(
      simulate(() => counterPlan(forgets, { ...calm, faults: found?.faults ?? [] }), { seed: found?.seed ?? 0 }),
    );
    expect(again.hash).toBe(found?.hash);
  });
});

describe("lost-folder", () => {
  const lose = (folder: string): Fault => ({ type: "lost-folder", atMs: 200, node: 1, folder, downMs: 20 });

  it("takes one folder with all in it, and leaves the others", async () => {
    const starts: (readonly string[])[] = [];
    const plan = counterPlan("nothing", {
      nodes: 3, // one of three may be damaged
      clients: 0,
      faults: [lose("data")],
      factory: {
        async start(ports, node) {
          if (node === 1) starts.push([...(await ports.disk.list("")), ...(await ports.disk.list("data"))]);
          const counter = await FileCounter.open(ports, "nothing");
          await counter.increment();
          await ports.disk.makeFolder("other");
          const file = await ports.disk.open("other/kept", { create: true });
          await file?.sync();
          await file?.close();
          for (const folder of ["other", ""]) await ports.disk.syncDirectory(folder);
          return counter;
        },
      },
    });
    const { trace } = await simulate(() => plan, { seed: 1 });
    expect(trace.counts.get("fault-lost-folder")).toBe(1);
    expect(starts).toEqual([[], ["other"]]);
  });

  it("is skipped where there is no such folder, and where too few disks would be whole", async () => {
    const run = (nodes: number, folder: string) =>
      simulate(() => counterPlan("nothing", { nodes, clients: 0, faults: [lose(folder)] }), { seed: 1 });
    expect((await run(3, "nowhere")).trace.counts.get("fault-skipped")).toBe(1);
    expect((await run(1, "data")).trace.counts.get("fault-skipped")).toBe(1);
  });
});
