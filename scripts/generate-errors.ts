/** Writes `docs/reference/errors.md`. With `--check` it writes nothing and fails if the page is not up to date. */
import { errorsPage, errorsPagePath } from "./lib/errors-page.ts";
import { writePage } from "./lib/page.ts";

if (import.meta.main) writePage(errorsPagePath, errorsPage(), "scripts/generate-errors.ts");
