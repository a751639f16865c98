/**
 * Random runs of every consensus core, in clusters of one to seven nodes, each from its own seed (`core-fuzz.ts`), with the
 * invariants I1–I9 of `safety.ts` after every step and progress demanded after healing.
 *
 * A failing seed names itself. `ALTHING_FUZZ_SEEDS=from:count vitest run test/conformance` runs others, or more.
 */
import { describe, expect, test } from "vitest";
import type { CoreFactory } from "../../src/consensus/contract/core.ts";
import { recoverRaft } from "../../src/consensus/raft/raft.ts";
import { raftLens } from "../scenario/raft-lens.ts";
import type { Lens } from "../scenario/safety.ts";
import { emptyTally, type FuzzTally, fuzz } from "./core-fuzz.ts";

interface Core {
  readonly name: string;
  readonly factory: CoreFactory;
  readonly lens: Lens | undefined;
}

const cores: readonly Core[] = [{ name: "raft", factory: recoverRaft, lens: raftLens }];

const [from = 1, count = 150] = (process.env["ALTHING_FUZZ_SEEDS"] ?? "").split(":").filter(Boolean).map(Number);
const STEPS = 300;

/** Without a bound of its own a long run chosen by hand would be cut off by the runner's. */
const TIMEOUT_MS = 30_000 + count * 50;

describe.each(cores)("$name, at random", ({ factory, lens }) => {
  const total = emptyTally();

  test.each([1, 3, 5, 7])(
    "%i nodes keep every promise and make progress after healing",
    (nodes) => {
      const tally = emptyTally();
      for (let seed = from; seed < from + count; seed++) fuzz({ factory, lens, seed, nodes, steps: STEPS }, tally);
      add(total, tally);
      expect(tally.commits).toBeGreaterThan(count);
    },
    TIMEOUT_MS,
  );

  test(
    "leases that hold are never stale, whatever else goes wrong",
    () => {
      const tally = emptyTally();
      for (let seed = from; seed < from + count; seed++) {
        fuzz({ factory, lens, seed, nodes: 2 + (seed % 4), steps: STEPS, leaseMs: 90 }, tally);
      }
      add(total, tally);
      expect(tally.reads).toBeGreaterThan(count);
    },
    TIMEOUT_MS,
  );

  test("a seed gives the same run twice", () => {
    const run = (): readonly string[] => {
      const lines: string[] = [];
      const observe = (line: string): number => lines.push(line);
      fuzz({ factory, lens, seed: 42, nodes: 5, steps: STEPS, observe });
      return lines;
    };
    expect(run()).toEqual(run());
  });

  test("the runs took the rare paths", () => {
    for (const [path, times] of Object.entries(total)) {
      if (path !== "blocked") expect(times, path).toBeGreaterThan(0);
    }
    // A run that is excused for want of voters proves nothing of its ending: they are few.
    expect(total.blocked).toBeLessThan((count * 5) / 25);
  });
});

function add(total: FuzzTally, part: FuzzTally): void {
  for (const [path, times] of Object.entries(part)) total[path as keyof FuzzTally] += times; // keys of the same record
}
