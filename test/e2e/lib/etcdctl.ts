/**
 * Debian's `etcdctl`, unmodified, as a program under test: run to its end, or started and listened to while it runs.
 * Owns the processes it starts: each ends by itself, by `interrupt`, or by `close`, which a test calls in any case.
 */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { until } from "./until.ts";

export interface EtcdctlResult {
  /** The exit code; -1 if a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface EtcdctlOptions {
  readonly stdin?: string;
  /** Given instead of the endpoint of this object. */
  readonly endpoints?: readonly string[];
}

const RUN_LIMIT_MS = 15_000;

/** The version that `etcdctl` gives of itself; fails with the package's name if it is not there. */
export function etcdctlVersion(): string {
  const done = spawnSync("etcdctl", ["version"], { encoding: "utf8", env: environment() });
  const version = /etcdctl version: (\S+)/.exec(done.stdout ?? "")?.[1];
  if (version === undefined) throw new Error("Cannot run etcdctl: it is not installed (Debian: etcd-client)");
  return version;
}

/** What of our own environment etcdctl may see: nothing that changes what it does. */
function environment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(ETCDCTL_|GRPC_|HTTPS?_PROXY|https?_proxy)/.test(name),
  );
  return { ...Object.fromEntries(kept), ETCDCTL_API: "3" };
}

export class RunningEtcdctl {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #ended: Promise<number>;
  readonly #args: string;
  #stdout = "";
  #stderr = "";
  #running = true;

  constructor(args: readonly string[]) {
    this.#args = args.join(" ");
    this.#child = spawn("etcdctl", args, { env: environment() });
    this.#child.stdin.on("error", () => undefined); // it may end before it has read everything
    this.#child.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.#stdout += text;
    });
    this.#child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
    });
    this.#ended = new Promise((resolve, reject) => {
      this.#child.once("error", reject);
      this.#child.once("close", (code) => {
        this.#running = false;
        resolve(code ?? -1);
      });
    });
    this.#ended.catch(() => undefined); // heard by whoever waits for the end
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get running(): boolean {
    return this.#running;
  }

  write(text: string): void {
    this.#child.stdin.write(text);
  }

  endInput(): void {
    this.#child.stdin.end();
  }

  /** Waits until stdout has `count` lines (all of them complete). */
  async lines(count: number, limitMs = RUN_LIMIT_MS): Promise<readonly string[]> {
    return await until(`line ${count} of etcdctl ${this.#args}: ${this.#stdout}${this.#stderr}`, limitMs, () => {
      const lines = this.#stdout.split("\n").slice(0, -1);
      return lines.length >= count ? lines : undefined;
    });
  }

  /** `SIGINT`, as Ctrl-C sends it, then the end. */
  async interrupt(): Promise<EtcdctlResult> {
    this.#child.kill("SIGINT");
    return await this.finish();
  }

  /** Waits for the end; after 15 s it is killed, and the wait fails. */
  async finish(): Promise<EtcdctlResult> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#child.kill("SIGKILL");
    }, RUN_LIMIT_MS);
    const code = await this.#ended;
    clearTimeout(timer);
    const result = { code, stdout: this.#stdout, stderr: this.#stderr };
    if (late) throw new Error(`Cannot wait for etcdctl ${this.#args}: it did not end\n${JSON.stringify(result)}`);
    return result;
  }

  async close(): Promise<void> {
    if (this.#running) this.#child.kill("SIGKILL");
    await this.#ended.catch(() => undefined);
  }
}

export class Etcdctl {
  readonly #endpoint: string;

  constructor(endpoint: string) {
    this.#endpoint = endpoint;
  }

  /** Runs to the end. Stdin is empty unless given. */
  async run(args: readonly string[], options: EtcdctlOptions = {}): Promise<EtcdctlResult> {
    const running = this.start(args, options);
    if (options.stdin !== undefined) running.write(options.stdin);
    running.endInput();
    return await running.finish();
  }

  /** Starts, with stdin open. */
  start(args: readonly string[], options: Pick<EtcdctlOptions, "endpoints"> = {}): RunningEtcdctl {
    const endpoints = options.endpoints ?? [this.#endpoint];
    return new RunningEtcdctl([`--endpoints=${endpoints.join(",")}`, ...args]);
  }
}
