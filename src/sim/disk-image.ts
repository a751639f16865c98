/**
 * The content of one simulated file, twice: in the page cache and on the platter. Pages are shared between the two and
 * copied on the first write after a sync, so a clean file costs its content once and a hole costs nothing.
 *
 * D1. Only `beginSync` … `completeSync` moves data and length from the cache to the platter.
 * D2. Only pages written since the last sync can differ after a crash; there each sector is kept, lost, torn between old
 *     and new, or (rarely) garbage, independently. Garbage stays inside the bytes that were being written: like SQLite's
 *     "powersafe overwrite", we assume disks that do not harm the bytes beside a write.
 * D3. After a failed sync the pages count as clean although they never reached the platter: the next sync succeeds and
 *     proves nothing (Rebello et al. 2020).
 */
import type { Prng } from "../base/prng.ts";

export const PAGE_BYTES = 4_096;

const SPARE_PAGES_MAX = 8;

type Page = Uint8Array | undefined;

/** What a crash does to sectors that were written and not synced. Chances; the rest is kept. */
export interface CrashDamage {
  /** 512 or 4,096: what the disk writes atomically, if it does. */
  readonly sectorBytes: number;
  readonly lostChance: number;
  readonly tornChance: number;
  readonly garbageChance: number;
}

interface Capture {
  readonly pages: Map<number, Page>;
  readonly length: number;
}

export interface PendingSync {
  readonly capture: Capture;
}

export class DiskImage {
  #cache: Page[] = [];
  #cacheLength = 0;
  #platter: Page[] = [];
  #platterLength = 0;
  /** Pages whose cached version is private to the cache: written since they were last captured by a sync. */
  #dirty = new Set<number>();
  readonly #captures = new Set<Capture>();
  /** Memory for copies: making it anew for each write would be most of the cost of a write. */
  readonly #spare: Uint8Array[] = [];
  #pageCount = 0;
  #reservedPages = 0;

  get length(): number {
    return this.#cacheLength;
  }

  get durableLength(): number {
    return this.#platterLength;
  }

  /** Pages this file takes from the disk's capacity. */
  get pages(): number {
    return Math.max(this.#pageCount, this.#reservedPages);
  }

  /** Pages that a write of `length` bytes at `offset` would add. */
  pagesNeeded(offset: number, length: number): number {
    if (length === 0) return 0;
    let added = 0;
    const last = Math.floor((offset + length - 1) / PAGE_BYTES);
    for (let page = Math.floor(offset / PAGE_BYTES); page <= last; page++) {
      if (this.#cache[page] === undefined) added++;
    }
    return Math.max(0, this.#pageCount + added - this.pages);
  }

  reserve(length: number): void {
    this.#reservedPages = Math.max(this.#reservedPages, Math.ceil(length / PAGE_BYTES));
  }

  write(bytes: Uint8Array, offset: number): void {
    let at = offset;
    let done = 0;
    while (done < bytes.length) {
      const index = Math.floor(at / PAGE_BYTES);
      const start = at % PAGE_BYTES;
      const count = Math.min(bytes.length - done, PAGE_BYTES - start);
      this.#writable(index).set(bytes.subarray(done, done + count), start);
      at += count;
      done += count;
    }
    this.#cacheLength = Math.max(this.#cacheLength, at);
  }

  /** Fills `target` from `offset`; returns how many bytes there were. */
  read(target: Uint8Array, offset: number): number {
    const count = Math.max(0, Math.min(target.length, this.#cacheLength - offset));
    let done = 0;
    while (done < count) {
      const at = offset + done;
      const start = at % PAGE_BYTES;
      const part = Math.min(count - done, PAGE_BYTES - start);
      const page = this.#cache[Math.floor(at / PAGE_BYTES)];
      if (page === undefined) target.fill(0, done, done + part);
      else target.set(page.subarray(start, start + part), done);
      done += part;
    }
    return count;
  }

  truncate(length: number): void {
    if (length < this.#cacheLength) {
      const keep = Math.ceil(length / PAGE_BYTES);
      for (let index = keep; index < this.#cache.length; index++) {
        if (this.#cache[index] === undefined) continue;
        this.#cache[index] = undefined;
        this.#dirty.add(index);
        this.#pageCount--;
      }
      const rest = length % PAGE_BYTES;
      if (rest !== 0 && this.#cache[keep - 1] !== undefined) this.#writable(keep - 1).fill(0, rest);
      this.#reservedPages = Math.min(this.#reservedPages, keep);
    }
    this.#cacheLength = length;
  }

  /** Freezes what a sync that starts now will make durable. Later writes belong to the next one. */
  beginSync(): PendingSync {
    const pages = new Map<number, Page>();
    for (const index of this.#dirty) pages.set(index, this.#cache[index]);
    this.#dirty = new Set();
    const capture = { pages, length: this.#cacheLength };
    this.#captures.add(capture);
    return { capture };
  }

  /** A sync waits for pages that an earlier one is still writing, so completing one completes those before it. */
  completeSync(sync: PendingSync): void {
    if (!this.#captures.has(sync.capture)) return; // a later sync has completed it, or the machine crashed
    for (const capture of this.#captures) {
      for (const [index, page] of capture.pages) {
        this.#recycle(index, page);
        this.#platter[index] = page;
      }
      this.#platterLength = capture.length;
      this.#captures.delete(capture);
      if (capture === sync.capture) return;
    }
  }

  /** D3: the captured pages are clean now, and not on the platter. Called before any later sync of the file begins. */
  failSync(sync: PendingSync): void {
    this.#captures.delete(sync.capture);
  }

  /** Power is lost: the cache is gone, and of what was not synced the platter holds what D2 says. */
  crash(prng: Prng, damage: CrashDamage): void {
    const length = this.#crashLength(prng, damage);
    const touched = new Set<number>(this.#dirty);
    for (const capture of this.#captures) for (const index of capture.pages.keys()) touched.add(index);
    for (let index = 0; index < this.#cache.length; index++) {
      if (this.#cache[index] !== this.#platter[index]) touched.add(index); // also what a failed sync left behind, D3
    }
    for (const index of [...touched].sort((a, b) => a - b)) {
      const versions: Page[] = [];
      for (const capture of this.#captures) {
        if (capture.pages.has(index)) versions.push(capture.pages.get(index));
      }
      versions.push(this.#cache[index]);
      this.#platter[index] = mixSectors(prng, damage, this.#platter[index], versions);
    }
    this.#platterLength = length;
    this.#trimPlatter();
    this.#reload();
  }

  /** The process died and the machine did not: the page cache stays. In-flight syncs end nowhere. */
  processDied(): void {
    for (const capture of this.#captures) for (const index of capture.pages.keys()) this.#dirty.add(index);
    this.#captures.clear();
    // Pages of an unfinished sync may be shared with its capture only, which is gone: the cache owns them again.
  }

  /** Flips one bit on the platter. Seen once the cache is dropped, or at once in pages that are not cached. */
  flipBit(offset: number, bit: number): void {
    const index = Math.floor(offset / PAGE_BYTES);
    const page = this.#platter[index]?.slice() ?? new Uint8Array(PAGE_BYTES);
    const at = offset % PAGE_BYTES;
    page[at] = (page[at] as number) ^ (1 << bit); // at < PAGE_BYTES
    this.#platter[index] = page;
  }

  /** Drops a clean cache, as a reboot does. */
  dropCache(): void {
    this.#captures.clear();
    this.#dirty.clear();
    this.#reload();
  }

  /** The byte on the platter, for tests and for faults that look for data. */
  durableByte(offset: number): number {
    return this.#platter[Math.floor(offset / PAGE_BYTES)]?.[offset % PAGE_BYTES] ?? 0;
  }

  #crashLength(prng: Prng, damage: CrashDamage): number {
    const lengths = [this.#platterLength, this.#cacheLength];
    for (const capture of this.#captures) lengths.push(capture.length);
    const least = Math.min(...lengths);
    const most = Math.max(...lengths);
    if (least === most) return least;
    if (prng.chance(0.3)) {
      const sectors = Math.ceil((most - least) / damage.sectorBytes);
      return Math.min(most, least + prng.below(sectors + 1) * damage.sectorBytes);
    }
    return prng.pick(lengths);
  }

  /** Bytes beyond the end read as zero when the file grows again. */
  #trimPlatter(): void {
    const keep = Math.ceil(this.#platterLength / PAGE_BYTES);
    if (this.#platter.length > keep) this.#platter.length = keep;
    const rest = this.#platterLength % PAGE_BYTES;
    const last = this.#platter[keep - 1];
    if (rest !== 0 && last !== undefined) {
      const page = last.slice();
      page.fill(0, rest);
      this.#platter[keep - 1] = page;
    }
  }

  #reload(): void {
    this.#cache = this.#platter.slice();
    this.#cacheLength = this.#platterLength;
    this.#dirty = new Set();
    this.#captures.clear();
    this.#pageCount = 0;
    for (const page of this.#cache) if (page !== undefined) this.#pageCount++;
  }

  /**
   * Keeps the platter's page for the next copy before `next` replaces it. Nobody else has it: captures hold later versions
   * only, and the cache holds either this very page (then it stays) or a copy.
   */
  #recycle(index: number, next: Page): void {
    const old = this.#platter[index];
    if (old === undefined || old === next || old === this.#cache[index] || this.#spare.length >= SPARE_PAGES_MAX)
      return;
    this.#spare.push(old);
  }

  #writable(index: number): Uint8Array {
    const page = this.#cache[index];
    if (page !== undefined && this.#dirty.has(index)) return page;
    const own = this.#spare.pop() ?? new Uint8Array(PAGE_BYTES);
    if (page === undefined) own.fill(0);
    else own.set(page);
    if (page === undefined) this.#pageCount++;
    this.#cache[index] = own;
    this.#dirty.add(index);
    return own;
  }
}

const ZEROS = new Uint8Array(PAGE_BYTES);

/** One page after a crash, sector by sector. `versions` are what was written over `old`, oldest first, at least one. */
function mixSectors(prng: Prng, damage: CrashDamage, old: Page, versions: readonly Page[]): Page {
  const before = old ?? ZEROS;
  const page = before.slice();
  const size = damage.sectorBytes;
  let changed = false;
  for (let at = 0; at < PAGE_BYTES; at += size) {
    const written = (prng.pick(versions) ?? ZEROS).subarray(at, at + size);
    const here = before.subarray(at, at + size);
    const first = firstDifference(here, written);
    if (first === size) continue; // this sector was not being written
    const draw = prng.unit();
    if (draw < damage.lostChance) continue;
    changed = true;
    if (draw < damage.lostChance + damage.tornChance) {
      const cut = first + prng.below(size - first);
      page.set(written.subarray(0, cut), at);
    } else if (draw < damage.lostChance + damage.tornChance + damage.garbageChance) {
      const end = lastDifference(here, written);
      for (let i = first; i <= end; i++) page[at + i] = prng.below(256);
    } else {
      page.set(written, at);
    }
  }
  return changed ? page : old;
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  let i = 0;
  while (i < a.length && a[i] === b[i]) i++;
  return i;
}

function lastDifference(a: Uint8Array, b: Uint8Array): number {
  let i = a.length - 1;
  while (i > 0 && a[i] === b[i]) i--;
  return i;
}
