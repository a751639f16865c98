/**
 * A follower's half of replication: what it takes from a leader, and what it answers.
 * Source  Ongaro & Ousterhout 2014, section 5.3 and figure 2 (AppendEntries, receiver); Ongaro 2014, section 3.5 (a hint in
 *         a refusal) and 5.1 (InstallSnapshot).
 * Owns    the consistency check, conflicts, the end of a repair.
 *
 * R4. Nobody cuts below the commit index; see `replica.ts`.
 * R7. A node that lost acknowledged entries neither votes nor stands until a leader has given them back.
 */
import { assert } from "../../base/assert.ts";
import { type LogIndex, logIndex, type NodeId, term } from "../../base/ids.ts";
import { encodeConfiguration } from "../contract/configuration.ts";
import type { LogStart } from "../contract/core.ts";
import { type LogRecord, RecordKind } from "../contract/record.ts";
import type { AppendRequest, Heartbeat, HeartbeatResponse } from "./messages.ts";
import type { Replica } from "./replica.ts";

export class Following {
  readonly #replica: Replica;

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  append(from: NodeId, request: AppendRequest): void {
    if (!this.#hearLeader(from, request)) return;
    const replica = this.#replica;
    const { log } = replica;
    let { previousIndex, previousTerm, entries } = request;
    const { start } = log;
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
    if (log.termAt(previousIndex) !== previousTerm) {
      const highest = logIndex(Math.min(previousIndex, log.lastIndex));
      const hintIndex = log.lastIndexWithTermAtMost(highest, previousTerm);
      replica.effects.sendAfterDurable(from, {
        type: "append-response",
        term: replica.term,
        round: request.round,
        match: logIndex(0),
        refused: previousIndex,
        hintIndex,
        hintTerm: log.termAt(hintIndex) ?? term(0),
      });
      return;
    }
    for (const entry of entries) this.#accept(entry);
    const match = logIndex(previousIndex + entries.length);
    replica.commitUpTo(logIndex(Math.min(request.commit, match)));
    this.#repairedAt(match, request.commit);
    this.#acceptUpTo(from, request.round, match);
  }

  heartbeat(from: NodeId, beat: Heartbeat): void {
    if (!this.#hearLeader(from, beat)) return;
    const replica = this.#replica;
    // The leader never sends a commit index above what it knows we hold; after a crash we may hold less.
    const commit = logIndex(Math.min(beat.commit, replica.log.lastIndex));
    replica.commitUpTo(commit);
    if (commit === beat.commit) this.#repairedAt(commit, commit);
    const message: HeartbeatResponse = {
      type: "heartbeat-response",
      term: replica.term,
      round: beat.round,
      last: replica.log.lastIndex,
    };
    // R2: shows a term, but no entry: it waits for a vote that is being written, never for entries.
    const { effects } = replica;
    if (replica.durability.voteOpen || effects.writesVote) effects.sendAfterDurable(from, message);
    else effects.sendNow(from, message);
  }

  /** The state machine was replaced by a peer's snapshot that ends at `start`. */
  installed(start: LogStart): void {
    const replica = this.#replica;
    const { log } = replica;
    if (start.index <= replica.commit) {
      const chain = log.chainAt(start.index);
      assert(chain === undefined || chain === start.chain, "committed logs are equal", { index: start.index });
      replica.skipTo(start.index); // the state has it, even if our own disk was slower
      return; // we have all of it already
    }
    if (start.term > replica.term) replica.becomeFollower(start.term, undefined, "a snapshot of a newer term");
    if (log.chainAt(start.index) === start.chain) {
      // The log goes on from there: what it holds above may be acknowledged and stays.
      replica.commitUpTo(start.index);
      replica.skipTo(start.index);
      log.trim(start);
      return;
    }
    // R4: a leader holds all that is committed. If not, others have committed it under a newer one.
    if (replica.state.type === "leader") replica.becomeFollower(replica.term, undefined, "a snapshot of another log");
    replica.restart(start);
    this.#persistStart(start);
    replica.tellConfiguration();
    if (replica.state.type === "follower" && replica.state.leader !== undefined) {
      this.#acceptUpTo(replica.state.leader, 0, start.index);
    }
  }

  /** Settles the term of a message from a leader; false: it is not one any more. */
  #hearLeader(from: NodeId, message: AppendRequest | Heartbeat): boolean {
    const replica = this.#replica;
    const { state } = replica;
    if (message.term < replica.term) {
      // Without an answer a leader that was cut off would never learn of the newer term (pre-vote keeps terms from rising).
      const last = replica.log.lastIndex;
      replica.effects.sendAfterDurable(from, { type: "heartbeat-response", term: replica.term, round: 0, last });
      return false;
    }
    assert(state.type !== "leader" || message.term > replica.term, "R1: one leader a term", {
      from,
      term: message.term,
    });
    if (message.term > replica.term || state.type !== "follower" || state.leader !== from) {
      replica.becomeFollower(message.term, from, "a leader was heard");
    }
    if (replica.state.type === "follower") replica.state.deadlineMs = replica.nowMs + replica.drawTimeoutMs();
    replica.watch.hear(replica.nowMs);
    return true;
  }

  #accept(entry: LogRecord): void {
    const replica = this.#replica;
    const held = replica.log.entry(entry.index);
    if (held !== undefined && held.term === entry.term) {
      assert(held.chain === entry.chain, "log matching: same index and term, same log", { index: entry.index });
      return; // a repeated append never cuts a matching suffix
    }
    if (held !== undefined) replica.cut(entry.index);
    replica.append(entry);
    if (entry.kind === RecordKind.configuration) replica.tellConfiguration();
  }

  #acceptUpTo(to: NodeId, round: number, match: LogIndex): void {
    const replica = this.#replica;
    const none = logIndex(0);
    replica.effects.sendAfterDurable(to, {
      type: "append-response",
      term: replica.term,
      round,
      match,
      refused: none,
      hintIndex: none,
      hintTerm: term(0),
    });
  }

  /** R7: what the leader has committed in its own term, and we hold, includes all that we ever acknowledged. */
  #repairedAt(match: LogIndex, leaderCommit: LogIndex): void {
    const { damagedUpTo, log, term: current } = this.#replica;
    if (damagedUpTo === undefined || match < leaderCommit || match < damagedUpTo) return;
    if (log.termAt(leaderCommit) !== current) return;
    this.#replica.repaired(match);
  }

  #persistStart(start: LogStart): void {
    const { effects, options } = this.#replica;
    const body = encodeConfiguration(start.configuration);
    const { index, term: startTerm, chain } = start;
    effects.persist({ kind: RecordKind.start, index, term: startTerm, chain, body, bodyCrc: options.crc32(body) });
  }
}
