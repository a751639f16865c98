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
 */
import { assert } from "../../base/assert.ts";
import { Prng } from "../../base/prng.ts";
import type { Operation } from "./history.ts";

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
}

export interface ValuesOf {
  readonly writes?: string | undefined;
  /** The output proves that this value was written before. */
  readonly saw?: string | undefined;
  /** The input distinguishes this value from others. */
  readonly names?: string | undefined;
}

export type Verdict<Input, Output> =
  | { readonly type: "ok"; readonly operations: number; readonly steps: number }
  | {
      readonly type: "violation";
      readonly partition: string;
      /** The longest order found, and the completed operation that fits nowhere after it. */
      readonly order: readonly Operation<Input, Output>[];
      readonly stuck: Operation<Input, Output>;
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
  const budget: Budget = {
    steps: 0,
    stepsMax: options.stepsMax ?? STEPS_MAX,
    isOver: options.isOver,
    askAt: ASK_EVERY,
  };
  let unknown: Verdict<Input, Output> | undefined;
  for (const [name, part] of partitions) {
    const verdict = new Search(model, name, prepare(model, part), budget).run();
    if (verdict.type === "violation") return verdict;
    if (verdict.type === "unknown") unknown ??= verdict;
  }
  return unknown ?? { type: "ok", operations: operations.length, steps: budget.steps };
}

/** An operation as the search sees it. */
interface Item<Input, Output> {
  readonly operation: Operation<Input, Output>;
  readonly input: Input;
  readonly end: number;
}

/**
 * Takes guesswork out of unknown outcomes:
 * - If only one operation writes some value, and a completed one saw that value, then the writer took effect before the
 *   witness ended. It gets that end, and is unknown no longer.
 * - If nobody saw or names the value that an unknown operation writes, one such value is as good as another: `forget`
 *   makes them all the same, and operations that are the same can stand in for each other.
 */
function prepare<State, Input, Output>(
  model: Model<State, Input, Output>,
  operations: readonly Operation<Input, Output>[],
): readonly Item<Input, Output>[] {
  const witnessed = new Map<string, number>();
  const named = new Set<string>();
  const writers = new Map<string, number>();
  for (const { input, output, end } of operations) {
    const { writes, saw, names } = model.values?.(input, output) ?? {};
    if (writes !== undefined) writers.set(writes, (writers.get(writes) ?? 0) + 1);
    if (saw !== undefined) witnessed.set(saw, Math.min(end, witnessed.get(saw) ?? end));
    if (names !== undefined) named.add(names);
  }
  return operations.map((operation) => {
    const { input, output, call, end } = operation;
    const writes = model.values?.(input, output).writes;
    if (end !== Number.POSITIVE_INFINITY || writes === undefined) return { operation, input, end };
    const seenBy = witnessed.get(writes);
    if (seenBy === undefined && !named.has(writes)) return { operation, input: model.forget?.(input) ?? input, end };
    // A witness that ended before the call is a violation, which the search finds without this.
    const known = seenBy !== undefined && writers.get(writes) === 1 && seenBy > call;
    return { operation, input, end: known ? seenBy : end };
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

class Search<State, Input, Output> {
  readonly #model: Model<State, Input, Output>;
  readonly #partition: string;
  readonly #items: readonly Item<Input, Output>[];
  readonly #budget: Budget;
  readonly #head: Entry;
  /**
   * Unknown operations with equal inputs, by their call. They can stand in for each other, and the one called first can
   * come wherever another can, so they are taken in this order and a count says which are.
   */
  readonly #classes: readonly (readonly number[])[];
  readonly #used: Uint32Array;
  readonly #done: DoneSet;
  readonly #seen = new Seen();
  #completedLeft = 0;

  constructor(
    model: Model<State, Input, Output>,
    partition: string,
    items: readonly Item<Input, Output>[],
    budget: Budget,
  ) {
    this.#model = model;
    this.#partition = partition;
    this.#items = items;
    this.#budget = budget;
    const classes = new Map<string, number[]>();
    for (const [index, { operation, input, end }] of items.entries()) {
      assert(operation.end > operation.call, "an operation ends after its call", operation);
      if (end !== Number.POSITIVE_INFINITY) {
        this.#completedLeft++;
        continue;
      }
      const name = JSON.stringify(input);
      const known = classes.get(name);
      if (known === undefined) classes.set(name, [index]);
      else known.push(index);
    }
    this.#classes = [...classes.values()];
    for (const members of classes.values()) members.sort((a, b) => this.#callOf(a) - this.#callOf(b));
    this.#used = new Uint32Array(this.#classes.length);
    this.#done = new DoneSet(items.length);
    this.#head = link(items);
  }

  run(): Verdict<Input, Output> {
    const frames: Frame<State>[] = [this.#frame(this.#model.init(), undefined, undefined)];
    let best: { readonly order: readonly number[]; readonly stuck: number } | undefined;
    while (this.#completedLeft > 0) {
      const over = this.#isOver();
      if (over !== undefined) {
        return { type: "unknown", partition: this.#partition, why: over, steps: this.#budget.steps };
      }
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
          const order = frames.flatMap((f) => (f.taken === undefined ? [] : [f.taken.operation]));
          best = { order, stuck: this.#firstEnd().operation };
        }
        frames.pop();
        if (frame.taken !== undefined) this.#putBack(frame.taken);
      }
    }
    return { type: "ok", operations: this.#items.length, steps: this.#budget.steps };
  }

  /** Whether an operation that is dead anyway was used up makes no difference. */
  #usedThatCounts(state: State): Uint32Array {
    const used = this.#used.slice();
    const model = this.#model;
    if (model.isDead === undefined) return used;
    for (const [of, members] of this.#classes.entries()) {
      if (used[of] === 0 || members[0] === undefined) continue;
      if (model.isDead(state, this.#item(members[0]).input)) used[of] = 0;
    }
    return used;
  }

  #frame(state: State, taken: Move<State> | undefined, before: State | undefined): Frame<State> {
    const frame: Frame<State> = { state, taken, before, moves: [], nextMove: 0, phase: "completed" };
    const moves: Move<State>[] = [];
    // Those that began before the first end that is left: any of them may come next.
    for (let entry = this.#head.next; entry?.match !== undefined; entry = entry.next) {
      this.#tryMove(frame, entry.operation, { type: "completed", call: entry }, moves);
    }
    frame.moves = moves;
    return frame;
  }

  #unknownMoves(frame: Frame<State>): readonly Move<State>[] {
    const moves: Move<State>[] = [];
    const before = this.#item(this.#firstEnd().operation).end;
    for (const [of, members] of this.#classes.entries()) {
      const index = members[this.#used[of] ?? 0];
      if (index !== undefined && this.#callOf(index) <= before)
        this.#tryMove(frame, index, { type: "unknown", of }, moves);
    }
    // Most operations take effect soon after their call or never: the newest is the best guess.
    return moves.sort((a, b) => this.#callOf(b.operation) - this.#callOf(a.operation));
  }

  #tryMove(frame: Frame<State>, operation: number, from: Move<State>["from"], moves: Move<State>[]): void {
    const state = this.#step(frame.state, operation);
    if (state === undefined) return;
    const move = { operation, from, state };
    if (!this.#isRedundant(frame, move)) moves.push(move);
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

  #violation(best: { readonly order: readonly number[]; readonly stuck: number } | undefined): Verdict<Input, Output> {
    assert(best !== undefined, "a search that failed has been somewhere");
    return {
      type: "violation",
      partition: this.#partition,
      order: best.order.map((index) => this.#item(index).operation),
      stuck: this.#item(best.stuck).operation,
      steps: this.#budget.steps,
    };
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
    if (from.type === "unknown") {
      this.#used[from.of] = (this.#used[from.of] ?? 0) + 1;
      return;
    }
    this.#done.flip(move.operation);
    unlink(from.call);
    if (from.call.match !== undefined) unlink(from.call.match);
    this.#completedLeft--;
  }

  #putBack(move: Move<State>): void {
    const { from } = move;
    if (from.type === "unknown") {
      this.#used[from.of] = (this.#used[from.of] ?? 0) - 1;
      return;
    }
    if (from.call.match !== undefined) relink(from.call.match);
    relink(from.call);
    this.#done.flip(move.operation);
    this.#completedLeft++;
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

interface SeenPlace extends DoneCopy {
  readonly state: string | number;
  /** How many unknown operations of each class had been used up; several ways that none beats. */
  used: Uint32Array[];
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
  add(done: DoneCopy, used: Uint32Array, state: string | number): boolean {
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

function isAtMost(a: Uint32Array, b: Uint32Array): boolean {
  for (let i = 0; i < a.length; i++) if ((a[i] as number) > (b[i] as number)) return false; // of one length
  return true;
}

function sameSet(a: DoneCopy, b: DoneCopy): boolean {
  if (a.from !== b.from || a.words.length !== b.words.length) return false;
  for (let i = 0; i < a.words.length; i++) if (a.words[i] !== b.words[i]) return false;
  return true;
}
