/**
 * Raft against its sources, section by section: Ongaro & Ousterhout 2014 ("§") and Ongaro's thesis 2014 ("thesis").
 * Rules of a single server are asked of a lone core, frame by frame; rules of a cluster run in `Cluster`, where the safety
 * observer checks I1–I10 after every step. What goes wrong when several faults meet is in `test/scenario` and
 * `test/conformance`.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { logIndex, nodeId, term } from "../../src/base/ids.ts";
import type { RaftMessage } from "../../src/consensus/raft/messages.ts";
import { recoverRaft } from "../../src/consensus/raft/raft.ts";
import { Cluster, type ClusterOptions, defaultTunables } from "../scenario/cluster.ts";
import { raftLens } from "../scenario/raft-lens.ts";
import { member } from "../scenario/script.ts";
import { type Answer, appendOf, entriesOf, LoneCore, voteRequest } from "./lone-core.ts";

fc.configureGlobal({ seed: 2014 }); // the same cases in every run

const { electionMs, heartbeatMs } = defaultTunables;
const n = nodeId;
const lone = (options: ConstructorParameters<typeof LoneCore>[1] = {}): LoneCore => new LoneCore(recoverRaft, options);

/** Patience rises with the id, so that n1 leads first. */
function cluster(nodes: number, options: Partial<ClusterOptions> = {}): Cluster {
  return new Cluster({
    factory: recoverRaft,
    lens: raftLens,
    founders: { members: Array.from({ length: nodes }, (_, i) => member(n(i + 1))), outgoing: [] },
    random: (id) => () => Math.min(0.99, (id - 1) / 10),
    ...options,
  });
}

/** A cluster that n1 leads, everybody having applied its first entry. */
function led(nodes: number, options: Partial<ClusterOptions> = {}): Cluster {
  const made = cluster(nodes, options);
  made.run(electionMs + 2 * heartbeatMs);
  expect(made.leader).toBe(1);
  return made;
}

function split(made: Cluster, one: readonly number[], other: readonly number[]): void {
  for (const a of one) {
    for (const b of other) {
      made.cut(n(a), n(b));
      made.cut(n(b), n(a));
    }
  }
}

const only = (sent: readonly Answer[], type: RaftMessage["type"]): RaftMessage[] =>
  sent.map((answer) => answer.message).filter((message) => message.type === type);

const granted = (sent: readonly Answer[]): boolean =>
  sent.some(({ message }) => message.type === "vote-response" && message.granted);

const terms = (made: Cluster, id: number): readonly number[] => {
  const core = made.core(n(id));
  const { first, last } = core.status();
  return Array.from({ length: last - first + 1 }, (_, i) => core.startAt(logIndex(first + i))?.term ?? -1);
};

describe("§5.1 Raft basics: terms are a logical clock", () => {
  test("a server that hears a newer term adopts it and becomes a follower", () => {
    const core = lone({ term: 3 });
    core.ask(2, appendOf({ term: 7, leaderLog: [], previous: 0 }));
    expect(core.core.term).toBe(7);
    expect(core.core.leader).toBe(2);
  });

  test.each(["append", "vote"] as const)("a request with a stale term (%s) is refused", (type) => {
    const core = lone({ term: 5, log: [1, 5] });
    const request =
      type === "append"
        ? appendOf({ term: 4, leaderLog: [1, 1, 4], previous: 1 })
        : voteRequest({ term: 4, lastIndex: 9, lastTerm: 4 });
    const sent = core.ask(2, request);
    expect(core.core.term).toBe(5);
    expect(core.terms).toEqual([1, 5]);
    expect(granted(sent)).toBe(false);
    for (const { message } of sent) expect(message.term).toBe(5);
    expect(only(sent, "append-response").every((m) => m.type === "append-response" && m.match === 0)).toBe(true);
  });

  test("a leader that hears a newer term steps down at once", () => {
    const made = led(3);
    split(made, [1], [2, 3]);
    made.runUntil(() => made.core(n(2)).role === "leader", 4 * electionMs);
    made.heal();
    made.run(2 * heartbeatMs);
    expect(made.core(n(1)).role).toBe("follower");
    expect(made.core(n(1)).term).toBe(made.core(n(2)).term);
  });

  test("a term whose vote can no longer be read still counts: no vote in it, and no following of an older leader", () => {
    const core = lone({ term: 1, log: [1], lostVoteTerm: 4 });
    expect(core.core.term).toBe(4);
    const stale = core.ask(2, appendOf({ term: 3, leaderLog: [1, 3], previous: 1 }));
    expect(only(stale, "append-response")).toEqual([]);
    for (const { message } of stale) expect(message.term).toBe(4);
    expect(granted(core.ask(3, voteRequest({ term: 4, lastIndex: 9, lastTerm: 3 })))).toBe(false);
    const [first] = core.written;
    expect([first?.term, core.written.length]).toEqual([4, 1]); // written anew, so that the next start can read it
  });

  test("the term is on disk before it is shown", () => {
    const core = lone({ term: 1 });
    expect(core.hear(2, appendOf({ term: 4, leaderLog: [], previous: 0 }))).toEqual([]);
    expect(core.written.at(-1)?.term).toBe(4);
    expect(core.sync().map((answer) => answer.message.term)).toEqual([4]);
  });
});

describe("§5.2 leader election", () => {
  test("a server begins as a follower and stays one while it hears a leader", () => {
    const made = led(3);
    made.run(20 * electionMs);
    expect(made.core(n(1)).term).toBe(1);
    expect([1, 2, 3].map((id) => made.core(n(id)).role)).toEqual(["leader", "follower", "follower"]);
  });

  test("timeouts are drawn anew from [1, 2) times the least one", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 0.999_999, noNaN: true }), (draw) => {
        const core = lone({ random: () => draw });
        expect(core.core.deadlineMs).toBeGreaterThanOrEqual(electionMs);
        expect(core.core.deadlineMs).toBeLessThan(2 * electionMs);
      }),
    );
  });

  test("to stand is to raise the term, vote for oneself on disk, and ask all others", () => {
    const core = lone({ nodes: 5, term: 3, log: [1, 3] });
    core.lapse();
    for (const peer of [2, 3]) {
      core.hear(peer, { type: "vote-response", term: term(3), pre: true, granted: true, asked: term(4) });
    }
    expect(core.core.term).toBe(4);
    expect(core.core.role).toBe("candidate");
    const vote = core.written.at(-1);
    expect(vote === undefined ? undefined : [vote.term, raftLens.votedFor(vote)]).toEqual([4, 1]);
    const asked = core.sync();
    expect(asked.map((answer) => answer.to)).toEqual([2, 3, 4, 5]);
    expect(asked.map((answer) => answer.message)).toEqual(
      Array(4).fill(voteRequest({ term: 4, lastIndex: 2, lastTerm: 3 })),
    );
  });

  test("each server votes for one candidate a term, first come first served, and again for the same", () => {
    const core = lone({ nodes: 5 });
    expect(granted(core.ask(2, voteRequest({ term: 1, lastIndex: 0, lastTerm: 0 })))).toBe(true);
    expect(granted(core.ask(3, voteRequest({ term: 1, lastIndex: 5, lastTerm: 1 })))).toBe(false);
    expect(granted(core.ask(2, voteRequest({ term: 1, lastIndex: 0, lastTerm: 0 })))).toBe(true);
    expect(granted(core.ask(3, voteRequest({ term: 2, lastIndex: 5, lastTerm: 1 })))).toBe(true);
  });

  test("a vote leaves only when it is on disk", () => {
    const core = lone();
    expect(granted(core.hear(2, voteRequest({ term: 1, lastIndex: 0, lastTerm: 0 })))).toBe(false);
    let sent: readonly Answer[] = [];
    while (core.open.length > 0) sent = [...sent, ...core.sync()];
    expect(granted(sent)).toBe(true);
  });

  test("a majority of the full cluster wins, one less does not", () => {
    for (const nodes of [1, 2, 3, 4, 5, 6, 7]) {
      const needed = Math.floor(nodes / 2) + 1;
      for (const votes of [needed - 1, needed]) {
        if (votes === 0) continue;
        const core = lone({ nodes });
        core.lapse();
        for (let peer = 2; peer <= nodes; peer++) {
          core.hear(peer, { type: "vote-response", term: term(0), pre: true, granted: true, asked: term(1) });
        }
        while (core.open.length > 0 && core.core.role !== "leader") core.sync();
        for (let peer = 2; peer <= votes; peer++) {
          core.hear(peer, { type: "vote-response", term: term(1), pre: false, granted: true, asked: term(1) });
        }
        expect(core.core.role, `${votes} of ${nodes}`).toBe(votes === needed ? "leader" : "candidate");
      }
    }
  });

  test("a candidate recognises a leader of its own term, and ignores one of an older", () => {
    const stood = (): LoneCore => {
      const core = lone({ term: 4 });
      core.lapse();
      core.hear(2, { type: "vote-response", term: term(4), pre: true, granted: true, asked: term(5) });
      expect(core.core.role).toBe("candidate");
      return core;
    };
    const current = stood();
    current.ask(3, appendOf({ term: 5, leaderLog: [], previous: 0 }));
    expect([current.core.role, current.core.leader, current.core.term]).toEqual(["follower", 3, 5]);
    const stale = stood();
    stale.ask(3, appendOf({ term: 4, leaderLog: [], previous: 0 }));
    expect([stale.core.role, stale.core.term]).toEqual(["candidate", 5]);
  });

  test("with random timeouts a cluster of any size has a leader within four of them, for 100 seeds", () => {
    for (let seed = 1; seed <= 100; seed++) {
      let state = seed;
      const made = cluster(2 + (seed % 6), {
        random: () => () => {
          state = (state * 1_103_515_245 + 12_345) % 0x8000_0000;
          return state / 0x8000_0000;
        },
      });
      expect(
        made.runUntil(() => made.leader !== undefined, 4 * electionMs),
        `seed ${seed}`,
      ).toBe(true);
    }
  });
});

describe("§5.3 log replication", () => {
  test("an entry is committed once a majority has it, and then everywhere applied in log order", () => {
    const made = led(5);
    split(made, [4, 5], [1, 2, 3]);
    made.propose(n(1), "a");
    made.propose(n(1), "b");
    made.run(20);
    expect([1, 2, 3, 4, 5].map((id) => made.machine(n(id)).applied)).toEqual([3, 3, 3, 1, 1]);
    made.heal();
    made.run(4 * heartbeatMs);
    expect([4, 5].map((id) => made.machine(n(id)).applied)).toEqual([3, 3]);
  });

  test("an append is refused unless the log has its previous entry, index and term", () => {
    const refusals = (log: readonly number[], previous: number, leaderLog: readonly number[]): boolean => {
      const sent = lone({ log }).ask(2, appendOf({ term: 9, leaderLog, previous }));
      return only(sent, "append-response").every((m) => m.type === "append-response" && m.refused === previous);
    };
    expect(refusals([1, 1], 3, [1, 1, 1, 1]), "too short").toBe(true);
    expect(refusals([1, 1, 2], 3, [1, 1, 3, 3]), "another term").toBe(true);
  });

  // Figure 7: the leader of term 8 has [1 1 1 4 4 5 5 6 6 6]; these followers may exist when it comes to power.
  const leaderLog = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
  test.each([
    ["a", [1, 1, 1, 4, 4, 5, 5, 6, 6]],
    ["b", [1, 1, 1, 4]],
    ["c", [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6]],
    ["d", [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7]],
    ["e", [1, 1, 1, 4, 4, 4, 4]],
    ["f", [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]],
  ] as const)(
    "figure 7 (%s): the leader finds where the logs meet and brings the follower to its own log",
    (_, log) => {
      const follower = lone({ log, term: 8 });
      const opened = [...leaderLog, 8];
      let previous = leaderLog.length;
      let rounds = 0;
      for (;;) {
        expect(++rounds, "each refusal goes back by a whole term at least").toBeLessThanOrEqual(4);
        const [answer] = only(follower.ask(2, appendOf({ term: 8, leaderLog: opened, previous })), "append-response");
        if (answer?.type !== "append-response") throw new Error("an append is answered");
        if (answer.refused === 0) break;
        const refused = previous;
        // What the leader does with the hint: back to its own last entry of at most the hinted term.
        previous = answer.hintIndex;
        while (previous > 0 && (opened[previous - 1] ?? 0) > answer.hintTerm) previous--;
        expect(previous).toBeLessThan(refused);
      }
      expect(follower.terms).toEqual(opened);
    },
  );

  test("log matching: whatever appends arrive, in whatever order, the log is a prefix of the leader's where it was confirmed", () => {
    fc.assert(
      fc.property(
        fc.nat(8),
        fc.array(fc.constantFrom(2, 4, 6), { maxLength: 5 }),
        fc.array(fc.record({ previous: fc.nat(8), count: fc.nat(4) }), { maxLength: 12 }),
        (shared, foreign, appends) => {
          // The leader's terms are odd and those of a leader that nobody else heard are even: as in Raft, an index and a term
          // name one entry.
          const truth = [1, 1, 3, 3, 3, 5, 7, 7];
          const common = truth.slice(0, shared);
          const own = [...common, ...foreign.filter((t) => t > (common.at(-1) ?? 0)).sort((a, b) => a - b)];
          const follower = lone({ log: own, term: 8 });
          for (const { previous, count } of appends) {
            const sent = follower.ask(2, appendOf({ term: 8, leaderLog: truth, previous, count }));
            for (const answer of only(sent, "append-response")) {
              if (answer.type !== "append-response" || answer.refused > 0) continue;
              const chain = entriesOf(truth)[answer.match - 1]?.chain ?? 0;
              expect(follower.core.startAt(answer.match)?.chain).toBe(chain);
            }
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  test("only entries in conflict are cut: an old, short or repeated append leaves a matching suffix alone", () => {
    const truth = [1, 1, 2, 2, 3];
    const follower = lone({ log: truth, term: 3 });
    for (const [previous, count] of [
      [0, 1],
      [0, 5],
      [1, 2],
      [4, 1],
      [0, 0],
      [5, 0],
    ] as const) {
      follower.ask(2, appendOf({ term: 3, leaderLog: truth, previous, count }));
      expect(follower.terms).toEqual(truth);
    }
    expect(follower.written.filter((record) => record.index > 0)).toEqual([]);
  });

  test("leader append-only: a leader keeps its own uncommitted entries of earlier terms", () => {
    const made = led(3);
    split(made, [1, 2], [3]);
    made.hold(n(2), n(1));
    made.propose(n(1), "kept");
    made.run(5);
    made.crash(n(1));
    made.heal();
    made.runUntil(() => made.core(n(2)).role === "leader", 10 * electionMs);
    expect(terms(made, 2).slice(0, 2)).toEqual([1, 1]);
    made.run(4 * heartbeatMs);
    expect(made.machine(n(3)).applied).toBe(3);
  });

  test("a follower learns the commit index from the next message, never above what that message vouches for", () => {
    const truth = [1, 1, 1, 1];
    const follower = lone({ log: [1, 1, 1, 1], term: 2 });
    follower.ask(2, appendOf({ term: 2, leaderLog: truth, previous: 1, count: 1, commit: 4 }));
    expect(follower.core.commit).toBe(2);
  });
});

describe("§5.4.1 election restriction", () => {
  test("a vote goes only to a log that is at least as new: by the last term first, then by length", () => {
    const logs = fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 4 }).map((log) => log.sort((a, b) => a - b));
    fc.assert(
      fc.property(logs, logs, (mine, theirs) => {
        const [lastMine = 0, lastTheirs = 0] = [mine.at(-1), theirs.at(-1)];
        const isNewEnough = lastTheirs > lastMine || (lastTheirs === lastMine && theirs.length >= mine.length);
        for (const pre of [true, false]) {
          const core = lone({ log: mine, term: 3 });
          const sent = core.ask(2, voteRequest({ term: 4, lastIndex: theirs.length, lastTerm: lastTheirs, pre }));
          expect(granted(sent)).toBe(isNewEnough);
        }
      }),
      { numRuns: 300 },
    );
  });

  test("a refused candidate raises the term of those who refuse, and nothing else", () => {
    const core = lone({ log: [1, 2], term: 2 });
    expect(granted(core.ask(2, voteRequest({ term: 3, lastIndex: 1, lastTerm: 1 })))).toBe(false);
    expect(core.core.term).toBe(3);
    expect(granted(core.ask(3, voteRequest({ term: 3, lastIndex: 2, lastTerm: 2 })))).toBe(true);
  });
});

describe("§5.4.2 entries from earlier terms", () => {
  test("a leader does not commit them by counting, only together with an entry of its own term", () => {
    const core = lone({ nodes: 3, log: [1, 1], term: 2 });
    core.lapse();
    core.hear(2, { type: "vote-response", term: term(2), pre: true, granted: true, asked: term(3) });
    while (core.open.length > 0) core.sync();
    core.hear(2, { type: "vote-response", term: term(3), pre: false, granted: true, asked: term(3) });
    expect(core.core.role).toBe("leader");
    while (core.open.length > 0) core.sync();
    const acknowledge = (match: number): void => {
      const none = { refused: logIndex(0), hintIndex: logIndex(0), hintTerm: term(0) };
      core.hear(2, { type: "append-response", term: term(3), round: 0, match: logIndex(match), ...none });
    };
    acknowledge(2);
    expect(core.core.commit).toBe(0);
    acknowledge(3);
    expect(core.core.commit).toBe(3);
  });
});

describe("§5.4.3 and figure 3: safety under every single crash", () => {
  test("whichever server crashes at whichever millisecond, no committed entry is lost", () => {
    for (const victim of [1, 2, 3]) {
      for (let atMs = 0; atMs <= 8; atMs++) {
        const made = led(3, { latencyMs: 2 });
        made.diskMs = 1;
        for (let i = 0; i < 4; i++) made.propose(n(1), `before-${i}`);
        made.run(atMs);
        made.crash(n(victim), atMs % 3);
        made.run(3 * electionMs);
        const leader = made.leader;
        if (leader === undefined) throw new Error("two of three elect a leader");
        expect(made.propose(leader, "after").type).toBe("accepted");
        made.start(n(victim));
        made.run(2 * electionMs);
        const applied = made.ids.map((id) => made.machine(id).applied);
        expect(new Set(applied).size, `victim n${victim} at ${atMs} ms: ${applied.join()}`).toBe(1);
      }
    }
  });
});

describe("§5.5 follower and candidate crashes", () => {
  test("a follower that was down is brought up to date, with requests that may come twice", () => {
    const made = led(3);
    made.crash(n(3));
    for (let i = 0; i < 20; i++) made.propose(n(1), `e${i}`);
    made.run(20);
    made.start(n(3));
    made.run(2 * electionMs);
    expect(made.machine(n(3)).applied).toBe(21);
  });
});

describe("§5.6 timing and availability", () => {
  test("a dead leader is replaced within three election timeouts, and writes go on", () => {
    const made = led(5);
    made.crash(n(1));
    expect(made.runUntil(() => made.leader !== undefined, 3 * electionMs)).toBe(true);
    const { leader } = made;
    if (leader === undefined) throw new Error("just seen");
    expect(made.propose(leader, "on").type).toBe("accepted");
    made.run(20);
    expect(made.core(leader).commit).toBe(3);
  });
});

describe("§6 and thesis 4: membership changes", () => {
  const voters = (...ids: number[]): ReturnType<typeof member>[] => ids.map((id) => member(n(id)));

  test("thesis 4.1: a configuration counts as soon as it is in the log", () => {
    const made = led(3);
    split(made, [1], [2, 3]);
    made.change(n(1), voters(1, 2));
    expect(made.core(n(1)).status().configuration.outgoing).toEqual([1, 2, 3]);
    expect(
      made
        .core(n(1))
        .status()
        .configuration.members.map((m) => m.id),
    ).toEqual([1, 2]);
  });

  test("thesis 4.3: a change goes through a joint configuration and leaves it by itself", () => {
    const seen: string[] = [];
    const made = led(3, {
      observe: (fact) => {
        if (fact.type !== "event" || fact.id !== 1 || fact.event.type !== "configuration") return;
        const { members, outgoing } = fact.event.configuration;
        seen.push(`${members.map((m) => m.id).join("")}/${outgoing.join("")} ${fact.event.committed}`);
      },
    });
    made.add(n(4));
    made.change(n(1), voters(1, 2, 4));
    made.run(2 * heartbeatMs);
    // Left in the very step that commits it: its own commit needs no announcement of its own.
    expect(seen.filter((line) => line.startsWith("124"))).toEqual(["124/123 false", "124/ false", "124/ true"]);
  });

  test("thesis 4.3: a joint decision needs both majorities", () => {
    const made = led(3);
    for (const id of [4, 5]) made.add(n(id));
    split(made, [1], [4, 5]);
    made.change(n(1), voters(1, 4, 5));
    made.propose(n(1), "waits");
    made.run(4 * heartbeatMs);
    expect(made.core(n(1)).commit).toBe(1);
    made.heal();
    made.run(8 * heartbeatMs);
    expect(made.core(n(1)).commit).toBe(4);
  });

  test("thesis 4.2.1: a new server without votes does not slow commits down", () => {
    const made = led(3);
    made.add(n(4));
    split(made, [4], [1, 2, 3]);
    made.change(n(1), [...voters(1, 2, 3), member(n(4), "learner", true)]);
    made.propose(n(1), "a");
    made.run(20);
    expect(made.core(n(1)).commit).toBe(3);
    expect(made.core(n(1)).status().configuration.members.at(-1)?.role).toBe("learner");
  });

  test("thesis 4.2.1: a learner votes for nobody's election and is promoted once it has caught up", () => {
    const made = led(3);
    made.add(n(4));
    for (let i = 0; i < 30; i++) made.propose(n(1), `e${i}`);
    made.change(n(1), [...voters(1, 2, 3), { ...member(n(4), "learner", true), incarnation: 2 }]);
    made.run(6 * heartbeatMs);
    expect(
      made
        .core(n(1))
        .status()
        .configuration.members.map((m) => m.role),
    ).toEqual(Array(4).fill("voter"));
  });

  test("thesis 4.2.2: a leader that is removed leads until its removal is committed, then steps down", () => {
    const made = led(3);
    made.change(n(1), voters(2, 3));
    expect(made.core(n(1)).role).toBe("leader");
    made.run(6 * heartbeatMs);
    expect(made.core(n(1)).role).toBe("learner");
    expect(made.leader === 2 || made.leader === 3).toBe(true);
  });

  test("thesis 4.2.3: a server that was removed and does not know it disturbs nobody", () => {
    const made = led(3);
    split(made, [3], [1, 2]);
    made.change(n(1), voters(1, 2));
    made.run(10 * electionMs);
    made.heal();
    made.run(10 * electionMs);
    expect([made.leader, made.core(n(1)).term]).toEqual([1, 1]);
  });

  test("one change at a time, and none before an entry of the own term is committed", () => {
    const made = led(3);
    split(made, [1], [2, 3]);
    expect(made.change(n(1), voters(1, 2)).type).toBe("accepted");
    expect(made.change(n(1), voters(1, 2, 3))).toMatchObject({ type: "refused", reason: "change-pending" });
    made.runUntil(() => made.core(n(2)).role === "leader", 10 * electionMs);
    expect(made.change(n(2), voters(2, 3))).toMatchObject({ type: "refused", reason: "not-ready" });
  });

  test.each([
    ["nobody", []],
    ["learners only", [member(n(1), "learner")]],
    ["one id twice", [member(n(1)), member(n(1))]],
  ])("a set of %s is refused", (_, members) => {
    expect(led(3).change(n(1), members)).toMatchObject({ type: "refused", reason: "invalid-members" });
  });
});

describe("§7 log compaction", () => {
  test("a follower that needs entries the leader has forgotten is sent a snapshot, then the log", () => {
    const made = led(3);
    made.crash(n(3));
    for (let i = 0; i < 5; i++) made.propose(n(1), `e${i}`);
    made.run(20);
    made.checkpoint(n(1));
    made.propose(n(1), "after");
    made.start(n(3));
    made.run(2 * electionMs);
    expect(made.machine(n(3)).applied).toBe(7);
    expect(made.core(n(3)).status().first, "nothing before the snapshot was sent").toBeGreaterThan(6);
  });

  test("a leader whose log is not the group's is one no longer: it steps down before a snapshot replaces its log", () => {
    const core = lone({ log: [1, 2, 2] });
    core.lapse();
    core.ask(2, { type: "vote-response", term: term(2), pre: true, granted: true, asked: term(3) });
    core.ask(2, { type: "vote-response", term: term(3), pre: false, granted: true, asked: term(3) });
    expect(core.core.role).toBe("leader");
    core.hear(2, { type: "heartbeat-response", term: term(3), round: 1, last: logIndex(3) }); // nothing is committed yet
    // Others have gone on without it, and committed [1, 1] in a term that it has not heard of.
    const { configuration } = core.core.status();
    const [, second] = entriesOf([1, 1]);
    core.step({
      type: "installed",
      start: { index: logIndex(2), term: term(1), chain: second?.chain ?? -1, configuration },
    });
    const { role, first, last, commit } = core.core.status();
    expect([role, first, last, commit]).toEqual(["follower", 3, 2, 2]);
    expect(core.step({ type: "propose", body: new Uint8Array(1), bodyCrc: 0 }).outcome?.type).toBe("refused");
  });

  test("a restart begins at the checkpoint, with its configuration and the log that follows", () => {
    const made = led(3);
    made.propose(n(1), "a");
    made.run(20);
    made.checkpoint(n(2));
    made.propose(n(1), "b");
    made.run(20);
    made.crash(n(2));
    made.recycle(n(2));
    made.start(n(2));
    const { first, last, commit, configuration } = made.core(n(2)).status();
    expect([first, last, commit]).toEqual([3, 3, 2]);
    expect(configuration.members.map((m) => m.id)).toEqual([1, 2, 3]);
  });
});

describe("§8 client interaction", () => {
  test("a new leader opens its term with an empty entry and so commits what came before", () => {
    const made = led(3);
    made.hold(n(2), n(1));
    made.hold(n(3), n(1));
    made.propose(n(1), "in doubt");
    made.run(5);
    made.crash(n(1));
    made.runUntil(() => made.leader !== undefined && made.core(made.leader).commit === 3, 10 * electionMs);
    const { leader } = made;
    if (leader === undefined) throw new Error("there is a leader");
    expect(terms(made, leader)).toEqual([1, 1, 2]);
  });

  test("what is not the leader's refuses and names the leader", () => {
    const made = led(3);
    expect(made.propose(n(2), "x")).toEqual({ type: "refused", reason: "not-leader", leader: 1 });
  });
});

describe("thesis 3.10 leadership transfer", () => {
  test("the target leads the next term within a few message delays, and the old leader's lease and proposals stop", () => {
    const made = led(3, { tunables: { leaseMs: 400 } });
    made.run(2 * heartbeatMs);
    expect(made.core(n(1)).leaseHolds(made.nowMs)).toBe(true);
    made.transfer(n(1), n(3));
    expect(made.core(n(1)).leaseHolds(made.nowMs)).toBe(false);
    expect(made.propose(n(1), "x")).toMatchObject({ type: "refused", reason: "transferring" });
    expect(made.runUntil(() => made.leader === 3, 10)).toBe(true);
    expect(made.core(n(3)).term).toBe(2);
  });

  test("a target that lags is brought up to date first", () => {
    const made = led(3);
    split(made, [3], [1, 2]);
    for (let i = 0; i < 10; i++) made.propose(n(1), `e${i}`);
    made.run(20);
    made.transfer(n(1), n(3));
    made.heal();
    expect(made.runUntil(() => made.leader === 3, electionMs)).toBe(true);
    expect(terms(made, 3)).toHaveLength(12);
  });

  test("an asked server that hears from a newer term meanwhile does not stand", () => {
    const core = lone({ term: 2 });
    core.ask(2, appendOf({ term: 3, leaderLog: [], previous: 0 }));
    core.ask(3, { type: "timeout-now", term: term(2) });
    expect([core.core.role, core.core.term]).toEqual(["follower", 3]);
  });
});

describe("thesis 6.2 check-quorum", () => {
  test("a leader that hears no majority for an election timeout steps down", () => {
    const made = led(5);
    split(made, [1, 2], [3, 4, 5]);
    made.run(electionMs + 2 * heartbeatMs);
    expect(made.core(n(1)).role).not.toBe("leader");
  });

  test("a leader that hears a bare majority stays", () => {
    const made = led(5);
    split(made, [1, 2, 3], [4, 5]);
    made.run(10 * electionMs);
    expect([made.leader, made.core(n(1)).term]).toEqual([1, 1]);
  });
});

describe("thesis 6.4 reads without a log entry", () => {
  function reading(nodes: number): { readonly made: Cluster; readonly seen: (number | undefined)[] } {
    const seen: (number | undefined)[] = [];
    const made = led(nodes, { observe: (fact) => fact.type === "read" && seen.push(fact.grant.index) });
    return { made, seen };
  }

  test("a read is granted at the commit index of its arrival, after a majority has answered", () => {
    const { made, seen } = reading(5);
    made.propose(n(1), "a");
    made.run(20);
    made.read(n(1));
    expect(seen).toEqual([]);
    made.run(5);
    expect(seen).toEqual([2]);
  });

  test("without a majority there is no grant, and a leader that steps down hands its reads back", () => {
    const { made, seen } = reading(5);
    split(made, [1, 2], [3, 4, 5]);
    made.read(n(1));
    made.run(10 * heartbeatMs - 1);
    expect(seen).toEqual([]);
    made.run(electionMs);
    expect(seen).toEqual([undefined]);
  });

  test("answers to rounds that began before the read confirm nothing", () => {
    const { made, seen } = reading(3);
    for (const id of [2, 3]) made.hold(n(id), n(1));
    made.run(3 * heartbeatMs);
    const old = [...made.flights];
    expect(old.length).toBeGreaterThan(0);
    split(made, [1], [2, 3]);
    made.read(n(1));
    for (const flight of old) made.deliver(flight);
    expect(seen).toEqual([]);
  });

  test("a follower asks again elsewhere", () => {
    const { made, seen } = reading(3);
    made.read(n(2));
    expect(seen).toEqual([undefined]);
  });
});

describe("thesis 6.4.1 leases", () => {
  test("are off unless asked for", () => {
    const made = led(3);
    made.run(4 * heartbeatMs);
    expect(made.core(n(1)).leaseHolds(made.nowMs)).toBe(false);
  });

  test("hold while a majority answers, and end with the lease after the last confirmed round was sent", () => {
    const made = led(3, { tunables: { leaseMs: 300 } });
    made.run(4 * heartbeatMs);
    expect(made.core(n(1)).leaseHolds(made.nowMs)).toBe(true);
    split(made, [1], [2, 3]);
    made.run(300);
    expect(made.core(n(1)).leaseHolds(made.nowMs)).toBe(false);
    expect(made.core(n(1)).role).toBe("leader");
  });
});

describe("thesis 9.6 pre-vote", () => {
  test("asks for the next term without entering it, and costs nobody a vote", () => {
    const asking = lone({ term: 4 });
    const asked = asking.lapse();
    expect(asked.map((a) => a.message)).toEqual(
      Array(2).fill(voteRequest({ term: 5, lastIndex: 0, lastTerm: 0, pre: true })),
    );
    expect([asking.core.role, asking.core.term, asking.written]).toEqual(["pre-candidate", 4, []]);
    const giving = lone({ term: 4 });
    for (const candidate of [2, 3]) {
      expect(granted(giving.ask(candidate, voteRequest({ term: 5, lastIndex: 0, lastTerm: 0, pre: true })))).toBe(true);
    }
    expect([giving.core.term, giving.written]).toEqual([4, []]);
  });

  test("is denied while a leader is alive, and so is a vote", () => {
    const core = lone({ term: 4 });
    core.ask(2, appendOf({ term: 4, leaderLog: [], previous: 0 }));
    core.nowMs += electionMs - 1;
    expect(granted(core.ask(3, voteRequest({ term: 5, lastIndex: 9, lastTerm: 4, pre: true })))).toBe(false);
    expect(granted(core.ask(3, voteRequest({ term: 5, lastIndex: 9, lastTerm: 4 })))).toBe(false);
    expect(core.core.term).toBe(4);
    core.nowMs += 1;
    expect(granted(core.ask(3, voteRequest({ term: 5, lastIndex: 9, lastTerm: 4, pre: true })))).toBe(true);
  });

  test("a server that was cut off for long comes back without a newer term", () => {
    const made = led(3);
    split(made, [3], [1, 2]);
    made.run(10 * electionMs);
    made.heal();
    made.run(2 * electionMs);
    expect([made.leader, made.core(n(1)).term, made.core(n(3)).role]).toEqual([1, 1, "follower"]);
  });
});

describe("thesis 10.2.1 writing to the leader's disk in parallel", () => {
  test("entries leave before the leader's own write is done, and are committed by a majority without it", () => {
    const made = led(5);
    made.machine(n(1)).diskHeld = true;
    made.propose(n(1), "a");
    made.run(20);
    expect(made.core(n(1)).commit).toBe(2);
    expect(made.machine(n(1)).applied, "applied only when its own disk has it").toBe(1);
    made.machine(n(1)).diskHeld = false;
    made.run(5);
    expect(made.machine(n(1)).applied).toBe(2);
  });

  test("its own copy counts only when it is durable", () => {
    const made = led(3);
    made.machine(n(1)).diskHeld = true;
    split(made, [3], [1, 2]);
    made.propose(n(1), "a");
    made.run(20);
    expect(made.core(n(1)).commit).toBe(1);
    made.sync(n(1));
    expect(made.core(n(1)).commit).toBe(2);
  });
});

describe("frames from outside", () => {
  test("any bytes are ignored or answered, never fatal, and change neither term, vote nor log", () => {
    const valid: RaftMessage[] = [
      appendOf({ term: 2, leaderLog: [1, 2], previous: 0 }),
      voteRequest({ term: 2, lastIndex: 2, lastTerm: 2 }),
    ];
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (frame) => {
        fc.pre(frame[0] === undefined || frame[0] === 0 || frame[0] > 7);
        const core = lone({ log: [1, 1], term: 1 });
        core.step({ type: "message", from: n(2), frame });
        expect([core.core.term, core.terms, core.written]).toEqual([1, [1, 1], []]);
      }),
      { numRuns: 200 },
    );
    for (const message of valid) {
      const core = lone({ log: [1], term: 1 });
      expect(() => core.ask(2, message)).not.toThrow();
    }
  });
});
