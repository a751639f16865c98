import { describe, expect, it } from "vitest";
import { type AnomalyName, anomalyNames, type Level, levels, weakestLevelWithout } from "./anomalies.ts";
import { checkListAppend } from "./list-append.ts";
import { runLists } from "./testing/store-runs.ts";
import { appends } from "./testing/txn-notation.ts";
import type { AppendOp, Transaction } from "./transaction.ts";
import { verdictText } from "./txn-verdict.ts";

type History = readonly Transaction<AppendOp>[];

function names(history: History, level?: Level): readonly AnomalyName[] {
  return checkListAppend(history, level === undefined ? {} : { level }).anomalies.map(({ name }) => name);
}

const early = { begin: 0, end: 1 };
const late = { begin: 2_000, end: 2_001 };

/** The name of an anomaly, a history that shows it, and what else that history shows. */
type Known = readonly [name: AnomalyName, history: History, others?: readonly AnomalyName[]];

/** One history an anomaly. */
const known: readonly Known[] = [
  ["duplicate-elements", appends(["ax1", "rx1.1"])],
  ["garbage-read", appends(["rx7"])],
  ["G0", appends(["ax1 ay1", "ax2 ay2", "rx1.2", "ry2.1"])],
  ["G1a", appends(["!ax1", "rx1"])],
  ["G1b", appends(["ax1 ax2", "rx1"]), ["G-single"]],
  ["G1c", appends(["ax1 ry1", "ay1 rx1"])],
  ["dirty-update", appends(["!ax1", "ax2", "rx1.2"]), ["G1a"]],
  ["incompatible-order", appends(["ax1", "ax2", "rx1.2", "rx2.1"])],
  ["internal", appends(["ax1 rx"])],
  ["lost-update", appends(["rx ax1", "rx ax2", "rx1.2"]), ["G-single"]],
  ["G-single", appends(["ax1 ay1", "rx1 ry", "ry1"])],
  ["G-nonadjacent", appends(["ax1", "ay1", "rx1 ry", "rx ry1"])],
  ["G2-item", appends(["rx ay1", "ry ax1"])],
  ["G0-realtime", appends(["ax1", "ax2", "rx2.1"], { 0: early, 1: late, 2: { begin: 0.5, end: 3_000 } })],
  ["G1c-realtime", appends(["rx1", "ax1"], { 0: early, 1: late })],
  ["G-single-realtime", appends(["ax1", "rx"], { 0: early, 1: late })],
  [
    "G-nonadjacent-realtime",
    appends(["ax1", "rx1 ry", "ay1", "rx"], {
      0: { begin: 0, end: 3_000 },
      1: { begin: 0.5, end: 3_000 },
      2: { begin: 0, end: 1 },
      3: late,
    }),
  ],
  ["G2-item-realtime", appends(["rx", "ax1 ry", "ay1"], { 0: late, 1: { begin: 0, end: 3_000 }, 2: early })],
  [
    "G0-process",
    appends(["ax1", "ax2", "rx2.1"], {
      0: { ...early, process: 1 },
      1: { ...late, process: 1 },
      2: { begin: 0.5, end: 3_000 },
    }),
  ],
  ["G1c-process", appends(["rx1", "ax1"], { 0: { ...early, process: 1 }, 1: { ...late, process: 1 } })],
  ["G-single-process", appends(["ax1", "rx"], { 0: { ...early, process: 1 }, 1: { ...late, process: 1 } })],
  [
    "G-nonadjacent-process",
    appends(["ax1", "rx1 ry", "ay1", "rx"], {
      0: { begin: 0, end: 3_000 },
      1: { begin: 0.5, end: 3_000 },
      2: { ...early, process: 9 },
      3: { ...late, process: 9 },
    }),
  ],
  [
    "G2-item-process",
    appends(["rx", "ax1 ry", "ay1"], {
      0: { ...late, process: 9 },
      1: { begin: 0, end: 3_000 },
      2: { ...early, process: 9 },
    }),
  ],
];

const cases = known.map(([name, history, others = []]) => ({ name, history, others }));

describe("checkListAppend() on known histories", () => {
  it.each(cases)("finds $name, and only what goes with it", ({ name, history, others }) => {
    expect(new Set(names(history))).toEqual(new Set([name, ...others]));
  });

  it("has a known history for every name but that of registers", () => {
    const missing = anomalyNames.filter((name) => !known.some(([shown]) => shown === name));
    expect(missing).toEqual(["cyclic-versions"]);
  });

  it.each(cases)("accepts $name below the level that forbids it, and not at it", ({ name, history, others }) => {
    const forbidding = [name, ...others].map((one) => levels.indexOf(weakestLevelWithout(one)));
    for (const [at, level] of levels.entries()) {
      expect([level, checkListAppend(history, { level }).type]).toEqual([
        level,
        forbidding.some((weakest) => weakest <= at) ? "violation" : "ok",
      ]);
    }
  });

  it("accepts histories that are in order", () => {
    expect(names([])).toEqual([]);
    expect(names(appends(["ax1 rx1 ax2 rx1.2", "rx1.2 ax3", "rx1.2.3 ry", "ay1"]))).toEqual([]);
    expect(names(appends(["!ax1", "rx", "ax2", "rx2"]))).toEqual([]);
  });

  it("takes an unknown transaction for committed exactly if somebody saw it", () => {
    expect(names(appends(["?ax1", "rx"], { 1: late }))).toEqual([]);
    expect(names(appends(["?ax1 ay1", "rx1", "ry"]), "serializable")).toEqual([]);
    expect(names(appends(["?ax1 ay1", "rx1 ry", "rz"]), "serializable")).toEqual(["G-single"]);
  });

  it("places a committed append that nobody saw behind all that was seen", () => {
    expect(names(appends(["ax1", "rx1 ay1", "ry ax2"]))).toEqual(["G2-item"]);
  });

  it("sees past the values of aborted transactions", () => {
    const history = appends(["!ax1", "ax2 ay1", "rx1.2", "rx ry1"]);
    expect(new Set(names(history))).toEqual(new Set(["G1a", "dirty-update", "G-single"]));
    expect(names(appends(["!ax9", "ax1", "ax2", "rx1.2", "rx9"]))).toEqual(["G1a", "incompatible-order"]);
  });

  it("refuses a history in which a value was written twice", () => {
    expect(() => checkListAppend(appends(["ax1", "ax1"]))).toThrow(
      /Cannot check the history: 1 was written twice to x/,
    );
  });

  it("says unknown, not ok, if its work is bounded away", () => {
    const verdict = checkListAppend(appends(["rx ay1", "ry ax1"]), { workMax: 0 });
    expect(verdict).toMatchObject({ type: "unknown" });
    if (verdict.type === "unknown") expect(verdict.unsearched).toContain("G2-item");
    expect(checkListAppend(appends(["ax1", "rx1"]), { workMax: 0 }).type).toBe("ok"); // no component, nothing to search
  });

  it("finds a transaction's own appends torn apart or turned round", () => {
    expect(names(appends(["ax1 ax2", "rx2"]))).toContain("incompatible-order");
    expect(names(appends(["ax1 ax2", "rx2.1"]))).toContain("incompatible-order");
    expect(names(appends(["ax1 ax2", "rx1.2"]))).toEqual([]);
  });

  it("tells why each step of a cycle holds", () => {
    expect(verdictText(checkListAppend(appends(["ax1 ay1", "rx1 ry", "ry1"], { 1: { begin: 5, end: 9 } })))).toBe(
      [
        "Not strict-serializable; at most read-committed is left",
        "",
        "G-single: a transaction saw part of another's effects: a cycle with one missed write",
        "  T1 → T0 → T1",
        "  T1  client 1, 5–9, committed: read x [1], read y []",
        "  T0  client 0, 0–1000, committed: append x 1, append y 1",
        "  T1 → T0  (rw, was not yet seen)  T1 saw y empty, without the 1 that T0 appended",
        "  T0 → T1  (wr, was seen)  T1 saw x up to 1, which T0 appended",
      ].join("\n"),
    );
  });
});

describe("checkListAppend() on long histories", () => {
  it("decides 20,000 transactions of 16 clients", () => {
    const history = runLists("strict-serializable", 5, 20_000, 16, 12);
    expect(checkListAppend(history).type).toBe("ok");
  });

  it("finds one stale read among 5,000 transactions, in a cycle of two", () => {
    const history = [...runLists("strict-serializable", 6, 5_000, 8, 6)];
    const index = history.findIndex(
      ({ operations, outcome }, i) =>
        i > 4_000 &&
        outcome === "committed" &&
        operations.length === 1 &&
        operations[0]?.type === "read" &&
        operations[0].list.length > 6,
    );
    const honest = history[index];
    const read = honest?.operations[0];
    if (honest === undefined || read?.type !== "read") throw new Error("no such read in this seed");
    history[index] = { ...honest, operations: [{ ...read, list: read.list.slice(0, 2) }] };
    const { anomalies } = checkListAppend(history);
    const found = anomalies.find(({ name }) => name === "G-single-realtime" || name === "G-single-process");
    expect(found?.examples[0]?.cycle).toHaveLength(2);
    expect(found?.examples[0]?.transactions).toContain(index);
    expect(checkListAppend(history, { level: "serializable" }).type).toBe("ok");
  });
});
