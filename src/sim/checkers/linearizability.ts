/**
 * Is a history linearizable? Searches an order of its operations that respects real time and that a sequential model
 * accepts.
 * Source  Herlihy & Wing 1990 (the condition, and its locality: a history is linearizable if each object's part is);
 *         Wing & Gong 1993 (the search); Lowe 2017, "Testing for linearizability", section 4 (remember every pair of
 *         linearized set and state, and never search from it twice).
 *
 * An operation with an unknown outcome may take effect at any time after its call, or never: it has no end, and a history
 * is accepted once all *completed* operations are in order.
 *
 * The search is exponential in the worst case, so it is boxed; a search that was cut short is `unknown`, never `ok`.
 *
 * What keeps it short, each without losing an order that is needed:
 * L1. An operation that never changes the object and fits now is taken now: wherever an order has it later, it can come
 *     first, and nothing else notices.
 * L2. A value that a completed operation has yet to see, and that nobody is left to write, is not overwritten.
 * L3. Of completed operations that are the same, the one that ends first is taken first: in any order the two can be
 *     exchanged. To be the same, writes of values that nobody saw or names forget their value.
 * L4. An unknown operation is taken only where it makes something possible that was not.
 * L5. Where answers carry revisions, nothing is taken that raises the revision above one that is still to be answered.
 * L6. A place is not searched twice, nor one where more unknown operations are used up than at a place searched before.
 */
import { assert } from "../../base/assert.ts";
import { Prng } from "../../base/prng.ts";
import type { Operation } from "./history.ts";
import { type Breach, type Probe, shrinkViolation } from "./violation.ts";
import { findZoneConflict, type Touch } from "./zones.ts";

/** A sequential object. Pure: `step` never changes the state it is given. */
export interface Model<State, Input, Output> {
  init(): State;
  /**
   * Carries out one operation. `output` undefined: the outcome is unknown, any result is allowed. Returns the next state,
   * or undefined if the object cannot give this output in this state.
   */
  step(state: State, input: Input, output: Output | undefined): State | undefined;
  /** Equal keys only for states that no later operation can tell apart. */
  key(state: State): string | number;
  /** The object an operation belongs to; each is checked alone. Default: one object. */
  partition?(input: Input): string;
  /** Which values an operation has to do with. With `forget` it makes unknown outcomes cheap: see `prepare`. */
  values?(input: Input, output: Output | undefined): ValuesOf;
  /** The same input, writing a value that is nobody's; undefined if the input does not write one. */
  forget?(input: Input): Input | undefined;
  /** From this state on, whatever happens, an unknown operation with this input can change nothing any more. */
  isDead?(state: State, input: Input): boolean;
  /** An operation with this output never changes the object, whatever its state; it may at most tell more about it. */
  isRead?(input: Input, output: Output): boolean;
  /**
   * For objects whose answers carry a revision that rises with every change: this operation surely took effect before the
   * object's revision rose above `atMost`; with `raises`, it took effect when the revision was, or became, `atMost`.
   */
  revision?(input: Input, output: Output): RevisionOf | undefined;
  /** The one value, of those that `values` speaks of, that the object holds; undefined if none. */
  holds?(state: State): string | undefined;
}

export interface RevisionOf {
  readonly atMost: number;
  readonly raises: boolean;
}

export interface ValuesOf {
  /** Once completed, and if it is not a read, the operation surely wrote this value. */
  readonly writes?: string | undefined;
  /** The output proves that this value was written before. */
  readonly saw?: string | undefined;
  /** The input distinguishes this value from others. */
  readonly names?: string | undefined;
  /** The input changes the object only while it holds this value. */
  readonly needs?: string | undefined;
}

export type Verdict<Input, Output> =
  | { readonly type: "ok"; readonly operations: number; readonly steps: number }
  | {
      readonly type: "violation";
      readonly partition: string;
      /** An order of what took effect before `stuck` was answered; with its answer there is none any more. */
      readonly order: readonly Operation<Input, Output>[];
      readonly stuck: Operation<Input, Output>;
      /**
       * A few operations that cannot be ordered, whenever other changes took effect; by their call. The smallest such set
       * if it could be found in time, perhaps empty if not.
       */
      readonly core: readonly Operation<Input, Output>[];
      readonly steps: number;
    }
  | {
      readonly type: "unknown";
      readonly partition: string;
      readonly why: "steps" | "time" | "memory";
      readonly steps: number;
    };

export interface CheckOptions {
  /** Calls of `step` over all partitions. Default 20 million, some ten seconds. */
  readonly stepsMax?: number;
  /** Asked now and then; true ends the search. For a bound in time, which only the host can measure. */
  readonly isOver?: () => boolean;
}

const STEPS_MAX = 20_000_000;
/** Calls of `step` for making a violation readable, over all attempts, and in one of them. */
const SHRINK_STEPS_MAX = 4_000_000;
const PROBE_STEPS_MAX = 500_000;
const ASK_EVERY = 16_384;
/** Pairs of set and state remembered per partition: some hundred megabytes. */
const SEEN_MAX = 2_000_000;

/** Checks every partition of a history. The first violation ends the check; it outranks an `unknown` before it. */
export function checkLinearizability<State, Input, Output>(
  model: Model<State, Input, Output>,
  operations: readonly Operation<Input, Output>[],
  options: CheckOptions = {},
): Verdict<Input, Output> {
  const partitions = new Map<string, Operation<Input, Output>[]>();
  for (const operation of operations) {
    const name = model.partition?.(operation.input) ?? "";
    const part = partitions.get(name);
    if (part === undefined) partitions.set(name, [operation]);
    else part.push(operation);
  }
  const budget = budgetOf(options.stepsMax ?? STEPS_MAX, options.isOver);
  let unknown: Verdict<Input, Output> | undefined;
  for (const [partition, part] of partitions) {
    const core = contradiction(model, part);
    const found = core === undefined ? new Search(model, prepare(model, part), budget).run() : undefined;
    if (found?.type === "ok") continue;
    if (found?.type === "unknown") {
      unknown ??= { type: "unknown", partition, why: found.why, steps: budget.steps };
      continue;
    }
    return { type: "violation", partition, ...explain(model, part, found, core, options), steps: budget.steps };
  }
  return unknown ?? { type: "ok", operations: operations.length, steps: budget.steps };
}

function budgetOf(stepsMax: number, isOver: (() => boolean) | undefined): Budget {
  return { steps: 0, stepsMax, isOver, askAt: ASK_EVERY };
}

/** Operations of a single-valued object that contradict each other at sight: Z1, Z2, or a value that nobody wrote. */
function contradiction<State, Input, Output>(
  model: Model<State, Input, Output>,
  operations: readonly Operation<Input, Output>[],
): readonly Operation<Input, Output>[] | undefined {
  if (model.holds === undefined || model.values === undefined) return undefined;
  const touches: Touch<Input, Output>[] = [];
  const firstWritten = new Map<string, number>();
  const initial = model.holds(model.init());
  if (initial !== undefined) firstWritten.set(initial, Number.NEGATIVE_INFINITY);
  for (const operation of operations) {
    const { input, output, call } = operation;
    const { writes, saw } = model.values(input, output);
    const isRead = output !== undefined && (model.isRead?.(input, output) ?? false);
    const isSure = output !== undefined;
    if (writes !== undefined && !isRead) {
      touches.push({ operation, value: writes, isWriter: true, isSure });
      firstWritten.set(writes, Math.min(call, firstWritten.get(writes) ?? call));
    }
    if (saw !== undefined && isSure) touches.push({ operation, value: saw, isWriter: false, isSure });
  }
  for (const { operation, value, isWriter } of touches) {
    const written = firstWritten.get(value) ?? Number.POSITIVE_INFINITY;
    if (!isWriter && operation.end < written) return [operation];
  }
  // The value an object begins with has a writer that is not in the history.
  const conflict = findZoneConflict(touches.filter((touch) => touch.value !== initial));
  if (conflict === undefined) return undefined;
  return [...new Set([...conflict.holders, ...conflict.intruders])].sort((a, b) => a.call - b.call);
}

function explain<State, Input, Output>(
  model: Model<State, Input, Output>,
  operations: readonly Operation<Input, Output>[],
  found: Extract<Found<Input, Output>, { readonly type: "violation" }> | undefined,
  core: readonly Operation<Input, Output>[] | undefined,
  options: CheckOptions,
): Breach<Input, Output> {
  let steps = 0;
  const check = (some: readonly Operation<Input, Output>[]): Probe<Input, Output> => {
    if (contradiction(model, some) !== undefined) return { type: "violation", order: [] };
    const budget = budgetOf(PROBE_STEPS_MAX, options.isOver);
    const probe = new Search(model, prepare(model, some), budget).run();
    steps += budget.steps + some.length; // not even a look is free
    return { type: probe.type, order: probe.type === "unknown" ? [] : probe.order };
  };
  const last = core?.toSorted((a, b) => a.end - b.end).at(-1);
  const stuck = found?.stuck ?? last;
  assert(stuck !== undefined, "a violation was found in one of two ways");
  return shrinkViolation({
    operations,
    found: { order: found?.order ?? [], stuck },
    core,
    check,
    isRead: ({ input, output }) => output !== undefined && (model.isRead?.(input, output) ?? false),
    isOver: () => steps >= SHRINK_STEPS_MAX || options.isOver?.() === true,
  });
}

/** An operation as the search sees it. */
interface Item<Input, Output> {
  readonly operation: Operation<Input, Output>;
  readonly input: Input;
  readonly end: number;
  /** Completed, and never a change. */
  readonly isRead: boolean;
  /** The value it may leave behind, after forgetting; undefined for reads. */
  readonly writes: string | undefined;
  readonly saw: string | undefined;
  readonly needs: string | undefined;
}

/**
 * Takes guesswork out of the search:
 * - If only one operation writes some value, and a completed one saw that value, then the writer took effect before the
 *   witness ended. It gets that end, and is unknown no longer.
 * - If nobody saw or names the value that an operation writes, one such value is as good as another: `forget` makes them
 *   all the same, and operations that are the same can stand in for each other.
 */
function prepare<State, Input, Output>(
  model: Model<State, Input, Output>,
  operations: readonly Operation<Input, Output>[],
): readonly Item<Input, Output>[] {
  const witnessed = new Map<string, number>();
  const named = new Set<string>();
  const writers = new Map<string, number>();
  const initial = model.holds?.(model.init());
  if (initial !== undefined) writers.set(initial, 1); // whoever saw it need not have seen a writer
  for (const { input, output, end } of operations) {
    const { writes, saw, names } = model.values?.(input, output) ?? {};
    const isRead = output !== undefined && (model.isRead?.(input, output) ?? false);
    if (writes !== undefined && !isRead) writers.set(writes, (writers.get(writes) ?? 0) + 1);
    if (saw !== undefined) witnessed.set(saw, Math.min(end, witnessed.get(saw) ?? end));
    if (names !== undefined) named.add(names);
  }
  return operations.map((operation): Item<Input, Output> => {
    const { input, output, call, end } = operation;
    const { writes, saw, needs } = model.values?.(input, output) ?? {};
    const isRead = output !== undefined && (model.isRead?.(input, output) ?? false);
    const item = { operation, input, end, isRead, writes: isRead ? undefined : writes, saw, needs };
    if (writes === undefined || isRead) return item;
    const seenBy = witnessed.get(writes);
    if (seenBy === undefined && !named.has(writes)) {
      const forgotten = model.forget?.(input);
      return forgotten === undefined ? item : { ...item, input: forgotten, writes: undefined };
    }
    // A witness that ended before the call is a violation, which the search finds without this.
    const known = seenBy !== undefined && writers.get(writes) === 1 && seenBy > call;
    return end === Number.POSITIVE_INFINITY && known ? { ...item, end: seenBy } : item;
  });
}

interface Budget {
  steps: number;
  readonly stepsMax: number;
  readonly isOver: (() => boolean) | undefined;
  /** Steps at which `isOver` is asked next. */
  askAt: number;
}

/** The call or the end of a completed operation, in a doubly linked list ordered by time. */
interface Entry {
  readonly operation: number;
  /** The end that belongs to a call; undefined on ends. */
  readonly match: Entry | undefined;
  previous: Entry | undefined;
  next: Entry | undefined;
}

interface Move<State> {
  readonly operation: number;
  /** How it is undone: its call in the list, or for an unknown operation its class. */
  readonly from:
    | { readonly type: "completed"; readonly call: Entry }
    | { readonly type: "unknown"; readonly of: number };
  /** The state after it. */
  readonly state: State;
}

/** One place in the search: what was done to come here, and what is left to try. */
interface Frame<State> {
  readonly state: State;
  readonly taken: Move<State> | undefined;
  /** The state before `taken`. */
  readonly before: State | undefined;
  moves: readonly Move<State>[];
  nextMove: number;
  /** Completed operations are tried first; unknown ones only when those have led nowhere. */
  phase: "completed" | "unknown";
}

/** What one search found. */
type Found<Input, Output> =
  | { readonly type: "ok"; readonly order: readonly Operation<Input, Output>[] }
  | {
      readonly type: "violation";
      /** The longest order found, and the completed operation that fits nowhere after it. */
      readonly order: readonly Operation<Input, Output>[];
      readonly stuck: Operation<Input, Output>;
    }
  | { readonly type: "unknown"; readonly why: "steps" | "time" | "memory" };

class Search<State, Input, Output> {
  readonly #model: Model<State, Input, Output>;
  readonly #items: readonly Item<Input, Output>[];
  readonly #budget: Budget;
  readonly #head: Entry;
  /**
   * Unknown operations with equal inputs, by their call. They can stand in for each other, and the one called first can
   * come wherever another can, so they are taken in this order and a count says which are.
   */
  readonly #classes: readonly (readonly number[])[];
  /** The classes by the value they need; under undefined those that need none. */
  readonly #classesByNeed: ReadonlyMap<string | undefined, readonly number[]>;
  readonly #used: Uint32Array;
  /** Classes of which some are used, in the order of their first use: places are left in reverse, so this is a stack. */
  readonly #usedClasses: number[] = [];
  /** Of each completed operation: the number of its twins' class (L3). */
  readonly #twins: Int32Array;
  /** Of each class of twins: the one that ends first of those that may come next, as of `#twinRound`. */
  readonly #firstTwin: Int32Array;
  readonly #twinSeen: Int32Array;
  #twinRound = 0;
  readonly #values = new Values();
  readonly #revisions: Revisions;
  readonly #done: DoneSet;
  readonly #seen = new Seen();
  #completedLeft = 0;

  constructor(model: Model<State, Input, Output>, items: readonly Item<Input, Output>[], budget: Budget) {
    this.#model = model;
    this.#items = items;
    this.#budget = budget;
    const classes = new Map<string, number[]>();
    const twins = new Map<string, number>();
    this.#twins = new Int32Array(items.length);
    for (const [index, { operation, input, end, writes, saw }] of items.entries()) {
      assert(operation.end > operation.call, "an operation ends after its call", operation);
      if (writes !== undefined) this.#values.addWriter(writes, 1);
      if (end !== Number.POSITIVE_INFINITY) {
        this.#completedLeft++;
        if (saw !== undefined) this.#values.addWitness(saw, 1);
        const name = JSON.stringify([input, operation.output ?? null]);
        const twin = twins.get(name) ?? twins.size;
        twins.set(name, twin);
        this.#twins[index] = twin;
        continue;
      }
      const name = JSON.stringify(input);
      const known = classes.get(name);
      if (known === undefined) classes.set(name, [index]);
      else known.push(index);
    }
    this.#firstTwin = new Int32Array(twins.size);
    this.#twinSeen = new Int32Array(twins.size);
    this.#classes = [...classes.values()];
    const byNeed = new Map<string | undefined, number[]>();
    for (const [of, members] of this.#classes.entries()) {
      const needs = members[0] === undefined ? undefined : items[members[0]]?.needs;
      const known = byNeed.get(needs);
      if (known === undefined) byNeed.set(needs, [of]);
      else known.push(of);
    }
    this.#classesByNeed = byNeed;
    for (const members of classes.values()) members.sort((a, b) => this.#callOf(a) - this.#callOf(b));
    this.#used = new Uint32Array(this.#classes.length);
    this.#revisions = new Revisions(
      items.map(({ operation: { input, output } }) =>
        output === undefined ? undefined : model.revision?.(input, output),
      ),
    );
    this.#done = new DoneSet(items.length);
    this.#head = link(items);
  }

  run(): Found<Input, Output> {
    const frames: Frame<State>[] = [this.#frame(this.#model.init(), undefined, undefined)];
    let best: { readonly order: readonly number[]; readonly stuck: number } | undefined;
    while (this.#completedLeft > 0) {
      const over = this.#isOver();
      if (over !== undefined) return { type: "unknown", why: over };
      const frame = frames.at(-1);
      if (frame === undefined) return this.#violation(best);
      const move = frame.moves[frame.nextMove++];
      if (move !== undefined) {
        this.#take(move);
        if (this.#seen.add(this.#done.copy(), this.#usedThatCounts(move.state), this.#model.key(move.state))) {
          frames.push(this.#frame(move.state, move, frame.state));
        } else {
          this.#putBack(move);
        }
      } else if (frame.phase === "completed") {
        frame.phase = "unknown";
        frame.moves = this.#unknownMoves(frame);
        frame.nextMove = 0;
      } else {
        if (best === undefined || frames.length - 1 > best.order.length) {
          best = { order: taken(frames), stuck: this.#firstEnd().operation };
        }
        frames.pop();
        if (frame.taken !== undefined) this.#putBack(frame.taken);
      }
    }
    return { type: "ok", order: this.#operations(taken(frames)) };
  }

  /** Pairs of class and count. Whether an operation that is dead anyway was used up makes no difference. */
  #usedThatCounts(state: State): UsedUp {
    if (this.#usedClasses.length === 0) return NONE_USED;
    const held = this.#model.holds?.(state);
    const pairs: (readonly [of: number, count: number])[] = [];
    for (const of of this.#usedClasses) {
      const first = this.#classes[of]?.[0];
      if (first === undefined || this.#isDead(state, held, this.#item(first))) continue;
      pairs.push([of, this.#used[of] ?? 0]);
    }
    return pairs.sort((a, b) => a[0] - b[0]).flat();
  }

  #isDead(state: State, held: string | undefined, { input, needs }: Item<Input, Output>): boolean {
    const model = this.#model;
    if (model.isDead?.(state, input) === true) return true;
    return model.holds !== undefined && needs !== undefined && needs !== held && !this.#values.canBeWritten(needs);
  }

  #frame(state: State, taken: Move<State> | undefined, before: State | undefined): Frame<State> {
    const frame: Frame<State> = { state, taken, before, moves: [], nextMove: 0, phase: "completed" };
    const moves: Move<State>[] = [];
    const key = this.#model.key(state);
    this.#noteTwins();
    // Those that began before the first end that is left: any of them may come next.
    for (let entry = this.#head.next; entry?.match !== undefined; entry = entry.next) {
      const { operation } = entry;
      if (this.#firstTwin[this.#twins[operation] as number] !== operation) continue; // L3
      const move = this.#tryMove(frame, operation, { type: "completed", call: entry });
      if (move === undefined) continue;
      if (this.#item(operation).isRead && this.#model.key(move.state) === key) {
        frame.moves = [move]; // L1
        frame.phase = "unknown";
        return frame;
      }
      moves.push(move);
    }
    frame.moves = moves.sort((a, b) => this.#item(a.operation).end - this.#item(b.operation).end);
    return frame;
  }

  /** Finds, among the operations that may come next, the first to end of each class of twins. */
  #noteTwins(): void {
    const round = ++this.#twinRound;
    for (let entry = this.#head.next; entry?.match !== undefined; entry = entry.next) {
      const { operation } = entry;
      const twin = this.#twins[operation] as number; // one per operation
      const first = this.#twinSeen[twin] === round ? (this.#firstTwin[twin] as number) : undefined;
      this.#twinSeen[twin] = round;
      if (first === undefined || this.#item(operation).end < this.#item(first).end) this.#firstTwin[twin] = operation;
    }
  }

  #unknownMoves(frame: Frame<State>): readonly Move<State>[] {
    const moves: Move<State>[] = [];
    const before = this.#item(this.#firstEnd().operation).end;
    const tryAll = (classes: readonly number[] | undefined): void => {
      for (const of of classes ?? []) {
        const index = this.#classes[of]?.[this.#used[of] ?? 0];
        if (index === undefined || this.#callOf(index) > before) continue;
        const move = this.#tryMove(frame, index, { type: "unknown", of });
        if (move !== undefined) moves.push(move);
      }
    };
    const held = this.#model.holds?.(frame.state);
    if (this.#model.holds === undefined) {
      for (const classes of this.#classesByNeed.values()) tryAll(classes);
    } else {
      tryAll(this.#classesByNeed.get(undefined));
      if (held !== undefined) tryAll(this.#classesByNeed.get(held));
    }
    // Most operations take effect soon after their call or never: the newest is the best guess.
    return moves.sort((a, b) => this.#callOf(b.operation) - this.#callOf(a.operation));
  }

  #tryMove(frame: Frame<State>, operation: number, from: Move<State>["from"]): Move<State> | undefined {
    if (this.#revisions.isTooEarly(operation)) return undefined;
    const state = this.#step(frame.state, operation);
    if (state === undefined || this.#losesValue(frame.state, state, operation)) return undefined;
    const move = { operation, from, state };
    return this.#isRedundant(frame, move) ? undefined : move;
  }

  /** L2: somebody has yet to see the value that this step overwrites, and it will not come back. */
  #losesValue(before: State, after: State, operation: number): boolean {
    const model = this.#model;
    if (model.holds === undefined) return false;
    const held = model.holds(before);
    if (held === undefined || held === model.holds(after)) return false;
    const sawIt = this.#item(operation).saw === held ? 1 : 0;
    return this.#values.witnessesLeft(held) > sawIt && !this.#values.canBeWritten(held);
  }

  /**
   * An unknown operation is needed only for what it makes possible. If the move after it works without it and gives the
   * same state, or gives the same state when the two change places, that other order is searched elsewhere and this one is
   * left out: otherwise every unread write of unknown outcome would double the search.
   */
  #isRedundant(frame: Frame<State>, move: Move<State>): boolean {
    const key = this.#model.key(move.state);
    const isUnknown = move.from.type === "unknown";
    if (isUnknown && this.#model.key(frame.state) === key) return true; // it changes nothing
    const { taken, before } = frame;
    if (taken === undefined || before === undefined || taken.from.type === "completed") return false;
    const alone = this.#step(before, move.operation);
    if (alone === undefined) return false;
    if (this.#model.key(alone) === key) return true;
    if (isUnknown && move.operation >= taken.operation) return false; // one of the two orders stays
    const swapped = this.#step(alone, taken.operation);
    return swapped !== undefined && this.#model.key(swapped) === key;
  }

  #step(state: State, index: number): State | undefined {
    const { input, operation } = this.#item(index);
    this.#budget.steps++;
    return this.#model.step(state, input, operation.output);
  }

  #violation(best: { readonly order: readonly number[]; readonly stuck: number } | undefined): Found<Input, Output> {
    assert(best !== undefined, "a search that failed has been somewhere");
    const { order, stuck } = best;
    return { type: "violation", order: this.#operations(order), stuck: this.#item(stuck).operation };
  }

  #operations(order: readonly number[]): readonly Operation<Input, Output>[] {
    return order.map((index) => this.#item(index).operation);
  }

  #isOver(): "steps" | "time" | "memory" | undefined {
    const budget = this.#budget;
    if (budget.steps >= budget.stepsMax) return "steps";
    if (this.#seen.size >= SEEN_MAX) return "memory";
    if (budget.steps < budget.askAt) return undefined;
    budget.askAt = budget.steps + ASK_EVERY;
    return budget.isOver?.() === true ? "time" : undefined;
  }

  #item(index: number): Item<Input, Output> {
    const item = this.#items[index];
    assert(item !== undefined, "indexes name operations of this partition", { index });
    return item;
  }

  #callOf(index: number): number {
    return this.#item(index).operation.call;
  }

  #firstEnd(): Entry {
    let entry = this.#head.next;
    while (entry?.match !== undefined) entry = entry.next;
    assert(entry !== undefined, "a completed operation that is left has its end in the list");
    return entry;
  }

  #take(move: Move<State>): void {
    const { from } = move;
    const { writes, saw } = this.#item(move.operation);
    if (writes !== undefined) this.#values.addWriter(writes, -1);
    if (from.type === "unknown") {
      const used = this.#used[from.of] ?? 0;
      if (used === 0) this.#usedClasses.push(from.of);
      this.#used[from.of] = used + 1;
      return;
    }
    if (saw !== undefined) this.#values.addWitness(saw, -1);
    this.#revisions.take(move.operation);
    this.#done.flip(move.operation);
    unlink(from.call);
    if (from.call.match !== undefined) unlink(from.call.match);
    this.#completedLeft--;
  }

  #putBack(move: Move<State>): void {
    const { from } = move;
    const { writes, saw } = this.#item(move.operation);
    if (writes !== undefined) this.#values.addWriter(writes, 1);
    if (from.type === "unknown") {
      const used = (this.#used[from.of] ?? 0) - 1;
      this.#used[from.of] = used;
      if (used === 0) this.#usedClasses.pop();
      return;
    }
    if (saw !== undefined) this.#values.addWitness(saw, 1);
    this.#revisions.putBack(move.operation);
    if (from.call.match !== undefined) relink(from.call.match);
    relink(from.call);
    this.#done.flip(move.operation);
    this.#completedLeft++;
  }
}

/** The operations that led to the last frame, in their order. */
function taken<State>(frames: readonly Frame<State>[]): readonly number[] {
  return frames.flatMap((frame) => (frame.taken === undefined ? [] : [frame.taken.operation]));
}

/** L5: the completed operations by the revision they cannot come after, and the lowest of those that are left. */
class Revisions {
  readonly #of: readonly (RevisionOf | undefined)[];
  /** Operations with a revision, by it; and the place of each in this order. */
  readonly #order: readonly number[];
  readonly #placeOf: Int32Array;
  readonly #isTaken: Uint8Array;
  /** All before this place are taken. */
  #low = 0;

  constructor(of: readonly (RevisionOf | undefined)[]) {
    this.#of = of;
    const atMost = (operation: number): number => of[operation]?.atMost ?? 0;
    this.#order = [...of.keys()]
      .filter((operation) => of[operation] !== undefined)
      .sort((a, b) => atMost(a) - atMost(b));
    this.#placeOf = new Int32Array(of.length);
    for (const [place, operation] of this.#order.entries()) this.#placeOf[operation] = place;
    this.#isTaken = new Uint8Array(this.#order.length);
  }

  /** It would raise the revision above that of an operation that is left. */
  isTooEarly(operation: number): boolean {
    const own = this.#of[operation];
    const lowest = this.#order[this.#low];
    return own?.raises === true && lowest !== undefined && (this.#of[lowest]?.atMost ?? 0) < own.atMost;
  }

  take(operation: number): void {
    if (this.#of[operation] === undefined) return;
    this.#isTaken[this.#placeOf[operation] as number] = 1; // one per operation
    while (this.#isTaken[this.#low] === 1) this.#low++;
  }

  putBack(operation: number): void {
    if (this.#of[operation] === undefined) return;
    const place = this.#placeOf[operation] as number; // one per operation
    this.#isTaken[place] = 0;
    this.#low = Math.min(this.#low, place);
  }
}

/** How many operations that are not done write each value, and how many completed ones saw it. */
class Values {
  readonly #left = new Map<string, { writers: number; witnesses: number }>();

  addWriter(value: string, change: number): void {
    this.#of(value).writers += change;
  }

  addWitness(value: string, change: number): void {
    this.#of(value).witnesses += change;
  }

  canBeWritten(value: string): boolean {
    return (this.#left.get(value)?.writers ?? 0) > 0;
  }

  witnessesLeft(value: string): number {
    return this.#left.get(value)?.witnesses ?? 0;
  }

  #of(value: string): { writers: number; witnesses: number } {
    const known = this.#left.get(value);
    if (known !== undefined) return known;
    const added = { writers: 0, witnesses: 0 };
    this.#left.set(value, added);
    return added;
  }
}

/** Builds the list of calls and ends in their order; a call stands before an end of the same moment. */
function link(items: readonly Item<unknown, unknown>[]): Entry {
  const points: { readonly at: number; readonly entry: Entry }[] = [];
  for (const [index, { operation, end }] of items.entries()) {
    if (end === Number.POSITIVE_INFINITY) continue;
    const match: Entry = { operation: index, match: undefined, previous: undefined, next: undefined };
    points.push({ at: operation.call, entry: { operation: index, match, previous: undefined, next: undefined } });
    points.push({ at: end, entry: match });
  }
  const isEnd = (entry: Entry): number => (entry.match === undefined ? 1 : 0);
  points.sort((a, b) => (a.at === b.at ? isEnd(a.entry) - isEnd(b.entry) : a.at - b.at));
  const head: Entry = { operation: -1, match: undefined, previous: undefined, next: undefined };
  let last = head;
  for (const { entry } of points) {
    last.next = entry;
    entry.previous = last;
    last = entry;
  }
  return head;
}

function unlink(entry: Entry): void {
  if (entry.previous !== undefined) entry.previous.next = entry.next;
  if (entry.next !== undefined) entry.next.previous = entry.previous;
}

/** Undoes `unlink`; works because entries are put back in the reverse order of their taking (dancing links). */
function relink(entry: Entry): void {
  if (entry.previous !== undefined) entry.previous.next = entry;
  if (entry.next !== undefined) entry.next.previous = entry;
}

/**
 * The set of completed operations that are done, with a hash that changes in O(1) (Zobrist 1970) and a compact copy:
 * operations are ordered by their call, so nearly all before a window are in and all behind it are out.
 */
class DoneSet {
  readonly #words: Uint32Array;
  readonly #codes: Uint32Array;
  #hash = 0;

  constructor(size: number) {
    this.#words = new Uint32Array((size >>> 5) + 1);
    const prng = new Prng(size);
    this.#codes = Uint32Array.from({ length: size }, () => prng.u32());
  }

  flip(index: number): void {
    const word = index >>> 5;
    this.#words[word] = (this.#words[word] as number) ^ (1 << (index & 31)); // sized for every index
    this.#hash ^= this.#codes[index] as number;
  }

  copy(): DoneCopy {
    const words = this.#words;
    let from = 0;
    while (from < words.length && words[from] === 0xffff_ffff) from++;
    let to = words.length;
    while (to > from && words[to - 1] === 0) to--;
    return { hash: this.#hash, from, words: words.slice(from, to) };
  }
}

interface DoneCopy {
  readonly hash: number;
  /** All words before this one are full, all after `words` are empty. */
  readonly from: number;
  readonly words: Uint32Array;
}

/** How many unknown operations of each class were used up: class, count, class, count …, by rising class; none is 0. */
type UsedUp = readonly number[];

const NONE_USED: UsedUp = [];

interface SeenPlace extends DoneCopy {
  readonly state: string | number;
  /** Several ways that none beats. */
  used: UsedUp[];
}

/**
 * The places from which the search has been. Sets are compared in full: a hash alone could lie. A place where the same
 * operations are done and the state is the same, but no class of unknown operations is used up less, has nothing to add:
 * whatever can follow there can follow here.
 */
class Seen {
  readonly #buckets = new Map<number, SeenPlace[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** False if the search has been at this place, or at a better one. */
  add(done: DoneCopy, used: UsedUp, state: string | number): boolean {
    const bucket = this.#buckets.get(done.hash);
    const place = bucket?.find((p) => p.state === state && sameSet(p, done));
    if (place === undefined) {
      const added = { ...done, state, used: [used] };
      if (bucket === undefined) this.#buckets.set(done.hash, [added]);
      else bucket.push(added);
      this.#size++;
      return true;
    }
    if (place.used.some((other) => isAtMost(other, used))) return false;
    place.used = place.used.filter((other) => !isAtMost(used, other));
    place.used.push(used);
    this.#size++;
    return true;
  }
}

function isAtMost(a: UsedUp, b: UsedUp): boolean {
  let j = 0;
  for (let i = 0; i < a.length; i += 2) {
    const of = a[i] as number; // both lists are made of pairs
    while (j < b.length && (b[j] as number) < of) j += 2;
    if (j >= b.length || b[j] !== of || (b[j + 1] as number) < (a[i + 1] as number)) return false;
  }
  return true;
}

function sameSet(a: DoneCopy, b: DoneCopy): boolean {
  if (a.from !== b.from || a.words.length !== b.words.length) return false;
  for (let i = 0; i < a.words.length; i++) if (a.words[i] !== b.words[i]) return false;
  return true;
}
