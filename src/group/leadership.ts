/**
 * Who leads, and whether this node does so with full knowledge, as those who listen are told.
 * Owns    noticing a change of leader after a step, and readiness: a leader that has applied an entry of its own term knows
 *         all that was ever committed (Ongaro & Ousterhout 2014, section 8). Once ready, it stays so until it leads no more.
 */
import type { LogIndex, NodeId } from "../base/ids.ts";
import type { Pump } from "./pump.ts";

export interface LeadershipPort {
  readonly state: { readonly applied: LogIndex; readonly isWhole: boolean; readonly isBehind: boolean };
  /** Another leader, or none. */
  leaderChanged(): void;
  /** This node leads, and has just become ready. */
  becameReady(): void;
}

export class Leadership {
  readonly #pump: Pump;
  readonly #port: LeadershipPort;
  readonly #listeners = new Set<() => void>();
  #lastLeader: NodeId | undefined;
  #ready = false;

  constructor(pump: Pump, port: LeadershipPort) {
    this.#pump = pump;
    this.#port = port;
  }

  get isReady(): boolean {
    return this.#ready && this.#pump.isLeader;
  }

  /** Called on every change of leader, members or readiness. Returns the way to stop listening. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  changed(): void {
    for (const listener of this.#listeners) listener();
  }

  /** After each step. */
  stepped(): void {
    const { leader } = this.#pump;
    if (leader !== this.#lastLeader) {
      this.#lastLeader = leader;
      this.#port.leaderChanged();
      this.changed();
      this.#pump.turn();
    }
    this.checkReady();
  }

  checkReady(): void {
    const { isLeader, core } = this.#pump;
    const { applied, isWhole, isBehind } = this.#port.state;
    const ready = isLeader && isWhole && !isBehind && core.startAt(applied)?.term === core.term;
    if (ready === this.#ready) return;
    this.#ready = ready || (this.#ready && isLeader); // once ready, until the leadership ends
    if (ready || !isLeader) this.changed();
    if (ready) this.#port.becameReady();
  }
}
