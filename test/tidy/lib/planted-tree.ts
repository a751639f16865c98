/**
 * A small tree in a temporary folder with the repository's own tool settings, in which a test plants a fault and sees the
 * tool find it. A gate that nobody has seen fail may be open.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { root } from "../../../scripts/lib/repository.ts";

export interface ToolRun {
  readonly status: number;
  readonly output: string;
}

export class PlantedTree {
  readonly folder: string;

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), "althing-tidy-"));
    symlinkSync(join(root, "node_modules"), join(this.folder, "node_modules"));
  }

  /** Copies a file of the repository to the same place in this tree. */
  copy(path: string): void {
    mkdirSync(dirname(join(this.folder, path)), { recursive: true });
    copyFileSync(join(root, path), join(this.folder, path));
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(join(this.folder, path)), { recursive: true });
    writeFileSync(join(this.folder, path), text);
  }

  /** Runs a tool of `node_modules/.bin` here. */
  run(tool: string, args: readonly string[]): ToolRun {
    const done = spawnSync(join(root, "node_modules", ".bin", tool), args, { cwd: this.folder, encoding: "utf8" });
    if (done.error !== undefined) throw done.error;
    return { status: done.status ?? 1, output: done.stdout + done.stderr };
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
