/** Writes `docs/reference/errors.md`. With `--check` it writes nothing and fails if the page is not up to date. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { errorsPage, errorsPagePath } from "./lib/errors-page.ts";
import { root } from "./lib/repository.ts";

if (import.meta.main) {
  const path = join(root, errorsPagePath);
  if (process.argv.includes("--check")) {
    const found = existsSync(path) ? readFileSync(path, "utf8") : "";
    if (found !== errorsPage()) {
      process.stderr.write(`Cannot pass: ${errorsPagePath} is out of date. Run: node scripts/generate-errors.ts\n`);
      process.exitCode = 1;
    }
  } else {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, errorsPage());
  }
}
