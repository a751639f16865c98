/**
 * What of this node's records is on disk, and which messages wait for it.
 * Source  Ongaro 2014, section 10.2.1 (writing in parallel); etcd-io/raft's notes on asynchronous storage writes (the ABA race).
 * Owns    tickets (one a persist, completed in order because there is one WAL), the durable log index, held messages.
 *
 * D1. A message held by a ticket leaves after that ticket and all before it are complete.
 * D2. The durable index counts only what is still in the log: cutting the log lowers what open tickets will claim, so that
 *     the late completion of an old write never vouches for a new entry at the same index (the ABA race of async writes).
 */
import { assert } from "../../base/assert.ts";
import { type LogIndex, logIndex, type NodeId, type Term } from "../../base/ids.ts";
import { isSticky, type LogRecord, RecordKind } from "../contract/record.ts";
import type { RaftMessage } from "./messages.ts";

interface Ticket {
  readonly ticket: number;
  last: LogIndex;
  readonly votes: readonly Term[];
  readonly held: Held[];
}

export interface Held {
  readonly to: NodeId;
  readonly message: RaftMessage;
}

export class Durability {
  #open: Ticket[] = [];
  #next = 1;
  #index: LogIndex;

  /** At start everything in the log was read from the disk. */
  constructor(index: LogIndex) {
    this.#index = index;
  }

  /** The last log index known to be durable. */
  get index(): LogIndex {
    return this.#index;
  }

  /** True while a term or a vote is being written. */
  get voteOpen(): boolean {
    return this.#open.some((t) => t.votes.length > 0);
  }

  /** Opens a ticket for records just handed out; the log now ends at `last`. */
  begin(records: readonly LogRecord[], last: LogIndex): number {
    const votes = records.filter((r) => r.kind === RecordKind.vote).map((r) => r.term);
    const grows = records.some((r) => !isSticky(r.kind) || r.kind === RecordKind.start);
    this.#open.push({ ticket: this.#next, last: grows ? last : this.#index, votes, held: [] });
    return this.#next++;
  }

  /** Holds a message until all open tickets are complete; false if none is open, so that it may leave at once. */
  hold(to: NodeId, message: RaftMessage): boolean {
    const newest = this.#open.at(-1);
    if (newest === undefined) return false;
    newest.held.push({ to, message });
    return true;
  }

  /** Completes a ticket and all before it. */
  complete(ticket: number): { readonly released: readonly Held[]; readonly votes: readonly Term[] } {
    const released: Held[] = [];
    const votes: Term[] = [];
    while (this.#open[0] !== undefined && this.#open[0].ticket <= ticket) {
      const done = this.#open.shift();
      assert(done !== undefined, "a ticket to complete");
      released.push(...done.held);
      votes.push(...done.votes);
      if (done.last > this.#index) this.#index = done.last;
    }
    return { released, votes };
  }

  truncate(from: LogIndex): void {
    const last = logIndex(from - 1);
    if (this.#index > last) this.#index = last;
    for (const ticket of this.#open) if (ticket.last > last) ticket.last = last;
  }

  /** The log was replaced by a snapshot that is itself durable. */
  reset(index: LogIndex): void {
    this.#index = index;
    for (const ticket of this.#open) ticket.last = index;
  }
}
