/**
 * `althing kv txn`: a transaction from stdin in three parts with a blank line between them, in the notation of etcdctl:
 * compares, what is done if all hold, what is done otherwise.
 *
 *     mod("stock") = "0"
 *     value("owner") = "alice"
 *
 *     put stock 10
 *     get stock
 *
 *     get owner
 */
import {
  CompareResult,
  CompareTarget,
  type RequestOpInput,
  type ResponseOp,
  type TxnRequestInput,
} from "../../coordination/messages.ts";
import type { ClientOptions, CommandContext } from "../context.ts";
import { kv } from "../etcd/api.ts";
import { keyValueColumns, keyValueJson, keyValueRow } from "../etcd/key-values.ts";
import { keyRange } from "../etcd/range.ts";
import type { ExitName } from "../exit-codes.ts";
import { CliFailure } from "../failure.ts";
import { readStdin } from "../stdin.ts";

type CompareInput = NonNullable<TxnRequestInput["compare"]>[number];

/** A transaction whose compares do not hold is a success of the command all the same: it did its other part. */
export async function txn(context: CommandContext, options: ClientOptions): Promise<ExitName> {
  const { output, signal } = context;
  if (process.stdin.isTTY)
    output.note("Compares, a blank line, success operations, a blank line, failure operations, Ctrl-D");
  const request = parseTxn(new TextDecoder().decode(await readStdin(signal)));
  const client = await context.client(options);
  const answer = await client.unary(kv.txn, request, { signal });
  output.record({
    succeeded: answer.succeeded,
    revision: answer.header?.revision ?? 0,
    responses: answer.responses.map(responseJson),
  });
  output.line(answer.succeeded ? "success" : "failure");
  for (const { response } of answer.responses) {
    switch (response?.type) {
      case "responseRange":
        output.table(keyValueColumns, response.value.kvs.map(keyValueRow));
        break;
      case "responsePut":
        output.line(`put at revision ${answer.header?.revision ?? 0}`);
        break;
      case "responseDeleteRange":
        output.line(`${response.value.deleted} deleted`);
        break;
      case "responseTxn": // this notation has no nested transaction
      case undefined:
        break;
    }
  }
  return "success";
}

function responseJson({ response }: ResponseOp): Readonly<Record<string, unknown>> {
  switch (response?.type) {
    case "responseRange":
      return { type: "get", count: response.value.count, kvs: response.value.kvs.map(keyValueJson) };
    case "responsePut":
      return { type: "put" };
    case "responseDeleteRange":
      return { type: "del", deleted: response.value.deleted };
    case "responseTxn":
    case undefined:
      return { type: "unknown" };
  }
}

export function parseTxn(text: string): TxnRequestInput {
  const parts = text.replaceAll("\r\n", "\n").split(/\n[ \t]*\n/);
  if (parts.length > 3) throw bad("it has more than three parts", text);
  const lines = (part: string | undefined): readonly string[] =>
    (part ?? "")
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "");
  return {
    compare: lines(parts[0]).map(parseCompare),
    success: lines(parts[1]).map(parseOperation),
    failure: lines(parts[2]).map(parseOperation),
  };
}

const relations: Readonly<Record<string, number>> = {
  "=": CompareResult.EQUAL,
  "!=": CompareResult.NOT_EQUAL,
  ">": CompareResult.GREATER,
  "<": CompareResult.LESS,
};

function parseCompare(line: string): CompareInput {
  const match = /^(\w+)\(("(?:[^"\\]|\\.)*")\)\s*(=|!=|<|>)\s*("(?:[^"\\]|\\.)*"|\S+)$/.exec(line);
  const [, what, quotedKey, relation, operand] = match ?? [];
  if (what === undefined || quotedKey === undefined || relation === undefined || operand === undefined) {
    throw bad(`"${line}" is no compare`, 'for example mod("key") = "0"');
  }
  const key = encode(unquote(quotedKey));
  const value = operand.startsWith('"') ? unquote(operand) : operand;
  const common = { key, result: relations[relation] ?? CompareResult.EQUAL };
  switch (what) {
    case "mod":
    case "m":
      return { ...common, target: CompareTarget.MOD, targetUnion: { type: "modRevision", value: whole(value, line) } };
    case "create":
    case "c":
      return {
        ...common,
        target: CompareTarget.CREATE,
        targetUnion: { type: "createRevision", value: whole(value, line) },
      };
    case "version":
    case "ver":
      return { ...common, target: CompareTarget.VERSION, targetUnion: { type: "version", value: whole(value, line) } };
    case "value":
    case "val":
      return { ...common, target: CompareTarget.VALUE, targetUnion: { type: "value", value: encode(value) } };
    case "lease": {
      if (!/^[0-9a-f]{1,16}$/i.test(value)) throw bad(`"${line}" compares with no lease`, "a lease id is hexadecimal");
      return {
        ...common,
        target: CompareTarget.LEASE,
        targetUnion: { type: "lease", value: BigInt.asIntN(64, BigInt(`0x${value}`)) },
      };
    }
    default:
      throw bad(`"${line}" compares ${what}`, "it can be mod, create, version, value or lease");
  }
}

function parseOperation(line: string): RequestOpInput {
  const words = splitWords(line);
  const [verb, key, second, ...rest] = words;
  if (key === undefined || rest.length > 0)
    throw bad(`"${line}" is no operation`, "put KEY VALUE, get KEY [END] or del KEY [END]");
  switch (verb) {
    case "put":
      if (second === undefined) throw bad(`"${line}" has no value`, "put KEY VALUE");
      return { request: { type: "requestPut", value: { key: encode(key), value: encode(second) } } };
    case "get":
      return { request: { type: "requestRange", value: keyRange(key, second, {}) } };
    case "del":
      return { request: { type: "requestDeleteRange", value: keyRange(key, second, {}) } };
    default:
      throw bad(`"${line}" is no operation`, "put KEY VALUE, get KEY [END] or del KEY [END]");
  }
}

/** Words parted by blanks; a word in double quotes may hold blanks and JSON's escapes. */
function splitWords(line: string): readonly string[] {
  const words = line.match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? [];
  return words.map((word) => (word.startsWith('"') ? unquote(word) : word));
}

function unquote(text: string): string {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "string") return value;
  } catch (error) {
    throw new CliFailure("usage", `Cannot read the transaction: ${text} is not quoted right`, { cause: error });
  }
  throw bad(`${text} is not quoted right`, "quote as in JSON");
}

function whole(text: string, line: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value))
    throw bad(`"${line}" compares with no whole number`, 'for example version("key") > "1"');
  return value;
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function bad(why: string, next: string): CliFailure {
  return new CliFailure("usage", `Cannot read the transaction: ${why}`, { next });
}
