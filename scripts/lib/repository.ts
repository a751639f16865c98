/** Where the repository is and what files it has. */
import { readdirSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository's root folder, absolute. */
export const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

const passedOver = new Set(["node_modules", "dist", ".git", ".althing", "tmp", "results"]);

/** Files below `folder` (relative to the root) that `accept` takes, as sorted paths from the root, with `/`. */
export function filesBelow(folder: string, accept: (path: string) => boolean = () => true): readonly string[] {
  const found: string[] = [];
  const walk = (at: string): void => {
    for (const entry of readdirSync(at, { withFileTypes: true })) {
      if (entry.isDirectory()) {
        if (!passedOver.has(entry.name)) walk(join(at, entry.name));
      } else if (entry.isFile()) {
        const path = relative(root, join(at, entry.name)).split(sep).join("/");
        if (accept(path)) found.push(path);
      }
    }
  };
  walk(join(root, folder));
  return found.sort();
}
