/** Writes `docs/reference/invariants.md`. With `--check` it writes nothing and fails if the page is not up to date. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { invariantsPage, invariantsPagePath } from "./lib/invariants-page.ts";
import { writePage } from "./lib/page.ts";
import { filesBelow, root } from "./lib/repository.ts";

if (import.meta.main) {
  const read = filesBelow(".", (path) => /^(src|test)\/.*\.(ts|txt)$/.test(path));
  const tree = new Map(read.map((path) => [path, readFileSync(join(root, path), "utf8")]));
  writePage(invariantsPagePath, invariantsPage(tree), "scripts/generate-invariants.ts");
}
