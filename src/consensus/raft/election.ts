/**
 * How a replica comes to lead: pre-votes, votes, and who may ask for them.
 * Source  Ongaro & Ousterhout 2014, section 5.2 (elections) and 5.4.1 (the candidate's log); Ongaro 2014, sections 9.6
 *         (pre-vote), 4.2.3 (a live leader is not disturbed) and 3.10 (an election that the leader asked for).
 * Owns    the answers to vote requests, the candidate's two rounds, the beginning of a leadership.
 * Leaves  silence and timeouts to `contract/election.ts`, the vote itself to `replica.ts`.
 *
 * R7. A node that lost acknowledged entries neither votes nor stands until a leader has given them back; one that lost its
 *     log, until the configuration names its new data folder.
 * R9. A founder that holds nothing and has never voted may be one whose disk was wiped, and may have held anything: until a
 *     leader has sent it entries it votes only for a candidate that holds nothing either. A new cluster's first election
 *     is among such; and once a log has entries, a majority has voted for the leader that wrote them. A candidate whose
 *     configuration names this very folder knows that nothing was wiped since.
 */
import { assert } from "../../base/assert.ts";
import { logIndex, type NodeId, type Term, term } from "../../base/ids.ts";
import { hurriedTimeoutMs, type LeaderView, mayStand, rankAfter, wasHeldUp } from "../contract/election.ts";
import { findMember } from "../contract/configuration.ts";
import { RecordKind } from "../contract/record.ts";
import { jointVoteResult } from "../quorum/quorum.ts";
import type { VoteRequest, VoteResponse } from "./messages.ts";
import type { Progress } from "./progress.ts";
import { ReadQueue } from "./reads.ts";
import type { Replica } from "./replica.ts";
import type { Candidate, Leader, PreCandidate } from "./roles.ts";
import type { Sending } from "./sending.ts";

export class Election {
  readonly #replica: Replica;
  readonly #sending: Sending;

  constructor(replica: Replica, sending: Sending) {
    this.#replica = replica;
    this.#sending = sending;
  }

  // ---------------------------------------------------------------- voting

  vote(from: NodeId, request: VoteRequest): void {
    if (request.pre) this.#votePre(from, request);
    else this.#voteForReal(from, request);
  }

  /** Would we vote for it? The answer binds nobody. */
  #votePre(from: NodeId, request: VoteRequest): void {
    const replica = this.#replica;
    const granted = request.term > replica.term && !this.#leaderForbids() && this.#mayHaveOurs(request);
    this.#answer(from, request, granted);
  }

  #voteForReal(from: NodeId, request: VoteRequest): void {
    const replica = this.#replica;
    if (request.term > replica.term) {
      if (!request.transfer && this.#leaderForbids()) {
        replica.effects.ignore(from, "vote", "a live leader is known"); // thesis 4.2.3: it must not be disturbed
        return;
      }
      replica.becomeFollower(request.term, undefined, "a newer term was heard");
    }
    const { state } = replica;
    const isFree = replica.votedFor === undefined || replica.votedFor === from; // R1
    const granted = request.term === replica.term && isFree && state.type === "follower" && this.#mayHaveOurs(request);
    if (granted) {
      replica.voteFor(from, state);
      state.deadlineMs = replica.nowMs + replica.drawTimeoutMs();
    }
    this.#answer(from, request, granted);
  }

  #answer(to: NodeId, request: VoteRequest, granted: boolean): void {
    const replica = this.#replica;
    const { pre, term: asked } = request;
    replica.effects.sendAfterDurable(to, { type: "vote-response", term: replica.term, pre, granted, asked });
  }

  #leaderForbids(): boolean {
    const replica = this.#replica;
    const view: LeaderView = { isLeader: replica.state.type === "leader", knowsLeader: replica.leader !== undefined };
    return replica.watch.forbidsVote(replica.nowMs, view);
  }

  /** Whether a log like the candidate's may lead, as far as we can judge (R7, R9; paper 5.4.1: at least as new as ours). */
  #mayHaveOurs(request: VoteRequest): boolean {
    const replica = this.#replica;
    if (replica.isDamaged || replica.isUnbound) return false; // R7
    if (replica.isBlank && request.lastIndex > 0 && !this.#isKnownBy(request)) return false; // R9
    const { lastTerm, lastIndex } = replica.log;
    return request.lastTerm > lastTerm || (request.lastTerm === lastTerm && request.lastIndex >= lastIndex);
  }

  /** R9: whoever bound this very data folder met it before the loss that we might have had. */
  #isKnownBy({ boundTo }: VoteRequest): boolean {
    const own = this.#replica.options.incarnation ?? 0;
    return own !== 0 && boundTo === own;
  }

  // ---------------------------------------------------------------- standing

  /** Time for somebody who does not lead. */
  tick(): void {
    const replica = this.#replica;
    const { state, nowMs } = replica;
    if (state.type === "leader" || nowMs < state.deadlineMs || !mayStand(replica)) return;
    const isFollowing = state.type === "follower" && state.leader !== undefined;
    if (isFollowing && wasHeldUp(replica.options, { nowMs, dueMs: state.deadlineMs })) {
      state.deadlineMs = nowMs + replica.options.heartbeatMs;
      return;
    }
    this.#standPre(state.type === "follower" ? "election timeout" : "no majority in time");
  }

  /** The leader asks us to stand without waiting for silence. */
  timeoutNow(asked: Term): void {
    const replica = this.#replica;
    if (asked === replica.term && replica.state.type === "follower" && mayStand(replica)) {
      this.#stand("asked by the leader", true);
    }
  }

  /** The connection to a peer broke. If it led, somebody else will have to. */
  peerLost(peer: NodeId): void {
    const replica = this.#replica;
    const { state, options } = replica;
    if (state.type !== "follower" || state.leader !== peer || !replica.watch.mayHurry) return;
    const { incoming, outgoing } = replica.voters;
    const rank = rankAfter(peer, replica.id, [...incoming, ...outgoing]);
    const deadlineMs = Math.min(state.deadlineMs, replica.nowMs + hurriedTimeoutMs(options, rank));
    replica.enter({ type: "follower", leader: undefined, deadlineMs }, "the connection to the leader broke");
  }

  #standPre(why: string): void {
    const replica = this.#replica;
    const votes = new Map([[replica.id, true]]);
    const state: PreCandidate = { type: "pre-candidate", votes, deadlineMs: replica.nowMs + replica.drawTimeoutMs() };
    replica.enter(state, why);
    for (const peer of replica.otherVoters()) {
      replica.effects.sendNow(peer, this.#request(peer, term(replica.term + 1), { pre: true, transfer: false }));
    }
    this.#tallyPre(state);
  }

  #stand(why: string, transfer: boolean): void {
    const replica = this.#replica;
    replica.becomeCandidate(why);
    for (const peer of replica.otherVoters()) {
      replica.effects.sendAfterDurable(peer, this.#request(peer, replica.term, { pre: false, transfer })); // R1
    }
  }

  #request(to: NodeId, asked: Term, options: { readonly pre: boolean; readonly transfer: boolean }): VoteRequest {
    const { log, configuration } = this.#replica;
    const boundTo = findMember(configuration, to)?.incarnation ?? 0;
    return { type: "vote", term: asked, ...options, lastIndex: log.lastIndex, lastTerm: log.lastTerm, boundTo };
  }

  // ---------------------------------------------------------------- counting

  voteResponse(from: NodeId, response: VoteResponse): void {
    const replica = this.#replica;
    if (response.term > replica.term && !(response.pre && response.granted)) {
      replica.becomeFollower(response.term, undefined, "a newer term was heard");
      return;
    }
    const { state } = replica;
    if (state.type === "pre-candidate" && response.pre && response.asked === replica.term + 1) {
      state.votes.set(from, response.granted);
      this.#tallyPre(state);
    } else if (state.type === "candidate" && !response.pre && response.asked === replica.term) {
      state.votes.set(from, response.granted);
      this.#tally(state);
    }
  }

  /** R1: the own vote counts only now that it is durable. */
  ownVoteDurable(votes: readonly Term[]): void {
    const replica = this.#replica;
    const { state } = replica;
    if (state.type !== "candidate" || !votes.some((t) => t === replica.term)) return;
    state.votes.set(replica.id, true);
    this.#tally(state);
  }

  #tallyPre(state: PreCandidate): void {
    const replica = this.#replica;
    switch (jointVoteResult(replica.voters, (id) => state.votes.get(id))) {
      case "won":
        if (mayStand(replica)) this.#stand("pre-vote won", false); // the disk may have stalled meanwhile
        return;
      case "lost":
      case "pending":
        return; // wait for the deadline: a denial now may be a grant soon
    }
  }

  #tally(state: Candidate): void {
    const replica = this.#replica;
    switch (jointVoteResult(replica.voters, (id) => state.votes.get(id))) {
      case "won":
        this.#lead([...state.votes.values()].filter(Boolean).length);
        return;
      case "lost":
        replica.becomeFollower(replica.term, undefined, "the vote was lost");
        return;
      case "pending":
        return;
    }
  }

  #lead(votes: number): void {
    const replica = this.#replica;
    const { options, voters } = replica;
    assert(replica.votedFor === replica.id, "R1: who leads has its own vote", { votedFor: replica.votedFor });
    const state: Leader = {
      type: "leader",
      progress: new Map<NodeId, Progress>(),
      reads: new ReadQueue(),
      opening: logIndex(replica.log.lastIndex + 1),
      heartbeatDueMs: replica.nowMs + options.heartbeatMs,
      commitDueMs: Number.POSITIVE_INFINITY,
      transfer: undefined,
      askedToStand: false,
      uncommittedBytes: 0,
    };
    replica.enter(state, `${votes} votes of ${voters.incoming.length}`);
    this.#sending.followConfiguration(state);
    const empty = new Uint8Array(0);
    this.#sending.appendOwn(state, RecordKind.noop, empty, options.crc32(empty));
  }
}
