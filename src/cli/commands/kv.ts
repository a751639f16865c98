/** `althing kv get | put | del | compact`. */

import {
  CompareResult,
  CompareTarget,
  type KeyValue,
  type RangeResponse,
  SortOrder,
  SortTarget,
} from "../../coordination/messages.ts";
import type { ClientOptions, CommandContext } from "../context.ts";
import { kv } from "../etcd/api.ts";
import { keyValueColumns, keyValueJson, keyValueRow } from "../etcd/key-values.ts";
import { keyRange, type RangeOptions } from "../etcd/range.ts";
import { showBytesOf } from "../etcd/text.ts";
import type { ExitName } from "../exit-codes.ts";
import { CliFailure } from "../failure.ts";
import { readStdin } from "../stdin.ts";

export interface GetOptions extends ClientOptions, RangeOptions {
  readonly limit?: number;
  readonly rev?: number;
  readonly sortBy?: "key" | "version" | "create" | "mod" | "value";
  readonly descend?: boolean;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  readonly stale?: boolean;
}

export interface PutOptions extends ClientOptions {
  readonly lease?: bigint;
  readonly prev?: boolean;
  readonly ignoreValue?: boolean;
  readonly ignoreLease?: boolean;
  readonly create?: boolean;
  readonly ifRev?: number;
}

export interface DelOptions extends ClientOptions, RangeOptions {
  readonly prev?: boolean;
}

export type TxnOptions = ClientOptions;

const sortTargets: Readonly<Record<NonNullable<GetOptions["sortBy"]>, number>> = {
  key: SortTarget.KEY,
  version: SortTarget.VERSION,
  create: SortTarget.CREATE,
  mod: SortTarget.MOD,
  value: SortTarget.VALUE,
};

/** One key: its value, or exit code 4. A range: a table, however many keys there are. */
export async function get(
  context: CommandContext,
  key: string,
  end: string | undefined,
  options: GetOptions,
): Promise<ExitName> {
  const { output } = context;
  const range = keyRange(key, end, options);
  const single = range.rangeEnd.length === 0;
  const sorted = options.sortBy !== undefined || options.descend === true;
  const client = await context.client(options);
  const answer = await client.unary(
    kv.range,
    {
      ...range,
      limit: options.limit,
      revision: options.rev,
      sortOrder: sorted ? (options.descend === true ? SortOrder.DESCEND : SortOrder.ASCEND) : SortOrder.NONE,
      sortTarget: sortTargets[options.sortBy ?? "key"],
      serializable: options.stale,
      keysOnly: options.keysOnly,
      countOnly: options.countOnly,
    },
    { signal: context.signal },
  );
  output.record(rangeJson(answer));
  if (options.countOnly === true) {
    output.line(String(answer.count));
    return "success";
  }
  const [first] = answer.kvs;
  if (single) {
    if (first === undefined) throw new CliFailure("notFound", `Cannot find the key ${key}`, { code: "NOT_FOUND" });
    if (options.keysOnly === true) output.line(showBytesOf(first.key));
    else writeValue(context, first.value);
    return "success";
  }
  if (options.keysOnly === true) for (const found of answer.kvs) output.line(showBytesOf(found.key));
  else output.table(keyValueColumns, answer.kvs.map(keyValueRow));
  if (answer.more && options.limit === undefined)
    output.note(`${answer.kvs.length} of ${answer.count} keys; --limit asks for more`);
  return "success";
}

/** A value as it is, so that it can be piped; on a terminal control characters are made visible. */
function writeValue(context: CommandContext, value: Uint8Array): void {
  if (context.output.json) return;
  if (context.output.style.width !== undefined) context.output.line(showBytesOf(value));
  else context.output.bytes(value);
}

export function rangeJson(answer: RangeResponse): Readonly<Record<string, unknown>> {
  return {
    revision: answer.header?.revision ?? 0,
    count: answer.count,
    more: answer.more,
    kvs: answer.kvs.map(keyValueJson),
  };
}

export async function put(
  context: CommandContext,
  key: string,
  value: string | undefined,
  options: PutOptions,
): Promise<ExitName> {
  const { output } = context;
  const { key: keyBytes } = keyRange(key, undefined, {});
  if (options.create === true && options.ifRev !== undefined) {
    throw new CliFailure("usage", "Cannot put: --create and --if-rev exclude each other");
  }
  if (options.ignoreValue === true && value !== undefined) {
    throw new CliFailure("usage", "Cannot put: --ignore-value takes no value");
  }
  if (options.ignoreLease === true && options.lease !== undefined) {
    throw new CliFailure("usage", "Cannot put: --ignore-lease and --lease exclude each other");
  }
  const request = {
    key: keyBytes,
    value: options.ignoreValue === true ? undefined : await valueOf(value, context.signal),
    lease: options.lease,
    prevKv: options.prev,
    ignoreValue: options.ignoreValue,
    ignoreLease: options.ignoreLease,
  };
  const client = await context.client(options);
  const wanted = options.create === true ? 0 : options.ifRev;
  if (wanted === undefined) {
    const answer = await client.unary(kv.put, request, { signal: context.signal });
    report(context, answer.header?.revision ?? 0, answer.prevKv);
    return "success";
  }
  // A key that does not exist has the modification revision 0.
  const answer = await client.unary(
    kv.txn,
    {
      compare: [
        {
          key: keyBytes,
          target: CompareTarget.MOD,
          result: CompareResult.EQUAL,
          targetUnion: { type: "modRevision", value: wanted },
        },
      ],
      success: [{ request: { type: "requestPut", value: request } }],
      failure: [{ request: { type: "requestRange", value: { key: keyBytes, keysOnly: true } } }],
    },
    { signal: context.signal },
  );
  const [first] = answer.responses;
  if (answer.succeeded) {
    const put = first?.response?.type === "responsePut" ? first.response.value : undefined;
    report(context, answer.header?.revision ?? 0, put?.prevKv);
    return "success";
  }
  const found = first?.response?.type === "responseRange" ? first.response.value.kvs[0] : undefined;
  const state = found === undefined ? "it does not exist" : `it was last changed at revision ${found.modRevision}`;
  output.record({ succeeded: false, revision: answer.header?.revision ?? 0, modRevision: found?.modRevision ?? 0 });
  throw new CliFailure("conflict", `Cannot put ${key}: ${state}`, {
    code: "CONFLICT",
    next: "read it and decide again",
  });
}

function report(context: CommandContext, revision: number, previous: KeyValue | undefined): void {
  const { output } = context;
  output.record({ revision, ...(previous === undefined ? {} : { previous: keyValueJson(previous) }) });
  output.line(`revision ${revision}`);
  if (previous !== undefined) output.line(`previous ${showBytesOf(previous.value)}`);
}

async function valueOf(value: string | undefined, signal: AbortSignal): Promise<Uint8Array> {
  if (value !== undefined && value !== "-") return new TextEncoder().encode(value);
  if (value === undefined && process.stdin.isTTY) {
    throw new CliFailure("usage", "Cannot put: there is no value", { next: "give one after the key, or pipe it in" });
  }
  return await readStdin(signal);
}

export async function del(
  context: CommandContext,
  key: string,
  end: string | undefined,
  options: DelOptions,
): Promise<ExitName> {
  const { output } = context;
  const range = keyRange(key, end, options);
  const client = await context.client(options);
  const answer = await client.unary(kv.deleteRange, { ...range, prevKv: options.prev }, { signal: context.signal });
  const previous = options.prev === true ? { previous: answer.prevKvs.map(keyValueJson) } : {};
  output.record({ revision: answer.header?.revision ?? 0, deleted: answer.deleted, ...previous });
  output.line(`${answer.deleted} deleted`);
  if (options.prev === true && answer.prevKvs.length > 0)
    output.table(keyValueColumns, answer.prevKvs.map(keyValueRow));
  return "success";
}

export async function compact(context: CommandContext, revision: number, options: ClientOptions): Promise<ExitName> {
  const client = await context.client(options);
  const answer = await client.unary(kv.compact, { revision }, { signal: context.signal });
  context.output.record({ revision: answer.header?.revision ?? 0, compactRevision: revision });
  context.output.line(`compacted before revision ${revision}`);
  return "success";
}
