/**
 * The example, in this order: the planted bug is found and shrunk within a minute, the command that is printed shows it
 * again, and the repaired version survives the same seeds. With both runners.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { simulate, SimulationFailure, simulationTests } from "../../src/sim.ts"; // in your project: "althing/sim"
import { lockScenario } from "./lock-scenario.ts";

const SEEDS = 20;
const MINUTE_MS = 60_000;
const simulationTest = simulationTests(test);

simulationTest("with fencing tokens no addition is lost", lockScenario({ fencing: true }), { seeds: SEEDS });

describe("without fencing tokens", () => {
  test("a seed shows the lost addition within a minute, shrunk to a few faults that it takes", {
    timeout: MINUTE_MS,
  }, async () => {
    let failure: SimulationFailure | undefined;
    for (let seed = 1; seed <= SEEDS && failure === undefined; seed++) {
      await simulate(lockScenario({ fencing: false }), { seed }).catch((error: unknown) => {
        if (!(error instanceof SimulationFailure)) throw error;
        failure = error;
      });
    }
    expect(failure?.message).toMatch(/lost update: \d+ additions were made/);
    expect(failure?.faults.length).toBeLessThanOrEqual(3);
  });

  test("node:test prints one command, and that command shows the same failure", { timeout: MINUTE_MS }, () => {
    const file = fileURLToPath(new URL("lock.node-test.ts", import.meta.url));
    const root = fileURLToPath(new URL("../..", import.meta.url));
    // Not the runner's own surroundings: vitest's variables, and those of a replay.
    const inherited = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^(VITEST|ALTHING_|NODE_OPTIONS|NODE_TEST)/.test(name)),
    );
    const env = { ...inherited, LOCK_WITHOUT_FENCING: "1" };
    const first = spawnSync(process.execPath, ["--test", file], { cwd: root, env, encoding: "utf8" });
    expect(first.status, first.stdout).toBe(1);
    const replay = /Replay it with: (ALTHING_SIM_SEED=.*lock\.node-test\.ts)/.exec(first.stdout)?.[1] ?? "";
    expect(replay).toMatch(
      /^ALTHING_SIM_SEED=\d+ ALTHING_SIM_FAULTS=[\d,]+ node --test --test-name-pattern='no addition is lost' /,
    );
    const again = spawnSync("sh", ["-c", replay], { cwd: root, env, encoding: "utf8" });
    expect(again.status, again.stdout).toBe(1);
    const failureOf = (output: string): string | undefined => /Seed \d+ failed at .*lost update: .*/.exec(output)?.[0];
    expect(failureOf(again.stdout)).toBe(failureOf(first.stdout));
    const repaired = spawnSync("sh", ["-c", replay], { cwd: root, env: inherited, encoding: "utf8" });
    expect(repaired.status, repaired.stdout).toBe(0);
  });
});
