import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Prng } from "../../base/prng.ts";
import { History, type Operation } from "./history.ts";
import { checkLinearizability } from "./linearizability.ts";
import {
  type KvInput,
  type KvOutput,
  kvModel,
  type RegisterInput,
  type RegisterOutput,
  registerModel,
} from "./models.ts";
import { kvHistory } from "./testing/linear-histories.ts";
import { isLinearizable } from "./testing/linear-oracle.ts";
import { violationText } from "./violation-text.ts";

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

  it("takes the twin that must be first for the first", () => {
    const twins = [write(0, 100, "q", 1), write(1, 5, "q", 2)];
    expect(verdict([...twins, write(6, 7, "z"), read(8, 9, "z"), read(10, 11, "q")])).toBe("ok");
    expect(verdict([...twins, write(6, 7, "z"), read(8, 9, "q"), read(10, 11, "z"), read(12, 13, "q")])).toBe(
      "violation",
    );
  });

  it("does not ask for a writer of what was there at the beginning", () => {
    const get = (call: number, end: number): Operation<KvInput, KvOutput> => {
      const output = { type: "get", value: undefined, modRevision: 0 } as const;
      return { client: 1, call, end, input: { type: "get", key: "k" }, output };
    };
    const put = {
      client: 1,
      call: 3,
      end: 4,
      input: { type: "put", key: "k", value: "a" },
      output: { type: "put", revision: 2 },
    } as const;
    const lost = { client: 2, call: 0, end: INFINITY, input: { type: "delete", key: "k" }, output: undefined } as const;
    expect(checkLinearizability(kvModel, [lost, get(1, 2), put, get(5, 6)]).type).toBe("ok");
    expect(checkLinearizability(kvModel, [get(1, 2), put, get(5, 6)]).type).toBe("violation");
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
        const expected = isLinearizable(registerModel, operations) ? "ok" : "violation";
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
        const expected = isLinearizable(kvModel, operations) ? "ok" : "violation";
        seen[expected]++;
        expect(checkLinearizability(kvModel, operations).type).toBe(expected);
      }),
      { numRuns: 1_000, seed: 7 },
    );
    expect(Math.min(seen.ok, seen.violation)).toBeGreaterThan(100);
  });
});

describe("checkLinearizability() explains a violation", () => {
  it("by the shortest prefix without an order, and an order of all before", () => {
    const operations = [write(0, 1, "a"), write(2, 9, "b"), read(3, 4, "b", 1), read(5, 6, "a", 2), read(7, 8, "a", 3)];
    expect(checkLinearizability(registerModel, operations)).toMatchObject({
      type: "violation",
      stuck: operations[3],
      order: [operations[0], { input: operations[1]?.input }, operations[2]],
    });
  });

  it("by few operations, where no value was written once and only the search can tell", () => {
    const noise = Array.from({ length: 60 }, (_, i) => [
      write(100 + i * 10, 105 + i * 10, `${i % 3}`, 1),
      read(101 + i * 10, 108 + i * 10, `${i % 3}`, 2),
    ]).flat();
    const bad = [write(50, 51, "7"), write(800, 801, "7"), write(802, 803, "1"), read(804, 805, "7")];
    const result = checkLinearizability(registerModel, [...noise, ...bad, write(900, 901, "2")]);
    expect(result).toMatchObject({ type: "violation", stuck: bad[3], core: bad });
  });

  it("in a drawing", () => {
    const result = checkLinearizability(registerModel, [
      write(0, 1, "a", 1),
      write(2, 9, "b", 2),
      read(3, 5, "b", 3),
      read(6, 7, "a", 4),
    ]);
    if (result.type !== "violation") throw new Error("this history has no order");
    expect(violationText(result).split("\n")).toEqual([
      "Not linearizable on x: no order of these fits",
      "  client 1  write x a → written  ├──┤",
      "  client 3  read x → read b            ├──┤",
      "  client 4  read x → read a                  ├──┤",
    ]);
  });

  it("agrees with every order of small histories: the core has none, the prefix before `stuck` has one", () => {
    let violations = 0;
    for (let seed = 0; seed < 600; seed++) {
      const operations = kvHistory(new Prng(seed), 8, 0.2, 0.15);
      const result = checkLinearizability(kvModel, operations);
      if (result.type !== "violation") continue;
      violations++;
      const { stuck, core } = result;
      const until = (moment: number): Operation<KvInput, KvOutput>[] =>
        operations
          .filter((o) => o.call < moment)
          .map((o) => (o.end <= moment ? o : { ...o, end: INFINITY, output: undefined }));
      expect(isLinearizable(kvModel, until(stuck.end))).toBe(false);
      expect(isLinearizable(kvModel, until(stuck.end - 0.001))).toBe(true);
      const weaker = until(stuck.end).flatMap((o) => {
        if (core.some((c) => c.call === o.call)) return [o];
        const changedNothing = o.output !== undefined && kvModel.isRead?.(o.input, o.output) === true;
        return changedNothing ? [] : [{ ...o, end: INFINITY, output: undefined }];
      });
      expect([seed, isLinearizable(kvModel, weaker)]).toEqual([seed, false]);
    }
    expect(violations).toBeGreaterThan(100);
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
