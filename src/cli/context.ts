/**
 * What a command gets from the program: where to write, which cluster to talk to, and the signal that ends it. One
 * context lives as long as one command; what was opened through it is closed at its end.
 */
import { exitCodes, type ExitName } from "./exit-codes.ts";
import { toFailure } from "./failure.ts";
import type { GrpcClient } from "./grpc/client.ts";
import { Output } from "./output.ts";

export interface GlobalOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
}

export interface ClientOptions extends GlobalOptions {
  readonly endpoints?: string;
  /** Milliseconds. */
  readonly timeout?: number;
}

export interface CommandContext {
  readonly output: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborts at the first Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal;
  /** A client of the cluster that flags, environment and profile name; one per command. */
  client(options: ClientOptions): Promise<GrpcClient>;
}

/** How a command ended; `exitCode` passes on the status of a program that the command ran. */
export type CommandResult = ExitName | { readonly exitCode: number } | undefined | void;

export const DEFAULT_TIMEOUT_MS = 5_000;

/**
 * Runs one command and sets the process's exit code.
 * - `one-shot`: Ctrl-C aborts the context's signal and the exit code is 130;
 * - `server`: the command ends in its own order after a signal, and its result is the exit code.
 */
export async function runCommand(
  kind: "one-shot" | "server",
  options: GlobalOptions,
  command: (context: CommandContext) => Promise<CommandResult>,
): Promise<void> {
  const output = createOutput(options);
  const stop = new AbortController();
  let opened: GrpcClient | undefined;
  const context: CommandContext = {
    output,
    env: process.env,
    signal: stop.signal,
    async client(clientOptions) {
      if (opened !== undefined) return opened;
      const [{ GrpcClient }, { resolveEndpoints }] = await Promise.all([
        import("./grpc/client.ts"),
        import("./endpoints.ts"),
      ]);
      const { urls } = await resolveEndpoints(clientOptions.endpoints, process.env, process.cwd());
      opened = new GrpcClient(urls, { timeoutMs: clientOptions.timeout ?? DEFAULT_TIMEOUT_MS });
      return opened;
    },
  };
  const onSignal = (): void => {
    if (stop.signal.aborted && kind === "one-shot") process.exit(exitCodes.interrupted);
    stop.abort(new Error("interrupted"));
  };
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  let exit: Exclude<CommandResult, undefined | void>;
  if (kind === "server") serversRunning++;
  try {
    exit = (await command(context)) ?? "success";
    if (stop.signal.aborted && kind === "one-shot") exit = "interrupted";
  } catch (error) {
    if (stop.signal.aborted && kind === "one-shot") {
      exit = "interrupted";
    } else {
      const failure = await describeFailure(error, opened);
      output.failure(failure);
      exit = failure.exit;
    }
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
    opened?.close();
    if (kind === "server") serversRunning--;
  }
  process.exitCode = typeof exit === "string" ? exitCodes[exit] : exit.exitCode;
}

/** Commands that must end in their own order, whoever has stopped reading. */
let serversRunning = 0;

/**
 * What happens when nobody reads stdout any more (`althing kv watch … | head -1`): a one-shot command ends quietly; a
 * server goes on, because it closes its files before it ends.
 */
export function endWithReader(): void {
  const onError = (error: Error & { readonly code?: string }): void => {
    if (error.code !== "EPIPE") throw error;
    if (serversRunning === 0) process.exit(exitCodes.success);
  };
  process.stdout.on("error", onError);
  process.stderr.on("error", onError);
}

export function createOutput(options: GlobalOptions): Output {
  return new Output({
    json: options.json === true,
    quiet: options.quiet === true,
    env: process.env,
    stdout: process.stdout,
    stderr: process.stderr,
  });
}

/** Errors of calls are described by the module that knows them; it is loaded only when calls were made. */
async function describeFailure(error: unknown, client: GrpcClient | undefined): Promise<ReturnType<typeof toFailure>> {
  if (client === undefined) return toFailure(error);
  const { callFailure } = await import("./grpc/call-failure.ts");
  return callFailure(error, client.endpoints);
}
