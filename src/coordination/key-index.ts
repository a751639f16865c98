/**
 * Which revisions each key has: the in-memory index over the history on disk (etcd calls its own `treeIndex`). Keys are
 * names: strings whose characters are the key's bytes, so that `<` on them is memcmp.
 *
 * Costs, n keys: get O(1); a new key O(log n) plus a move of at most BLOCK_KEYS pointers; a range O(log n + keys in it).
 *
 * X1. A name is in the map if and only if it is in exactly one block; blocks are in order, and none is empty.
 * X2. Within an entry, revisions rise strictly; `newest` is the last of them.
 */
import { assert } from "../base/assert.ts";
import type { HistoryRecord } from "./record.ts";

const BLOCK_KEYS = 512;

/** A place in an entry's history. */
export interface Place {
  readonly main: number;
  readonly sub: number;
}

/** One key's revisions. The newest stands in the fields; those before it in `#older`. */
export class KeyEntry {
  readonly name: string;
  main: number;
  sub: number;
  tombstone: boolean;
  /** Of the present generation; 0 after a deletion. */
  createRevision: number;
  version: number;
  lease: bigint;
  /** The newest record, if it was read from disk lately: owned by `RecordCache`. */
  cached: HistoryRecord | undefined = undefined;
  cacheMark = 0;
  /** Pairs (main, sub · 2 + tombstone), rising. Most keys of a compacted store have none. */
  #older: number[] | undefined = undefined;

  constructor(name: string, main: number, sub: number) {
    this.name = name;
    this.main = main;
    this.sub = sub;
    this.tombstone = false;
    this.createRevision = 0;
    this.version = 0;
    this.lease = 0n;
  }

  /** Makes (main, sub) the newest revision. The caller sets the fields that belong to it. */
  advance(main: number, sub: number): void {
    assert(main > this.main || (main === this.main && sub > this.sub), "X2: revisions of a key rise", {
      main,
      sub,
      newest: this.main,
    });
    const flagged = this.sub * 2 + (this.tombstone ? 1 : 0);
    if (this.#older === undefined) this.#older = [this.main, flagged];
    else this.#older.push(this.main, flagged);
    this.main = main;
    this.sub = sub;
  }

  /** Where the key's value at main revision `revision` stands; undefined if there was none or it was deleted. */
  at(revision: number): Place | undefined {
    if (this.main <= revision) return this.tombstone ? undefined : this;
    const older = this.#older;
    if (older === undefined) return undefined;
    let low = 0;
    let high = older.length / 2; // first pair beyond `revision`
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((older[2 * middle] ?? 0) <= revision) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return undefined;
    const main = older[2 * (low - 1)] ?? 0; // low - 1 is a pair
    const flagged = older[2 * (low - 1) + 1] ?? 0;
    return (flagged & 1) === 1 ? undefined : { main, sub: Math.floor(flagged / 2) };
  }

  /**
   * Forgets what no read at `revision` or later can see, and tells `drop` about each. What was changed *at* `revision`
   * stays, deletions too, so that a watch may begin there without a gap. True if nothing is left of the key.
   */
  compact(revision: number, drop: (main: number, sub: number) => void): boolean {
    const older = this.#older;
    if (older !== undefined) {
      const kept: number[] = [];
      for (let i = 0; i < older.length; i += 2) {
        const main = older[i] ?? 0;
        const flagged = older[i + 1] ?? 0;
        const nextMain = i + 2 < older.length ? (older[i + 2] ?? 0) : this.main;
        const superseded = main < revision && (nextMain <= revision || (flagged & 1) === 1);
        if (superseded) drop(main, Math.floor(flagged / 2));
        else kept.push(main, flagged);
      }
      this.#older = kept.length === 0 ? undefined : kept;
    }
    if (!this.tombstone || this.main >= revision) return false;
    drop(this.main, this.sub);
    return this.#older === undefined;
  }
}

export class KeyIndex {
  readonly #entries = new Map<string, KeyEntry>();
  #blocks: KeyEntry[][] = [];

  get size(): number {
    return this.#entries.size;
  }

  get(name: string): KeyEntry | undefined {
    return this.#entries.get(name);
  }

  /** Adds an entry whose name is new. */
  add(entry: KeyEntry): void {
    assert(!this.#entries.has(entry.name), "X1: a name stands once in the index");
    this.#entries.set(entry.name, entry);
    const at = this.#blockOf(entry.name);
    const block = this.#blocks[at];
    if (block === undefined) {
      this.#blocks.push([entry]);
      return;
    }
    const last = block[block.length - 1];
    if (last !== undefined && last.name < entry.name) block.push(entry);
    else block.splice(lowerBound(block, entry.name), 0, entry);
    if (block.length <= BLOCK_KEYS) return;
    // Appends leave the full half behind: keys that come in order fill their blocks.
    const cut = block[block.length - 1] === entry ? BLOCK_KEYS : BLOCK_KEYS >> 1;
    this.#blocks.splice(at + 1, 0, block.splice(cut));
  }

  remove(name: string): void {
    const existed = this.#entries.delete(name);
    assert(existed, "X1: only a name in the index is removed");
    const at = this.#blockOf(name);
    const block = this.#blocks[at];
    assert(block !== undefined, "X1: a name in the map stands in a block");
    const i = lowerBound(block, name);
    assert(block[i]?.name === name, "X1: a name in the map stands in its block");
    block.splice(i, 1);
    if (block.length === 0) this.#blocks.splice(at, 1);
  }

  clear(): void {
    this.#entries.clear();
    this.#blocks = [];
  }

  /** Entries with from ≤ name < to in order; `to` undefined: to the end. The index must not change meanwhile. */
  *range(from: string, to: string | undefined): Generator<KeyEntry, void, undefined> {
    if (to !== undefined && from >= to) return;
    let at = this.#blockOf(from);
    let i = lowerBound(this.#blocks[at] ?? [], from);
    for (; at < this.#blocks.length; at++, i = 0) {
      const block = this.#blocks[at] ?? [];
      for (; i < block.length; i++) {
        const entry = block[i];
        if (entry === undefined || (to !== undefined && entry.name >= to)) return;
        yield entry;
      }
    }
  }

  /** Up to `count` entries behind `after` in order; from the beginning if undefined. */
  page(after: string | undefined, count: number): KeyEntry[] {
    const page: KeyEntry[] = [];
    const from = after === undefined ? "" : `${after}\0`; // the least name greater than `after`
    for (const entry of this.range(from, undefined)) {
      page.push(entry);
      if (page.length === count) break;
    }
    return page;
  }

  /** The block that holds or would hold `name`: the last that begins at or before it. 0 if there is none. */
  #blockOf(name: string): number {
    const blocks = this.#blocks;
    let low = 0;
    let high = blocks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const first = blocks[middle]?.[0];
      if (first !== undefined && first.name <= name) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? 0 : low - 1;
  }
}

function lowerBound(block: readonly KeyEntry[], name: string): number {
  let low = 0;
  let high = block.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const entry = block[middle];
    if (entry !== undefined && entry.name < name) low = middle + 1;
    else high = middle;
  }
  return low;
}
