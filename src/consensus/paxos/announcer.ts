/**
 * A replica that has no vote and hears no leader may be the only one that knows who has a vote: the voters of an era begin
 * it, and one that was cut off when it began does not know that it is called. So such a replica says now and then how far it
 * knows the log, less and less often, until a leader is heard. (Of those whom a change leaves behind: Ongaro 2014, section 4.2.3.)
 */
import { electionTimeoutMs } from "../contract/election.ts";
import type { Replica } from "./replica.ts";

const DOUBLINGS_MAX = 4;

export class Announcer {
  readonly #replica: Replica;
  #doublings = 0;

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  isNeeded(knowsLeader: boolean): boolean {
    return !knowsLeader && !this.#replica.isVoter && this.#replica.log.chosen > 0;
  }

  leaderHeard(): void {
    this.#doublings = 0;
  }

  /** Returns when to do it again. */
  announce(): number {
    const { nowMs, options } = this.#replica;
    this.#replica.announce();
    const patience = 2 ** this.#doublings;
    if (this.#doublings < DOUBLINGS_MAX) this.#doublings++;
    return nowMs + patience * electionTimeoutMs(options);
  }
}
