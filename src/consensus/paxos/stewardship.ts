/**
 * A leader's dealings with the set of members: changes that are asked for, learners that have caught up, transfers.
 * Source  Ongaro 2014, sections 3.10 (transfer) and 4.2.1 (catching up in rounds); the rest is `change.ts` and P10.
 *
 * P12. One change at a time and an era, and none before everything that phase 1 found is chosen: so a change is always made from
 *      the configuration that it replaces.
 */
import { assert } from "../../base/assert.ts";
import type { NodeId } from "../../base/ids.ts";
import { type Configuration, encodeConfiguration, isVoter, type Member } from "../contract/configuration.ts";
import type { RefusalReason } from "../contract/core.ts";
import { ROUND_MAX, roundOf } from "./ballot.ts";
import { planChange } from "./change.ts";
import type { Leadership } from "./leadership.ts";
import type { Replica } from "./replica.ts";
import { ValueTag } from "./value.ts";

/** Past this round a leader begins a new era with the same voters, so that rounds never run out. */
const ROUND_RENEWED = ROUND_MAX / 2;

export class Stewardship {
  readonly #replica: Replica;
  readonly #leadership: Leadership;

  constructor(replica: Replica, leadership: Leadership) {
    this.#replica = replica;
    this.#leadership = leadership;
  }

  /** P12: why no change may be proposed now. */
  get objection(): RefusalReason | undefined {
    const leadership = this.#leadership;
    if (!leadership.isOpen) return "not-ready";
    if (leadership.transfer !== undefined) return "transferring";
    if (leadership.stops) return "change-pending";
    return undefined;
  }

  change(members: readonly Member[]): void {
    const { out, configuration, id } = this.#replica;
    const planned = planChange(configuration, members);
    const reason = this.objection ?? (planned === undefined || !this.#isSafe(planned) ? "invalid-members" : undefined);
    if (reason !== undefined || planned === undefined) {
      out.answer({ type: "refused", reason: reason ?? "invalid-members", leader: id });
      return;
    }
    const term = this.#leadership.ballot;
    out.answer({ type: "accepted", index: this.#propose(planned), term });
  }

  /** A set of voters whose quorums do not meet is refused, and the reason told. */
  #isSafe(planned: Configuration): boolean {
    const why = this.#replica.objectionTo(planned);
    if (why !== undefined) {
      this.#replica.out.event({ type: "ignored", from: this.#replica.id, message: "change", why });
    }
    return why === undefined;
  }

  #propose(planned: Configuration): ReturnType<Leadership["propose"]> {
    const body = encodeConfiguration(planned);
    return this.#leadership.propose(ValueTag.stop, body, this.#replica.options.crc32(body));
  }

  /** Once a beat: a learner that asked for it becomes a voter when a round of catching up took less than an election timeout. */
  tend(): void {
    if (this.objection !== undefined) return;
    const { configuration, log, nowMs, options, out } = this.#replica;
    if (roundOf(this.#leadership.ballot) > ROUND_RENEWED) {
      this.#propose(configuration);
      return;
    }
    for (const member of configuration.members) {
      const peer = this.#leadership.peers.get(member.id);
      if (member.role === "voter" || !member.promote || peer === undefined) continue;
      if (member.incarnation === 0) continue; // which data folder it is must stand in the log before it votes
      const round = peer.catchUp;
      if (round !== undefined && peer.chosen < round.target) continue;
      const late = round !== undefined && nowMs - round.startedMs >= options.electionMs;
      if (late) {
        const why = "a round of catching up took longer than an election timeout";
        out.event({ type: "stuck", peer: member.id, why });
      }
      if (round === undefined || late) {
        peer.catchUp = { target: log.chosen, startedMs: nowMs };
        continue;
      }
      const members = configuration.members.map((m) =>
        m.id === member.id ? { ...m, role: "voter" as const, promote: false } : m,
      );
      const planned = planChange(configuration, members);
      assert(planned !== undefined, "a promotion keeps a valid set", { member });
      if (!this.#isSafe(planned)) continue;
      this.#propose(planned);
      return; // one change at a time
    }
  }

  transfer(to: NodeId): void {
    const { configuration, id, log, nowMs, options, out } = this.#replica;
    const leadership = this.#leadership;
    let reason: RefusalReason | undefined;
    if (to === id || !leadership.peers.has(to) || !isVoter(configuration, to)) reason = "invalid-members";
    else if (!leadership.isOpen) reason = "not-ready";
    else if (leadership.stops) reason = "change-pending";
    if (reason !== undefined) {
      out.answer({ type: "refused", reason, leader: id });
      return;
    }
    leadership.transfer = { to, deadlineMs: nowMs + options.electionMs };
    out.answer({ type: "accepted", index: leadership.last, term: leadership.ballot });
    leadership.beginRound(); // its answer says how far it is
    this.tendTransfer(log.chosen);
  }

  /** Asks the heir to stand once it knows all that we know, and nothing is under way. */
  tendTransfer(chosen: number): void {
    const leadership = this.#leadership;
    const { transfer } = leadership;
    if (transfer === undefined || leadership.last !== chosen) return;
    if ((leadership.peers.get(transfer.to)?.chosen ?? -1) < chosen) return;
    this.#replica.out.send(transfer.to, { type: "stand-now", ballot: leadership.ballot });
  }
}
