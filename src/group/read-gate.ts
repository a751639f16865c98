/**
 * Reads of this node that wait for permission.
 * Owns    gathering a turn's reads into one request, the wait until the local replica has applied the granted index, and
 *         trying again after a leader change.
 *
 * G1. A read never rides on a request that was sent before it came (Q1 of the core): each turn's reads get a new context.
 */
import { AlthingError } from "../base/errors.ts";
import type { LogIndex } from "../base/ids.ts";

export interface Reader {
  readonly ready: (error: AlthingError | undefined) => void;
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
}

interface Round {
  readonly context: number;
  readonly readers: readonly Reader[];
  readonly sentMs: number;
}

const ROUNDS_IN_FLIGHT_MAX = 4;

export class ReadGate {
  #nextContext: number;
  /** Not yet asked for. */
  #waiting: Reader[] = [];
  /** Asked for; by context, oldest first. */
  #rounds = new Map<number, Round>();
  /** Granted; waiting for the replica, by index. */
  #granted: { readonly index: LogIndex; readonly readers: readonly Reader[] }[] = [];

  /** `firstContext` is random, so that a restarted node's contexts do not meet answers to its former life. */
  constructor(firstContext: number) {
    this.#nextContext = firstContext;
  }

  get wants(): boolean {
    return this.#waiting.length > 0 && this.#rounds.size < ROUNDS_IN_FLIGHT_MAX;
  }

  get pending(): boolean {
    return this.#waiting.length > 0 || this.#rounds.size > 0 || this.#granted.length > 0;
  }

  add(reader: Reader): void {
    this.#waiting.push(reader);
  }

  /** Starts a round with all that wait; the caller sends `context` to the leader. */
  begin(nowMs: number): number {
    const context = this.#nextContext++;
    this.#rounds.set(context, { context, readers: this.#waiting, sentMs: nowMs });
    this.#waiting = [];
    return context;
  }

  /** The leader's answer. Without an index the readers wait for another try. */
  granted(context: number, index: LogIndex | undefined, applied: LogIndex): void {
    const round = this.#rounds.get(context);
    if (round === undefined) return;
    this.#rounds.delete(context);
    if (index === undefined) {
      this.#waiting = [...round.readers, ...this.#waiting];
    } else if (index <= applied) {
      release(round.readers);
    } else {
      this.#granted.push({ index, readers: round.readers });
    }
  }

  applied(index: LogIndex): void {
    if (this.#granted.length === 0) return;
    const due = this.#granted.filter((g) => g.index <= index);
    if (due.length === 0) return;
    this.#granted = this.#granted.filter((g) => g.index > index);
    for (const g of due) release(g.readers);
  }

  /** The leader changed or an answer is overdue: ask again. Grants already given stay good: they were true when given. */
  retry(olderThanMs: number = Number.POSITIVE_INFINITY): void {
    for (const [context, round] of [...this.#rounds]) {
      if (round.sentMs > olderThanMs) continue;
      this.#rounds.delete(context);
      this.#waiting = [...round.readers, ...this.#waiting];
    }
  }

  expire(nowMs: number): void {
    const late = (r: Reader): boolean => nowMs >= r.deadlineMs || r.signal?.aborted === true;
    this.#waiting = refuse(this.#waiting, late);
    for (const [context, round] of this.#rounds) {
      if (!round.readers.some(late)) continue;
      this.#rounds.set(context, { ...round, readers: refuse(round.readers, late) });
    }
    if (this.#granted.some((g) => g.readers.some(late))) {
      this.#granted = this.#granted.map((g) => ({ ...g, readers: refuse(g.readers, late) }));
    }
  }

  close(error: AlthingError): void {
    const all = [...this.#waiting];
    for (const round of this.#rounds.values()) all.push(...round.readers);
    for (const g of this.#granted) all.push(...g.readers);
    this.#waiting = [];
    this.#rounds.clear();
    this.#granted = [];
    for (const reader of all) reader.ready(error);
  }
}

function release(readers: readonly Reader[]): void {
  for (const reader of readers) reader.ready(undefined);
}

function refuse(readers: readonly Reader[], late: (r: Reader) => boolean): Reader[] {
  const kept: Reader[] = [];
  for (const reader of readers) {
    if (!late(reader)) kept.push(reader);
    else if (reader.signal?.aborted === true)
      reader.ready(new AlthingError("ABORTED", "Cannot read: the caller gave up"));
    else
      reader.ready(
        new AlthingError("GROUP_NO_LEADER", "Cannot read: no leader confirmed the read in time; nothing was changed"),
      );
  }
  return kept;
}
