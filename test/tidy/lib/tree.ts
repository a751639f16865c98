/** The files that a tidy check reads: path from the root → text. A check is a function of a tree, so a test can plant one. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { filesBelow, root } from "../../../scripts/lib/repository.ts";

export type Tree = ReadonlyMap<string, string>;

/** What a check found, one line each: `path: what is wrong`. Empty is good. */
export type Problems = readonly string[];

const textual = /\.(ts|md|json|html|css|sh)$|^\.ci\/run$|^(LICENSE|\.npmrc|\.gitignore)$/;

/** The repository's own text files. */
export function repositoryTree(): Tree {
  const paths = filesBelow(".", (path) => textual.test(path));
  return new Map(paths.map((path) => [path, readFileSync(join(root, path), "utf8")]));
}

/** True for a path of the repository, file or folder. */
export function existsInRepository(path: string): boolean {
  return existsSync(join(root, path));
}
