/**
 * Client sessions, part of the replicated state: what makes a command that was sent twice count once.
 * Source  Ongaro 2014, section 6.3.
 *
 * S1. Commands of a session are executed in the order of their numbers, each at most once.
 * S2. Results are kept until the client says that it has them, through snapshots too.
 * S3. Sessions end only by what stands in the log (a newer session when the table is full), never by a clock; the commands
 *     of an ended session are never executed again.
 */
import { ByteReader, ByteWriter } from "../base/bytes.ts";
import { type LogIndex, logIndex, type SessionId, sessionId } from "../base/ids.ts";
import type { Codec } from "./state-machine.ts";

interface Session<Result> {
  last: number;
  usedAt: LogIndex;
  /** Results of commands `resultsFrom`, `resultsFrom + 1`, … `last`. */
  resultsFrom: number;
  results: Result[];
}

export type SequenceCheck = "next" | "repeated" | "gap" | "no-session";

export class Sessions<Result> {
  readonly #sessionsMax: number;
  #next = 1;
  #sessions = new Map<SessionId, Session<Result>>();

  constructor(sessionsMax: number) {
    this.#sessionsMax = sessionsMax;
  }

  get size(): number {
    return this.#sessions.size;
  }

  open(at: LogIndex): SessionId {
    if (this.#sessions.size >= this.#sessionsMax) this.#evict();
    const id = sessionId(this.#next++);
    this.#sessions.set(id, { last: 0, usedAt: at, resultsFrom: 1, results: [] });
    return id;
  }

  has(id: SessionId): boolean {
    return this.#sessions.has(id);
  }

  last(id: SessionId): number {
    return this.#sessions.get(id)?.last ?? 0;
  }

  check(id: SessionId, sequence: number): SequenceCheck {
    const session = this.#sessions.get(id);
    if (session === undefined) return "no-session";
    if (sequence <= session.last) return "repeated";
    return sequence === session.last + 1 ? "next" : "gap";
  }

  /** Notes the result of the next command. */
  record(id: SessionId, result: Result): void {
    const session = this.#sessions.get(id);
    if (session === undefined) return;
    session.last++;
    session.results.push(result);
  }

  /** A batch of the session was met at `at`; results below `resultsBelow` are no longer needed. */
  touch(id: SessionId, at: LogIndex, resultsBelow: number): void {
    const session = this.#sessions.get(id);
    if (session === undefined) return;
    session.usedAt = at;
    const drop = Math.min(resultsBelow, session.last + 1) - session.resultsFrom;
    if (drop <= 0) return;
    if (drop >= session.results.length) session.results = [];
    else session.results.splice(0, drop);
    session.resultsFrom += drop;
  }

  /** The kept result of a command, if any. */
  result(id: SessionId, sequence: number): { readonly value: Result } | undefined {
    const session = this.#sessions.get(id);
    if (session === undefined || sequence > session.last || sequence < session.resultsFrom) return undefined;
    return { value: session.results[sequence - session.resultsFrom] as Result }; // in range by the check above
  }

  encode(results: Codec<Result>): Uint8Array {
    const out = new ByteWriter(1024).varint(this.#next).varint(this.#sessions.size);
    for (const [id, s] of this.#sessions) {
      out.varint(id).varint(s.last).varint(s.usedAt).varint(s.resultsFrom).varint(s.results.length);
      for (const result of s.results) out.bytes(results.encode(result));
    }
    return out.finish();
  }

  /** Throws `BytesError`. */
  restore(bytes: Uint8Array, results: Codec<Result>): void {
    const input = new ByteReader(bytes);
    this.#next = input.varint();
    this.#sessions = new Map();
    for (let left = input.varint(); left > 0; left--) {
      const id = sessionId(input.varint());
      const last = input.varint();
      const usedAt = logIndex(input.varint());
      const resultsFrom = input.varint();
      const kept: Result[] = [];
      for (let n = input.varint(); n > 0; n--) kept.push(results.decode(input.bytes()));
      this.#sessions.set(id, { last, usedAt, resultsFrom, results: kept });
    }
    input.end();
  }

  /** The longest unused goes; ids break ties, so that every replica chooses the same. */
  #evict(): void {
    let oldest: SessionId | undefined;
    let usedAt = Number.POSITIVE_INFINITY;
    for (const [id, session] of this.#sessions) {
      if (session.usedAt < usedAt) {
        oldest = id;
        usedAt = session.usedAt;
      }
    }
    if (oldest !== undefined) this.#sessions.delete(oldest);
  }
}
