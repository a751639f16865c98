/** A page that a script writes: to the disk, or with `--check` only compared with what stands there. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { root } from "./repository.ts";

/** `path` from the root; `script` is what brings the page up to date. A page that differs from `text` ends in exit code 1. */
export function writePage(path: string, text: string, script: string): void {
  const full = join(root, path);
  if (!process.argv.includes("--check")) {
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, text);
    return;
  }
  const found = existsSync(full) ? readFileSync(full, "utf8") : "";
  if (found === text) return;
  process.stderr.write(`Cannot pass: ${path} is out of date. Run: node ${script}\n`);
  process.exitCode = 1;
}
