/**
 * When leases end: the leader's half. Every node has a lessor; only that of the ready leader keeps time.
 *
 * L1. Deadlines are on the monotonic clock: no jump of wall time ends a lease.
 * L2. A new leader does not know how much of a lease is left; it gives all of it again (or what was noted as left), and an
 *     election timeout on top. A lease thus never ends early, but it may end late.
 * L3. A lease ends by a command in the log, fenced by the leader's term: a leader that was paused and deposed ends nothing.
 * L4. A renewal counts from before the leader made sure that it still leads, and is answered after: no client believes in
 *     a lease that the next leader may end.
 */
import { Heap } from "../base/heap.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Observer } from "../ports/observer.ts";
import type { StoreResult } from "./store-result.ts";
import type { GroupHandle } from "../group/handle.ts";
import type { Outcome } from "../group/outcome.ts";
import { etcdErrorOf } from "./access.ts";
import { CommandTag, command, LeaseExpire, LeaseNotes } from "./command.ts";
import { EtcdError } from "./etcd-error.ts";
import type { Lease, LeaseListener, LeaseTable } from "./lease-table.ts";
import type { LeaseCheckpoint } from "./messages.ts";

type Handle = Pick<
  GroupHandle<StoreResult, never, unknown>,
  "submit" | "whenReadable" | "isReadyLeader" | "term" | "onChange"
>;

export interface LessorOptions {
  readonly handle: Handle;
  readonly table: LeaseTable;
  readonly clock: Clock;
  readonly observer: Observer;
  /** What a new leader adds to every lease. */
  readonly electionMs: number;
  /** How often the leader notes in the log what is left of long leases; 0: never, as etcd's default. */
  readonly checkpointIntervalMs: number;
}

interface Deadline {
  readonly id: bigint;
  atMs: number;
  /** What is left was noted in the log, or is about to be. */
  noted: boolean;
  /** Revocations that wait for their result; set once the lease has run out. */
  ending: ((ended: boolean) => void)[] | undefined;
}

type State =
  | { readonly type: "idle" }
  | {
      readonly type: "leading";
      readonly term: number;
      readonly deadlines: Map<bigint, Deadline>;
      /** By time; an entry whose time is not its deadline's any more is put back when it comes up. */
      readonly queue: Heap<{ readonly atMs: number; readonly deadline: Deadline }>;
      timer: Timer | undefined;
      noteTimer: Timer | undefined;
    };

/** Revocations proposed in one turn, so that a mass expiry does not crowd out everything else. */
const EXPIRIES_PER_ROUND = 200;
const RETRY_MS = 500;
const NOTES_PER_COMMAND = 1_000;

export class Lessor implements LeaseListener {
  readonly #options: LessorOptions;
  readonly #stopListening: () => void;
  #state: State = { type: "idle" };
  #closed = false;

  constructor(options: LessorOptions) {
    this.#options = options;
    options.table.listener = this;
    this.#stopListening = options.handle.onChange(() => this.#follow());
    this.#follow();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopListening();
    this.#options.table.listener = undefined;
    this.#stepDown();
  }

  /** True while this node keeps the time of leases. */
  get isLeading(): boolean {
    return this.#state.type === "leading";
  }

  /**
   * Renews a lease; its TTL in seconds, or undefined if it does not exist. Throws NO_LEADER if this node does not lead, or
   * not any more: ask the next one.
   */
  async renew(id: bigint): Promise<number | undefined> {
    const state = this.#state;
    if (state.type !== "leading") throw new EtcdError("NO_LEADER");
    const fromMs = this.#options.clock.monotonicMs();
    await this.#confirm(state);
    const deadline = state.deadlines.get(id);
    const lease = this.#options.table.get(id);
    if (deadline === undefined || lease === undefined) return undefined;
    const { ending } = deadline;
    if (ending !== undefined) {
      const ended = await new Promise<boolean>((resolve) => ending.push(resolve));
      if (ended) return undefined;
      throw new EtcdError("NO_LEADER");
    }
    deadline.atMs = Math.max(deadline.atMs, fromMs + lease.ttl * 1_000); // L4; notes made from here on know of it
    // The next leader must not go by a note from before this renewal: it is taken back before the client is answered.
    if (deadline.noted) await this.#takeBack(state, deadline);
    return lease.ttl;
  }

  /** Seconds left of a lease, rounded down, at least 0; undefined if it does not exist. Throws NO_LEADER. */
  async timeToLive(id: bigint): Promise<number | undefined> {
    const state = this.#state;
    if (state.type !== "leading") throw new EtcdError("NO_LEADER");
    await this.#confirm(state);
    const deadline = state.deadlines.get(id);
    if (deadline === undefined || this.#options.table.get(id) === undefined) return undefined;
    return Math.max(0, Math.floor((deadline.atMs - this.#options.clock.monotonicMs()) / 1_000));
  }

  async #takeBack(state: State & { readonly type: "leading" }, deadline: Deadline): Promise<void> {
    deadline.noted = false;
    const outcome = await this.#note(state, [{ id: deadline.id, remainingTtl: 0 }]);
    if (outcome.type === "committed" && outcome.result.type !== "error" && this.#state === state) return;
    deadline.noted = true;
    throw new EtcdError("NO_LEADER");
  }

  /** This node still leads in the same term, and has applied all that was acknowledged so far. */
  async #confirm(state: State): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#options.handle.whenReadable("linearizable", (error) =>
        error === undefined ? resolve() : reject(etcdErrorOf(error)),
      );
    });
    if (this.#state !== state) throw new EtcdError("NO_LEADER");
  }

  // LeaseListener

  granted(lease: Lease): void {
    const state = this.#state;
    if (state.type === "leading") this.#watch(state, lease, this.#options.clock.monotonicMs() + lease.ttl * 1_000);
  }

  revoked(id: bigint): void {
    const state = this.#state;
    if (state.type !== "leading") return;
    const deadline = state.deadlines.get(id);
    state.deadlines.delete(id);
    for (const waiter of deadline?.ending ?? []) waiter(true);
  }

  reset(): void {
    this.#stepDown();
    this.#follow();
  }

  // Leading

  #follow(): void {
    const { handle } = this.#options;
    const leads = handle.isReadyLeader && !this.#closed;
    const state = this.#state;
    if (state.type === "leading" && leads && state.term === handle.term) return;
    this.#stepDown();
    if (leads) this.#lead(handle.term);
  }

  #stepDown(): void {
    const state = this.#state;
    if (state.type === "idle") return;
    this.#state = { type: "idle" };
    state.timer?.cancel();
    state.noteTimer?.cancel();
    for (const deadline of state.deadlines.values()) {
      for (const waiter of deadline.ending ?? []) waiter(false);
    }
  }

  #lead(term: number): void {
    const { table, clock, electionMs } = this.#options;
    const state: State & { readonly type: "leading" } = {
      type: "leading",
      term,
      deadlines: new Map(),
      queue: new Heap((a, b) => a.atMs < b.atMs),
      timer: undefined,
      noteTimer: undefined,
    };
    this.#state = state;
    const nowMs = clock.monotonicMs();
    for (const lease of table.all()) {
      const seconds = lease.remainingTtl > 0 ? lease.remainingTtl : lease.ttl; // L2
      this.#watch(state, lease, nowMs + seconds * 1_000 + electionMs);
    }
    this.#planNotes(state);
  }

  #watch(state: State & { readonly type: "leading" }, lease: Lease, atMs: number): void {
    const deadline: Deadline = { id: lease.id, atMs, noted: lease.remainingTtl !== 0, ending: undefined };
    state.deadlines.set(lease.id, deadline);
    state.queue.push({ atMs, deadline });
    if (state.queue.peek()?.deadline === deadline) this.#planExpiry(state);
  }

  #planExpiry(state: State & { readonly type: "leading" }): void {
    state.timer?.cancel();
    state.timer = undefined;
    const next = state.queue.peek();
    if (next === undefined) return;
    const delayMs = Math.max(0, next.atMs - this.#options.clock.monotonicMs());
    // Timers of hosts count to 2^31 ms; a lease may be granted for longer than that.
    state.timer = this.#options.clock.timer(Math.min(delayMs, 86_400_000), () => {
      state.timer = undefined;
      if (this.#state === state) this.#expire(state);
    });
  }

  #expire(state: State & { readonly type: "leading" }): void {
    const nowMs = this.#options.clock.monotonicMs();
    let proposed = 0;
    for (let next = state.queue.peek(); next !== undefined && next.atMs <= nowMs; next = state.queue.peek()) {
      if (proposed === EXPIRIES_PER_ROUND) break;
      state.queue.pop();
      const { deadline } = next;
      if (state.deadlines.get(deadline.id) !== deadline) continue; // revoked, or granted anew
      if (deadline.atMs > nowMs) {
        state.queue.push({ atMs: deadline.atMs, deadline }); // renewed since
        continue;
      }
      this.#end(state, deadline);
      proposed++;
    }
    this.#planExpiry(state);
  }

  #end(state: State & { readonly type: "leading" }, deadline: Deadline): void {
    deadline.ending ??= [];
    const { handle, observer } = this.#options;
    const { id } = deadline;
    observer.observe({ type: "lease-expired", lease: id.toString(16), term: state.term });
    const done = (outcome: Outcome<StoreResult>): void => {
      if (this.#state !== state || state.deadlines.get(id) !== deadline) return; // applied, or no longer ours to end
      this.#retry(state, deadline, outcome);
    };
    handle.submit(command(CommandTag.leaseExpire, LeaseExpire, { id, term: state.term }), done, { urgent: true });
  }

  /** The revocation did not go through, as far as is known: once more, as long as this leadership lasts. */
  #retry(state: State & { readonly type: "leading" }, deadline: Deadline, outcome: Outcome<StoreResult>): void {
    this.#options.observer.observe({
      type: "lease-expiry-retried",
      lease: deadline.id.toString(16),
      outcome: outcome.type,
    });
    deadline.atMs = this.#options.clock.monotonicMs() + RETRY_MS;
    state.queue.push({ atMs: deadline.atMs, deadline });
    this.#planExpiry(state);
  }

  // Notes of what is left

  #planNotes(state: State & { readonly type: "leading" }): void {
    const { checkpointIntervalMs, clock } = this.#options;
    if (checkpointIntervalMs <= 0) return;
    state.noteTimer = clock.timer(checkpointIntervalMs, () => {
      if (this.#state !== state) return;
      this.#noteAll(state);
      this.#planNotes(state);
    });
  }

  #noteAll(state: State & { readonly type: "leading" }): void {
    const { checkpointIntervalMs, clock, table } = this.#options;
    const nowMs = clock.monotonicMs();
    const notes: LeaseCheckpoint[] = [];
    for (const deadline of state.deadlines.values()) {
      const { id, atMs, ending } = deadline;
      const lease = table.get(id);
      const remainingTtl = Math.ceil((atMs - nowMs) / 1_000);
      // Only leases that outlive several rounds, and of them those of which some is gone.
      if (lease === undefined || ending !== undefined || lease.ttl * 1_000 <= checkpointIntervalMs) continue;
      if (remainingTtl < 1 || remainingTtl >= lease.ttl || remainingTtl === lease.remainingTtl) continue;
      deadline.noted = true;
      notes.push({ id, remainingTtl });
    }
    // Lost notes do no harm: the next leader then gives more time, not less.
    for (let i = 0; i < notes.length; i += NOTES_PER_COMMAND) {
      void this.#note(state, notes.slice(i, i + NOTES_PER_COMMAND));
    }
  }

  #note(
    state: State & { readonly type: "leading" },
    checkpoints: readonly LeaseCheckpoint[],
  ): Promise<Outcome<StoreResult>> {
    const bytes = command(CommandTag.leaseCheckpoint, LeaseNotes, { term: state.term, checkpoints });
    return new Promise((resolve) => this.#options.handle.submit(bytes, resolve));
  }
}
