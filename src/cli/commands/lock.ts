/**
 * `althing kv lock`: a lock of the cluster, held by a lease. With a command the lock is held while the command runs, and
 * its exit code becomes ours; without one until Ctrl-C.
 *
 * L1. The command never runs on after the lock may be lost: when the lease cannot be kept, the command gets SIGTERM.
 */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import type { ClientOptions, CommandContext, CommandResult } from "../context.ts";
import { lease, lock as lockMethods } from "../etcd/api.ts";
import { keepLease, untilLost } from "../etcd/keep-lease.ts";
import { showBytesOf } from "../etcd/text.ts";
import { CliFailure } from "../failure.ts";
import { callTrouble } from "../grpc/call-failure.ts";
import { untilAborted } from "../pause.ts";

export interface LockOptions extends ClientOptions {
  readonly ttl: number;
}

/** Waiting for a lock may take as long as it takes: only Ctrl-C ends it. */
const WAIT_MS: number = Number.POSITIVE_INFINITY;

export async function lock(
  context: CommandContext,
  name: string,
  command: readonly string[],
  options: LockOptions,
): Promise<CommandResult> {
  const { output, signal } = context;
  const client = await context.client(options);
  const granted = await client.unary(lease.grant, { ttl: options.ttl }, { signal });
  const holding = new AbortController(); // ends when the lease is lost or no longer wanted
  const lost = untilLost(keepLease(client, granted.id, holding.signal), holding.signal);
  try {
    const waiting = client.unary(
      lockMethods.lock,
      { name: new TextEncoder().encode(name), lease: granted.id },
      { signal, timeoutMs: WAIT_MS },
    );
    const taken = await Promise.race([waiting, lost.then((why) => Promise.reject(lockLost(name, why)))]);
    output.record({ event: "locked", name, key: showBytesOf(taken.key), revision: taken.header?.revision ?? 0 });
    output.line(showBytesOf(taken.key));
    if (command.length > 0) return await runHolding(name, command, taken.key, lost, context);
    output.note("Holding the lock; Ctrl-C lets it go");
    await Promise.race([untilAborted(signal), lost.then((why) => Promise.reject(lockLost(name, why)))]);
    return "interrupted";
  } finally {
    holding.abort();
    // The key goes with its lease. The command's own signal may have aborted already, so this call has none.
    await client.unary(lease.revoke, { id: granted.id }).catch((error: unknown) => {
      output.note(`The lock ends by itself within ${options.ttl} s: ${callTrouble(error)}`);
    });
  }
}

/** Runs the command; its exit code is set by hand, because it may be any number. */
async function runHolding(
  name: string,
  command: readonly string[],
  key: Uint8Array,
  lost: Promise<string | undefined>,
  context: CommandContext,
): Promise<CommandResult> {
  const [file = "", ...args] = command;
  const env = { ...process.env, ALTHING_LOCK_NAME: name, ALTHING_LOCK_KEY: new TextDecoder().decode(key) };
  const child = spawn(file, args, { stdio: "inherit", env });
  let lostBecause: string | undefined;
  void lost.then((why) => {
    lostBecause = why;
    if (why !== undefined) child.kill("SIGTERM"); // L1
  });
  const onAbort = (): void => void child.kill("SIGTERM");
  context.signal.addEventListener("abort", onAbort, { once: true });
  const { code, signal } = await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>(
    (resolve, reject) => {
      child.once("error", (error) =>
        reject(new CliFailure("usage", `Cannot run ${file}: ${error.message}`, { cause: error })),
      );
      child.once("close", (exitCode, exitSignal) => resolve({ code: exitCode, signal: exitSignal }));
    },
  );
  if (lostBecause !== undefined) throw lockLost(name, lostBecause);
  return { exitCode: code ?? 128 + (signal === null ? 0 : constants.signals[signal]) };
}

function lockLost(name: string, why: string | undefined): CliFailure {
  return new CliFailure("failure", `Cannot hold the lock ${name} any longer: ${why ?? "it was given up"}`, {
    code: "LOCK_LOST",
  });
}
