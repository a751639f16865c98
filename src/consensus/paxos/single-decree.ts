/**
 * Single-decree Paxos: one value, chosen once, by acceptors that may crash, over messages that may be lost, doubled and
 * overtaken. Multi-Paxos (`replica.ts`, `leadership.ts`) is the same rules for every slot, and imports them from here.
 * Source  Lamport 2001, "Paxos made simple", sections 2.2 (choosing) and 2.3 (learning).
 * Leaves  durability to the caller: an acceptor's state must be durable before its answer leaves, a proposer's ballot
 *         before its prepare.
 *
 * P1. An acceptor answers a prepare or an accept only if it has promised nothing above it: one rule guards both.
 * P2. A proposer proposes the value of the highest ballot that a phase-1 quorum reports, and its own only if there is none.
 * P3. A value is chosen once a phase-2 quorum accepted it under one ballot. Every phase-1 quorum meets every phase-2 quorum,
 *     so with P1 and P2 every higher ballot proposes the same value.
 */
import { assert } from "../../base/assert.ts";
import type { NodeId } from "../../base/ids.ts";
import { type Ballot, NO_BALLOT } from "./ballot.ts";

/** P1, the acceptor's rule. A repeated message of the promised ballot is answered again. */
export const mayAnswer = (promised: Ballot, asked: Ballot): boolean => asked >= promised;

export interface AcceptedValue<Value> {
  readonly ballot: Ballot;
  readonly value: Value;
}

/** P2: of what acceptors report for one slot, the value under the highest ballot. */
export function highestAccepted<Accepted extends { readonly ballot: Ballot }>(
  reports: Iterable<Accepted>,
): Accepted | undefined {
  let best: Accepted | undefined;
  for (const report of reports) if (best === undefined || report.ballot > best.ballot) best = report;
  return best;
}

export type AcceptorAnswer<Value> =
  | { readonly type: "promise"; readonly ballot: Ballot; readonly accepted: AcceptedValue<Value> | undefined }
  | { readonly type: "accepted"; readonly ballot: Ballot; readonly value: Value }
  | { readonly type: "refused"; readonly ballot: Ballot; readonly promised: Ballot };

export class Acceptor<Value> {
  #promised: Ballot = NO_BALLOT;
  #accepted: AcceptedValue<Value> | undefined;

  get promised(): Ballot {
    return this.#promised;
  }

  get accepted(): AcceptedValue<Value> | undefined {
    return this.#accepted;
  }

  prepare(ballot: Ballot): AcceptorAnswer<Value> {
    if (!mayAnswer(this.#promised, ballot)) return { type: "refused", ballot, promised: this.#promised };
    this.#promised = ballot;
    return { type: "promise", ballot, accepted: this.#accepted };
  }

  accept(ballot: Ballot, value: Value): AcceptorAnswer<Value> {
    if (!mayAnswer(this.#promised, ballot)) return { type: "refused", ballot, promised: this.#promised };
    this.#promised = ballot;
    this.#accepted = { ballot, value };
    return { type: "accepted", ballot, value };
  }
}

/** One attempt of one proposer: a ballot, its promises, and the value that follows from them. */
export class Proposer<Value> {
  readonly ballot: Ballot;
  readonly #own: Value;
  readonly #isPhase1: (has: (id: NodeId) => boolean) => boolean;
  readonly #promises = new Map<NodeId, AcceptedValue<Value> | undefined>();
  #proposed: { readonly value: Value } | undefined;

  constructor(ballot: Ballot, own: Value, isPhase1: (has: (id: NodeId) => boolean) => boolean) {
    assert(ballot > NO_BALLOT, "a proposer has a ballot");
    this.ballot = ballot;
    this.#own = own;
    this.#isPhase1 = isPhase1;
  }

  /** Returns what to ask all acceptors to accept, once, when the promises are enough. */
  promised(from: NodeId, answer: AcceptorAnswer<Value>): { readonly value: Value } | undefined {
    if (answer.type !== "promise" || answer.ballot !== this.ballot || this.#proposed !== undefined) return undefined;
    assert(
      answer.accepted === undefined || answer.accepted.ballot < this.ballot,
      "P1: accepted ahead of its proposer",
      {
        from,
      },
    );
    this.#promises.set(from, answer.accepted);
    if (!this.#isPhase1((id) => this.#promises.has(id))) return undefined;
    const best = highestAccepted([...this.#promises.values()].filter((report) => report !== undefined));
    this.#proposed = { value: best === undefined ? this.#own : best.value };
    return this.#proposed;
  }
}

/** Hears who accepted what, in any order, and knows the value once it is chosen. */
export class Learner<Value> {
  readonly #isPhase2: (has: (id: NodeId) => boolean) => boolean;
  readonly #votes = new Map<Ballot, { readonly value: Value; readonly by: Set<NodeId> }>();
  #chosen: { readonly value: Value } | undefined;

  constructor(isPhase2: (has: (id: NodeId) => boolean) => boolean) {
    this.#isPhase2 = isPhase2;
  }

  get chosen(): { readonly value: Value } | undefined {
    return this.#chosen;
  }

  accepted(from: NodeId, answer: AcceptorAnswer<Value>): void {
    if (answer.type !== "accepted") return;
    let votes = this.#votes.get(answer.ballot);
    if (votes === undefined) this.#votes.set(answer.ballot, (votes = { value: answer.value, by: new Set() }));
    assert(votes.value === answer.value, "one value a ballot", { ballot: answer.ballot });
    votes.by.add(from);
    const { by, value } = votes;
    if (!this.#isPhase2((id) => by.has(id))) return;
    assert(this.#chosen === undefined || this.#chosen.value === value, "P3: two values chosen", { from });
    this.#chosen = { value };
  }
}
