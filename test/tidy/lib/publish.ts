/** What package.json publishes, and the source that each published file is built from. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../../scripts/lib/repository.ts";

interface PackageJson {
  readonly bin: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly scripts: Readonly<Record<string, string>>;
}

export function packageJson(): PackageJson {
  return JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as PackageJson; // our own file
}

/** Built files that package.json points at, from the root, as in `dist/raft.js`. */
export function publishedFiles(): readonly string[] {
  const { bin, exports } = packageJson();
  const targets = Object.values(exports).flatMap((target) =>
    typeof target === "string" ? [target] : Object.values(target),
  );
  return [...Object.values(bin), ...targets]
    .map((target) => target.replace(/^\.\//, ""))
    .filter((path) => path.startsWith("dist/"));
}

/** The module that a built file comes from: `dist/raft.d.ts` and `dist/raft.js` from `src/raft.ts`. */
export function sourceOf(built: string): string {
  return built.replace(/^dist\//, "src/").replace(/(\.d\.ts|\.js)$/, ".ts");
}
