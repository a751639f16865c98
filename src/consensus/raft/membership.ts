/**
 * Changes of who belongs to the group, one after the other.
 * Source  Ongaro 2014, sections 4.1 (a configuration counts from append), 4.3 (joint consensus), 4.2.1 (catching up as a
 *         learner) and 4.2.2 (a leader that removes itself).
 * Owns    when a change may begin, what follows when it is committed, the promotion of learners.
 * Leaves  what a valid set of members is to `change.ts`, the encoding to `contract/configuration.ts`.
 *
 * R6. A configuration counts from append; the next change waits until the last one is committed.
 */
import { assert } from "../../base/assert.ts";
import type { LogIndex } from "../../base/ids.ts";
import { type Configuration, encodeConfiguration, isJoint, isVoter, type Member } from "../contract/configuration.ts";
import { type LogRecord, RecordKind } from "../contract/record.ts";
import { planChange } from "./change.ts";
import type { Handover } from "./handover.ts";
import type { Progress } from "./progress.ts";
import type { Replica } from "./replica.ts";
import type { Leader } from "./roles.ts";
import type { Sending } from "./sending.ts";

export class Membership {
  readonly #replica: Replica;
  readonly #sending: Sending;
  readonly #handover: Handover;
  #announced: LogIndex;

  constructor(replica: Replica, sending: Sending, handover: Handover) {
    this.#replica = replica;
    this.#sending = sending;
    this.#handover = handover;
    this.#announced = replica.log.start.index;
  }

  change(members: readonly Member[]): void {
    const { state, commit, configuration, effects, leader } = this.#replica;
    if (state.type !== "leader") {
      effects.refuse("not-leader", leader);
      return;
    }
    if (commit < state.opening) {
      effects.refuse("not-ready", leader); // a change before the own term's first commit can split the quorum (raft-dev, 2015)
      return;
    }
    if (state.transfer !== undefined) {
      effects.refuse("transferring", leader);
      return;
    }
    if (isJoint(configuration) || this.#isOpen) {
      effects.refuse("change-pending", leader); // R6
      return;
    }
    const next = planChange(configuration, members);
    if (next === undefined) {
      effects.refuse("invalid-members", leader);
      return;
    }
    effects.accept(this.#append(state, next));
  }

  /** The leader's commit index has risen, perhaps over a configuration. */
  committed(state: Leader): void {
    if (this.#isOpen) return;
    const { configuration, id } = this.#replica;
    if (isJoint(configuration)) this.#append(state, { members: configuration.members, outgoing: [] });
    else if (!isVoter(configuration, id)) this.#handover.resign(state, "no longer a voter");
  }

  /** Tells once of each configuration that is known to be committed here. */
  announce(): void {
    const { log, commit, configuration, effects } = this.#replica;
    const index = log.configurationIndex;
    if (index < this.#announced) this.#announced = index; // rolled back
    if (index <= this.#announced || index > commit) return;
    this.#announced = index;
    effects.tell({ type: "configuration", configuration, index, committed: true });
  }

  /** A learner that asked for it becomes a voter once a round of catching up took less than an election timeout. */
  promoteLearners(state: Leader): void {
    const { configuration, commit } = this.#replica;
    if (isJoint(configuration) || this.#isOpen || commit < state.opening || state.transfer !== undefined) return;
    for (const member of configuration.members) {
      const p = state.progress.get(member.id);
      if (member.role === "voter" || !member.promote || p === undefined || p.state === "snapshot") continue;
      if (member.incarnation === 0) continue; // which data folder it is must stand in the log before it votes
      if (!this.#hasCaughtUp(member, p)) continue;
      const members = configuration.members.map((m) =>
        m.id === member.id ? { ...m, role: "voter" as const, promote: false } : m,
      );
      const next = planChange(configuration, members);
      assert(next !== undefined, "a promotion is a valid change", { member });
      this.#append(state, next);
      return; // one change at a time
    }
  }

  /** Ongaro 2014, section 4.2.1: a round is what the leader had when it began; the last one must be short. */
  #hasCaughtUp(member: Member, p: Progress): boolean {
    const { log, nowMs, options, effects } = this.#replica;
    const round = p.catchUp;
    if (round !== undefined) {
      if (p.match < round.target) return false;
      if (nowMs - round.startedMs < options.electionMs) return true;
      const why = "a round of catching up took longer than an election timeout";
      effects.tell({ type: "stuck", peer: member.id, why });
    }
    p.catchUp = { target: log.lastIndex, startedMs: nowMs };
    return false;
  }

  /** True while the newest configuration is not known to be committed. */
  get #isOpen(): boolean {
    return this.#replica.log.configurationIndex > this.#replica.commit;
  }

  #append(state: Leader, configuration: Configuration): LogRecord {
    assert(!this.#isOpen, "R6: one change at a time", { index: this.#replica.log.configurationIndex });
    assert(this.#replica.commit >= state.opening, "R6: no change before the own term's first commit");
    const body = encodeConfiguration(configuration);
    return this.#sending.appendOwn(state, RecordKind.configuration, body, this.#replica.options.crc32(body));
  }
}
