/** Kills, pauses and cuts on real processes under load, scaled down from `torture.ts`. */
import { describe, expect, it } from "vitest";
import { althingSpec } from "./lib/althing-spec.ts";
import { etcdSpec } from "./lib/etcd-spec.ts";
import { Epoch } from "./lib/load.ts";
import { type Fault, torture } from "./lib/torture-run.ts";

const perFault: readonly (readonly [Fault, number])[] = [
  ["kill-leader", 2],
  ["kill-two", 1],
  ["kill-all", 1],
  ["kill-twice", 1],
  ["pause-leader", 1],
  ["cut-leader", 1],
  ["cut-leader-one-way", 1],
];

describe("Althing under faults", () => {
  it.each(perFault)("%s, %i rounds: nothing acknowledged is lost, all is linearizable", async (fault, rounds) => {
    const report = await torture({ spec: althingSpec(), seed: 1, rounds, faults: [fault] });
    expect(report.rounds).toHaveLength(rounds);
    for (const round of report.rounds) expect(round.operations).toBeGreaterThan(50);
    expect(report.acknowledged).toBeGreaterThan(20);
  });
});

describe("the rig", () => {
  it("runs its rounds on another system with the same result", async () => {
    const report = await torture({ spec: etcdSpec, seed: 1, rounds: 1, faults: ["kill-leader"] });
    expect(report.rounds).toHaveLength(1);
    expect(report.acknowledged).toBeGreaterThan(20);
  });

  it("does not accept a stale read", () => {
    const epoch = new Epoch(1);
    const { history } = epoch;
    history.end(history.begin(1, { type: "write", key: "r", value: "old" }), { type: "written" });
    history.end(history.begin(1, { type: "write", key: "r", value: "new" }), { type: "written" });
    expect(epoch.judge().type).toBe("ok");
    history.end(history.begin(2, { type: "read", key: "r" }), { type: "read", value: "old" });
    expect(epoch.judge().type).toBe("violation");
  });
});
