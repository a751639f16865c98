/**
 * A small file system of its own for one node: an image behind a loop device (loop(4), mke2fs(8), mkfs.xfs(8)). Its ENOSPC is
 * the kernel's, blocks, journal and all; one of XFS can also be shut down under its users (xfs_io(8)), which takes all that
 * was not synced, as a power cut does. Needs root and loop devices.
 */
import { spawnSync } from "node:child_process";
import { closeSync, fsyncSync, mkdirSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { atExit } from "../at-exit.ts";

const BALLAST = "ballast";
const MIB = 1024 * 1024;
/** What mkfs.xfs(8) makes at least. */
export const XFS_BYTES_MIN: number = 300 * MIB;

const makers = { ext4: ["mkfs.ext4", "-q", "-F", "-m", "0"], xfs: ["mkfs.xfs", "-q", "-f"] } as const;
type FileSystem = keyof typeof makers;

export class SmallDisk {
  readonly image: string;
  readonly #mount: string;
  readonly #forget: () => void;

  private constructor(image: string, mount: string) {
    this.image = image;
    this.#mount = mount;
    this.#forget = atExit(() => this.#detach());
  }

  /** Makes a disk of `bytes` and mounts it at `mount`, which is made if it is missing. Default: ext4. */
  static open(mount: string, bytes: number, fileSystem: FileSystem = "ext4"): SmallDisk {
    mkdirSync(mount, { recursive: true });
    const image = `${mount}.img`;
    writeFileSync(image, "");
    truncateSync(image, bytes);
    const [maker, ...args] = makers[fileSystem];
    run(maker, [...args, image]);
    const disk = new SmallDisk(image, mount);
    try {
      disk.#attach();
      return disk;
    } catch (error) {
      disk.close();
      throw error;
    }
  }

  /** Takes all space that is left, or all but `leaveBytes`. */
  fill(leaveBytes = 0): void {
    const ballast = join(this.#mount, BALLAST);
    const bulk = this.freeBytes() - leaveBytes - 2 * MIB;
    if (bulk > 0) spawnSync("fallocate", ["-l", String(bulk), ballast]); // fast; what it leaves is written
    const fd = openSync(ballast, "a");
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

  /** From now on every call on it fails, and what was not synced is lost. XFS only; `remount` makes it good again. */
  shutDown(): void {
    run("xfs_io", ["-x", "-c", "shutdown", this.#mount]);
  }

  /** Unmounts it and mounts it again, so that its journal is replayed. Nobody may have a file open on it any more. */
  remount(): void {
    run("umount", [this.#mount]);
    this.#attach();
  }

  /** Nobody may have a file open on it any more. `keep` leaves the image, to be looked at later. */
  close(options: { readonly keep?: boolean } = {}): void {
    this.#forget();
    spawnSync("umount", ["-l", this.#mount]);
    if (options.keep !== true) rmSync(this.image, { force: true });
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #attach(): void {
    run("mount", ["-o", "loop", this.image, this.#mount]);
  }

  #detach(): void {
    spawnSync("umount", ["-l", this.#mount]);
    rmSync(this.image, { force: true });
  }
}

function run(file: string, args: readonly string[]): void {
  const done = spawnSync(file, args, { encoding: "utf8" });
  if (done.status !== 0) throw new Error(`Cannot run ${file} ${args.join(" ")}: ${done.stderr.trim()}`);
}
