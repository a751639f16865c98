/**
 * Survives a file that ends the process which opens it. A marker file stands while an environment is being opened; one that
 * is still there at the next start means that the process died during it. Then, and when the file is shorter than it
 * says, a child process opens it first: only if that dies by a signal too, or finds damage, the file counts as damaged. A
 * kill at the wrong moment leaves a marker as well, and costs one check.
 */
import { spawn } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AlthingError } from "../base/errors.ts";
import { prepareLmdb } from "./lmdb-meta.ts";
import { moduleBeside } from "./module-beside.ts";

const MARKER = "opening";

/** Runs `open` between setting and removing the marker. Fails with DATA_CORRUPT if the file is known to kill. */
export async function openProbed<T>(folder: string, verifyBytesMax: number, open: () => Promise<T>): Promise<T> {
  const marker = join(folder, MARKER);
  const whole = prepareLmdb(folder);
  if (!whole || existsSync(marker)) await checkInChild(folder, verifyBytesMax);
  try {
    writeFileSync(marker, "");
  } catch {
    // Without room for a marker the opening goes on: it needs none.
  }
  try {
    return await open();
  } finally {
    rmSync(marker, { force: true });
  }
}

async function checkInChild(folder: string, verifyBytesMax: number): Promise<void> {
  const script = fileURLToPath(moduleBeside(import.meta.url, "lmdb-check"));
  const child = spawn(process.execPath, [script, folder, String(verifyBytesMax)], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => {
    if (said.length < 1_000) said += chunk.toString();
  });
  const [code, signal] = await new Promise<readonly [number | null, string | null]>((resolve) => {
    child.once("error", () => resolve([0, null])); // it cannot be started: no evidence against the file
    child.once("close", (exitCode, exitSignal) => resolve([exitCode, exitSignal]));
  });
  if (signal === "SIGSEGV" || signal === "SIGBUS" || signal === "SIGABRT") {
    throw new AlthingError("DATA_CORRUPT", `Cannot read from ${folder}: opening it ends the process (${signal})`, {
      details: { folder, signal },
    });
  }
  if (code === 3) throw new AlthingError("DATA_CORRUPT", said.trim(), { details: { folder } });
}
