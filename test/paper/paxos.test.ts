/**
 * What the papers ask of an implementation, section by section. Single-decree cases drive the three classes of
 * `single-decree.ts`; those of section 3 drive whole cores, in clusters that `PaxosSafety` watches.
 *
 * Sources  Lamport 2001, "Paxos made simple" (PMS); Lamport 1998, "The part-time parliament" (PTP), section 2.1 (B1–B3);
 *          Howard, Malkhi & Spiegelman 2016, "Flexible Paxos" (FP), sections 3 to 5.
 * Elsewhere  every relation of ballots at one acceptor: `single-decree.test.ts`, `replica.test.ts`; bug classes: `test/scenario/paxos`.
 */
import { describe, expect, test } from "vitest";
import { type NodeId, nodeId } from "../../src/base/ids.ts";
import { Prng } from "../../src/base/prng.ts";
import { incomingVoters } from "../../src/consensus/contract/configuration.ts";
import type { CoreFactory } from "../../src/consensus/contract/core.ts";
import { RecordKind } from "../../src/consensus/contract/record.ts";
import {
  type Ballot,
  ballotAbove,
  ballotOf,
  eraOf,
  NO_BALLOT,
  nodeOf,
  roundOf,
} from "../../src/consensus/paxos/ballot.ts";
import { decodePaxosMessage, type PaxosMessage } from "../../src/consensus/paxos/messages.ts";
import { paxosWith, recoverPaxos } from "../../src/consensus/paxos/recover.ts";
import type { QuorumsOf } from "../../src/consensus/paxos/replica.ts";
import { Acceptor, type AcceptorAnswer, Learner, Proposer } from "../../src/consensus/paxos/single-decree.ts";
import { type QuorumSpec, quorumSystem } from "../../src/consensus/quorum/quorum-system.ts";
import { Cluster, type Fact, type Flight } from "../scenario/cluster.ts";
import { paxosLens, paxosLensWith } from "../scenario/paxos-lens.ts";
import { member } from "../scenario/script.ts";

const at = (round: number, node = 1, era = 0): Ballot => ballotOf({ era, round, node });
const acceptedOf = (answer: AcceptorAnswer<string>): unknown =>
  answer.type === "promise" ? answer.accepted : undefined;

type Has = (id: NodeId) => boolean;
const ids = (count: number): readonly NodeId[] => Array.from({ length: count }, (_, i) => nodeId(i + 1));
const atLeast =
  (enough: number, of: number) =>
  (has: Has): boolean =>
    ids(of).filter(has).length >= enough;

describe("PMS §2.2 choosing a value", () => {
  test("P1: an acceptor accepts the first proposal that it receives", () => {
    expect(new Acceptor<string>().accept(at(1), "v")).toMatchObject({ type: "accepted", value: "v" });
  });

  test("P1a: it accepts n unless it has answered a prepare above n", () => {
    const acceptor = new Acceptor<string>();
    acceptor.prepare(at(5));
    expect(acceptor.accept(at(4), "old").type).toBe("refused");
    expect(acceptor.accept(at(5), "v").type).toBe("accepted");
    expect(acceptor.accept(at(7), "v").type).toBe("accepted"); // though nobody prepared it here
    expect(acceptor.prepare(at(6)).type).toBe("refused");
  });

  test("a promise reports the proposal with the highest number that was accepted, if any", () => {
    const acceptor = new Acceptor<string>();
    expect(acceptedOf(acceptor.prepare(at(1)))).toBeUndefined();
    acceptor.accept(at(1), "a");
    acceptor.accept(at(3), "b");
    expect(acceptedOf(acceptor.prepare(at(4)))).toEqual({ ballot: at(3), value: "b" });
  });

  test("P2c: a proposer proposes its own value only if no promise reports one, else that of the highest number", () => {
    const free = new Proposer(at(5), "own", atLeast(2, 3));
    expect(free.promised(nodeId(1), { type: "promise", ballot: at(5), accepted: undefined })).toBeUndefined();
    expect(free.promised(nodeId(2), { type: "promise", ballot: at(5), accepted: undefined })).toEqual({ value: "own" });
    const bound = new Proposer(at(5), "own", atLeast(2, 3));
    bound.promised(nodeId(1), { type: "promise", ballot: at(5), accepted: { ballot: at(3), value: "newer" } });
    const proposal = bound.promised(nodeId(3), {
      type: "promise",
      ballot: at(5),
      accepted: { ballot: at(2), value: "older" },
    });
    expect(proposal).toEqual({ value: "newer" });
  });

  test("P2, P2a, P2b: once a value is chosen, every higher proposal that is issued or accepted has it, in any order", () => {
    let chosen = 0;
    for (let seed = 1; seed <= 1_500; seed++) if (duel(new Prng(seed), atLeast(2, 3), atLeast(2, 3))) chosen++;
    expect(chosen).toBeGreaterThan(500);
  });
});

/** Four proposers and three acceptors; every message is delivered once, in a random order, or never. True: a value was chosen. */
function duel(prng: Prng, isPhase1: (has: Has) => boolean, isPhase2: (has: Has) => boolean, size = 3): boolean {
  const acceptors = new Map(ids(size).map((id) => [id, new Acceptor<string>()] as const));
  const learner = new Learner<string>(isPhase2); // asserts that no two values are chosen
  const queue: (() => void)[] = [];
  let first: { readonly ballot: Ballot; readonly value: string } | undefined;
  for (let round = 1; round <= 4; round++) {
    const proposer = new Proposer(at(round), `v${round}`, isPhase1);
    for (const [id, acceptor] of acceptors) {
      queue.push(() => {
        const answer = acceptor.prepare(proposer.ballot);
        queue.push(() => {
          const proposal = proposer.promised(id, answer);
          if (proposal === undefined) return;
          if (first !== undefined && proposer.ballot > first.ballot) expect(proposal.value).toBe(first.value); // P2b
          for (const [to, target] of acceptors) {
            queue.push(() => {
              const reply = target.accept(proposer.ballot, proposal.value);
              if (first !== undefined && reply.type === "accepted" && reply.ballot > first.ballot) {
                expect(reply.value).toBe(first.value); // P2a
              }
              learner.accepted(to, reply);
              if (first === undefined && learner.chosen !== undefined) {
                first = { ballot: proposer.ballot, value: learner.chosen.value };
              }
            });
          }
        });
      });
    }
  }
  while (queue.length > 0) {
    const [next] = queue.splice(prng.below(queue.length), 1);
    if (prng.chance(0.9)) next?.();
  }
  return first !== undefined;
}

describe("PMS §2.3 learning a chosen value", () => {
  test("a quorum must have accepted one and the same number; the same value under two numbers is not enough", () => {
    const learner = new Learner<string>(atLeast(2, 3));
    learner.accepted(nodeId(1), { type: "accepted", ballot: at(1), value: "v" });
    learner.accepted(nodeId(2), { type: "accepted", ballot: at(2), value: "v" });
    learner.accepted(nodeId(1), { type: "accepted", ballot: at(1), value: "v" });
    expect(learner.chosen).toBeUndefined();
    learner.accepted(nodeId(3), { type: "accepted", ballot: at(2), value: "v" });
    expect(learner.chosen).toEqual({ value: "v" });
  });
});

describe("PMS §2.4 progress", () => {
  test("two proposers can keep each other from ever choosing; one alone chooses", () => {
    const acceptors = ids(3).map((id) => [id, new Acceptor<string>()] as const);
    const learner = new Learner<string>(atLeast(2, 3));
    const phase1 = (ballot: Ballot, value: string): string | undefined => {
      const proposer = new Proposer(ballot, value, atLeast(2, 3));
      let proposal: { readonly value: string } | undefined;
      for (const [id, a] of acceptors) proposal = proposer.promised(id, a.prepare(ballot)) ?? proposal;
      return proposal?.value;
    };
    const phase2 = (ballot: Ballot, value: string): void => {
      for (const [id, a] of acceptors) learner.accepted(id, a.accept(ballot, value));
    };
    let before: { readonly ballot: Ballot; readonly value: string } | undefined;
    for (let round = 1; round <= 20; round++) {
      const ballot = at(round, 1 + (round % 2));
      const value = phase1(ballot, `v${round}`);
      if (before !== undefined) phase2(before.ballot, before.value); // always too late
      before = { ballot, value: value ?? "none" };
    }
    expect(learner.chosen).toBeUndefined();
    if (before !== undefined) phase2(before.ballot, before.value);
    expect(learner.chosen).toEqual({ value: "v20" });
  });
});

describe("PTP §2.1, PMS §2.5 ballots", () => {
  test("B1: two proposers draw from disjoint sets, and one never draws a number twice", () => {
    const drawn = new Set<Ballot>();
    const seen = new Map<NodeId, Ballot>();
    for (let i = 0; i < 50; i++) {
      for (const node of ids(3)) {
        const ballot = ballotAbove(seen.get(node) ?? NO_BALLOT, 0, node);
        if (ballot === undefined) throw new Error("Cannot draw: rounds have run out");
        expect(drawn.has(ballot)).toBe(false);
        expect(nodeOf(ballot)).toBe(node);
        drawn.add(ballot);
        // It promises its own ballot to itself; one other hears of it, if that has seen nothing above.
        for (const who of [node, nodeId(1 + (i % 3))]) {
          if ((seen.get(who) ?? NO_BALLOT) < ballot) seen.set(who, ballot);
        }
      }
    }
  });

  test("the number of a prepare is on the proposer's disk before anybody sees it, and after a crash it goes higher", () => {
    const witness = paxosWith({ acceptorOnly: true });
    const { cluster } = world(3, {
      factory: (options, recovered, nowMs) => (options.id === 1 ? recoverPaxos : witness)(options, recovered, nowMs),
    });
    cluster.diskMs = 50;
    let prepared: Ballot | undefined;
    for (let life = 0; life < 4; life++) {
      const before = prepared;
      cluster.runUntil(() => cluster.core(nodeId(1)).role === "candidate", 5_000);
      const ballot = cluster.core(nodeId(1)).term;
      if (before !== undefined) expect(ballot).toBeGreaterThan(before);
      const isWritten = (): boolean => cluster.machine(nodeId(1)).disk.some((r) => r.term === ballot);
      expect(isWritten()).toBe(false);
      cluster.runUntil(isWritten, 100);
      prepared = ballot;
      cluster.crash(nodeId(1));
      cluster.start(nodeId(1));
    }
  });

  test("an acceptor remembers over a crash what it has promised and accepted, and tells nobody before its disk does", () => {
    const { cluster, sent } = world(3);
    leader(cluster);
    cluster.machine(nodeId(2)).diskHeld = true;
    const before = count(sent, "accepted", 2);
    cluster.propose(nodeId(1), "a");
    cluster.run(20);
    expect(count(sent, "accepted", 2)).toBe(before);
    cluster.machine(nodeId(2)).diskHeld = false;
    cluster.run(20);
    expect(count(sent, "accepted", 2)).toBe(before + 1);
    const { term, last } = cluster.core(nodeId(2)).status();
    cluster.crash(nodeId(2));
    cluster.start(nodeId(2));
    expect(cluster.core(nodeId(2)).status()).toMatchObject({ term, last });
  });
});

interface Sent {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly message: PaxosMessage;
}

function world(
  nodes: number,
  more: { readonly factory?: CoreFactory; readonly quorumsOf?: QuorumsOf } = {},
): { readonly cluster: Cluster; readonly sent: Sent[]; readonly applied: Map<NodeId, string[]> } {
  const sent: Sent[] = [];
  const applied = new Map<NodeId, string[]>();
  const observe = (fact: Fact): void => {
    if (fact.type === "sent") sent.push({ from: fact.id, to: fact.to, message: decodePaxosMessage(fact.frame) });
    if (fact.type !== "applied") return;
    const list = applied.get(fact.id) ?? [];
    applied.set(fact.id, list);
    for (const r of fact.records) {
      list.push(
        r.kind === RecordKind.command ? Buffer.from(r.body).toString() : r.kind === RecordKind.noop ? "-" : "=",
      );
    }
  };
  const cluster = new Cluster({
    factory: more.factory ?? recoverPaxos,
    lens: more.quorumsOf === undefined ? paxosLens : paxosLensWith(more.quorumsOf),
    founders: { members: ids(nodes).map((id) => member(id)), outgoing: [] },
    random: (id) => () => Math.min(0.99, (id - 1) / 10),
    observe,
  });
  return { cluster, sent, applied };
}

const count = (sent: readonly Sent[], type: PaxosMessage["type"], from: number): number =>
  sent.filter((s) => s.message.type === type && s.from === from).length;

const accepts = (cluster: Cluster, to: number): readonly Flight[] =>
  cluster.flights.filter((f) => f.to === to && decodePaxosMessage(f.frame).type === "accept");

/** n1 leads, and its first entry is chosen everywhere. */
function leader(cluster: Cluster): void {
  cluster.runUntil(() => cluster.core(nodeId(1)).role === "leader", 5_000);
  cluster.run(100);
}

describe("PMS §3 implementing a state machine", () => {
  test("a leader executes phase 1 once, for infinitely many instances, and phase 2 alone for each command", () => {
    const { cluster, sent, applied } = world(3);
    leader(cluster);
    const prepares = count(sent, "prepare", 1);
    for (let i = 0; i < 20; i++) {
      cluster.propose(nodeId(1), `c${i}`);
      cluster.run(5);
    }
    expect(count(sent, "prepare", 1)).toBe(prepares);
    expect(applied.get(nodeId(1))).toEqual(["-", ...Array.from({ length: 20 }, (_, i) => `c${i}`)]);
  });

  test("commands are proposed before earlier ones are chosen, chosen in any order, and executed in order", () => {
    const { cluster, applied } = world(3);
    leader(cluster);
    cluster.hold(nodeId(1), nodeId(2));
    cluster.cut(nodeId(1), nodeId(3));
    for (const c of ["a", "b", "c"]) cluster.propose(nodeId(1), c);
    expect(cluster.core(nodeId(1)).status()).toMatchObject({ commit: 1, last: 4 });
    const [, second, third] = accepts(cluster, 2);
    for (const flight of [third, second]) if (flight !== undefined) cluster.deliver(flight);
    cluster.run(10);
    expect(cluster.core(nodeId(1)).commit).toBe(1); // 3 and 4 are chosen, and not known in order
    cluster.release(nodeId(1), nodeId(2));
    cluster.run(10);
    expect(applied.get(nodeId(1))).toEqual(["-", "a", "b", "c"]);
  });

  test("a new leader proposes again what a promise reports, fills gaps with no-ops, and goes on behind them", () => {
    const { cluster, applied } = world(3);
    leader(cluster);
    cluster.hold(nodeId(1), nodeId(2));
    cluster.cut(nodeId(1), nodeId(3));
    for (const c of ["lost", "kept"]) cluster.propose(nodeId(1), c);
    const [lost, kept] = accepts(cluster, 2);
    if (lost === undefined || kept === undefined) throw new Error("Cannot go on: two accepts are on their way");
    cluster.lose(lost);
    cluster.deliver(kept);
    cluster.run(5);
    cluster.crash(nodeId(1));
    cluster.heal();
    cluster.runUntil(() => (cluster.leader ?? 0) > 1, 5_000);
    cluster.run(50);
    cluster.propose(cluster.leader ?? nodeId(2), "next");
    cluster.run(50);
    expect(applied.get(nodeId(3))).toEqual(["-", "-", "kept", "-", "next"]);
  });

  test("acceptors report in phase 1 only what they accepted and what is not yet chosen: everything else is one watermark", () => {
    const { cluster, sent } = world(3);
    leader(cluster);
    for (let i = 0; i < 50; i++) cluster.propose(nodeId(1), `c${i}`);
    cluster.run(50);
    cluster.cut(nodeId(1), nodeId(3));
    cluster.propose(nodeId(1), "open");
    cluster.run(1);
    cluster.crash(nodeId(1));
    cluster.runUntil(() => (cluster.leader ?? 0) > 1, 5_000);
    const promises = sent.flatMap((s) => (s.message.type === "promise" && s.message.chosen > 1 ? [s.message] : []));
    expect(promises.length).toBeGreaterThan(0);
    for (const promise of promises) expect(promise.reports.length).toBeLessThanOrEqual(1);
  });

  test("reconfiguration: the servers of an instance are told by the log before it; no instance is chosen by two sets", () => {
    // Lamport lets command i choose the servers of instance i + α. Here α is 1, and a stop entry holds the rest back.
    const { cluster, sent } = world(3);
    leader(cluster);
    cluster.add(nodeId(4));
    cluster.add(nodeId(5));
    const before = cluster.core(nodeId(1)).term;
    cluster.hold(nodeId(2), nodeId(1));
    cluster.hold(nodeId(3), nodeId(1));
    const members = [nodeId(1), nodeId(4), nodeId(5)].map((id) => member(id));
    expect(cluster.change(nodeId(1), members)).toMatchObject({ type: "accepted", index: 2 });
    // Nothing is proposed above the stop entry before it is chosen.
    expect(cluster.propose(nodeId(1), "early")).toMatchObject({ type: "refused", reason: "overloaded" });
    cluster.release(nodeId(2), nodeId(1));
    cluster.release(nodeId(3), nodeId(1));
    cluster.run(100);
    expect(cluster.leader).toBe(1);
    expect(eraOf(cluster.core(nodeId(1)).term)).toBe(eraOf(before) + 1);
    expect(roundOf(cluster.core(nodeId(1)).term)).toBe(0);
    cluster.crash(nodeId(2));
    cluster.crash(nodeId(3)); // nobody needs them any more
    const from = sent.length;
    cluster.propose(nodeId(1), "a");
    cluster.run(50);
    expect(cluster.core(nodeId(5)).commit).toBe(3);
    expect(sent.slice(from).some((s) => s.message.type === "accept" && (s.to === 2 || s.to === 3))).toBe(false);
  });
});

const verdictOf = (spec: QuorumSpec, voters: number) => quorumSystem(spec, ids(voters));

describe("FP §3 which quorums must meet", () => {
  test("phase-1 quorums meet phase-2 quorums; two of one phase need not meet", () => {
    expect(verdictOf({ type: "sizes", phase1: 3, phase2: 2 }, 4).type).toBe("system");
    expect(verdictOf({ type: "sizes", phase1: 4, phase2: 1 }, 4).type).toBe("system");
    const quorumsOf: QuorumsOf = (c) => quorumSystem({ type: "sizes", phase1: 3, phase2: 2 }, incomingVoters(c));
    const { cluster, applied } = world(4, { factory: paxosWith({ quorumsOf }), quorumsOf });
    leader(cluster);
    // {1, 2} chooses, then {1, 3}, then, under n3, {3, 4}: the last meets the first nowhere.
    for (const [peer, text] of [
      [2, "a"],
      [3, "b"],
    ] as const) {
      for (const other of [2, 3, 4]) if (other !== peer) cluster.cut(nodeId(1), nodeId(other));
      cluster.propose(nodeId(1), text);
      cluster.run(20);
      expect(cluster.core(nodeId(1)).commit).toBe(peer === 2 ? 2 : 3);
      cluster.heal();
      cluster.run(60);
    }
    cluster.transfer(nodeId(1), nodeId(3));
    cluster.run(60);
    cluster.crash(nodeId(1));
    cluster.crash(nodeId(2));
    cluster.propose(nodeId(3), "c");
    cluster.run(30);
    expect(applied.get(nodeId(4))).toEqual(["-", "a", "b", "-", "c"]);
    // But nobody can take over any more: that needs three.
    cluster.crash(nodeId(3));
    cluster.run(3_000);
    expect(cluster.core(nodeId(4)).role).not.toBe("leader");
  });

  test("quorums that miss each other are refused, and the two sets are named", () => {
    const verdict = verdictOf({ type: "sizes", phase1: 2, phase2: 2 }, 4);
    expect(verdict).toMatchObject({ type: "refused", fault: { phase1: [1, 2], phase2: [3, 4] } });
  });

  test("the requirement is necessary: with quorums that miss each other some order of messages chooses two values", () => {
    let broken = 0;
    for (let seed = 1; seed <= 300; seed++) {
      try {
        duel(new Prng(seed), atLeast(1, 3), atLeast(2, 3));
      } catch {
        broken++;
      }
    }
    expect(broken).toBeGreaterThan(0);
  });

  test("and it is enough: with 4 to take over and 2 of 5 to choose no order of messages does", () => {
    let chosen = 0;
    for (let seed = 1; seed <= 800; seed++) if (duel(new Prng(seed), atLeast(4, 5), atLeast(2, 5), 5)) chosen++;
    expect(chosen).toBeGreaterThan(100);
  });
});

describe("FP §4, §5 other shapes", () => {
  test("majorities are the special case in which both phases want the same", () => {
    const verdict = verdictOf({ type: "majority" }, 5);
    if (verdict.type !== "system") throw new Error("Cannot go on: majorities meet");
    for (let mask = 0; mask < 32; mask++) {
      expect(verdict.system.isPhase1(mask)).toBe(verdict.system.isPhase2(mask));
    }
  });

  test("a grid: any column to take over, any row to choose; rows need not meet rows", () => {
    const [a, b, c, d, e, f] = ids(6);
    if (a === undefined || b === undefined || c === undefined || d === undefined) return;
    if (e === undefined || f === undefined) return;
    const rows = [
      [a, b, c],
      [d, e, f],
    ];
    const verdict = verdictOf({ type: "grid", rows }, 6);
    if (verdict.type !== "system") throw new Error("Cannot go on: a row meets every column");
    expect(verdict.system.isPhase2(0b000111)).toBe(true);
    expect(verdict.system.isPhase2(0b111000)).toBe(true);
    expect(verdict.system.isPhase1(0b001001)).toBe(true);
    expect(verdict.system.isPhase1(0b000111)).toBe(false);
  });
});
