/** Errors of the operating system as the two operating errors a disk knows: full, which passes, and failed, which does not. */
import { AlthingError } from "../base/errors.ts";

/** No space, no quota, or a file-size limit of the process: nothing is broken. */
const FULL = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);

/** The errno name, or the message of an error that has none. */
export function errnoOf(error: unknown): string {
  if (error instanceof Error) {
    return "code" in error && typeof error.code === "string" ? error.code : error.message;
  }
  return String(error);
}

/** `final`: even a full disk counts as failed, because what was lost had been accepted before. */
export function diskError(doing: string, error: unknown, options: { readonly final?: boolean } = {}): AlthingError {
  if (error instanceof AlthingError) return error;
  const errno = errnoOf(error);
  const full = FULL.has(errno) && options.final !== true;
  const why = FULL.has(errno) ? `the disk is full (${errno})` : `the disk answered ${errno}`;
  return new AlthingError(full ? "DISK_FULL" : "DISK_FAILED", `Cannot ${doing}: ${why}`, {
    details: { errno },
    cause: error,
  });
}
