/**
 * The effects of the step in progress, in order.
 * Source  Ongaro 2014, sections 3.8 (what must be on disk before an answer) and 10.2.1 (what need not wait).
 * Owns    which messages leave at once and which wait for the disk; nothing of a step outlives `take`.
 * Leaves  the waiting itself to `durability.ts`.
 *
 * R2. An answer that shows a term, a vote or an entry leaves only when that is durable here. The leader's own appends and
 *     heartbeats need not wait: they promise nothing about its disk, and it counts its own copy only once durable.
 */
import { assert } from "../../base/assert.ts";
import type { LogIndex, NodeId } from "../../base/ids.ts";
import type { CoreEvent, Effects, Outgoing, ReadGrant, RefusalReason, StepOutcome } from "../contract/core.ts";
import { type LogRecord, RecordKind } from "../contract/record.ts";
import type { Durability } from "./durability.ts";
import { type AppendResponse, encodeRaftMessage, type RaftMessage, type VoteResponse } from "./messages.ts";

/** What may leave before a write: see R2. A heartbeat's answer shows a term and no entry, and a vote is asked for in two ways. */
export type Unbound = Exclude<RaftMessage, AppendResponse | VoteResponse>;

const NOTHING: readonly never[] = [];

export class StepEffects {
  #send: Outgoing[] = [];
  #afterDurable: { readonly to: NodeId; readonly message: RaftMessage }[] = [];
  #records: LogRecord[] = [];
  #reads: ReadGrant[] = [];
  #events: CoreEvent[] = [];
  #outcome: StepOutcome | undefined;

  /** For messages that promise nothing about this disk. */
  sendNow(to: NodeId, message: Unbound): void {
    assert(message.type !== "vote" || message.pre, "R2: a candidacy is durable before it is told");
    this.#send.push({ to, frame: encodeRaftMessage(message) });
  }

  /** R2: the message leaves when all records of this step, and all before it, are durable; at once if all are. */
  sendAfterDurable(to: NodeId, message: RaftMessage): void {
    this.#afterDurable.push({ to, message });
  }

  /** The message has waited for its write, and the write is done. */
  release(to: NodeId, message: RaftMessage): void {
    this.#send.push({ to, frame: encodeRaftMessage(message) });
  }

  persist(record: LogRecord): void {
    this.#records.push(record);
  }

  /** True if this step changes the term or the vote. */
  get writesVote(): boolean {
    return this.#records.some((r) => r.kind === RecordKind.vote);
  }

  /** A read may be answered from the granted index on; without one, not by us. */
  grant(read: ReadGrant): void {
    this.#reads.push(read);
  }

  tell(event: CoreEvent): void {
    this.#events.push(event);
  }

  /** A message that changes nothing, and why. */
  ignore(from: NodeId, message: string, why: string): void {
    this.#events.push({ type: "ignored", from, message, why });
  }

  accept(entry: Pick<LogRecord, "index" | "term">): void {
    this.#outcome = { type: "accepted", index: entry.index, term: entry.term };
  }

  refuse(reason: RefusalReason, leader: NodeId | undefined): void {
    this.#outcome = { type: "refused", reason, leader };
  }

  /** Ends the step: hands everything out and begins anew. `last` is where the log ends now. */
  take(durability: Durability, last: LogIndex, committed: readonly LogRecord[]): Effects {
    const records = this.#records;
    let persist: Effects["persist"];
    if (records.length > 0) {
      persist = { ticket: durability.begin(records, last), records };
      this.#records = [];
    }
    if (this.#afterDurable.length > 0) {
      for (const { to, message } of this.#afterDurable) {
        if (!durability.hold(to, message)) this.release(to, message);
      }
      this.#afterDurable = [];
    }
    const effects: Effects = {
      send: this.#send.length > 0 ? this.#send : NOTHING,
      persist,
      committed,
      reads: this.#reads.length > 0 ? this.#reads : NOTHING,
      events: this.#events.length > 0 ? this.#events : NOTHING,
      outcome: this.#outcome,
    };
    if (this.#send.length > 0) this.#send = [];
    if (this.#reads.length > 0) this.#reads = [];
    if (this.#events.length > 0) this.#events = [];
    this.#outcome = undefined;
    return effects;
  }
}
