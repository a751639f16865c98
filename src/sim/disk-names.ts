/**
 * The names on one simulated disk, twice: as processes see them, and as the platter has them. A created, renamed or
 * removed name reaches the platter with `syncDirectory` of its folder; a crash keeps some of the rest.
 *
 * M1. A rename is atomic: after a crash the target is the old file or the new one, never missing because of the rename.
 * M2. Changes of one name reach the platter in their order.
 * M3. Journalling disks (ext4, XFS) keep a prefix of all changes; the POSIX promise is weaker, and in `scattered` mode
 *     each change survives or not on its own.
 */
import { assert } from "../base/assert.ts";
import type { Prng } from "../base/prng.ts";

export type Entry<File> = { readonly type: "file"; readonly file: File } | { readonly type: "folder" };

interface Change<File> {
  readonly folders: readonly string[];
  readonly removes: string | undefined;
  readonly puts: { readonly path: string; readonly entry: Entry<File> } | undefined;
}

export class DiskNames<File> {
  readonly #seen = new Map<string, Entry<File>>();
  readonly #durable = new Map<string, Entry<File>>();
  /** Not yet durable, oldest first. */
  #pending: Change<File>[] = [];

  get(path: string): Entry<File> | undefined {
    return path === "" ? { type: "folder" } : this.#seen.get(path);
  }

  /** Every file that has a name now. */
  *files(): IterableIterator<readonly [path: string, file: File]> {
    for (const [path, entry] of this.#seen) if (entry.type === "file") yield [path, entry.file];
  }

  /** Names directly in a folder, sorted. */
  list(folder: string): readonly string[] {
    const prefix = folder === "" ? "" : `${folder}/`;
    const out: string[] = [];
    for (const path of this.#seen.keys()) {
      if (path.startsWith(prefix) && !path.includes("/", prefix.length)) out.push(path.slice(prefix.length));
    }
    return out.sort();
  }

  createFile(path: string, file: File): void {
    this.#change({ folders: [parentOf(path)], removes: undefined, puts: { path, entry: { type: "file", file } } });
  }

  /** Makes a folder and those above it. */
  makeFolder(folder: string): void {
    if (folder === "" || this.get(folder)?.type === "folder") return;
    assert(this.get(folder) === undefined, "a folder's name is taken by a file", { folder });
    this.makeFolder(parentOf(folder));
    this.#change({
      folders: [parentOf(folder)],
      removes: undefined,
      puts: { path: folder, entry: { type: "folder" } },
    });
  }

  rename(from: string, to: string): void {
    const entry = this.get(from);
    assert(entry?.type === "file", "only files are renamed", { from });
    if (from === to) return;
    this.#change({ folders: [parentOf(from), parentOf(to)], removes: from, puts: { path: to, entry } });
  }

  remove(path: string): void {
    this.#change({ folders: [parentOf(path)], removes: path, puts: undefined });
  }

  syncDirectory(folder: string): void {
    // M2: a change takes along the earlier ones of its names, which lie in another folder if a rename crossed folders.
    const names = new Set<string>();
    for (const change of this.#pending) {
      if (change.folders.includes(folder)) for (const name of namesOf(change)) names.add(name);
    }
    const kept: Change<File>[] = [];
    for (const change of this.#pending) {
      if (namesOf(change).some((name) => names.has(name))) apply(this.#durable, change);
      else kept.push(change);
    }
    this.#pending = kept;
  }

  /** Power is lost: what of the changes since the last syncs survives, is drawn. */
  crash(prng: Prng, scattered: boolean): void {
    const pending = this.#pending;
    if (pending.length > 0) {
      const prefix = prng.below(pending.length + 1);
      const lostNames = new Set<string>();
      for (const [i, change] of pending.entries()) {
        const names = namesOf(change);
        const kept = scattered ? prng.chance(0.5) && !names.some((name) => lostNames.has(name)) : i < prefix;
        if (kept) apply(this.#durable, change);
        else for (const name of names) lostNames.add(name); // M2: nothing later of this name either
      }
    }
    this.#pending = [];
    this.#dropUnreachable();
    this.#seen.clear();
    for (const [path, entry] of this.#durable) this.#seen.set(path, entry);
  }

  /** A folder and all below it are gone, from the platter too. Called while the machine is down. */
  lose(folder: string): void {
    assert(this.#pending.length === 0, "a machine that is down has no change under way", { folder });
    for (const names of [this.#seen, this.#durable]) {
      for (const path of [...names.keys()]) if (path === folder || path.startsWith(`${folder}/`)) names.delete(path);
    }
  }

  wipe(): void {
    this.#seen.clear();
    this.#durable.clear();
    this.#pending = [];
  }

  #change(change: Change<File>): void {
    for (const folder of change.folders) {
      assert(this.get(folder)?.type === "folder", "the folder of a name exists", { folder, change: namesOf(change) });
    }
    apply(this.#seen, change);
    this.#pending.push(change);
  }

  /** A file whose folder was lost is lost with it. */
  #dropUnreachable(): void {
    for (const path of [...this.#durable.keys()].sort()) {
      const parent = parentOf(path);
      if (parent !== "" && this.#durable.get(parent)?.type !== "folder") this.#durable.delete(path);
    }
  }
}

function apply<File>(names: Map<string, Entry<File>>, change: Change<File>): void {
  if (change.removes !== undefined) names.delete(change.removes);
  if (change.puts !== undefined) names.set(change.puts.path, change.puts.entry);
}

function namesOf<File>(change: Change<File>): readonly string[] {
  const out: string[] = [];
  if (change.removes !== undefined) out.push(change.removes);
  if (change.puts !== undefined) out.push(change.puts.path);
  return out;
}

/** The folder of a path; "" is the data folder itself. */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "" : path.slice(0, slash);
}

/** One spelling per path: no leading, trailing or doubled slash, no dots. */
export function normalPath(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  assert(!parts.includes(".."), "paths stay inside the data folder", { path });
  return parts.join("/");
}
