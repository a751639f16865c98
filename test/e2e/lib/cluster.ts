/**
 * A real cluster on this machine, one process a node, in a temporary folder of its own. What the nodes run is the spec's
 * business: `etcd-spec.ts` or `althing-spec.ts`; everything here works on both, through etcd's own API.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { atExit } from "./at-exit.ts";
import type { NodeStatus } from "./etcd-messages.ts";
import { KvClient } from "./kv-client.ts";
import { type NodeCommand, NodeProcess } from "./node-process.ts";
import { until } from "./until.ts";

export interface NodePlan {
  /** From 1. */
  readonly id: number;
  /** Of this node alone; exists. */
  readonly folder: string;
  /** The address it listens on. */
  readonly host: string;
  readonly clientPort: number;
  readonly peerPort: number;
}

export interface ClusterSpec {
  readonly name: string;
  /** How node `self` is run; `peerAddress` is where `self` dials another node, a proxy perhaps. */
  command(self: NodePlan, all: readonly NodePlan[], peerAddress: (to: NodePlan) => string): NodeCommand;
  readonly version: () => string;
}

export interface ClusterOptions {
  /** Client and peer port of each node, in order: two a node. */
  readonly ports: readonly number[];
  /** Where the data goes; a temporary folder by default, removed at the end. */
  readonly folder?: string;
  /** Puts a proxy on the way from one node to another. Default: none. */
  readonly peerAddress?: (from: NodePlan, to: NodePlan) => string;
  /** Hosts of their own for the nodes, as network namespaces are. Default: all on loopback. */
  readonly hosts?: Hosts;
}

export interface Hosts {
  address(host: number): string;
  wrap(host: number, file: string, args: readonly string[]): NodeCommand;
}

const READY_LIMIT_MS = 20_000;

export class ClusterNode {
  readonly plan: NodePlan;
  readonly process: NodeProcess;
  /** `host:port` for clients. */
  readonly endpoint: string;

  constructor(plan: NodePlan, process: NodeProcess) {
    this.plan = plan;
    this.process = process;
    this.endpoint = `${plan.host}:${plan.clientPort}`;
  }

  /** What the node says of itself; undefined if it does not answer within `timeoutMs`. */
  async status(timeoutMs = 500): Promise<NodeStatus | undefined> {
    const client = new KvClient(this.endpoint, { timeoutMs });
    try {
      const outcome = await client.status();
      return outcome.type === "done" ? outcome.value : undefined;
    } finally {
      client.close();
    }
  }
}

export class Cluster {
  readonly name: string;
  readonly nodes: readonly ClusterNode[];
  readonly folder: string;
  readonly #removeFolder: (() => void) | undefined;

  private constructor(name: string, nodes: readonly ClusterNode[], folder: string, ownsFolder: boolean) {
    const remove = (): void => rmSync(folder, { recursive: true, force: true });
    const forget = ownsFolder ? atExit(remove) : undefined;
    this.name = name;
    this.nodes = nodes;
    this.folder = folder;
    this.#removeFolder =
      forget === undefined
        ? undefined
        : () => {
            forget();
            remove();
          };
  }

  /** Starts all nodes and waits for a leader that all of them know. */
  static async start(spec: ClusterSpec, options: ClusterOptions): Promise<Cluster> {
    const folder = options.folder ?? mkdtempSync(join(tmpdir(), `althing-e2e-${spec.name}-`));
    const plans = planNodes(folder, options);
    const nodes = plans.map((plan) => {
      const address = (to: NodePlan): string => options.peerAddress?.(plan, to) ?? `${to.host}:${to.peerPort}`;
      const bare = spec.command(plan, plans, address);
      const command =
        options.hosts === undefined ? bare : { ...bare, ...options.hosts.wrap(plan.id, bare.file, bare.args) };
      return new ClusterNode(plan, new NodeProcess(command, join(folder, `node-${plan.id}.log`)));
    });
    const cluster = new Cluster(spec.name, nodes, folder, options.folder === undefined);
    try {
      for (const node of nodes) node.process.start();
      await cluster.ready();
      return cluster;
    } catch (error) {
      const logs = nodes.map((node) => `node ${node.plan.id}:\n${node.process.logTail()}`).join("\n");
      await cluster.close();
      throw new Error(`Cannot start ${spec.name}: ${String(error)}\n${logs}`, { cause: error });
    }
  }

  get endpoints(): readonly string[] {
    return this.nodes.map((node) => node.endpoint);
  }

  node(id: number): ClusterNode {
    const node = this.nodes[id - 1];
    if (node === undefined) throw new Error(`Cannot find node ${id}: there are ${this.nodes.length}`);
    return node;
  }

  /** Waits until every running node answers and names the same leader. */
  async ready(limitMs = READY_LIMIT_MS): Promise<ClusterNode> {
    const started = this.nodes.filter((node) => node.process.running);
    return await until("a leader that all nodes know", limitMs, async () => {
      const ended = started.find((node) => !node.process.running);
      if (ended !== undefined) throw new Error(`Cannot go on: node ${ended.plan.id} has ended`);
      const running = started;
      const states = await Promise.all(running.map((node) => node.status()));
      const leader = states[0]?.leader ?? 0n;
      if (leader === 0n || !states.every((state) => state?.leader === leader)) return undefined;
      return running[states.findIndex((state) => state?.memberId === leader)];
    });
  }

  /** The node that says of itself that it leads, with the newest term. Nodes that do not answer at once are passed over. */
  async leader(): Promise<ClusterNode | undefined> {
    const states = await Promise.all(
      this.nodes.map(async (node) => ({ node, status: node.process.running ? await node.status(300) : undefined })),
    );
    let newest: { readonly node: ClusterNode; readonly term: bigint } | undefined;
    for (const { node, status } of states) {
      if (status === undefined || status.leader === 0n || status.leader !== status.memberId) continue;
      if (newest === undefined || status.raftTerm > newest.term) newest = { node, term: status.raftTerm };
    }
    return newest?.node;
  }

  /** Ends every process, also paused ones, and removes the folder if this cluster made it. */
  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.process.kill()));
    this.#removeFolder?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function planNodes(folder: string, { ports, hosts }: ClusterOptions): readonly NodePlan[] {
  const plans: NodePlan[] = [];
  for (let i = 0; i + 1 < ports.length; i += 2) {
    const id = i / 2 + 1;
    const own = join(folder, `node-${id}`);
    mkdirSync(own, { recursive: true });
    plans.push({
      id,
      folder: own,
      host: hosts?.address(id) ?? "127.0.0.1",
      clientPort: ports[i] ?? 0,
      peerPort: ports[i + 1] ?? 0,
    });
  }
  return plans;
}
