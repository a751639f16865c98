/**
 * The storage engine on LMDB. Reads run on the event loop, from the memory map; writes run on a thread of their own.
 *
 * E1. Reads see the last *completed* write: the engine holds one read transaction and moves it when a write has been
 *     acknowledged, so a batch that is committed but not yet reported shows itself to nobody.
 * E2. A batch is one LMDB transaction: all or nothing, durable when `write` resolves, whatever dies when.
 * E3. No value leaves without its checksum. A key that damage has made unreachable has none: that is found by the check
 *     when the engine is opened (`lmdb-verify.ts`), by scrubs, and by comparing digests with the other replicas.
 * E4. After a failed write, other than a full disk, no write is accepted.
 */
import { mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { assert } from "../base/assert.ts";
import { AlthingError } from "../base/errors.ts";
import type { Engine, EngineOpener, EngineRange, EngineSnapshot, EngineWrite } from "../storage/engine/engine.ts";
import { diskError } from "./disk-error.ts";
import { packBatch } from "./lmdb-batch.ts";
import { lmdbError } from "./lmdb-error.ts";
import { type LmdbStore, type LmdbTransaction, openLmdb } from "./lmdb-native.ts";
import { openProbed } from "./lmdb-probe.ts";
import { LmdbSnapshot, readRange, readValue } from "./lmdb-read.ts";
import { LmdbWriter } from "./lmdb-writer.ts";

export interface LmdbOptions {
  /** Environments up to this size are verified as a whole when they are opened. Default 64 MiB, about half a second. */
  readonly verifyBytesMax?: number;
}

const VERIFY_BYTES_MAX = 64 * 1024 * 1024;

/** Engines in folders below `dataFolder`. */
export function lmdbOpener(dataFolder: string, options: LmdbOptions = {}): EngineOpener {
  return {
    open: (folder) => LmdbEngine.open(join(dataFolder, folder), options),
    discard: async (folder) => {
      try {
        rmSync(join(dataFolder, folder), { recursive: true, force: true });
      } catch (error) {
        throw diskError(`remove ${folder}`, error);
      }
    },
  };
}

/** Of this process: its lock keeps other processes away. */
const openFolders = new Set<string>();

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw diskError(`make the folder ${folder}`, error);
  }
}

export class LmdbEngine implements Engine {
  readonly #folder: string;
  readonly #store: LmdbStore;
  readonly #writer: LmdbWriter;
  /** E1. */
  #current: LmdbTransaction;
  readonly #snapshots = new Set<LmdbSnapshot>();
  #state: "open" | "closed" = "open";
  #writing = false;
  /** E4. */
  #failure: AlthingError | undefined;

  private constructor(folder: string, store: LmdbStore, writer: LmdbWriter) {
    this.#folder = folder;
    this.#store = store;
    this.#writer = writer;
    this.#current = store.useReadTransaction();
  }

  /** Fails with DATA_CORRUPT for a damaged file, CONFIG_INVALID without a binary for this platform, or a disk's error. */
  static async open(folder: string, options: LmdbOptions = {}): Promise<LmdbEngine> {
    const verifyBytesMax = options.verifyBytesMax ?? VERIFY_BYTES_MAX;
    assert(!openFolders.has(folder), "an engine is opened once", { folder });
    openFolders.add(folder);
    try {
      makeFolder(folder);
      return await openProbed(folder, verifyBytesMax, async () => {
        const writer = await LmdbWriter.open(folder, verifyBytesMax); // verifies before this thread touches the file
        try {
          return new LmdbEngine(folder, await openLmdb(folder), writer);
        } catch (error) {
          await writer.close();
          throw lmdbError(`open ${folder}`, error);
        }
      });
    } catch (error) {
      openFolders.delete(folder);
      throw error;
    }
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#check();
    return readValue(this.#store, this.#current, key, this.#folder);
  }

  range(range: EngineRange): Iterable<readonly [key: Uint8Array, value: Uint8Array]> {
    this.#check();
    return readRange(this.#store, this.#current, range, this.#folder, () => this.#state === "open");
  }

  async write(writes: readonly EngineWrite[]): Promise<void> {
    this.#check();
    assert(!this.#writing, "one write at a time");
    if (this.#failure !== undefined) {
      throw new AlthingError("DISK_FAILED", `Cannot write to ${this.#folder}: an earlier write failed`, {
        cause: this.#failure,
      });
    }
    if (writes.length === 0) return;
    this.#writing = true;
    try {
      await this.#writer.write(packBatch(writes));
      this.#advance();
    } catch (error) {
      if (error instanceof AlthingError && error.code !== "DISK_FULL") this.#failure = error;
      throw error;
    } finally {
      this.#writing = false;
    }
  }

  snapshot(): EngineSnapshot {
    this.#check();
    // The engine's own transaction is the last completed write; each user of it is counted.
    this.#current.use();
    const snapshot = new LmdbSnapshot(this.#store, this.#current, this.#folder, () => this.#snapshots.delete(snapshot));
    this.#snapshots.add(snapshot);
    return snapshot;
  }

  size(): { readonly fileBytes: number; readonly usedBytes: number } {
    this.#check();
    const stats = this.#store.getStats();
    const usedPages = stats.treeBranchPageCount + stats.treeLeafPageCount + stats.overflowPages;
    return { fileBytes: statSync(join(this.#folder, "data.mdb")).size, usedBytes: usedPages * stats.pageSize };
  }

  /** Waits for a write that is under way. Snapshots that are still open become unusable. */
  async close(): Promise<void> {
    if (this.#state === "closed") return;
    this.#state = "closed";
    await this.#writer.close();
    for (const snapshot of this.#snapshots) snapshot.close();
    this.#current.done();
    await this.#store.close();
    openFolders.delete(this.#folder);
  }

  #advance(): void {
    if (this.#state !== "open") return;
    const before = this.#current;
    this.#store.resetReadTxn();
    this.#current = this.#store.useReadTransaction();
    before.done();
  }

  #check(): void {
    assert(this.#state === "open", "a closed engine is not used", { folder: this.#folder });
  }
}
