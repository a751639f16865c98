/**
 * When a local read has the level that was asked for.
 * Owns    the four levels of `outcome.ts` on one node; as the leader, asking the core for those of other nodes too; duty 6
 *         of `consensus/contract/core.ts`.
 * Leaves  rounds of confirmation and repeating them to `read-gate.ts`.
 */
import { AlthingError } from "../base/errors.ts";
import { type LogIndex, logIndex, type NodeId } from "../base/ids.ts";
import type { CallOptions } from "./handle.ts";
import { closedError } from "./closed-error.ts";
import type { ReadLevel } from "./outcome.ts";
import type { Pump } from "./pump.ts";
import { ReadGate, type Reader } from "./read-gate.ts";

export interface ReadsPort {
  readonly applied: LogIndex;
  readonly isWhole: boolean;
}

/** This node's commands, numbered: for reads that must see those before them. */
export interface OwnWrites {
  readonly nextNumber: number;
  readonly answeredBelow: number;
}

export class Reads {
  readonly #pump: Pump;
  readonly #state: ReadsPort;
  readonly #writes: OwnWrites;
  readonly #gate: ReadGate;
  /** Asked of the core and not yet granted, by the number that it was given. */
  readonly #asked = new Map<number, { readonly from: NodeId | undefined; readonly context: number }>();
  #nextAsked = 1;
  /** Of level `stale`: they wait for nothing but the end of an installation. */
  #afterInstall: Reader[] = [];
  #session: { readonly number: number; readonly reader: Reader }[] = [];

  constructor(pump: Pump, state: ReadsPort, writes: OwnWrites) {
    this.#pump = pump;
    this.#state = state;
    this.#writes = writes;
    this.#gate = new ReadGate(1 + pump.ports.random.below(0x1_0000_0000));
  }

  /** True if there is something that `sendAll` could ask for. */
  get wants(): boolean {
    return this.#gate.wants;
  }

  whenReadable(level: ReadLevel, ready: (error: AlthingError | undefined) => void, options: CallOptions = {}): void {
    const { ports, settings } = this.#pump;
    const { clock } = ports;
    const deadlineMs = clock.monotonicMs() + (options.timeoutMs ?? settings.timings.callTimeoutMs);
    const reader: Reader = { ready, deadlineMs, signal: options.signal };
    if (this.#pump.closed) {
      clock.afterTurn(() => ready(closedError()));
    } else if (level === "stale") {
      clock.afterTurn(() => this.#whenWhole(reader));
    } else if (level === "session") {
      this.#session.push({ number: this.#writes.nextNumber, reader });
      this.#pump.turn();
    } else if (level === "lease" && this.#leaseHolds()) {
      // Checked again when the answer leaves: a pause may have ended the lease in between.
      clock.afterTurn(() => (this.#leaseHolds() ? ready(undefined) : this.#confirm(reader)));
    } else {
      this.#confirm(reader);
    }
  }

  #whenWhole(reader: Reader): void {
    if (this.#pump.closed) reader.ready(closedError());
    else if (!this.#state.isWhole) this.#afterInstall.push(reader);
    else reader.ready(undefined);
  }

  #leaseHolds(): boolean {
    const { core, ports } = this.#pump;
    return core.leaseHolds(ports.clock.monotonicMs()) && this.#state.applied >= core.commit && this.#state.isWhole;
  }

  #confirm(reader: Reader): void {
    this.#gate.add(reader);
    this.#pump.turn();
  }

  // ---------------------------------------------------------------- confirmation

  /** Asks the leader for what has gathered. */
  sendAll(): void {
    const { leader, nodeId, ports, settings } = this.#pump;
    if (leader === undefined || !this.#gate.wants) return;
    if (leader !== nodeId) {
      if (!settings.peers.isConnected(leader)) return;
      const context = this.#gate.begin(ports.clock.monotonicMs());
      this.#pump.send(leader, { type: "read", context });
      return;
    }
    const context = this.#gate.begin(ports.clock.monotonicMs());
    this.#askCore(undefined, context);
  }

  /** Another node asks, taking this one for the leader. */
  askedBy(from: NodeId, context: number): void {
    if (this.#pump.isLeader) this.#askCore(from, context);
    else this.#pump.send(from, { type: "read-grant", context, index: logIndex(0) });
  }

  #askCore(from: NodeId | undefined, context: number): void {
    const id = this.#nextAsked++;
    this.#asked.set(id, { from, context });
    this.#pump.step({ type: "read", context: id });
  }

  /** The core's answer. */
  coreGranted(id: number, index: LogIndex | undefined): void {
    const asked = this.#asked.get(id);
    if (asked === undefined) return;
    this.#asked.delete(id);
    if (asked.from === undefined) this.granted(asked.context, index);
    else this.#pump.send(asked.from, { type: "read-grant", context: asked.context, index: index ?? logIndex(0) });
  }

  /** The leader's answer. */
  granted(context: number, index: LogIndex | undefined): void {
    this.#gate.granted(context, index, this.#state.isWhole ? this.#state.applied : logIndex(0));
    if (this.#gate.wants && index !== undefined) this.#pump.turn();
  }

  /** Another leader, or a new connection to it: ask again. */
  retry(olderThanMs?: number): void {
    this.#gate.retry(olderThanMs);
  }

  // ---------------------------------------------------------------- progress

  /** The local state has moved on. */
  advanced(): void {
    this.#gate.applied(this.#state.applied);
    this.releaseSession();
  }

  /** A snapshot has replaced the local state, or was not needed: what was granted meanwhile may be due. */
  replaced(): void {
    this.#gate.applied(this.#state.applied);
  }

  /** The local state is whole again. */
  whole(): void {
    for (const reader of this.#afterInstall.splice(0)) {
      this.#pump.ports.clock.afterTurn(() => this.#whenWhole(reader));
    }
  }

  releaseSession(): void {
    if (this.#session.length === 0 || !this.#state.isWhole) return;
    const { answeredBelow } = this.#writes;
    const due = this.#session.filter((s) => s.number <= answeredBelow);
    if (due.length === 0) return;
    this.#session = this.#session.filter((s) => s.number > answeredBelow);
    for (const { reader } of due) reader.ready(undefined);
  }

  /** Refuses those that have waited too long, or whose caller gave up. */
  expire(nowMs: number): void {
    this.#gate.expire(nowMs);
    const gone = this.#afterInstall.filter(({ signal }) => signal?.aborted === true);
    if (gone.length === 0) return;
    this.#afterInstall = this.#afterInstall.filter((reader) => !gone.includes(reader));
    for (const reader of gone) refuse(reader, "a snapshot was not installed in time");
  }

  expireSession(nowMs: number): void {
    const late = this.#session.filter((s) => isLate(s.reader, nowMs));
    if (late.length === 0) return;
    this.#session = this.#session.filter((s) => !late.includes(s));
    for (const { reader } of late) refuse(reader, "own writes were not settled in time");
  }

  close(): void {
    this.#gate.close(closedError());
    for (const { reader } of this.#session) reader.ready(closedError());
    this.#session = [];
    for (const reader of this.#afterInstall.splice(0)) reader.ready(closedError());
  }
}

function isLate({ deadlineMs, signal }: Reader, nowMs: number): boolean {
  return nowMs >= deadlineMs || signal?.aborted === true;
}

function refuse({ ready, signal }: Reader, why: string): void {
  ready(
    signal?.aborted === true
      ? new AlthingError("ABORTED", "Cannot read: the caller gave up")
      : new AlthingError("TIMEOUT", `Cannot read: ${why}`),
  );
}
