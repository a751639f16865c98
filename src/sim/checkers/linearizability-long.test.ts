/** Long histories and many clients: how much work the search takes. What it says when it may not: `linearizability-box.test.ts`. */
import { describe, expect, it } from "vitest";
import { Prng } from "../../base/prng.ts";
import type { Operation } from "./history.ts";
import { checkLinearizability } from "./linearizability.ts";
import {
  type KvInput,
  kvModel,
  type KvOutput,
  type RegisterInput,
  registerModel,
  type RegisterOutput,
} from "./models.ts";
import { busyHistory, kvHistory } from "./testing/linear-histories.ts";
import { isLinearizable } from "./testing/linear-oracle.ts";

type RegisterOp = Operation<RegisterInput, RegisterOutput>;
const INFINITY = Number.POSITIVE_INFINITY;

describe("checkLinearizability() on long histories", () => {
  it("decides 10,000 operations of 10 clients on one key, 3 % of them unknown, in steps that grow with its length", () => {
    const operations = kvHistory(new Prng(3), 14_000, 0.03, 0, 10).slice(0, 10_000);
    expect(operations).toHaveLength(10_000);
    const result = checkLinearizability(kvModel, operations);
    expect(result.type).toBe("ok");
    expect(result.steps).toBeLessThan(500_000); // about half a second
  });

  it.each(["never written", "written and overwritten long ago"])(
    "finds one read of a value %s, near the end of 1,000 operations of which some are unknown",
    (what) => {
      const operations = kvHistory(new Prng(4), 1_400, 0.02, 0, 10).slice(0, 1_000);
      const isRead = (o: Operation<KvInput, KvOutput>): boolean =>
        o.output?.type === "get" && o.output.value !== undefined;
      const index = operations.findIndex((o, i) => i > 900 && isRead(o));
      const old = operations.find((o, i) => i > 700 && isRead(o));
      const lie = operations[index];
      expect(lie !== undefined && old !== undefined).toBe(true);
      const output = what === "never written" ? ({ type: "get", value: what, modRevision: 7 } as const) : old?.output;
      if (lie !== undefined) operations[index] = { ...lie, output };
      expect(checkLinearizability(kvModel, operations)).toMatchObject({ type: "violation", stuck: operations[index] });
    },
  );
});

describe("checkLinearizability() under many clients", () => {
  it.each([8, 32, 64])("decides 10,000 operations of %i clients on one register, 5 % of them unknown", (clients) => {
    const operations = busyHistory(new Prng(1), 10_000, clients, 0.05);
    const result = checkLinearizability(registerModel, operations);
    expect(result.type).toBe("ok");
    expect(result.steps).toBeLessThan(1_000_000);
  });

  it.each([8, 32, 64])(
    "names a few operations if one read among 2,000 operations of %i clients is stale",
    (clients) => {
      const operations = busyHistory(new Prng(1), 2_000, clients, 0.05);
      const index = operations.findIndex((o, i) => i > 1_800 && o.input.type === "read" && o.output !== undefined);
      const honest = operations[index];
      const old = operations.find((o, i) => i > 800 && o.output?.type === "read" && o.output.value !== undefined);
      if (honest === undefined || old === undefined) throw new Error("no such reads in this seed");
      operations[index] = { ...honest, output: old.output };
      const broken = checkLinearizability(registerModel, operations);
      expect(broken).toMatchObject({ type: "violation", stuck: operations[index] });
      if (broken.type !== "violation") return;
      expect(broken.core.length).toBeLessThanOrEqual(4);
      expect(isLinearizable(registerModel, broken.core.concat(writersOf(operations, broken.core)))).toBe(false); // V2
    },
  );
});

/** The writes of the values that some operations saw, as if their answers were not known. */
function writersOf(operations: readonly RegisterOp[], seenBy: readonly RegisterOp[]): RegisterOp[] {
  const seen = new Set(seenBy.map((o) => registerModel.values?.(o.input, o.output).saw));
  return operations
    .filter(
      (o) =>
        !seenBy.includes(o) && o.input.type !== "read" && seen.has(registerModel.values?.(o.input, undefined).writes),
    )
    .map((o) => ({ ...o, end: INFINITY, output: undefined }));
}

describe("checkLinearizability() on many keys", () => {
  it("finds one lie among 10,000 operations on 20 keys", () => {
    const operations = Array.from({ length: 20 }, (_, key) =>
      kvHistory(new Prng(key), 700, 0.02, 0, 10)
        .slice(0, 500)
        .map((o) => ({ ...o, input: { ...o.input, key: `k${key}` } })),
    ).flat();
    expect(operations).toHaveLength(10_000);
    expect(checkLinearizability(kvModel, operations).type).toBe("ok");
    const index = operations.findIndex((o, i) => i > 7_000 && o.output?.type === "delete" && o.output.deleted);
    const lie = operations[index];
    if (lie !== undefined) operations[index] = { ...lie, output: { type: "delete", deleted: true, revision: 1 } };
    expect(checkLinearizability(kvModel, operations)).toMatchObject({ type: "violation", partition: "k14" });
  });
});
