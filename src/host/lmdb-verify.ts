/**
 * Looks at a whole LMDB tree for damage that single reads would not notice: checksums of all entries, keys in strictly rising
 * order (which also ends a cycle of pages), every key found again from the root, and as many entries as the tree says it
 * has. About two microseconds an entry.
 */
import { compareBytes } from "../base/bytes.ts";
import { AlthingError } from "../base/errors.ts";
import { lmdbError } from "./lmdb-error.ts";
import type { LmdbStore } from "./lmdb-native.ts";
import { openStored } from "./lmdb-value.ts";

/** Throws DATA_CORRUPT at the first damage. An environment with more than `bytesMax` of data is left for a scrub. */
export function verifyLmdb(store: LmdbStore, folder: string, bytesMax: number): void {
  const damaged = (why: string): AlthingError =>
    new AlthingError("DATA_CORRUPT", `Cannot read from ${folder}: ${why}`, { details: { folder } });
  try {
    const stats = store.getStats();
    if (stats.lastPageNumber * stats.pageSize > bytesMax) return;
    let previous: Buffer | undefined;
    let count = 0;
    const transaction = store.useReadTransaction();
    try {
      for (const { key, value } of store.getRange({ transaction })) {
        if (previous !== undefined && compareBytes(previous, key) >= 0) throw damaged("keys are out of order");
        openStored(key, value, value.length, folder);
        if (store.getBinaryFast(key, { transaction }) === undefined) throw damaged("a key is not found from the root");
        previous = key;
        count++;
      }
    } finally {
      transaction.done();
    }
    if (count !== stats.entryCount) throw damaged(`${count} entries are found, ${stats.entryCount} should be there`);
  } catch (error) {
    const failure = lmdbError(`verify ${folder}`, error);
    // Whatever else LMDB or its binding says about a tree that it cannot walk, it is the tree.
    throw failure.code === "DATA_CORRUPT" ? failure : damaged(failure.message);
  }
}
