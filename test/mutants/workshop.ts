/**
 * Copies of the repository to break: one that stays whole, and one a worker in which one mutant at a time is made. Tests and
 * product run unbuilt, so a copy of `src` and `test` is all it takes; nothing is ever written to the repository itself.
 */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "../../scripts/lib/repository.ts";
import { type Mutant, mutatedFiles } from "./mutant.ts";

export class Workshop {
  readonly #folder: string;
  /** The whole copy: what mutants are made from, so that a repository that changes meanwhile does not matter. */
  readonly clean: string;
  #benches = 0;

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), "althing-mutants-"));
    this.clean = join(this.#folder, "clean");
    mkdirSync(this.clean);
    for (const part of ["src", "test", "scripts", "package.json"]) {
      cpSync(join(root, part), join(this.clean, part), { recursive: true });
    }
    symlinkSync(join(root, "node_modules"), join(this.clean, "node_modules"));
  }

  bench(): Bench {
    const folder = join(this.#folder, `bench-${++this.#benches}`);
    cpSync(this.clean, folder, { recursive: true, verbatimSymlinks: true });
    return new Bench(folder, this.clean);
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A copy in which one mutant at a time is made. */
export class Bench {
  readonly folder: string;
  readonly #clean: string;

  constructor(folder: string, clean: string) {
    this.folder = folder;
    this.#clean = clean;
  }

  /** Makes the mutant; the function returned makes the copy whole again. */
  make(mutant: Mutant): () => void {
    const read = (file: string): string => readFileSync(join(this.#clean, file), "utf8");
    const files = mutatedFiles(mutant, read);
    for (const [file, text] of files) writeFileSync(join(this.folder, file), text);
    return () => {
      for (const file of files.keys()) writeFileSync(join(this.folder, file), read(file));
    };
  }
}
