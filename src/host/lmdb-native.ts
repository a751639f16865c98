/**
 * The part of the `lmdb` package that we use, typed as it behaves, and the options under which every handle of one
 * environment is opened. This is the one file that imports the package; it is loaded on first use, so that a command
 * that needs no storage does not pay for the native binary.
 *
 * Classic LMDB durability: a commit writes its pages, syncs them, and only then writes the meta page that makes them
 * count. The package's overlapping sync, which acknowledges before the sync, stays off.
 */
import { readFileSync } from "node:fs";
import { AlthingError } from "../base/errors.ts";

/** Address space, not disk or memory: far beyond any data, so that the map never has to move under a reader. */
const MAP_BYTES = 2 ** 40;
const PAGE_BYTES = 65_536;
const READERS_MAX = 512;

export interface LmdbTransaction {
  /** One more user. */
  use(): void;
  /** Gives back one `use` or `useReadTransaction`; the last one ends the transaction. */
  done(): void;
}

export interface LmdbStats {
  readonly pageSize: number;
  readonly lastPageNumber: number;
  readonly entryCount: number;
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
}

export interface LmdbRange {
  readonly start?: Uint8Array;
  readonly end?: Uint8Array;
  readonly exclusiveStart?: boolean;
  readonly inclusiveEnd?: boolean;
  readonly reverse?: boolean;
  readonly limit?: number;
  readonly transaction?: LmdbTransaction;
}

export interface LmdbStore {
  /** Size in bytes of the value that `getBinaryFast` returned last. */
  readonly lastSize: number;
  /** The value in memory that the next call overwrites or the next commit may reuse: copy it at once. */
  getBinaryFast(key: Uint8Array, options?: { readonly transaction: LmdbTransaction }): Buffer | undefined;
  getRange(range: LmdbRange): Iterable<{ readonly key: Buffer; readonly value: Buffer }>;
  getKeys(range: LmdbRange): Iterable<Buffer>;
  putSync(key: Uint8Array, value: Uint8Array): unknown;
  removeSync(key: Uint8Array): unknown;
  /** Commits when `action` returns, aborts when it throws. `action` must not return a promise: it would not be awaited. */
  transactionSync(action: () => void): void;
  resetReadTxn(): void;
  useReadTransaction(): LmdbTransaction;
  getStats(): LmdbStats;
  close(): Promise<void>;
}

/**
 * Opens the environment in `folder`, or makes it, after `lmdb-meta.ts` has looked at it: the binding does not survive a
 * refusal by LMDB. Throws the package's own errors; see `lmdb-error.ts`.
 */
export async function openLmdb(folder: string): Promise<LmdbStore> {
  const lmdb = await load();
  // The package's declarations lack `transaction` on reads and `lastSize`; `LmdbStore` says what is there.
  return lmdb.open({
    path: folder,
    noSubdir: false,
    encoding: "binary",
    keyEncoding: "binary",
    overlappingSync: false,
    maxReaders: READERS_MAX,
    maxDbs: 1,
    mapSize: mapBytes(),
  }) as unknown as LmdbStore;
}

/** Under a limit on address space (`ulimit -v`) an eighth of it: other maps and the heap live there too. */
function mapBytes(): number {
  let limits: string;
  try {
    limits = readFileSync("/proc/self/limits", "utf8");
  } catch {
    return MAP_BYTES; // only Linux can tell
  }
  const soft = /^Max address space +(\d+)/m.exec(limits)?.[1];
  return soft === undefined ? MAP_BYTES : Math.min(MAP_BYTES, Math.floor(Number(soft) / 8 / PAGE_BYTES) * PAGE_BYTES);
}

async function load(): Promise<typeof import("lmdb")> {
  try {
    return await import("lmdb");
  } catch (error) {
    const platform = `${process.platform}-${process.arch}`;
    const advice = "install without leaving out optional dependencies, on Linux with glibc, macOS or Windows";
    throw new AlthingError(
      "CONFIG_INVALID",
      `Cannot load the storage engine: lmdb has no binary for ${platform}; ${advice}`,
      {
        details: { platform },
        cause: error,
      },
    );
  }
}
