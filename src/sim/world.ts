/**
 * A simulated world: virtual time, one heap of events, one rolling hash. Everything that happens to any node is an event
 * of this heap, and every random choice comes from the seed, so the same seed gives the same run, bit for bit.
 * Source: the simulation method of FoundationDB (Zhou et al. 2021, section 4) and of TigerBeetle's VOPR.
 *
 * W1. Events run in the order of (time, tiebreak drawn from the seed, number); time never goes back.
 * W2. Between two events all promise jobs run dry, so a job's order is part of the seed too.
 * W3. Events of a dead process are dropped and those of a paused one held (`sim-process.ts`, P1 and P2).
 * W4. An exception out of node code, an unhandled rejection, or `fail` ends the run: no event runs after it.
 *
 * About W2: promise jobs form one first-in first-out queue that the host empties completely before it takes the next
 * macrotask. `SimHost.turns` and `drain` go on in a macrotask, hence after a complete drain, nested and detached promises included, no
 * matter how long the chains are. Awaiting the event's own promise would be faster and miss detached ones. Events whose
 * handler is the simulator's own and calls no node code (`quiet`) cannot queue a promise job and skip the drain.
 */
import { assert } from "../base/assert.ts";
import { Heap } from "../base/heap.ts";
import { Prng } from "../base/prng.ts";
import { RollingHash } from "./rolling-hash.ts";
import type { SimProcess } from "./sim-process.ts";

/** What the world needs from the real host. The only thing in a simulated run that is not simulated. */
export interface SimHost {
  /** Resolves in a later macrotask: in Node.js, `new Promise((resolve) => setImmediate(resolve))`. */
  drain(): Promise<void>;
  /**
   * Calls `step` again and again, each time in a macrotask of its own, until it returns false. `step` does not throw. The
   * same as a loop over `drain`, and several times as fast (`macrotask-host.ts`).
   */
  turns?(step: () => boolean): Promise<void>;
  /** Starts to report promise rejections that nobody handles; returns the way to stop. */
  watchRejections?(report: (error: unknown) => void): () => void;
  /** Real milliseconds, for budgets of real time (shrinking); never part of a run. */
  realMs?(): number;
}

export const EventKind = {
  boot: 1,
  timer: 2,
  turn: 3,
  frames: 4,
  accept: 5,
  connected: 6,
  close: 7,
  kernel: 8,
  disk: 9,
  fault: 10,
  call: 11,
  answer: 12,
  observed: 13,
} as const;
export type EventKind = (typeof EventKind)[keyof typeof EventKind];

export interface ScheduledEvent {
  timeMs: number;
  tie: number;
  readonly number: number;
  readonly kind: EventKind;
  /** Whose code it runs; undefined for the world's own. */
  readonly process: SimProcess | undefined;
  readonly payload: number;
  /** No node code is called: the promise jobs need no drain. */
  readonly quiet: boolean;
  /** undefined: cancelled. */
  run: (() => void) | undefined;
}

export type StopReason = "condition" | "time" | "idle";

interface RunOptions {
  readonly untilMs: number;
  readonly until?: () => boolean;
}

interface TurnWork {
  readonly process: SimProcess;
  readonly run: () => void;
}

const NEXT_TURN_MS = 0.001;

export class World {
  readonly seed: number;
  /** The root of all randomness: fork it, once per consumer, in a fixed order. */
  readonly prng: Prng;
  #now = 0;
  #count = 0;
  #events = 0;
  readonly #host: SimHost;
  readonly #ties: Prng;
  readonly #hash = new RollingHash();
  readonly #heap = new Heap<ScheduledEvent>(before);
  /** What came for paused processes, in order (P2). */
  readonly #held = new WeakMap<SimProcess, ScheduledEvent[]>();
  #turn: TurnWork[] = [];
  #inTurnWork = false;
  #flushes: (() => void)[] = [];
  #failure: { readonly error: unknown; readonly node: number | undefined } | undefined;
  #onFail: (error: unknown, node: number | undefined) => void = () => undefined;

  constructor(seed: number, host: SimHost) {
    this.seed = seed;
    this.prng = new Prng(seed);
    this.#ties = this.prng.fork();
    this.#host = host;
  }

  /** Milliseconds of virtual time since the world began. */
  get nowMs(): number {
    return this.#now;
  }

  /** Events run so far. */
  get eventCount(): number {
    return this.#events;
  }

  /** The rolling hash of (time, node, kind, payload) of all events so far. */
  get hash(): string {
    return this.#hash.digest();
  }

  get failure(): { readonly error: unknown; readonly node: number | undefined } | undefined {
    return this.#failure;
  }

  /** Called at the first failure, before the run ends. */
  onFail(listener: (error: unknown, node: number | undefined) => void): void {
    this.#onFail = listener;
  }

  /** Ends the run as failed (W4). Only the first failure counts. */
  fail(error: unknown, node: number | undefined): void {
    if (this.#failure !== undefined) return;
    this.#failure = { error, node };
    this.#onFail(error, node);
  }

  /** Mixes a fact into the hash that is not an event of the heap: what a node told its Observer. */
  note(node: number, payload: number): void {
    this.#hash.mix(Math.imul(node, 31) + EventKind.observed);
    this.#hash.mix(payload);
  }

  /** Runs `run` in `delayMs`, as part of `process`. `payload` is a hash of what the event carries. */
  schedule(
    process: SimProcess | undefined,
    delayMs: number,
    kind: EventKind,
    payload: number,
    run: () => void,
    quiet = false,
  ): ScheduledEvent {
    assert(delayMs >= 0, "an event lies in the future", { delayMs, kind });
    const event: ScheduledEvent = {
      timeMs: this.#now + delayMs,
      tie: this.#ties.u32(),
      number: this.#count++,
      kind,
      process,
      payload,
      quiet,
      run,
    };
    this.#heap.push(event);
    return event;
  }

  /**
   * Runs `run` once the input being handled, and the promise jobs it queued, are done. What is asked for by such work
   * itself belongs to the next turn, a moment later, so that a loop of turns cannot stop time.
   */
  afterTurn(process: SimProcess, run: () => void): void {
    if (this.#inTurnWork) this.schedule(process, NEXT_TURN_MS, EventKind.turn, 0, run);
    else this.#turn.push({ process, run });
  }

  /** Runs the simulator's own `run` at the very end of the turn: where a real process hands its writes to the kernel. */
  atTurnEnd(run: () => void): void {
    this.#flushes.push(run);
  }

  /** Ends a pause: what was held comes now, in its order. */
  resume(process: SimProcess): void {
    process.resume();
    const held = this.#held.get(process) ?? [];
    this.#held.delete(process);
    let order = 0;
    for (const event of held) {
      if (event.run === undefined) continue;
      event.timeMs = this.#now;
      event.tie = order++; // ties are drawn from 2^32 numbers: what was held stands before nearly all else
      this.#heap.push(event);
    }
  }

  /**
   * Runs events until `until` holds, or up to virtual time `untilMs`, or until none is left. At "time" the clock stands
   * at `untilMs`. Throws the failure if there is one (W4).
   */
  async run(options: RunOptions): Promise<StopReason> {
    const stopWatching = this.#host.watchRejections?.((error) => this.fail(error, undefined));
    try {
      return await this.#turns(options);
    } finally {
      stopWatching?.();
    }
  }

  async #turns(options: RunOptions): Promise<StopReason> {
    const host = this.#host;
    if (host.turns === undefined) {
      for (;;) {
        await host.drain(); // W2; the first time for what was started outside of any event
        const reason = this.#advance(options);
        if (reason !== undefined) return reason;
      }
    }
    const end: { reason?: StopReason; thrown?: { readonly error: unknown } } = {};
    await host.turns(() => {
      try {
        const reason = this.#advance(options);
        if (reason === undefined) return true;
        end.reason = reason;
      } catch (error) {
        end.thrown = { error };
      }
      return false;
    });
    if (end.thrown !== undefined) throw end.thrown.error;
    assert(end.reason !== undefined, "the host goes on until it is told to stop");
    return end.reason;
  }

  /** Goes on from where all promise jobs have run dry to where they must again; undefined: there is more to do. */
  #advance(options: RunOptions): StopReason | undefined {
    if (this.#inTurnWork) this.#inTurnWork = false;
    else if (this.#turn.length > 0 && this.#failure === undefined) {
      this.#runTurnWork();
      return undefined;
    }
    this.#flush();
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure.error;
      if (options.until?.() === true) return "condition";
      const event = this.#heap.peek();
      if (event === undefined || event.timeMs > options.untilMs) {
        if (options.untilMs !== Number.POSITIVE_INFINITY) this.#now = Math.max(this.#now, options.untilMs);
        return event === undefined ? "idle" : "time";
      }
      this.#heap.pop();
      if (this.#step(event)) return undefined;
    }
  }

  /** Runs one event. True if it may have queued promise jobs or turn work. */
  #step(event: ScheduledEvent): boolean {
    const { process, run } = event;
    if (run === undefined) return false;
    if (process !== undefined && !process.running) {
      if (process.alive) this.#hold(process, event); // P2; a dead life's events are dropped, P1
      return false;
    }
    assert(event.timeMs >= this.#now, "W1: time never goes back", { now: this.#now, event: event.timeMs });
    this.#now = event.timeMs;
    this.#events++;
    this.#hash.mixNumber(event.timeMs);
    this.#hash.mix(Math.imul(process?.node ?? 0, 31) + event.kind);
    this.#hash.mix(event.payload);
    event.run = undefined;
    this.#guard(process, run);
    return !event.quiet || this.#flushes.length > 0 || this.#turn.length > 0;
  }

  #hold(process: SimProcess, event: ScheduledEvent): void {
    const held = this.#held.get(process);
    if (held === undefined) this.#held.set(process, [event]);
    else held.push(event);
  }

  #runTurnWork(): void {
    const work = this.#turn;
    this.#turn = [];
    this.#inTurnWork = true;
    for (const { process, run } of work) {
      if (process.running) this.#guard(process, run);
      else if (process.alive) this.schedule(process, 0, EventKind.turn, 0, run);
    }
  }

  #flush(): void {
    while (this.#flushes.length > 0) {
      const flushes = this.#flushes;
      this.#flushes = [];
      for (const flush of flushes) flush();
    }
  }

  #guard(process: SimProcess | undefined, run: () => void): void {
    try {
      run();
    } catch (error) {
      this.fail(error, process?.node);
    }
  }
}

function before(a: ScheduledEvent, b: ScheduledEvent): boolean {
  if (a.timeMs !== b.timeMs) return a.timeMs < b.timeMs;
  if (a.tie !== b.tie) return a.tie < b.tie;
  return a.number < b.number;
}

/** A draw from the exponential distribution with the given mean. */
export function exponential(prng: Prng, mean: number): number {
  return mean === 0 ? 0 : -Math.log(1 - prng.unit()) * mean;
}
