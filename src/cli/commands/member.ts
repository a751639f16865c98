/** `althing member list | add | promote | remove | update`. */
import type { ClientOptions, CommandContext } from "../context.ts";
import { cluster } from "../etcd/api.ts";
import { memberColumns, memberJson, memberRow, peerUrl } from "../etcd/members.ts";
import type { ExitName } from "../exit-codes.ts";
import { showId } from "../parse.ts";

export interface MemberAddOptions extends ClientOptions {
  readonly peer: string;
  readonly learner?: boolean;
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
  const others = answer.members
    .filter((member) => member.id !== id)
    .map((member) => `${member.id}=${member.peerUrls[0]?.replace(/^https?:\/\//, "") ?? ""}`);
  const all = [...others, `${id}=${options.peer.replace(/^https?:\/\//, "")}`].join(",");
  output.note(
    `Start it now: althing node --join --id ${id} --name ${name} --peer-listen ${options.peer} --initial-cluster ${all}`,
  );
  return "success";
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
