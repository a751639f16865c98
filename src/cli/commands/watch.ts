/**
 * `althing kv watch`: changes as they happen.
 *
 * W1. No event is printed twice and none is left out: after a broken stream the watch goes on, at another node, behind
 *     the last revision of which every event was printed.
 */
import { EventType, type WatchResponse } from "../../coordination/messages.ts";
import type { ClientOptions, CommandContext } from "../context.ts";
import { watch as watchMethod } from "../etcd/api.ts";
import { keyValueJson } from "../etcd/key-values.ts";
import { keyRange, type RangeOptions } from "../etcd/range.ts";
import { showBytesOf } from "../etcd/text.ts";
import type { ExitName } from "../exit-codes.ts";
import { CliFailure } from "../failure.ts";
import type { GrpcClient } from "../grpc/client.ts";
import { grpcCode } from "../../doors/grpc/status.ts";
import { GrpcError } from "../grpc/status.ts";
import { pause } from "../pause.ts";

export interface WatchOptions extends ClientOptions, RangeOptions {
  readonly rev?: number;
  readonly prev?: boolean;
  readonly count?: number;
}

const RETRY_MS = 250;

export async function watch(
  context: CommandContext,
  key: string,
  end: string | undefined,
  options: WatchOptions,
): Promise<ExitName> {
  const { output, signal } = context;
  const range = keyRange(key, end, options);
  const client = await context.client(options);
  let next = options.rev ?? 0;
  let left = options.count ?? Number.POSITIVE_INFINITY;
  let opened = false;
  while (!signal.aborted) {
    try {
      for await (const answer of responses(client, { ...range, startRevision: next, prevKv: options.prev }, signal)) {
        refuseEnd(answer);
        if (answer.created) {
          // A watch from "now" begins behind the revision at which the server made it.
          if (next === 0) next = (answer.header?.revision ?? 0) + 1;
          output.note(opened ? `Watching again, at ${client.endpoint}` : `Watching at ${client.endpoint}, Ctrl-C ends`);
          opened = true;
        }
        for (const event of answer.events) {
          if (event.kv === undefined) continue;
          printEvent(context, event.type, event.kv, event.prevKv);
          next = event.kv.modRevision + 1; // all events of a revision come in one response: `fragment` is not asked for
          if (--left === 0) return "success";
        }
      }
    } catch (error) {
      if (!(error instanceof GrpcError) || (error.progress === "answered" && error.code !== grpcCode.unavailable))
        throw error;
      if (!opened) throw error;
      output.note(`The watch at ${error.endpoint} broke: ${error.message}`);
    }
    if (signal.aborted) break;
    client.avoid();
    await untilReachable(client, signal);
  }
  return "interrupted";
}

async function* responses(
  client: GrpcClient,
  create: {
    readonly key: Uint8Array;
    readonly rangeEnd: Uint8Array;
    readonly startRevision: number;
    readonly prevKv: boolean | undefined;
  },
  signal: AbortSignal,
): AsyncGenerator<WatchResponse> {
  const stream = await client.stream(watchMethod, { signal });
  stream.send({ requestUnion: { type: "createRequest", value: create } });
  yield* stream;
}

/** A watch never ends because the cluster is being restarted: it waits, as long as the person does. */
async function untilReachable(client: GrpcClient, signal: AbortSignal): Promise<void> {
  await pause(RETRY_MS, signal);
  while (!signal.aborted) {
    try {
      const probe = await client.stream(watchMethod, { signal });
      probe.cancel();
      return;
    } catch (error) {
      if (!(error instanceof GrpcError)) throw error;
      await pause(RETRY_MS, signal);
    }
  }
}

function refuseEnd(answer: WatchResponse): void {
  if (!answer.canceled) return;
  if (answer.compactRevision > 0) {
    throw new CliFailure(
      "conflict",
      `Cannot watch from there: the history before revision ${answer.compactRevision} was compacted`,
      {
        code: "COMPACTED",
        next: `read the keys, then watch with --rev ${answer.compactRevision}`,
      },
    );
  }
  throw new CliFailure(
    "failure",
    `Cannot watch: the server ended the watch${answer.cancelReason === "" ? "" : `: ${answer.cancelReason}`}`,
  );
}

type Found = NonNullable<WatchResponse["events"][number]["kv"]>;

function printEvent(context: CommandContext, type: number, found: Found, previous: Found | undefined): void {
  const { output } = context;
  const { style } = output;
  const name = type === EventType.DELETE ? "delete" : "put";
  output.record({
    type: name,
    ...keyValueJson(found),
    ...(previous === undefined ? {} : { previous: keyValueJson(previous) }),
  });
  const key = showBytesOf(found.key);
  const before = previous === undefined ? "" : style.dim(` (was ${showBytesOf(previous.value)})`);
  const revision = style.dim(String(found.modRevision));
  if (type === EventType.DELETE) output.line(`${style.bad("delete")} ${key} ${revision}${before}`);
  else output.line(`${style.ok("put")} ${key} ${showBytesOf(found.value)} ${revision}${before}`);
}
