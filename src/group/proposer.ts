/**
 * This node's own commands on their way into the log.
 * Owns    the session, its numbering, and sending again until each command's result has come back from the local replica.
 * Leaves  finding the leader and carrying bytes to `group.ts`.
 *
 * P1. Commands leave in the order of `submit`, numbered without a gap. If a part is refused or lost, everything from the
 *     first unanswered command is sent again (go-back-N): repeats are recognised by number (sessions S1), so each command is
 *     executed at most once.
 * P2. A command that was never sent ends `rejected`; one that was sent and whose result did not come ends `unknown`.
 */
import { AlthingError } from "../base/errors.ts";
import type { LogIndex, SessionId } from "../base/ids.ts";
import { encodePart } from "./batch.ts";
import type { CallOptions } from "./handle.ts";
import type { Outcome, RejectReason, UnknownReason } from "./outcome.ts";

export interface ProposerLimits {
  readonly pendingCommandsMax: number;
  readonly pendingBytesMax: number;
  readonly partBytesMax: number;
  readonly commandBytesMax: number;
}

interface Pending<Result> {
  readonly command: Uint8Array;
  /** Cleared when the caller has been answered; the command itself stays in line (P1). */
  done: ((outcome: Outcome<Result>) => void) | undefined;
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
  readonly onAbort: (() => void) | undefined;
}

/** How parts leave. Each returns false if nobody could be told. */
export interface ProposerRoute {
  send(part: Uint8Array): boolean;
}

const PARTS_IN_FLIGHT_MAX = 8;

type SessionState =
  | { readonly type: "none" }
  | { readonly type: "opening"; readonly nonce: number; readonly sentMs: number }
  | { readonly type: "open"; readonly id: SessionId };

export class Proposer<Result> {
  readonly #limits: ProposerLimits;
  readonly #route: ProposerRoute;
  readonly #nonce: () => number;
  #session: SessionState = { type: "none" };
  /** Unanswered commands in order: first those sent (numbers `#base`, `#base + 1`, …), then those not yet sent. */
  #line: Pending<Result>[] = [];
  /** The line is consumed from here; the array is cut now and then. */
  #head = 0;
  #sent = 0;
  #base = 1;
  /** Numbers below this one have left this node at least once. */
  #sentBelow = 1;
  #bytes = 0;
  /** Numbers after the last one of each part under way. */
  #partEnds: number[] = [];
  #progressMs = 0;
  #closed = false;

  constructor(limits: ProposerLimits, route: ProposerRoute, nonce: () => number) {
    this.#limits = limits;
    this.#route = route;
    this.#nonce = nonce;
  }

  get pendingCommands(): number {
    return this.#line.length - this.#head;
  }

  get pendingBytes(): number {
    return this.#bytes;
  }

  /** True if there is something that `flush` could send. */
  get wants(): boolean {
    return this.pendingCommands > this.#sent || (this.#session.type === "none" && this.pendingCommands > 0);
  }

  /** The number the next submitted command will have: for reads that must see all commands before them. */
  get nextNumber(): number {
    return this.#base + this.pendingCommands;
  }

  /** All commands below this number are answered. */
  get answeredBelow(): number {
    return this.#base;
  }

  /** Undefined when taken; otherwise why not, and `done` will not be called. */
  submit(
    command: Uint8Array,
    done: (outcome: Outcome<Result>) => void,
    options: CallOptions & { deadlineMs: number },
  ): RejectReason | undefined {
    if (this.#closed) return "closed";
    if (command.length > this.#limits.commandBytesMax) return "too-large";
    if (this.pendingCommands >= this.#limits.pendingCommandsMax) return "overloaded";
    if (this.#bytes + command.length > this.#limits.pendingBytesMax) return "overloaded";
    const { signal } = options;
    let pending: Pending<Result>;
    const onAbort = signal === undefined ? undefined : (): void => this.#giveUp(pending, "aborted");
    pending = { command, done, deadlineMs: options.deadlineMs, signal, onAbort };
    if (onAbort !== undefined) signal?.addEventListener("abort", onAbort, { once: true });
    this.#line.push(pending);
    this.#bytes += command.length;
    return undefined;
  }

  /** Sends what may be sent. Called once a turn while there is a leader. */
  flush(nowMs: number): void {
    if (this.#closed) return;
    if (this.#session.type === "none") {
      const nonce = this.#nonce();
      if (!this.#route.send(encodePart({ type: "open-session", nonce }))) return;
      this.#session = { type: "opening", nonce, sentMs: nowMs };
      return;
    }
    if (this.#session.type === "opening") return;
    while (this.pendingCommands > this.#sent && this.#partEnds.length < PARTS_IN_FLIGHT_MAX) {
      if (!this.#sendPart(this.#session.id, nowMs)) return;
    }
  }

  #sendPart(session: SessionId, nowMs: number): boolean {
    const commands: Uint8Array[] = [];
    let bytes = 0;
    for (let i = this.#head + this.#sent; i < this.#line.length; i++) {
      const command = this.#line[i]?.command;
      if (command === undefined || (commands.length > 0 && bytes + command.length > this.#limits.partBytesMax)) break;
      commands.push(command);
      bytes += command.length;
    }
    const first = this.#base + this.#sent;
    if (!this.#route.send(encodePart({ type: "commands", session, first, resultsBelow: this.#base, commands })))
      return false;
    if (this.#sent === 0) this.#progressMs = nowMs;
    this.#sent += commands.length;
    this.#sentBelow = Math.max(this.#sentBelow, first + commands.length);
    this.#partEnds.push(first + commands.length);
    return true;
  }

  /** The leader changed, a part was refused or lost: begin again at the first unanswered command. */
  resend(): void {
    this.#sent = 0;
    this.#partEnds = [];
    if (this.#session.type === "opening") this.#session = { type: "none" };
  }

  /** True if something was sent longer ago than `patienceMs` and nothing has moved since. */
  isStuck(nowMs: number, patienceMs: number): boolean {
    if (this.#session.type === "opening") return nowMs - this.#session.sentMs > patienceMs;
    return this.#sent > 0 && nowMs - this.#progressMs > patienceMs;
  }

  // ---------------------------------------------------------------- from the local replica

  sessionOpened(nonce: number, id: SessionId): void {
    if (this.#session.type !== "opening" || this.#session.nonce !== nonce) return;
    this.#session = { type: "open", id };
  }

  /** A command of some session was executed here. */
  executed(session: SessionId, sequence: number, index: LogIndex, result: Result, nowMs: number): void {
    if (this.#session.type !== "open" || this.#session.id !== session || sequence !== this.#base) return;
    const pending = this.#line[this.#head];
    if (pending === undefined) return;
    this.#base++;
    this.#head++;
    this.#bytes -= pending.command.length;
    if (this.#sent > 0) this.#sent--;
    this.#progressMs = nowMs;
    while ((this.#partEnds[0] ?? Number.POSITIVE_INFINITY) <= this.#base) this.#partEnds.shift();
    if (this.#head > 1024 && this.#head * 2 > this.#line.length) {
      this.#line = this.#line.slice(this.#head);
      this.#head = 0;
    }
    this.#answer(pending, { type: "committed", index, result });
  }

  outOfSequence(session: SessionId): void {
    if (this.#session.type === "open" && this.#session.id === session) this.resend();
  }

  /** S3: what was sent may have been executed before the session was evicted. */
  noSession(session: SessionId): void {
    if (this.#session.type !== "open" || this.#session.id !== session) return;
    this.#abandonSent("session-expired");
    this.#session = { type: "none" };
  }

  /**
   * The replica was replaced by a snapshot: results of commands executed in between are taken from its session table.
   * `result` gives what is kept there; `last` is the last executed number.
   */
  restored(
    last: (session: SessionId) => number | undefined,
    result: (session: SessionId, sequence: number) => { readonly value: Result } | undefined,
    index: LogIndex,
    nowMs: number,
  ): void {
    if (this.#session.type !== "open") {
      this.resend();
      return;
    }
    const { id } = this.#session;
    const executedUpTo = last(id);
    if (executedUpTo === undefined) {
      this.noSession(id);
      return;
    }
    while (this.#base <= executedUpTo && this.pendingCommands > 0) {
      const kept = result(id, this.#base);
      if (kept === undefined) {
        const pending = this.#line[this.#head];
        if (pending !== undefined) this.#answer(pending, { type: "unknown", reason: "result-lost" });
        this.executed(id, this.#base, index, undefined as Result, nowMs); // answered already: only the line moves
      } else {
        this.executed(id, this.#base, index, kept.value, nowMs);
      }
    }
    this.resend();
  }

  // ---------------------------------------------------------------- giving up

  /** Ends what is past its deadline. */
  expire(nowMs: number): void {
    for (let i = this.#head; i < this.#line.length; i++) {
      const pending = this.#line[i];
      if (pending !== undefined && pending.done !== undefined && nowMs >= pending.deadlineMs)
        this.#giveUp(pending, "timeout");
    }
  }

  close(): void {
    this.#closed = true;
    for (let i = this.#head; i < this.#line.length; i++) {
      const pending = this.#line[i];
      if (pending === undefined) continue;
      const sent = i < this.#head + this.#everSent();
      this.#answer(
        pending,
        sent ? { type: "unknown", reason: "closed" } : { type: "rejected", reason: "closed", leader: undefined },
      );
    }
  }

  #giveUp(pending: Pending<Result>, reason: UnknownReason): void {
    const position = this.#line.indexOf(pending, this.#head);
    if (position < 0) return;
    // What goes again after a resend was sent once, so only a command beyond anything ever sent is surely not executed.
    if (position >= this.#head + this.#everSent()) {
      this.#line.splice(position, 1);
      this.#bytes -= pending.command.length;
      this.#answer(pending, {
        type: "rejected",
        reason: reason === "closed" ? "closed" : "no-leader",
        leader: undefined,
      });
      return;
    }
    this.#answer(pending, { type: "unknown", reason });
  }

  /** How many commands at the head of the line have been in some part, now or before a resend. */
  #everSent(): number {
    return Math.max(0, this.#sentBelow - this.#base);
  }

  #abandonSent(reason: UnknownReason): void {
    const count = this.#everSent();
    for (const pending of this.#line.slice(this.#head, this.#head + count)) {
      this.#bytes -= pending.command.length;
      this.#answer(pending, { type: "unknown", reason });
    }
    this.#line = this.#line.slice(this.#head + count);
    this.#head = 0;
    this.#sent = 0;
    this.#partEnds = [];
    this.#base = 1;
    this.#sentBelow = 1;
  }

  #answer(pending: Pending<Result>, outcome: Outcome<Result>): void {
    const { done } = pending;
    if (done === undefined) return;
    pending.done = undefined;
    if (pending.onAbort !== undefined) pending.signal?.removeEventListener("abort", pending.onAbort);
    done(outcome);
  }
}

/** For callers that want an exception for everything but a result. */
export function outcomeError(outcome: Exclude<Outcome<unknown>, { type: "committed" }>): AlthingError {
  if (outcome.type === "unknown") {
    return new AlthingError("OUTCOME_UNKNOWN", `Cannot say whether the write happened: ${outcome.reason}`, {
      details: outcome,
    });
  }
  const { reason } = outcome;
  switch (reason) {
    case "no-leader":
      return new AlthingError("GROUP_NO_LEADER", "Cannot write: no leader answers; nothing was changed");
    case "overloaded":
      return new AlthingError("GROUP_OVERLOADED", "Cannot write: too many writes are waiting; nothing was changed");
    case "too-large":
      return new AlthingError("REQUEST_TOO_LARGE", "Cannot write: the command is over the limit; nothing was changed");
    case "disk-full":
      return new AlthingError("DISK_FULL", "Cannot write: the disk is full; nothing was changed, reads go on");
    case "closed":
      return new AlthingError("CLOSED", "Cannot write: the node is shutting down; nothing was changed");
  }
}
