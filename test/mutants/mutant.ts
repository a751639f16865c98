/**
 * Mutants: the product with one deliberate protocol bug, as data. A test of a protocol is worth what it finds; the gate
 * (`gate.ts`) makes every one of these bugs for real and demands that simulation finds it.
 * Source  DeMillo, Lipton & Sayward 1978 (mutation analysis); the bugs are those that consensus systems really had.
 */

/** `host`: what drives a core, in `src/group`. The engine decides which runs hunt a mutant (`killers.ts`). */
export type Engine = "raft" | "paxos" | "host" | "wal";

/** A text that occurs exactly once in its file, and what stands there instead. */
export interface Edit {
  /** From the root of the repository. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface Mutant {
  readonly name: string;
  readonly engine: Engine;
  /** Folder and number of the invariant that it breaks, as `docs/reference/invariants.md` has them: `raft R3`. */
  readonly invariant: string;
  /**
   * More than one where a second line of defence stands behind the first, usually an assertion: the bug must show in what
   * the cluster does.
   */
  readonly edits: readonly Edit[];
  /** What goes wrong because of it. */
  readonly why: string;
}

/** Folders of invariants by the word that `Mutant.invariant` uses. */
export const invariantFolders: ReadonlyMap<string, string> = new Map([
  ["quorum", "src/consensus/quorum"],
  ["election", "src/consensus/contract"],
  ["raft", "src/consensus/raft"],
  ["paxos", "src/consensus/paxos"],
  ["group", "src/group"],
  ["wal", "src/storage/wal"],
]);

/** The text with one edit made. Throws if `find` does not occur exactly once. */
export function edited(text: string, { file, find, replace }: Edit): string {
  const at = text.indexOf(find);
  if (at < 0) throw new Error(`Cannot edit ${file}: it does not contain ${JSON.stringify(find)}`);
  if (text.indexOf(find, at + 1) >= 0)
    throw new Error(`Cannot edit ${file}: it contains ${JSON.stringify(find)} twice`);
  return text.slice(0, at) + replace + text.slice(at + find.length);
}

/** The files of a mutant: path → new text. `read` gives the text of a file of the product. */
export function mutatedFiles(mutant: Mutant, read: (file: string) => string): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const edit of mutant.edits) {
    const before = files.get(edit.file) ?? read(edit.file);
    const after = edited(before, edit);
    if (after === before) throw new Error(`Cannot make ${mutant.name}: an edit of ${edit.file} changes nothing`);
    files.set(edit.file, after);
  }
  return files;
}
