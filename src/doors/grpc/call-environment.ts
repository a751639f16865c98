/** What all calls of one door share: the limits, the budget, and the set of calls whose request is still arriving. */
import type { Observer } from "../../ports/observer.ts";
import type { ByteBudget } from "./byte-budget.ts";
import type { GrpcStatus } from "./status.ts";

/** A call that the sweep ends when its request takes too long to arrive. */
export interface ArrivingCall {
  /** The sweep at which it began to arrive. */
  readonly since: number;
  /** Refuses the call: its request did not arrive in time. */
  expire(): void;
}

/** An open stream of answers, which a closing door ends by itself. */
export interface OpenStream {
  end(status: GrpcStatus): void;
}

export interface CallEnvironment {
  readonly messageBytesMax: number;
  readonly observer: Observer;
  readonly arriving: Set<ArrivingCall>;
  readonly openStreams: Set<OpenStream>;
  /** Counts the sweeps: a clock with coarse ticks that costs nothing to read. */
  sweep: number;
}

/** What the calls of one connection share. */
export interface ConnectionEnvironment {
  readonly door: CallEnvironment;
  /** For messages that have not arrived whole. */
  readonly budget: ByteBudget;
  /** For answers that wait for the caller to read: one that asks and does not read is refused further calls. */
  readonly answers: ByteBudget;
}
