/**
 * What leaves the leader for its followers: entries as far as their windows are open, heartbeats, the commit index.
 * Source  Ongaro & Ousterhout 2014, section 5.3; Ongaro 2014, section 10.2.1 (pipelining, and sending before the own disk).
 * Owns    the leader's own appends, and whom it sends to.
 * Leaves  the windows of one follower to `progress.ts`, what answers mean to `leading.ts`.
 *
 * R6. A configuration counts from append: followers are those of the newest configuration in the log.
 */
import { assert } from "../../base/assert.ts";
import { type LogIndex, logIndex, type NodeId, type Term } from "../../base/ids.ts";
import { replicas } from "../contract/configuration.ts";
import { type LogRecord, RecordKind } from "../contract/record.ts";
import { Progress } from "./progress.ts";
import type { Replica } from "./replica.ts";
import type { Leader } from "./roles.ts";

const NO_ENTRIES: readonly LogRecord[] = [];

export class Sending {
  readonly #replica: Replica;

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  /** A new entry of the leader's own, on its way to its disk and to everybody else's. */
  appendOwn(state: Leader, kind: RecordKind, body: Uint8Array, bodyCrc: number): LogRecord {
    const replica = this.#replica;
    assert(replica.state === state, "only a leader appends of its own");
    const entry = replica.log.make({ kind, term: replica.term, body, bodyCrc });
    replica.effects.persist(entry);
    state.uncommittedBytes += body.length;
    if (kind === RecordKind.configuration) {
      replica.tellConfiguration();
      this.followConfiguration(state);
    }
    for (const [peer, p] of state.progress) this.replicateTo(state, peer, p);
    return entry;
  }

  /** R6: sends to exactly the members of the configuration in force. */
  followConfiguration(state: Leader): void {
    const replica = this.#replica;
    const wanted = new Set(replicas(replica.configuration));
    wanted.delete(replica.id);
    for (const peer of state.progress.keys()) if (!wanted.has(peer)) state.progress.delete(peer);
    for (const peer of wanted) {
      if (state.progress.has(peer)) continue;
      const next = this.#firstToSend(state);
      state.progress.set(peer, new Progress(replica.options, { next, nowMs: replica.nowMs }));
    }
  }

  /** Paper, figure 2: nextIndex begins after the leader's last entry; a member that is new begins with the log. */
  #firstToSend(state: Leader): LogIndex {
    const { log } = this.#replica;
    return log.lastIndex < state.opening ? state.opening : log.firstIndex;
  }

  /** Sends what the follower's windows allow. */
  replicateTo(state: Leader, peer: NodeId, p: Progress): void {
    const { log, options } = this.#replica;
    while (p.open && p.next <= log.lastIndex) {
      const previousTerm = this.#termBefore(peer, p);
      if (previousTerm === undefined) return;
      const previousIndex = logIndex(p.next - 1);
      const entries = log.slice(p.next, log.lastIndex, options.messageBytesMax);
      const last = entries.at(-1)?.index ?? previousIndex;
      let bytes = 0;
      for (const entry of entries) bytes += entry.body.length;
      p.sent(last, bytes, this.#replica.nowMs);
      p.toldCommit = this.#replica.commit;
      this.#append(state, peer, previousIndex, previousTerm, entries);
    }
    if (p.state === "probe" && p.open && p.next > log.lastIndex && p.match < log.lastIndex) this.#probe(state, peer, p);
  }

  /** Nothing new to send, but it is not known where the logs meet: ask with an empty append. */
  #probe(state: Leader, peer: NodeId, p: Progress): void {
    const previousTerm = this.#termBefore(peer, p);
    if (previousTerm === undefined) return;
    const previousIndex = logIndex(p.next - 1);
    p.sent(previousIndex, 0, this.#replica.nowMs);
    this.#append(state, peer, previousIndex, previousTerm, NO_ENTRIES);
  }

  /** The term of the entry before the next one to send; undefined: it is trimmed, and only a snapshot helps. */
  #termBefore(peer: NodeId, p: Progress): Term | undefined {
    const { log, effects } = this.#replica;
    const previousTerm = log.termAt(logIndex(p.next - 1));
    if (previousTerm === undefined) {
      p.snapshot();
      effects.tell({ type: "need-snapshot", peer });
    }
    return previousTerm;
  }

  #append(
    state: Leader,
    peer: NodeId,
    previousIndex: LogIndex,
    previousTerm: Term,
    entries: readonly LogRecord[],
  ): void {
    const { effects, term, commit } = this.#replica;
    const { round } = state.reads;
    effects.sendNow(peer, { type: "append", term, round, previousIndex, previousTerm, commit, entries });
  }

  /** Sends the commit index to one follower, in a heartbeat of the newest round. */
  beat(state: Leader, peer: NodeId, p: Progress): void {
    const { effects, term, commit } = this.#replica;
    const known = logIndex(Math.min(commit, p.match));
    p.toldCommit = Math.max(p.toldCommit, known);
    effects.sendNow(peer, { type: "heartbeat", term, round: state.reads.round, commit: known });
  }

  /** Sends the commit index to the followers that do not have it and for which it is `due`. */
  tellCommit(state: Leader, due: (p: Progress) => boolean): void {
    const { commit } = this.#replica;
    for (const [peer, p] of state.progress) {
      const known = Math.min(commit, p.match);
      if (p.state === "replicate" && p.toldCommit < known && due(p)) this.beat(state, peer, p);
    }
  }
}
