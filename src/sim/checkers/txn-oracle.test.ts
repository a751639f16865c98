/** Both transaction checkers beside the definition of serializability: every order of a small history. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Prng } from "../../base/prng.ts";
import { levels } from "./anomalies.ts";
import { checkListAppend } from "./list-append.ts";
import { checkRwRegister } from "./rw-register.ts";
import { isSerializable } from "./testing/serial-oracle.ts";
import { runLists, runRegisters } from "./testing/store-runs.ts";
import type { AppendOp, RegisterOp, Transaction } from "./transaction.ts";

describe("checkListAppend() beside every order of a small history", () => {
  it.each(["serializable", "strict-serializable"] as const)("agrees on %s", (level) => {
    const answers = { ok: 0, violation: 0, unknown: 0 };
    for (let seed = 0; seed < 1_500; seed++) {
      const prng = new Prng(seed);
      let history = runLists(prng.pick(levels), seed, 5, 3, 2);
      if (prng.chance(0.4)) history = spoiledLists(history, prng);
      const expected = isSerializable(history, { isStrict: level === "strict-serializable" }) ? "ok" : "violation";
      const verdict = checkListAppend(history, { level });
      expect([seed, verdict.type]).toEqual([seed, expected]);
      answers[verdict.type]++;
    }
    expect(Math.min(answers.ok, answers.violation)).toBeGreaterThan(150);
  });
});

/** One read returns something else: cut short, turned round, or with a value of another transaction. */
function spoiledLists(history: readonly Transaction<AppendOp>[], prng: Prng): readonly Transaction<AppendOp>[] {
  const at = prng.below(history.length);
  return history.map((transaction, index) => {
    if (index !== at) return transaction;
    const operations = transaction.operations.map((operation): AppendOp => {
      if (operation.type !== "read" || prng.chance(0.3)) return operation;
      const { list } = operation;
      const kind = prng.below(3);
      if (kind === 0) return { ...operation, list: list.slice(0, -1) };
      if (kind === 1) return { ...operation, list: list.toReversed() };
      return { ...operation, list: [...list, prng.between(1, 3)] };
    });
    return { ...transaction, operations };
  });
}

describe("checkRwRegister() beside every order of a small history", () => {
  it.each([
    ["serializable", {}],
    ["strict-serializable", {}],
    ["strict-serializable", { linearizableKeys: true, sequentialKeys: true }],
  ] as const)("never objects to a history that is %s, with sources %j", (level, sources) => {
    const answers = { right: 0, missed: 0, ok: 0 };
    for (let seed = 0; seed < 1_200; seed++) {
      const prng = new Prng(seed);
      let history = runRegisters(prng.pick(levels), seed, 5, 3, 2);
      if (prng.chance(0.4)) history = spoiledRegisters(history, prng);
      const isRight = isSerializable(history, { isStrict: level === "strict-serializable" });
      const { type } = checkRwRegister(history, { level, sources });
      if (isRight) expect([seed, type]).toEqual([seed, "ok"]);
      answers[isRight ? "ok" : type === "violation" ? "right" : "missed"]++;
    }
    expect(answers.ok).toBeGreaterThan(150);
    expect(answers.right).toBeGreaterThan(5 * answers.missed); // R1: some are missed
  });
});

/** One transaction's reads return something else. */
function spoiledRegisters(history: readonly Transaction<RegisterOp>[], prng: Prng): readonly Transaction<RegisterOp>[] {
  const at = prng.below(history.length);
  return history.map((transaction, index) => {
    if (index !== at) return transaction;
    const operations = transaction.operations.map((operation): RegisterOp => {
      if (operation.type !== "read" || prng.chance(0.3)) return operation;
      return { ...operation, value: prng.chance(0.3) ? undefined : prng.between(1, 3) };
    });
    return { ...transaction, operations };
  });
}

/** Any answers at all: no store has given them. Written values are numbered in the order of the history. */
const anyOperation = fc.record({
  key: fc.constantFrom("x", "y"),
  isWrite: fc.boolean(),
  saw: fc.uniqueArray(fc.integer({ min: 1, max: 4 }), { maxLength: 3 }),
});
const anyTransaction = fc.record({
  begin: fc.nat(12),
  length: fc.integer({ min: 1, max: 8 }),
  outcome: fc.oneof(
    { weight: 6, arbitrary: fc.constant("committed" as const) },
    { weight: 1, arbitrary: fc.constantFrom("aborted" as const, "unknown" as const) },
  ),
  planned: fc.array(anyOperation, { minLength: 1, maxLength: 3 }),
});
const anyHistory = fc.array(anyTransaction, { minLength: 1, maxLength: 5 });
type Raw = (typeof anyHistory extends fc.Arbitrary<infer T> ? T : never)[number];

function historyOf<Op>(
  raws: readonly Raw[],
  operation: (planned: Raw["planned"][number], written: number) => Op,
): readonly Transaction<Op>[] {
  const written = new Map<string, number>();
  return raws.map(({ begin, length, outcome, planned }, index) => ({
    process: index, // each client runs one
    begin: begin + index / 100, // no two at once
    end: outcome === "unknown" ? Number.POSITIVE_INFINITY : begin + index / 100 + length,
    outcome,
    operations: planned.map((one) => {
      const value = (written.get(one.key) ?? 0) + (one.isWrite ? 1 : 0);
      written.set(one.key, value);
      return operation(one, value);
    }),
  }));
}

describe("the checkers on answers that no store gave", () => {
  it.each(["serializable", "strict-serializable"] as const)("lists: agrees with every order, %s", (level) => {
    const seen = { ok: 0, violation: 0 };
    fc.assert(
      fc.property(anyHistory, (raws) => {
        const history = historyOf(raws, ({ key, isWrite, saw }, value): AppendOp => {
          // Lists in order, most of the time: else hardly anything is serializable.
          const list = saw.length === 3 ? saw : Array.from({ length: saw.length }, (_, i) => i + 1);
          return isWrite ? { type: "append", key, value } : { type: "read", key, list };
        });
        const expected = isSerializable(history, { isStrict: level === "strict-serializable" }) ? "ok" : "violation";
        seen[expected]++;
        expect(checkListAppend(history, { level }).type).toBe(expected);
      }),
      { numRuns: 1_500, seed: 11 },
    );
    expect(Math.min(seen.ok, seen.violation)).toBeGreaterThan(150);
  });

  it.each(["serializable", "strict-serializable"] as const)(
    "registers: objects only to what has no order, %s",
    (level) => {
      const seen = { ok: 0, right: 0, missed: 0 };
      fc.assert(
        fc.property(anyHistory, (raws) => {
          const history = historyOf(
            raws,
            ({ key, isWrite, saw }, value): RegisterOp =>
              isWrite ? { type: "write", key, value } : { type: "read", key, value: saw[0] },
          );
          const isRight = isSerializable(history, { isStrict: level === "strict-serializable" });
          // Without the assumption that a write follows the read before it every finding is a proof.
          const { type } = checkRwRegister(history, { level, sources: { writesFollowReads: false } });
          if (isRight) expect(type).toBe("ok");
          seen[isRight ? "ok" : type === "violation" ? "right" : "missed"]++;
        }),
        { numRuns: 1_500, seed: 11 },
      );
      expect(seen.ok).toBeGreaterThan(150);
      expect(seen.right).toBeGreaterThan(2 * seen.missed);
    },
  );
});
