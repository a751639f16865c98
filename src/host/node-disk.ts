/**
 * The Disk port on a folder of a real file system.
 *
 * D1. After a failed sync, or a failed write other than a full disk, every later write and sync of this disk fails too:
 *     the kernel may have dropped the dirty pages and marked them clean, so that a later success proves nothing
 *     (Rebello et al. 2020, "Can Applications Recover from fsync Failures?").
 * D2. No path leaves the folder.
 * D3. A file's descriptor is closed only when nothing is under way on it: a number that is used again would send a late
 *     write into another file.
 *
 * Small writes are synchronous `pwritev` calls. They only copy into the page cache, a few microseconds for a log batch,
 * where a trip through the thread pool costs several times that and may queue behind a sync. When the cache is
 * throttled (the kernel makes writers wait for a slow disk) even a copy can block; so one slow call sends the writes of
 * the next seconds through the pool, and big writes always go there.
 */
import {
  close,
  constants,
  fdatasync,
  fstat,
  fsync,
  ftruncate,
  mkdir,
  open,
  read,
  readdir,
  rename,
  rmdir,
  statfs,
  unlink,
  writev,
  writevSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { assert } from "../base/assert.ts";
import { Deferred } from "../base/deferred.ts";
import { AlthingError } from "../base/errors.ts";
import type { Disk, DiskFile, DiskLock } from "../ports/disk.ts";
import { diskError, errnoOf } from "./disk-error.ts";
import { lockFile } from "./lock-file.ts";

const SYNC_WRITE_BYTES_MAX = 128 * 1024;
const SLOW_WRITE_MS = 10;
const THROTTLED_MS = 10_000;
const ZEROES = new Uint8Array(1024 * 1024);

const openFd = promisify(open);
const closeFd = promisify(close);
const fsyncFd = promisify(fsync);
const fdatasyncFd = promisify(fdatasync);
const ftruncateFd = promisify(ftruncate);
const fstatFd = promisify(fstat);
const makeDir = promisify(mkdir);
const removeDir = promisify(rmdir);
const removeFile = promisify(unlink);
const renamePath = promisify(rename);
const readDir = promisify(readdir);
const statFs = promisify(statfs);

/**
 * A disk rooted in `folder`, which is made if it is missing, for this user only. Fails with CONFIG_INVALID if it cannot be
 * made.
 */
export async function openNodeDisk(folder: string): Promise<NodeDisk> {
  const root = resolve(folder);
  try {
    await makeDir(root, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new AlthingError("CONFIG_INVALID", `Cannot use the folder ${root}: ${errnoOf(error)}`, {
      details: { folder: root },
      cause: error,
    });
  }
  return new NodeDisk(root);
}

/** What all files of one disk share. */
interface Health {
  /** D1. */
  failure: AlthingError | undefined;
  /** Writes before this time go through the thread pool. Milliseconds of `performance.now`. */
  throttledUntilMs: number;
}

export class NodeDisk implements Disk {
  /** Absolute. */
  readonly folder: string;
  readonly #health: Health = { failure: undefined, throttledUntilMs: 0 };

  constructor(folder: string) {
    this.folder = folder;
  }

  async open(path: string, options: { readonly create: boolean }): Promise<DiskFile | undefined> {
    const flags = constants.O_RDWR | (options.create ? constants.O_CREAT : 0);
    try {
      return new NodeFile(path, await openFd(this.#resolve(path), flags, 0o600), this.#health);
    } catch (error) {
      if (errnoOf(error) === "ENOENT" && !options.create) return undefined;
      throw diskError(`open ${path}`, error);
    }
  }

  async list(folder: string): Promise<readonly string[]> {
    try {
      return (await readDir(this.#resolve(folder))).sort();
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return [];
      throw diskError(`list ${folder}`, error);
    }
  }

  async makeFolder(folder: string): Promise<void> {
    await attempt(`make the folder ${folder}`, makeDir(this.#resolve(folder), { recursive: true, mode: 0o700 }));
  }

  async rename(from: string, to: string): Promise<void> {
    await attempt(`rename ${from} to ${to}`, renamePath(this.#resolve(from), this.#resolve(to)));
  }

  /** Removes a file or an empty folder; a name that is missing already is no error. */
  async remove(path: string): Promise<void> {
    const full = this.#resolve(path);
    assert(full !== this.folder, "the data folder itself is not removed");
    try {
      await removeFile(full);
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === "ENOENT") return;
      if (errno !== "EISDIR" && errno !== "EPERM") throw diskError(`remove ${path}`, error); // EPERM: macOS, for a folder
      await attempt(`remove ${path}`, removeDir(full));
    }
  }

  async syncDirectory(folder: string): Promise<void> {
    failIfLatched(this.#health);
    try {
      const fd = await openFd(this.#resolve(folder), constants.O_RDONLY | constants.O_DIRECTORY);
      try {
        await fsyncFd(fd);
      } finally {
        await closeFd(fd);
      }
    } catch (error) {
      throw latch(this.#health, `sync the folder ${folder}`, error);
    }
  }

  /** Makes the lock file and its folder if they are missing. Fails with DATA_LOCKED; see `lock-file.ts`. */
  async lock(path: string): Promise<DiskLock> {
    const full = this.#resolve(path);
    await attempt(`lock ${path}`, makeDir(dirname(full), { recursive: true, mode: 0o700 }));
    return lockFile(full);
  }

  /** What an ordinary user may still use. */
  async freeBytes(): Promise<number> {
    const stats = await attempt("measure the free space", statFs(this.folder));
    return stats.bavail * stats.bsize;
  }

  /** D2. Paths come from our own code, so a bad one is a bug. */
  #resolve(path: string): string {
    if (path === "" || path === ".") return this.folder;
    for (const part of path.split("/")) {
      assert(part !== "" && part !== "." && part !== ".." && !part.includes("\0"), "a path leaves the data folder", {
        path,
      });
    }
    return join(this.folder, path);
  }
}

class NodeFile implements DiskFile {
  readonly path: string;
  readonly #fd: number;
  readonly #health: Health;
  #underWay = 0;
  #closing: Deferred<void> | undefined;

  constructor(path: string, fd: number, health: Health) {
    this.path = path;
    this.#fd = fd;
    this.#health = health;
  }

  /** No space is DISK_FULL: a part may have been written, and everything before it stays readable. */
  async write(buffers: readonly Uint8Array[], offset: number): Promise<void> {
    assert(Number.isSafeInteger(offset) && offset >= 0, "not an offset", { offset });
    this.#check();
    failIfLatched(this.#health);
    let left = withoutEmpty(buffers);
    let length = 0;
    for (const buffer of left) length += buffer.length;
    this.#underWay++;
    try {
      for (let at = offset; length > 0; ) {
        const written =
          length > SYNC_WRITE_BYTES_MAX || performance.now() < this.#health.throttledUntilMs
            ? await this.#writeInPool(left, at)
            : this.#writeHere(left, at);
        at += written;
        length -= written;
        if (length > 0) left = skipBytes(left, written);
      }
    } catch (error) {
      const failure = diskError(`write ${this.path}`, error);
      if (failure.code !== "DISK_FULL") this.#health.failure ??= failure;
      throw failure;
    } finally {
      this.#done();
    }
  }

  async read(target: Uint8Array, offset: number): Promise<number> {
    assert(Number.isSafeInteger(offset) && offset >= 0, "not an offset", { offset });
    return await this.#during(`read ${this.path}`, async () => {
      let filled = 0;
      while (filled < target.length) {
        const count = await new Promise<number>((resolve, reject) => {
          read(this.#fd, target, filled, target.length - filled, offset + filled, (error, bytesRead) =>
            error === null ? resolve(bytesRead) : reject(error),
          );
        });
        if (count === 0) break;
        filled += count;
      }
      return filled;
    });
  }

  async sync(): Promise<void> {
    this.#check();
    failIfLatched(this.#health);
    this.#underWay++;
    try {
      await fdatasyncFd(this.#fd);
    } catch (error) {
      throw latch(this.#health, `sync ${this.path}`, error);
    } finally {
      this.#done();
    }
  }

  async truncate(length: number): Promise<void> {
    await this.#during(`cut ${this.path}`, () => ftruncateFd(this.#fd, length));
  }

  /**
   * Writes zeroes from the end of the file up to `length`, so that later writes there need no new blocks and their sync no
   * journal entry. The file is then `length` long. A full disk leaves the file as it was.
   */
  async allocate(length: number): Promise<void> {
    failIfLatched(this.#health);
    const before = await this.length();
    try {
      await this.#during(`allocate ${length} bytes for ${this.path}`, async () => {
        for (let at = before; at < length; ) {
          at += await this.#writeInPool([ZEROES.subarray(0, Math.min(ZEROES.length, length - at))], at);
        }
      });
    } catch (error) {
      if (error instanceof AlthingError && error.code === "DISK_FULL") await this.truncate(before);
      throw error;
    }
  }

  async length(): Promise<number> {
    return await this.#during(`measure ${this.path}`, async () => (await fstatFd(this.#fd)).size);
  }

  /** Waits for what is under way (D3). */
  async close(): Promise<void> {
    if (this.#closing !== undefined) {
      await this.#closing.promise;
      return;
    }
    this.#closing = new Deferred<void>();
    if (this.#underWay === 0) this.#closeNow();
    await this.#closing.promise;
  }

  #closeNow(): void {
    const closing = this.#closing;
    close(this.#fd, (error) =>
      error === null || error === undefined
        ? closing?.resolve()
        : closing?.reject(diskError(`close ${this.path}`, error)),
    );
  }

  #writeHere(buffers: readonly Uint8Array[], offset: number): number {
    const startMs = performance.now();
    const written = writevSync(this.#fd, buffers, offset);
    const endMs = performance.now();
    if (endMs - startMs > SLOW_WRITE_MS) this.#health.throttledUntilMs = endMs + THROTTLED_MS;
    return written;
  }

  #writeInPool(buffers: readonly Uint8Array[], offset: number): Promise<number> {
    return new Promise((resolve, reject) => {
      writev(this.#fd, buffers, offset, (error, written) => (error === null ? resolve(written) : reject(error)));
    });
  }

  async #during<T>(doing: string, action: () => Promise<T>): Promise<T> {
    this.#check();
    this.#underWay++;
    try {
      return await action();
    } catch (error) {
      throw diskError(doing, error);
    } finally {
      this.#done();
    }
  }

  #check(): void {
    assert(this.#closing === undefined, "a closed file is not used", { path: this.path });
  }

  #done(): void {
    this.#underWay--;
    if (this.#underWay === 0 && this.#closing !== undefined) this.#closeNow();
  }
}

/** A failed sync is final, a full disk included: delayed allocation can lose acknowledged pages that way. */
function latch(health: Health, doing: string, error: unknown): AlthingError {
  const failure = diskError(doing, error, { final: true });
  health.failure ??= failure;
  return failure;
}

function failIfLatched(health: Health): void {
  if (health.failure === undefined) return;
  throw new AlthingError("DISK_FAILED", "Cannot write: the disk has returned an error before", {
    cause: health.failure,
  });
}

async function attempt<T>(doing: string, action: Promise<T>): Promise<T> {
  try {
    return await action;
  } catch (error) {
    throw diskError(doing, error);
  }
}

function withoutEmpty(buffers: readonly Uint8Array[]): readonly Uint8Array[] {
  return buffers.every((buffer) => buffer.length > 0) ? buffers : buffers.filter((buffer) => buffer.length > 0);
}

/** The buffers after their first `count` bytes: what a short write left over. */
function skipBytes(buffers: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  const left: Uint8Array[] = [];
  for (const buffer of buffers) {
    if (count >= buffer.length) count -= buffer.length;
    else {
      left.push(count === 0 ? buffer : buffer.subarray(count));
      count = 0;
    }
  }
  return left;
}
