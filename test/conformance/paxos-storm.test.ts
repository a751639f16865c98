/**
 * Random runs of Paxos that share nothing with `paxos-fuzz.ts`: driven by `core-fuzz.ts`, which drives Raft too, in storms, and
 * watched by `PaxosSafety` (O1–O10), which reads the disks. Majorities with changing members, damage and lost promises; quorums
 * of other shapes; members that only accept.
 *
 * A failing seed names itself. `ALTHING_FUZZ_SEEDS=from:count vitest run test/conformance` runs others, or more.
 */
import { describe, expect, test } from "vitest";
import { nodeId } from "../../src/base/ids.ts";
import { incomingVoters } from "../../src/consensus/contract/configuration.ts";
import type { CoreFactory } from "../../src/consensus/contract/core.ts";
import { paxosWith, recoverPaxos } from "../../src/consensus/paxos/recover.ts";
import type { QuorumsOf } from "../../src/consensus/paxos/replica.ts";
import { type QuorumSpec, quorumSystem } from "../../src/consensus/quorum/quorum-system.ts";
import { paxosLens, paxosLensWith } from "../scenario/paxos-lens.ts";
import { emptyTally, type FuzzTally, fuzz } from "./core-fuzz.ts";

const [from = 1, count = 24] = (process.env["ALTHING_FUZZ_SEEDS"] ?? "").split(":").filter(Boolean).map(Number);
const STEPS = 400;
const TIMEOUT_MS = 30_000 + count * 100;

const n = nodeId;
const shapes: readonly { readonly name: string; readonly nodes: number; readonly spec: QuorumSpec }[] = [
  { name: "4 to take over, 2 of 5 to choose", nodes: 5, spec: { type: "sizes", phase1: 4, phase2: 2 } },
  { name: "2 to take over, 3 of 4 to choose", nodes: 4, spec: { type: "sizes", phase1: 2, phase2: 3 } },
  { name: "5 to take over, 3 of 7 to choose", nodes: 7, spec: { type: "sizes", phase1: 5, phase2: 3 } },
  {
    name: "a heavy voter",
    nodes: 3,
    spec: {
      type: "weighted",
      weights: [2, 1, 1].map((weight, i) => ({ id: n(i + 1), weight })),
      phase1: 3,
      phase2: 2,
    },
  },
];

describe("Paxos, in storms", () => {
  const total = emptyTally();
  const add = (part: FuzzTally): void => {
    for (const [path, times] of Object.entries(part)) total[path as keyof FuzzTally] += times; // keys of the same record
  };

  test.each([1, 3, 4, 5, 7])(
    "%i nodes keep every promise and make progress after healing",
    (nodes) => {
      const tally = emptyTally();
      for (let seed = from; seed < from + count; seed++) {
        fuzz({ factory: recoverPaxos, lens: paxosLens, seed, nodes, steps: STEPS, storm: true }, tally);
      }
      add(tally);
      expect(tally.commits).toBeGreaterThan(count);
    },
    TIMEOUT_MS,
  );

  test.each(shapes)(
    "quorums of another shape: $name",
    ({ nodes, spec }) => {
      const quorumsOf: QuorumsOf = (configuration) => quorumSystem(spec, incomingVoters(configuration));
      const tally = emptyTally();
      const run = {
        factory: paxosWith({ quorumsOf }),
        lens: paxosLensWith(quorumsOf),
        nodes,
        steps: STEPS,
        storm: true,
      };
      for (let seed = from; seed < from + count; seed++) {
        fuzz({ ...run, seed, changes: false, damages: false }, tally);
      }
      expect(tally.commits).toBeGreaterThan(count);
    },
    TIMEOUT_MS,
  );

  test(
    "a member that only accepts keeps every promise, and the others make progress with its help",
    () => {
      const witness = paxosWith({ acceptorOnly: true });
      const factory: CoreFactory = (options, recovered, nowMs) =>
        (options.id === 3 ? witness : recoverPaxos)(options, recovered, nowMs);
      const tally = emptyTally();
      for (let seed = from; seed < from + count; seed++) {
        fuzz(
          { factory, lens: paxosLens, seed, nodes: 3, steps: STEPS, storm: true, changes: false, damages: false },
          tally,
        );
      }
      expect(tally.commits).toBeGreaterThan(count);
    },
    TIMEOUT_MS,
  );

  test("a seed gives the same run twice", () => {
    const run = (): readonly string[] => {
      const lines: string[] = [];
      const observe = (line: string): number => lines.push(line);
      fuzz({ factory: recoverPaxos, lens: paxosLens, seed: 42, nodes: 5, steps: STEPS, storm: true, observe });
      return lines;
    };
    expect(run()).toEqual(run());
  });

  test("the runs took the rare paths", () => {
    for (const [path, times] of Object.entries(total)) {
      // Slots are not cut off, and a run is seldom blocked.
      if (path !== "truncations" && path !== "blocked") expect(times, path).toBeGreaterThan(0);
    }
    expect(total.blocked).toBeLessThan((count * 5) / 20);
  });
});
