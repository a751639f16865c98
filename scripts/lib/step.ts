/**
 * One step of the check: a command in a process group of its own, its output kept, its time bounded. Nothing it started
 * outlives it: when it ends, or its time is up, the whole group is killed.
 */
import { spawn } from "node:child_process";
import { root } from "./repository.ts";

export interface Step {
  readonly name: string;
  readonly command: readonly [program: string, ...args: string[]];
  /** Names of steps that must have passed before. */
  readonly after: readonly string[];
  readonly limitMs: number;
  /** Where a test runner writes its counts; undefined for a step that is no test run. */
  readonly report: string | undefined;
}

export interface StepResult {
  /** `late`: killed at its limit. */
  readonly ending: "passed" | "failed" | "late";
  readonly output: string;
  readonly elapsedMs: number;
}

export async function runStep(step: Step): Promise<StepResult> {
  const started = performance.now();
  const [program, ...args] = step.command;
  // NO_COLOR and CI: the same output everywhere
  const env = { ...process.env, NO_COLOR: "1", CI: "1" };
  const child = spawn(program, args, { cwd: root, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  running.add(child.pid ?? 0);
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk));
  const closed = new Promise<void>((resolve) => child.on("close", () => resolve()));
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    killGroup(child.pid);
  }, step.limitMs);
  const status = await new Promise<number | string>((resolve) => {
    child.on("error", (error) => resolve(error.message));
    child.on("exit", (code, signal) => resolve(code ?? signal ?? "no status"));
  });
  clearTimeout(timer);
  killGroup(child.pid); // what it left behind, and what may hold the pipes open
  await closed;
  running.delete(child.pid ?? 0);
  const notes = late ? `\nKilled after ${step.limitMs / 1000} s` : typeof status === "string" ? `\n${status}` : "";
  return {
    ending: late ? "late" : status === 0 ? "passed" : "failed",
    output: Buffer.concat(chunks).toString("utf8") + notes,
    elapsedMs: performance.now() - started,
  };
}

const running = new Set<number>();

/** Kills every step that is under way, for an interrupted check. */
export function killRunningSteps(): void {
  for (const pid of running) killGroup(pid);
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined || pid === 0) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // the group has ended
  }
}
