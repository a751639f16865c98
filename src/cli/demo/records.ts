/**
 * Real input: every file of the installed packages as one record, `package/path` → its SHA-256 and size. They are on every
 * machine that can run this, their count and sizes are not chosen by us, and each value can be checked again.
 */
import { createHash } from "node:crypto";
import { createReadStream, readFileSync, statSync } from "node:fs";
import { opendir } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { hasErrno } from "../failure.ts";

export interface FileRecord {
  readonly key: string;
  /** `sha256:HEX size`. */
  readonly value: string;
}

/** The `node_modules` folder that this program's own dependencies were installed into. */
export function installedPackages(): string {
  const entry = fileURLToPath(import.meta.resolve("commander"));
  const at = entry.lastIndexOf(`${path.sep}node_modules${path.sep}`);
  return entry.slice(0, at + `${path.sep}node_modules`.length);
}

/** Files in the order of their names, so that two runs on one machine load the same records. */
export async function* fileRecords(
  folder: string,
  options: { readonly max: number; readonly signal: AbortSignal },
): AsyncGenerator<FileRecord> {
  let count = 0;
  for await (const file of walk(folder)) {
    if (options.signal.aborted || count >= options.max) return;
    const value = await digestOf(path.join(folder, file));
    if (value === undefined) continue;
    yield { key: file.split(path.sep).join("/"), value };
    count++;
  }
}

/** Files up to this size are read in one go, which takes less time than setting up a stream. */
const SMALL_BYTES_MAX = 1024 * 1024;

/** Undefined if the file is gone meanwhile or may not be read. */
async function digestOf(file: string): Promise<string | undefined> {
  try {
    const { size } = statSync(file);
    if (size <= SMALL_BYTES_MAX) {
      const content = readFileSync(file);
      return `sha256:${createHash("sha256").update(content).digest("hex")} ${content.length}`;
    }
    const hash = createHash("sha256");
    let length = 0;
    const stream: AsyncIterable<Buffer> = createReadStream(file, { highWaterMark: SMALL_BYTES_MAX }); // no encoding is set
    for await (const bytes of stream) {
      hash.update(bytes);
      length += bytes.length;
    }
    return `sha256:${hash.digest("hex")} ${length}`;
  } catch (error) {
    if (hasErrno(error)) return undefined;
    throw error;
  }
}

/** Regular files below a folder, relative to it. Links are not followed: some packages link to each other. */
async function* walk(root: string, below = ""): AsyncGenerator<string> {
  const entries: { readonly name: string; readonly kind: "file" | "folder" }[] = [];
  for await (const entry of await opendir(path.join(root, below))) {
    if (entry.isFile()) entries.push({ name: entry.name, kind: "file" });
    else if (entry.isDirectory() && entry.name !== ".cache" && entry.name !== ".vite")
      entries.push({ name: entry.name, kind: "folder" });
  }
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const { name, kind } of entries) {
    const relative = path.join(below, name);
    if (kind === "file") yield relative;
    else yield* walk(root, relative);
  }
}
