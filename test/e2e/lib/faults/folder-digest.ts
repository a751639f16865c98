/** A folder's content as one list, to see whether anything in it was changed. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/** One line a file: path, size, digest. A folder that does not exist is an empty list. */
export function folderDigest(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .sort()
    .map((name) => {
      const full = join(folder, name);
      if (statSync(full).isDirectory()) return `${name}/`;
      return `${name} ${createHash("sha256").update(readFileSync(full)).digest("hex")}`;
    });
}
