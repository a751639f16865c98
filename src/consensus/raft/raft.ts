/**
 * Raft as a pure step machine: one input in, its effects out.
 * Source  Ongaro & Ousterhout 2014 ("the paper"); Ongaro 2014 ("the thesis"): pre-vote 9.6, check-quorum and ReadIndex 6.4,
 *         leases 6.4.1, joint consensus 4.3, learners 4.2.1, transfer 3.10, leader disk write in parallel 10.2.1.
 * Owns    which part answers to which input, and what the host sees.
 * Leaves  everything else to its parts, each of which keeps the invariants that it names:
 *
 * R1 `replica.ts`     one leader a term: term, vote and role change nowhere else; asked for in `election.ts`
 * R2 `step-effects.ts` what must be durable before it is told; the waiting is `durability.ts`
 * R3 `leading.ts`     committed by counting: proposals, answers, the commit index
 * R4 `replica.ts`     nothing committed is cut; what followers take is in `following.ts`
 * R5 `reading.ts`     linearizable reads and leases; the queue is `reads.ts`
 * R6 `membership.ts`  one change of members at a time; to whom is sent, and how much: `sending.ts`, `progress.ts`
 * R7 `election.ts`    no vote while something is lost; lost and found in `recovery.ts` and `following.ts`
 * R8 `replica.ts`     what is handed out for applying
 * R9 `election.ts`    a blank founder may have been wiped
 */
import { assert } from "../../base/assert.ts";
import { BytesError } from "../../base/bytes.ts";
import type { LogIndex, NodeId, Term } from "../../base/ids.ts";
import type {
  ConsensusCore,
  CoreOptions,
  CoreStatus,
  Effects,
  Input,
  LogStart,
  Recovered,
  Role,
} from "../contract/core.ts";
import { mayStand } from "../contract/election.ts";
import { Election } from "./election.ts";
import { Following } from "./following.ts";
import { Handover } from "./handover.ts";
import { Leading } from "./leading.ts";
import { Membership } from "./membership.ts";
import { decodeRaftMessage, type RaftMessage } from "./messages.ts";
import { Reading } from "./reading.ts";
import { recoverState } from "./recovery.ts";
import { Replica } from "./replica.ts";
import { Sending } from "./sending.ts";

const NOBODY: readonly NodeId[] = [];

/** Builds a core from what the disk holds. See `CoreFactory`. */
export function recoverRaft(options: CoreOptions, recovered: Recovered, nowMs: number): Raft {
  return new Raft(options, recovered, nowMs);
}

export class Raft implements ConsensusCore {
  readonly #replica: Replica;
  readonly #election: Election;
  readonly #following: Following;
  readonly #leading: Leading;
  readonly #reading: Reading;
  readonly #membership: Membership;
  readonly #handover: Handover;

  constructor(options: CoreOptions, recovered: Recovered, nowMs: number) {
    assert(options.leaseMs < options.electionMs, "a lease ends before an election can", options);
    const replica = new Replica(options, recoverState(options.id, recovered), nowMs);
    const sending = new Sending(replica);
    const handover = new Handover(replica, sending);
    this.#replica = replica;
    this.#handover = handover;
    this.#reading = new Reading(replica, sending);
    this.#membership = new Membership(replica, sending, handover);
    this.#election = new Election(replica, sending);
    this.#following = new Following(replica);
    this.#leading = new Leading(replica, { sending, handover, reading: this.#reading, membership: this.#membership });
  }

  // ---------------------------------------------------------------- what the host sees

  get role(): Role {
    return this.#replica.role;
  }

  get term(): Term {
    return this.#replica.term;
  }

  get leader(): NodeId | undefined {
    return this.#replica.leader;
  }

  get commit(): LogIndex {
    return this.#replica.commit;
  }

  get takesProposals(): true {
    return true;
  }

  get snapshotsFrom(): "leader" {
    return "leader";
  }

  get deadlineMs(): number {
    const { state } = this.#replica;
    if (state.type !== "leader") return mayStand(this.#replica) ? state.deadlineMs : Number.POSITIVE_INFINITY;
    return Math.min(state.heartbeatDueMs, state.commitDueMs, state.transfer?.deadlineMs ?? Number.POSITIVE_INFINITY);
  }

  startAt(index: LogIndex): LogStart | undefined {
    return this.#replica.log.startAt(index);
  }

  leaseHolds(nowMs: number): boolean {
    return this.#reading.leaseHolds(nowMs);
  }

  status(): CoreStatus {
    const { role, term, leader, commit, configuration, log, state, isDamaged } = this.#replica;
    const peers = [];
    if (state.type === "leader") {
      for (const [peer, p] of state.progress) {
        peers.push({ peer, match: p.match, state: p.state, lastHeardMs: p.lastHeardMs });
      }
    }
    return {
      role,
      term,
      leader,
      commit,
      last: log.lastIndex,
      first: log.firstIndex,
      configuration,
      configurationIndex: log.configurationIndex,
      uncommitted: { entries: log.lastIndex - commit, bytes: state.type === "leader" ? state.uncommittedBytes : 0 },
      peers,
      damaged: isDamaged,
    };
  }

  // ---------------------------------------------------------------- one step

  step(input: Input, nowMs: number): Effects {
    const replica = this.#replica;
    assert(nowMs >= replica.nowMs, "time never goes back", { nowMs, before: replica.nowMs });
    replica.nowMs = nowMs;
    switch (input.type) {
      case "tick":
        this.#tick();
        break;
      case "message":
        this.#receive(input.from, input.frame, input.isStranger === true);
        break;
      case "propose":
        this.#leading.propose(input.body, input.bodyCrc, input.waiting ?? NOBODY);
        break;
      case "read":
        this.#reading.read(input.context);
        break;
      case "durable":
        this.#durable(input.ticket);
        break;
      case "change":
        this.#membership.change(input.members);
        break;
      case "transfer":
        this.#handover.transfer(input.to);
        break;
      case "peer-lost":
        if (replica.state.type === "leader") this.#leading.peerLost(replica.state, input.peer);
        else this.#election.peerLost(input.peer);
        break;
      case "disk":
        this.#disk(input.stalled);
        break;
      case "trim":
        replica.log.trim(input.start);
        break;
      case "installed":
        this.#following.installed(input.start);
        break;
      case "snapshot-sent":
        this.#leading.snapshotSent(input.peer, input.index, input.ok);
        break;
    }
    this.#membership.announce();
    return replica.effects.take(replica.durability, replica.log.lastIndex, replica.takeCommitted());
  }

  #tick(): void {
    const { state } = this.#replica;
    if (state.type === "leader") this.#leading.tick(state, this.deadlineMs);
    else this.#election.tick();
  }

  #receive(from: NodeId, frame: Uint8Array, isStranger: boolean): void {
    let message: RaftMessage;
    try {
      message = decodeRaftMessage(frame);
    } catch (error) {
      if (!(error instanceof BytesError)) throw error;
      this.#replica.effects.ignore(from, "unreadable", error.message);
      return;
    }
    switch (message.type) {
      case "append":
        this.#following.append(from, message);
        return;
      case "heartbeat":
        this.#following.heartbeat(from, message);
        return;
      case "vote":
        this.#election.vote(from, message);
        return;
      case "vote-response":
        if (!isStranger) this.#election.voteResponse(from, message);
        else this.#replica.effects.ignore(from, message.type, "another data folder under a member's id");
        return;
      case "append-response":
        this.#leading.appendResponse(from, message, isStranger);
        return;
      case "heartbeat-response":
        this.#leading.heartbeatResponse(from, message, isStranger);
        return;
      case "timeout-now":
        this.#election.timeoutNow(message.term);
        return;
    }
  }

  /** A write is done: what waited for it leaves, unless what it stood for is gone. */
  #durable(ticket: number): void {
    const replica = this.#replica;
    const done = replica.durability.complete(ticket);
    for (const { to, message } of done.released) {
      if (message.term !== replica.term) continue;
      if (message.type === "vote" && replica.state.type !== "candidate") continue;
      replica.effects.release(to, message);
    }
    this.#election.ownVoteDurable(done.votes);
    if (replica.state.type === "leader") this.#leading.advanceCommit(replica.state);
  }

  /** A leader whose disk hangs keeps a cluster waiting: it resigns. */
  #disk(stalled: boolean): void {
    const replica = this.#replica;
    const { state } = replica;
    replica.isStalled = stalled;
    if (stalled && state.type === "leader") this.#handover.resign(state, "the disk has stalled");
    if (!stalled && state.type === "follower") state.deadlineMs = replica.nowMs + replica.drawTimeoutMs();
  }
}
