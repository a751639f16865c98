import { describe, expect, it } from "vitest";
import { Prng } from "../../base/prng.ts";
import {
  type QueueInput,
  type QueueOutput,
  queueModel,
  type SetInput,
  type SetOutput,
  setModel,
} from "./collection-models.ts";
import type { Operation } from "./history.ts";
import { checkLinearizability, type Model } from "./linearizability.ts";
import { type LockInput, type LockOutput, lockModel } from "./lock-model.ts";

const INFINITY = Number.POSITIVE_INFINITY;

/** [call, end, input without its key, output without its type]; no output: the outcome is unknown. */
type Row<Input, Output> = readonly [number, number, Input, Output?];

function verdict<State, Input extends { readonly type: string }, Output>(
  model: Model<State, Input, Output>,
  rows: readonly Row<Input, Output>[],
): string {
  return checkLinearizability(
    model,
    rows.map(([call, end, input, output], client) => ({ client, call, end, input, output })),
  ).type;
}

/** What a real object answers if calls take effect at one moment each, with some answers lost and some spoiled. */
function record<State, Input, Output>(
  model: Model<State, Input, Output>,
  prng: Prng,
  count: number,
  input: () => Input,
  answers: (input: Input) => readonly Output[],
): { readonly honest: Operation<Input, Output>[]; readonly spoiled: Operation<Input, Output>[] } {
  let state = model.init();
  const honest: Operation<Input, Output>[] = [];
  const spoiled: Operation<Input, Output>[] = [];
  for (let i = 0; i < count; i++) {
    const at = 10 * (i + 1);
    const made = input();
    const possible = answers(made);
    const output = possible.find((one) => model.step(state, made, one) !== undefined);
    if (output === undefined) continue;
    const isLost = prng.chance(0.15);
    if (!isLost || prng.chance(0.5)) state = model.step(state, made, output) ?? state;
    const times = { client: i, input: made, call: at - prng.below(25) - 0.5 };
    const end = isLost ? INFINITY : at + prng.below(25) + 0.5;
    honest.push({ ...times, end, output: isLost ? undefined : output });
    const lie = prng.chance(0.1) ? prng.pick(possible) : output;
    spoiled.push({ ...times, end, output: isLost ? undefined : lie });
  }
  return { honest, spoiled };
}

/** The definition itself. */
function naive<S, I, O>(model: Model<S, I, O>, operations: readonly Operation<I, O>[]): boolean {
  const search = (state: S, left: readonly Operation<I, O>[]): boolean => {
    if (left.every((o) => o.end === INFINITY)) return true;
    const firstEnd = Math.min(...left.map((o) => o.end));
    return left.some((o) => {
      if (o.call > firstEnd) return false;
      const next = model.step(state, o.input, o.output);
      const rest = left.filter((other) => other !== o);
      return next !== undefined && search(next, rest);
    });
  };
  return search(model.init(), operations);
}

function agrees<S, I, O>(model: Model<S, I, O>, input: (prng: Prng) => I, answers: (input: I) => readonly O[]): void {
  const seen = { ok: 0, violation: 0 };
  for (let seed = 0; seed < 400; seed++) {
    const prng = new Prng(seed);
    const { honest, spoiled } = record(model, prng, 7, () => input(prng), answers);
    expect([seed, checkLinearizability(model, honest).type]).toEqual([seed, "ok"]);
    const expected = naive(model, spoiled) ? "ok" : "violation";
    seen[expected]++;
    expect([seed, checkLinearizability(model, spoiled).type]).toEqual([seed, expected]);
  }
  expect(Math.min(seen.ok, seen.violation)).toBeGreaterThan(40);
}

describe("setModel", () => {
  const add = (element: string): SetInput => ({ type: "add", key: "s", element });
  const members: SetInput = { type: "members", key: "s" };

  it("accepts a read of all while an add runs, either way, and refuses a lost element", () => {
    const rows = (elements: readonly string[]): Row<SetInput, SetOutput>[] => [
      [0, 1, add("a"), { type: "add", added: true }],
      [2, 9, add("b"), { type: "add", added: true }],
      [3, 4, members, { type: "members", elements }],
    ];
    expect(verdict(setModel, rows(["a"]))).toBe("ok");
    expect(verdict(setModel, rows(["b", "a"]))).toBe("ok");
    expect(verdict(setModel, rows(["b"]))).toBe("violation");
  });

  it("agrees with every order", () => {
    const types = ["add", "remove", "has", "members"] as const;
    agrees<readonly string[], SetInput, SetOutput>(
      setModel,
      (prng) => ({ type: prng.pick(types), key: "s", element: prng.pick(["a", "b"]) }),
      ({ type }) => {
        if (type === "members") return [[], ["a"], ["b"], ["a", "b"]].map((elements) => ({ type, elements }));
        const both = [true, false];
        if (type === "add") return both.map((added) => ({ type, added }));
        return both.map((it) => (type === "remove" ? { type, removed: it } : { type, found: it }));
      },
    );
  });
});

describe("queueModel", () => {
  const enqueue = (element: string): QueueInput => ({ type: "enqueue", key: "q", element });
  const dequeue: QueueInput = { type: "dequeue", key: "q" };
  const got = (element: string | undefined): QueueOutput => ({ type: "dequeue", element });

  it("refuses what comes out of order, twice, or not at all", () => {
    const put: Row<QueueInput, QueueOutput>[] = [
      [0, 1, enqueue("a"), { type: "enqueue" }],
      [2, 3, enqueue("b"), { type: "enqueue" }],
    ];
    expect(verdict(queueModel, [...put, [4, 5, dequeue, got("a")], [6, 7, dequeue, got("b")]])).toBe("ok");
    expect(verdict(queueModel, [...put, [4, 5, dequeue, got("b")]])).toBe("violation");
    expect(verdict(queueModel, [...put, [4, 5, dequeue, got("a")], [6, 7, dequeue, got("a")]])).toBe("violation");
    expect(verdict(queueModel, [...put, [4, 5, dequeue, got(undefined)]])).toBe("violation");
    expect(verdict(queueModel, [...put, [4, INFINITY, dequeue], [6, 7, dequeue, got("b")]])).toBe("ok");
  });

  it("agrees with every order", () => {
    let next = 0;
    agrees<readonly string[], QueueInput, QueueOutput>(
      queueModel,
      (prng) => (prng.chance(0.6) ? enqueue(`${next++ % 4}`) : dequeue),
      ({ type }) => (type === "enqueue" ? [{ type }] : [undefined, "0", "1", "2", "3"].map(got)),
    );
  });
});

describe("lockModel()", () => {
  const acquire: LockInput = { type: "acquire", key: "l" };
  const release = (token: number): LockInput => ({ type: "release", key: "l", token });
  const use = (token: number): LockInput => ({ type: "use", key: "l", token });
  const got = (token: number | undefined): LockOutput => ({ type: "acquire", token });
  const released: LockOutput = { type: "release", released: true };
  const accepted = (is: boolean): LockOutput => ({ type: "use", accepted: is });

  it("refuses two holders, unless leases may expire", () => {
    const rows: Row<LockInput, LockOutput>[] = [
      [0, 1, acquire, got(1)],
      [2, 3, acquire, got(2)],
    ];
    expect(verdict(lockModel({ mayExpire: false }), rows)).toBe("violation");
    expect(verdict(lockModel({ mayExpire: true }), rows)).toBe("ok");
    const passed: Row<LockInput, LockOutput>[] = [
      [0, 1, acquire, got(1)],
      [2, 5, release(1), released],
      [3, 9, acquire, got(4)],
    ];
    expect(verdict(lockModel({ mayExpire: false }), passed)).toBe("ok");
  });

  it("refuses a token that does not rise", () => {
    for (const mayExpire of [true, false]) {
      const rows: Row<LockInput, LockOutput>[] = [
        [0, 1, acquire, got(5)],
        [2, 3, release(5), released],
        [4, 5, acquire, got(5)],
      ];
      expect(verdict(lockModel({ mayExpire }), rows)).toBe("violation");
    }
  });

  it("refuses a resource that takes an old token after a newer one", () => {
    const rows = (late: boolean): Row<LockInput, LockOutput>[] => [
      [0, 1, acquire, got(1)],
      [2, 3, acquire, got(2)],
      [4, 5, use(2), accepted(true)],
      [6, 7, use(1), accepted(late)],
    ];
    expect(verdict(lockModel({ mayExpire: true }), rows(true))).toBe("violation");
    expect(verdict(lockModel({ mayExpire: true }), rows(false))).toBe("ok");
  });

  it.each([true, false])("agrees with every order, mayExpire %s", (mayExpire) => {
    let token = 0;
    agrees<ReturnType<ReturnType<typeof lockModel>["init"]>, LockInput, LockOutput>(
      lockModel({ mayExpire }),
      (prng) => prng.pick([acquire, release(prng.between(1, 4)), use(prng.between(1, 4))]),
      ({ type }) => {
        if (type === "acquire") return [++token % 4, undefined, 1, 2, 3].map((one) => got(one === 0 ? undefined : one));
        const both = [true, false];
        return both.map((it) => (type === "release" ? { type, released: it } : { type, accepted: it }));
      },
    );
  });
});
