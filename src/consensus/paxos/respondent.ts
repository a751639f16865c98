/**
 * What every node answers, whoever leads: to candidates, to leaders, to replicas that know less.
 * Source  Lamport 2001, sections 2.2 and 2.4 (answers to those who ask too late).
 * Owns    the order of checks before the acceptor's rule is asked, and what a refused sender is told.
 * Leaves  the rule and the slots to `replica.ts`, roles and deadlines to `paxos.ts`, through `Roles`.
 *
 * P14. A message of an older era or a lower ballot changes nothing here; its sender is told why. One that names another's
 *      ballot is ignored and observed.
 */
import { assert } from "../../base/assert.ts";
import type { NodeId } from "../../base/ids.ts";
import type { LeaderWatch } from "../contract/election.ts";
import { type Ballot, ballotText, eraOf, nodeOf } from "./ballot.ts";
import type { PaxosMessage, PaxosPrepare, Report } from "./messages.ts";
import type { Replica } from "./replica.ts";

type Of<Type extends PaxosMessage["type"]> = Extract<PaxosMessage, { readonly type: Type }>;

/** What answering needs to know of this node's role, and may change about it. */
export interface Roles {
  leader(): NodeId | undefined;
  /** The ballot that this node leads. */
  ledBallot(): Ballot | undefined;
  /** A leader was heard: follow it, and be patient. */
  followLeader(leader: NodeId, ballot: Ballot): void;
  /** A candidate was promised a higher ballot. */
  giveWay(why: string): void;
  /** A candidate that was promised this ballot is alive. */
  waitFor(ballot: Ballot): void;
}

const REPORT_BYTES = 40;

export class Respondent {
  readonly #replica: Replica;
  readonly #watch: LeaderWatch;
  readonly #roles: Roles;
  /** Replicas to which a snapshot is on its way. */
  readonly #snapshots = new Set<NodeId>();

  constructor(replica: Replica, watch: LeaderWatch, roles: Roles) {
    this.#replica = replica;
    this.#watch = watch;
    this.#roles = roles;
  }

  needsSnapshot(id: NodeId): boolean {
    return this.#snapshots.has(id);
  }

  /** It asks again if it still lacks something. */
  snapshotEnded(id: NodeId): void {
    this.#snapshots.delete(id);
  }

  /** P14, for what only a leader sends. True: it is the leader of the ballot that this node now serves. */
  #hearLeader(from: NodeId, message: Of<"accept"> | Of<"beat">): boolean {
    const { ballot, chosen } = message;
    const replica = this.#replica;
    if (nodeOf(ballot) !== from) {
      this.#ignore(from, message.type, `the ballot ${ballotText(ballot)} is another's`);
      return false;
    }
    if (eraOf(ballot) < replica.log.era || !replica.mayAnswer(ballot)) {
      const isOldEra = eraOf(ballot) < replica.log.era;
      if (isOldEra) this.#ignore(from, message.type, `era ${eraOf(ballot)} is over`);
      this.#sendRefusal(from, ballot, isOldEra ? "behind" : "promised");
      return false;
    }
    assert(ballot !== this.#roles.ledBallot(), "P13: one leader a ballot", { from, ballot });
    const isReached = eraOf(ballot) === replica.log.era; // P5
    if (isReached) replica.follow(ballot);
    this.#roles.followLeader(from, ballot);
    this.#watch.hear(replica.nowMs);
    if (isReached) replica.settleUpTo(ballot, chosen);
    if (chosen > replica.log.chosen) replica.noteChosen(from, chosen);
    return isReached;
  }

  accept(from: NodeId, message: Of<"accept">): void {
    if (!this.#hearLeader(from, message)) return;
    const replica = this.#replica;
    if (eraOf(message.ballot) !== replica.log.era) return; // its own watermark ended the era
    const range = replica.accept(message);
    replica.settleUpTo(message.ballot, message.chosen);
    if (range === undefined) return;
    const { chosen } = replica.log;
    replica.out.sendDurable(from, { type: "accepted", ballot: message.ballot, chosen, ranges: [range] });
  }

  beat(from: NodeId, message: Of<"beat">): void {
    if (!this.#hearLeader(from, message)) return;
    const { durableChosen: chosen, isMute } = this.#replica;
    const { ballot, round } = message;
    this.#replica.out.send(from, { type: "beat-reply", ballot, round, chosen, isMute });
  }

  #sendRefusal(to: NodeId, ballot: Ballot, why: Of<"refusal">["why"]): void {
    const { promised, log } = this.#replica;
    this.#replica.out.sendDurable(to, { type: "refusal", ballot, promised, chosen: log.chosen, why });
  }

  askChosen(from: NodeId, message: Of<"ask-chosen">): void {
    const isWhole = this.#replica.tellChosen(from, message);
    if (isWhole || this.#snapshots.has(from)) return;
    // From any replica: the voters of a new era may need it before any of them can lead.
    this.#snapshots.add(from);
    this.#replica.out.event({ type: "need-snapshot", peer: from });
  }

  askAccepted(from: NodeId, message: Of<"ask-accepted">): void {
    const values = [];
    let bytes = 0;
    for (const index of message.slots) {
      const slot = this.#replica.log.slot(index);
      if (slot === undefined) continue;
      bytes += slot.value.body.length;
      if (values.length > 0 && bytes > this.#replica.options.messageBytesMax) break;
      values.push({ index, value: slot.value });
    }
    this.#replica.out.send(from, { type: "tell-accepted", ballot: message.ballot, values });
  }

  /** E3: a live leader is not disturbed, except by itself. */
  #forbids(from: NodeId): boolean {
    const leader = this.#roles.leader();
    if (leader === from) return false;
    const isLeader = this.#roles.ledBallot() !== undefined;
    return this.#watch.forbidsVote(this.#replica.nowMs, { isLeader, knowsLeader: leader !== undefined });
  }

  canvassed(from: NodeId, message: Of<"canvass">, isStranger: boolean): void {
    const replica = this.#replica;
    const { log } = replica;
    const granted =
      !isStranger &&
      !this.#forbids(from) &&
      !replica.isMute &&
      message.era === log.era &&
      message.chosen >= log.start.index && // P9: else it would have to learn what is trimmed here
      (message.isBlank ? replica.isEmpty : !replica.isBlank); // P8
    if (message.chosen > log.chosen) replica.noteChosen(from, message.chosen);
    const { attempt } = message;
    const { promised } = replica;
    replica.out.send(from, { type: "canvass-reply", attempt, granted, promised, chosen: log.chosen });
  }

  prepare(from: NodeId, message: PaxosPrepare, isStranger: boolean): void {
    const replica = this.#replica;
    const { ballot } = message;
    if (nodeOf(ballot) !== from) return this.#ignore(from, "prepare", `the ballot ${ballotText(ballot)} is another's`);
    if (isStranger) {
      this.#ignore(from, "prepare", "another data folder under a member's id");
      return replica.noteChosen(from, message.chosen); // unless it is we who know too little
    }
    if (message.hold) return this.#roles.waitFor(ballot);
    if (eraOf(ballot) > replica.log.era) return replica.noteChosen(from, message.chosen); // P5
    if (eraOf(ballot) < replica.log.era || message.chosen < replica.log.start.index) {
      this.#ignore(
        from,
        "prepare",
        eraOf(ballot) < replica.log.era ? "its era is over" : "it needs what is trimmed here",
      );
      return this.#sendRefusal(from, ballot, "behind");
    }
    if (replica.isMute) return this.#ignore(from, "prepare", "what was promised or accepted here is lost"); // P6
    if (replica.isBlank && !message.isBlank) return this.#ignore(from, "prepare", "this may be a wiped disk"); // P8
    if (!replica.mayAnswer(ballot)) return this.#sendRefusal(from, ballot, "promised");
    if (ballot > replica.promised) {
      if (this.#forbids(from) && !message.transfer) return this.#ignore(from, "prepare", "a live leader is known");
      replica.promise(ballot);
      this.#roles.giveWay("a higher ballot was promised");
    }
    this.#sendPromise(from, ballot);
  }

  #sendPromise(to: NodeId, ballot: Ballot): void {
    const { log, out } = this.#replica;
    const parts: Report[][] = [[]];
    let bytes = 0;
    for (const report of this.#replica.reports(false)) {
      bytes += REPORT_BYTES + (report.value?.body.length ?? 0);
      if (bytes > this.#replica.options.messageBytesMax && (parts.at(-1)?.length ?? 0) > 0) {
        parts.push([]);
        bytes = REPORT_BYTES + (report.value?.body.length ?? 0);
      }
      parts.at(-1)?.push(report);
    }
    const { chosen } = log;
    const start = log.start.index;
    for (const [part, reports] of parts.entries()) {
      out.sendDurable(to, { type: "promise", ballot, chosen, start, part, parts: parts.length, reports });
    }
  }

  #ignore(from: NodeId, message: string, why: string): void {
    this.#replica.out.event({ type: "ignored", from, message, why });
  }
}
