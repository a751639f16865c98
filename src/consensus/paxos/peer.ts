/**
 * What the leader knows of one replica, and how much it may send it. Slots go out once, in order, within windows of messages
 * and bytes; what stays unacknowledged is sent again. A replica that falls behind the chosen slots fetches them by itself.
 */
import { type LogIndex, logIndex } from "../../base/ids.ts";

interface InFlight {
  readonly first: LogIndex;
  readonly last: LogIndex;
  readonly bytes: number;
  sentMs: number;
}

export interface FlowLimits {
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
}

export class Peer {
  readonly #limits: FlowLimits;
  readonly bit: number;
  /** The next slot to send. */
  next: LogIndex;
  /** Up to here it has what is chosen on its disk, it says. */
  chosen: LogIndex;
  /** The chosen watermark that it was last told, and the slot that clients wait for there. */
  toldChosen = 0;
  waitsFor = 0;
  /** The newest round of beats it has answered under this ballot. */
  round = 0;
  lastHeardMs: number;
  /** Catch-up of a learner in rounds (Ongaro 2014, section 4.2.1). */
  catchUp: { readonly target: LogIndex; readonly startedMs: number } | undefined;
  #inflight: InFlight[] = [];
  #bytes = 0;

  constructor(
    limits: FlowLimits,
    options: { readonly bit: number; readonly next: LogIndex; readonly chosen: LogIndex; readonly nowMs: number },
  ) {
    this.#limits = limits;
    this.bit = options.bit;
    this.next = options.next;
    this.chosen = options.chosen;
    this.lastHeardMs = options.nowMs;
  }

  get open(): boolean {
    return this.#inflight.length < this.#limits.inflightMessagesMax && this.#bytes < this.#limits.inflightBytesMax;
  }

  sent(first: LogIndex, last: LogIndex, bytes: number, nowMs: number): void {
    this.#inflight.push({ first, last, bytes, sentMs: nowMs });
    this.#bytes += bytes;
    this.next = logIndex(last + 1);
  }

  acknowledged(first: LogIndex, last: LogIndex): void {
    const head = this.#inflight[0];
    if (head === undefined || head.first > last) return;
    if (head.first >= first && head.last <= last && this.#inflight.length === 1) {
      this.#inflight = [];
      this.#bytes = 0;
      return;
    }
    this.#drop((sent) => sent.first >= first && sent.last <= last);
  }

  /** What was sent before `beforeMs` and is still open, with its time set to now. What is chosen is dropped: it is fetched. */
  overdue(beforeMs: number, chosen: LogIndex, nowMs: number): readonly (readonly [LogIndex, LogIndex])[] {
    if ((this.#inflight[0]?.sentMs ?? Number.POSITIVE_INFINITY) >= beforeMs) return [];
    this.#drop((sent) => sent.last <= chosen);
    const again: (readonly [LogIndex, LogIndex])[] = [];
    for (const sent of this.#inflight) {
      if (sent.sentMs >= beforeMs) continue;
      sent.sentMs = nowMs;
      again.push([sent.first, sent.last]);
    }
    return again;
  }

  /** The connection broke: nothing that was sent is taken for granted. */
  forget(chosen: LogIndex): void {
    this.#inflight = [];
    this.#bytes = 0;
    this.round = 0;
    this.toldChosen = 0;
    this.next = logIndex(chosen + 1);
  }

  #drop(isDone: (sent: InFlight) => boolean): void {
    this.#inflight = this.#inflight.filter((sent) => {
      if (!isDone(sent)) return true;
      this.#bytes -= sent.bytes;
      return false;
    });
  }
}
