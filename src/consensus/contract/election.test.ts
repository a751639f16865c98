/** Who may stand and when: the bounds of every time, and each reason alone. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type NodeId, nodeId } from "../../base/ids.ts";
import { type Configuration, EMPTY_CONFIGURATION, type Member } from "./configuration.ts";
import {
  type ElectionTiming,
  electionTimeoutMs,
  heardAfterHoldUpMs,
  hurriedTimeoutMs,
  isNeeded,
  isQuorumConnected,
  isRecent,
  LeaderWatch,
  mayStand,
  rankAfter,
  wasHeldUp,
} from "./election.ts";

fc.configureGlobal({ seed: 2023 }); // the same cases in every run

const timing: ElectionTiming = { electionMs: 100, heartbeatMs: 20, leaseMs: 0, priority: 0, random: () => 0 };
const withLeases: ElectionTiming = { ...timing, leaseMs: 80 };
const [n1, n2, n3, n4, n5] = [1, 2, 3, 4, 5].map(nodeId) as [NodeId, NodeId, NodeId, NodeId, NodeId]; // five mapped to five

const voters = (...ids: readonly NodeId[]): Configuration => ({ members: ids.map((id) => member(id)), outgoing: [] });

function member(id: NodeId, role: Member["role"] = "voter"): Member {
  return { id, incarnation: 1, role, promote: false, name: `n${id}`, address: `n${id}:1`, clientUrls: [] };
}

describe("timeouts", () => {
  test("electionTimeoutMs() draws from [1, 2) times the least one", () => {
    expect(electionTimeoutMs({ ...timing, random: () => 0 })).toBe(100);
    expect(electionTimeoutMs({ ...timing, random: () => 0.999 })).toBeCloseTo(199.9);
  });

  test("electionTimeoutMs() never falls below the least one, and a higher priority draws no later", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.nat(9), (draw, priority) => {
        const random = () => draw;
        const low = electionTimeoutMs({ ...timing, priority, random });
        const high = electionTimeoutMs({ ...timing, priority: priority + 1, random });
        expect(high).toBeGreaterThanOrEqual(timing.electionMs);
        expect(low).toBeLessThan(2 * timing.electionMs);
        expect(high).toBeLessThanOrEqual(low);
      }),
    );
  });

  test("hurriedTimeoutMs() leaves the voter of the rank before a heartbeat's time, whatever is drawn", () => {
    const early = hurriedTimeoutMs({ ...timing, random: () => 0 }, 1);
    const late = hurriedTimeoutMs({ ...timing, random: () => 0.999 }, 0);
    expect(late).toBeLessThan(early);
    expect(late).toBeLessThan(timing.heartbeatMs);
  });
});

describe("rankAfter()", () => {
  test("gives the survivors the ranks 0, 1, 2 …, each once", () => {
    const all = [n1, n2, n3, n4, n5];
    expect([n1, n2, n4, n5].map((self) => rankAfter(n3, self, all))).toEqual([0, 1, 2, 3]);
  });

  test("does not depend on the order of the list, and counts a voter of both halves once", () => {
    expect(rankAfter(n1, n5, [n4, n2, n1, n5, n2, n4, n3])).toBe(3);
  });
});

describe("E1: mayStand()", () => {
  const fit = { isNeeded: true, isDamaged: false, isUnbound: false, isStalled: false };

  test("a node that decisions need, that lost nothing and whose disk answers", () => {
    expect(mayStand(fit)).toBe(true);
  });

  test.each([{ isNeeded: false }, { isDamaged: true }, { isUnbound: true }, { isStalled: true }])(
    "not one with %o",
    (fault) => {
      expect(mayStand({ ...fit, ...fault })).toBe(false);
    },
  );

  test("isNeeded() holds for voters of either half, not for learners and strangers", () => {
    const joint: Configuration = { members: [member(n1), member(n2, "learner")], outgoing: [n3] };
    expect([n1, n2, n3, n4].map((id) => isNeeded(id, joint, undefined))).toEqual([true, false, true, false]);
    expect(isNeeded(n1, EMPTY_CONFIGURATION, undefined)).toBe(false);
  });

  test("isNeeded() holds for a voter whose removal may not be committed", () => {
    expect(isNeeded(n3, voters(n1, n2), voters(n1, n2, n3))).toBe(true);
    expect(isNeeded(n3, voters(n1, n2), undefined)).toBe(false);
  });
});

describe("E2: isQuorumConnected()", () => {
  const majorityOf = (all: readonly NodeId[]) => (has: (id: NodeId) => boolean) =>
    all.filter(has).length * 2 > all.length;
  const heard = (times: Readonly<Record<number, number>>) => (id: NodeId) => times[id];
  const connected = (times: Readonly<Record<number, number>>, nowMs: number, all = [n1, n2, n3]): boolean =>
    isQuorumConnected(timing, { self: n1, nowMs, lastHeardMs: heard(times), isQuorum: majorityOf(all) });

  test("counts itself, and peers heard within an election timeout", () => {
    expect(connected({ 2: 901 }, 1000)).toBe(true);
    expect(connected({ 2: 900, 3: 900 }, 1000)).toBe(false); // exactly an election timeout ago is too long
  });

  test("a peer that was never heard does not count, even at time 0", () => {
    expect(connected({}, 0)).toBe(false);
  });

  test("a node alone is connected", () => {
    expect(connected({}, 1000, [n1])).toBe(true);
  });

  test("the quorum is the caller's: one that needs everybody", () => {
    const isQuorum = (has: (id: NodeId) => boolean): boolean => [n1, n2, n3].every(has);
    const lastHeardMs = heard({ 2: 990, 3: 800 });
    expect(isQuorumConnected(timing, { self: n1, nowMs: 1000, lastHeardMs, isQuorum })).toBe(false);
    expect(isQuorumConnected(timing, { self: n1, nowMs: 1000, lastHeardMs: () => 990, isQuorum })).toBe(true);
  });
});

describe("E3: LeaderWatch", () => {
  const follows = { isLeader: false, knowsLeader: true };
  const leaderless = { isLeader: false, knowsLeader: false };

  test("a leader forbids votes against itself at any time", () => {
    expect(new LeaderWatch(timing, 0).forbidsVote(1e9, { isLeader: true, knowsLeader: true })).toBe(true);
  });

  test("a leader that was heard forbids votes for an election timeout, to the millisecond", () => {
    const watch = new LeaderWatch(timing, 0);
    watch.hear(1000);
    expect(watch.forbidsVote(1099, follows)).toBe(true);
    expect(watch.forbidsVote(1100, follows)).toBe(false);
  });

  test("without leases, a lost connection ends it at once, and so does never having heard one", () => {
    const watch = new LeaderWatch(timing, 0);
    expect(watch.forbidsVote(0, leaderless)).toBe(false);
    watch.hear(1000);
    expect(watch.forbidsVote(1001, leaderless)).toBe(false);
    expect(watch.mayHurry).toBe(true);
  });

  test("with leases, the promise outlives the connection and a restart", () => {
    const watch = new LeaderWatch(withLeases, 500);
    expect(watch.forbidsVote(599, leaderless)).toBe(true); // a promise given before the restart
    expect(watch.forbidsVote(600, leaderless)).toBe(false);
    watch.hear(1000);
    expect(watch.forbidsVote(1099, leaderless)).toBe(true);
    expect(watch.forbidsVote(1100, leaderless)).toBe(false);
    expect(watch.mayHurry).toBe(false);
  });
});

describe("E4: a node that was held up", () => {
  test("wasHeldUp() from half an election timeout after the tick was due", () => {
    expect(wasHeldUp(timing, { nowMs: 1050, dueMs: 1000 })).toBe(false);
    expect(wasHeldUp(timing, { nowMs: 1051, dueMs: 1000 })).toBe(true);
    expect(wasHeldUp(timing, { nowMs: 1000, dueMs: Number.POSITIVE_INFINITY })).toBe(false);
  });

  test("heardAfterHoldUpMs() leaves peers two heartbeats to answer, not a whole timeout", () => {
    const heardMs = heardAfterHoldUpMs(timing, 1000);
    expect(isRecent(timing, { heardMs, nowMs: 1039 })).toBe(true);
    expect(isRecent(timing, { heardMs, nowMs: 1040 })).toBe(false);
  });
});
