/**
 * A lock on a file that at most one living process holds.
 *
 * Node.js has no `flock`. The SQLite inside it has, and has been hardened over decades: an exclusive transaction on an empty
 * database takes POSIX record locks on the file. The kernel drops them with the process, however it dies, so there is
 * no stale lock to tell from a live one, no pid that is used again, and no race between two that find a dead holder's file; it
 * holds between containers that share the folder, and within one process, because SQLite keeps account of its own locks.
 *
 * L1. Nothing in this process opens the lock file in any other way: closing any descriptor of a file drops the process's
 *     record locks on it. The holder's name therefore stands in a second file, which decides nothing.
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { AlthingError } from "../base/errors.ts";
import type { DiskLock } from "../ports/disk.ts";
import { errnoOf } from "./disk-error.ts";

const SQLITE_BUSY = 5;

/** Fails with DATA_LOCKED and names the holder, or with DISK_FAILED where the file system has no locks. */
export function lockFile(path: string): DiskLock {
  const database = openDatabase(path);
  const ownerPath = `${path}.owner`;
  try {
    // The journal would be a second file; nothing is ever written, so it can stay in memory.
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (sqliteCode(error) === SQLITE_BUSY) throw lockedBy(path, ownerPath, error);
    throw new AlthingError("DISK_FAILED", `Cannot lock ${path}: ${errnoOf(error)}`, { cause: error });
  }
  let held = true;
  try {
    writeFileSync(ownerPath, `process ${process.pid} on ${hostname()}\n`, { mode: 0o600 });
  } catch {
    // A full disk keeps nobody from holding the lock; the refusal of the next one is only less helpful.
  }
  return {
    close: async () => {
      if (!held) return;
      held = false;
      rmSync(ownerPath, { force: true });
      database.close();
    },
  };
}

interface Database {
  exec(sql: string): void;
  close(): void;
}

function openDatabase(path: string): Database {
  const sqlite = withoutExperimentalWarning(() => process.getBuiltinModule("node:sqlite"));
  // A Node.js built without SQLite has no such module, whatever its types say.
  if ((sqlite as typeof sqlite | undefined) === undefined) {
    throw new AlthingError(
      "CONFIG_INVALID",
      `Cannot lock ${path}: this build of Node.js has no node:sqlite; use an official build from version 22.18`,
    );
  }
  try {
    return new sqlite.DatabaseSync(path, { timeout: 0 });
  } catch (error) {
    throw new AlthingError("DISK_FAILED", `Cannot lock ${path}: ${errnoOf(error)}`, { cause: error });
  }
}

/** Node 22 announces that its SQLite is experimental on the first use; we depend on one statement of it. */
function withoutExperimentalWarning<T>(action: () => T): T {
  const emitWarning = process.emitWarning.bind(process);
  process.emitWarning = () => undefined;
  try {
    return action();
  } finally {
    process.emitWarning = emitWarning;
  }
}

function sqliteCode(error: unknown): unknown {
  return error instanceof Error && "errcode" in error ? error.errcode : undefined;
}

function lockedBy(path: string, ownerPath: string, cause: unknown): AlthingError {
  let owner = "another process";
  try {
    const text = readFileSync(ownerPath, "utf8").trim();
    if (text !== "") owner = text;
  } catch {
    // It holds the lock and has not written its name yet.
  }
  const advice = "stop it first, or give this node another data folder";
  return new AlthingError("DATA_LOCKED", `Cannot lock ${path}: ${owner} holds it; ${advice}`, {
    details: { path, owner },
    cause,
  });
}
