/**
 * The leader's half of replication: proposals, answers, the commit index, and time.
 * Source  Ongaro & Ousterhout 2014, sections 5.3 and 5.4.2 (figure 8); Ongaro 2014, section 6.4 (a leader that hears no quorum
 *         steps down).
 * Owns    what an answer changes, and in which order: reads, windows, commit index, then what waits for it.
 * Leaves  sending to `sending.ts`, rounds to `reading.ts`, members to `membership.ts`.
 *
 * R3. Only an entry of the leader's own term is committed by counting copies (paper, figure 8).
 */
import { assert } from "../../base/assert.ts";
import { type LogIndex, logIndex, type NodeId } from "../../base/ids.ts";
import { heardAfterHoldUpMs, isQuorumConnected, wasHeldUp } from "../contract/election.ts";
import { RecordKind } from "../contract/record.ts";
import { hasQuorum, jointCommittedIndex } from "../quorum/quorum.ts";
import type { Handover } from "./handover.ts";
import type { Membership } from "./membership.ts";
import type { AppendResponse, HeartbeatResponse } from "./messages.ts";
import type { Reading } from "./reading.ts";
import type { Replica } from "./replica.ts";
import type { Leader } from "./roles.ts";
import type { Sending } from "./sending.ts";

/** How long a commit may go untold to followers that nobody waits at. */
const TELL_COMMIT_MS = 2;

export interface LeadingParts {
  readonly sending: Sending;
  readonly reading: Reading;
  readonly membership: Membership;
  readonly handover: Handover;
}

export class Leading {
  readonly #replica: Replica;
  readonly #sending: Sending;
  readonly #reading: Reading;
  readonly #membership: Membership;
  readonly #handover: Handover;

  constructor(replica: Replica, parts: LeadingParts) {
    this.#replica = replica;
    this.#sending = parts.sending;
    this.#reading = parts.reading;
    this.#membership = parts.membership;
    this.#handover = parts.handover;
  }

  // ---------------------------------------------------------------- what comes from the host

  propose(body: Uint8Array, bodyCrc: number, waiting: readonly NodeId[]): void {
    const { state, effects, log, commit, options } = this.#replica;
    if (state.type !== "leader") {
      effects.refuse("not-leader", this.#replica.leader);
      return;
    }
    if (state.transfer !== undefined) {
      effects.refuse("transferring", this.#replica.id);
      return;
    }
    const hasRoom =
      log.lastIndex - commit < options.uncommittedEntriesMax &&
      state.uncommittedBytes + body.length <= options.uncommittedBytesMax;
    if (!hasRoom) {
      effects.refuse("overloaded", this.#replica.id);
      return;
    }
    const entry = this.#sending.appendOwn(state, RecordKind.command, body, bodyCrc);
    for (const peer of waiting) {
      const p = state.progress.get(peer);
      if (p !== undefined) p.waitsFor = entry.index;
    }
    effects.accept(entry);
  }

  tick(state: Leader, dueMs: number): void {
    const replica = this.#replica;
    const { nowMs, options } = replica;
    if (wasHeldUp(options, { nowMs, dueMs })) {
      const leastMs = heardAfterHoldUpMs(options, nowMs);
      for (const p of state.progress.values()) p.lastHeardMs = Math.max(p.lastHeardMs, leastMs);
    }
    if (!this.#isConnected(state)) {
      replica.becomeFollower(replica.term, undefined, "check-quorum: no quorum heard for an election timeout");
      return;
    }
    this.#handover.giveUpInTime(state);
    if (nowMs >= state.commitDueMs) {
      state.commitDueMs = Number.POSITIVE_INFINITY;
      this.#sending.tellCommit(state, () => true);
    }
    if (nowMs < state.heartbeatDueMs) return;
    state.heartbeatDueMs = nowMs + options.heartbeatMs;
    this.#reading.beginRound(state);
    for (const [peer, p] of state.progress) {
      const sentMs = p.oldestSentMs;
      const patienceMs = p.state === "probe" ? 2 * options.heartbeatMs : 2 * options.electionMs;
      if (sentMs !== undefined && nowMs - sentMs > patienceMs) p.probe();
      this.#sending.replicateTo(state, peer, p);
    }
    this.#membership.promoteLearners(state);
  }

  /** What the follower holds may be less when it comes back. */
  peerLost(state: Leader, peer: NodeId): void {
    state.progress.get(peer)?.forget();
  }

  snapshotSent(peer: NodeId, index: LogIndex, ok: boolean): void {
    const { state, log } = this.#replica;
    const p = state.type === "leader" ? state.progress.get(peer) : undefined;
    if (state.type !== "leader" || p === undefined) return;
    p.snapshotEnded(ok ? index : undefined, log.firstIndex);
    if (ok) this.#sending.replicateTo(state, peer, p); // after a failure the next heartbeat tries again
  }

  // ---------------------------------------------------------------- what comes from followers

  appendResponse(from: NodeId, response: AppendResponse, isStranger: boolean): void {
    const state = this.#leadershipFor(response, isStranger);
    const p = state?.progress.get(from);
    if (state === undefined || p === undefined) return;
    const replica = this.#replica;
    const { log } = replica;
    this.#reading.heard(state, p, response.round);
    if (response.refused > 0) {
      const candidate = log.lastIndexWithTermAtMost(response.hintIndex, response.hintTerm);
      const below = response.hintIndex < log.start.index ? response.hintIndex : candidate;
      if (p.rejected(response.refused, below)) this.#sending.replicateTo(state, from, p);
      return;
    }
    const { match } = response;
    assert(match <= log.lastIndex, "R4: a follower in our term holds no more than we do", { from, match });
    p.accepted(match);
    this.advanceCommit(state);
    if (replica.state !== state) return; // a committed change may have ended our leadership
    this.#sending.replicateTo(state, from, p);
    this.#handover.askIfReady(state, from, p);
    this.#membership.promoteLearners(state);
  }

  heartbeatResponse(from: NodeId, response: HeartbeatResponse, isStranger: boolean): void {
    const state = this.#leadershipFor(response, isStranger);
    const p = state?.progress.get(from);
    if (state === undefined || p === undefined) return;
    const { nowMs, options } = this.#replica;
    this.#reading.heard(state, p, response.round);
    const sentMs = p.oldestSentMs;
    const lost = response.last < p.next - 1 && sentMs !== undefined && nowMs - sentMs > options.heartbeatMs;
    if (lost && p.state === "replicate") p.probe();
    if (response.last < p.match && p.state !== "snapshot") p.contradicted(response.last);
    this.#sending.replicateTo(state, from, p);
  }

  /** Settles the term of an answer, and gives our leadership if it is for that. */
  #leadershipFor(message: AppendResponse | HeartbeatResponse, isStranger: boolean): Leader | undefined {
    const replica = this.#replica;
    if (message.term > replica.term) {
      replica.becomeFollower(message.term, undefined, "a newer term was heard");
      return undefined;
    }
    if (isStranger || message.term < replica.term) return undefined;
    return replica.state.type === "leader" ? replica.state : undefined;
  }

  // ---------------------------------------------------------------- what a quorum holds

  /** Copies have become durable, here or elsewhere. */
  advanceCommit(state: Leader): void {
    const { id, durability, voters, commit, log, term, nowMs } = this.#replica;
    const match = (voter: NodeId): number =>
      voter === id ? durability.index : (state.progress.get(voter)?.match ?? 0);
    const index = jointCommittedIndex(voters, match);
    if (index <= commit || log.termAt(logIndex(index)) !== term) return; // R3
    this.#replica.commitUpTo(logIndex(index));
    assert(log.termAt(this.#replica.commit) === term, "R3: only the own term is counted");
    if (commit < state.opening) {
      this.#reading.opened(state);
    } else {
      // A follower that answers its own clients should not wait for the next message.
      this.#sending.tellCommit(state, (p) => p.waitsFor > p.toldCommit);
      state.commitDueMs = Math.min(state.commitDueMs, nowMs + TELL_COMMIT_MS);
    }
    this.#membership.committed(state);
  }

  /** Have we heard a quorum within an election timeout (check-quorum)? */
  #isConnected(state: Leader): boolean {
    const { id: self, nowMs, options, voters } = this.#replica;
    return isQuorumConnected(options, {
      self,
      nowMs,
      lastHeardMs: (id) => state.progress.get(id)?.lastHeardMs,
      isQuorum: (has) => hasQuorum(voters, has),
    });
  }
}
