/**
 * Who listens where in a local cluster, and which flags each node's process gets. Node i has the public port
 * `port + 10 (i - 1)` and, one above it, its peer port; its data live in `node-i` of the cluster's folder.
 */
import path from "node:path";
import { CliFailure } from "../failure.ts";
import { hint, hintFolder, shellWord } from "../invocation.ts";
import { DEFAULT_FOLDER, type Profile, type ProfileNode } from "../profile.ts";

export const HOST = "127.0.0.1";
export const NODES_MAX = 9;
const PORT_STEP = 10;

export interface ClusterPlan {
  /** Absolute. */
  readonly folder: string;
  readonly consensus: string;
  /** Undefined: the usual name. */
  readonly cluster?: string;
  readonly nodes: readonly ProfileNode[];
}

export interface PlanOptions {
  readonly folder: string;
  /** Undefined: as many as the data folder has, else three. */
  readonly nodes: number | undefined;
  /** Undefined: the ports of the data folder, else from 7400. */
  readonly port: number | undefined;
  readonly consensus: string | undefined;
}

const DEFAULTS = { nodes: 3, port: 7400, consensus: "raft" };

/** The cluster that the flags and what the folder already holds ask for together. A contradiction is a conflict. */
export function planCluster(options: PlanOptions, existing: Profile | undefined): ClusterPlan {
  const folder = path.resolve(options.folder);
  const count = options.nodes ?? existing?.nodes.length ?? DEFAULTS.nodes;
  if (existing !== undefined && existing.nodes.length !== count) {
    const held = existing.nodes.length;
    throw new CliFailure("conflict", `Cannot start ${count} nodes: ${folder} holds a cluster of ${held}`, {
      next: `${hint(`dev${dirFlag(folder)} --nodes ${held}`)}, or another --dir`,
    });
  }
  const consensus = options.consensus ?? existing?.consensus ?? DEFAULTS.consensus;
  if (existing !== undefined && existing.consensus !== consensus) {
    throw new CliFailure(
      "conflict",
      `Cannot start with ${consensus}: ${folder} holds a cluster of ${existing.consensus}`,
      {
        next: `${hint(`dev${dirFlag(folder)} --consensus ${existing.consensus}`)}, or another --dir`,
      },
    );
  }
  const held = existing?.nodes[0]?.port;
  if (held !== undefined && options.port !== undefined && options.port !== held) {
    throw new CliFailure(
      "conflict",
      `Cannot use --port ${options.port}: the nodes in ${folder} know each other by ports from ${held}`,
      {
        next: "leave --port out, or choose another --dir",
      },
    );
  }
  const port = options.port ?? existing?.nodes[0]?.port ?? DEFAULTS.port;
  const highest = port + PORT_STEP * (count - 1) + 1;
  if (highest > 65_535) {
    throw new CliFailure("usage", `Cannot use --port ${port}: ${count} nodes need ports up to ${highest}`, {
      next: `choose a port up to ${65_535 - PORT_STEP * (count - 1) - 1}`,
    });
  }
  const nodes = Array.from({ length: count }, (_, i): ProfileNode => {
    const id = i + 1;
    return {
      id,
      name: `node-${id}`,
      port: port + PORT_STEP * i,
      peerPort: port + PORT_STEP * i + 1,
      dir: `node-${id}`,
    };
  });
  return { folder, consensus, nodes, ...clusterOf(existing) };
}

function clusterOf(from: { readonly cluster?: string } | undefined): { readonly cluster?: string } {
  return from?.cluster === undefined ? {} : { cluster: from.cluster };
}

export function profileOf(plan: ClusterPlan): Profile {
  return {
    version: 1,
    consensus: plan.consensus,
    ...clusterOf(plan),
    endpoints: plan.nodes.map((node) => endpointOf(node)),
    nodes: plan.nodes,
  };
}

/** The flag by which a command that the reader copies finds the folder; empty when it does so by itself. */
export function dirFlag(folder: string): string {
  return folder === path.join(hintFolder(), DEFAULT_FOLDER) ? "" : ` --dir ${shellWord(folder)}`;
}

export function endpointOf(node: ProfileNode): string {
  return `http://${HOST}:${node.port}`;
}

export function folderOf(plan: ClusterPlan, node: ProfileNode): string {
  return path.join(plan.folder, node.dir);
}

/** The flags of `althing node` for one node of the plan. */
export function nodeFlags(plan: ClusterPlan, node: ProfileNode): readonly string[] {
  const cluster = plan.nodes.map((peer) => `${peer.id}=${HOST}:${peer.peerPort}`).join(",");
  return [
    "node",
    "--json",
    "--exit-with-parent",
    ...["--id", String(node.id)],
    ...["--name", node.name],
    ...["--dir", folderOf(plan, node)],
    ...["--listen", `${HOST}:${node.port}`],
    ...["--peer-listen", `${HOST}:${node.peerPort}`],
    ...["--initial-cluster", cluster],
    ...["--consensus", plan.consensus],
    ...(plan.cluster === undefined ? [] : ["--cluster", plan.cluster]),
  ];
}
