/**
 * "Paxos made simple": the acceptor's rule over every relation of ballots, the proposer's choice, the learner's count, and
 * small worlds of all three under every order of delivery that a seed can find.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type NodeId, nodeId } from "../../base/ids.ts";
import { type Ballot, ballotOf, NO_BALLOT } from "./ballot.ts";
import { Acceptor, type AcceptorAnswer, highestAccepted, Learner, mayAnswer, Proposer } from "./single-decree.ts";

fc.configureGlobal({ seed: 2001 });

const ballot = (round: number, node = 1): Ballot => ballotOf({ era: 0, round, node });
const THREE = [nodeId(1), nodeId(2), nodeId(3)];
const two = (has: (id: NodeId) => boolean): boolean => THREE.filter(has).length >= 2;

describe("Acceptor, §2.2: every relation of promised, accepted and asked ballot", () => {
  const ballots = [ballot(1), ballot(1, 2), ballot(2), ballot(3)];
  const states: { promised: Ballot; accepted: Ballot | undefined }[] = [
    { promised: NO_BALLOT, accepted: undefined },
    ...ballots.map((promised) => ({ promised, accepted: undefined })),
    ...ballots.flatMap((promised) =>
      ballots.filter((accepted) => accepted <= promised).map((accepted) => ({ promised, accepted })),
    ),
  ];
  const make = (state: (typeof states)[number]): Acceptor<string> => {
    const acceptor = new Acceptor<string>();
    if (state.accepted !== undefined) acceptor.accept(state.accepted, `v${state.accepted}`);
    if (state.promised > NO_BALLOT) acceptor.prepare(state.promised);
    return acceptor;
  };

  test.each(states.flatMap((state) => ballots.map((asked) => ({ ...state, asked }))))(
    "promised $promised, accepted $accepted, asked $asked",
    ({ promised, accepted, asked }) => {
      const held = accepted === undefined ? undefined : { ballot: accepted, value: `v${accepted}` };
      const refused = { type: "refused", ballot: asked, promised };

      const preparing = make({ promised, accepted });
      const prepared = preparing.prepare(asked);
      expect(prepared).toEqual(asked < promised ? refused : { type: "promise", ballot: asked, accepted: held });
      expect(preparing.promised).toBe(Math.max(promised, asked));
      expect(preparing.accepted).toEqual(held); // a promise accepts nothing

      const accepting = make({ promised, accepted });
      const answered = accepting.accept(asked, "new");
      expect(answered).toEqual(asked < promised ? refused : { type: "accepted", ballot: asked, value: "new" });
      expect(accepting.accepted).toEqual(asked < promised ? held : { ballot: asked, value: "new" });
      expect(accepting.promised).toBe(Math.max(promised, asked));
      expect(mayAnswer(promised, asked)).toBe(asked >= promised);
    },
  );
});

describe("Proposer, §2.2", () => {
  const promise = (asked: Ballot, at?: Ballot, value = ""): AcceptorAnswer<string> => ({
    type: "promise",
    ballot: asked,
    accepted: at === undefined ? undefined : { ballot: at, value },
  });

  test("proposes its own value when a quorum has accepted nothing, and waits for the quorum", () => {
    const proposer = new Proposer(ballot(5), "mine", two);
    expect(proposer.promised(nodeId(1), promise(ballot(5)))).toBeUndefined();
    expect(proposer.promised(nodeId(1), promise(ballot(5)))).toBeUndefined(); // the same one twice is one
    expect(proposer.promised(nodeId(2), promise(ballot(5)))).toEqual({ value: "mine" });
    expect(proposer.promised(nodeId(3), promise(ballot(5)))).toBeUndefined(); // once
  });

  test("proposes the value of the highest ballot, not of the latest answer nor of the most answers", () => {
    const three = (has: (id: NodeId) => boolean): boolean => THREE.every(has);
    const proposer = new Proposer(ballot(9), "mine", three);
    proposer.promised(nodeId(1), promise(ballot(9), ballot(2), "old"));
    proposer.promised(nodeId(2), promise(ballot(9), ballot(4), "newer"));
    expect(proposer.promised(nodeId(3), promise(ballot(9), ballot(2), "old"))).toEqual({ value: "newer" });
  });

  test("ignores promises of another ballot, and refusals", () => {
    const proposer = new Proposer(ballot(5), "mine", two);
    proposer.promised(nodeId(1), promise(ballot(4)));
    proposer.promised(nodeId(2), { type: "refused", ballot: ballot(5), promised: ballot(6) });
    expect(proposer.promised(nodeId(3), promise(ballot(5)))).toBeUndefined();
  });
});

test("highestAccepted() of nothing is nothing", () => {
  expect(highestAccepted([])).toBeUndefined();
});

describe("Learner, §2.3", () => {
  const accepted = (at: Ballot, value: string): AcceptorAnswer<string> => ({ type: "accepted", ballot: at, value });

  test("knows the value when a quorum accepted it under one ballot, not under two", () => {
    const learner = new Learner<string>(two);
    learner.accepted(nodeId(1), accepted(ballot(1), "a"));
    learner.accepted(nodeId(1), accepted(ballot(1), "a"));
    learner.accepted(nodeId(2), accepted(ballot(2), "a"));
    expect(learner.chosen).toBeUndefined();
    learner.accepted(nodeId(3), accepted(ballot(1), "a"));
    expect(learner.chosen).toEqual({ value: "a" });
  });

  test("stops at a second value", () => {
    const learner = new Learner<string>(two);
    for (const id of [1, 2]) learner.accepted(nodeId(id), accepted(ballot(1), "a"));
    learner.accepted(nodeId(2), accepted(ballot(2), "b"));
    expect(() => learner.accepted(nodeId(3), accepted(ballot(2), "b"))).toThrow(/two values chosen/);
  });
});

describe("three acceptors, several proposers, any order", () => {
  /** Plays the schedule; returns what was chosen. `isPhase1` and `isPhase2` are counts. */
  function play(schedule: readonly number[], phase1: number, phase2: number): ReadonlySet<string> {
    const isQuorum =
      (size: number) =>
      (has: (id: NodeId) => boolean): boolean =>
        THREE.filter(has).length >= size;
    const acceptors = new Map(THREE.map((id) => [id, new Acceptor<string>()]));
    const proposers = new Map(
      [1, 2, 3, 4].map((n) => [ballot(n), new Proposer(ballot(n), `v${n}`, isQuorum(phase1))] as const),
    );
    const votes = new Map<Ballot, Set<NodeId>>();
    const chosen = new Set<string>();
    type Flight = { to: NodeId; ballot: Ballot; value: string | undefined };
    const flights: Flight[] = [...proposers.keys()].flatMap((b) =>
      THREE.map((to) => ({ to, ballot: b, value: undefined })),
    );
    for (const pick of schedule) {
      const flight = flights[pick % Math.max(1, flights.length)];
      if (flight === undefined) break;
      if (pick % 3 !== 0) flights.splice(flights.indexOf(flight), 1); // a third stays, to arrive again
      const acceptor = acceptors.get(flight.to);
      if (acceptor === undefined) continue;
      if (flight.value === undefined) {
        const next = proposers.get(flight.ballot)?.promised(flight.to, acceptor.prepare(flight.ballot));
        if (next === undefined) continue;
        for (const to of THREE) flights.push({ to, ballot: flight.ballot, value: next.value });
      } else {
        const answer = acceptor.accept(flight.ballot, flight.value);
        if (answer.type !== "accepted") continue;
        const by = votes.get(answer.ballot) ?? new Set();
        votes.set(answer.ballot, by.add(flight.to));
        if (isQuorum(phase2)((id) => by.has(id))) chosen.add(answer.value);
      }
    }
    return chosen;
  }
  const schedules = fc.array(fc.nat(1_000), { minLength: 20, maxLength: 80 });

  test.each([
    [2, 2],
    [3, 1],
    [1, 3],
  ])("at most one value is chosen with quorums of %i and %i", (phase1, phase2) => {
    let decided = 0;
    fc.assert(
      fc.property(schedules, (schedule) => {
        const { size } = play(schedule, phase1, phase2);
        if (size === 1) decided++;
        expect(size).toBeLessThanOrEqual(1);
      }),
      { numRuns: 600 },
    );
    expect(decided).toBeGreaterThan(20);
  });

  test("the check can fail: quorums that do not meet choose two values", () => {
    let broken = 0;
    fc.assert(
      fc.property(schedules, (schedule) => {
        if (play(schedule, 1, 2).size > 1) broken++;
      }),
      { numRuns: 600 },
    );
    expect(broken).toBeGreaterThan(0);
  });
});
