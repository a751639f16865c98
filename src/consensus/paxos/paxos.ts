/**
 * Multi-Paxos as a pure step machine, behind the contract that Raft stands behind too.
 * Source  Lamport 2001, "Paxos made simple"; Howard et al. 2016 (flexible quorums); Ng et al. 2023, Omni-Paxos, section 4
 *         (only a quorum-connected node leads); Ongaro 2014, sections 3.10, 6.4 and 9.6 (transfer, reads, pre-vote).
 * Owns    roles, elections, and the order of effects.
 * Leaves  the acceptor and learner to `replica.ts` (P1, P4–P8), phase 1 to `candidacy.ts` and `recovery.ts` (P2, P9, P10),
 *         phase 2 and reads to `leadership.ts` and `reads.ts` (P3, P11), members to `stewardship.ts` (P12), answers to others to
 *         `respondent.ts` (P14).
 *
 * The term of the contract is a ballot (`ballot.ts`).
 *
 * P13. At most one leader a ballot: it names its proposer, who promises it to itself durably before it asks anyone, and
 *      never uses it again.
 */
import { assert, unreachable } from "../../base/assert.ts";
import { BytesError } from "../../base/bytes.ts";
import type { LogIndex, NodeId, Term } from "../../base/ids.ts";
import { incomingVoters } from "../contract/configuration.ts";
import type {
  ConsensusCore,
  CoreOptions,
  CoreStatus,
  Effects,
  Input,
  LogStart,
  Recovered,
  RefusalReason,
  Role,
} from "../contract/core.ts";
import {
  electionTimeoutMs,
  hurriedTimeoutMs,
  LeaderWatch,
  mayStand,
  rankAfter,
  wasHeldUp,
} from "../contract/election.ts";
import { Announcer } from "./announcer.ts";
import { type Ballot, ballotAbove, eraOf, NO_BALLOT } from "./ballot.ts";
import { Canvass } from "./canvass.ts";
import { Candidacy } from "./candidacy.ts";
import { Leadership } from "./leadership.ts";
import { decodePaxosMessage, type PaxosMessage } from "./messages.ts";
import { Replica } from "./replica.ts";
import { dueMs, type Follower, shownBallot, type State, statusOf } from "./role-state.ts";
import { Respondent, type Roles } from "./respondent.ts";
import { Stewardship } from "./stewardship.ts";
import type { PaxosTraits } from "./traits.ts";

type Of<Type extends PaxosMessage["type"]> = Extract<PaxosMessage, { readonly type: Type }>;

/** Phase 1 with much to fetch takes longer than an election; the voters that promised wait as long as they are asked to. */
const RECOVERY_TIMEOUTS = 10;
const NOBODY: readonly NodeId[] = [];

export class Paxos implements ConsensusCore {
  readonly #options: CoreOptions;
  readonly #id: NodeId;
  readonly #replica: Replica;
  readonly #watch: LeaderWatch;
  readonly #respondent: Respondent;
  readonly #announcer: Announcer;
  readonly #acceptorOnly: boolean;
  #state: State;
  #nowMs: number;
  #isStalled = false;
  #attempts = 0;
  /** The highest ballot seen anywhere: the next attempt goes above it. */
  #seen: Ballot = NO_BALLOT;

  constructor(options: CoreOptions, recovered: Recovered, nowMs: number, traits: PaxosTraits) {
    this.#options = options;
    this.#id = options.id;
    this.#nowMs = nowMs;
    this.#acceptorOnly = traits.acceptorOnly;
    this.#replica = new Replica(options, recovered, nowMs, traits.quorumsOf);
    this.#announcer = new Announcer(this.#replica);
    this.#watch = new LeaderWatch(options, nowMs);
    this.#respondent = new Respondent(this.#replica, this.#watch, this.#roles());
    this.#state = this.#idle(undefined, this.#replica.promised, nowMs + electionTimeoutMs(options));
    const alone = incomingVoters(this.#replica.configuration).length === 1 && this.#replica.isVoter;
    if (alone && this.#watch.mayHurry) this.#state.deadlineMs = nowMs; // nobody to wait for
  }

  // ---------------------------------------------------------------- what the host sees

  get role(): Role {
    if (this.#state.type === "follower" && !this.#replica.isVoter) return "learner";
    return this.#state.type;
  }

  get term(): Term {
    return shownBallot(this.#state, this.#replica.promised);
  }

  get leader(): NodeId | undefined {
    if (this.#state.type === "leader") return this.#id;
    return this.#state.type === "follower" ? this.#state.leader : undefined;
  }

  get commit(): LogIndex {
    return this.#replica.log.chosen;
  }

  get takesProposals(): boolean {
    return this.#state.type !== "leader" || !this.#state.leadership.stops;
  }

  /** A chosen log is one and the same everywhere; and the voters of a new era may need it before any of them can lead. */
  get snapshotsFrom(): "anyone" {
    return "anyone";
  }

  get deadlineMs(): number {
    return dueMs(this.#state, !this.#mayStand && !this.#mayAnnounce);
  }

  startAt(index: LogIndex): LogStart | undefined {
    return this.#replica.log.startAt(index);
  }

  /** Never: what a lease leans on in Raft, that a new leader holds all that was committed, phase 1 gives only later. */
  leaseHolds(_nowMs: number): boolean {
    return false;
  }

  status(): CoreStatus {
    const { role, term, leader } = this;
    const needsSnapshot = (id: NodeId): boolean => this.#respondent.needsSnapshot(id);
    return { role, term, leader, ...statusOf(this.#state, this.#replica, needsSnapshot) };
  }

  // ---------------------------------------------------------------- one step

  step(input: Input, nowMs: number): Effects {
    assert(nowMs >= this.#nowMs, "time never goes back", { nowMs, before: this.#nowMs });
    this.#nowMs = nowMs;
    this.#replica.nowMs = nowMs;
    this.#take(input);
    this.#judge();
    this.#replica.noteChosenRecord();
    return this.#replica.out.finish(() => this.#replica.takeCommitted());
  }

  #take(input: Input): void {
    const state = this.#state;
    switch (input.type) {
      case "tick":
        return this.#tick();
      case "message":
        return this.#receive(input.from, input.frame, input.isStranger === true);
      case "propose":
        if (state.type === "leader") state.leadership.offer(input.body, input.bodyCrc, input.waiting ?? NOBODY);
        else this.#refuse("not-leader");
        return;
      case "read":
        if (state.type === "leader") state.leadership.read(input.context);
        else this.#replica.out.grant({ context: input.context, index: undefined });
        return;
      case "durable":
        this.#replica.out.complete(input.ticket, (message) => this.#isMoot(message));
        if (state.type === "leader") state.leadership.durable();
        return;
      case "change":
        if (state.type === "leader") state.stewardship.change(input.members);
        else this.#refuse("not-leader");
        return;
      case "transfer":
        if (state.type === "leader") state.stewardship.transfer(input.to);
        else this.#refuse("not-leader");
        return;
      case "peer-lost":
        return this.#peerLost(input.peer);
      case "disk":
        return this.#disk(input.stalled);
      case "trim":
        return this.#replica.trim(input.start);
      case "installed":
        // It may have been under way when this node was elected: what it proposes lies below.
        if (state.type === "leader" && input.start.index > this.commit) {
          this.#becomeFollower(undefined, "a snapshot came");
        }
        this.#replica.installed(input.start);
        return;
      case "snapshot-sent":
        return this.#respondent.snapshotEnded(input.peer);
      default:
        return unreachable(input);
    }
  }

  /** What was held back for the disk and stands for nothing any more. */
  #isMoot(message: PaxosMessage): boolean {
    if (message.type !== "prepare") return false;
    return this.#state.type !== "candidate" || this.#state.candidacy.ballot !== message.ballot;
  }

  // ---------------------------------------------------------------- time

  #tick(): void {
    const state = this.#state;
    const late = wasHeldUp(this.#options, { nowMs: this.#nowMs, dueMs: this.deadlineMs });
    switch (state.type) {
      case "leader":
        state.leadership.tick(late);
        if (this.#state === state) state.stewardship.tend();
        return;
      case "candidate":
        if (this.#nowMs >= state.deadlineMs) this.#becomeFollower(undefined, "phase 1 took too long");
        else state.candidacy.tick();
        return;
      case "follower":
      case "pre-candidate":
        if (this.#nowMs < state.deadlineMs) return;
        if (!this.#mayStand) return this.#announce();
        if (late && state.type === "follower" && state.leader !== undefined) {
          state.deadlineMs = this.#nowMs + this.#options.heartbeatMs;
          return;
        }
        this.#canvass(state.type === "follower" ? "election timeout" : "no quorum in time");
    }
  }

  get #mayStand(): boolean {
    if (this.#acceptorOnly) return false;
    const { isVoter, isDamaged, isUnbound } = this.#replica;
    return mayStand({ isNeeded: isVoter, isDamaged, isUnbound, isStalled: this.#isStalled });
  }

  get #mayAnnounce(): boolean {
    return this.#announcer.isNeeded(this.leader !== undefined);
  }

  #announce(): void {
    if (!this.#mayAnnounce) return;
    const deadlineMs = this.#announcer.announce();
    if (this.#state.type === "follower") this.#state.deadlineMs = deadlineMs;
    else this.#enter(this.#idle(undefined, this.#replica.promised, deadlineMs), "no voter any more");
  }

  #drawDeadline(): number {
    return this.#nowMs + electionTimeoutMs(this.#options);
  }

  // ---------------------------------------------------------------- messages

  #receive(from: NodeId, frame: Uint8Array, isStranger: boolean): void {
    let message: PaxosMessage;
    try {
      message = decodePaxosMessage(frame);
    } catch (error) {
      if (!(error instanceof BytesError)) throw error;
      return this.#ignore(from, "unreadable", error.message);
    }
    const state = this.#state;
    switch (message.type) {
      case "canvass":
        return this.#respondent.canvassed(from, message, isStranger);
      case "prepare":
        return this.#respondent.prepare(from, message, isStranger);
      case "accept":
        return this.#respondent.accept(from, message);
      case "beat":
        return this.#respondent.beat(from, message);
      case "ask-chosen": {
        const peer = state.type === "leader" ? state.leadership.peers.get(from) : undefined;
        if (state.type === "leader" && peer !== undefined) state.leadership.heard(peer);
        return this.#respondent.askChosen(from, message);
      }
      case "tell-chosen":
        if (state.type !== "leader") this.#replica.learn(from, message); // a leader learns from its own phase 2
        return;
      case "ask-accepted":
        return this.#respondent.askAccepted(from, message);
      case "refusal":
        return this.#refused(from, message);
      case "stand-now":
        if (state.type !== "follower" || state.leader !== from || state.ballot !== message.ballot) return;
        if (this.#mayStand) this.#stand("asked by the leader", true);
        return;
      case "canvass-reply":
      case "promise":
      case "tell-accepted":
      case "accepted":
      case "beat-reply":
        if (isStranger) return this.#ignore(from, message.type, "another data folder under a member's id");
        return this.#answered(from, message);
    }
  }

  /** Answers count only from the data folder that the configuration names, and only for the ballot that asked. */
  #answered(
    from: NodeId,
    message: Of<"canvass-reply"> | Of<"promise"> | Of<"tell-accepted"> | Of<"accepted"> | Of<"beat-reply">,
  ): void {
    const state = this.#state;
    switch (message.type) {
      case "canvass-reply":
        return this.#canvassReply(from, message);
      case "promise":
        if (state.type === "candidate") state.candidacy.promised(from, message);
        return;
      case "tell-accepted":
        if (state.type === "candidate") state.candidacy.told(message);
        return;
      case "accepted":
      case "beat-reply": {
        const peer = state.type === "leader" ? state.leadership.peers.get(from) : undefined;
        if (state.type !== "leader" || peer === undefined) return;
        if (message.ballot !== state.leadership.ballot) return;
        if (message.type === "accepted") state.leadership.accepted(from, peer, message);
        else state.leadership.beatAnswered(from, peer, message);
      }
    }
  }

  #refused(from: NodeId, message: Of<"refusal">): void {
    if (message.promised > this.#seen) this.#seen = message.promised;
    this.#replica.noteChosen(from, message.chosen);
    const state = this.#state;
    const isMine = (state.type === "candidate" || state.type === "leader") && this.term === message.ballot;
    if (!isMine) return;
    if (message.why === "behind" && message.chosen > this.commit) this.#becomeFollower(undefined, "behind others");
    if (message.why === "promised" && message.promised > message.ballot) {
      this.#becomeFollower(undefined, "a higher ballot was promised");
    }
  }

  // ---------------------------------------------------------------- elections

  #canvassReply(from: NodeId, message: Of<"canvass-reply">): void {
    if (message.promised > this.#seen) this.#seen = message.promised;
    this.#replica.noteChosen(from, message.chosen);
    const state = this.#state;
    if (state.type !== "pre-candidate") return;
    state.canvass.answered(from, message);
    if (state.canvass.isWon) this.#stand("canvass granted", false);
  }

  #canvass(why: string): void {
    const canvass = new Canvass(this.#replica, ++this.#attempts);
    this.#enter({ type: "pre-candidate", canvass, deadlineMs: this.#drawDeadline() }, why);
    if (canvass.isWon) this.#stand("canvass granted", false);
  }

  #stand(why: string, transfer: boolean): void {
    const replica = this.#replica;
    const { era } = replica.log;
    const seen = this.#seen > replica.promised && eraOf(this.#seen) === era ? this.#seen : replica.promised;
    const ballot = eraOf(seen) > era ? undefined : ballotAbove(seen, era, this.#id);
    if (ballot === undefined) return this.#becomeFollower(undefined, "no ballot is left in this era");
    const candidacy = new Candidacy(replica, ballot, { transfer });
    this.#enter({ type: "candidate", candidacy, deadlineMs: this.#drawDeadline() }, why);
  }

  /** After every input: has something arrived that a candidate or a leader waited for? */
  #judge(): void {
    const state = this.#state;
    if (state.type === "leader") {
      state.stewardship.tendTransfer(this.commit);
      return;
    }
    if (state.type !== "candidate") return;
    const { candidacy } = state;
    const reached = candidacy.reached;
    const step = candidacy.judge();
    if (!reached && candidacy.reached) {
      state.deadlineMs = this.#nowMs + RECOVERY_TIMEOUTS * this.#options.electionMs;
    }
    switch (step.type) {
      case "wait":
        return;
      case "give-up":
        return this.#becomeFollower(undefined, step.why);
      case "lead": {
        const leadership = new Leadership(this.#replica, candidacy.ballot, step.plan, {
          stepDown: (why, heir) => this.#stepDown(why, heir),
          standAnew: () => this.#stand("the era ended", false),
          renewed: () => this.#tellRole("the era ended"),
        });
        const stewardship = new Stewardship(this.#replica, leadership);
        this.#enter({ type: "leader", leadership, stewardship }, `${step.promises} promises`);
        leadership.beginRound();
      }
    }
  }

  // ---------------------------------------------------------------- transitions

  /** What answering others may know and change of this node's role. */
  #roles(): Roles {
    return {
      leader: () => this.leader,
      ledBallot: () => (this.#state.type === "leader" ? this.#state.leadership.ballot : undefined),
      followLeader: (from, ballot) => this.#followLeader(from, ballot),
      giveWay: (why) => this.#becomeFollower(undefined, why),
      waitFor: (ballot) => {
        if (this.#state.type === "follower" && this.#replica.promised === ballot) {
          this.#state.deadlineMs = this.#drawDeadline();
        }
      },
    };
  }

  #followLeader(leader: NodeId, ballot: Ballot): void {
    const state = this.#state;
    this.#announcer.leaderHeard();
    if (state.type !== "follower" || state.leader !== leader || state.ballot !== ballot) {
      this.#becomeFollower({ leader, ballot }, "a leader was heard");
    } else state.deadlineMs = this.#drawDeadline();
  }

  #stepDown(why: string, heir: NodeId | undefined): void {
    if (heir !== undefined) this.#replica.out.send(heir, { type: "stand-now", ballot: this.term });
    this.#becomeFollower(undefined, why);
  }

  #becomeFollower(leader: { readonly leader: NodeId; readonly ballot: Ballot } | undefined, why: string): void {
    this.#enter(this.#idle(leader?.leader, leader?.ballot ?? this.#replica.promised, this.#drawDeadline()), why);
  }

  #idle(leader: NodeId | undefined, ballot: Ballot, deadlineMs: number): Follower {
    return { type: "follower", leader, ballot, deadlineMs };
  }

  /** The only transition. */
  #enter(state: State, why: string): void {
    if (this.#state.type === "leader") {
      for (const context of this.#state.leadership.reads.drain())
        this.#replica.out.grant({ context, index: undefined });
    }
    this.#state = state;
    this.#tellRole(why);
  }

  #tellRole(why: string): void {
    const { role, term, leader } = this;
    this.#replica.out.event({ type: "role", role, term, leader, why });
  }

  #peerLost(peer: NodeId): void {
    const state = this.#state;
    if (state.type === "leader") return state.leadership.peerLost(peer);
    if (state.type !== "follower" || state.leader !== peer || !this.#watch.mayHurry) return;
    const rank = rankAfter(peer, this.#id, incomingVoters(this.#replica.configuration));
    const deadlineMs = Math.min(state.deadlineMs, this.#nowMs + hurriedTimeoutMs(this.#options, rank));
    this.#enter(this.#idle(undefined, state.ballot, deadlineMs), "the connection to the leader broke");
  }

  #disk(stalled: boolean): void {
    this.#isStalled = stalled;
    const state = this.#state;
    if (!stalled) {
      if (state.type === "follower") state.deadlineMs = this.#drawDeadline();
    } else if (state.type === "leader") {
      this.#stepDown("the disk has stalled", state.leadership.heir());
    }
  }

  // ---------------------------------------------------------------- leaves

  #refuse(reason: RefusalReason): void {
    this.#replica.out.answer({ type: "refused", reason, leader: this.leader });
  }

  #ignore(from: NodeId, message: string, why: string): void {
    this.#replica.out.event({ type: "ignored", from, message, why });
  }
}
