/**
 * Small stores that keep exactly one isolation level each, to try checkers, and the tests that use them, on histories with
 * known faults. They hold everything in memory and run one call at a time; the interleaving comes from the caller.
 * Source  Berenson et al. 1995 (what each level lets happen); Kung & Robinson 1981 (validation at commit).
 *
 * E1. strict-serializable: what was read is still the latest at commit, which takes effect in that moment.
 * E2. serializable: as E1, but who only reads may be served from an old, consistent state; so real time can be violated.
 * E3. snapshot-isolation: reads from the state at the beginning; of two that overlap and write one key, one aborts.
 * E4. read-committed: each read is of the latest committed state; a written key is locked until the end, so that writes of
 *     two transactions do not mix; who meets a lock is aborted.
 * E5. read-uncommitted: writes are visible at once, and are taken back if the transaction aborts; locks as in E4.
 */
import { assert } from "../../base/assert.ts";
import { Prng } from "../../base/prng.ts";
import type { Level } from "./anomalies.ts";
import type { TxnValue } from "./transaction.ts";

/** What a key holds: a list with appends, or a single value with writes; kept as a list of all values in both cases. */
type Contents = readonly TxnValue[];

/** One transaction of a store. After `commit` or `abort` it is over. */
export interface StoreTransaction {
  /** All values written to the key so far, as this transaction sees them; the last is the register's value. */
  read(key: string): Contents;
  /** False: the store aborted the transaction instead. */
  write(key: string, value: TxnValue): boolean;
  /** False: the store aborted it instead. */
  commit(): boolean;
  abort(): void;
}

export interface TxnStore {
  begin(): StoreTransaction;
}

/**
 * A store that keeps this level and, given overlapping clients, shows that it keeps no stronger one. The seed decides how old
 * the states are that a "serializable" store reads from; at the other levels nothing is left to chance.
 */
export function makeStore(level: Level, seed: number): TxnStore {
  const prng = new Prng(seed);
  const state = new CommittedState();
  const locks: Locks = new Map();
  switch (level) {
    case "strict-serializable":
      return { begin: () => new ValidatingTransaction(state, state.now) };
    case "serializable":
      return { begin: () => new ValidatingTransaction(state, Math.max(0, state.now - prng.below(STALE_COMMITS_MAX))) };
    case "snapshot-isolation":
      return { begin: () => new SnapshotTransaction(state) };
    case "read-committed":
      return { begin: () => new ReadCommittedTransaction(state, locks) };
    case "read-uncommitted": {
      const shared = new Map<string, TxnValue[]>();
      return { begin: () => new ReadUncommittedTransaction(shared, locks) };
    }
  }
}

const STALE_COMMITS_MAX = 8;
const NONE: Contents = [];

/** Every committed state there was, by the number of commits. */
class CommittedState {
  readonly #versions = new Map<string, { readonly at: number; readonly contents: Contents }[]>();
  #commits = 0;

  get now(): number {
    return this.#commits;
  }

  readAt(key: string, moment: number): Contents {
    return this.#versions.get(key)?.findLast(({ at }) => at <= moment)?.contents ?? NONE;
  }

  changedAt(key: string): number {
    return this.#versions.get(key)?.at(-1)?.at ?? 0;
  }

  install(writes: ReadonlyMap<string, Contents>): void {
    if (writes.size === 0) return;
    const at = ++this.#commits;
    for (const [key, values] of writes) {
      const contents = [...this.readAt(key, at), ...values];
      const versions = this.#versions.get(key);
      if (versions === undefined) this.#versions.set(key, [{ at, contents }]);
      else versions.push({ at, contents });
    }
  }
}

/** Writes that nobody else sees yet. */
class WriteBuffer {
  readonly #writes = new Map<string, TxnValue[]>();

  get all(): ReadonlyMap<string, Contents> {
    return this.#writes;
  }

  add(key: string, value: TxnValue): void {
    const values = this.#writes.get(key);
    if (values === undefined) this.#writes.set(key, [value]);
    else values.push(value);
  }

  over(key: string, contents: Contents): Contents {
    const own = this.#writes.get(key);
    return own === undefined ? contents : [...contents, ...own];
  }
}

/** E1 and, with an old snapshot, E2. */
class ValidatingTransaction implements StoreTransaction {
  readonly #state: CommittedState;
  readonly #snapshot: number;
  readonly #read = new Set<string>();
  readonly #buffer = new WriteBuffer();

  constructor(state: CommittedState, snapshot: number) {
    this.#state = state;
    this.#snapshot = snapshot;
  }

  read(key: string): Contents {
    this.#read.add(key);
    return this.#buffer.over(key, this.#state.readAt(key, this.#snapshot));
  }

  write(key: string, value: TxnValue): boolean {
    this.#buffer.add(key, value);
    return true;
  }

  commit(): boolean {
    const isOld = this.#snapshot < this.#state.now;
    const mayBeOld = this.#buffer.all.size === 0; // who only reads is consistent at its snapshot
    if (isOld && !mayBeOld && [...this.#read].some((key) => this.#state.changedAt(key) > this.#snapshot)) return false;
    this.#state.install(this.#buffer.all);
    return true;
  }

  abort(): void {}
}

/** E3 */
class SnapshotTransaction implements StoreTransaction {
  readonly #state: CommittedState;
  readonly #snapshot: number;
  readonly #buffer = new WriteBuffer();

  constructor(state: CommittedState) {
    this.#state = state;
    this.#snapshot = state.now;
  }

  read(key: string): Contents {
    return this.#buffer.over(key, this.#state.readAt(key, this.#snapshot));
  }

  write(key: string, value: TxnValue): boolean {
    this.#buffer.add(key, value);
    return true;
  }

  commit(): boolean {
    if ([...this.#buffer.all.keys()].some((key) => this.#state.changedAt(key) > this.#snapshot)) return false;
    this.#state.install(this.#buffer.all);
    return true;
  }

  abort(): void {}
}

/** Who may write a key until its transaction ends. */
type Locks = Map<string, StoreTransaction>;

function lock(locks: Locks, key: string, owner: StoreTransaction): boolean {
  const holder = locks.get(key) ?? owner;
  locks.set(key, holder);
  return holder === owner;
}

function unlockAll(locks: Locks, owner: StoreTransaction): void {
  for (const [key, holder] of locks) if (holder === owner) locks.delete(key);
}

/** E4 */
class ReadCommittedTransaction implements StoreTransaction {
  readonly #state: CommittedState;
  readonly #locks: Locks;
  readonly #buffer = new WriteBuffer();

  constructor(state: CommittedState, locks: Locks) {
    this.#state = state;
    this.#locks = locks;
  }

  read(key: string): Contents {
    return this.#buffer.over(key, this.#state.readAt(key, this.#state.now));
  }

  write(key: string, value: TxnValue): boolean {
    if (!lock(this.#locks, key, this)) {
      this.abort();
      return false;
    }
    this.#buffer.add(key, value);
    return true;
  }

  commit(): boolean {
    this.#state.install(this.#buffer.all);
    unlockAll(this.#locks, this);
    return true;
  }

  abort(): void {
    unlockAll(this.#locks, this);
  }
}

/** E5 */
class ReadUncommittedTransaction implements StoreTransaction {
  readonly #shared: Map<string, TxnValue[]>;
  readonly #locks: Locks;
  readonly #written: { readonly key: string; readonly value: TxnValue }[] = [];

  constructor(shared: Map<string, TxnValue[]>, locks: Locks) {
    this.#shared = shared;
    this.#locks = locks;
  }

  read(key: string): Contents {
    return [...(this.#shared.get(key) ?? NONE)];
  }

  write(key: string, value: TxnValue): boolean {
    if (!lock(this.#locks, key, this)) {
      this.abort();
      return false;
    }
    this.#written.push({ key, value });
    const contents = this.#shared.get(key);
    if (contents === undefined) this.#shared.set(key, [value]);
    else contents.push(value);
    return true;
  }

  commit(): boolean {
    unlockAll(this.#locks, this);
    return true;
  }

  abort(): void {
    for (const { key, value } of this.#written) {
      const contents = this.#shared.get(key);
      assert(contents?.includes(value) === true, "a dirty write is there until it is taken back", { key, value });
      contents.splice(contents.indexOf(value), 1);
    }
    unlockAll(this.#locks, this);
  }
}
