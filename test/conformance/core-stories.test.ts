/**
 * Runs made of stories (`core-stories.ts`) on both engines, with the promises of each engine's observer checked after every
 * move and service demanded in the end. `ALTHING_FUZZ_SEEDS=from:count vitest run test/conformance` runs others, or more.
 */
import { describe, test } from "vitest";
import type { CoreFactory } from "../../src/consensus/contract/core.ts";
import { recoverPaxos } from "../../src/consensus/paxos/recover.ts";
import { recoverRaft } from "../../src/consensus/raft/raft.ts";
import { paxosLens } from "../scenario/paxos-lens.ts";
import { raftLens } from "../scenario/raft-lens.ts";
import type { Lens } from "../scenario/safety.ts";
import { tellStories } from "./core-stories.ts";

const [from = 1, count = 60] = (process.env["ALTHING_FUZZ_SEEDS"] ?? "").split(":").filter(Boolean).map(Number);
const TIMEOUT_MS = 30_000 + count * 200;

const engines: readonly { readonly name: string; readonly factory: CoreFactory; readonly lens: Lens }[] = [
  { name: "raft", factory: recoverRaft, lens: raftLens },
  { name: "paxos", factory: recoverPaxos, lens: paxosLens },
];

describe.each(engines)("$name, in stories", ({ factory, lens }) => {
  test.each([3, 4, 5])(
    "%i nodes keep every promise and serve again",
    (nodes) => {
      for (let seed = from; seed < from + count; seed++) tellStories({ factory, lens, seed, nodes });
    },
    TIMEOUT_MS,
  );
});

test(
  "raft, in stories: leases that hold are never stale",
  () => {
    for (let seed = from; seed < from + count; seed++) {
      tellStories({ factory: recoverRaft, lens: raftLens, seed, nodes: 3 + (seed % 3), leaseMs: 90 });
    }
  },
  TIMEOUT_MS,
);
