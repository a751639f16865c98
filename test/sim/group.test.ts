import { expect, test } from "vitest";
import { consensusEngines } from "../../src/config/node-config.ts";
import { checkReplay, runSimulation } from "../../src/sim/simulate.ts";
import { groupScenario } from "./lib/group-scenario.ts";

test.each(consensusEngines)("a group on %s without faults serves every call and closes", async (consensus) => {
  const scenario = groupScenario(1, {
    consensus,
    faults: "none",
    durationMs: 3_000,
    network: { datagram: undefined, resetChance: 0, corruptChance: 0 },
  });
  await runSimulation(scenario);
  expect(scenario.acknowledged.length).toBeGreaterThan(50);
});

test.each(consensusEngines)("a seed on %s replays bit for bit", async (consensus) => {
  await checkReplay(() => groupScenario(2, { consensus, durationMs: 3_000 }));
});
