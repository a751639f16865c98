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
import type { ExitName } from "../exit-codes.ts";

export interface DoctorOptions extends GlobalOptions {
  readonly dir: string;
  readonly port: number;
}

/** Exit code 3 if a check fails; a warning is no failure. */
export async function doctor(context: CommandContext, options: DoctorOptions): Promise<ExitName> {
  const { output } = context;
  const { style } = output;
  const folder = path.resolve(options.dir);
  const checks: readonly (() => Promise<Finding> | Finding)[] = [
    checkNode,
    () => checkEngine(),
    () => checkDataFolder(folder),
    () => checkDiskSpace(folder),
    () => checkSync(folder),
    () => checkPort(options.port),
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
  output.note(failed + warned === 0 ? "All is well" : `${failed} failed, ${warned} warnings`);
  return failed === 0 ? "success" : "unhealthy";
}
