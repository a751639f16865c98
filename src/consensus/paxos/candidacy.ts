/**
 * One candidate's phase 1, from its prepare to the plan of what to propose.
 * Source  Lamport 2001, section 3.
 * Owns    whom to ask again, what is still missing, when it is enough.
 * Leaves  the rules to `recovery.ts`, becoming leader or giving up to `paxos.ts`.
 *
 * P3. Only a phase-1 quorum of the configuration in force is enough; this node's own promise counts when it is durable.
 */
import type { LogIndex, NodeId } from "../../base/ids.ts";
import { bitCount } from "../quorum/quorum-system.ts";
import { type Ballot, eraOf } from "./ballot.ts";
import type { PaxosPrepare, PaxosPromise, TellAccepted } from "./messages.ts";
import { type Plan, Recovery } from "./recovery.ts";
import type { Replica } from "./replica.ts";

export type Step =
  | { readonly type: "wait" }
  | { readonly type: "lead"; readonly plan: Plan; readonly promises: number }
  /** Somebody has trimmed what this node does not know, or the era is over. */
  | { readonly type: "give-up"; readonly why: string };

const WAIT: Step = { type: "wait" };

export class Candidacy {
  readonly ballot: Ballot;
  readonly #replica: Replica;
  readonly #recovery: Recovery;
  readonly #transfer: boolean;
  /** It held nothing before it promised itself this ballot. */
  readonly #isBlank: boolean;
  readonly #ticket: number;
  #resendMs: number;
  #reached = false;
  #askedMs = Number.NEGATIVE_INFINITY;
  /** When the last thing came that was missing, and how far the log was known then. */
  #progressMs = 0;
  #known = -1;

  /** Promises `ballot` to itself and asks for the promises of the others once that is durable. */
  constructor(replica: Replica, ballot: Ballot, options: { readonly transfer: boolean }) {
    this.ballot = ballot;
    this.#replica = replica;
    this.#recovery = new Recovery(ballot);
    this.#transfer = options.transfer;
    this.#isBlank = replica.isBlank;
    replica.promise(ballot);
    this.#ticket = replica.out.ticket;
    this.#resendMs = replica.nowMs + replica.options.heartbeatMs;
    for (const peer of replica.otherVoters) replica.out.sendDurable(peer, this.#prepare(false));
  }

  /** When `tick` wants to be called. */
  get dueMs(): number {
    return this.#resendMs;
  }

  /** A phase-1 quorum has promised; what is missing are values. */
  get reached(): boolean {
    return this.#reached;
  }

  /** Frames get lost: asks again whoever has not answered, and keeps those who have from losing patience. */
  tick(): void {
    const { out, nowMs, options, otherVoters } = this.#replica;
    if (nowMs < this.#resendMs) return;
    this.#resendMs = nowMs + options.heartbeatMs;
    for (const peer of otherVoters) {
      const hold = this.#recovery.isComplete(peer);
      if (hold && !this.#reached) continue;
      out.sendDurable(peer, this.#prepare(hold));
    }
  }

  promised(from: NodeId, message: PaxosPromise): void {
    if (message.ballot === this.ballot) this.#recovery.add(from, message);
  }

  told(message: TellAccepted): void {
    if (message.ballot !== this.ballot) return;
    if (message.values.length > 0) this.#progressMs = this.#replica.nowMs;
    for (const { index, value } of message.values) this.#recovery.addFetched(index, value);
  }

  /** What to do now. Called after everything that may have changed it. */
  judge(): Step {
    const replica = this.#replica;
    const { log } = replica;
    if (eraOf(this.ballot) !== log.era) return { type: "give-up", why: "the era ended" };
    if (replica.out.completed < this.#ticket) return WAIT;
    // P8: who holds nothing where others hold something may have been wiped, and its own promise is worth nothing.
    const counts = !this.#isBlank || this.#recovery.isEmpty;
    const mask = replica.maskOf((id) => (id === replica.id ? counts : this.#recovery.isComplete(id)));
    if (!replica.quorums.isPhase1(mask)) return WAIT;
    this.#reached = true;
    if (this.#isStuck) return { type: "give-up", why: "who has what is missing does not answer" };
    const { chosen, start, by } = this.#recovery.furthest;
    if (start > log.chosen) return { type: "give-up", why: "what is missing here is trimmed elsewhere" };
    if (chosen > log.chosen) {
      if (by !== undefined) replica.noteChosen(by, chosen); // P9
      return WAIT;
    }
    const conclusion = this.#recovery.conclude(log.chosen, replica.reports(true));
    if (conclusion.type === "plan") {
      return { type: "lead", plan: conclusion.plan, promises: bitCount(mask) };
    }
    this.#fetch(conclusion.wanted);
    return WAIT;
  }

  /** Whoever promised and knows more may have died since: then the others, asked anew under a new ballot, are enough. */
  get #isStuck(): boolean {
    const { log, nowMs, options } = this.#replica;
    if (log.chosen > this.#known) {
      this.#known = log.chosen;
      this.#progressMs = nowMs;
    }
    return nowMs - this.#progressMs >= options.electionMs;
  }

  #fetch(wanted: ReadonlyMap<NodeId, readonly LogIndex[]>): void {
    const { out, nowMs, options } = this.#replica;
    if (nowMs - this.#askedMs < options.heartbeatMs) return;
    this.#askedMs = nowMs;
    for (const [peer, slots] of wanted) out.send(peer, { type: "ask-accepted", ballot: this.ballot, slots });
  }

  #prepare(hold: boolean): PaxosPrepare {
    const { chosen } = this.#replica.log;
    const transfer = this.#transfer;
    return { type: "prepare", ballot: this.ballot, chosen, isBlank: this.#isBlank, transfer, hold };
  }
}
