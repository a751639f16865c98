/** LMDB's return codes as operating errors. Positive codes are errnos (lmdb.h, "Return Codes"). */
import { constants } from "node:os";
import { AlthingError } from "../base/errors.ts";

/** A page that is not there, of the wrong kind, or a file that is no LMDB file of this version. */
const DAMAGE = new Map<number, string>([
  [-30797, "a page that is referred to is missing"],
  [-30796, "a page is of the wrong kind"],
  [-30794, "the file has another version of the format"],
  [-30793, "the file is not an LMDB file"],
]);
/** MDB_BAD_TXN: an earlier operation of the transaction failed, perhaps without a word from the binding. */
const BAD_TRANSACTION = -30782;
const FULL: ReadonlySet<number> = new Set([constants.errno.ENOSPC, constants.errno.EDQUOT, constants.errno.EFBIG]);
const MAP_FULL = -30792;

export function lmdbError(doing: string, error: unknown): AlthingError {
  if (error instanceof AlthingError) return error;
  const code = error instanceof Error && "code" in error && typeof error.code === "number" ? error.code : 0;
  const options = { details: { lmdb: code }, cause: error };
  const damage = DAMAGE.get(code);
  if (damage !== undefined) return new AlthingError("DATA_CORRUPT", `Cannot ${doing}: ${damage}`, options);
  if (FULL.has(code) || code === MAP_FULL) {
    return new AlthingError("DISK_FULL", `Cannot ${doing}: the disk is full (${text(error)})`, options);
  }
  return new AlthingError("DISK_FAILED", `Cannot ${doing}: ${text(error)}`, options);
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * The same for a read. A read transaction has nothing to fail but the tree: one that has gone bad met a page that it could not
 * use, and what the binding says without a code of LMDB's is about bytes that it could not decode.
 */
export function lmdbReadError(doing: string, error: unknown): AlthingError {
  const failure = lmdbError(doing, error);
  const code = failure.details["lmdb"];
  if (failure.code !== "DISK_FAILED" || (code !== BAD_TRANSACTION && code !== 0)) return failure;
  return new AlthingError("DATA_CORRUPT", `Cannot ${doing}: the tree cannot be walked (${text(error)})`, {
    details: failure.details,
    cause: error,
  });
}

/**
 * The same for a failed commit. LMDB reports a write that was cut short as an I/O error, which is how most file systems
 * say that they became full half-way; `freeBytes`, measured after it, tells the two apart. Either way the transaction is
 * aborted and nothing of it counts.
 */
export function lmdbWriteError(doing: string, error: unknown, freeBytes: number): AlthingError {
  const failure = lmdbError(doing, error);
  if (failure.details["lmdb"] !== constants.errno.EIO || freeBytes >= FULL_BELOW_BYTES) return failure;
  return new AlthingError("DISK_FULL", `Cannot ${doing}: the disk is full`, {
    details: { ...failure.details, freeBytes },
    cause: error,
  });
}

/** A write is cut short within the last few blocks. */
const FULL_BELOW_BYTES = 1024 * 1024;
