/** `althing kv lease grant | revoke | keep-alive | ttl | list`. Ids are shown in hexadecimal, as etcd's tools show them. */
import type { ClientOptions, CommandContext } from "../context.ts";
import { lease } from "../etcd/api.ts";
import { keepLease } from "../etcd/keep-lease.ts";
import { asText, showBytesOf } from "../etcd/text.ts";
import type { ExitName } from "../exit-codes.ts";
import { CliFailure } from "../failure.ts";
import { showId } from "../parse.ts";

export interface GrantOptions extends ClientOptions {
  readonly id?: bigint;
}

export interface KeepAliveOptions extends ClientOptions {
  readonly once?: boolean;
}

export interface TtlOptions extends ClientOptions {
  readonly keys?: boolean;
}

export async function grant(context: CommandContext, seconds: number, options: GrantOptions): Promise<ExitName> {
  const client = await context.client(options);
  const answer = await client.unary(lease.grant, { ttl: seconds, id: options.id }, { signal: context.signal });
  context.output.record({ id: showId(answer.id), ttl: answer.ttl });
  context.output.line(showId(answer.id));
  if (answer.ttl !== seconds) context.output.note(`The cluster grants ${answer.ttl} seconds`);
  return "success";
}

export async function revoke(context: CommandContext, id: bigint, options: ClientOptions): Promise<ExitName> {
  const client = await context.client(options);
  await client.unary(lease.revoke, { id: signed(id) }, { signal: context.signal });
  context.output.record({ id: showId(id), revoked: true });
  context.output.line(`revoked ${showId(id)}`);
  return "success";
}

/** Prints the time to live at each renewal. A lease that is gone is exit code 4. */
export async function keepAlive(context: CommandContext, id: bigint, options: KeepAliveOptions): Promise<ExitName> {
  const { output, signal } = context;
  const client = await context.client(options);
  for await (const ttl of keepLease(client, signed(id), signal)) {
    if (ttl <= 0) throw leaseGone(id);
    output.record({ id: showId(id), ttl });
    output.line(`${showId(id)} lives ${ttl} s more`);
    if (options.once === true) break;
  }
  return "success";
}

export async function ttl(context: CommandContext, id: bigint, options: TtlOptions): Promise<ExitName> {
  const { output } = context;
  const client = await context.client(options);
  const answer = await client.unary(
    lease.timeToLive,
    { id: signed(id), keys: options.keys },
    { signal: context.signal },
  );
  if (answer.ttl <= 0 && answer.grantedTtl === 0) throw leaseGone(id);
  const keys = answer.keys.map((key) => asText(key) ?? { base64: Buffer.from(key).toString("base64") });
  output.record({
    id: showId(id),
    ttl: answer.ttl,
    grantedTtl: answer.grantedTtl,
    ...(options.keys === true ? { keys } : {}),
  });
  output.line(`${answer.ttl} of ${answer.grantedTtl} seconds left`);
  for (const key of answer.keys) output.line(showBytesOf(key));
  return "success";
}

export async function list(context: CommandContext, options: ClientOptions): Promise<ExitName> {
  const client = await context.client(options);
  const answer = await client.unary(lease.leases, {}, { signal: context.signal });
  const ids = answer.leases.map((found) => showId(found.id)).sort();
  context.output.record({ leases: ids });
  for (const id of ids) context.output.line(id);
  return "success";
}

function leaseGone(id: bigint): CliFailure {
  return new CliFailure("notFound", `Cannot find the lease ${showId(id)}: it expired or was revoked`, {
    code: "NOT_FOUND",
  });
}

/** The wire has signed 64-bit ids; people read them unsigned. */
function signed(id: bigint): bigint {
  return BigInt.asIntN(64, id);
}
