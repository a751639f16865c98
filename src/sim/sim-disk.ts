/**
 * One simulated disk. It belongs to a machine and outlives its processes; each process gets a Disk port of its own, whose
 * operations complete as events of that process, in an order drawn from the seed.
 *
 * K1. A write or read takes effect when it completes, so two that are under way at once have no order, as in a thread
 *     pool; a sync covers what had completed when it began.
 * K2. Operations of a dead process neither take effect nor complete. A crash may still let a part of a write under way
 *     reach the page cache.
 * K3. A failed sync rejects with DISK_FAILED and leaves clean pages behind (`disk-image.ts`, D3): a process that goes on
 *     loses data at the next crash.
 * K4. A change is a write, a sync, or a new, renamed, removed or synced name, resized space included. A process can be ended
 *     at each of them, before or after it took effect; of its completion it does not learn.
 */
import { assert } from "../base/assert.ts";
import { Deferred } from "../base/deferred.ts";
import { AlthingError } from "../base/errors.ts";
import type { Prng } from "../base/prng.ts";
import type { Disk, DiskFile, DiskLock } from "../ports/disk.ts";
import { type CrashDamage, DiskImage, PAGE_BYTES } from "./disk-image.ts";
import { DiskNames, normalPath, parentOf } from "./disk-names.ts";
import { hashBytes, hashText } from "./rolling-hash.ts";
import type { SimProcess } from "./sim-process.ts";
import { EventKind, exponential, type World } from "./world.ts";

export interface DiskOptions {
  readonly capacityBytes: number;
  /** A sync takes this least time plus an exponential draw with this mean. */
  readonly syncLeastMs: number;
  readonly syncMeanMs: number;
  /** Reads, writes and changes of names: the mean of an exponential draw. */
  readonly accessMeanMs: number;
  readonly damage: CrashDamage;
  /** After a crash, changes of names survive one by one instead of as a prefix. */
  readonly scatteredNames: boolean;
}

export const calmDisk: DiskOptions = {
  capacityBytes: 16 * 1024 * 1024 * 1024,
  syncLeastMs: 0.1,
  syncMeanMs: 0.9,
  accessMeanMs: 0.02,
  damage: { sectorBytes: 512, lostChance: 0.45, tornChance: 0.1, garbageChance: 0.02 },
  scatteredNames: false,
};

/** Where a process ends: at its disk's next change but so many. */
export interface KillPoint {
  changesLeft: number;
  readonly when: "before" | "after";
  readonly kill: () => void;
}

interface PendingWrite {
  readonly process: SimProcess;
  readonly image: DiskImage;
  readonly buffers: readonly Uint8Array[];
  readonly offset: number;
}

export class SimDisk {
  readonly #world: World;
  readonly #prng: Prng;
  readonly #options: DiskOptions;
  readonly #names = new DiskNames<DiskImage>();
  /** Files that lost their name and are still open, so that their space counts. */
  readonly #unnamed = new Map<DiskImage, number>();
  readonly #opened = new Map<DiskImage, number>();
  readonly #writes = new Set<PendingWrite>();
  readonly #locks = new Map<string, SimProcess>();
  #capacityPages: number;
  /** At least as many pages as are used: counting them all takes a while, and is needed only near the end of the space. */
  #usedPagesBound = Number.POSITIVE_INFINITY;
  #slowFactor = 1;
  #stalledUntilMs = 0;
  #failSyncs = 0;
  #faults = 0;
  #changes = 0;
  #killPoint: KillPoint | undefined;
  #onSyncFailed: (process: SimProcess) => void = () => undefined;

  constructor(world: World, prng: Prng, options: DiskOptions) {
    this.#world = world;
    this.#prng = prng;
    this.#options = options;
    this.#capacityPages = Math.floor(options.capacityBytes / PAGE_BYTES);
  }

  // What faults do

  /** How many errors this disk was made to return so far. */
  get faultCount(): number {
    return this.#faults;
  }

  /** Called when a sync has failed and its process has been told: from then on that process must stop. */
  onSyncFailed(listener: (process: SimProcess) => void): void {
    this.#onSyncFailed = listener;
  }

  /** Changes (K4) that processes have made so far. */
  get changeCount(): number {
    return this.#changes;
  }

  /** Ends the process at one of the coming changes (K4). False if there is such a point already. */
  killAt(point: KillPoint): boolean {
    if (this.#killPoint !== undefined) return false;
    this.#killPoint = point;
    return true;
  }

  hasFolder(folder: string): boolean {
    return this.#names.get(normalPath(folder))?.type === "folder";
  }

  /** A folder and what is in it are lost. Called after `powerLost`, while the machine is down. */
  loseFolder(folder: string): void {
    this.#names.lose(normalPath(folder));
  }

  /** The next `count` syncs fail. */
  failSyncs(count: number): void {
    this.#failSyncs += count;
  }

  /** All operations take `factor` times as long. */
  slowDown(factor: number): void {
    this.#slowFactor = factor;
  }

  /** No sync completes before `untilMs` of virtual time. */
  stallUntil(untilMs: number): void {
    this.#stalledUntilMs = Math.max(this.#stalledUntilMs, untilMs);
  }

  /** Leaves `bytes` of free space; undefined gives the whole capacity back. */
  limitFree(bytes: number | undefined): void {
    const whole = Math.floor(this.#options.capacityBytes / PAGE_BYTES);
    this.#usedPagesBound = Number.POSITIVE_INFINITY;
    this.#capacityPages = bytes === undefined ? whole : this.#usedPages() + Math.floor(bytes / PAGE_BYTES);
  }

  /** Ends slowness, stalls, full disks and planned errors. */
  calm(): void {
    this.#slowFactor = 1;
    this.#stalledUntilMs = 0;
    this.#failSyncs = 0;
    this.#killPoint = undefined;
    this.limitFree(undefined);
  }

  /**
   * Flips a bit of durable, non-zero data in a file whose path begins with `prefix`. Returns where, or undefined if there
   * is no such data. While the file is cached only a reboot (`powerLost`) makes it visible.
   */
  rot(prefix: string, prng: Prng): { readonly path: string; readonly offset: number } | undefined {
    const files = [...this.#names.files()].filter(([path, file]) => path.startsWith(prefix) && file.durableLength > 0);
    if (files.length === 0) return undefined;
    for (let attempt = 0; attempt < 200; attempt++) {
      const [path, file] = prng.pick(files);
      const offset = prng.below(file.durableLength);
      if (file.durableByte(offset) === 0) continue; // most likely space that was never written
      file.flipBit(offset, prng.below(8));
      this.#faults++;
      return { path, offset };
    }
    return undefined;
  }

  /** The disk is replaced by an empty one. */
  wipe(): void {
    this.#usedPagesBound = Number.POSITIVE_INFINITY;
    this.#names.wipe();
    this.#unnamed.clear();
    this.#opened.clear();
    this.#writes.clear();
    this.#locks.clear();
  }

  /** The machine lost power: the page cache is gone, what was not synced is kept, lost or torn. */
  powerLost(): void {
    this.#landWrites();
    this.#names.crash(this.#prng, this.#options.scatteredNames);
    const images = new Set<DiskImage>();
    for (const [, image] of this.#names.files()) images.add(image);
    for (const image of images) image.crash(this.#prng, this.#options.damage);
    this.#closeAll();
  }

  /** The process was killed: the page cache stays, locks and open files go. */
  processDied(): void {
    this.#landWrites();
    for (const [, image] of this.#names.files()) image.processDied();
    this.#closeAll();
  }

  /** Drops the page cache of a machine that is down after a clean stop, so that reads see the platter. */
  dropCaches(): void {
    for (const [, image] of this.#names.files()) image.dropCache();
  }

  /** The Disk port of one process. */
  port(process: SimProcess): Disk {
    return {
      open: (path, options) => this.#open(process, normalPath(path), options.create),
      list: (folder) => this.#do(process, hashText(folder), () => this.#names.list(normalPath(folder))),
      makeFolder: (folder) => this.#change(process, hashText(folder), () => this.#names.makeFolder(normalPath(folder))),
      rename: (from, to) =>
        this.#change(process, hashText(from + to), () => this.#rename(normalPath(from), normalPath(to))),
      remove: (path) => this.#change(process, hashText(path), () => this.#remove(normalPath(path))),
      syncDirectory: (folder) => this.#syncDirectory(process, normalPath(folder)),
      lock: (path) => this.#do(process, hashText(path), () => this.#lock(process, normalPath(path))),
      freeBytes: () => this.#do(process, 0, () => this.#freeBytes()),
    };
  }

  #freeBytes(): number {
    return Math.max(0, this.#capacityPages - this.#usedPages()) * PAGE_BYTES;
  }

  #usedPages(): number {
    let pages = 0;
    for (const [, image] of this.#names.files()) pages += image.pages;
    for (const image of this.#unnamed.keys()) pages += image.pages;
    return pages;
  }

  /** Is there room for so many pages more? */
  #hasRoom(pages: number): boolean {
    if (this.#usedPagesBound + pages > this.#capacityPages) this.#usedPagesBound = this.#usedPages();
    return this.#usedPagesBound + pages <= this.#capacityPages;
  }

  /** Runs `action` after an access time, as an event of the process (K1, K2). */
  #do<T>(process: SimProcess, payload: number, action: () => T): Promise<T> {
    return this.#later(process, this.#accessMs(), payload, action, false);
  }

  /** The same for what changes the disk (K4). */
  #change<T>(process: SimProcess, payload: number, action: () => T): Promise<T> {
    return this.#later(process, this.#accessMs(), payload, action, true);
  }

  #later<T>(process: SimProcess, delayMs: number, payload: number, action: () => T, isChange: boolean): Promise<T> {
    const result = new Deferred<T>();
    if (!process.alive) return result.promise; // K2
    this.#world.schedule(process, delayMs, EventKind.disk, payload, () => {
      const point = isChange ? this.#countChange() : undefined;
      if (point?.when === "before") {
        point.kill();
        return;
      }
      let value: T;
      try {
        value = action();
      } catch (error) {
        if (point === undefined) result.reject(error);
        else point.kill();
        return;
      }
      if (point === undefined) result.resolve(value);
      else point.kill();
    });
    return result.promise;
  }

  /** The kill point, if the change that completes now is its own. */
  #countChange(): KillPoint | undefined {
    this.#changes++;
    const point = this.#killPoint;
    if (point === undefined || --point.changesLeft > 0) return undefined;
    this.#killPoint = undefined;
    return point;
  }

  #accessMs(): number {
    return 0.002 + exponential(this.#prng, this.#options.accessMeanMs) * this.#slowFactor;
  }

  #syncMs(): number {
    const draw = this.#options.syncLeastMs + exponential(this.#prng, this.#options.syncMeanMs);
    return Math.max(draw * this.#slowFactor, this.#stalledUntilMs - this.#world.nowMs);
  }

  #open(process: SimProcess, path: string, create: boolean): Promise<DiskFile | undefined> {
    const open = (): DiskFile | undefined => {
      const entry = this.#names.get(path);
      assert(entry?.type !== "folder", "a folder is not opened as a file", { path });
      let image = entry?.file;
      if (image === undefined) {
        if (!create) return undefined;
        if (!this.#hasRoom(1)) throw this.#full(`create ${path}`);
        image = new DiskImage();
        this.#names.createFile(path, image);
      }
      this.#opened.set(image, (this.#opened.get(image) ?? 0) + 1);
      return this.#file(process, path, image);
    };
    return create ? this.#change(process, hashText(path), open) : this.#do(process, hashText(path), open);
  }

  #file(process: SimProcess, path: string, image: DiskImage): DiskFile {
    let open = true;
    const check = (): void => assert(open, "a closed file is not used", { path });
    return {
      path,
      write: (buffers, offset) => {
        check();
        return this.#write(process, path, image, buffers, offset);
      },
      read: (target, offset) => {
        check();
        return this.#do(process, offset | 0, () => image.read(target, offset));
      },
      sync: () => {
        check();
        return this.#sync(process, path, image);
      },
      truncate: (length) => {
        check();
        return this.#change(process, length | 0, () => image.truncate(length));
      },
      allocate: (length) => {
        check();
        return this.#change(process, length | 0, () => {
          const added = Math.ceil(length / PAGE_BYTES) - image.pages;
          if (added > 0 && !this.#hasRoom(added)) throw this.#full(`reserve ${path}`);
          this.#usedPagesBound += Math.max(0, added);
          image.reserve(length);
        });
      },
      length: () => {
        check();
        return this.#do(process, 0, () => image.length);
      },
      close: () => {
        if (!open) return Promise.resolve();
        open = false;
        return this.#do(process, 0, () => this.#release(image));
      },
    };
  }

  #write(
    process: SimProcess,
    path: string,
    image: DiskImage,
    buffers: readonly Uint8Array[],
    offset: number,
  ): Promise<void> {
    if (!process.alive) return new Deferred<void>().promise;
    let payload = offset | 0;
    for (const buffer of buffers) payload = hashBytes(buffer, payload);
    const pending: PendingWrite = { process, image, buffers, offset };
    this.#writes.add(pending);
    return this.#change(process, payload, () => {
      this.#writes.delete(pending);
      let at = offset;
      for (const buffer of buffers) {
        const pages = image.pagesNeeded(at, buffer.length);
        if (!this.#hasRoom(pages)) throw this.#full(`write ${path}`);
        this.#usedPagesBound += pages;
        image.write(buffer, at);
        at += buffer.length;
      }
    });
  }

  #sync(process: SimProcess, path: string, image: DiskImage): Promise<void> {
    if (!process.alive) return new Deferred<void>().promise;
    const sync = image.beginSync();
    const fails = this.#drawSyncFailure();
    if (fails) image.failSync(sync);
    return this.#later(
      process,
      this.#syncMs(),
      hashText(path),
      () => {
        if (fails) this.#throwSyncFailed(process, path);
        image.completeSync(sync);
      },
      true,
    );
  }

  #syncDirectory(process: SimProcess, folder: string): Promise<void> {
    const fails = process.alive && this.#drawSyncFailure();
    return this.#later(
      process,
      this.#syncMs(),
      hashText(folder),
      () => {
        if (fails) this.#throwSyncFailed(process, folder);
        this.#names.syncDirectory(folder);
      },
      true,
    );
  }

  #throwSyncFailed(process: SimProcess, path: string): never {
    this.#onSyncFailed(process);
    throw new AlthingError("DISK_FAILED", `Cannot sync ${path}: input/output error`);
  }

  #drawSyncFailure(): boolean {
    if (this.#failSyncs === 0) return false;
    this.#failSyncs--;
    this.#faults++;
    return true;
  }

  #rename(from: string, to: string): void {
    const target = this.#names.get(to);
    this.#names.rename(from, to);
    if (target?.type === "file" && from !== to) this.#lostName(target.file);
  }

  #remove(path: string): void {
    const entry = this.#names.get(path);
    if (entry === undefined) return;
    if (entry.type === "folder")
      assert(this.#names.list(path).length === 0, "only empty folders are removed", { path });
    this.#names.remove(path);
    if (entry.type === "file") this.#lostName(entry.file);
  }

  #lostName(image: DiskImage): void {
    const handles = this.#opened.get(image) ?? 0;
    if (handles > 0) this.#unnamed.set(image, handles);
  }

  #release(image: DiskImage): void {
    const handles = (this.#opened.get(image) ?? 1) - 1;
    if (handles > 0) {
      this.#opened.set(image, handles);
      return;
    }
    this.#opened.delete(image);
    this.#unnamed.delete(image);
  }

  #lock(process: SimProcess, path: string): DiskLock {
    const holder = this.#locks.get(path);
    if (holder?.alive === true) throw new AlthingError("DATA_LOCKED", `Cannot lock ${path}: another process holds it`);
    if (this.#names.get(path) === undefined) {
      this.#names.makeFolder(parentOf(path));
      this.#names.createFile(path, new DiskImage());
    }
    this.#locks.set(path, process);
    return {
      close: () =>
        this.#do(process, hashText(path), () => {
          if (this.#locks.get(path) === process) this.#locks.delete(path);
        }),
    };
  }

  /** K2: what was being written when the process ended may have got half-way. */
  #landWrites(): void {
    for (const { image, buffers, offset } of this.#writes) {
      const bytes = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
      let left = this.#prng.chance(0.3) ? bytes : this.#prng.below(bytes + 1);
      let at = offset;
      for (const buffer of buffers) {
        const part = buffer.subarray(0, left);
        if (part.length === 0) break;
        if (!this.#hasRoom(image.pagesNeeded(at, part.length))) break;
        this.#usedPagesBound = Number.POSITIVE_INFINITY;
        image.write(part, at);
        at += part.length;
        left -= part.length;
      }
    }
    this.#writes.clear();
  }

  #closeAll(): void {
    this.#usedPagesBound = Number.POSITIVE_INFINITY; // names and pages may have come back
    this.#opened.clear();
    this.#unnamed.clear();
    this.#locks.clear();
  }

  #full(what: string): AlthingError {
    this.#faults++;
    return new AlthingError("DISK_FULL", `Cannot ${what}: no space left on the disk`);
  }
}
