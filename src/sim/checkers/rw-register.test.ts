import { describe, expect, it } from "vitest";
import { type AnomalyName, type Level, levels, weakestLevelWithout } from "./anomalies.ts";
import { checkRwRegister, type VersionSources } from "./rw-register.ts";
import { runRegisters } from "./testing/store-runs.ts";
import { registers } from "./testing/txn-notation.ts";
import type { RegisterOp, Transaction } from "./transaction.ts";
import { verdictText } from "./txn-verdict.ts";

type History = readonly Transaction<RegisterOp>[];

function names(history: History, sources: VersionSources = {}, level?: Level): readonly AnomalyName[] {
  const options = level === undefined ? { sources } : { sources, level };
  return checkRwRegister(history, options).anomalies.map(({ name }) => name);
}

const long = { begin: 0, end: 3_000 };
const early = { begin: 0, end: 1 };
const late = { begin: 2_000, end: 2_001 };
const session = { 0: { ...early, process: 1 }, 1: { ...late, process: 1 } };

/** The name of an anomaly, a history that shows it, and what else that history shows. */
type Known = readonly [name: AnomalyName, history: History, others?: readonly AnomalyName[]];

/** One history an anomaly. Order comes from reads before writes. */
const known: readonly Known[] = [
  ["garbage-read", registers(["rx7"])],
  ["G1a", registers(["!wx1", "rx1"])],
  ["G1b", registers(["wx1 wx2", "rx1"]), ["G-single"]],
  ["G1c", registers(["wx1 ry1", "wy1 rx1"])],
  ["dirty-update", registers(["!wx1", "rx1 wx2"]), ["G1a"]],
  ["internal", registers(["wx1 rx"])],
  ["lost-update", registers(["rx wx1", "rx wx2"]), ["G2-item"]],
  ["G-single", registers(["wx1 wy1", "rx1 ry"])],
  ["G-nonadjacent", registers(["wx1", "wy1", "rx1 ry", "rx ry1"])],
  ["G2-item", registers(["rx wy1", "ry wx1"])],
  ["G1c-realtime", registers(["rx1", "wx1"], { 0: early, 1: late })],
  ["G1c-process", registers(["rx1", "wx1"], session)],
  ["G-single-realtime", registers(["wx1", "rx"], { 0: early, 1: late })],
  ["G-single-process", registers(["wx1", "rx"], session)],
  ["G2-item-realtime", registers(["rx", "wx1 ry", "wy1"], { 0: late, 1: long, 2: early })],
];

const cases = known.map(([name, history, others = []]) => ({ name, history, others }));

describe("checkRwRegister() on known histories", () => {
  it.each(cases)("finds $name, and only what goes with it", ({ name, history, others }) => {
    expect(new Set(names(history))).toEqual(new Set([name, ...others]));
    const weakest = Math.min(...[name, ...others].map((one) => levels.indexOf(weakestLevelWithout(one))));
    for (const [at, level] of levels.entries()) {
      expect([level, checkRwRegister(history, { level }).type]).toEqual([level, at >= weakest ? "violation" : "ok"]);
    }
  });

  it("finds G0 if reads before writes tell the order of both keys", () => {
    // x: 1 of T0, then 2 of T1; y: 1 of T1, then 2 of T0. Each wrote over a version of the other that it had read.
    const history = registers(["wx1 ry1 wy2", "wy1 rx1 wx2"]);
    expect(names(history, {}, "read-uncommitted")).toEqual(["G0"]);
    expect(names(history, { writesFollowReads: false }, "read-uncommitted")).toEqual([]); // the order is not vouched for
    expect(names(history, { writesFollowReads: false })).toEqual(["G1c"]);
  });

  it("finds circular versions, and orders nothing by them", () => {
    const found = names(registers(["rx1 wx2", "rx2 wx1"]));
    expect(new Set(found)).toEqual(new Set(["cyclic-versions", "G1c"]));
    // A key that goes back in time is no linearizable key.
    const back = registers(["wx1", "wx2", "rx2", "rx1"], {
      0: { begin: 0, end: 1 },
      1: { begin: 2, end: 3 },
      2: { begin: 4, end: 5 },
      3: { begin: 6, end: 7 },
    });
    expect(names(back)).toEqual([]); // nothing says which of two blind writes came first
    expect(names(back, { linearizableKeys: true })).toContain("cyclic-versions");
  });

  it("finds a key that vanishes, if clients are said to see versions in their order", () => {
    const history = registers(["wx1", "rx"], session);
    expect(names(history, { sequentialKeys: true })).toContain("cyclic-versions");
  });

  it("takes versions from each client's own order, if that is vouched for", () => {
    // One client wrote 1, then 2. Another saw 2, and its own next transaction saw 1.
    const history = registers(["wx1", "wx2", "rx2", "rx1"], {
      0: { begin: 0, end: 1, process: 1 },
      1: { begin: 2, end: 30, process: 1 },
      2: { begin: 3, end: 4, process: 2 },
      3: { begin: 5, end: 29, process: 2 },
    });
    expect(names(history)).toEqual([]);
    expect(names(history, { sequentialKeys: true })).toContain("cyclic-versions");
  });

  it("accepts histories that are in order", () => {
    expect(names([])).toEqual([]);
    expect(names(registers(["wx1 rx1 wx2", "rx2 wx3", "rx3 ry", "wy1", "!wx9"]))).toEqual([]);
    expect(names(registers(["?wx1", "rx"], { 1: late }))).toEqual([]);
    expect(names(registers(["?wx1 wy1", "rx1 ry", "rz"]), {}, "serializable")).toEqual(["G-single"]);
  });

  it("sees past the values of aborted transactions", () => {
    const history = registers(["!wx1", "rx1 wx2 wy1", "rx ry1"]);
    expect(new Set(names(history))).toEqual(new Set(["G1a", "dirty-update", "G-single"]));
  });

  it("refuses a history in which a value was written twice", () => {
    expect(() => checkRwRegister(registers(["wx1", "wx1"]))).toThrow(
      /Cannot check the history: 1 was written twice to x/,
    );
  });

  it("says unknown, not ok, if its work is bounded away", () => {
    expect(checkRwRegister(registers(["rx wy1", "ry wx1"]), { workMax: 0 }).type).toBe("unknown");
  });

  it("tells why each step of a cycle holds", () => {
    const text = verdictText(checkRwRegister(registers(["rx wy1", "ry wx1"])));
    expect(text).toContain("T0 → T1  (rw, was not yet seen)  T0 read x = nothing, which 1 of T1 follows");
    expect(text).toContain("T1 → T0  (rw, was not yet seen)  T1 read y = nothing, which 1 of T0 follows");
  });
});

describe("checkRwRegister() on long histories", () => {
  it("decides 20,000 transactions of 16 clients", () => {
    const history = runRegisters("strict-serializable", 5, 20_000, 16, 12);
    expect(checkRwRegister(history, { sources: { linearizableKeys: true } }).type).toBe("ok");
  });
});
