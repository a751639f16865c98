/** `althing doctor`: is this machine, and this data folder, fit to run a node? Each line says what to do when not. */
import path from "node:path";
import type { CommandContext, GlobalOptions } from "../context.ts";
import {
  checkClock,
  checkDataFolder,
  checkDescriptors,
  checkDiskSpace,
  checkEngine,
  checkMemory,
  checkNode,
  checkPort,
  checkSync,
  type Finding,
} from "../doctor/checks.ts";
import { DEFAULT_PORT } from "../endpoints.ts";
import type { ExitName } from "../exit-codes.ts";
import { readProfile } from "../profile.ts";

export interface DoctorOptions extends GlobalOptions {
  readonly dir: string;
  /** Undefined: that of the local cluster in the folder, else 7400. */
  readonly port?: number;
}

/** Exit code 3 if a check fails; a warning is no failure. */
export async function doctor(context: CommandContext, options: DoctorOptions): Promise<ExitName> {
  const { output } = context;
  const { style } = output;
  const folder = path.resolve(options.dir);
  const port = options.port ?? (await portOf(folder)) ?? DEFAULT_PORT;
  const checks: readonly (() => Promise<Finding> | Finding)[] = [
    checkNode,
    () => checkEngine(),
    () => checkDataFolder(folder),
    () => checkDiskSpace(folder),
    () => checkSync(folder),
    () => checkPort(port),
    checkDescriptors,
    checkMemory,
    checkClock,
  ];
  const marks = { ok: style.ok("ok  "), warn: style.warn("warn"), fail: style.bad("FAIL") };
  const findings: Finding[] = [];
  for (const check of checks) {
    if (context.signal.aborted) return "interrupted";
    const finding = await check();
    findings.push(finding);
    const { result, name, text, next } = finding;
    output.line(`${marks[result]}  ${name.padEnd(12)} ${text}${next === undefined ? "" : `. Next: ${next}`}`);
  }
  const failed = findings.filter((finding) => finding.result === "fail").length;
  const warned = findings.filter((finding) => finding.result === "warn").length;
  output.record({ healthy: failed === 0, checks: findings });
  output.note(failed + warned === 0 ? "All is well" : `${failed} failed, ${warned} warning${warned === 1 ? "" : "s"}`);
  return failed === 0 ? "success" : "unhealthy";
}

/** The public port of the first node in a local cluster's folder. */
async function portOf(folder: string): Promise<number | undefined> {
  const profile = await readProfile(folder).catch(() => undefined); // a broken one is what `checkDataFolder` tells of
  return profile?.nodes[0]?.port;
}
