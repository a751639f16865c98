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

  it("tells a search that was cut short from an answer", () => {
    // Sixty clients at once, and values that are written again and again: too many orders to try them all.
    const stuck = busyHistory(new Prng(2), 5_000, 60, 0.05, 4);
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

/** Clients that always have a call open, on one register, with values written once (or few of them, again and again): the effect lies anywhere in the call. */
function busyHistory(prng: Prng, count: number, clients: number, unknownChance: number, values = 1e9): RegisterOp[] {
  type Call = { readonly call: number; readonly input: RegisterInput; output: RegisterOutput | undefined };
  let moment = 0;
  let value: string | undefined;
  const begin = (): Call => {
    const kind = prng.below(10);
    const fresh = `v${moment % values}`;
    const from = prng.chance(0.7) ? value : "v0";
    const inputs: readonly RegisterInput[] = [
      { type: "read", key: "x" },
      { type: "write", key: "x", value: fresh },
      { type: "cas", key: "x", from, to: fresh },
    ];
    const input = inputs[kind < 5 ? 0 : kind < 8 ? 1 : 2] ?? { type: "read", key: "x" };
    return { call: moment++, input, output: undefined };
  };
  const happen = (call: Call): void => {
    const { input } = call;
    if (input.type === "read") call.output = { type: "read", value };
    else if (input.type === "write") {
      value = input.value;
      call.output = { type: "written" };
    } else {
      const swapped = value === input.from;
      if (swapped) value = input.to;
      call.output = { type: "cas", swapped };
    }
  };
  const open = Array.from({ length: clients }, begin);
  const operations: RegisterOp[] = [];
  const unknown = (client: number, { call, input }: Call): void => {
    operations.push({ client, call, input, end: INFINITY, output: undefined });
  };
  while (operations.length < count) {
    const client = prng.below(clients);
    const call = open[client] ?? begin();
    if (call.output === undefined && prng.chance(unknownChance)) {
      if (prng.chance(0.5)) happen(call);
      unknown(client, call);
      open[client] = begin();
    } else if (call.output === undefined) {
      happen(call);
    } else {
      operations.push({ client, call: call.call, input: call.input, end: moment++, output: call.output });
      open[client] = begin();
    }
  }
  for (const [client, call] of open.entries()) unknown(client, call);
  return operations.sort((a, b) => a.call - b.call);
}

describe("checkLinearizability() under many clients", () => {
  it.each([8, 32, 64])("decides 10,000 operations of %i clients on one register, 5 % of them unknown", (clients) => {
    const operations = busyHistory(new Prng(1), 10_000, clients, 0.05);
    const result = checkLinearizability(registerModel, operations);
    expect(result.type).toBe("ok");
    expect(result.steps).toBeLessThan(1_000_000);
    const index = operations.findIndex((o, i) => i > 9_000 && o.input.type === "read" && o.output !== undefined);
    const honest = operations[index];
    const old = operations.find((o, i) => i > 4_000 && o.output?.type === "read" && o.output.value !== undefined);
    if (honest === undefined || old === undefined) throw new Error("no such reads in this seed");
    operations[index] = { ...honest, output: old.output };
    const broken = checkLinearizability(registerModel, operations);
    expect(broken).toMatchObject({ type: "violation", stuck: operations[index] });
    if (broken.type !== "violation") return;
    expect(broken.core.length).toBeLessThanOrEqual(4);
    expect(naive(registerModel, broken.core.concat(writersOf(operations, broken.core)))).toBe(false); // V2
  });
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
      expect(naive(kvModel, until(stuck.end))).toBe(false);
      expect(naive(kvModel, until(stuck.end - 0.001))).toBe(true);
      const weaker = until(stuck.end).flatMap((o) => {
        if (core.some((c) => c.call === o.call)) return [o];
        const changedNothing = o.output !== undefined && kvModel.isRead?.(o.input, o.output) === true;
        return changedNothing ? [] : [{ ...o, end: INFINITY, output: undefined }];
      });
      expect([seed, naive(kvModel, weaker)]).toEqual([seed, false]);
    }
    expect(violations).toBeGreaterThan(100);
  });
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
