/** `althing member list | add | promote | remove | update`. */
import { existsSync } from "node:fs";
import path from "node:path";
import { nodeDefaults } from "../../config/node-config.ts";
import { formatAddress, isLoopback, parseAddress } from "../../doors/address.ts";
import type { ClientOptions, CommandContext } from "../context.ts";
import { cluster } from "../etcd/api.ts";
import { memberColumns, memberJson, memberRow, peerUrl } from "../etcd/members.ts";
import type { ExitName } from "../exit-codes.ts";
import { hint, hintFolder, shellWord } from "../invocation.ts";
import { showId } from "../parse.ts";
import { DEFAULT_FOLDER } from "../profile.ts";

export interface MemberAddOptions extends ClientOptions {
  readonly peer: string;
  readonly learner?: boolean;
  readonly cluster?: string;
}

export interface MemberUpdateOptions extends ClientOptions {
  readonly peer: string;
}

export async function list(context: CommandContext, options: ClientOptions): Promise<ExitName> {
  const client = await context.client(options);
  const answer = await client.unary(cluster.memberList, {}, { signal: context.signal });
  context.output.record({ members: answer.members.map(memberJson) });
  context.output.table(memberColumns, answer.members.map(memberRow));
  return "success";
}

export async function add(context: CommandContext, name: string, options: MemberAddOptions): Promise<ExitName> {
  const { output } = context;
  const peer = peerUrl(options.peer);
  const client = await context.client(options);
  const answer = await client.unary(
    cluster.memberAdd,
    { peerUrls: [peer], isLearner: options.learner },
    { signal: context.signal },
  );
  const id = answer.member?.id ?? 0n;
  output.record({ member: answer.member === undefined ? undefined : memberJson(answer.member) });
  output.line(showId(id));
  const named = options.cluster ?? context.env["ALTHING_CLUSTER"];
  const known = await clusterName(answer.header?.clusterId, named);
  output.note(`Start it now: ${hint(joinCommand({ id, name, peer, cluster: known, dir: freshFolder(id) }))}`);
  if (known === undefined) output.note("CLUSTER is the name that the other nodes have; it is not the one given");
  return "success";
}

/**
 * The flags by which a member that was just added starts. Its public port is the one below its peer port, as everywhere
 * else; an address that other machines reach needs the consent that the rest of the cluster was started with.
 */
export function joinCommand(member: {
  readonly id: bigint;
  readonly name: string;
  /** URL of the peer port. */
  readonly peer: string;
  readonly dir: string;
  /** Undefined: the reader has to fill it in. */
  readonly cluster: string | undefined;
}): string {
  const id = BigInt.asUintN(64, member.id).toString(); // decimal, as --id wants it
  const peer = member.peer.replace(/^https?:\/\//, "");
  const { host, port } = parseAddress(peer);
  const listen = formatAddress({ host, port: port > 1 ? port - 1 : port + 1 });
  return [
    "node --join",
    `--id ${id}`,
    `--name ${shellWord(member.name)}`,
    `--cluster ${member.cluster === undefined ? "CLUSTER" : shellWord(member.cluster)}`,
    `--dir ${shellWord(member.dir)}`,
    `--listen ${shellWord(listen)}`,
    `--peer-listen ${shellWord(peer)}`,
    ...(isLoopback(host) ? [] : ["--insecure"]),
  ].join(" ");
}

/** A folder that holds nothing yet, on this machine at least: a new member brings no data. */
function freshFolder(id: bigint): string {
  const plain = `${DEFAULT_FOLDER}/node-${BigInt.asUintN(64, id)}`;
  let folder = plain;
  for (let n = 2; existsSync(path.join(hintFolder(), folder)); n++) folder = `${plain}-${n}`;
  return folder;
}

/** The name of the cluster that answered. The protocol carries only its hash, so the likely ones are tried. */
async function clusterName(id: bigint | undefined, named: string | undefined): Promise<string | undefined> {
  const { clusterId } = await import("../../node/foundation.ts"); // late: it loads the whole node
  return [named, nodeDefaults.cluster].find((name) => name !== undefined && BigInt(clusterId(name)) === id);
}

export async function promote(context: CommandContext, id: bigint, options: ClientOptions): Promise<ExitName> {
  const client = await context.client(options);
  await client.unary(cluster.memberPromote, { id }, { signal: context.signal });
  return done(context, id, "promoted");
}

export async function remove(context: CommandContext, id: bigint, options: ClientOptions): Promise<ExitName> {
  const client = await context.client(options);
  await client.unary(cluster.memberRemove, { id }, { signal: context.signal });
  return done(context, id, "removed");
}

export async function update(context: CommandContext, id: bigint, options: MemberUpdateOptions): Promise<ExitName> {
  const client = await context.client(options);
  await client.unary(cluster.memberUpdate, { id, peerUrls: [peerUrl(options.peer)] }, { signal: context.signal });
  return done(context, id, "updated");
}

function done(context: CommandContext, id: bigint, what: "promoted" | "removed" | "updated"): ExitName {
  context.output.record({ id: showId(id), [what]: true });
  context.output.line(`${what} ${showId(id)}`);
  return "success";
}
