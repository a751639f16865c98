/**
 * Keys with all their revisions: etcd v3's data model. Every change gets a revision (main, sub): one main revision for a
 * whole transaction, subs for the changes within it. Reads name a main revision and see the state after it.
 * Source: etcd documentation, "Data model" and "API guarantees".
 *
 * M1. The main revision rises by one with each transaction that changes something, and by nothing else.
 * M2. What a read at a revision ≥ `compactRevision` gives never changes, whatever is compacted or written to disk.
 * M3. Physical deletion runs behind `compact` in bounded steps and shows nowhere: equal commands, equal answers.
 */
import { assert } from "../base/assert.ts";
import type { EtcdErrorCode } from "./etcd-error.ts";
import type { History } from "./history.ts";
import { KeyEntry, type KeyIndex, type Place } from "./key-index.ts";
import type { LeaseTable } from "./lease-table.ts";
import type { KeyValue } from "./messages.ts";
import { bytesOfName, type HistoryRecord } from "./record.ts";
import type { RecordCache } from "./record-cache.ts";

/** etcd's first revision, before anything was written. */
export const FIRST_REVISION = 1;
/** Nothing was ever compacted. */
export const NEVER_COMPACTED = -1;

/** Keys by name, as `latin1` makes it: one key, or from ≤ key < to, `to` undefined meaning the end. */
export type KeyRange =
  | { readonly type: "one"; readonly name: string }
  | { readonly type: "span"; readonly from: string; readonly to: string | undefined };

export interface Selection {
  readonly kvs: KeyValue[];
  /** All keys in the range at that revision, also beyond the limit. */
  readonly count: number;
}

export interface MvccParts {
  readonly index: KeyIndex;
  readonly history: History;
  readonly cache: RecordCache;
  readonly leases: LeaseTable;
  readonly latin1: (bytes: Uint8Array) => string;
}

const COMPACTION_PAGE = 256;

export class Mvcc {
  readonly #index: KeyIndex;
  readonly #history: History;
  readonly #cache: RecordCache;
  readonly #leases: LeaseTable;
  readonly #latin1: (bytes: Uint8Array) => string;
  #revision = FIRST_REVISION;
  #compactRevision = NEVER_COMPACTED;
  /** Everything below this is physically gone from the index. */
  #compacted = NEVER_COMPACTED;
  /** The last name that the running compaction has dealt with. */
  #cursor: string | undefined;
  #recordCount = 0;
  /** Changes of the transaction in work; undefined outside of one. */
  #sub: number | undefined;

  constructor(parts: MvccParts) {
    this.#index = parts.index;
    this.#history = parts.history;
    this.#cache = parts.cache;
    this.#leases = parts.leases;
    this.#latin1 = parts.latin1;
  }

  /** The main revision of the last transaction that changed something. */
  get revision(): number {
    return this.#revision;
  }

  get compactRevision(): number {
    return this.#compactRevision;
  }

  /** Records that the index refers to: as many as a snapshot must hold. */
  get recordCount(): number {
    return this.#recordCount;
  }

  get keyCount(): number {
    return this.#index.size;
  }

  /** The revision that a read sees now: within a transaction its own writes count. */
  get readRevision(): number {
    return this.#sub === undefined || this.#sub === 0 ? this.#revision : this.#revision + 1;
  }

  /** What etcd's (key, range_end) pair names: no end, one key; an end of one zero byte, everything from the key on. */
  keyRange(key: Uint8Array, rangeEnd: Uint8Array): KeyRange {
    const from = this.#latin1(key);
    if (rangeEnd.length === 0) return { type: "one", name: from };
    return { type: "span", from, to: rangeEnd.length === 1 && rangeEnd[0] === 0 ? undefined : this.#latin1(rangeEnd) };
  }

  // Writing

  begin(): void {
    assert(this.#sub === undefined, "one transaction at a time");
    this.#sub = 0;
  }

  /** Ends the transaction; the revision afterwards. */
  commit(): number {
    assert(this.#sub !== undefined, "a transaction ends that began");
    if (this.#sub > 0) this.#revision++;
    this.#sub = undefined;
    return this.#revision;
  }

  /** Within a transaction. The lease must exist or be 0. The bytes are kept: they must not change later. */
  put(key: Uint8Array, value: Uint8Array, lease: bigint): void {
    const main = this.#revision + 1;
    const sub = this.#nextSub();
    const name = this.#latin1(key);
    let entry = this.#index.get(name);
    if (entry === undefined) {
      entry = new KeyEntry(name, main, sub);
      this.#index.add(entry);
    } else {
      if (entry.lease !== lease) this.#leases.detach(entry.lease, entry);
      this.#cache.forget(entry);
      entry.advance(main, sub);
    }
    if (entry.createRevision === 0) entry.createRevision = main;
    entry.version++;
    entry.tombstone = false;
    if (lease !== 0n) this.#leases.attach(lease, entry);
    entry.lease = lease;
    const { createRevision, version } = entry;
    this.#history.append({
      kv: { key, createRevision, modRevision: main, version, value, lease },
      sub,
      tombstone: false,
      name: entry.name,
    });
  }

  /** Within a transaction: deletes what is in the range now, in order; how many keys. */
  deleteRange(range: KeyRange): number {
    if (range.type === "one") {
      const entry = this.#index.get(range.name);
      if (entry === undefined || entry.tombstone) return 0;
      this.#delete(entry);
      return 1;
    }
    let count = 0;
    for (const entry of this.#index.range(range.from, range.to)) {
      if (entry.tombstone) continue;
      this.#delete(entry); // moves no entry within the index
      count++;
    }
    return count;
  }

  /** Within a transaction: deletes the keys that hang on a lease, in order. */
  deleteLeased(entries: Iterable<KeyEntry>): void {
    const sorted = [...entries].sort((a, b) => (a.name < b.name ? -1 : 1)); // names differ
    for (const entry of sorted) this.#delete(entry);
  }

  #delete(entry: KeyEntry): void {
    const main = this.#revision + 1;
    const sub = this.#nextSub();
    this.#leases.detach(entry.lease, entry);
    this.#cache.forget(entry);
    entry.advance(main, sub);
    entry.tombstone = true;
    entry.createRevision = 0;
    entry.version = 0;
    entry.lease = 0n;
    this.#history.append({
      kv: {
        key: bytesOfName(entry.name),
        createRevision: 0,
        modRevision: main,
        version: 0,
        value: NO_BYTES,
        lease: 0n,
      },
      sub,
      tombstone: true,
      name: entry.name,
    });
  }

  #nextSub(): number {
    const sub = this.#sub;
    assert(sub !== undefined, "changes happen within a transaction");
    this.#sub = sub + 1;
    this.#recordCount++;
    return sub;
  }

  // Reading

  /** Why a read at `revision` cannot be answered; undefined if it can. 0 and less mean now. */
  refusal(revision: number): EtcdErrorCode | undefined {
    if (revision > this.readRevision) return "FUTURE_REVISION";
    if ((revision <= 0 ? this.readRevision : revision) < this.#compactRevision) return "COMPACTED";
    return undefined;
  }

  /** The key as it is now. */
  get(name: string): KeyValue | undefined {
    const entry = this.#index.get(name);
    return entry === undefined || entry.tombstone ? undefined : this.#load(entry, entry);
  }

  /** The key as it was after `revision`, which `refusal` allows. */
  getAt(name: string, revision: number): KeyValue | undefined {
    const entry = this.#index.get(name);
    const place = entry?.at(revision);
    return entry === undefined || place === undefined ? undefined : this.#load(entry, place);
  }

  /** Keys in the range after `revision` (0: now), which `refusal` allows, in order; at most `limit` of them (0: all). */
  select(range: KeyRange, revision: number, limit: number, options: { readonly countOnly: boolean }): Selection {
    const at = revision <= 0 ? this.readRevision : revision;
    if (range.type === "one") {
      const entry = this.#index.get(range.name);
      const place = entry?.at(at);
      if (entry === undefined || place === undefined) return { kvs: [], count: 0 };
      return { kvs: options.countOnly ? [] : [this.#load(entry, place)], count: 1 };
    }
    const kvs: KeyValue[] = [];
    let count = 0;
    for (const entry of this.#index.range(range.from, range.to)) {
      const place = entry.at(at);
      if (place === undefined) continue;
      count++;
      if (!options.countOnly && (limit <= 0 || kvs.length < limit)) kvs.push(this.#load(entry, place));
    }
    return { kvs, count };
  }

  /** Entries of the keys in the range as they are now, for those who need no values. */
  live(range: KeyRange): KeyEntry[] {
    if (range.type === "span") return [...this.#index.range(range.from, range.to)].filter((entry) => !entry.tombstone);
    const entry = this.#index.get(range.name);
    return entry === undefined || entry.tombstone ? [] : [entry];
  }

  /** The key-value pair behind a live entry. */
  newest(entry: KeyEntry): KeyValue {
    return this.#load(entry, entry);
  }

  #load(entry: KeyEntry, place: Place): KeyValue {
    if (this.#history.inMemory(place.main)) return this.#history.get(place.main, place.sub).kv;
    if (place !== entry) return this.#history.get(place.main, place.sub).kv;
    const cached = this.#cache.get(entry);
    if (cached !== undefined) return cached.kv;
    const record = this.#history.get(place.main, place.sub);
    this.#cache.put(entry, record);
    return record.kv;
  }

  /** Changes with from ≤ main ≤ to, in order; to be used up before anything is applied. */
  changes(from: number, to: number): Generator<HistoryRecord, void, undefined> {
    return this.#history.scan(from, to, Math.max(this.#compactRevision, FIRST_REVISION));
  }

  // Compaction

  /** Forgets what only reads before `revision` could see. Reads before it are refused from now on. */
  compact(revision: number): EtcdErrorCode | undefined {
    if (revision <= this.#compactRevision) return "COMPACTED";
    if (revision > this.#revision) return "FUTURE_REVISION";
    this.#compactRevision = revision;
    this.#cursor = undefined;
    return undefined;
  }

  get compactionPending(): boolean {
    return this.#compacted < this.#compactRevision;
  }

  /** Everything up to this was physically removed from the index. */
  get compactedRevision(): number {
    return this.#compacted;
  }

  /** One bounded step of physical deletion. True if there is more to do. */
  compactStep(): boolean {
    if (!this.compactionPending) return false;
    const page = this.#index.page(this.#cursor, COMPACTION_PAGE);
    const drop = (main: number, sub: number): void => {
      this.#history.drop(main, sub);
      this.#recordCount--;
    };
    for (const entry of page) {
      const gone = entry.compact(this.#compactRevision, drop);
      if (!gone) continue;
      this.#cache.forget(entry);
      this.#index.remove(entry.name);
    }
    this.#cursor = page[page.length - 1]?.name;
    if (page.length === COMPACTION_PAGE) return true;
    this.#compacted = this.#compactRevision;
    this.#cursor = undefined;
    return false;
  }

  finishCompaction(): void {
    while (this.compactStep());
  }

  // Loading

  /** Starts over; `load` the records of the engine next, in order. */
  reset(state: { readonly revision: number; readonly compactRevision: number; readonly compacted: number }): void {
    assert(this.#sub === undefined, "no transaction is open");
    this.#index.clear();
    this.#cache.clear();
    this.#history.reset(state.revision);
    this.#revision = state.revision;
    this.#compactRevision = state.compactRevision;
    this.#compacted = state.compacted;
    this.#cursor = undefined;
    this.#recordCount = 0;
  }

  /** Enters a record that the engine holds. Leases must be there already. */
  load(record: HistoryRecord): void {
    const { kv, sub, tombstone } = record;
    this.#recordCount++;
    let entry = this.#index.get(record.name);
    if (entry === undefined) {
      entry = new KeyEntry(record.name, kv.modRevision, sub);
      this.#index.add(entry);
    } else {
      this.#leases.detach(entry.lease, entry);
      entry.advance(kv.modRevision, sub);
    }
    entry.tombstone = tombstone;
    entry.createRevision = kv.createRevision;
    entry.version = kv.version;
    entry.lease = kv.lease;
    this.#leases.attach(kv.lease, entry);
  }
}

const NO_BYTES: Uint8Array = new Uint8Array(0);
