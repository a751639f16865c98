/**
 * Reads that wait for the leader's confirmation.
 * Source  Ongaro 2014, section 6.4 (read index), carried over to ballots and two kinds of quorum.
 *
 * P11. A read's index is the leader's chosen watermark when the read came, and it waits until everything that phase 1
 *      recovered is chosen. It is confirmed by a round of beats begun after it came, answered under the leader's ballot by a
 *      phase-2 quorum: that meets every phase-1 quorum, so nobody had taken over when the round began. Rounds rise for as
 *      long as a leadership lasts and answers name their ballot: no answer ever confirms a later read.
 *      A read that still waits when an era ends gets the era's last index: who leads the new one confirms only that.
 */
import type { LogIndex } from "../../base/ids.ts";
import type { ReadGrant } from "../contract/core.ts";

interface PendingRead {
  readonly context: number;
  readonly index: LogIndex;
  readonly round: number;
}

export class PaxosReads {
  #round = 0;
  #pending: PendingRead[] = [];
  #held: number[] = [];

  get round(): number {
    return this.#round;
  }

  get waiting(): boolean {
    return this.#pending.length > 0;
  }

  add(context: number, index: LogIndex): void {
    this.#pending.push({ context, index, round: this.#round + 1 });
  }

  hold(context: number): void {
    this.#held.push(context);
  }

  release(index: LogIndex): void {
    for (const context of this.#held.splice(0)) this.add(context, index);
  }

  begin(): void {
    this.#round++;
  }

  /**
   * The era ended with `index`: answers to earlier rounds count for nothing any more, nor do earlier indexes. Somebody else may
   * have found what we proposed up to there, and may have known it to be chosen when the read came; the new era's voters confirm
   * nothing about the old one.
   */
  renew(index: LogIndex): void {
    this.#pending = this.#pending.map(({ context }) => ({ context, index, round: this.#round + 1 }));
  }

  /** Takes out the reads whose round has a quorum. */
  take(hasQuorum: (round: number) => boolean): readonly ReadGrant[] {
    const granted: ReadGrant[] = [];
    let known = -1;
    for (let read = this.#pending[0]; read !== undefined && read.round <= this.#round; read = this.#pending[0]) {
      if (read.round !== known && !hasQuorum(read.round)) break;
      known = read.round;
      this.#pending.shift();
      granted.push({ context: read.context, index: read.index });
    }
    return granted;
  }

  drain(): readonly number[] {
    const contexts = [...this.#pending.map((p) => p.context), ...this.#held];
    this.#pending = [];
    this.#held = [];
    return contexts;
  }
}
