/**
 * Kinds of runs of the group scenario under mixed faults. A seed and a kind name a run: what a sweep has found can be run
 * again by both.
 */
import type { SimClient } from "../../../src/sim/sim-client.ts";
import type { GroupNode, GroupScenarioOptions } from "./group-scenario.ts";

export const groupVariants = ["plain", "snapshots", "leases", "sessions", "storm"] as const;
export type GroupVariant = (typeof groupVariants)[number];

/** Wants the leadership again and again, for whatever node it meets. */
async function usurp(c: SimClient<GroupNode>): Promise<void> {
  while (!c.stopping) {
    await c.sleep(c.random.between(200, 2_000));
    await c.call(c.anyNode(), ({ group }) =>
      group.transferLeader(group.nodeId, { timeoutMs: 500 }).catch(() => undefined),
    );
  }
}

const busy = { pauseMs: 10, patienceMs: 700 } as const;
const faults = (meanGapMs: number): GroupScenarioOptions["faults"] => ({
  rotPrefix: "wal/",
  meanGapMs,
  electionMs: 1_000,
});

export function variantOptions(variant: GroupVariant): GroupScenarioOptions {
  switch (variant) {
    case "plain":
      return {};
    case "snapshots": // next to no log is kept, and snapshots are slow
      return {
        ...busy,
        faults: faults(400),
        keys: 100,
        settings: { limits: { logBytesKept: 256, dirtyBytesMax: 512 }, snapshotBytesPerSecond: 3_000 },
      };
    case "leases":
      return {
        ...busy,
        faults: faults(600),
        readLevel: "lease",
        settings: { timings: { leaseMs: 400 } },
        operator: usurp,
      };
    case "sessions": // more handles than sessions
      return {
        ...busy,
        faults: faults(600),
        settings: { limits: { sessionsMax: 3, logBytesKept: 1_024, dirtyBytesMax: 1_024 } },
      };
    case "storm":
      return { ...busy, faults: faults(300), paddingBytes: 200 };
  }
}
