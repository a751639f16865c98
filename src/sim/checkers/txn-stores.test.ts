/** The checkers on stores that keep exactly one level: they must say so of each, over many seeds. */
import { describe, expect, it } from "vitest";
import { type AnomalyName, anomalyNames, forbids, type Level, levels, strongestLevelLeft } from "./anomalies.ts";
import { checkListAppend } from "./list-append.ts";
import { checkRwRegister } from "./rw-register.ts";
import { runLists, runRegisters } from "./testing/store-runs.ts";
import { executeListAppend } from "./txn-executor.ts";
import { makeStore } from "./txn-stores.ts";
import type { TxnVerdict } from "./txn-verdict.ts";
import { TxnWorkload } from "./txn-workload.ts";

const SEEDS = 40;

/** What each store shows over some seeds. What its level forbids it must never show. */
const shown: Readonly<Record<Level, readonly AnomalyName[]>> = {
  "read-uncommitted": ["G1a", "G1b", "G1c", "lost-update"],
  "read-committed": ["internal", "lost-update", "G-single", "G2-item"],
  "snapshot-isolation": ["G2-item"],
  serializable: ["G-single-realtime", "G-single-process"],
  "strict-serializable": [],
};

/** Also never seen, though the level would allow them: snapshots are taken of the latest state, locks are held to the end. */
const neverShown: Readonly<Record<Level, readonly AnomalyName[]>> = {
  "read-uncommitted": ["G0"],
  "read-committed": ["G1a", "G1b", "G1c"],
  "snapshot-isolation": ["G1a", "G1b", "G1c", "lost-update", "G-single", "G0-realtime", "G1c-realtime"],
  serializable: ["G2-item", "G0-realtime"],
  "strict-serializable": anomalyNames,
};

/** Runs a level over all seeds and compares what came to light with the tables. */
function judgeStore(level: Level, check: (seed: number, promised?: Level) => TxnVerdict): void {
  const seen = new Set<AnomalyName>();
  for (let seed = 0; seed < SEEDS; seed++) {
    for (const { name } of check(seed).anomalies) seen.add(name);
    expect([seed, check(seed, level).type]).toEqual([seed, "ok"]);
  }
  expect(shown[level].filter((name) => !seen.has(name))).toEqual([]);
  expect([...seen].filter((name) => forbids(level, name) || neverShown[level].includes(name))).toEqual([]);
  expect(strongestLevelLeft(seen)).toBe(level);
}

describe("makeStore()", () => {
  it.each(levels)("keeps %s and no more, as lists tell", (level) => {
    judgeStore(level, (seed, promised = "strict-serializable") =>
      checkListAppend(runLists(level, seed, 150), { level: promised }),
    );
  });

  it.each(levels)("keeps %s and no more, as registers tell", (level) => {
    const sources = level === "strict-serializable" ? { linearizableKeys: true, sequentialKeys: true } : {};
    judgeStore(level, (seed, promised = "strict-serializable") =>
      checkRwRegister(runRegisters(level, seed, 150), { level: promised, sources }),
    );
  });
});

describe("executeListAppend()", () => {
  it("gives the same history for the same seed, another for another", () => {
    expect(runLists("snapshot-isolation", 3, 100)).toEqual(runLists("snapshot-isolation", 3, 100));
    expect(runLists("snapshot-isolation", 3, 100)).not.toEqual(runLists("snapshot-isolation", 4, 100));
  });

  it("lets clients overlap, and each of them run one transaction at a time", () => {
    const history = runLists("read-committed", 1, 200);
    expect(history).toHaveLength(200);
    let overlaps = 0;
    for (const [index, one] of history.entries()) {
      for (const other of history.slice(index + 1)) {
        if (other.begin > one.end) continue;
        if (one.process === other.process) expect(one.outcome).toBe("unknown");
        else overlaps++;
      }
    }
    expect(overlaps).toBeGreaterThan(200);
  });

  it("carries out about half of the transactions whose answer is lost, and none of those given up", () => {
    const options = { seed: 1, transactions: 2_000, clients: 4, abortChance: 0.2, unknownChance: 0.2 };
    const workload = new TxnWorkload({ seed: 1, readChance: 0.7 });
    const history = executeListAppend(makeStore("strict-serializable", 1), workload, options);
    const seen = new Set<string>();
    for (const { operations, outcome } of history) {
      if (outcome !== "committed") continue;
      for (const op of operations) if (op.type === "read") for (const value of op.list) seen.add(`${op.key} ${value}`);
    }
    const shownOf = (outcome: string): number => {
      const appends = history
        .filter((transaction) => transaction.outcome === outcome)
        .flatMap(({ operations }) => operations.filter((operation) => operation.type === "append"));
      expect(appends.length).toBeGreaterThan(100);
      return appends.filter(({ key, value }) => seen.has(`${key} ${value}`)).length / appends.length;
    };
    expect(shownOf("aborted")).toBe(0);
    expect(shownOf("unknown")).toBeGreaterThan(0.25);
    expect(shownOf("unknown")).toBeLessThan(0.6);
  });
});

describe("TxnWorkload", () => {
  it("writes no value twice to a key, and retires a key after its writes", () => {
    const workload = new TxnWorkload({ seed: 9, keys: 2, writesPerKeyMax: 5, operationsMin: 2, operationsMax: 3 });
    const writes = new Map<string, number[]>();
    for (let i = 0; i < 500; i++) {
      const plan = workload.next();
      expect(plan.length === 2 || plan.length === 3).toBe(true);
      for (const op of plan) if (op.type === "write") writes.set(op.key, [...(writes.get(op.key) ?? []), op.value]);
    }
    const full = [...writes.values()].filter((values) => values.length === 5);
    expect(full.length).toBeGreaterThan(100);
    expect(full.length).toBeGreaterThanOrEqual(writes.size - 2); // all but those in use
    for (const values of writes.values()) expect(values).toEqual([1, 2, 3, 4, 5].slice(0, values.length));
  });

  it("refuses counts from which nothing can be made", () => {
    expect(() => new TxnWorkload({ seed: 1, keys: 0 })).toThrow("Cannot make a workload");
    expect(() => new TxnWorkload({ seed: 1, operationsMin: 3, operationsMax: 2 })).toThrow("Cannot make a workload");
  });
});
