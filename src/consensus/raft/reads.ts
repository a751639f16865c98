/**
 * Reads that wait for the leader's confirmation (ReadIndex; Ongaro 2014, section 6.4).
 *
 * Q1. A read is confirmed only by a round that began after it came: rounds rise within a term, a term has one leader, so
 *     (term, round) is never used twice and an old answer never confirms a new read.
 */
import type { LogIndex } from "../../base/ids.ts";
import type { ReadGrant } from "../contract/core.ts";

interface PendingRead {
  readonly context: number;
  readonly index: LogIndex;
  readonly round: number;
}

const ROUNDS_REMEMBERED = 64;

export class ReadQueue {
  #round = 0;
  #pending: PendingRead[] = [];
  /** Reads that came before an entry of the own term was committed. */
  #held: number[] = [];
  /** When recent rounds were sent, oldest first: a lease counts from the sending. */
  #sent: { readonly round: number; readonly atMs: number }[] = [];

  /** The newest round that was sent. */
  get round(): number {
    return this.#round;
  }

  /** The read waits for the next round. */
  add(context: number, index: LogIndex): void {
    this.#pending.push({ context, index, round: this.#round + 1 });
  }

  hold(context: number): void {
    this.#held.push(context);
  }

  takeHeld(): readonly number[] {
    const held = this.#held;
    this.#held = [];
    return held;
  }

  begin(nowMs: number): void {
    this.#round++;
    this.#sent.push({ round: this.#round, atMs: nowMs });
    if (this.#sent.length > ROUNDS_REMEMBERED) this.#sent.shift();
  }

  /** Takes out the reads whose round has a quorum. */
  take(hasQuorum: (round: number) => boolean): readonly ReadGrant[] {
    const granted: ReadGrant[] = [];
    let lastRound = -1;
    while (this.#pending[0] !== undefined && this.#pending[0].round <= this.#round) {
      const { context, index, round } = this.#pending[0];
      if (round !== lastRound && !hasQuorum(round)) break;
      lastRound = round;
      this.#pending.shift();
      granted.push({ context, index });
    }
    return granted;
  }

  /** Sending time of the newest round that a quorum has answered. */
  confirmedSinceMs(hasQuorum: (round: number) => boolean): number | undefined {
    for (let i = this.#sent.length - 1; i >= 0; i--) {
      const sent = this.#sent[i];
      if (sent !== undefined && hasQuorum(sent.round)) return sent.atMs;
    }
    return undefined;
  }

  /** All contexts, for a leader that steps down. */
  drain(): readonly number[] {
    const contexts = [...this.#pending.map((p) => p.context), ...this.#held];
    this.#pending = [];
    this.#held = [];
    return contexts;
  }
}
