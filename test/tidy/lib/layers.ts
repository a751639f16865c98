/**
 * The folders of `src/`, bottom line first, as `docs/ARCHITECTURE.md` draws them. A folder may import those on lower
 * lines, never one on its own line: siblings meet through an interface.
 */
import { readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { filesBelow, root } from "../../../scripts/lib/repository.ts";

export const layers: readonly (readonly string[])[] = [
  ["base"],
  ["config", "ports", "ring", "consensus/contract", "consensus/quorum"],
  ["consensus/raft", "consensus/paxos", "storage/engine", "storage/wal", "storage/blobs"],
  ["group"],
  ["coordination"],
  ["keyspace"],
  ["txn"],
  ["sql", "fs", "mapreduce", "saga"],
  ["node"],
  ["sim", "host"],
  ["doors"],
  ["cli"],
];

/** Folders that touch the world and so compile with Node's types. All others compile with none. */
export const worldly: ReadonlySet<string> = new Set(["host", "doors", "cli"]);

/** The line a folder stands on, from 0 at the bottom; undefined for a folder that the table does not name. */
export function layerOf(folder: string): number | undefined {
  const index = layers.findIndex((line) => line.includes(folder));
  return index === -1 ? undefined : index;
}

export interface Project {
  /** From `src/`, as in `consensus/raft`. */
  readonly folder: string;
  readonly types: readonly string[];
  readonly references: readonly string[];
  readonly include: readonly string[];
}

/** The compiler project of each folder that has one. */
export function projects(): readonly Project[] {
  return filesBelow("src", (path) => path.endsWith("/tsconfig.json")).map(readProject);
}

function readProject(path: string): Project {
  const folder = dirname(path).slice("src/".length);
  // Our own files, plain JSON; a field of another shape fails below.
  const parsed = JSON.parse(readFileSync(join(root, path), "utf8")) as {
    readonly compilerOptions: { readonly types: readonly string[] };
    readonly include: readonly string[];
    readonly references: readonly { readonly path: string }[];
  };
  return {
    folder,
    types: parsed.compilerOptions.types,
    include: parsed.include,
    references: parsed.references.map((reference) => posix.join(dirname(path), reference.path).slice("src/".length)),
  };
}
