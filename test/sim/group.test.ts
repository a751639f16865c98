import { expect, test } from "vitest";
import { checkReplay, runSimulation } from "../../src/sim/simulate.ts";
import { groupScenario } from "./lib/group-scenario.ts";

test("a group without faults serves every call and closes", async () => {
  const scenario = groupScenario(1, {
    faults: "none",
    durationMs: 3_000,
    network: { datagram: undefined, resetChance: 0, corruptChance: 0 },
  });
  await runSimulation(scenario);
  expect(scenario.acknowledged.length).toBeGreaterThan(50);
});

test("a seed replays bit for bit", async () => {
  await checkReplay(() => groupScenario(2, { durationMs: 3_000 }));
});
