/**
 * What hunts a mutant: runs from a seed with checks of safety and progress, cheapest first. An attempt has a name that is
 * all it takes to run it again.
 *
 *   raft/fuzz:5:17          random steps of five bare cores, seed 17       `test/conformance/core-fuzz.ts`
 *   raft/lease:3:17         the same with leases
 *   raft/storm:4:17         the same, with more of what comes late
 *   raft/stories:4:17       moves that lead where rules matter             `test/conformance/core-stories.ts`
 *   raft/promises:3:17      the same with leases
 *   raft/group:storm:3:17   whole groups on simulated machines             `test/sim/lib/group-scenario.ts`
 *   raft/serve:deaf:3:17    one fault at a time, with service demanded     `test/sim/lib/group-progress.ts`
 *   wal/rot:17              the log alone on simulated disks               `test/sim/lib/wal-scenario.ts`
 *
 * Golden traces are not among them: a trace that differs says that something changed, not that it is wrong.
 */
import type { CoreFactory } from "../../src/consensus/contract/core.ts";
import { recoverPaxos } from "../../src/consensus/paxos/recover.ts";
import { recoverRaft } from "../../src/consensus/raft/raft.ts";
import { runSimulation } from "../../src/sim/simulate.ts";
import { fuzz } from "../conformance/core-fuzz.ts";
import { tellStories } from "../conformance/core-stories.ts";
import { paxosLens } from "../scenario/paxos-lens.ts";
import { raftLens } from "../scenario/raft-lens.ts";
import type { Lens } from "../scenario/safety.ts";
import { progressKinds, progressScenario } from "../sim/lib/group-progress.ts";
import { groupScenario } from "../sim/lib/group-scenario.ts";
import { groupVariants, variantOptions } from "../sim/lib/group-variants.ts";
import { runWal, walKinds } from "../sim/lib/wal-scenario.ts";
import type { Engine } from "./mutant.ts";

const STEPS = 300;
const LEASE_MS = 90;
const GROUP_MS = 20_000;
/** Rounds of cores, or logs, alone before the first whole group, and between two rounds of groups: most bugs need no more. */
const ROUNDS_BEFORE_GROUPS = 20;
const ROUNDS_A_GROUP = 6;

interface Core {
  readonly factory: CoreFactory;
  readonly lens: Lens;
}

const cores: ReadonlyMap<string, Core> = new Map([
  ["raft", { factory: recoverRaft, lens: raftLens }],
  ["paxos", { factory: recoverPaxos, lens: paxosLens }],
]);

/** The attempts against an engine's mutants, without an end: the budget decides how many are made. */
export function* attempts(engine: Engine): Generator<string> {
  for (let seed = 1; ; seed++) {
    if (engine === "host") {
      yield* groupRound(seed % 2 === 0 ? "paxos" : "raft", Math.ceil(seed / 2));
      continue;
    }
    if (engine === "wal") for (const kind of walKinds) yield `wal/${kind}:${seed}`;
    else yield* coreRound(engine, seed);
    const rounds = seed - ROUNDS_BEFORE_GROUPS;
    if (rounds > 0 && rounds % ROUNDS_A_GROUP === 0) {
      yield* groupRound(engine === "wal" ? "raft" : engine, rounds / ROUNDS_A_GROUP);
    }
  }
}

function* coreRound(engine: "raft" | "paxos", seed: number): Generator<string> {
  yield `${engine}/fuzz:3:${seed}`;
  yield `${engine}/stories:3:${seed}`;
  yield `${engine}/fuzz:${[5, 7, 1][seed % 3] ?? 5}:${seed}`;
  yield `${engine}/stories:${4 + (seed % 2)}:${seed}`;
  yield `${engine}/storm:${3 + (seed % 3)}:${seed}`;
  if (engine === "paxos") return; // it has no leases
  yield `${engine}/lease:${2 + (seed % 4)}:${seed}`;
  yield `${engine}/promises:${seed % 3 === 0 ? 5 : 3}:${seed}`;
}

function* groupRound(engine: "raft" | "paxos", seed: number): Generator<string> {
  for (const variant of groupVariants) yield `${engine}/group:${variant}:${[3, 5, 1][seed % 3] ?? 3}:${seed}`;
  for (const kind of progressKinds) yield `${engine}/serve:${kind}:${3 + 2 * (seed % 2)}:${seed}`;
}

/** Makes one attempt. Rejects if a promise was broken. */
export async function attempt(name: string): Promise<void> {
  const [engine = "", what = ""] = name.split("/");
  const [killer = "", ...words] = what.split(":");
  const seed = Number(words.at(-1));
  const nodes = Number(words.at(-2));
  if (!Number.isSafeInteger(seed)) throw new UnknownAttemptError(name);
  if (engine === "wal") {
    const kind = walKinds.find((k) => k === killer);
    if (kind === undefined) throw new UnknownAttemptError(name);
    await runWal(kind, seed);
    return;
  }
  const core = cores.get(engine);
  const consensus = engine === "paxos" ? "paxos" : "raft";
  if (core === undefined) throw new UnknownAttemptError(name);
  const run = { ...core, seed, nodes };
  switch (killer) {
    case "fuzz":
      return fuzz({ ...run, steps: STEPS });
    case "lease":
      return fuzz({ ...run, steps: STEPS, leaseMs: LEASE_MS });
    case "storm":
      return fuzz({ ...run, steps: STEPS, storm: true });
    case "stories":
      return tellStories(run);
    case "promises":
      return tellStories({ ...run, leaseMs: LEASE_MS });
    case "group": {
      const variant = groupVariants.find((v) => v === words[0]);
      if (variant === undefined) break;
      await runSimulation(groupScenario(seed, { ...variantOptions(variant), nodes, durationMs: GROUP_MS, consensus }));
      return;
    }
    case "serve": {
      const kind = progressKinds.find((k) => k === words[0]);
      if (kind === undefined) break;
      await runSimulation(progressScenario(kind, { seed, nodes, consensus }));
      return;
    }
  }
  throw new UnknownAttemptError(name);
}

export class UnknownAttemptError extends Error {
  constructor(name: string) {
    super(`Cannot run ${name}: no such attempt`);
    this.name = "UnknownAttemptError";
  }
}
