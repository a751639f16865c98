/**
 * A small file system of its own for one node: an ext4 image behind a loop device (loop(4), mke2fs(8)). Its ENOSPC is the
 * kernel's, blocks, journal and all. Needs root and loop devices.
 */
import { spawnSync } from "node:child_process";
import { closeSync, fsyncSync, mkdirSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";

const BALLAST = "ballast";
const MIB = 1024 * 1024;

export class SmallDisk {
  readonly #image: string;
  readonly #mount: string;

  private constructor(image: string, mount: string) {
    this.#image = image;
    this.#mount = mount;
  }

  /** Makes a disk of `bytes` and mounts it at `mount`, which is made if it is missing. */
  static open(mount: string, bytes: number): SmallDisk {
    mkdirSync(mount, { recursive: true });
    const image = `${mount}.img`;
    writeFileSync(image, "");
    truncateSync(image, bytes);
    run("mkfs.ext4", ["-q", "-F", "-m", "0", image]);
    run("mount", ["-o", "loop", image, mount]);
    return new SmallDisk(image, mount);
  }

  /** Takes all space that is left, or all but `leaveBytes`. */
  fill(leaveBytes = 0): void {
    const fd = openSync(join(this.#mount, BALLAST), "a");
    try {
      const chunk = Buffer.alloc(MIB, 0x5a);
      for (let size = chunk.length; size >= 512; ) {
        if (leaveBytes > 0 && this.freeBytes() - size < leaveBytes) {
          size /= 2;
          continue;
        }
        try {
          writeSync(fd, chunk, 0, size);
        } catch (error) {
          if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
          size /= 2;
        }
      }
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }

  /** Gives back what `fill` took. */
  free(): void {
    rmSync(join(this.#mount, BALLAST), { force: true });
  }

  freeBytes(): number {
    const done = spawnSync("df", ["--output=avail", "-B1", this.#mount], { encoding: "utf8" });
    return Number(done.stdout.trim().split("\n").at(-1));
  }

  /** Nobody may have a file open on it any more. */
  close(): void {
    spawnSync("umount", ["-l", this.#mount]);
    rmSync(this.#image, { force: true });
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function run(file: string, args: readonly string[]): void {
  const done = spawnSync(file, args, { encoding: "utf8" });
  if (done.status !== 0) throw new Error(`Cannot run ${file} ${args.join(" ")}: ${done.stderr.trim()}`);
}
