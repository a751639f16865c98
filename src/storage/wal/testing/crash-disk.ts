/**
 * A disk for tests that knows what a crash may leave: every file twice, in the page cache and on the platter, and the names
 * in the folder likewise. Pure and deterministic: chance comes from the given generator.
 *
 * C1. Only `sync` moves content and length to the platter, only `syncDirectory` moves names.
 * C2. A crash applies a prefix of the changes of names that were not synced, and treats each 512-byte sector that was
 *     written and not synced on its own: kept, lost, torn between old and new, or garbage in the bytes being written.
 * C3. A failed sync leaves the cache clean and the platter without the data.
 */
import { assert } from "../../../base/assert.ts";
import { AlthingError } from "../../../base/errors.ts";
import type { Prng } from "../../../base/prng.ts";
import type { Disk, DiskFile } from "../../../ports/disk.ts";

const SECTOR = 512;

interface Content {
  bytes: Uint8Array;
  length: number;
}

class Inode {
  readonly cache: Content = { bytes: new Uint8Array(SECTOR), length: 0 };
  readonly platter: Content = { bytes: new Uint8Array(SECTOR), length: 0 };
  readonly dirty = new Set<number>();
  /** Up to here there is space: reserved, or written once. A file that was only made longer has none behind. */
  space = 0;

  write(bytes: Uint8Array, offset: number): void {
    this.space = Math.max(this.space, offset + bytes.length);
    grow(this.cache, offset + bytes.length);
    this.cache.bytes.set(bytes, offset);
    for (let at = Math.floor(offset / SECTOR); at * SECTOR < offset + bytes.length; at++) this.dirty.add(at);
  }

  sync(): void {
    grow(this.platter, this.cache.length);
    for (const sector of this.dirty) copySector(this.cache, this.platter, sector);
    this.dirty.clear();
    this.platter.length = this.cache.length;
  }

  truncate(length: number): void {
    for (let at = Math.floor(length / SECTOR); at * SECTOR < this.cache.length; at++) this.dirty.add(at);
    if (length < this.cache.length) {
      this.cache.bytes.fill(0, length);
      this.space = Math.min(this.space, length);
    }
    grow(this.cache, length);
    this.cache.length = length;
  }

  crash(prng: Prng): void {
    const { cache, platter } = this;
    const lengths = [cache.length, platter.length];
    const size = Math.max(...lengths);
    grow(platter, size);
    grow(cache, size);
    for (const sector of [...this.dirty].sort((a, b) => a - b)) mixSector(prng, cache.bytes, platter.bytes, sector);
    platter.length = prng.pick(lengths);
    platter.bytes.fill(0, platter.length);
    this.reload();
  }

  /** What stays of the cache after the machine lost power: nothing. */
  reload(): void {
    this.cache.bytes = this.platter.bytes.slice();
    this.cache.length = this.platter.length;
    this.dirty.clear();
  }
}

function grow(content: Content, length: number): void {
  if (length > content.bytes.length) {
    const bytes = new Uint8Array(Math.max(Math.ceil(length / SECTOR) * SECTOR, content.bytes.length * 2));
    bytes.set(content.bytes);
    content.bytes = bytes;
  }
  content.length = Math.max(content.length, length);
}

function copySector(from: Content, to: Content, sector: number): void {
  to.bytes.set(from.bytes.subarray(sector * SECTOR, Math.min((sector + 1) * SECTOR, from.length)), sector * SECTOR);
}

function mixSector(prng: Prng, written: Uint8Array, onto: Uint8Array, sector: number): void {
  const from = sector * SECTOR;
  const to = from + SECTOR;
  const fate = prng.below(10);
  if (fate < 4) return; // lost
  if (fate < 8) {
    onto.set(written.subarray(from, to), from);
    return;
  }
  let first = from;
  while (first < to && written[first] === onto[first]) first++;
  let end = to;
  while (end > first && written[end - 1] === onto[end - 1]) end--;
  if (first === end) return;
  if (fate === 8) {
    const cut = prng.between(first, end);
    onto.set(written.subarray(first, cut), first);
    return;
  }
  for (let i = first; i < end; i++) onto[i] = prng.below(256);
}

export type DiskOperation =
  | "open"
  | "write"
  | "sync"
  | "truncate"
  | "allocate"
  | "rename"
  | "remove"
  | "syncDirectory"
  | "read";

type Step = <T>(operation: DiskOperation, path: string, work: () => T) => Promise<T>;

export class CrashDisk {
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  #changes: { readonly folder: string; readonly apply: (names: Map<string, Inode>) => void }[] = [];
  #power: { operationsLeft: number } | undefined;
  #dead = false;
  #epoch = 0;

  capacityBytes: number = Number.POSITIVE_INFINITY;
  /** Called before each operation; may throw or await: faults and gates of a test. */
  before: (operation: DiskOperation, path: string) => Promise<void> | void = () => undefined;
  /** Counts of finished operations. */
  readonly counts: Map<DiskOperation, number> = new Map();

  get isDead(): boolean {
    return this.#dead;
  }

  get usedBytes(): number {
    let sum = 0;
    for (const inode of this.#names.values()) sum += inode.space;
    return sum;
  }

  /** After so many more operations nothing answers any more; the last one may have been carried out half. */
  losePowerAfter(operations: number): void {
    this.#power = { operationsLeft: operations };
  }

  /** Power was lost. What was not synced is as C2 says; the disk works again. */
  crash(prng: Prng): void {
    const kept = prng.between(0, this.#changes.length);
    for (const { apply } of this.#changes.slice(0, kept)) apply(this.#durableNames);
    this.#names = new Map(this.#durableNames);
    this.#changes = [];
    for (const inode of new Set(this.#names.values())) inode.crash(prng);
    this.#wake();
  }

  /** The process died, the machine did not: the page cache stays as it is. */
  killProcess(): void {
    this.#wake();
  }

  /** Names that are seen now, sorted. */
  names(): readonly string[] {
    return [...this.#names.keys()].sort();
  }

  content(path: string): Uint8Array {
    const { cache } = this.#inode(path);
    return cache.bytes.slice(0, cache.length);
  }

  /** Cuts a file behind everyone's back, in the cache and on the platter. */
  cut(path: string, length: number): void {
    const inode = this.#inode(path);
    inode.truncate(length);
    inode.sync();
  }

  /** Changes bits behind everyone's back, in the cache and on the platter. */
  rot(path: string, offset: number, mask: number): void {
    const inode = this.#inode(path);
    for (const { bytes } of [inode.cache, inode.platter]) {
      const byte = bytes[offset];
      if (byte !== undefined) bytes[offset] = byte ^ mask;
    }
  }

  /** A copy that shares nothing with this one; all of it durable. */
  copy(): CrashDisk {
    const other = new CrashDisk();
    for (const [name, inode] of this.#names) {
      const twin = new Inode();
      twin.write(inode.cache.bytes.slice(0, inode.cache.length), 0);
      twin.sync();
      other.#names.set(name, twin);
      other.#durableNames.set(name, twin);
    }
    return other;
  }

  /**
   * The disk as one life of a process sees it. After `crash` or `killProcess` its calls never answer, so nothing of an
   * earlier life acts in a later one.
   */
  boot(): Disk {
    const epoch = this.#epoch;
    const step: Step = (operation, path, work) => this.#step(epoch, operation, path, work);
    return {
      open: (path, options) => step("open", path, () => this.#open(path, options.create, step)),
      list: (folder) =>
        step("read", folder, () => {
          const prefix = `${folder}/`;
          return this.names()
            .filter((name) => name.startsWith(prefix) && !name.slice(prefix.length).includes("/"))
            .map((name) => name.slice(prefix.length));
        }),
      makeFolder: (folder) => step("read", folder, () => undefined),
      rename: (from, to) =>
        step("rename", to, () => {
          const inode = this.#inode(from);
          this.#change(to, (names) => {
            names.delete(from);
            names.set(to, inode);
          });
        }),
      remove: (path) =>
        step("remove", path, () => {
          this.#inode(path);
          this.#change(path, (names) => names.delete(path));
        }),
      syncDirectory: (folder) =>
        step("syncDirectory", folder, () => {
          for (const change of this.#changes) if (change.folder === folder) change.apply(this.#durableNames);
          this.#changes = this.#changes.filter((change) => change.folder !== folder);
        }),
      lock: (path) => step("open", path, () => ({ close: async () => undefined })),
      freeBytes: () => step("read", "", () => this.capacityBytes - this.usedBytes),
    };
  }

  #open(path: string, create: boolean, step: Step): DiskFile | undefined {
    const known = this.#names.get(path);
    if (known !== undefined) return this.#file(path, known, step);
    if (!create) return undefined;
    if (this.usedBytes >= this.capacityBytes) throw full(path);
    const made = new Inode();
    this.#change(path, (names) => names.set(path, made));
    return this.#file(path, made, step);
  }

  #file(path: string, inode: Inode, step: Step): DiskFile {
    return {
      path,
      write: (buffers, offset) =>
        step("write", path, () => {
          let at = offset;
          for (const buffer of buffers) {
            this.#take(path, inode, at + buffer.length);
            inode.write(buffer, at);
            at += buffer.length;
          }
        }),
      read: (target, offset) =>
        step("read", path, () => {
          const count = Math.max(0, Math.min(target.length, inode.cache.length - offset));
          target.set(inode.cache.bytes.subarray(offset, offset + count));
          return count;
        }),
      sync: async () => {
        try {
          await step("sync", path, () => inode.sync());
        } catch (error) {
          inode.dirty.clear(); // C3
          throw error;
        }
      },
      truncate: (length) => step("truncate", path, () => inode.truncate(length)),
      allocate: (length) =>
        step("allocate", path, () => {
          this.#take(path, inode, length);
          inode.space = Math.max(inode.space, length);
        }),
      length: () => step("read", path, () => inode.cache.length),
      close: async () => undefined,
    };
  }

  /** Fails unless the file may have `length` bytes. */
  #take(path: string, inode: Inode, length: number): void {
    const added = length - inode.space;
    if (added > 0 && this.usedBytes + added > this.capacityBytes) throw full(path);
  }

  #inode(path: string): Inode {
    const inode = this.#names.get(path);
    assert(inode !== undefined, "the file exists", { path });
    return inode;
  }

  #change(path: string, apply: (names: Map<string, Inode>) => void): void {
    apply(this.#names);
    this.#changes.push({ folder: path.slice(0, Math.max(0, path.lastIndexOf("/"))), apply });
  }

  /** Does `work` at one moment, or never: when power was lost before it, or the process that asked is gone. */
  async #step<T>(epoch: number, operation: DiskOperation, path: string, work: () => T): Promise<T> {
    await this.before(operation, path);
    await Promise.resolve();
    if (this.#dead || epoch !== this.#epoch) return new Promise<never>(() => undefined);
    if (this.#power !== undefined && --this.#power.operationsLeft < 0) {
      this.#dead = true;
      return new Promise<never>(() => undefined);
    }
    this.counts.set(operation, (this.counts.get(operation) ?? 0) + 1);
    return work();
  }

  #wake(): void {
    this.#power = undefined;
    this.#dead = false;
    this.#epoch++;
  }
}

function full(path: string): AlthingError {
  return new AlthingError("DISK_FULL", `Cannot write ${path}: no space is left`);
}
