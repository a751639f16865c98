/**
 * One child process that runs one node, as its supervisor sees it.
 *
 * The node says what happens to it as JSON lines on stdout (`node-events.ts`) and logs to a file that it owns from the
 * start, so that nothing blocks or is lost when the supervisor dies. Its stdin is a pipe that the supervisor never writes
 * to: its end is the child's sign that the supervisor is gone, however it went.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { createInterface } from "node:readline";
import { Deferred } from "../../base/deferred.ts";
import { type NodeEvent, parseNodeEvent } from "./node-events.ts";

export interface NodeCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface NodeExit {
  readonly pid: number;
  readonly code: number | null;
  readonly signal: string | null;
  /** What the node itself said before it ended, if it could. */
  readonly why: string | undefined;
  readonly next: string | undefined;
}

export class NodeProcess {
  readonly pid: number;
  readonly exited: Promise<NodeExit>;
  readonly #child: ChildProcess;
  #failure: Extract<NodeEvent, { event: "failed" }> | undefined;

  /** Fails only if the process cannot be spawned at all. */
  static async spawn(
    command: NodeCommand,
    options: { readonly logFile: string; readonly onEvent: (event: NodeEvent) => void },
  ): Promise<NodeProcess> {
    const log = openSync(options.logFile, "a");
    try {
      const child = spawn(command.file, command.args, {
        stdio: ["pipe", "pipe", log],
        env: { ...process.env, ...command.env },
        detached: true, // Ctrl-C in the terminal goes to the supervisor alone, which drains its nodes
      });
      await new Promise<void>((resolve, reject) => {
        child.once("spawn", resolve);
        child.once("error", reject);
      });
      return new NodeProcess(child, options.onEvent);
    } finally {
      closeSync(log);
    }
  }

  private constructor(child: ChildProcess, onEvent: (event: NodeEvent) => void) {
    this.#child = child;
    this.pid = child.pid ?? 0;
    child.stdin?.on("error", () => undefined); // the pipe breaks when the child dies first
    const exited = new Deferred<NodeExit>();
    this.exited = exited.promise;
    if (child.stdout !== null) {
      createInterface({ input: child.stdout }).on("line", (line) => {
        const event = parseNodeEvent(line);
        if (event === undefined) return;
        if (event.event === "failed") this.#failure = event;
        onEvent(event);
      });
    }
    // `close` comes after the last line of stdout was read, so that `failed` is known by then.
    child.once("close", (code, signal) => {
      exited.resolve({ pid: this.pid, code, signal, why: this.#failure?.message, next: this.#failure?.next });
    });
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  kill(signal: "SIGTERM" | "SIGKILL" | "SIGSTOP" | "SIGCONT"): void {
    if (this.running) this.#child.kill(signal);
  }

  /** Drains, and after `graceMs` kills. */
  async stop(graceMs: number): Promise<NodeExit> {
    this.kill("SIGTERM");
    const timer = setTimeout(() => this.kill("SIGKILL"), graceMs);
    try {
      return await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }
}
