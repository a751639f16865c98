/**
 * Starts hunts (`hunt.ts`) as processes and waits for their verdicts. A hunt that hangs is a verdict too: its attempt never
 * ended, in a loop or because nothing was left to do.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import type { HuntVerdict } from "./hunt.ts";
import type { Engine } from "./mutant.ts";

/** An attempt takes about a second of a processor; on a busy machine a few. */
const ATTEMPT_LIMIT_MS = 90_000;

export class Hunter {
  readonly #running = new Set<ChildProcess>();

  /** Attempts of an engine for so many seconds of processor time, in a copy of the repository. */
  hunt(folder: string, engine: Engine, budgetSeconds: number): Promise<HuntVerdict> {
    return this.#run(folder, [engine, String(budgetSeconds)]);
  }

  attempt(folder: string, name: string): Promise<HuntVerdict> {
    return this.#run(folder, ["--attempt", name]);
  }

  /** Ends what is under way. */
  close(): void {
    for (const child of this.#running) child.kill("SIGKILL");
  }

  #run(folder: string, args: readonly string[]): Promise<HuntVerdict> {
    const env = { ...process.env };
    delete env["NODE_COMPILE_CACHE"]; // what runs is what was written a moment ago
    const child = spawn(process.execPath, [join(folder, "test/mutants/hunt.ts"), ...args], {
      cwd: folder,
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#running.add(child);
    return new Promise((resolve) => {
      const startedMs = performance.now();
      let attempts = 0;
      let current = "";
      let verdict: HuntVerdict | undefined;
      let isEndless = false;
      let rest = "";
      let complaint = "";
      let timer: NodeJS.Timeout | undefined;
      const watch = (): void => {
        clearTimeout(timer);
        timer = setTimeout(() => {
          isEndless = true;
          child.kill("SIGKILL");
        }, ATTEMPT_LIMIT_MS);
      };
      watch();
      child.stdout.setEncoding("utf8");
      child.stdout.on("data", (text: string) => {
        const lines = (rest + text).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) {
          if (line.startsWith("try ")) {
            attempts++;
            current = line.slice("try ".length);
            watch();
          } else if (line.startsWith("{")) {
            verdict = JSON.parse(line) as HuntVerdict; // of our own process
          }
        }
      });
      child.stderr.setEncoding("utf8");
      child.stderr.on("data", (text: string) => {
        complaint = (complaint + text).slice(-4_000);
      });
      child.on("close", (code) => {
        clearTimeout(timer);
        this.#running.delete(child);
        if (verdict !== undefined) return resolve(verdict);
        const cpuSeconds = (performance.now() - startedMs) / 1_000;
        const UNSETTLED = 13; // Node's: the main module waits for what can never come
        if (current !== "" && (isEndless || code === UNSETTLED)) {
          const caught = isEndless ? "the run does not end" : "the run waits for what never comes";
          return resolve({ type: "killed", attempts, cpuSeconds, attempt: current, caught });
        }
        resolve({
          type: "broken",
          attempt: current,
          caught: complaint.trim() === "" ? `exit code ${code}` : complaint.trim(),
        });
      });
    });
  }
}
