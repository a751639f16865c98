/**
 * The effects of the step in progress, and what waits for which disk write.
 * Source  Lamport 2001, section 2.5 (an acceptor's state is stable before it answers).
 * Owns    tickets (one a persist, completed in order because there is one WAL), and held messages.
 *
 * D1. A message that claims something of this disk leaves when every record handed out before it is durable.
 */
import { assert } from "../../base/assert.ts";
import { type LogIndex, logIndex, type NodeId } from "../../base/ids.ts";
import type { CoreEvent, Effects, Outgoing, ReadGrant, StepOutcome } from "../contract/core.ts";
import type { LogRecord } from "../contract/record.ts";
import { encodePaxosMessage, type PaxosAccepted, type PaxosMessage } from "./messages.ts";

interface Held {
  readonly to: NodeId;
  message: PaxosMessage;
}

interface Ticket {
  readonly ticket: number;
  readonly held: Held[];
}

const NOTHING: readonly never[] = [];

export class Outbox {
  #open: Ticket[] = [];
  #next = 1;
  #completed = 0;
  #send: Outgoing[] = [];
  #waiting: Held[] = [];
  #records: LogRecord[] = [];
  #reads: ReadGrant[] = [];
  #events: CoreEvent[] = [];
  #outcome: StepOutcome | undefined;

  /** The ticket that the records of this step get. */
  get ticket(): number {
    return this.#next;
  }

  /** All tickets up to this one are on disk. */
  get completed(): number {
    return this.#completed;
  }

  get hasRecords(): boolean {
    return this.#records.length > 0;
  }

  persist(record: LogRecord): void {
    this.#records.push(record);
  }

  send(to: NodeId, message: PaxosMessage): void {
    this.#send.push({ to, frame: encodePaxosMessage(message) });
  }

  /** D1. */
  sendDurable(to: NodeId, message: PaxosMessage): void {
    this.#waiting.push({ to, message });
  }

  event(event: CoreEvent): void {
    this.#events.push(event);
  }

  grant(grant: ReadGrant): void {
    this.#reads.push(grant);
  }

  answer(outcome: StepOutcome): void {
    this.#outcome = outcome;
  }

  /** Completes a ticket and all before it: messages that waited for it leave, unless `isMoot`. */
  complete(ticket: number, isMoot: (message: PaxosMessage) => boolean): void {
    assert(ticket < this.#next, "a ticket that was given out", { ticket });
    if (ticket <= this.#completed) return;
    this.#completed = ticket;
    while (this.#open[0] !== undefined && this.#open[0].ticket <= ticket) {
      const done = this.#open.shift();
      for (const { to, message } of done?.held ?? NOTHING) if (!isMoot(message)) this.send(to, message);
    }
  }

  /** The effects of the step; `committed` is worked out by the caller when records have their ticket. */
  finish(committed: () => readonly LogRecord[]): Effects {
    const records = this.#records;
    let persist: Effects["persist"];
    if (records.length > 0) {
      persist = { ticket: this.#next, records };
      this.#open.push({ ticket: this.#next++, held: [] });
      this.#records = [];
    }
    if (this.#waiting.length > 0) {
      const newest = this.#open.at(-1);
      for (const { to, message } of this.#waiting) {
        if (newest === undefined) this.send(to, message);
        else hold(newest.held, to, message);
      }
      this.#waiting = [];
    }
    const handed = committed();
    const effects: Effects = {
      send: this.#send.length > 0 ? this.#send : NOTHING,
      persist,
      committed: handed,
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

/** Acknowledgements to one leader that wait for one write become one message. */
function hold(held: Held[], to: NodeId, message: PaxosMessage): void {
  const before = held.at(-1);
  if (
    message.type === "accepted" &&
    before?.to === to &&
    before.message.type === "accepted" &&
    before.message.ballot === message.ballot
  ) {
    before.message = { ...message, ranges: joined(before.message, message) };
  } else held.push({ to, message });
}

function joined(a: PaxosAccepted, b: PaxosAccepted): PaxosAccepted["ranges"] {
  const ranges: [LogIndex, LogIndex][] = [];
  for (const [first, last] of [...a.ranges, ...b.ranges]) {
    const before = ranges.at(-1);
    if (before !== undefined && first >= before[0] && first <= before[1] + 1) {
      before[1] = logIndex(Math.max(before[1], last));
    } else ranges.push([first, last]);
  }
  return ranges;
}
