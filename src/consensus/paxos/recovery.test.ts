/** Phase 1 over all slots: whose value wins, what becomes of gaps, and how a stop entry that may have lost is settled. */
import { describe, expect, test } from "vitest";
import { utf8 } from "../../base/bytes.ts";
import { type LogIndex, logIndex, nodeId } from "../../base/ids.ts";
import { type Ballot, ballotOf, openingBallot } from "./ballot.ts";
import type { PaxosPromise, Report } from "./messages.ts";
import { type Conclusion, type Plan, Recovery } from "./recovery.ts";
import { digestOf, type SlotValue, ValueTag } from "./value.ts";

const at = (round: number, era = 0): Ballot => ballotOf({ era, round, node: 1 });
const value = (origin: Ballot, tag: SlotValue["tag"] = ValueTag.command): SlotValue => ({
  tag,
  origin,
  body: utf8(`v${origin}`),
  bodyCrc: origin % 0x1_0000_0000,
});
const stop = (): SlotValue => value(openingBallot(1, nodeId(1)), ValueTag.stop);

function report(index: number, ballot: Ballot, what: SlotValue = value(ballot), near = true): Report {
  return { index: logIndex(index), ballot, digest: digestOf(what), value: near ? what : undefined };
}

function promise(reports: readonly Report[], more: Partial<PaxosPromise> = {}): PaxosPromise {
  const zero = logIndex(0);
  return { type: "promise", ballot: at(9), chosen: zero, start: zero, part: 0, parts: 1, reports, ...more };
}

function conclude(promises: readonly PaxosPromise[], own: readonly Report[] = [], chosen = 0): Conclusion {
  const recovery = new Recovery(at(9));
  for (const [i, message] of promises.entries()) recovery.add(nodeId(i + 2), message);
  return recovery.conclude(logIndex(chosen), own);
}

function plan(conclusion: Conclusion): Plan {
  if (conclusion.type !== "plan") throw new Error("values are missing");
  return conclusion.plan;
}

const origins = (p: Plan): (Ballot | undefined)[] => {
  const list: (Ballot | undefined)[] = [];
  for (let i: LogIndex = p.first; i <= p.last; i = logIndex(i + 1)) list.push(p.values.get(i)?.origin);
  return list;
};

describe("P2: values", () => {
  test("the highest ballot wins in each slot, whoever reports it and in whatever order", () => {
    const result = plan(
      conclude(
        [promise([report(1, at(2)), report(2, at(4))]), promise([report(1, at(3)), report(2, at(1))])],
        [report(1, at(1)), report(2, at(2))],
      ),
    );
    expect(origins(result)).toEqual([at(3), at(4)]);
  });

  test("a re-proposed value keeps its origin, and its ballot decides", () => {
    const result = plan(conclude([promise([report(1, at(6), value(at(1)))]), promise([report(1, at(5))])]));
    expect(origins(result)).toEqual([at(1)]);
  });

  test("a gap below a reported slot is a no-op, and nothing follows the last one", () => {
    const result = plan(conclude([promise([report(3, at(2))])]));
    expect(result).toMatchObject({ first: 1, last: 3, stops: false });
    expect(origins(result)).toEqual([undefined, undefined, at(2)]);
  });

  test("nothing reported is an empty plan", () => {
    expect(plan(conclude([promise([])], [], 0))).toMatchObject({ first: 1, last: 0 });
  });

  test("two values under one ballot stop the node", () => {
    const other = { ...value(at(2)), bodyCrc: 1 };
    expect(() => conclude([promise([report(1, at(2))]), promise([report(1, at(2), other)])])).toThrow(/one value/);
  });

  test("leftovers of other eras count for nothing", () => {
    const recovery = new Recovery(at(1, 1));
    recovery.add(nodeId(2), promise([report(1, at(7)), report(2, at(8))], { ballot: at(1, 1) }));
    expect(recovery.conclude(logIndex(0), [])).toMatchObject({ type: "plan", plan: { last: 0 } });
  });
});

describe("P9: watermarks", () => {
  test("slots at or below what this node knows to be chosen are no business of the plan", () => {
    expect(origins(plan(conclude([promise([report(1, at(2)), report(3, at(2))])], [], 2)))).toEqual([at(2)]);
  });

  test("nothing is concluded while somebody knows more", () => {
    expect(() => conclude([promise([], { chosen: logIndex(5) })])).toThrow(/P9/);
  });

  test("furthest names the highest watermark and start of complete promises", () => {
    const recovery = new Recovery(at(9));
    recovery.add(nodeId(2), promise([], { chosen: logIndex(5), start: logIndex(4) }));
    recovery.add(nodeId(3), promise([], { chosen: logIndex(9), start: logIndex(1), parts: 2 }));
    expect(recovery.furthest).toEqual({ chosen: 5, start: 4, by: 2 });
  });
});

describe("parts", () => {
  test("a promise counts when all parts are there, in any order and repeated", () => {
    const recovery = new Recovery(at(9));
    const parts = [0, 1, 2].map((part) => promise([report(part + 1, at(2))], { part, parts: 3 }));
    for (const i of [2, 0, 2]) recovery.add(nodeId(2), parts[i] ?? promise([]));
    expect(recovery.isComplete(nodeId(2))).toBe(false);
    recovery.add(nodeId(2), parts[1] ?? promise([]));
    expect(recovery.isComplete(nodeId(2))).toBe(true);
    expect(plan(recovery.conclude(logIndex(0), [])).values.size).toBe(3);
  });

  test("a set that was begun at an older watermark is dropped for a newer one", () => {
    const recovery = new Recovery(at(9));
    recovery.add(nodeId(2), promise([report(1, at(2))], { part: 0, parts: 2 }));
    recovery.add(nodeId(2), promise([report(2, at(2))], { part: 0, parts: 1, chosen: logIndex(1) }));
    expect(recovery.isComplete(nodeId(2))).toBe(true);
    expect(recovery.furthest.chosen).toBe(1);
  });
});

describe("values that were not sent along", () => {
  test("are asked for at the one who has them under the winning ballot, and only if nobody near has them", () => {
    const far = promise([report(1, at(3), value(at(3)), false), report(2, at(3), value(at(1)), false)]);
    expect(conclude([far], [report(1, at(2)), report(2, at(1))])).toEqual({
      type: "fetch",
      wanted: new Map([[2, [1]]]), // slot 2: the same value lies here under an older ballot
    });
  });

  test("are used once fetched, if they are the right ones", () => {
    const recovery = new Recovery(at(9));
    recovery.add(nodeId(2), promise([report(1, at(3), value(at(3)), false)]));
    recovery.addFetched(logIndex(1), value(at(2)));
    expect(recovery.conclude(logIndex(0), []).type).toBe("fetch");
    recovery.addFetched(logIndex(1), value(at(3)));
    expect(origins(plan(recovery.conclude(logIndex(0), [])))).toEqual([at(3)]);
  });
});

describe("P10: a stop entry", () => {
  test("ends the plan, and what lies above it under lower ballots is dropped", () => {
    const result = plan(conclude([promise([report(1, at(1)), report(2, at(5), stop()), report(3, at(4))])]));
    expect(result).toMatchObject({ first: 1, last: 2, stops: true });
  });

  test("was not chosen if something lies above it under a higher ballot: its slot is free", () => {
    const result = plan(conclude([promise([report(1, at(5), stop()), report(2, at(6))])]));
    expect(result).toMatchObject({ last: 2, stops: false });
    expect(origins(result)).toEqual([undefined, at(6)]);
  });

  test("that lost to a second one frees its slot, and the second ends the plan", () => {
    const second = { ...stop(), origin: openingBallot(1, nodeId(2)) };
    const result = plan(conclude([promise([report(1, at(5), stop()), report(4, at(6), second), report(5, at(3))])]));
    expect(result).toMatchObject({ last: 4, stops: true });
    expect(origins(result)).toEqual([undefined, undefined, undefined, openingBallot(1, nodeId(2))]);
  });

  test("with something above it in its own ballot stops the node", () => {
    expect(() => conclude([promise([report(1, at(5), stop()), report(2, at(5))])])).toThrow(/P10/);
  });
});
