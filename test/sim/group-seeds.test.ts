/**
 * A fixed set of seeds of the group scenario under all faults at once, in each of its kinds, and the runs that once failed.
 * To see one again: `GROUP_RUN=storm:3:291:20000:raft npx vitest run test/sim/group-seeds.test.ts` (kind, nodes, seed, ms,
 * engine).
 */
import { expect, test } from "vitest";
import { type ConsensusEngine, consensusEngines } from "../../src/config/node-config.ts";
import { runSimulation } from "../../src/sim/simulate.ts";
import { groupScenario } from "./lib/group-scenario.ts";
import { type GroupVariant, groupVariants, variantOptions } from "./lib/group-variants.ts";

interface Run {
  readonly variant: GroupVariant;
  readonly nodes: number;
  readonly seed: number;
  readonly durationMs: number;
  readonly consensus: ConsensusEngine;
}

const fixed: readonly Omit<Run, "consensus">[] = [1, 3, 5, 3].flatMap((nodes, i) =>
  groupVariants.flatMap((variant, k) =>
    Array.from({ length: 3 }, (_, n) => ({ variant, nodes, seed: 100 * i + 10 * k + n + 1, durationMs: 8_000 })),
  ),
);

/** Found by sweeps; each stands for a fault that is described in the code that it changed. */
const found: readonly Run[] = [
  { variant: "sessions", nodes: 3, seed: 50, durationMs: 20_000, consensus: "raft" }, // silence was taken for a follower that holds nothing
  { variant: "storm", nodes: 5, seed: 135, durationMs: 20_000, consensus: "raft" }, // wiped founders voted against what they had acknowledged
  { variant: "storm", nodes: 3, seed: 291, durationMs: 20_000, consensus: "raft" }, // a failed log was not told to a node that wrote nothing
  { variant: "snapshots", nodes: 5, seed: 812, durationMs: 20_000, consensus: "raft" },
  { variant: "snapshots", nodes: 5, seed: 2_660, durationMs: 20_000, consensus: "raft" }, // an old stranger undid a newer binding
  // A folder that had lost its log voted for a candidate that knew no binding yet; the first two: acknowledged what it forgot.
  { variant: "storm", nodes: 3, seed: 219, durationMs: 20_000, consensus: "raft" },
  { variant: "sessions", nodes: 5, seed: 1_183, durationMs: 20_000, consensus: "raft" },
  { variant: "snapshots", nodes: 3, seed: 1_426, durationMs: 20_000, consensus: "raft" },
  // A founder that had nothing yet was the only one left to vote for the log, and did not know whether it might.
  { variant: "leases", nodes: 3, seed: 1_642, durationMs: 20_000, consensus: "raft" },
  // A late acceptance of a leader that had lost the slot was taken for a breach.
  { variant: "snapshots", nodes: 5, seed: 1_186, durationMs: 20_000, consensus: "paxos" },
  // A wiped founder that had promised itself a ballot answered as if it had never held anything.
  { variant: "storm", nodes: 3, seed: 2_219, durationMs: 15_000, consensus: "paxos" },
  // A wiped disk with a snapshot was elected by a node that had forgotten to which folder the id is bound.
  { variant: "snapshots", nodes: 3, seed: 2_501, durationMs: 15_000, consensus: "paxos" },
  { variant: "storm", nodes: 3, seed: 2_609, durationMs: 15_000, consensus: "paxos" },
  // A learner became a voter before its disk held anything.
  { variant: "storm", nodes: 3, seed: 10_259, durationMs: 20_000, consensus: "paxos" },
  { variant: "snapshots", nodes: 3, seed: 11_231, durationMs: 20_000, consensus: "paxos" },
  // A link to a disk that was gone unseated the one that had taken its place.
  { variant: "leases", nodes: 5, seed: 10_212, durationMs: 20_000, consensus: "paxos" },
];

function parse(text: string): Run {
  const [name, ...rest] = text.split(":");
  const engine = rest.splice(3)[0] ?? "raft";
  const numbers = rest;
  const [nodes = 0, seed = Number.NaN, durationMs = 20_000] = numbers.map(Number);
  const variant = groupVariants.find((v) => v === name);
  const consensus = consensusEngines.find((e) => e === engine);
  if (
    variant === undefined ||
    consensus === undefined ||
    !(nodes > 0) ||
    !Number.isSafeInteger(seed) ||
    !(durationMs > 0)
  ) {
    throw new Error(`GROUP_RUN is kind:nodes:seed:milliseconds:engine with one of ${groupVariants.join(", ")}`);
  }
  return { variant, nodes, seed, durationMs, consensus };
}

async function run({ variant, nodes, seed, durationMs, consensus }: Run): Promise<ReadonlyMap<string, number>> {
  const scenario = groupScenario(seed, { ...variantOptions(variant), nodes, durationMs, consensus });
  try {
    return (await runSimulation(scenario)).trace.counts;
  } catch (cause) {
    const replay = `GROUP_RUN=${variant}:${nodes}:${seed}:${durationMs}:${consensus} npx vitest run test/sim/group-seeds.test.ts`;
    const what = cause instanceof Error ? cause.message : String(cause);
    // The simulator names the command for its own standard run, which is another one; as a cause it would be shown too.
    const told = what.replace(/Replay it with: .*/, `Replay it with: ${replay}`);
    throw new Error(told.includes(replay) ? told : `${told}\nReplay it with: ${replay}`);
  }
}

const asked = process.env["GROUP_RUN"];
if (asked === undefined) {
  test.each(found)("$variant:$nodes:$seed on $consensus stays repaired", async (one) => {
    await run(one);
  });

  const clusters = consensusEngines.flatMap((consensus) => [1, 3, 5].map((nodes) => ({ consensus, nodes })));
  test.each(clusters)("$nodes nodes on $consensus keep their word under mixed faults", async ({ consensus, nodes }) => {
    const totals = new Map<string, number>();
    for (const one of fixed.filter((f) => f.nodes === nodes)) {
      for (const [type, count] of await run({ ...one, consensus })) totals.set(type, (totals.get(type) ?? 0) + count);
    }
    // Probes: the rare paths were reached.
    const rare = ["fault-crash", "fault-pause", "fault-full-disk", "sync-failed", "disk-stalled", "checkpoint"];
    if (nodes > 1) rare.push("fault-partition", "fault-wipe", "log-damaged", "log-repaired", "snapshot-installed");
    for (const type of rare) expect(totals.get(type) ?? 0, type).toBeGreaterThan(0);
  });
} else {
  test(`${asked}`, async () => {
    await run(parse(asked));
  });
}
