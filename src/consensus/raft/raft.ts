/**
 * Raft as a pure step machine.
 * Source  Ongaro & Ousterhout 2014 ("the paper"); Ongaro 2014 ("the thesis"): pre-vote 9.6, check-quorum and ReadIndex 6.4,
 *         leases 6.4.1, joint consensus 4.3, learners 4.2.1, transfer 3.10, leader disk write in parallel 10.2.1.
 * Owns    term, vote, role and the order of its effects.
 * Leaves  the log to `log.ts`, per-follower windows to `progress.ts`, disks, sockets and snapshots to the host.
 *
 * R1. At most one leader a term: a vote is durable before it is told, and is never given twice in a term.
 * R2. An answer that shows a term, a vote or an entry leaves only when that is durable here. The leader's own appends and
 *     heartbeats need not wait: they promise nothing about its disk, and it counts its own copy only once durable.
 * R3. Only an entry of the leader's own term is committed by counting copies (paper, figure 8).
 * R4. A leader never cuts its own log, and nobody cuts below the commit index.
 * R5. A read index is given only after an entry of the own term is committed, and is confirmed by a round of heartbeats
 *     that began after the read came, answered by a quorum.
 * R6. A configuration counts from append; the next change waits until the last one is committed.
 * R7. A node that lost acknowledged entries neither votes nor stands until a leader has given them back.
 * R8. Entries are handed out for applying only when they are committed and durable here.
 * R9. A founder that holds nothing and has never voted may be one whose disk was wiped, and may have held anything: until a
 *     leader has sent it entries it votes only for a candidate that holds nothing either. A new cluster's first election
 *     is among such; and once a log has entries, a majority has voted for the leader that wrote them.
 */
import { assert } from "../../base/assert.ts";
import { ByteReader, ByteWriter, BytesError } from "../../base/bytes.ts";
import { type LogIndex, logIndex, type NodeId, nodeId, type Term, term } from "../../base/ids.ts";
import {
  type Configuration,
  encodeConfiguration,
  incomingVoters,
  isJoint,
  isVoter,
  type Member,
  replicas,
} from "../contract/configuration.ts";
import type {
  ConsensusCore,
  CoreEvent,
  CoreOptions,
  CoreStatus,
  Effects,
  Input,
  LogStart,
  Outgoing,
  ReadGrant,
  Recovered,
  RefusalReason,
  Role,
  StepOutcome,
} from "../contract/core.ts";
import { electionTimeoutMs, hurriedTimeoutMs } from "../contract/election.ts";
import { chainHash, type LogRecord, RecordKind } from "../contract/record.ts";
import { hasQuorum, jointCommittedIndex, type JointVoters, jointVoteResult } from "../quorum/quorum.ts";
import { planChange } from "./change.ts";
import { Durability } from "./durability.ts";
import { RaftLog } from "./log.ts";
import {
  type AppendRequest,
  type AppendResponse,
  decodeRaftMessage,
  encodeRaftMessage,
  type Heartbeat,
  type HeartbeatResponse,
  type RaftMessage,
  type VoteRequest,
  type VoteResponse,
} from "./messages.ts";
import { Progress } from "./progress.ts";
import { ReadQueue } from "./reads.ts";

interface Follower {
  readonly type: "follower";
  readonly leader: NodeId | undefined;
  deadlineMs: number;
}

interface PreCandidate {
  readonly type: "pre-candidate";
  readonly votes: Map<NodeId, boolean>;
  readonly deadlineMs: number;
}

interface Candidate {
  readonly type: "candidate";
  readonly votes: Map<NodeId, boolean>;
  readonly deadlineMs: number;
}

interface Leader {
  readonly type: "leader";
  readonly progress: Map<NodeId, Progress>;
  readonly reads: ReadQueue;
  /** Index of the empty entry that opened the term. */
  readonly opening: LogIndex;
  heartbeatDueMs: number;
  /** When followers that nobody waits at learn of the newest commit, unless an append tells them before. */
  commitDueMs: number;
  transfer: { readonly to: NodeId; readonly deadlineMs: number } | undefined;
  /** Somebody was asked to stand without waiting for silence: the request may arrive late, so no lease in this term again. */
  askedToStand: boolean;
  uncommittedBytes: number;
}

type State = Follower | PreCandidate | Candidate | Leader;

const TELL_COMMIT_MS = 2;
const NO_EFFECTS_ARRAY: readonly never[] = [];

/** Builds a core from what the disk holds. See `CoreFactory`. */
export function recoverRaft(options: CoreOptions, recovered: Recovered, nowMs: number): Raft {
  return new Raft(options, recovered, nowMs);
}

export class Raft implements ConsensusCore {
  readonly #options: CoreOptions;
  readonly #id: NodeId;
  readonly #log: RaftLog;
  readonly #durability: Durability;
  #term: Term = term(0);
  #votedFor: NodeId | undefined;
  #commit: LogIndex;
  /** Last entry handed out for applying. */
  #emitted: LogIndex;
  #state: State;
  /** When a leader was last heard: while it is alive, no vote and no pre-vote is given (thesis 4.2.3). */
  #leaderHeardMs: number;
  #nowMs: number;
  #stalled = false;
  #damagedUpTo: LogIndex | undefined;
  /** R9. */
  #isBlank: boolean;
  #announcedConfiguration: LogIndex;
  /** The voters of the configuration in force, so that they are not gathered anew for every answer. */
  #votersOf: { readonly configuration: Configuration; readonly voters: JointVoters } | undefined;

  // The effects of the step in progress.
  #send: Outgoing[] = [];
  #afterDurable: { readonly to: NodeId; readonly message: RaftMessage }[] = [];
  #records: LogRecord[] = [];
  #reads: ReadGrant[] = [];
  #events: CoreEvent[] = [];
  #outcome: StepOutcome | undefined;

  constructor(options: CoreOptions, recovered: Recovered, nowMs: number) {
    assert(options.leaseMs < options.electionMs, "a lease ends before an election can", options);
    this.#options = options;
    this.#id = options.id;
    this.#nowMs = nowMs;
    this.#log = new RaftLog(recovered.start);
    this.#damagedUpTo = recovered.damagedUpTo;
    this.#commit = recovered.start.index;
    this.#emitted = recovered.start.index;
    this.#announcedConfiguration = recovered.start.index;
    this.#isBlank = recovered.start.index === 0 && isVoter(recovered.start.configuration, options.id);
    this.#recover(recovered);
    if (this.#log.lastIndex > 0) this.#isBlank = false;
    this.#durability = new Durability(this.#log.lastIndex);
    // With leases on, a restarted node must not vote while the leader that it may have promised to could still serve reads.
    this.#leaderHeardMs = options.leaseMs > 0 ? nowMs : Number.NEGATIVE_INFINITY;
    this.#state = { type: "follower", leader: undefined, deadlineMs: nowMs + this.#drawTimeoutMs() };
    if (
      options.leaseMs === 0 &&
      incomingVoters(this.#configuration).length === 1 &&
      isVoter(this.#configuration, this.#id)
    ) {
      this.#state.deadlineMs = nowMs; // alone: nobody to wait for, unless a leader that is leaving holds a lease from us
    }
  }

  // ---------------------------------------------------------------- what the host sees

  get role(): Role {
    if (this.#state.type === "follower" && !isVoter(this.#configuration, this.#id)) return "learner";
    return this.#state.type;
  }

  get term(): Term {
    return this.#term;
  }

  get leader(): NodeId | undefined {
    if (this.#state.type === "leader") return this.#id;
    return this.#state.type === "follower" ? this.#state.leader : undefined;
  }

  get commit(): LogIndex {
    return this.#commit;
  }

  get deadlineMs(): number {
    if (this.#state.type !== "leader") return this.#mayStand() ? this.#state.deadlineMs : Number.POSITIVE_INFINITY;
    const { heartbeatDueMs, commitDueMs, transfer } = this.#state;
    return Math.min(heartbeatDueMs, commitDueMs, transfer?.deadlineMs ?? Number.POSITIVE_INFINITY);
  }

  startAt(index: LogIndex): LogStart | undefined {
    return this.#log.startAt(index);
  }

  leaseHolds(nowMs: number): boolean {
    const state = this.#state;
    if (this.#options.leaseMs === 0 || state.type !== "leader" || state.transfer !== undefined || state.askedToStand)
      return false;
    if (this.#commit < state.opening) return false;
    const confirmedMs = state.reads.confirmedSinceMs((round) => this.#roundHasQuorum(state, round));
    return confirmedMs !== undefined && nowMs < confirmedMs + this.#options.leaseMs;
  }

  status(): CoreStatus {
    const state = this.#state;
    const peers = [];
    if (state.type === "leader") {
      for (const [peer, p] of state.progress) {
        peers.push({ peer, match: p.match, state: p.state, lastHeardMs: p.lastHeardMs });
      }
    }
    return {
      role: this.role,
      term: this.#term,
      leader: this.leader,
      commit: this.#commit,
      last: this.#log.lastIndex,
      first: this.#log.firstIndex,
      configuration: this.#configuration,
      configurationIndex: this.#log.configurationIndex,
      uncommitted: {
        entries: this.#log.lastIndex - this.#commit,
        bytes: state.type === "leader" ? state.uncommittedBytes : 0,
      },
      peers,
      damaged: this.#damagedUpTo !== undefined,
    };
  }

  // ---------------------------------------------------------------- one step

  step(input: Input, nowMs: number): Effects {
    assert(nowMs >= this.#nowMs, "time never goes back", { nowMs, before: this.#nowMs });
    this.#nowMs = nowMs;
    switch (input.type) {
      case "tick":
        this.#tick();
        break;
      case "message":
        this.#receive(input.from, input.frame, input.isStranger === true);
        break;
      case "propose":
        this.#propose(input.body, input.bodyCrc, input.waiting ?? NO_EFFECTS_ARRAY);
        break;
      case "read":
        this.#read(input.context);
        break;
      case "durable":
        this.#durable(input.ticket);
        break;
      case "change":
        this.#change(input.members);
        break;
      case "transfer":
        this.#transfer(input.to);
        break;
      case "peer-lost":
        this.#peerLost(input.peer);
        break;
      case "disk":
        this.#disk(input.stalled);
        break;
      case "trim":
        this.#log.trim(input.start);
        break;
      case "installed":
        this.#installed(input.start);
        break;
      case "snapshot-sent":
        this.#snapshotSent(input.peer, input.index, input.ok);
        break;
    }
    return this.#finish();
  }

  #finish(): Effects {
    const records = this.#records;
    let persist: Effects["persist"];
    if (records.length > 0) {
      persist = { ticket: this.#durability.begin(records, this.#log.lastIndex), records };
      this.#records = [];
    }
    if (this.#afterDurable.length > 0) {
      for (const { to, message } of this.#afterDurable) {
        if (!this.#durability.hold(to, message)) this.#send.push({ to, frame: encodeRaftMessage(message) });
      }
      this.#afterDurable = [];
    }
    const committed = this.#takeCommitted();
    this.#announceConfiguration();
    const effects: Effects = {
      send: this.#send.length > 0 ? this.#send : NO_EFFECTS_ARRAY,
      persist,
      committed,
      reads: this.#reads.length > 0 ? this.#reads : NO_EFFECTS_ARRAY,
      events: this.#events.length > 0 ? this.#events : NO_EFFECTS_ARRAY,
      outcome: this.#outcome,
    };
    if (this.#send.length > 0) this.#send = [];
    if (this.#reads.length > 0) this.#reads = [];
    if (this.#events.length > 0) this.#events = [];
    this.#outcome = undefined;
    return effects;
  }

  #takeCommitted(): readonly LogRecord[] {
    const upTo = Math.min(this.#commit, this.#durability.index); // R8
    if (upTo <= this.#emitted) return NO_EFFECTS_ARRAY;
    const entries = this.#log.slice(logIndex(this.#emitted + 1), logIndex(upTo), Number.POSITIVE_INFINITY);
    this.#emitted = logIndex(upTo);
    return entries;
  }

  // ---------------------------------------------------------------- time

  #tick(): void {
    const state = this.#state;
    // A tick long after it was due means that this process was held up, and with it the messages that wait in its sockets.
    const late = this.#nowMs - this.deadlineMs > this.#options.electionMs / 2;
    if (state.type === "leader") {
      this.#tickLeader(state, late);
      return;
    }
    if (this.#nowMs < state.deadlineMs || !this.#mayStand()) return;
    if (late && state.type === "follower" && state.leader !== undefined) {
      state.deadlineMs = this.#nowMs + this.#options.heartbeatMs;
      return;
    }
    this.#standPre(state.type === "follower" ? "election timeout" : "no majority in time");
  }

  #tickLeader(state: Leader, late: boolean): void {
    const heardSinceMs = this.#nowMs - this.#options.electionMs;
    const graceMs = heardSinceMs + this.#options.heartbeatMs * 2;
    if (late) for (const p of state.progress.values()) p.lastHeardMs = Math.max(p.lastHeardMs, graceMs);
    const heard = (id: NodeId): boolean =>
      id === this.#id || (state.progress.get(id)?.lastHeardMs ?? Number.NEGATIVE_INFINITY) > heardSinceMs;
    if (!hasQuorum(this.#voters, heard)) {
      this.#becomeFollower(this.#term, undefined, "check-quorum: no quorum heard for an election timeout");
      return;
    }
    if (state.transfer !== undefined && this.#nowMs >= state.transfer.deadlineMs) {
      state.transfer = undefined; // it did not work; proposals go on (thesis 3.10)
    }
    if (this.#nowMs >= state.commitDueMs) {
      state.commitDueMs = Number.POSITIVE_INFINITY;
      this.#tellCommit(state, () => true);
    }
    if (this.#nowMs < state.heartbeatDueMs) return;
    state.heartbeatDueMs = this.#nowMs + this.#options.heartbeatMs;
    this.#beginRound(state);
    for (const [peer, p] of state.progress) {
      const sentMs = p.oldestSentMs;
      const patienceMs = p.state === "probe" ? 2 * this.#options.heartbeatMs : 2 * this.#options.electionMs;
      if (sentMs !== undefined && this.#nowMs - sentMs > patienceMs) p.probe();
      this.#replicateTo(state, peer, p);
    }
    this.#promoteLearners(state);
  }

  #drawTimeoutMs(): number {
    return electionTimeoutMs(this.#options);
  }

  /** May this node stand for election at all? */
  #mayStand(): boolean {
    return this.#isNeeded() && this.#damagedUpTo === undefined && !this.#stalled;
  }

  /** A voter; or one that a change not yet known to be committed removes: nobody else may have it (thesis 4.2.2). */
  #isNeeded(): boolean {
    if (isVoter(this.#configuration, this.#id)) return true;
    const index = this.#log.configurationIndex;
    return index > this.#commit && isVoter(this.#log.configurationAt(logIndex(index - 1)), this.#id);
  }

  // ---------------------------------------------------------------- messages

  #receive(from: NodeId, frame: Uint8Array, isStranger: boolean): void {
    let message: RaftMessage;
    try {
      message = decodeRaftMessage(frame);
    } catch (error) {
      if (!(error instanceof BytesError)) throw error;
      this.#ignore(from, "unreadable", error.message);
      return;
    }
    switch (message.type) {
      case "append":
        if (this.#hearLeader(from, message)) this.#append(from, message);
        return;
      case "heartbeat":
        if (this.#hearLeader(from, message)) this.#heartbeat(from, message);
        return;
      case "vote":
        this.#vote(from, message);
        return;
      case "vote-response":
        if (isStranger) this.#ignore(from, message.type, "another data folder under a member's id");
        else this.#voteResponse(from, message);
        return;
      case "append-response":
        if (this.#answerCounts(from, message, isStranger)) this.#appendResponse(from, message);
        return;
      case "heartbeat-response":
        if (this.#answerCounts(from, message, isStranger)) this.#heartbeatResponse(from, message);
        return;
      case "timeout-now":
        if (message.term === this.#term && this.#state.type === "follower" && this.#mayStand()) {
          this.#stand("asked by the leader", true);
        }
        return;
    }
  }

  /** Settles the term of a message from a leader; false: it is not one any more. */
  #hearLeader(from: NodeId, message: AppendRequest | Heartbeat): boolean {
    if (message.term < this.#term) {
      // Without an answer a leader that was cut off would never learn of the newer term (pre-vote keeps terms from rising).
      const round = 0;
      const last = this.#log.lastIndex;
      this.#afterDurable.push({ to: from, message: { type: "heartbeat-response", term: this.#term, round, last } });
      return false;
    }
    assert(this.#state.type !== "leader" || message.term > this.#term, "R1: one leader a term", {
      from,
      term: message.term,
    });
    const state = this.#state;
    if (message.term > this.#term || state.type !== "follower" || state.leader !== from) {
      this.#becomeFollower(message.term, from, "a leader was heard");
    }
    if (this.#state.type === "follower") this.#state.deadlineMs = this.#nowMs + this.#drawTimeoutMs();
    this.#leaderHeardMs = this.#nowMs;
    return true;
  }

  /** Settles the term of an answer; true: it is for this leadership. */
  #answerCounts(from: NodeId, message: AppendResponse | HeartbeatResponse, isStranger: boolean): boolean {
    if (message.term > this.#term) {
      this.#becomeFollower(message.term, undefined, "a newer term was heard");
      return false;
    }
    if (isStranger || message.term < this.#term || this.#state.type !== "leader") return false;
    return this.#state.progress.has(from);
  }

  // ---------------------------------------------------------------- elections

  #vote(from: NodeId, request: VoteRequest): void {
    const leaderAlive =
      (this.#state.type === "leader" || this.leader !== undefined) &&
      (this.#state.type === "leader" || this.#nowMs - this.#leaderHeardMs < this.#options.electionMs);
    const promised = this.#options.leaseMs > 0 && this.#nowMs - this.#leaderHeardMs < this.#options.electionMs;
    if (request.pre) {
      const granted =
        request.term > this.#term &&
        !leaderAlive &&
        !promised &&
        this.#damagedUpTo === undefined &&
        this.#mayJudge(request) &&
        this.#upToDate(request);
      const asked = request.term;
      this.#afterDurable.push({
        to: from,
        message: { type: "vote-response", term: this.#term, pre: true, granted, asked },
      });
      return;
    }
    if (request.term > this.#term) {
      if ((leaderAlive || promised) && !request.transfer) {
        this.#ignore(from, "vote", "a live leader is known"); // thesis 4.2.3: it must not be disturbed
        return;
      }
      this.#becomeFollower(request.term, undefined, "a newer term was heard");
    }
    const granted =
      request.term === this.#term &&
      (this.#votedFor === undefined || this.#votedFor === from) &&
      this.#state.type === "follower" &&
      this.#damagedUpTo === undefined && // R7
      this.#mayJudge(request) &&
      this.#upToDate(request);
    if (granted && this.#votedFor === undefined) {
      this.#votedFor = from;
      this.#isBlank = false;
      this.#persistVote();
    }
    if (granted && this.#state.type === "follower") this.#state.deadlineMs = this.#nowMs + this.#drawTimeoutMs();
    const asked = request.term;
    this.#afterDurable.push({
      to: from,
      message: { type: "vote-response", term: this.#term, pre: false, granted, asked },
    });
  }

  /** R9. */
  #mayJudge(request: VoteRequest): boolean {
    return !this.#isBlank || request.lastIndex === 0;
  }

  /** Paper 5.4.1: the candidate's log is at least as new as ours. */
  #upToDate(request: VoteRequest): boolean {
    const { lastTerm, lastIndex } = this.#log;
    return request.lastTerm > lastTerm || (request.lastTerm === lastTerm && request.lastIndex >= lastIndex);
  }

  #voteResponse(from: NodeId, response: VoteResponse): void {
    if (response.term > this.#term && !(response.pre && response.granted)) {
      this.#becomeFollower(response.term, undefined, "a newer term was heard");
      return;
    }
    const state = this.#state;
    if (state.type === "pre-candidate" && response.pre && response.asked === this.#term + 1) {
      state.votes.set(from, response.granted);
      this.#tallyPre(state);
    } else if (state.type === "candidate" && !response.pre && response.asked === this.#term) {
      state.votes.set(from, response.granted);
      this.#tally(state);
    }
  }

  #standPre(why: string): void {
    const votes = new Map([[this.#id, true]]);
    const state: PreCandidate = { type: "pre-candidate", votes, deadlineMs: this.#nowMs + this.#drawTimeoutMs() };
    this.#enter(state, why);
    const asked = term(this.#term + 1);
    for (const peer of this.#otherVoters())
      this.#sendNow(peer, this.#voteRequest(asked, { pre: true, transfer: false }));
    this.#tallyPre(state);
  }

  #tallyPre(state: PreCandidate): void {
    switch (jointVoteResult(this.#voters, (id) => state.votes.get(id))) {
      case "won":
        this.#stand("pre-vote won", false);
        return;
      case "lost":
      case "pending":
        return; // wait for the deadline: a denial now may be a grant soon
    }
  }

  #stand(why: string, transfer: boolean): void {
    this.#setTerm(term(this.#term + 1));
    this.#votedFor = this.#id;
    this.#isBlank = false;
    this.#persistVote();
    // Our own vote counts when it is durable, like everybody's (R1); see #durable.
    this.#enter({ type: "candidate", votes: new Map(), deadlineMs: this.#nowMs + this.#drawTimeoutMs() }, why);
    for (const peer of this.#otherVoters()) {
      this.#afterDurable.push({ to: peer, message: this.#voteRequest(this.#term, { pre: false, transfer }) });
    }
  }

  #tally(state: Candidate): void {
    switch (jointVoteResult(this.#voters, (id) => state.votes.get(id))) {
      case "won":
        this.#lead([...state.votes.values()].filter(Boolean).length);
        return;
      case "lost":
        this.#becomeFollower(this.#term, undefined, "the vote was lost");
        return;
      case "pending":
        return;
    }
  }

  #voteRequest(asked: Term, options: { readonly pre: boolean; readonly transfer: boolean }): VoteRequest {
    const { lastIndex, lastTerm } = this.#log;
    return { type: "vote", term: asked, ...options, lastIndex, lastTerm };
  }

  #lead(votes: number): void {
    const reads = new ReadQueue();
    const opening = logIndex(this.#log.lastIndex + 1);
    const progress = new Map<NodeId, Progress>();
    const state: Leader = {
      type: "leader",
      progress,
      reads,
      opening,
      heartbeatDueMs: this.#nowMs + this.#options.heartbeatMs,
      commitDueMs: Number.POSITIVE_INFINITY,
      transfer: undefined,
      askedToStand: false,
      uncommittedBytes: 0,
    };
    this.#enter(state, `${votes} votes of ${incomingVoters(this.#configuration).length}`);
    this.#followConfiguration(state);
    this.#appendOwn(RecordKind.noop, new Uint8Array(0), this.#options.crc32(new Uint8Array(0)));
  }

  #becomeFollower(newTerm: Term, leader: NodeId | undefined, why: string): void {
    assert(newTerm >= this.#term, "terms never fall", { newTerm, term: this.#term });
    if (newTerm > this.#term) {
      this.#setTerm(newTerm);
      this.#persistVote();
    }
    this.#enter({ type: "follower", leader, deadlineMs: this.#nowMs + this.#drawTimeoutMs() }, why);
  }

  #setTerm(newTerm: Term): void {
    this.#term = newTerm;
    this.#votedFor = undefined;
  }

  /** The only transition. */
  #enter(state: State, why: string): void {
    if (this.#state.type === "leader") {
      for (const context of this.#state.reads.drain()) this.#reads.push({ context, index: undefined });
    }
    this.#state = state;
    this.#events.push({ type: "role", role: this.role, term: this.#term, leader: this.leader, why });
  }

  #persistVote(): void {
    const body = new ByteWriter(16)
      .varint(this.#votedFor ?? 0)
      .u8(this.#isBlank ? 1 : 0)
      .finish();
    this.#records.push({
      kind: RecordKind.vote,
      index: logIndex(0),
      term: this.#term,
      chain: 0,
      body,
      bodyCrc: this.#options.crc32(body),
    });
  }

  #peerLost(peer: NodeId): void {
    const state = this.#state;
    if (state.type === "leader") {
      state.progress.get(peer)?.forget();
      return;
    }
    if (state.type !== "follower" || state.leader !== peer) return;
    if (this.#options.leaseMs > 0) return; // the promise behind a lease outlives a broken connection
    const rank = this.#otherVoters(peer).filter((id) => id < this.#id).length;
    const deadlineMs = Math.min(state.deadlineMs, this.#nowMs + hurriedTimeoutMs(this.#options, rank));
    this.#enter({ type: "follower", leader: undefined, deadlineMs }, "the connection to the leader broke");
  }

  #disk(stalled: boolean): void {
    this.#stalled = stalled;
    const state = this.#state;
    if (!stalled) {
      if (state.type === "follower") state.deadlineMs = this.#nowMs + this.#drawTimeoutMs();
      return;
    }
    if (state.type !== "leader") return;
    const heir = this.#freshestFollower(state);
    if (heir !== undefined) this.#sendNow(heir, { type: "timeout-now", term: this.#term });
    this.#becomeFollower(this.#term, undefined, "the disk has stalled");
  }

  // ---------------------------------------------------------------- replication: follower

  #append(from: NodeId, request: AppendRequest): void {
    let { previousIndex, previousTerm, entries } = request;
    const start = this.#log.start;
    if (previousIndex < start.index) {
      // What lies below our start is committed and in our snapshot: skip it.
      const last = previousIndex + entries.length;
      if (last <= start.index) {
        this.#acceptUpTo(from, request.round, start.index);
        return;
      }
      entries = entries.slice(start.index - previousIndex);
      previousIndex = start.index;
      previousTerm = start.term;
    }
    if (this.#log.termAt(previousIndex) !== previousTerm) {
      const hintIndex = this.#log.lastIndexWithTermAtMost(
        logIndex(Math.min(previousIndex, this.#log.lastIndex)),
        previousTerm,
      );
      const message: AppendResponse = {
        type: "append-response",
        term: this.#term,
        round: request.round,
        match: logIndex(0),
        refused: previousIndex,
        hintIndex,
        hintTerm: this.#log.termAt(hintIndex) ?? term(0),
      };
      this.#afterDurable.push({ to: from, message });
      return;
    }
    for (const entry of entries) this.#accept(entry);
    const match = logIndex(previousIndex + entries.length);
    this.#commitUpTo(logIndex(Math.min(request.commit, match)));
    this.#repairedAt(match, request.commit);
    this.#acceptUpTo(from, request.round, match);
  }

  #accept(entry: LogRecord): void {
    const held = this.#log.entry(entry.index);
    if (held !== undefined && held.term === entry.term) {
      assert(held.chain === entry.chain, "log matching: same index and term, same log", { index: entry.index });
      return; // a repeated append never cuts a matching suffix
    }
    if (held !== undefined) {
      assert(entry.index > this.#commit, "R4: a committed entry is never cut", {
        index: entry.index,
        commit: this.#commit,
      });
      this.#events.push({ type: "truncated", from: entry.index, to: this.#log.lastIndex });
      this.#log.truncate(entry.index);
      this.#durability.truncate(entry.index);
    }
    this.#log.push(entry);
    this.#isBlank = false;
    this.#records.push(entry);
    if (entry.kind === RecordKind.configuration) this.#configurationAppended();
  }

  #acceptUpTo(to: NodeId, round: number, match: LogIndex): void {
    const none = logIndex(0);
    const message: AppendResponse = {
      type: "append-response",
      term: this.#term,
      round,
      match,
      refused: none,
      hintIndex: none,
      hintTerm: term(0),
    };
    this.#afterDurable.push({ to, message });
  }

  #heartbeat(from: NodeId, beat: Heartbeat): void {
    // The leader never sends a commit index above what it knows we hold; after a crash we may hold less.
    const commit = logIndex(Math.min(beat.commit, this.#log.lastIndex));
    this.#commitUpTo(commit);
    if (commit === beat.commit) this.#repairedAt(commit, commit);
    const message: HeartbeatResponse = {
      type: "heartbeat-response",
      term: this.#term,
      round: beat.round,
      last: this.#log.lastIndex,
    };
    // Shows a term, but no entry: it waits for a vote that is being written, never for entries (R2).
    if (this.#durability.voteOpen || this.#records.some((r) => r.kind === RecordKind.vote)) {
      this.#afterDurable.push({ to: from, message });
    } else {
      this.#sendNow(from, message);
    }
  }

  /** R7: what the leader has committed in its own term, and we hold, includes all that we ever acknowledged. */
  #repairedAt(match: LogIndex, leaderCommit: LogIndex): void {
    if (this.#damagedUpTo === undefined || match < leaderCommit || match < this.#damagedUpTo) return;
    if (this.#log.termAt(leaderCommit) !== this.#term) return;
    this.#events.push({ type: "repaired", upTo: match });
    this.#damagedUpTo = undefined;
  }

  // ---------------------------------------------------------------- replication: leader

  #propose(body: Uint8Array, bodyCrc: number, waiting: readonly NodeId[]): void {
    const state = this.#state;
    if (state.type !== "leader") {
      this.#refuse("not-leader");
      return;
    }
    if (state.transfer !== undefined) {
      this.#refuse("transferring");
      return;
    }
    if (
      this.#log.lastIndex - this.#commit >= this.#options.uncommittedEntriesMax ||
      state.uncommittedBytes + body.length > this.#options.uncommittedBytesMax
    ) {
      this.#refuse("overloaded");
      return;
    }
    const entry = this.#appendOwn(RecordKind.command, body, bodyCrc);
    for (const peer of waiting) {
      const p = state.progress.get(peer);
      if (p !== undefined) p.waitsFor = entry.index;
    }
    this.#outcome = { type: "accepted", index: entry.index, term: entry.term };
  }

  #appendOwn(kind: RecordKind, body: Uint8Array, bodyCrc: number): LogRecord {
    const state = this.#state;
    assert(state.type === "leader", "only a leader appends of its own");
    const entry = this.#log.make({ kind, term: this.#term, body, bodyCrc });
    this.#records.push(entry);
    state.uncommittedBytes += body.length;
    if (kind === RecordKind.configuration) this.#configurationAppended();
    for (const [peer, p] of state.progress) this.#replicateTo(state, peer, p);
    return entry;
  }

  /** Sends what the follower's windows allow. */
  #replicateTo(state: Leader, peer: NodeId, p: Progress): void {
    while (p.open && p.next <= this.#log.lastIndex) {
      const previousIndex = logIndex(p.next - 1);
      const previousTerm = this.#log.termAt(previousIndex);
      if (previousTerm === undefined) {
        p.snapshot();
        this.#events.push({ type: "need-snapshot", peer });
        return;
      }
      const entries = this.#log.slice(p.next, this.#log.lastIndex, this.#options.messageBytesMax);
      const last = entries.at(-1)?.index ?? previousIndex;
      let bytes = 0;
      for (const entry of entries) bytes += entry.body.length;
      p.sent(last, bytes, this.#nowMs);
      p.toldCommit = this.#commit;
      const round = state.reads.round;
      this.#sendNow(peer, {
        type: "append",
        term: this.#term,
        round,
        previousIndex,
        previousTerm,
        commit: this.#commit,
        entries,
      });
    }
    if (p.state === "probe" && p.open && p.next > this.#log.lastIndex && p.match < this.#log.lastIndex) {
      this.#sendProbe(state, peer, p);
    }
  }

  /** Nothing new to send, but it is not known where the logs meet: ask with an empty append. */
  #sendProbe(state: Leader, peer: NodeId, p: Progress): void {
    const previousIndex = logIndex(p.next - 1);
    const previousTerm = this.#log.termAt(previousIndex);
    if (previousTerm === undefined) {
      p.snapshot();
      this.#events.push({ type: "need-snapshot", peer });
      return;
    }
    p.sent(previousIndex, 0, this.#nowMs);
    const round = state.reads.round;
    const entries: readonly LogRecord[] = [];
    this.#sendNow(peer, {
      type: "append",
      term: this.#term,
      round,
      previousIndex,
      previousTerm,
      commit: this.#commit,
      entries,
    });
  }

  #appendResponse(from: NodeId, response: AppendResponse): void {
    const state = this.#state;
    const p = state.type === "leader" ? state.progress.get(from) : undefined;
    if (state.type !== "leader" || p === undefined) return;
    this.#heard(state, p, response.round);
    if (response.refused > 0) {
      const candidate = this.#log.lastIndexWithTermAtMost(response.hintIndex, response.hintTerm);
      const below = response.hintIndex < this.#log.start.index ? response.hintIndex : candidate;
      if (p.rejected(response.refused, below)) this.#replicateTo(state, from, p);
      return;
    }
    assert(response.match <= this.#log.lastIndex, "a follower in our term holds no more than we do", {
      from,
      match: response.match,
    });
    p.accepted(response.match);
    this.#advanceCommit(state);
    if (this.#state !== state) return; // a committed change may have ended our leadership
    this.#replicateTo(state, from, p);
    if (state.transfer?.to === from && p.match === this.#log.lastIndex) {
      state.askedToStand = true;
      this.#sendNow(from, { type: "timeout-now", term: this.#term });
    }
    this.#promoteLearners(state);
  }

  #heartbeatResponse(from: NodeId, response: HeartbeatResponse): void {
    const state = this.#state;
    const p = state.type === "leader" ? state.progress.get(from) : undefined;
    if (state.type !== "leader" || p === undefined) return;
    this.#heard(state, p, response.round);
    const sentMs = p.oldestSentMs;
    const lost = response.last < p.next - 1 && sentMs !== undefined && this.#nowMs - sentMs > this.#options.heartbeatMs;
    if (lost && p.state === "replicate") p.probe();
    if (response.last < p.match && p.state !== "snapshot") p.contradicted(response.last);
    this.#replicateTo(state, from, p);
  }

  #heard(state: Leader, p: Progress, round: number): void {
    p.lastHeardMs = this.#nowMs;
    if (round > p.round) {
      p.round = round;
      this.#grantReads(state);
    }
  }

  #advanceCommit(state: Leader): void {
    const match = (id: NodeId): number =>
      id === this.#id ? this.#durability.index : (state.progress.get(id)?.match ?? 0);
    const index = jointCommittedIndex(this.#voters, match);
    if (index <= this.#commit || this.#log.termAt(logIndex(index)) !== this.#term) return; // R3
    const opened = this.#commit < state.opening;
    this.#commitUpTo(logIndex(index));
    if (opened) {
      for (const context of state.reads.takeHeld()) state.reads.add(context, this.#commit);
      this.#beginRound(state);
    } else {
      // A follower that answers its own clients should not wait for the next message.
      this.#tellCommit(state, (p) => p.waitsFor > p.toldCommit);
      state.commitDueMs = Math.min(state.commitDueMs, this.#nowMs + TELL_COMMIT_MS);
    }
    this.#configurationCommitted(state);
  }

  #commitUpTo(index: LogIndex): void {
    if (index <= this.#commit) return;
    const state = this.#state;
    if (state.type === "leader") {
      for (let i = this.#commit + 1; i <= index; i++) {
        state.uncommittedBytes -= this.#log.entry(logIndex(i))?.body.length ?? 0;
      }
      if (state.uncommittedBytes < 0) state.uncommittedBytes = 0; // entries of earlier terms were not counted
    }
    this.#commit = index;
  }

  /** Sends the commit index to the followers that do not have it and for which it is `due`. */
  #tellCommit(state: Leader, due: (p: Progress) => boolean): void {
    for (const [peer, p] of state.progress) {
      const commit = logIndex(Math.min(this.#commit, p.match));
      if (p.state === "replicate" && p.toldCommit < commit && due(p)) this.#beat(state, peer, p);
    }
  }

  #beat(state: Leader, peer: NodeId, p: Progress): void {
    const commit = logIndex(Math.min(this.#commit, p.match));
    p.toldCommit = Math.max(p.toldCommit, commit);
    this.#sendNow(peer, { type: "heartbeat", term: this.#term, round: state.reads.round, commit });
  }

  #snapshotSent(peer: NodeId, index: LogIndex, ok: boolean): void {
    const state = this.#state;
    const p = state.type === "leader" ? state.progress.get(peer) : undefined;
    if (state.type !== "leader" || p === undefined) return;
    p.snapshotEnded(ok ? index : undefined, this.#log.firstIndex);
    if (ok) this.#replicateTo(state, peer, p); // after a failure the next heartbeat tries again
  }

  #installed(start: LogStart): void {
    if (start.index <= this.#commit) {
      const chain = this.#log.chainAt(start.index);
      assert(chain === undefined || chain === start.chain, "committed logs are equal", { index: start.index });
      this.#emitted = logIndex(Math.max(this.#emitted, start.index)); // the state has it, even if our own disk was slower
      return; // we have all of it already
    }
    if (start.term > this.#term) this.#becomeFollower(start.term, undefined, "a snapshot of a newer term");
    if (this.#log.chainAt(start.index) === start.chain) {
      // The log goes on from there: what it holds above may be acknowledged and stays.
      this.#commit = start.index;
      this.#emitted = logIndex(Math.max(this.#emitted, start.index));
      this.#log.trim(start);
      return;
    }
    this.#log.reset(start);
    this.#isBlank = false;
    this.#durability.reset(start.index);
    this.#commit = start.index;
    this.#emitted = start.index;
    const body = encodeConfiguration(start.configuration);
    this.#records.push({
      kind: RecordKind.start,
      index: start.index,
      term: start.term,
      chain: start.chain,
      body,
      bodyCrc: this.#options.crc32(body),
    });
    this.#configurationAppended();
    if (this.#state.type === "follower" && this.#state.leader !== undefined) {
      this.#acceptUpTo(this.#state.leader, 0, start.index);
    }
  }

  // ---------------------------------------------------------------- durability

  #durable(ticket: number): void {
    const done = this.#durability.complete(ticket);
    for (const { to, message } of done.released) {
      if (message.type !== "vote" && message.term !== this.#term) continue; // what it stood for is gone
      if (message.type === "vote" && (this.#state.type !== "candidate" || message.term !== this.#term)) continue;
      this.#sendNow(to, message);
    }
    const state = this.#state;
    if (state.type === "candidate" && done.votes.some((t) => t === this.#term)) {
      state.votes.set(this.#id, true);
      this.#tally(state);
    } else if (state.type === "leader") {
      this.#advanceCommit(state);
    }
  }

  // ---------------------------------------------------------------- reads

  #read(context: number): void {
    const state = this.#state;
    if (state.type !== "leader") {
      this.#reads.push({ context, index: undefined });
      return;
    }
    if (this.#commit < state.opening) {
      state.reads.hold(context); // R5: we may not know yet all that was committed
      return;
    }
    state.reads.add(context, this.#commit);
    this.#beginRound(state);
  }

  /** A new round of heartbeats: whoever answers it still took us for the leader after now. */
  #beginRound(state: Leader): void {
    state.reads.begin(this.#nowMs);
    for (const [peer, p] of state.progress) this.#beat(state, peer, p);
    this.#grantReads(state);
  }

  #grantReads(state: Leader): void {
    for (const grant of state.reads.take((round) => this.#roundHasQuorum(state, round))) this.#reads.push(grant);
  }

  #roundHasQuorum(state: Leader, round: number): boolean {
    return hasQuorum(this.#voters, (id) => id === this.#id || (state.progress.get(id)?.round ?? 0) >= round);
  }

  // ---------------------------------------------------------------- members

  get #configuration(): Configuration {
    return this.#log.configuration;
  }

  get #voters(): JointVoters {
    const configuration = this.#configuration;
    if (this.#votersOf?.configuration !== configuration) {
      const voters = { incoming: incomingVoters(configuration), outgoing: configuration.outgoing };
      this.#votersOf = { configuration, voters };
    }
    return this.#votersOf.voters;
  }

  #otherVoters(except?: NodeId): readonly NodeId[] {
    const { incoming, outgoing } = this.#voters;
    return [...new Set([...incoming, ...outgoing])].filter((id) => id !== this.#id && id !== except);
  }

  #change(members: readonly Member[]): void {
    const state = this.#state;
    if (state.type !== "leader") {
      this.#refuse("not-leader");
      return;
    }
    if (this.#commit < state.opening) {
      this.#refuse("not-ready"); // a change before the own term's first commit can split the quorum (raft-dev, 2015)
      return;
    }
    if (state.transfer !== undefined) {
      this.#refuse("transferring");
      return;
    }
    if (isJoint(this.#configuration) || this.#log.configurationIndex > this.#commit) {
      this.#refuse("change-pending"); // R6
      return;
    }
    const next = planChange(this.#configuration, members);
    if (next === undefined) {
      this.#refuse("invalid-members");
      return;
    }
    const entry = this.#appendConfiguration(next);
    this.#outcome = { type: "accepted", index: entry.index, term: entry.term };
  }

  #appendConfiguration(configuration: Configuration): LogRecord {
    const body = encodeConfiguration(configuration);
    return this.#appendOwn(RecordKind.configuration, body, this.#options.crc32(body));
  }

  #configurationAppended(): void {
    const configuration = this.#configuration;
    const index = this.#log.configurationIndex;
    this.#events.push({ type: "configuration", configuration, index, committed: false });
    if (this.#state.type === "leader") this.#followConfiguration(this.#state);
  }

  #followConfiguration(state: Leader): void {
    const wanted = new Set(replicas(this.#configuration));
    wanted.delete(this.#id);
    for (const peer of state.progress.keys()) if (!wanted.has(peer)) state.progress.delete(peer);
    for (const peer of wanted) {
      if (state.progress.has(peer)) continue;
      state.progress.set(peer, new Progress(this.#options, { next: this.#firstToSend(state), nowMs: this.#nowMs }));
    }
  }

  /** Paper, figure 2: nextIndex begins after the leader's last entry; a member that is new begins with the log. */
  #firstToSend(state: Leader): LogIndex {
    return this.#log.lastIndex < state.opening ? state.opening : this.#log.firstIndex;
  }

  #configurationCommitted(state: Leader): void {
    const configuration = this.#configuration;
    if (this.#log.configurationIndex > this.#commit) return;
    if (isJoint(configuration)) {
      this.#appendConfiguration({ members: configuration.members, outgoing: [] });
    } else if (!isVoter(configuration, this.#id)) {
      const heir = this.#freshestFollower(state);
      if (heir !== undefined) this.#sendNow(heir, { type: "timeout-now", term: this.#term });
      this.#becomeFollower(this.#term, undefined, "no longer a voter");
    }
  }

  #announceConfiguration(): void {
    const index = this.#log.configurationIndex;
    if (index <= this.#announcedConfiguration || index > this.#commit) {
      if (index < this.#announcedConfiguration) this.#announcedConfiguration = index; // rolled back
      return;
    }
    this.#announcedConfiguration = index;
    this.#events.push({ type: "configuration", configuration: this.#configuration, index, committed: true });
  }

  /** A learner that asked for it becomes a voter once a round of catching up took less than an election timeout. */
  #promoteLearners(state: Leader): void {
    const configuration = this.#configuration;
    if (isJoint(configuration) || this.#log.configurationIndex > this.#commit || this.#commit < state.opening) return;
    if (state.transfer !== undefined) return;
    for (const member of configuration.members) {
      const p = state.progress.get(member.id);
      if (member.role === "voter" || !member.promote || p === undefined || p.state === "snapshot") continue;
      if (member.incarnation === 0) continue; // which data folder it is must stand in the log before it votes
      const round = p.catchUp;
      if (round === undefined) {
        p.catchUp = { target: this.#log.lastIndex, startedMs: this.#nowMs };
        continue;
      }
      if (p.match < round.target) continue;
      if (this.#nowMs - round.startedMs >= this.#options.electionMs) {
        this.#events.push({
          type: "stuck",
          peer: member.id,
          why: "a round of catching up took longer than an election timeout",
        });
        p.catchUp = { target: this.#log.lastIndex, startedMs: this.#nowMs };
        continue;
      }
      const members = configuration.members.map((m) =>
        m.id === member.id ? { ...m, role: "voter" as const, promote: false } : m,
      );
      const next = planChange(configuration, members);
      assert(next !== undefined, "a promotion is a valid change", { member });
      this.#appendConfiguration(next);
      return; // one change at a time
    }
  }

  #transfer(to: NodeId): void {
    const state = this.#state;
    if (state.type !== "leader") {
      this.#refuse("not-leader");
      return;
    }
    const p = state.progress.get(to);
    if (to === this.#id || p === undefined || !isVoter(this.#configuration, to)) {
      this.#refuse("invalid-members");
      return;
    }
    if (this.#commit < state.opening) {
      this.#refuse("not-ready");
      return;
    }
    state.transfer = { to, deadlineMs: this.#nowMs + this.#options.electionMs };
    this.#outcome = { type: "accepted", index: this.#log.lastIndex, term: this.#term };
    if (p.match === this.#log.lastIndex) {
      state.askedToStand = true;
      this.#sendNow(to, { type: "timeout-now", term: this.#term });
    } else this.#replicateTo(state, to, p);
  }

  #freshestFollower(state: Leader): NodeId | undefined {
    let best: NodeId | undefined;
    let bestMatch = -1;
    for (const [peer, p] of state.progress) {
      if (!isVoter(this.#configuration, peer) || p.match <= bestMatch) continue;
      if (this.#nowMs - p.lastHeardMs >= this.#options.electionMs) continue;
      best = peer;
      bestMatch = p.match;
    }
    return best;
  }

  // ---------------------------------------------------------------- start

  #recover(recovered: Recovered): void {
    let entries: LogRecord[] = [];
    for (const record of recovered.records) {
      if (record.kind === RecordKind.vote) {
        this.#term = record.term;
        const body = new ByteReader(record.body);
        const voted = body.varint();
        this.#votedFor = voted === 0 ? undefined : nodeId(voted);
        if (body.remaining === 0 || body.u8() === 0) this.#isBlank = false;
      } else if (record.kind === RecordKind.start) {
        entries = []; // what came before belongs to a log that a snapshot replaced
      } else {
        while ((entries.at(-1)?.index ?? 0) >= record.index) entries.pop();
        entries.push(record);
      }
    }
    const { start } = recovered;
    for (const entry of entries) {
      if (entry.index <= start.index) continue;
      const isNext = entry.index === this.#log.lastIndex + 1;
      if (!isNext || entry.chain !== chainHash(this.#log.lastChain, entry.term, entry.bodyCrc)) {
        // Right after the start: the rest of a log that a snapshot replaced. Later: a hole, which the host reports as damage,
        // and R7 keeps us from voting until a leader has filled it.
        assert(this.#damagedUpTo !== undefined || this.#log.lastIndex === start.index, "a hole is reported as damage", {
          index: entry.index,
          last: this.#log.lastIndex,
        });
        break;
      }
      this.#log.push(entry);
    }
    const snapshotOnly = this.#log.lastIndex === start.index; // a checkpoint may reach the disk before our term does
    assert(
      this.#term >= this.#log.lastTerm || snapshotOnly || this.#damagedUpTo !== undefined,
      "the vote is as new as the log",
      {
        term: this.#term,
        last: this.#log.lastTerm,
      },
    );
    if (this.#term < this.#log.lastTerm) {
      this.#setTerm(this.#log.lastTerm);
      this.#persistVote(); // leaves with the first step, ahead of any entry
    }
  }

  // ---------------------------------------------------------------- leaves

  #sendNow(to: NodeId, message: RaftMessage): void {
    this.#send.push({ to, frame: encodeRaftMessage(message) });
  }

  #refuse(reason: RefusalReason): void {
    this.#outcome = { type: "refused", reason, leader: this.leader };
  }

  #ignore(from: NodeId, message: string, why: string): void {
    this.#events.push({ type: "ignored", from, message, why });
  }
}
