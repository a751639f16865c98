/**
 * `althing dev`: a local cluster with its narration, its keys and its copy-ready strings. The processes are
 * `dev/cluster.ts`; here is what the person sees and may do.
 */

import path from "node:path";
import { createInterface } from "node:readline";
import type { CommandContext, GlobalOptions } from "../context.ts";
import { type ClusterEvent, DevCluster } from "../dev/cluster.ts";
import { holdFolder } from "../dev/folder-lock.ts";
import { actionOfKey, actionOfLine, type DevAction, KEYS_HELP } from "../dev/keys.ts";
import type { NodeCommand } from "../dev/node-process.ts";
import {
  type ClusterPlan,
  dirFlag,
  endpointOf,
  folderOf,
  HOST,
  nodeFlags,
  planCluster,
  profileOf,
} from "../dev/plan.ts";
import { portHolder, portTrouble } from "../dev/port-check.ts";
import type { ExitName } from "../exit-codes.ts";
import { CliFailure, toFailure } from "../failure.ts";
import { hint, hintFolder, mainFile } from "../invocation.ts";
import type { Output } from "../output.ts";
import { showDuration } from "../parse.ts";
import { showTerm } from "../show-term.ts";
import { findProfile, type ProfileNode, readProfile, writeProfile } from "../profile.ts";
import { nodeV8Flags } from "../v8-flags.ts";

export interface DevOptions extends GlobalOptions {
  readonly nodes?: number;
  readonly port?: number;
  readonly dir: string;
  readonly consensus?: string;
}

export async function dev(context: CommandContext, options: DevOptions): Promise<ExitName> {
  return await runDev(context, options, (plan) => (node) => ({
    file: process.execPath,
    args: [...nodeV8Flags, mainFile(), ...nodeFlags(plan, node)],
  }));
}

/** The same with another program for each node: the tests run it with etcd itself. */
export async function runDev(
  context: CommandContext,
  options: DevOptions,
  commandFor: (plan: ClusterPlan) => (node: ProfileNode) => NodeCommand,
): Promise<ExitName> {
  const { output } = context;
  const folder = path.resolve(options.dir);
  const lock = await holdFolder(folder);
  try {
    const existing = await readProfile(folder);
    const plan = planCluster(
      { folder, nodes: options.nodes, port: options.port, consensus: options.consensus },
      existing,
    );
    await demandFreePorts(plan, existing !== undefined);
    await writeProfile(folder, profileOf(plan));
    const narrator = new Narrator(output, plan, existing !== undefined, await endpointsFlag(plan));
    const cluster = new DevCluster({
      plan,
      command: commandFor(plan),
      onEvent: (event) => narrator.onEvent(event),
    });
    return await run(context, cluster, narrator);
  } finally {
    await lock.close();
  }
}

async function run(context: CommandContext, cluster: DevCluster, narrator: Narrator): Promise<ExitName> {
  const quit = Promise.withResolvers<void>();
  let asked = false;
  const close = (): void => {
    if (!asked) narrator.closing();
    asked = true;
    void cluster.close().then(quit.resolve, quit.reject); // the second time this kills instead of draining
  };
  const onSignal = (): void => close();
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal).on("SIGHUP", onSignal);
  let stopInput: () => void = () => undefined;
  try {
    narrator.starting();
    try {
      await cluster.start();
    } catch (error) {
      if (asked) {
        await quit.promise;
        return "success";
      }
      throw error;
    }
    narrator.ready(cluster);
    stopInput = listenForActions(context.output, (action) => {
      if (action.type === "quit") close();
      else
        void act(action, cluster, narrator).catch((error: unknown) => {
          if (!asked) context.output.failure(toFailure(error)); // a start that the closing cut off is no news
        });
    });
    await quit.promise;
    narrator.closed();
    return "success";
  } finally {
    stopInput();
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal).off("SIGHUP", onSignal);
  }
}

async function act(
  action: Exclude<DevAction, { type: "quit" }>,
  cluster: DevCluster,
  narrator: Narrator,
): Promise<void> {
  switch (action.type) {
    case "kill-leader": {
      const running = cluster.nodes().filter((view) => view.state === "ready");
      const id = cluster.leader === 0 ? running[0]?.node.id : cluster.leader;
      if (id === undefined)
        throw new CliFailure("notFound", "Cannot kill a node: none is running", { next: "r restarts them" });
      await cluster.kill(id);
      return;
    }
    case "kill":
      if (!(await cluster.kill(action.id))) {
        throw new CliFailure("notFound", `Cannot kill node ${action.id}: it is not running`, { next: "r restarts it" });
      }
      return;
    case "restart": {
      const stopped = cluster
        .nodes()
        .filter((view) => view.state === "stopped" && (action.id ?? view.node.id) === view.node.id);
      if (stopped.length === 0) narrator.nothingToRestart();
      await Promise.all(stopped.map((view) => cluster.startNode(view.node.id)));
      return;
    }
    case "status":
      narrator.status(cluster);
      return;
    case "help":
      narrator.help();
      return;
  }
}

/** Keys on a terminal; lines on a pipe with `--json`; else nothing. Returns the way to stop. */
function listenForActions(output: Output, onAction: (action: DevAction) => void): () => void {
  const { stdin } = process;
  if (stdin.isTTY) {
    const onData = (chunk: Buffer): void => {
      for (const key of chunk.toString()) {
        const action = actionOfKey(key);
        if (action !== undefined) onAction(action);
      }
    };
    stdin.setRawMode(true).on("data", onData).resume();
    return () => {
      stdin.off("data", onData).setRawMode(false).pause();
    };
  }
  if (!output.json) return () => undefined;
  const lines = createInterface({ input: stdin });
  lines.on("line", (line) => {
    const action = actionOfLine(line);
    if (action !== undefined) onAction(action);
    else output.failure(new CliFailure("usage", `Cannot do "${line}": the words are kill, restart, status and quit`));
  });
  return () => {
    lines.close();
    stdin.unref(); // an open pipe must not keep the process
  };
}

async function demandFreePorts(plan: ClusterPlan, hasData: boolean): Promise<void> {
  for (const node of plan.nodes) {
    for (const port of [node.port, node.peerPort]) {
      const trouble = await portTrouble(HOST, port);
      if (trouble === undefined) continue;
      if (trouble === "not-permitted") {
        throw new CliFailure("permission", `Cannot listen on ${HOST}:${port}: the system does not permit it`, {
          next: "choose ports above 1023 with --port",
        });
      }
      const holder = await portHolder(port);
      const who = holder === undefined ? "another program" : `${holder.name} (pid ${holder.pid})`;
      const other = port + 1_000 <= 65_000 ? port + 1_000 - (port % 100) : 17_400;
      throw new CliFailure("conflict", `Cannot listen on ${HOST}:${port}: ${who} holds the port`, {
        code: "ADDRESS_IN_USE",
        next: hint(`dev --port ${other}${hasData ? " --dir ANOTHER, or stop it" : dirFlag(plan.folder)}`),
      });
    }
  }
}

/** The profile of the folder must stand already. */
async function endpointsFlag(plan: ClusterPlan): Promise<string> {
  const { endpoints } = profileOf(plan);
  const found = await findProfile(hintFolder()).catch(() => undefined); // a broken one is no reason not to start here
  if (found?.endpoints.join() === endpoints.join()) return "";
  return ` --endpoints ${plan.nodes.map((node) => `${HOST}:${node.port}`).join(",")}`;
}

/** Says what happens: on stderr for people, on stdout as JSON lines for programs once the cluster is ready. */
class Narrator {
  readonly #output: Output;
  readonly #plan: ClusterPlan;
  readonly #hadData: boolean;
  /** What a command needs to find this cluster, with a space before it; empty when it does so by itself. */
  readonly #endpointsFlag: string;
  readonly #startedAt = performance.now();
  #ready = false;
  /** When the cluster lost its leader, to say how long it went without one. */
  #leaderlessSince: number | undefined;

  constructor(output: Output, plan: ClusterPlan, hadData: boolean, endpointsFlag: string) {
    this.#output = output;
    this.#plan = plan;
    this.#hadData = hadData;
    this.#endpointsFlag = endpointsFlag;
  }

  starting(): void {
    const { nodes, folder } = this.#plan;
    const what = nodes.length === 1 ? "a cluster of one node" : `a cluster of ${nodes.length} nodes`;
    this.#output.note(`Starting ${what}, ${this.#hadData ? "with the data of" : "data in"} ${this.#shown(folder)}`);
  }

  onEvent(event: ClusterEvent): void {
    const style = this.#output.noteStyle;
    if (this.#ready) this.#record(event);
    switch (event.type) {
      case "node-started":
        return;
      case "node-ready":
        this.#say(
          `${style.ok("●")} node ${event.id} listens on ${HOST}:${event.port} ${style.dim(`(pid ${event.pid})`)}`,
        );
        return;
      case "leader-changed": {
        const now = performance.now();
        if (event.leader === 0) {
          this.#leaderlessSince = now;
          return;
        }
        const without =
          this.#leaderlessSince === undefined
            ? ""
            : ` after ${showDuration(now - this.#leaderlessSince)} without a leader`;
        this.#leaderlessSince = undefined;
        this.#say(
          `${style.accent("★")} node ${event.leader} leads in term ${showTerm(event.term, this.#plan.consensus)}${style.dim(without)}`,
        );
        return;
      }
      case "node-exited": {
        const { exit } = event;
        const how = exit.signal === null ? `ended with code ${exit.code}` : `was killed (${exit.signal})`;
        const why = exit.why === undefined ? "" : `: ${exit.why}`;
        this.#say(`${style.bad("○")} node ${event.id} ${how}${why}`);
        return;
      }
    }
  }

  ready(cluster: DevCluster): void {
    this.#ready = true;
    const { nodes, folder } = this.#plan;
    this.#output.record({
      event: "ready",
      nodes: cluster.nodes().map(({ node, pid }) => ({
        id: node.id,
        name: node.name,
        port: node.port,
        peerPort: node.peerPort,
        pid,
        dir: folderOf(this.#plan, node),
        endpoint: endpointOf(node),
      })),
      leader: cluster.leader,
      term: cluster.term,
      dir: folder,
    });
    const style = this.#output.noteStyle;
    const endpoints = nodes.map((node) => `${HOST}:${node.port}`);
    const [first] = endpoints;
    const row = (name: string, text: string): void => this.#output.note(`  ${style.dim(name.padEnd(9))} ${text}`);
    this.#output.note();
    this.#output.note(
      style.strong(`Ready in ${showDuration(performance.now() - this.#startedAt)}. Try, in another terminal:`),
    );
    row("althing", hint(`kv put greeting hello${this.#endpointsFlag}`));
    row("etcdctl", `etcdctl --endpoints=${endpoints.join(",")} get greeting`);
    row("curl", `curl -s http://${first}/v3/kv/range -d '{"key":"${Buffer.from("greeting").toString("base64")}"}'`);
    row("etcd3", `new Etcd3({ hosts: [${endpoints.map((endpoint) => `"http://${endpoint}"`).join(", ")}] })`);
    row("data", `${this.#shown(folder)}/node-1 … node-${nodes.length}, logs beside them in node-N.log`);
    this.#output.note();
    this.help();
  }

  help(): void {
    if (process.stdin.isTTY) this.#output.note(this.#output.noteStyle.dim(KEYS_HELP));
  }

  status(cluster: DevCluster): void {
    const nodes = cluster
      .nodes()
      .map(({ node, state, pid }) => ({ id: node.id, state, pid, leader: node.id === cluster.leader }));
    this.#output.record({ event: "status", leader: cluster.leader, term: cluster.term, nodes });
    for (const { id, state, pid, leader } of nodes) {
      const process = pid === undefined ? "" : ` (pid ${pid})`;
      this.#output.note(
        `  node ${id}: ${state}${process}${leader ? `, leads in term ${showTerm(cluster.term, this.#plan.consensus)}` : ""}`,
      );
    }
  }

  nothingToRestart(): void {
    this.#output.note("Every node is running; k kills one");
  }

  closing(): void {
    this.#output.note("Draining; once more stops at once");
  }

  closed(): void {
    this.#output.record({ event: "stopped" });
    this.#output.note(`Stopped. The data are in ${this.#shown(this.#plan.folder)}; the same command goes on with them`);
  }

  #say(text: string): void {
    const at = showDuration(performance.now() - this.#startedAt).padStart(7);
    this.#output.note(`${this.#output.noteStyle.dim(at)}  ${text}`);
  }

  #record(event: ClusterEvent): void {
    const { type, ...fields } = event;
    if (event.type === "node-exited") {
      const { pid, code, signal, why } = event.exit;
      this.#output.record({ event: type, id: event.id, expected: event.expected, pid, code, signal, why });
    } else {
      this.#output.record({ event: type, ...fields });
    }
  }

  /** Below the working folder a path is shown as the person would type it. */
  #shown(folder: string): string {
    const relative = path.relative(process.cwd(), folder);
    return relative !== "" && !relative.startsWith("..") ? relative : folder;
  }
}
