/** The adapter for test runners. Real runners: the example's tests, which vitest and node:test run. */
import { describe, expect, it } from "vitest";
import { simulate } from "../sim.ts";
import { parsePositions, positionsText } from "./fault-positions.ts";
import { registerSimulationTest, type SimulationTestOptions } from "./simulation-test.ts";
import { counterPlan, type Forgets } from "./testing/file-counter.ts";

interface Registered {
  readonly name: string;
  readonly timeout: number;
  readonly body: (context: unknown) => Promise<void>;
}

function register(
  forgets: Forgets,
  options: SimulationTestOptions,
  replay: { readonly seed?: string; readonly faults?: string } = {},
): Registered {
  const tests: Registered[] = [];
  registerSimulationTest(
    {
      test: (name, { timeout }, body) => tests.push({ name, timeout, body }),
      run: simulate,
      environment: () => ({
        replay: { seed: replay.seed, faults: replay.faults },
        command: ({ name, file }) => `run ${file ?? "?"} ${name}`,
      }),
    },
    "counts",
    () => counterPlan(forgets),
    options,
  );
  const [only] = tests;
  if (only === undefined || tests.length !== 1) throw new Error("one test is registered");
  return only;
}

const vitestContext = { task: { file: { filepath: "a.test.ts" } } };

describe("registerSimulationTest()", () => {
  it("registers one test that runs every seed, the first ones twice", async () => {
    const seeds: number[] = [];
    const passed: SimulationTestOptions["passed"] = ({ seed }) => seeds.push(seed);
    const test = register("nothing", { seeds: 3, firstSeed: 5, timeoutMs: 777, passed });
    expect([test.name, test.timeout]).toEqual(["counts", 777]);
    await test.body(vitestContext);
    expect(seeds).toEqual([5, 6, 7]);
    await register("nothing", { seeds: [9, 4], passed }).body({});
    expect(seeds.slice(3)).toEqual([9, 4]);
  });

  it.each([
    ["a.test.ts", vitestContext],
    ["b.ts", { filePath: "b.ts" }],
    ["?", {}],
  ])("ends a failure in one command that runs this test alone (%s)", async (file, context) => {
    const run = register("sync", { seeds: 100 }).body(context);
    await expect(run).rejects.toThrow(
      new RegExp(
        `Replay it with: ALTHING_SIM_SEED=\\d+( ALTHING_SIM_FAULTS=[\\d,]+)? run ${file.replace(/[.?]/g, "\\$&")} counts$`,
      ),
    );
  });

  it("runs what the environment asks for, and nothing else", async () => {
    const message = await register("sync", { seeds: 100 })
      .body({})
      .then(
        () => "",
        (error: unknown) => (error instanceof Error ? error.message : ""),
      );
    const seed = /ALTHING_SIM_SEED=(\d+)/.exec(message)?.[1] ?? "";
    const seen: number[] = [];
    const options: SimulationTestOptions = {
      seeds: 100,
      passed: (result) => seen.push(result.seed, result.faults.length),
    };
    await expect(register("sync", options, { seed }).body({})).rejects.toThrow(`Seed ${seed} failed`);
    await register("sync", options, { seed, faults: "none" }).body({});
    expect(seen).toEqual([Number(seed), 0]);
  });

  it("refuses a replay that it cannot read", async () => {
    const run = (seed: string, faults?: string) =>
      register("nothing", { seeds: 1 }, faults === undefined ? { seed } : { seed, faults }).body({});
    await expect(run("x")).rejects.toThrow(/Cannot replay: ALTHING_SIM_SEED is a whole number, not "x"/);
    await expect(run("1", "1,,2")).rejects.toThrow(/Cannot replay: ALTHING_SIM_FAULTS is "none" or positions/);
    expect(parsePositions("none", "faults")).toEqual([]);
    expect(parsePositions("0,12", "faults")).toEqual([0, 12]);
    for (const positions of [[], [7], [0, 3]]) expect(parsePositions(positionsText(positions), "x")).toEqual(positions);
  });
});
