/**
 * Random runs of the Paxos core in clusters of one to seven nodes, each from its own seed, with the promises C1–C6 of
 * `paxos-cluster.ts` checked after every step and progress demanded after healing: with majorities and changing members,
 * with quorums of other shapes, and with members that only accept.
 *
 * A failing seed names itself. `ALTHING_FUZZ_SEEDS=from:count vitest run test/conformance` runs others, or more.
 */
import { assert } from "../../src/base/assert.ts";
import { describe, expect, test } from "vitest";
import { nodeId } from "../../src/base/ids.ts";
import { type Configuration, incomingVoters } from "../../src/consensus/contract/configuration.ts";
import type { CoreFactory } from "../../src/consensus/contract/core.ts";
import { paxosWith, recoverPaxos } from "../../src/consensus/paxos/recover.ts";
import { type QuorumSpec, type QuorumSystem, quorumSystem } from "../../src/consensus/quorum/quorum-system.ts";
import { paxosFuzz } from "./paxos-fuzz.ts";

const [from = 1, count = 60] = (process.env["ALTHING_FUZZ_SEEDS"] ?? "").split(":").filter(Boolean).map(Number);
const STEPS = 300;
const TIMEOUT_MS = 30_000 + count * 100;

const n = nodeId;
const shapes: readonly { readonly name: string; readonly nodes: number; readonly spec: QuorumSpec }[] = [
  { name: "3 to take over, 2 of 4 to choose", nodes: 4, spec: { type: "sizes", phase1: 3, phase2: 2 } },
  { name: "4 to take over, 3 of 6 to choose", nodes: 6, spec: { type: "sizes", phase1: 4, phase2: 3 } },
  {
    name: "a grid of two rows",
    nodes: 4,
    spec: {
      type: "grid",
      rows: [
        [n(1), n(2)],
        [n(3), n(4)],
      ],
    },
  },
  {
    name: "a heavy voter",
    nodes: 4,
    spec: {
      type: "weighted",
      weights: [3, 1, 1, 1].map((weight, i) => ({ id: n(i + 1), weight })),
      phase1: 4,
      phase2: 3,
    },
  },
  {
    name: "three zones, one may be lost",
    nodes: 6,
    spec: {
      type: "zones",
      zones: [
        [n(1), n(2)],
        [n(3), n(4)],
        [n(5), n(6)],
      ],
      zonesLost: 1,
    },
  },
];

describe("Paxos, at random", () => {
  const total: Record<string, number> = {};
  const add = (part: Readonly<Record<string, number>>): void => {
    for (const [what, times] of Object.entries(part)) total[what] = (total[what] ?? 0) + times;
  };

  test.each([1, 3, 5, 7])(
    "%i nodes keep every promise and make progress after healing",
    (nodes) => {
      for (let seed = from; seed < from + count; seed++) {
        add(paxosFuzz({ factory: recoverPaxos, seed, nodes, steps: STEPS }));
      }
      expect(total["commits"]).toBeGreaterThan(count);
    },
    TIMEOUT_MS,
  );

  test.each(shapes)(
    "quorums of another shape: $name",
    ({ nodes, spec }) => {
      const verdictOf = (configuration: Configuration) => quorumSystem(spec, incomingVoters(configuration));
      const quorumsOf = (configuration: Configuration): QuorumSystem => {
        const verdict = verdictOf(configuration);
        assert(verdict.type === "system", "a shape whose quorums meet", verdict);
        return verdict.system;
      };
      const factory = paxosWith({ quorumsOf: verdictOf });
      for (let seed = from; seed < from + count / 2; seed++) {
        add(paxosFuzz({ factory, seed, nodes, steps: STEPS, changes: false, damages: false, quorumsOf }));
      }
    },
    TIMEOUT_MS,
  );

  test(
    "a member that only accepts never leads, and the others go on with its help",
    () => {
      const witness = paxosWith({ acceptorOnly: true });
      const factory: CoreFactory = (options, recovered, nowMs) =>
        (options.id === 3 ? witness : recoverPaxos)(options, recovered, nowMs);
      for (let seed = from; seed < from + count / 2; seed++) {
        const part = paxosFuzz({ factory, seed, nodes: 3, steps: STEPS, changes: false, damages: false });
        expect(part["leads 3"]).toBeUndefined();
        add(part);
      }
    },
    TIMEOUT_MS,
  );

  test("a seed gives the same run twice", () => {
    const run = (): readonly string[] => {
      const lines: string[] = [];
      paxosFuzz({ factory: recoverPaxos, seed: 42, nodes: 5, steps: STEPS, observe: (line) => lines.push(line) });
      return lines;
    };
    const first = run();
    expect(first.length).toBeGreaterThan(100);
    expect(run()).toEqual(first);
  });

  test("the runs took the rare paths", () => {
    const rare = [
      "leaders",
      "commits",
      "crashes",
      "reads",
      "changes",
      "eras",
      "trims",
      "installs",
      "damages",
      "repaired",
    ];
    for (const path of rare) expect(total[path] ?? 0, path).toBeGreaterThan(0);
    expect(total["blocked"] ?? 0).toBeLessThan((count * 4) / 20);
  });
});
