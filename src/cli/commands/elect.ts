/** `althing kv elect`: stand for an election and hold the office, or listen to who holds it. */
import type { ClientOptions, CommandContext } from "../context.ts";
import { election, lease } from "../etcd/api.ts";
import { keepLease, untilLost } from "../etcd/keep-lease.ts";
import { jsonBytes, showBytesOf } from "../etcd/text.ts";
import type { ExitName } from "../exit-codes.ts";
import { CliFailure } from "../failure.ts";
import { callTrouble } from "../grpc/call-failure.ts";
import type { GrpcClient } from "../grpc/client.ts";
import { grpcCode } from "../../doors/grpc/status.ts";
import { GrpcError } from "../grpc/status.ts";
import { hint, shellWord } from "../invocation.ts";
import { pause, untilAborted } from "../pause.ts";

export interface ElectOptions extends ClientOptions {
  readonly ttl: number;
  readonly listen?: boolean;
  readonly count?: number;
}

/** Standing for an election may take as long as it takes: only Ctrl-C ends it. */
const WAIT_MS: number = Number.POSITIVE_INFINITY;
const RETRY_MS = 250;

export async function elect(
  context: CommandContext,
  name: string,
  value: string | undefined,
  options: ElectOptions,
): Promise<ExitName> {
  const client = await context.client(options);
  if (options.listen === true) {
    if (value !== undefined) throw new CliFailure("usage", "Cannot listen and stand at once: --listen takes no value");
    return await listen(context, client, name, options.count ?? Number.POSITIVE_INFINITY);
  }
  if (value === undefined) {
    throw new CliFailure("usage", "Cannot stand for an election without a value to proclaim", {
      next: `${hint(`kv elect ${shellWord(name)} VALUE`)}, or --listen`,
    });
  }
  return await stand(context, client, name, value, options);
}

async function stand(
  context: CommandContext,
  client: GrpcClient,
  name: string,
  value: string,
  options: ElectOptions,
): Promise<ExitName> {
  const { output, signal } = context;
  const granted = await client.unary(lease.grant, { ttl: options.ttl }, { signal });
  const holding = new AbortController();
  const lost = untilLost(keepLease(client, granted.id, holding.signal), holding.signal);
  const failed = lost.then((why) => Promise.reject(officeLost(name, why)));
  try {
    const text = new TextEncoder();
    const won = await Promise.race([
      client.unary(
        election.campaign,
        { name: text.encode(name), lease: granted.id, value: text.encode(value) },
        { signal, timeoutMs: WAIT_MS },
      ),
      failed,
    ]);
    const key = won.leader?.key ?? new Uint8Array(0);
    output.record({
      event: "elected",
      election: name,
      value,
      ...jsonBytes("key", key),
      revision: won.leader?.rev ?? 0,
    });
    output.line(showBytesOf(key));
    output.note(`Elected; Ctrl-C resigns`);
    await Promise.race([untilAborted(signal), failed]);
    return "interrupted";
  } finally {
    holding.abort();
    await client.unary(lease.revoke, { id: granted.id }).catch((error: unknown) => {
      output.note(`The office ends by itself within ${options.ttl} s: ${callTrouble(error)}`);
    });
  }
}

/** Prints each winner once; after a broken stream only a winner that was not the last printed. */
async function listen(context: CommandContext, client: GrpcClient, name: string, count: number): Promise<ExitName> {
  const { output, signal } = context;
  let left = count;
  let last = "";
  let opened = false;
  while (!signal.aborted) {
    try {
      const stream = await client.stream(election.observe, { signal });
      stream.send({ name: new TextEncoder().encode(name) });
      stream.finish();
      opened = true;
      for await (const { kv } of stream) {
        const here = kv === undefined ? "" : `${kv.modRevision}`;
        if (kv === undefined || here === last) continue;
        last = here;
        output.record({
          event: "winner",
          election: name,
          ...jsonBytes("value", kv.value),
          ...jsonBytes("key", kv.key),
          revision: kv.modRevision,
        });
        output.line(showBytesOf(kv.value));
        if (--left === 0) return "success";
      }
    } catch (error) {
      if (!(error instanceof GrpcError) || (error.progress === "answered" && error.code !== grpcCode.unavailable))
        throw error;
      if (!opened) throw error;
      output.note(`Listening at ${error.endpoint} broke: ${error.message}`);
    }
    client.avoid();
    await pause(RETRY_MS, signal);
  }
  return "interrupted";
}

function officeLost(name: string, why: string | undefined): CliFailure {
  return new CliFailure("failure", `Cannot hold the office ${name} any longer: ${why ?? "it was given up"}`, {
    code: "OFFICE_LOST",
  });
}
