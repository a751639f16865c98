/**
 * Faults in the system calls of a running process, made with strace(1) attached to it: from then on the chosen calls fail or
 * are late in every thread. `strace` also reports how the process ended.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { atExit } from "../at-exit.ts";
import { until } from "../until.ts";

/** `inject` as in strace(1), for example `fdatasync:error=EIO`. */
export interface SyscallFault {
  readonly calls: string;
  readonly inject: string;
}

export class TamperedProcess {
  readonly #pid: number;
  readonly #child: ChildProcess;
  readonly #log: string;
  #ended = false;

  private constructor(pid: number, child: ChildProcess, log: string) {
    this.#pid = pid;
    this.#child = child;
    this.#log = log;
    const forget = atExit(() => child.kill("SIGKILL"));
    child.once("exit", () => {
      forget();
      this.#ended = true;
    });
  }

  /** Attaches to `pid`, and resolves when every later call is met. `log` is a file for what strace sees. */
  static async attach(pid: number, fault: SyscallFault, log: string): Promise<TamperedProcess> {
    const args = ["-f", "-p", String(pid), "-o", log, "-e", `trace=${fault.calls}`, "-e", `inject=${fault.inject}`];
    const child = spawn("strace", args, { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    const tampered = new TamperedProcess(pid, child, log);
    await until("strace", 5_000, () => {
      if (tampered.#ended) throw new Error(`Cannot attach strace to process ${pid}: ${said.trim()}`);
      return said.includes("attached") ? true : undefined;
    });
    return tampered;
  }

  /** The exit code of the process; fails if it does not end in `limitMs`. A number above 128 stands for a signal. */
  async exitCode(limitMs: number): Promise<number> {
    await until(`the end of process ${this.#pid}`, limitMs, () => (this.#ended ? true : undefined));
    // Threads end too; the process itself has the line with its own id, padded. It may reach the file a moment later.
    const pattern = new RegExp(`^${this.#pid} +\\+\\+\\+ (?:exited with (\\d+)|killed by (\\w+))`, "m");
    const read = (): RegExpExecArray | null => pattern.exec(readFileSync(this.#log, "utf8"));
    await until("the last line of strace", 2_000, () => (read() === null ? undefined : true)).catch(() => undefined);
    const log = readFileSync(this.#log, "utf8");
    const ending = pattern.exec(log);
    if (ending?.[1] !== undefined) return Number(ending[1]);
    throw new Error(`Cannot tell how process ${this.#pid} ended: ${ending?.[2] ?? log.slice(-300)}`);
  }

  /** How many calls the fault has met. */
  get met(): number {
    return readFileSync(this.#log, "utf8").split("(INJECTED)").length + this.#delayed() - 1;
  }

  /** Lets go of the process, which runs on without the fault. */
  async detach(): Promise<void> {
    if (this.#ended) return;
    this.#child.kill("SIGINT");
    await until("strace to let go", 5_000, () => (this.#ended ? true : undefined));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.detach();
  }

  #delayed(): number {
    return readFileSync(this.#log, "utf8").split("(DELAYED)").length - 1;
  }
}
