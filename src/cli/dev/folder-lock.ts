/** One `althing dev` per folder: the second gets one clear line, and the lock ends with the process however it ends. */
import { hasCode } from "../../base/errors.ts";
import { openNodeDisk } from "../../host/node-disk.ts";
import type { DiskLock } from "../../ports/disk.ts";
import { CliFailure } from "../failure.ts";

export async function holdFolder(folder: string): Promise<DiskLock> {
  const disk = await openNodeDisk(folder);
  try {
    return await disk.lock("dev.lock");
  } catch (error) {
    if (!hasCode(error, "DATA_LOCKED")) throw error;
    const { owner } = error.details;
    const who = typeof owner === "string" ? owner : "another process";
    throw new CliFailure("conflict", `Cannot start a cluster in ${folder}: ${who} already runs one there`, {
      code: "DATA_LOCKED",
      next: "use that one, stop it, or choose another --dir",
      cause: error,
    });
  }
}
