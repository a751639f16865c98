/**
 * An ordered map from byte keys to byte values in memory: a list of sorted chunks.
 * Costs, n entries in n/128 chunks: get, put, delete O(log n) plus one chunk's move; view O(n/128), and then each chunk is
 * copied on its first change. Keys are compared as strings of one character a byte, which is the order of memcmp.
 */
import { assert } from "../../base/assert.ts";

const CHUNK_ENTRIES_MAX = 256;

export interface MapEntry {
  /** One character a byte. */
  readonly name: string;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

interface Chunk {
  readonly entries: MapEntry[];
  /** The era in which the chunk was made; only chunks of the present era may be changed. */
  readonly era: number;
}

/** A frozen map. */
export interface MapView {
  get(name: string): MapEntry | undefined;
  /** Entries in [from, to); `to` undefined: to the end. Backwards with `reverse`. */
  range(from: string, to: string | undefined, reverse: boolean): Iterable<MapEntry>;
}

export class SortedMap implements MapView {
  #chunks: Chunk[] = [];
  #era = 0;
  #count = 0;
  #bytes = 0;

  get count(): number {
    return this.#count;
  }

  /** Sum of the lengths of keys and values. */
  get bytes(): number {
    return this.#bytes;
  }

  get(name: string): MapEntry | undefined {
    return findEntry(this.#chunks, name);
  }

  range(from: string, to: string | undefined, reverse: boolean): Iterable<MapEntry> {
    return rangeOf(this.#chunks, from, to, reverse);
  }

  /** The map as it stands, whatever happens to it later. */
  view(): MapView {
    const chunks = this.#chunks.slice();
    this.#era++;
    return {
      get: (name) => findEntry(chunks, name),
      range: (from, to, reverse) => rangeOf(chunks, from, to, reverse),
    };
  }

  put(entry: MapEntry): void {
    if (this.#chunks.length === 0) this.#chunks.push({ entries: [], era: this.#era });
    const index = chunkIndex(this.#chunks, entry.name);
    const { entries } = this.#writable(index);
    const at = lowerBound(entries, entry.name);
    const before = entries[at];
    this.#bytes += entry.key.length + entry.value.length;
    if (before?.name === entry.name) {
      this.#bytes -= before.key.length + before.value.length;
      entries[at] = entry;
      return;
    }
    entries.splice(at, 0, entry);
    this.#count++;
    if (entries.length > CHUNK_ENTRIES_MAX) {
      const upper = entries.splice(entries.length >> 1);
      this.#chunks.splice(index + 1, 0, { entries: upper, era: this.#era });
    }
  }

  delete(name: string): void {
    if (this.get(name) !== undefined) this.deleteRange(name, `${name}\0`);
  }

  /** Removes all entries in [from, to). */
  deleteRange(from: string, to: string): void {
    for (let index = chunkIndex(this.#chunks, from); ; ) {
      const chunk = this.#chunks[index];
      if (chunk === undefined) return;
      const { length } = chunk.entries;
      const first = lowerBound(chunk.entries, from);
      const end = lowerBound(chunk.entries, to);
      if (first < end) this.#remove(index, first, end);
      if (end < length) return; // what is left of this chunk lies at or above `to`
      if (first > 0 || length === 0) index++; // else the chunk is gone and the next one has its place
    }
  }

  #remove(index: number, first: number, end: number): void {
    const { entries } = this.#writable(index);
    for (const { key, value } of entries.splice(first, end - first)) this.#bytes -= key.length + value.length;
    this.#count -= end - first;
    if (entries.length === 0) this.#chunks.splice(index, 1);
  }

  #writable(index: number): Chunk {
    const chunk = this.#chunks[index];
    assert(chunk !== undefined, "a chunk below the count");
    if (chunk.era === this.#era) return chunk;
    const copy = { entries: chunk.entries.slice(), era: this.#era };
    this.#chunks[index] = copy;
    return copy;
  }
}

/** The last chunk whose first entry is not above `name`; 0 if there is none. */
function chunkIndex(chunks: readonly Chunk[], name: string): number {
  let low = 0;
  let high = chunks.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const first = chunks[middle]?.entries[0];
    if (first !== undefined && first.name <= name) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}

/** The first position whose entry is not below `name`. */
function lowerBound(entries: readonly MapEntry[], name: string): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const entry = entries[middle];
    if (entry !== undefined && entry.name < name) low = middle + 1;
    else high = middle;
  }
  return low;
}

function findEntry(chunks: readonly Chunk[], name: string): MapEntry | undefined {
  const entries = chunks[chunkIndex(chunks, name)]?.entries;
  if (entries === undefined) return undefined;
  const entry = entries[lowerBound(entries, name)];
  return entry?.name === name ? entry : undefined;
}

function* rangeOf(
  chunks: readonly Chunk[],
  from: string,
  to: string | undefined,
  reverse: boolean,
): Generator<MapEntry, void, undefined> {
  if (reverse) {
    let index = to === undefined ? chunks.length - 1 : chunkIndex(chunks, to);
    for (; index >= 0; index--) {
      const entries = chunks[index]?.entries ?? [];
      for (let at = (to === undefined ? entries.length : lowerBound(entries, to)) - 1; at >= 0; at--) {
        const entry = entries[at];
        if (entry === undefined || entry.name < from) return;
        yield entry;
      }
    }
    return;
  }
  for (let index = chunkIndex(chunks, from); index < chunks.length; index++) {
    const entries = chunks[index]?.entries ?? [];
    for (let at = lowerBound(entries, from); at < entries.length; at++) {
      const entry = entries[at];
      if (entry === undefined || (to !== undefined && entry.name >= to)) return;
      yield entry;
    }
  }
}
