/**
 * Linearizable reads: when the leader may say that its commit index is new enough.
 * Source  Ongaro 2014, sections 6.4 (ReadIndex) and 6.4.1 (leases on a clock).
 * Owns    rounds of heartbeats and what a quorum's answers to them allow.
 * Leaves  the queue of reads to `reads.ts`, the sending to `sending.ts`.
 *
 * R5. A read index is given only after an entry of the own term is committed, and is confirmed by a round of heartbeats
 *     that began after the read came, answered by a quorum.
 */
import { assert } from "../../base/assert.ts";
import { hasQuorum } from "../quorum/quorum.ts";
import type { Progress } from "./progress.ts";
import type { Replica } from "./replica.ts";
import type { Leader } from "./roles.ts";
import type { Sending } from "./sending.ts";

export class Reading {
  readonly #replica: Replica;
  readonly #sending: Sending;

  constructor(replica: Replica, sending: Sending) {
    this.#replica = replica;
    this.#sending = sending;
  }

  read(context: number): void {
    const { state, commit, effects } = this.#replica;
    if (state.type !== "leader") {
      effects.grant({ context, index: undefined });
      return;
    }
    if (commit < state.opening) {
      state.reads.hold(context); // R5: we may not know yet all that was committed
      return;
    }
    state.reads.add(context, commit);
    this.beginRound(state);
  }

  /** The first entry of the own term is committed: reads that came before it may be confirmed now. */
  opened(state: Leader): void {
    for (const context of state.reads.takeHeld()) state.reads.add(context, this.#replica.commit);
    this.beginRound(state);
  }

  /** A new round of heartbeats: whoever answers it still took us for the leader after now. */
  beginRound(state: Leader): void {
    state.reads.begin(this.#replica.nowMs);
    for (const [peer, p] of state.progress) this.#sending.beat(state, peer, p);
    this.#grant(state);
  }

  /** A follower has answered, to `round` or something newer than what it was sent with it. */
  heard(state: Leader, p: Progress, round: number): void {
    p.lastHeardMs = this.#replica.nowMs;
    if (round > p.round) {
      p.round = round;
      this.#grant(state);
    }
  }

  /** May reads be answered without a round? Never in a term in which somebody was asked to stand without waiting. */
  leaseHolds(nowMs: number): boolean {
    const { options, state, commit } = this.#replica;
    if (options.leaseMs === 0 || state.type !== "leader" || state.transfer !== undefined || state.askedToStand)
      return false;
    if (commit < state.opening) return false; // R5
    const confirmedMs = state.reads.confirmedSinceMs((round) => this.#hasQuorum(state, round));
    return confirmedMs !== undefined && nowMs < confirmedMs + options.leaseMs;
  }

  #grant(state: Leader): void {
    const { effects, commit } = this.#replica;
    for (const grant of state.reads.take((round) => this.#hasQuorum(state, round))) {
      assert(
        grant.index === undefined || (state.opening <= grant.index && grant.index <= commit),
        "R5: a read index of the own term",
        grant,
      );
      effects.grant(grant);
    }
  }

  #hasQuorum(state: Leader, round: number): boolean {
    const { voters, id } = this.#replica;
    return hasQuorum(voters, (voter) => voter === id || (state.progress.get(voter)?.round ?? 0) >= round);
  }
}
