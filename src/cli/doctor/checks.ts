/**
 * The checks of `althing doctor`. Each looks at one thing, changes nothing that it does not put back, and never throws:
 * what it cannot find out is a warning.
 */
import { constants } from "node:fs";
import { access, mkdtemp, open, readFile, rm, statfs } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { defaultLimits, defaultTimings } from "../../config/limits.ts";
import { portHolder, portTrouble } from "../dev/port-check.ts";
import { hasErrno, toFailure } from "../failure.ts";
import { showBytes, showDuration } from "../parse.ts";
import { readProfile } from "../profile.ts";

export interface Finding {
  readonly name: string;
  readonly result: "ok" | "warn" | "fail";
  readonly text: string;
  readonly next?: string;
}

const finding = (name: string, result: Finding["result"], text: string, next?: string): Finding =>
  next === undefined ? { name, result, text } : { name, result, text, next };

/** The supported range is that of package.json's `engines`; `main.ts` already refused anything older. */
export function checkNode(): Finding {
  const [major = 0] = process.versions.node.split(".").map(Number);
  const here = `Node.js ${process.versions.node} on ${process.platform} ${process.arch}`;
  if (major % 2 === 1) return finding("node", "warn", `${here}, a line without long-term support`, "use 22, 24 or 26");
  return finding("node", "ok", here);
}

/** Loads the storage engine and makes one durable write with it, in a folder of its own. */
export async function checkEngine(): Promise<Finding> {
  const folder = await mkdtemp(path.join(os.tmpdir(), "althing-doctor-"));
  try {
    const { open: openLmdb } = await import("lmdb");
    const store = openLmdb({ path: folder });
    await store.put("probe", "value");
    const found: unknown = store.get("probe");
    await store.close();
    return found === "value"
      ? finding("engine", "ok", "LMDB loads, writes and reads")
      : finding("engine", "fail", "LMDB lost what was written", "report this with the platform's name");
  } catch (error) {
    const platform = `${process.platform}-${process.arch}`;
    return finding(
      "engine",
      "fail",
      `LMDB does not work here: ${toFailure(error).message.split("\n")[0]}`,
      `install again without --omit=optional; the binary is the package @lmdb/lmdb-${platform}`,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export async function checkDataFolder(folder: string): Promise<Finding> {
  const name = "data folder";
  try {
    const profile = await readProfile(folder);
    const nearest = await nearestExisting(folder);
    await access(nearest, constants.R_OK | constants.W_OK | constants.X_OK);
    if (profile !== undefined) return finding(name, "ok", `${folder} holds a local cluster of ${profile.nodes.length}`);
    return nearest === folder
      ? finding(name, "ok", `${folder} can be written`)
      : finding(name, "ok", `${folder} does not exist yet and can be made`);
  } catch (error) {
    if (hasErrno(error))
      return finding(
        name,
        "fail",
        `${folder} cannot be written: ${error.code}`,
        "choose another with --dir, or change its owner",
      );
    return finding(name, "fail", toFailure(error).message, "move the folder away, or choose another with --dir");
  }
}

export async function checkDiskSpace(folder: string): Promise<Finding> {
  const name = "disk space";
  try {
    const stats = await statfs(await nearestExisting(folder));
    const free = stats.bavail * stats.bsize;
    const text = `${showBytes(free)} free`;
    if (free < defaultLimits.diskReserveBytes) {
      return finding(
        name,
        "fail",
        `${text}, under the reserve of ${showBytes(defaultLimits.diskReserveBytes)}: writes are refused`,
        "free some space",
      );
    }
    if (free < 16 * defaultLimits.diskReserveBytes)
      return finding(name, "warn", text, "free some space before it is full");
    return finding(name, "ok", text);
  } catch (error) {
    return finding(name, "warn", `cannot be found out: ${toFailure(error).message}`);
  }
}

const SYNCS = 40;

/** The time of write and fdatasync, where the log will live: every acknowledged write waits for one. */
export async function checkSync(folder: string): Promise<Finding> {
  const name = "disk sync";
  let probe: string | undefined;
  try {
    probe = await mkdtemp(path.join(await nearestExisting(folder), ".althing-doctor-"));
    const file = await open(path.join(probe, "sync"), "w");
    const times: number[] = [];
    try {
      const block = Buffer.alloc(4096, 1);
      await file.write(Buffer.alloc(SYNCS * block.length)); // the size is settled first, as the log's is
      await file.datasync();
      for (let i = 0; i < SYNCS; i++) {
        const start = performance.now();
        await file.write(block, 0, block.length, i * block.length);
        await file.datasync();
        times.push(performance.now() - start);
      }
    } finally {
      await file.close();
    }
    times.sort((a, b) => a - b);
    const median = times[Math.floor(SYNCS / 2)] ?? 0;
    const worst = times.at(-1) ?? 0;
    const text = `median ${showDuration(median)}, worst ${showDuration(worst)} of ${SYNCS}`;
    if (worst > defaultTimings.diskStallMs) {
      return finding(
        name,
        "fail",
        `${text}: a leader here would resign`,
        "use a local disk, or raise timings.diskStallMs and electionMs",
      );
    }
    if (median > 10)
      return finding(name, "warn", `${text}: each write waits for it`, "use an SSD with a power-loss-protected cache");
    if (median < 0.02)
      return finding(
        name,
        "warn",
        `${text}: too fast to be durable`,
        "is this a memory file system? choose a disk with --dir",
      );
    return finding(name, "ok", text);
  } catch (error) {
    return finding(name, "warn", `cannot be measured: ${toFailure(error).message}`);
  } finally {
    if (probe !== undefined) await rm(probe, { recursive: true, force: true });
  }
}

export async function checkPort(port: number): Promise<Finding> {
  for (const wanted of [port, port + 1]) {
    const trouble = await portTrouble("127.0.0.1", wanted);
    if (trouble === "not-permitted")
      return finding("port", "fail", `${wanted} is not permitted`, "choose one above 1023 with --port");
    if (trouble === "in-use") {
      const holder = await portHolder(wanted);
      const who = holder === undefined ? "another program" : `${holder.name} (pid ${holder.pid})`;
      return finding(
        "port",
        "warn",
        `${wanted} is held by ${who}`,
        "if that is no node of yours, choose another with --port",
      );
    }
  }
  return finding("port", "ok", `${port} and ${port + 1} are free`);
}

const DESCRIPTORS_WANTED = 4_096;

export async function checkDescriptors(): Promise<Finding> {
  const name = "open files";
  const text = await readFile("/proc/self/limits", "utf8").catch(() => "");
  const soft = /^Max open files\s+(\d+|unlimited)/m.exec(text)?.[1];
  if (soft === undefined) return finding(name, "ok", "the limit is not known on this system");
  if (soft === "unlimited" || Number(soft) >= DESCRIPTORS_WANTED) return finding(name, "ok", `limit ${soft}`);
  return finding(
    name,
    "warn",
    `limit ${soft}: so many connections at most`,
    "ulimit -n 65536, or LimitNOFILE in the unit",
  );
}

const MEMORY_WANTED = 512 * 1024 * 1024;

export function checkMemory(): Finding {
  const bound = process.constrainedMemory();
  const total = bound > 0 && bound < os.totalmem() ? bound : os.totalmem();
  const text = `${showBytes(process.availableMemory())} of ${showBytes(total)} available, ${os.availableParallelism()} cores`;
  if (process.availableMemory() < MEMORY_WANTED) return finding("memory", "warn", text, "a node wants 512 MiB");
  return finding("memory", "ok", text);
}

/** Two ways by which clocks go wrong: a wall clock that is far off, and a monotonic clock that stands still or races. */
export async function checkClock(): Promise<Finding> {
  const name = "clock";
  const wallStart = Date.now();
  const start = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 50));
  const passed = performance.now() - start;
  const wallPassed = Date.now() - wallStart;
  if (passed < 40)
    return finding(
      name,
      "fail",
      `the monotonic clock moved ${showDuration(passed)} in 50 ms`,
      "check the clock source of the virtual machine",
    );
  if (Math.abs(passed - wallPassed) > 500) {
    return finding(
      name,
      "warn",
      "the wall clock jumps",
      "run chrony or systemd-timesyncd; protocol timing does not depend on it",
    );
  }
  if (new Date().getFullYear() < 2025)
    return finding(
      name,
      "warn",
      `the wall clock says ${new Date().toISOString()}`,
      "set the clock: log lines carry it",
    );
  return finding(name, "ok", new Date().toISOString());
}

/** The folder itself, or the nearest one above it that exists. */
async function nearestExisting(folder: string): Promise<string> {
  for (let at = path.resolve(folder); ; at = path.dirname(at)) {
    try {
      await access(at);
      return at;
    } catch (error) {
      if (at === path.dirname(at)) throw error;
    }
  }
}
