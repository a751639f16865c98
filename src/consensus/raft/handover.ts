/**
 * How a leader gives its place away: to whom it is told to, or to whoever is freshest when it has to go.
 * Source  Ongaro 2014, section 3.10 (leadership transfer extension).
 * Owns    the transfer in a leader's state, the choice of an heir.
 *
 * Who was asked to stand does not wait for silence, so that no lease is given in this term again (thesis 6.4.1).
 */
import type { NodeId } from "../../base/ids.ts";
import { isVoter } from "../contract/configuration.ts";
import { isRecent } from "../contract/election.ts";
import type { Progress } from "./progress.ts";
import type { Replica } from "./replica.ts";
import type { Leader } from "./roles.ts";
import type { Sending } from "./sending.ts";

export class Handover {
  readonly #replica: Replica;
  readonly #sending: Sending;

  constructor(replica: Replica, sending: Sending) {
    this.#replica = replica;
    this.#sending = sending;
  }

  transfer(to: NodeId): void {
    const { state, effects, id, configuration, commit, log, nowMs, options, term, leader } = this.#replica;
    if (state.type !== "leader") {
      effects.refuse("not-leader", leader);
      return;
    }
    const p = state.progress.get(to);
    if (to === id || p === undefined || !isVoter(configuration, to)) {
      effects.refuse("invalid-members", leader);
      return;
    }
    if (commit < state.opening) {
      effects.refuse("not-ready", leader);
      return;
    }
    state.transfer = { to, deadlineMs: nowMs + options.electionMs };
    effects.accept({ index: log.lastIndex, term });
    if (!this.askIfReady(state, to, p)) this.#sending.replicateTo(state, to, p);
  }

  /** The target of a transfer holds all we have: it may stand. */
  askIfReady(state: Leader, peer: NodeId, p: Progress): boolean {
    if (state.transfer?.to !== peer || p.match !== this.#replica.log.lastIndex) return false;
    this.#ask(state, peer);
    return true;
  }

  /** The transfer took too long: it did not work, and proposals go on (thesis 3.10). */
  giveUpInTime(state: Leader): void {
    if (state.transfer !== undefined && this.#replica.nowMs >= state.transfer.deadlineMs) state.transfer = undefined;
  }

  /** Steps down, and asks the freshest follower to go on. */
  resign(state: Leader, why: string): void {
    const replica = this.#replica;
    const heir = this.#freshestFollower(state);
    if (heir !== undefined) this.#ask(state, heir);
    replica.becomeFollower(replica.term, undefined, why);
  }

  #ask(state: Leader, peer: NodeId): void {
    const { effects, term } = this.#replica;
    state.askedToStand = true;
    effects.sendNow(peer, { type: "timeout-now", term });
  }

  #freshestFollower(state: Leader): NodeId | undefined {
    const { configuration, options, nowMs } = this.#replica;
    let best: NodeId | undefined;
    let bestMatch = -1;
    for (const [peer, p] of state.progress) {
      if (!isVoter(configuration, peer) || p.match <= bestMatch) continue;
      if (!isRecent(options, { heardMs: p.lastHeardMs, nowMs })) continue;
      best = peer;
      bestMatch = p.match;
    }
    return best;
  }
}
