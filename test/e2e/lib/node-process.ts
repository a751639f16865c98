/** One server process of a test cluster: started, killed, paused and started again, its log kept in a file. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { atExit } from "./at-exit.ts";

export interface NodeCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export class NodeProcess {
  readonly #command: NodeCommand;
  readonly #logFile: string;
  #child: ChildProcess | undefined;

  constructor(command: NodeCommand, logFile: string) {
    this.#command = command;
    this.#logFile = logFile;
  }

  /** 0: not running. */
  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  start(): void {
    if (this.#child !== undefined) throw new Error(`Cannot start: process ${this.pid} is running`);
    const log = openSync(this.#logFile, "a");
    const child = spawn(this.#command.file, this.#command.args, {
      stdio: ["pipe", log, log], // Althing's nodes end when their stdin does, so none outlives the test
      env: { ...process.env, ...this.#command.env },
    });
    closeSync(log);
    child.stdin?.on("error", () => undefined);
    const ended = atExit(() => child.kill("SIGKILL"));
    const forget = (): void => {
      ended();
      this.#forget(child);
    };
    child.on("error", forget);
    child.on("exit", forget);
    this.#child = child;
  }

  /** `SIGKILL`, and waits for the end. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** `SIGTERM`; after `graceMs`, `SIGKILL`. */
  async stop(graceMs = 5_000): Promise<void> {
    const timer = setTimeout(() => this.#child?.kill("SIGKILL"), graceMs);
    await this.#end("SIGTERM");
    clearTimeout(timer);
  }

  pause(): void {
    this.#child?.kill("SIGSTOP");
  }

  resume(): void {
    this.#child?.kill("SIGCONT");
  }

  /** The last lines of the log, for the message of a failure. */
  logTail(lines = 20): string {
    return readFileSync(this.#logFile, "utf8").trimEnd().split("\n").slice(-lines).join("\n");
  }

  /** Resident memory in bytes (proc(5), `VmRSS`). */
  rssBytes(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, "utf8");
    const kib = /^VmRSS:\s+(\d+) kB/m.exec(status)?.[1];
    if (kib === undefined) throw new Error(`Cannot read the memory of process ${this.pid}`);
    return Number(kib) * 1024;
  }

  async #end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    if (signal === "SIGTERM") child.kill("SIGCONT"); // a paused process does not hear SIGTERM
    child.kill(signal);
    await ended;
  }

  #forget(child: ChildProcess): void {
    if (this.#child === child) this.#child = undefined;
  }
}
