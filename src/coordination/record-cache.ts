/**
 * The newest records that were read from disk lately, up to a bound in bytes, so that hot keys do not go to the engine. The
 * records hang on their index entries; this keeps account and evicts by the clock algorithm (a second chance for what was
 * used again). Records since the last checkpoint are in memory anyway and never come here.
 */
import { assert } from "../base/assert.ts";
import type { KeyEntry } from "./key-index.ts";
import { type HistoryRecord, recordBytes } from "./record.ts";

const IDLE = 0;
const USED = 1;

export class RecordCache {
  readonly #bytesMax: number;
  #bytes = 0;
  #count = 0;
  /** Entries in the order in which they came; `#hand` is where the oldest stands. Some may have lost their record. */
  #queue: KeyEntry[] = [];
  #hand = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The entry's newest record if it is here. Whoever changes the entry calls `forget`. */
  get(entry: KeyEntry): HistoryRecord | undefined {
    const record = entry.cached;
    if (record === undefined) return undefined;
    assert(record.kv.modRevision === entry.main && record.sub === entry.sub, "a cached record is the newest", {
      cached: record.kv.modRevision,
      newest: entry.main,
    });
    entry.cacheMark = USED;
    return record;
  }

  put(entry: KeyEntry, record: HistoryRecord): void {
    const size = recordBytes(record);
    if (size > this.#bytesMax / 8) return; // one large value must not sweep out everything else
    this.forget(entry);
    entry.cached = record;
    entry.cacheMark = IDLE;
    this.#bytes += size;
    this.#count++;
    this.#queue.push(entry);
    while (this.#bytes > this.#bytesMax) this.#evictOne();
    if (this.#queue.length > 2 * this.#count + 1_024) this.#sweep();
  }

  forget(entry: KeyEntry): void {
    if (entry.cached === undefined) return;
    this.#bytes -= recordBytes(entry.cached);
    this.#count--;
    entry.cached = undefined;
  }

  clear(): void {
    for (const entry of this.#queue) entry.cached = undefined;
    this.#queue = [];
    this.#hand = 0;
    this.#bytes = 0;
    this.#count = 0;
  }

  /** Takes what is used up and what stands twice out of the queue: it stays in proportion to what is cached. */
  #sweep(): void {
    const live = new Set<KeyEntry>();
    for (let i = this.#hand; i < this.#queue.length; i++) {
      const entry = this.#queue[i];
      if (entry?.cached !== undefined) live.add(entry);
    }
    this.#queue = [...live];
    this.#hand = 0;
  }

  #evictOne(): void {
    const entry = this.#queue[this.#hand++];
    if (entry?.cached === undefined) return;
    if (entry.cacheMark === USED) {
      entry.cacheMark = IDLE;
      this.#queue.push(entry);
    } else this.forget(entry);
  }
}
