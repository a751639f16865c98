import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Prng } from "../../base/prng.ts";
import { History, type Operation } from "./history.ts";
import { checkLinearizability, type Model } from "./linearizability.ts";
import {
  type KvInput,
  type KvOutput,
  kvModel,
  type RegisterInput,
  type RegisterOutput,
  registerModel,
} from "./models.ts";

type RegisterOp = Operation<RegisterInput, RegisterOutput>;
const INFINITY = Number.POSITIVE_INFINITY;

function write(call: number, end: number, value: string, client = 0): RegisterOp {
  const output = end === INFINITY ? undefined : ({ type: "written" } as const);
  return { client, call, end, input: { type: "write", key: "x", value }, output };
}

function read(call: number, end: number, value: string | undefined, client = 0): RegisterOp {
  return { client, call, end, input: { type: "read", key: "x" }, output: { type: "read", value } };
}

function cas(
  call: number,
  end: number,
  from: string | undefined,
  to: string,
  swapped: boolean | undefined,
): RegisterOp {
  const output = swapped === undefined ? undefined : ({ type: "cas", swapped } as const);
  return { client: 0, call, end, input: { type: "cas", key: "x", from, to }, output };
}

function verdict(operations: readonly RegisterOp[]): string {
  return checkLinearizability(registerModel, operations).type;
}

/** Tries every order of every choice of unknown operations: the definition itself, for small histories. */
function naive<S, I, O>(model: Model<S, I, O>, operations: readonly Operation<I, O>[]): boolean {
  const search = (state: S, left: readonly Operation<I, O>[]): boolean => {
    if (left.every((o) => o.end === INFINITY)) return true;
    const firstEnd = Math.min(...left.map((o) => o.end));
    return left.some((o) => {
      if (o.call > firstEnd) return false;
      const next = model.step(state, o.input, o.output);
      return (
        next !== undefined &&
        search(
          next,
          left.filter((other) => other !== o),
        )
      );
    });
  };
  return search(model.init(), operations);
}

describe("checkLinearizability() on known histories", () => {
  it("accepts an empty and a sequential history", () => {
    expect(verdict([])).toBe("ok");
    expect(verdict([write(0, 1, "a"), read(2, 3, "a"), write(4, 5, "b"), read(6, 7, "b")])).toBe("ok");
  });

  it("accepts concurrent reads that disagree only while the write runs", () => {
    expect(
      verdict([write(0, 1, "a"), write(2, 9, "b"), read(3, 4, "a", 1), read(5, 6, "b", 2), read(7, 8, "b", 1)]),
    ).toBe("ok");
  });

  it("refuses a stale read", () => {
    expect(verdict([write(0, 1, "a"), write(2, 3, "b"), read(4, 5, "a")])).toBe("violation");
  });

  it("refuses a new-old inversion of two reads during one write (Herlihy & Wing, regular but not atomic)", () => {
    expect(verdict([write(0, 1, "a"), write(2, 9, "b"), read(3, 4, "b", 1), read(5, 6, "a", 2)])).toBe("violation");
  });

  it("refuses a lost update of two compare-and-swaps", () => {
    expect(verdict([write(0, 1, "0"), cas(2, 5, "0", "1", true), cas(3, 6, "0", "2", true)])).toBe("violation");
    expect(verdict([write(0, 1, "0"), cas(2, 5, "0", "1", true), cas(3, 6, "0", "2", false)])).toBe("ok");
  });

  it("lets an unknown write take effect late, or never, but not before its call", () => {
    expect(verdict([write(0, INFINITY, "a"), read(5, 6, undefined), read(7, 8, "a")])).toBe("ok");
    expect(verdict([write(0, INFINITY, "a"), read(5, 6, undefined), read(7, 8, undefined)])).toBe("ok");
    expect(verdict([read(1, 2, "a"), write(3, INFINITY, "a")])).toBe("violation");
    expect(verdict([write(0, INFINITY, "a"), read(1, 2, "a"), read(3, 4, undefined)])).toBe("violation");
  });

  it("chains unknown operations that need each other", () => {
    const chain = [cas(0, INFINITY, undefined, "1", undefined), cas(1, INFINITY, "1", "2", undefined)];
    expect(verdict([...chain, read(5, 6, "2")])).toBe("ok");
    expect(verdict([...chain.slice(1), read(5, 6, "2")])).toBe("violation");
  });

  it("names the partition, the order found and the operation that does not fit", () => {
    const other: RegisterOp = { ...write(0, 1, "z"), input: { type: "write", key: "y", value: "z" } };
    const stale = read(4, 5, "a");
    const result = checkLinearizability(registerModel, [other, write(0, 1, "a"), write(2, 3, "b"), stale]);
    expect(result).toMatchObject({ type: "violation", partition: "x", stuck: stale });
    if (result.type === "violation") expect(result.order).toHaveLength(2);
  });

  it("tells a search that was cut short from an answer", () => {
    const operations = Array.from({ length: 50 }, (_, i) => write(i, 1_000 + i, `${i % 3}`, i));
    const stuck = [...operations, read(2_000, 2_001, "nobody wrote this")];
    expect(checkLinearizability(registerModel, stuck, { stepsMax: 1_000 })).toMatchObject({
      type: "unknown",
      why: "steps",
    });
    let asked = 0;
    const isOver = (): boolean => ++asked > 1;
    expect(checkLinearizability(registerModel, stuck, { isOver })).toMatchObject({ type: "unknown", why: "time" });
  });
});

describe("checkLinearizability() beside its naive twin", () => {
  const value = fc.constantFrom("a", "b");
  const raw = fc.record({
    call: fc.nat(12),
    length: fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined, freq: 3 }),
    what: fc.oneof(
      fc.record({ type: fc.constant("read" as const), value: fc.option(value, { nil: undefined }) }),
      fc.record({ type: fc.constant("write" as const), value }),
      fc.record({
        type: fc.constant("cas" as const),
        from: fc.option(value, { nil: undefined }),
        to: value,
        swapped: fc.boolean(),
      }),
    ),
  });

  it("agrees on random small histories of a register", () => {
    const seen = { ok: 0, violation: 0 };
    fc.assert(
      fc.property(fc.array(raw, { maxLength: 7 }), (raws) => {
        const operations = raws.map(({ call, length, what }): RegisterOp => {
          const end = length === undefined ? INFINITY : call + length;
          if (what.type === "write") return write(call, end, what.value);
          if (what.type === "read") {
            return end === INFINITY
              ? { ...read(call, end, undefined), output: undefined }
              : read(call, end, what.value);
          }
          return cas(call, end, what.from, what.to, end === INFINITY ? undefined : what.swapped);
        });
        const expected = naive(registerModel, operations) ? "ok" : "violation";
        seen[expected]++;
        expect(verdict(operations)).toBe(expected);
      }),
      { numRuns: 2_000, seed: 7 },
    );
    expect(Math.min(seen.ok, seen.violation)).toBeGreaterThan(200); // both answers were tested
  });

  it("agrees on random small histories of the etcd-like store", () => {
    const seen = { ok: 0, violation: 0 };
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 }), (seed) => {
        const operations = kvHistory(new Prng(seed), 7, 0.3, 0.15);
        const expected = naive(kvModel, operations) ? "ok" : "violation";
        seen[expected]++;
        expect(checkLinearizability(kvModel, operations).type).toBe(expected);
      }),
      { numRuns: 1_000, seed: 7 },
    );
    expect(Math.min(seen.ok, seen.violation)).toBeGreaterThan(100);
  });
});

/** A history that a real store produced, one key, overlapping calls; some ends unknown; some answers spoiled. */
function kvHistory(
  prng: Prng,
  count: number,
  unknownChance: number,
  lieChance: number,
  clients = 3,
): Operation<KvInput, KvOutput>[] {
  let value: string | undefined;
  let modRevision = 0;
  let revision = 1;
  const busyUntil = new Array<number>(clients).fill(0);
  const operations: Operation<KvInput, KvOutput>[] = [];
  for (let i = 0; i < count; i++) {
    const at = (i + 1) * 10; // where it takes effect; calls and ends lie around it
    const client = prng.below(clients);
    const call = Math.max((busyUntil[client] ?? 0) + 1, at - prng.below(25)) - prng.unit() * 0.5;
    if (call >= at) continue;
    const unknown = prng.chance(unknownChance);
    const happens = !unknown || prng.chance(0.5);
    const end = unknown ? INFINITY : at + 1 + prng.below(25);
    busyUntil[client] = unknown ? at : end;
    const kind = prng.below(4);
    let input: KvInput;
    let output: KvOutput;
    if (kind === 0) {
      input = { type: "get", key: "k" };
      output = { type: "get", value, modRevision };
      if (prng.chance(lieChance)) output = { type: "get", value, modRevision: modRevision + 1 };
    } else if (kind === 1) {
      input = { type: "put", key: "k", value: `v${i}` };
      if (happens) {
        revision += 1 + prng.below(2);
        value = `v${i}`;
        modRevision = revision;
      }
      output = { type: "put", revision: prng.chance(lieChance) ? revision - 3 : revision };
    } else if (kind === 2) {
      const expected = prng.chance(0.7) ? modRevision : prng.below(revision + 1);
      input = { type: "cas", key: "k", expected, value: `c${i}` };
      const swapped = expected === modRevision;
      if (happens && swapped) {
        revision++;
        value = `c${i}`;
        modRevision = revision;
      }
      output = { type: "cas", swapped: prng.chance(lieChance) ? !swapped : swapped, revision };
    } else {
      input = { type: "delete", key: "k" };
      const deleted = value !== undefined;
      if (happens && deleted) {
        revision++;
        value = undefined;
        modRevision = 0;
      }
      output = { type: "delete", deleted: prng.chance(lieChance) ? !deleted : deleted, revision };
    }
    operations.push({ client, call, end, input, output: unknown ? undefined : output });
  }
  return operations;
}

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

describe("History", () => {
  it("drops refused calls, keeps unknown and open ones without an end", () => {
    const history = new History<string, number>();
    const a = history.begin(1, "a");
    const b = history.begin(2, "b");
    const c = history.begin(3, "c");
    history.begin(4, "d");
    history.end(a, 7);
    history.refused(b);
    history.unknown(c);
    expect(history.operations()).toEqual([
      { client: 1, input: "a", call: 0, end: 4, output: 7 },
      { client: 3, input: "c", call: 2, end: INFINITY, output: undefined },
      { client: 4, input: "d", call: 3, end: INFINITY, output: undefined },
    ]);
    expect(() => history.end(a, 8)).toThrow(/ends once/);
  });
});
