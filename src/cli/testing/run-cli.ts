/** Runs the command line as a user would, in a process of its own. For tests. */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export const CLI: string = fileURLToPath(new URL("../main.ts", import.meta.url));

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly input?: string;
  readonly script?: string;
}

/** A running command; `done` resolves when it has ended and its output is complete. */
export interface RunningCli {
  readonly child: ChildProcess;
  readonly done: Promise<CliResult>;
  /** What was written to stdout and stderr so far. */
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Resolves when stdout holds the text. Fails when the command ends before that. */
  waitFor(text: string): Promise<void>;
}

export function startCli(args: readonly string[], options: CliOptions = {}): RunningCli {
  // The surroundings of the test run decide nothing: no colour, endpoint or node setting of theirs comes in.
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(ALTHING_|ETCDCTL_|NO_COLOR$|FORCE_COLOR$|CI$|TERM$|COLUMNS$|NODE_OPTIONS$|VITEST)/.test(name),
  );
  const child = spawn(process.execPath, [options.script ?? CLI, ...args], {
    cwd: options.cwd,
    env: { ...Object.fromEntries(inherited), ...options.env },
  });
  let stdout = "";
  let stderr = "";
  const watchers = new Set<() => void>();
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
    for (const watcher of watchers) watcher();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  child.stdin.on("error", () => undefined); // the command ended without reading it
  if (options.input !== undefined) child.stdin.end(options.input);
  const done = new Promise<CliResult>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, stdout, stderr }));
  });
  return {
    child,
    done,
    stdout: () => stdout,
    stderr: () => stderr,
    waitFor: (text) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          if (!stdout.includes(text)) return;
          watchers.delete(check);
          resolve();
        };
        watchers.add(check);
        check();
        void done.then(({ code }) => reject(new Error(`ended with ${code} before "${text}": ${stdout}${stderr}`)));
      }),
  };
}

export function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return startCli(args, { input: "", ...options }).done;
}

/** The JSON lines of an output. */
export function jsonLines(text: string): readonly Readonly<Record<string, unknown>>[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>); // every line of --json is an object; the tests look inside
}
