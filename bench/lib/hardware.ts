/** What the numbers were measured on. */
import { readFileSync, statfsSync } from "node:fs";
import { arch, cpus, release, totalmem } from "node:os";

export interface Hardware {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  /** File system of the data folder, and the block device below it. */
  readonly disk: string;
  readonly node: string;
}

/** File systems without a disk below, where fsync costs nothing and proves nothing (statfs(2), magic numbers). */
const memoryFileSystems: ReadonlySet<number> = new Set([0x0102_1994, 0x8584_58f6]);

export function hardware(folder: string): Hardware {
  return {
    cpu: `${cpus()[0]?.model ?? "unknown"} (${arch()})`,
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    disk: diskOf(folder),
    node: process.version,
  };
}

/** True if the folder is on a file system in memory. */
export function isInMemory(folder: string): boolean {
  return memoryFileSystems.has(statfsSync(folder).type);
}

/** The longest mount point above the folder, in proc(5)'s list of mounts. */
function diskOf(folder: string): string {
  const mounts = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" "));
  let best: { readonly point: string; readonly text: string } = { point: "", text: "unknown" };
  for (const [device = "", point = "", type = ""] of mounts) {
    const holds = folder === point || folder.startsWith(point === "/" ? "/" : `${point}/`);
    if (holds && point.length >= best.point.length) best = { point, text: `${type} on ${device}` };
  }
  return best.text;
}
