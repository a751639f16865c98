/**
 * `althing restore FILE`: the data folders of a new cluster out of a snapshot that `althing backup` or `etcdctl snapshot
 * save` took of a cluster of Althing. Runs while nothing else does; the old cluster is not touched.
 *
 * The folders are made beside their place and get their name in one step, so a restore that was cut short leaves none that
 * could be started.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { hasCode } from "../../base/errors.ts";
import { type ConsensusEngine, nodeDefaults } from "../../config/node-config.ts";
import { describeSnapshotFile, type SnapshotSummary } from "../../coordination/snapshot-file.ts";
import { isLoopback, parseAddress } from "../../doors/address.ts";
import { nodeKernels } from "../../host/node-kernels.ts";
import { fileChunks, type RestoredMember, restoreNodes } from "../backup/restored-node.ts";
import { syncFolder } from "../backup/snapshot-download.ts";
import { summaryJson, summaryText } from "../backup/summary.ts";
import { firstMembers, parseInitialCluster } from "../config/node-config.ts";
import type { CommandContext, GlobalOptions } from "../context.ts";
import { type ClusterPlan, dirFlag, HOST, planCluster, profileOf } from "../dev/plan.ts";
import type { ExitName } from "../exit-codes.ts";
import { CliFailure, hasErrno } from "../failure.ts";
import { hint, shellWord } from "../invocation.ts";
import { writeProfile } from "../profile.ts";

export interface RestoreOptions extends GlobalOptions {
  readonly dir: string;
  readonly cluster?: string;
  readonly initialCluster?: string;
  readonly nodes?: number;
  readonly port?: number;
  readonly consensus?: ConsensusEngine;
  readonly check?: boolean;
}

/** Who will belong to the new cluster. */
interface Target {
  readonly cluster: string;
  readonly consensus: ConsensusEngine;
  readonly members: readonly (Omit<RestoredMember, "folder"> & { readonly dir: string })[];
  /** Set for a cluster that `althing dev` runs. */
  readonly local: ClusterPlan | undefined;
}

export async function restore(context: CommandContext, name: string, options: RestoreOptions): Promise<ExitName> {
  const { output } = context;
  const file = path.resolve(name);
  const folder = path.resolve(options.dir);
  const target = targetOf(folder, options);
  if (options.check !== true) await demandEmpty(folder, options.dir);
  const summary = await check(file, name);
  if (options.check === true) {
    output.record({ file, ...summaryJson(summary) });
    output.line(`${name} is whole: ${summaryText(summary)}`);
    return "success";
  }
  await make(context, { file, summary, folder, target });
  output.record({
    dir: folder,
    cluster: target.cluster,
    ...summaryJson(summary),
    nodes: target.members.map(({ id, name: nodeName, address, dir }) => ({
      id,
      name: nodeName,
      peer: address,
      dir: path.join(folder, dir),
    })),
  });
  output.line(`restored ${summaryText(summary)} as cluster ${target.cluster} in ${options.dir}`);
  sayHowToStart(context, folder, target);
  return "success";
}

/** Without `--initial-cluster` it is a cluster on this machine, as `althing dev` would make it. */
function targetOf(folder: string, options: RestoreOptions): Target {
  const { consensus = nodeDefaults.consensus } = options;
  const cluster = options.cluster ?? `restored-${randomBytes(4).toString("hex")}`;
  if (options.initialCluster === undefined) {
    const plan = {
      ...planCluster({ folder, nodes: options.nodes, port: options.port, consensus }, undefined),
      cluster,
    };
    const members = plan.nodes.map((node) => ({
      id: node.id,
      name: node.name,
      address: `${HOST}:${node.peerPort}`,
      clientUrls: [`http://${HOST}:${node.port}`],
      dir: node.dir,
    }));
    return { cluster, consensus, members, local: plan };
  }
  if (options.nodes !== undefined || options.port !== undefined) {
    throw new CliFailure(
      "usage",
      "Cannot restore: --nodes and --port are for a local cluster, not for --initial-cluster",
    );
  }
  const members = firstMembers(parseInitialCluster(options.initialCluster, "--initial-cluster"));
  const placed = members.map((member) => ({ ...member, dir: `node-${member.id}` }));
  return { cluster, consensus, members: placed, local: undefined };
}

async function check(file: string, name: string): Promise<SnapshotSummary> {
  try {
    return await describeSnapshotFile(fileChunks(file), nodeKernels);
  } catch (error) {
    if (hasErrno(error) && error.code === "ENOENT") {
      throw new CliFailure("notFound", `Cannot read ${name}: the file does not exist`, { cause: error });
    }
    if (hasErrno(error) && error.code === "EISDIR") {
      throw new CliFailure("usage", `Cannot read ${name}: it is a folder`, { cause: error });
    }
    if (hasCode(error, "DATA_FOREIGN")) {
      throw new CliFailure(
        "conflict",
        `Cannot restore ${name}: it is a snapshot of etcd's own (bbolt), not of Althing`,
        {
          code: error.code,
          next: "run etcd with it, and copy the keys over with etcdctl make-mirror",
          cause: error,
        },
      );
    }
    if (hasCode(error, "DATA_CORRUPT")) {
      throw new CliFailure("failure", `Cannot restore ${name}: ${error.message.replace(/^Cannot [^:]*: /, "")}`, {
        code: error.code,
        next: "take another backup",
        cause: error,
      });
    }
    throw error;
  }
}

/** Nothing is overwritten, and nothing mixed: the folder must be missing or empty. */
async function demandEmpty(folder: string, name: string): Promise<void> {
  let held: readonly string[];
  try {
    held = await readdir(folder);
  } catch (error) {
    if (hasErrno(error) && error.code === "ENOENT") return;
    if (hasErrno(error) && error.code === "ENOTDIR") {
      throw new CliFailure("conflict", `Cannot restore into ${name}: it is a file`, { cause: error });
    }
    throw error;
  }
  if (held.length === 0) return;
  throw new CliFailure("conflict", `Cannot restore into ${name}: the folder is not empty`, {
    next: "name another with --dir; nothing is overwritten",
  });
}

async function make(
  context: CommandContext,
  { file, summary, folder, target }: { file: string; summary: SnapshotSummary; folder: string; target: Target },
): Promise<void> {
  const { output, signal } = context;
  const aside = `${folder}.restoring`;
  await refuseUnfinished(aside);
  await mkdir(path.dirname(folder), { recursive: true });
  try {
    await restoreNodes({
      file,
      digest: summary.digest,
      cluster: target.cluster,
      consensus: target.consensus,
      members: target.members.map((member) => ({ ...member, folder: path.join(aside, member.dir) })),
      onProgress: (member) => output.progress(`Filling the folder of node ${member.id}`),
      signal,
    });
    output.progress("");
    if (target.local !== undefined) await writeProfile(aside, profileOf(target.local));
    await syncFolder(aside);
    await rename(aside, folder); // over an empty folder too
    await syncFolder(path.dirname(folder));
  } catch (error) {
    await rm(aside, { recursive: true, force: true });
    throw error;
  }
}

/** Another restore may be at work there; one that was killed leaves it behind. */
async function refuseUnfinished(aside: string): Promise<void> {
  const found = await stat(aside).catch(() => undefined);
  if (found === undefined) return;
  throw new CliFailure("conflict", `Cannot restore: ${aside} is there, from a restore that runs or was killed`, {
    next: "remove that folder if no restore runs",
  });
}

function sayHowToStart({ output }: CommandContext, folder: string, target: Target): void {
  if (target.local !== undefined) {
    output.note(`Start it: ${hint(`dev${dirFlag(folder)}`)}`);
    return;
  }
  output.note("Start each node, after its folder was moved to its machine:");
  const first = target.members.map(({ id, address }) => `${id}=${address}`).join(",");
  for (const { id, address, clientUrls, dir } of target.members) {
    const listen = clientUrls[0]?.replace("http://", "") ?? "";
    const consent =
      isLoopback(parseAddress(listen).host) && isLoopback(parseAddress(address).host) ? "" : " --insecure";
    const flags = [
      `--id ${id}`,
      `--cluster ${shellWord(target.cluster)}`,
      `--dir ${shellWord(path.join(folder, dir))}`,
      `--listen ${shellWord(listen)}`,
      `--peer-listen ${shellWord(address)}`,
      `--initial-cluster ${shellWord(first)}`,
      ...(target.consensus === nodeDefaults.consensus ? [] : [`--consensus ${target.consensus}`]),
    ];
    output.note(`  ${hint(`node ${flags.join(" ")}`)}${consent}`);
  }
}
