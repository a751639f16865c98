/**
 * `althing node`: one node in this process. Ends when it is told to (SIGTERM, SIGINT, and with `--exit-with-parent` the
 * end of stdin) after draining, and by itself, with a failure, when it cannot go on.
 */

import { notifySystemd, startWatchdog } from "../../host/sd-notify.ts";
import {
  completeSettings,
  configFromEnvironment,
  type NodeConfigFile,
  type NodeSettings,
  parseInitialCluster,
  parseNodeConfig,
  readConfigFile,
} from "../config/node-config.ts";
import type { CommandContext, GlobalOptions } from "../context.ts";
import type { NodeEvent } from "../dev/node-events.ts";
import type { ExitName } from "../exit-codes.ts";
import { type CliFailure, toFailure } from "../failure.ts";
import { VERSION } from "../version.ts";

export interface NodeFlags extends GlobalOptions {
  readonly config?: string;
  readonly id?: number;
  readonly name?: string;
  readonly cluster?: string;
  readonly dir?: string;
  readonly listen?: string;
  readonly peerListen?: string;
  readonly advertise?: string;
  readonly peerAdvertise?: string;
  readonly initialCluster?: string;
  readonly join?: boolean;
  readonly consensus?: string;
  readonly logLevel?: string;
  readonly insecure?: boolean;
  readonly exitWithParent?: boolean;
}

export async function node(context: CommandContext, flags: NodeFlags): Promise<ExitName> {
  const { output } = context;
  const tell = (event: NodeEvent): void => output.record({ ...event });
  try {
    const settings = await settingsOf(flags, context.env, (text) => output.note(text));
    return await serve(context, settings, flags.exitWithParent === true, tell);
  } catch (error) {
    const failure: CliFailure = toFailure(error);
    tell({
      event: "failed",
      message: failure.message,
      ...(failure.code === undefined ? {} : { code: failure.code }),
      ...(failure.next === undefined ? {} : { next: failure.next }),
    });
    throw failure;
  }
}

/** Flags, then environment, then file, then defaults. */
export async function settingsOf(
  flags: NodeFlags,
  env: Readonly<Record<string, string | undefined>>,
  warn: (text: string) => void,
): Promise<NodeSettings> {
  const { config: fileFlag, json: _json, quiet: _quiet, exitWithParent: _parent, initialCluster, ...plain } = flags;
  const fromFlags = parseNodeConfig(
    {
      ...plain,
      ...(initialCluster === undefined
        ? {}
        : { initialCluster: parseInitialCluster(initialCluster, "--initial-cluster") }),
    },
    "the flags",
    (key) => `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
  );
  const file = fileFlag ?? env["ALTHING_CONFIG"];
  const fromEnvironment = configFromEnvironment(env);
  for (const { name, near } of fromEnvironment.mistyped) warn(`Ignored ${name}: did you mean ${near}?`);
  const layers: readonly NodeConfigFile[] = [
    fromFlags,
    fromEnvironment.config,
    ...(file === undefined ? [] : [await readConfigFile(file)]),
  ];
  return completeSettings(layers);
}

async function serve(
  context: CommandContext,
  settings: NodeSettings,
  exitWithParent: boolean,
  tell: (event: NodeEvent) => void,
): Promise<ExitName> {
  const isTerminal = process.stderr.isTTY;
  const stop = new StopSignals(exitWithParent);
  const watchdog = startWatchdog();
  try {
    const { openServer } = await import("../server.ts"); // it loads the whole node, so only now that the configuration is right
    const { server, log } = await openServer(settings, {
      onLeader: (leader, term) => tell({ event: "leader-changed", leader, term }),
    });
    try {
      const { address, peerAddress } = server;
      tell({ event: "ready", id: settings.node.id, pid: process.pid, address, peerAddress });
      // On a terminal a person reads along; elsewhere the log says the same, as JSON.
      if (isTerminal)
        context.output.note(
          `Node ${settings.node.id} of althing ${VERSION} serves on ${address}, peers on ${peerAddress}, data in ${settings.dir}`,
        );
      else log.observe({ type: "ready", level: "info", version: VERSION, address, peerAddress, dir: settings.dir });
      await notifySystemd("READY=1");
      const ending = await Promise.race([
        stop.requested.then(() => undefined),
        server.failed.then((error) => ({ error })),
      ]);
      if (ending !== undefined) {
        endSoon(); // a node that cannot go on must end, also when closing what is left of it hangs
        throw ending.error;
      }
      tell({ event: "draining" });
      if (isTerminal) context.output.note("Draining; once more stops at once");
      else log.observe({ type: "draining", level: "info" });
      await notifySystemd("STOPPING=1");
    } finally {
      await server.close();
    }
    return "success";
  } finally {
    watchdog.close();
    stop.release();
  }
}

function endSoon(): void {
  setTimeout(endNow, END_MS).unref();
}

/**
 * Not `process.exit`: that waits for the storage engine's thread, which may be inside a transaction and then never ends.
 * Everything acknowledged is on disk; ending at any moment is what the node is built for.
 */
function endNow(): void {
  process.kill(process.pid, "SIGKILL");
}

/** The first request to stop resolves `requested`; a second one ends the process at once. */
class StopSignals {
  readonly requested: Promise<void>;
  readonly #onSignal: () => void;
  readonly #onParentGone: (() => void) | undefined;

  constructor(exitWithParent: boolean) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.requested = promise;
    let asked = false;
    this.#onSignal = () => {
      if (asked) endNow();
      asked = true;
      resolve();
    };
    process.on("SIGTERM", this.#onSignal).on("SIGINT", this.#onSignal);
    if (!exitWithParent) return;
    this.#onParentGone = () => {
      asked = true;
      resolve();
      endSoon(); // an orphan that cannot drain, because its majority is gone too, must still end
    };
    process.stdin.on("end", this.#onParentGone).on("error", this.#onParentGone).resume();
  }

  release(): void {
    process.off("SIGTERM", this.#onSignal).off("SIGINT", this.#onSignal);
    if (this.#onParentGone === undefined) return;
    process.stdin.off("end", this.#onParentGone).off("error", this.#onParentGone);
    process.stdin.destroy(); // else the open pipe keeps the process
  }
}

const END_MS = 5_000;
