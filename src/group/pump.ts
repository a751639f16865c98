/**
 * Turns inputs into steps of the consensus core, and the effects of each step into writes and messages.
 * Owns    the duties 1–4 of `consensus/contract/core.ts`: one input at a time, ticks, sending, the order of the WAL; and the
 *         end of a turn, where what the turn gathered is done once.
 * Leaves  applying, reads and events to whoever listens.
 *
 * H1. Effects are carried out in the order of the steps. Records reach the WAL before anything that may depend on them.
 */
import type { LogIndex, NodeId } from "../base/ids.ts";
import type { ConsensusCore, CoreEvent, Effects, Input, StepOutcome } from "../consensus/contract/core.ts";
import type { LogRecord } from "../consensus/contract/record.ts";
import type { Timer } from "../ports/clock.ts";
import type { Ports } from "../ports/ports.ts";
import type { PeerFrame } from "./frames.ts";
import type { GroupSettings } from "./group-options.ts";

/** What a step brings about beside writes and messages, in the order in which it is told. */
export interface PumpListener {
  committed(entries: readonly LogRecord[]): void;
  granted(context: number, index: LogIndex | undefined): void;
  event(event: CoreEvent): void;
  /** After the rest of each step: the role and the leader may be others now. */
  stepped(): void;
  /** Once at the end of a turn that was asked for, before the WAL is flushed. */
  turn(nowMs: number): void;
}

export class Pump {
  readonly ports: Ports;
  readonly settings: GroupSettings;
  readonly core: ConsensusCore;
  readonly #listener: PumpListener;
  readonly #timers = new Set<Timer>();
  /** Newest ticket given to the WAL, and newest one that is durable. */
  #lastTicket = 0;
  #flushedTicket = 0;
  #flushing = false;
  #turnDue = false;
  #wake: { readonly timer: Timer; readonly atMs: number } | undefined;
  #resting = false;
  #closed = false;

  constructor(ports: Ports, settings: GroupSettings, core: ConsensusCore, listener: PumpListener) {
    this.ports = ports;
    this.settings = settings;
    this.core = core;
    this.#listener = listener;
  }

  get nodeId(): NodeId {
    return this.settings.nodeId;
  }

  get leader(): NodeId | undefined {
    return this.core.leader;
  }

  get isLeader(): boolean {
    return this.core.role === "leader";
  }

  get isFlushing(): boolean {
    return this.#flushing;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The outcome is there for `propose`, `change` and `transfer`. */
  step(input: Input): StepOutcome | undefined {
    const effects = this.core.step(input, this.ports.clock.monotonicMs());
    this.#carryOut(effects);
    return effects.outcome;
  }

  /** True if the frame was queued on a live connection. */
  send(to: NodeId, frame: PeerFrame): boolean {
    return this.settings.peers.send(to, this.settings.group, frame);
  }

  /** Asks for an end of this turn. */
  turn(): void {
    if (this.#turnDue || this.#closed) return;
    this.#turnDue = true;
    this.ports.clock.afterTurn(() => {
      this.#turnDue = false;
      if (this.#closed) return;
      this.#listener.turn(this.ports.clock.monotonicMs());
      this.#flush();
      this.arm();
    });
  }

  /** Calls back once, unless the group is closed before. */
  timer(delayMs: number, callback: () => void): void {
    const timer = this.ports.clock.timer(delayMs, () => {
      this.#timers.delete(timer);
      if (!this.#closed) callback();
    });
    this.#timers.add(timer);
  }

  /** H3 of `group.ts`: unless the group is being closed anyway. */
  failed(error: unknown): void {
    if (!this.#closed) this.settings.fatal(error);
  }

  /**
   * From now on the core gets no ticks, so that it never stands for election (`removal.ts`). A leader gets them until it
   * finds that it has no quorum.
   */
  rest(): void {
    this.#resting = true;
    this.arm();
  }

  /** Ticks again. */
  wake(): void {
    this.#resting = false;
    this.turn();
  }

  /** Sets the timer of the next tick that the core wants. */
  arm(): void {
    if (this.#closed) return;
    const atMs = this.#resting && !this.isLeader ? Number.POSITIVE_INFINITY : this.core.deadlineMs;
    if (this.#wake?.atMs === atMs) return;
    this.#wake?.timer.cancel();
    this.#wake = undefined;
    if (!Number.isFinite(atMs)) return;
    const delayMs = Math.max(0, atMs - this.ports.clock.monotonicMs());
    const timer = this.ports.clock.timer(delayMs, () => {
      this.#wake = undefined;
      if (this.#closed) return;
      if (!this.#resting || this.isLeader) this.step({ type: "tick" });
      this.arm();
    });
    this.#wake = { timer, atMs };
  }

  /** No turn, tick or timer after this. */
  close(): void {
    this.#closed = true;
    for (const timer of this.#timers) timer.cancel();
    this.#wake?.timer.cancel();
  }

  /** H1. */
  #carryOut(effects: Effects): void {
    const { settings } = this;
    if (effects.persist !== undefined) {
      settings.wal.append(settings.group, effects.persist.records);
      this.#lastTicket = effects.persist.ticket;
      this.turn();
    }
    for (const { to, frame } of effects.send) this.send(to, { type: "consensus", frame });
    if (effects.committed.length > 0) this.#listener.committed(effects.committed);
    for (const { context, index } of effects.reads) this.#listener.granted(context, index);
    for (const event of effects.events) this.#listener.event(event);
    this.#listener.stepped();
    if (this.#wake === undefined || this.core.deadlineMs < this.#wake.atMs) this.turn();
  }

  #flush(): void {
    if (this.#flushing || this.#lastTicket === this.#flushedTicket) return;
    this.#flushing = true;
    const ticket = this.#lastTicket;
    this.settings.wal
      .flush()
      .then(
        () => {
          this.#flushing = false;
          this.#flushedTicket = ticket;
          if (this.#closed) return;
          this.step({ type: "durable", ticket });
          this.#flush(); // what gathered meanwhile goes at once
        },
        (error: unknown) => this.failed(error),
      )
      .catch((error: unknown) => this.settings.fatal(error));
  }
}
