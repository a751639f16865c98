/**
 * What the leader knows of one follower, and how much it may send.
 * Owns    the three states: `probe` (one message at a time, to find where the logs meet), `replicate` (a pipeline within
 *         windows of messages and bytes), `snapshot` (nothing, until the transfer ends).
 * Source  Ongaro 2014, sections 3.5 and 10.2.1; the states are those of etcd-io/raft's tracker, with a window of bytes beside
 *         that of messages.
 */
import { assert } from "../../base/assert.ts";
import { type LogIndex, logIndex } from "../../base/ids.ts";

interface InFlight {
  readonly last: LogIndex;
  readonly bytes: number;
  readonly sentMs: number;
}

export type ProgressState = "probe" | "replicate" | "snapshot";

export interface FlowLimits {
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
}

const CONTRADICTIONS_MAX = 3;

export class Progress {
  readonly #limits: FlowLimits;
  #state: ProgressState = "probe";
  #match = logIndex(0);
  #next: LogIndex;
  #inflight: InFlight[] = [];
  #inflightBytes = 0;
  #contradictions = 0;
  /** In `probe`: when the outstanding message was sent; undefined: none is. */
  #probeSentMs: number | undefined;
  /** Monotonic time of the last message from the follower. */
  lastHeardMs: number;
  /** The commit index that the follower was last sent, and the one that it waits for. */
  toldCommit: number = 0;
  waitsFor: number = 0;
  /** The newest round of heartbeats it has answered in this term. */
  round = 0;
  /** Catch-up of a learner in rounds (Ongaro 2014, section 4.2.1). */
  catchUp: { readonly target: LogIndex; readonly startedMs: number } | undefined;

  constructor(limits: FlowLimits, options: { readonly next: LogIndex; readonly nowMs: number }) {
    this.#limits = limits;
    this.#next = options.next;
    this.lastHeardMs = options.nowMs;
  }

  get state(): ProgressState {
    return this.#state;
  }

  get match(): LogIndex {
    return this.#match;
  }

  get next(): LogIndex {
    return this.#next;
  }

  /** May a message with entries leave now? */
  get open(): boolean {
    switch (this.#state) {
      case "probe":
        return this.#probeSentMs === undefined;
      case "replicate":
        return (
          this.#inflight.length < this.#limits.inflightMessagesMax &&
          this.#inflightBytes < this.#limits.inflightBytesMax
        );
      case "snapshot":
        return false;
    }
  }

  get oldestSentMs(): number | undefined {
    return this.#state === "probe" ? this.#probeSentMs : this.#inflight[0]?.sentMs;
  }

  sent(last: LogIndex, bytes: number, nowMs: number): void {
    assert(this.open, "sent within the window", { state: this.#state });
    if (this.#state === "probe") {
      this.#probeSentMs = nowMs;
      return;
    }
    this.#inflight.push({ last, bytes, sentMs: nowMs });
    this.#inflightBytes += bytes;
    this.#next = logIndex(last + 1);
  }

  /** The follower holds the leader's log up to `match`, durably. */
  accepted(match: LogIndex): void {
    this.#contradictions = 0;
    const advanced = match > this.#match;
    if (advanced) this.#match = match;
    if (this.#next <= this.#match) this.#next = logIndex(this.#match + 1);
    switch (this.#state) {
      case "probe":
        this.#enter("replicate");
        this.#next = logIndex(this.#match + 1);
        return;
      case "replicate":
        while (this.#inflight[0] !== undefined && this.#inflight[0].last <= this.#match) {
          this.#inflightBytes -= this.#inflight.shift()?.bytes ?? 0;
        }
        return;
      case "snapshot":
        return;
    }
  }

  /**
   * The follower refused an append after `refused` and proposes `candidate`. Ignored (false) when it answers a message that
   * something newer has overtaken.
   */
  rejected(refused: LogIndex, candidate: LogIndex): boolean {
    if (this.#state === "snapshot") return false;
    if (refused <= this.#match) return this.contradicted(candidate);
    if (this.#state === "probe" && refused !== this.#next - 1) return false;
    this.#enter("probe");
    this.#next = logIndex(Math.max(Math.min(refused, candidate + 1), this.#match + 1));
    return true;
  }

  /** Something sent was lost, or may be: find the meeting point again. */
  probe(): void {
    if (this.#state === "snapshot") return;
    this.#enter("probe");
    this.#next = this.#meetingPoint;
  }

  /**
   * The connection broke: the follower may come back with less than it had (a damaged record, a wiped disk), so nothing is
   * taken for granted. Safe: the commit index never falls, and a lower match only makes the leader count fewer copies.
   */
  forget(): void {
    this.#next = this.#meetingPoint;
    this.#match = logIndex(0);
    this.round = 0;
    this.toldCommit = 0;
    this.#enter("probe");
  }

  snapshot(): void {
    this.#enter("snapshot");
  }

  /**
   * The transfer ended; `index` is where the snapshot stands, undefined if it failed. It may have been refused because the
   * follower is beyond it: so the log is tried first, from its beginning at `first`.
   */
  snapshotEnded(index: LogIndex | undefined, first: LogIndex): void {
    if (this.#state !== "snapshot") return;
    this.#enter("probe");
    this.#next = logIndex(Math.max(this.#match + 1, index === undefined ? first : index + 1));
  }

  /**
   * Where to ask next. Not knowing what the follower holds is no sign that it holds nothing: then the question stays where
   * it was until an answer comes, else a follower that was away for a moment would get the whole state.
   */
  get #meetingPoint(): LogIndex {
    return this.#match > 0 ? logIndex(this.#match + 1) : this.#next;
  }

  /** A refusal below `match` is stale, unless it keeps coming: then the follower has lost what it once acknowledged. */
  contradicted(candidate: LogIndex): boolean {
    this.#contradictions++;
    if (this.#contradictions < CONTRADICTIONS_MAX || candidate >= this.#match) return false;
    this.#contradictions = 0;
    this.#match = logIndex(0);
    this.#enter("probe");
    this.#next = logIndex(candidate + 1);
    return true;
  }

  #enter(state: ProgressState): void {
    this.#state = state;
    this.#inflight = [];
    this.#inflightBytes = 0;
    this.#probeSentMs = undefined;
  }
}
