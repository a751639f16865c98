/**
 * What one replica of a group knows, and the only ways in which it changes: its term and vote, its role, its commit index.
 * Source  Ongaro & Ousterhout 2014, figure 2 (state).
 * Owns    term, vote, role, commit index and the mark of what was handed out for applying.
 * Leaves  why any of it changes to `election.ts`, `following.ts`, `leading.ts`; the log to `log.ts`.
 *
 * R1. At most one leader a term: a vote is durable before it is told, and is never given twice in a term.
 * R4. A leader never cuts its own log, and nobody cuts below the commit index.
 * R8. Entries are handed out for applying only when they are committed and durable here.
 */
import { assert } from "../../base/assert.ts";
import { type LogIndex, logIndex, type NodeId, type Term, term } from "../../base/ids.ts";
import { type Configuration, incomingVoters, isUnboundReplacement, isVoter } from "../contract/configuration.ts";
import type { CoreOptions, LogStart, Role } from "../contract/core.ts";
import { electionTimeoutMs, type Fitness, isNeeded, LeaderWatch, mayStand } from "../contract/election.ts";
import type { LogRecord } from "../contract/record.ts";
import type { JointVoters } from "../quorum/quorum.ts";
import { Durability } from "./durability.ts";
import type { RaftLog } from "./log.ts";
import type { RecoveredState } from "./recovery.ts";
import type { Follower, RoleState } from "./roles.ts";
import { StepEffects } from "./step-effects.ts";
import { encodeVote, type VotedFor } from "./vote-record.ts";

const NOTHING: readonly never[] = [];

export class Replica implements Fitness {
  readonly options: CoreOptions;
  readonly id: NodeId;
  readonly log: RaftLog;
  readonly durability: Durability;
  readonly effects: StepEffects = new StepEffects();
  /** When a leader was last heard: while it is alive, no vote and no pre-vote is given (thesis 4.2.3). */
  readonly watch: LeaderWatch;
  nowMs: number;
  isStalled = false;
  #term: Term;
  #votedFor: VotedFor;
  #isBlank: boolean;
  #damagedUpTo: LogIndex | undefined;
  #commit: LogIndex;
  /** Last entry handed out for applying. */
  #emitted: LogIndex;
  #state: RoleState;
  /** The voters of the configuration in force, so that they are not gathered anew for every answer. */
  #votersOf: { readonly configuration: Configuration; readonly voters: JointVoters } | undefined;

  constructor(options: CoreOptions, recovered: RecoveredState, nowMs: number) {
    this.options = options;
    this.id = options.id;
    this.nowMs = nowMs;
    this.log = recovered.log;
    this.#term = recovered.term;
    this.#votedFor = recovered.votedFor;
    this.#isBlank = recovered.isBlank;
    this.#damagedUpTo = recovered.damagedUpTo;
    this.#commit = recovered.log.start.index;
    this.#emitted = recovered.log.start.index;
    this.durability = new Durability(recovered.log.lastIndex);
    this.watch = new LeaderWatch(options, nowMs);
    const deadlineMs = nowMs + this.drawTimeoutMs();
    // Alone there is nobody to wait for, unless a leader that is leaving holds a lease from us.
    const isAlone = options.leaseMs === 0 && this.voters.incoming.length === 1 && isVoter(this.configuration, this.id);
    this.#state = { type: "follower", leader: undefined, deadlineMs: isAlone ? nowMs : deadlineMs };
    if (recovered.isVoteUnwritten) this.#persistVote(); // leaves with the first step, ahead of any entry
  }

  // ---------------------------------------------------------------- what it knows

  get state(): RoleState {
    return this.#state;
  }

  get role(): Role {
    if (this.#state.type === "follower" && !isVoter(this.configuration, this.id)) return "learner";
    return this.#state.type;
  }

  get term(): Term {
    return this.#term;
  }

  get votedFor(): VotedFor {
    return this.#votedFor;
  }

  get leader(): NodeId | undefined {
    if (this.#state.type === "leader") return this.id;
    return this.#state.type === "follower" ? this.#state.leader : undefined;
  }

  get commit(): LogIndex {
    return this.#commit;
  }

  /** R9: holds nothing and has never voted, as a node whose disk was wiped. */
  get isBlank(): boolean {
    return this.#isBlank;
  }

  /** R7: the highest index that this node may have acknowledged and lost. */
  get damagedUpTo(): LogIndex | undefined {
    return this.#damagedUpTo;
  }

  get isDamaged(): boolean {
    return this.#damagedUpTo !== undefined;
  }

  /** R7. */
  get isUnbound(): boolean {
    return isUnboundReplacement(this.configuration, this.id, this.options.incarnation ?? 0);
  }

  get isNeeded(): boolean {
    const index = this.log.configurationIndex;
    const before = index > this.#commit ? this.log.configurationAt(logIndex(index - 1)) : undefined;
    return isNeeded(this.id, this.configuration, before);
  }

  get configuration(): Configuration {
    return this.log.configuration;
  }

  get voters(): JointVoters {
    const { configuration } = this;
    if (this.#votersOf?.configuration !== configuration) {
      const voters = { incoming: incomingVoters(configuration), outgoing: configuration.outgoing };
      this.#votersOf = { configuration, voters };
    }
    return this.#votersOf.voters;
  }

  otherVoters(): readonly NodeId[] {
    const { incoming, outgoing } = this.voters;
    return [...new Set([...incoming, ...outgoing])].filter((id) => id !== this.id);
  }

  drawTimeoutMs(): number {
    return electionTimeoutMs(this.options);
  }

  // ---------------------------------------------------------------- term, vote, role

  /** The only transition between roles. */
  enter(state: RoleState, why: string): void {
    if (this.#state.type === "leader") {
      for (const context of this.#state.reads.drain()) this.effects.grant({ context, index: undefined });
    }
    this.#state = state;
    this.effects.tell({ type: "role", role: this.role, term: this.#term, leader: this.leader, why });
  }

  becomeFollower(newTerm: Term, leader: NodeId | undefined, why: string): void {
    assert(newTerm >= this.#term, "R1: terms never fall", { newTerm, term: this.#term });
    if (newTerm > this.#term) {
      this.#setTerm(newTerm);
      this.#persistVote();
    }
    this.enter({ type: "follower", leader, deadlineMs: this.nowMs + this.drawTimeoutMs() }, why);
  }

  /** Opens the next term with a vote for itself. It counts when it is durable, like everybody's. */
  becomeCandidate(why: string): void {
    assert(mayStand(this), "R7: only a node that lost nothing stands", { damagedUpTo: this.#damagedUpTo });
    this.#setTerm(term(this.#term + 1));
    this.#castVote(this.id);
    this.enter({ type: "candidate", votes: new Map(), deadlineMs: this.nowMs + this.drawTimeoutMs() }, why);
  }

  /** Gives this term's vote to another; given to the same again it costs nothing. */
  voteFor(candidate: NodeId, follower: Follower): void {
    assert(this.#state === follower, "R1: only a follower votes for another", { role: this.#state.type });
    assert(this.#damagedUpTo === undefined, "R7: a damaged node does not vote", { upTo: this.#damagedUpTo });
    if (this.#votedFor === undefined) this.#castVote(candidate);
    assert(this.#votedFor === candidate, "R1: one vote a term", {
      term: this.#term,
      before: this.#votedFor,
      candidate,
    });
  }

  #castVote(candidate: NodeId): void {
    assert(this.#votedFor === undefined, "R1: one vote a term", {
      term: this.#term,
      before: this.#votedFor,
      candidate,
    });
    this.#votedFor = candidate;
    this.#isBlank = false;
    this.#persistVote();
  }

  #setTerm(newTerm: Term): void {
    this.#term = newTerm;
    this.#votedFor = undefined;
  }

  #persistVote(): void {
    const vote = { term: this.#term, votedFor: this.#votedFor, isBlank: this.#isBlank };
    this.effects.persist(encodeVote(vote, this.options.crc32));
  }

  // ---------------------------------------------------------------- log and commit index

  /** An entry from the leader, behind all that the log holds. */
  append(entry: LogRecord): void {
    this.log.push(entry);
    this.#isBlank = false;
    this.effects.persist(entry);
  }

  /** Cuts off `from` and everything above it, because the leader's log differs there. */
  cut(from: LogIndex): void {
    assert(from > this.#commit, "R4: a committed entry is never cut", { index: from, commit: this.#commit });
    assert(this.#state.type !== "leader", "R4: a leader never cuts its own log", { index: from });
    this.effects.tell({ type: "truncated", from, to: this.log.lastIndex });
    this.log.truncate(from);
    this.durability.truncate(from);
  }

  /** The log was replaced by the group's state at `start`, which is durable and committed. */
  restart(start: LogStart): void {
    assert(start.index > this.#commit, "R4: nothing committed is replaced", {
      start: start.index,
      commit: this.#commit,
    });
    assert(this.#state.type !== "leader", "R4: a leader never cuts its own log", { start: start.index });
    this.log.reset(start);
    this.#isBlank = false;
    this.durability.reset(start.index);
    this.#commit = start.index;
    this.#emitted = start.index;
  }

  commitUpTo(index: LogIndex): void {
    if (index <= this.#commit) return;
    assert(index <= this.log.lastIndex, "R4: what is committed is in the log");
    const state = this.#state;
    if (state.type === "leader") {
      for (let i = this.#commit + 1; i <= index; i++) {
        state.uncommittedBytes -= this.log.entry(logIndex(i))?.body.length ?? 0;
      }
      if (state.uncommittedBytes < 0) state.uncommittedBytes = 0; // entries of earlier terms were not counted
    }
    this.#commit = index;
  }

  /** The state machine already holds everything up to `index`, from a snapshot. */
  skipTo(index: LogIndex): void {
    if (index > this.#emitted) this.#emitted = index;
  }

  /** R8: the entries that may be applied now, each once. */
  takeCommitted(): readonly LogRecord[] {
    const upTo = logIndex(Math.min(this.#commit, this.durability.index));
    if (upTo <= this.#emitted) return NOTHING;
    const entries = this.log.slice(logIndex(this.#emitted + 1), upTo, Number.POSITIVE_INFINITY);
    assert(entries.length === upTo - this.#emitted, "R8: applied in order, without a gap");
    this.#emitted = upTo;
    return entries;
  }

  /** R7: everything that was lost is back. */
  repaired(upTo: LogIndex): void {
    assert(this.#damagedUpTo !== undefined && upTo >= this.#damagedUpTo, "R7: repaired as far as it was damaged", {
      upTo,
    });
    this.effects.tell({ type: "repaired", upTo });
    this.#damagedUpTo = undefined;
  }

  /** The log has got a configuration, which is in force from now on (R6). */
  tellConfiguration(): void {
    const { configuration } = this;
    this.effects.tell({ type: "configuration", configuration, index: this.log.configurationIndex, committed: false });
  }
}
