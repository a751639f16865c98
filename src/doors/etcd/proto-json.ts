/**
 * The JSON mapping of protobuf messages, as grpc-gateway 1.x prints and reads it for etcd: names of the .proto file, bytes
 * in base64, 64-bit integers as strings, enums by name, fields with their default left out, unknown fields ignored.
 * Source  protobuf.dev/programming-guides/json; behaviour compared with etcd 3.4.23's own gateway.
 */
import { unreachable } from "../../base/assert.ts";
import { BytesError } from "../../base/bytes.ts";
import type { FieldInfo, Message, ScalarKind } from "../../base/protobuf.ts";
import {
  AlarmAction,
  AlarmType,
  CompareResult,
  CompareTarget,
  DowngradeAction,
  EventType,
  WatchFilter,
  SortOrder,
  SortTarget,
} from "../../coordination/messages.ts";
import { JsonNumber, parseJson } from "./json-text.ts";

type AnyMessage = Pick<Message<unknown, never>, "fields">;
type Json = Readonly<Record<string, unknown>>;

/** The JSON value of a decoded message. */
export function toJson(message: AnyMessage, value: unknown): Json {
  const out: Record<string, unknown> = {};
  const values = value as Json; // a message value is a record of its fields, by construction of `message()`
  for (const [name, info] of Object.entries(message.fields)) {
    if (info.kind === "oneof") {
      const chosen = values[name] as { readonly type: string; readonly value: unknown } | undefined;
      const member = chosen === undefined ? undefined : info.members?.[chosen.type];
      if (chosen !== undefined && member !== undefined) {
        out[protoName(chosen.type, member)] = singleToJson(member, chosen.value);
      }
      continue;
    }
    const field = values[name];
    if (info.repeated) {
      const list = field as readonly unknown[];
      if (list.length > 0) out[protoName(name, info)] = list.map((one) => singleToJson(info, one));
    } else if (!isDefault(field)) {
      out[protoName(name, info)] = singleToJson(info, field);
    }
  }
  return out;
}

function isDefault(value: unknown): boolean {
  if (value instanceof Uint8Array) return value.length === 0;
  return value === undefined || value === 0 || value === 0n || value === "" || value === false;
}

function singleToJson(info: FieldInfo, value: unknown): unknown {
  switch (info.kind) {
    case "bytes": {
      const bytes = value as Uint8Array; // the kind says so, here and below
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
    }
    case "string":
    case "bool":
    case "int32":
    case "uint32":
      return value;
    case "int53":
    case "uint53":
    case "int64":
    case "uint64":
      return String(value);
    case "enum":
      return enumName(info, value as number) ?? value;
    case "message":
      return toJson(nestedOf(info), value);
    case "oneof":
      throw new TypeError("a oneof holds no oneof");
    default:
      return unreachable(info.kind);
  }
}

/** What `encode` of the message takes, from parsed JSON. Throws `BytesError` with the reason. */
export function fromJson(message: AnyMessage, json: unknown): Json {
  if (json === null || json === undefined) return {};
  if (typeof json !== "object" || Array.isArray(json) || json instanceof JsonNumber) {
    throw mismatch(jsonKind(json), "map[string]json.RawMessage");
  }
  const given = json as Json; // an object, by the lines above
  const out: Record<string, unknown> = {};
  for (const [name, info] of Object.entries(message.fields)) {
    if (info.kind === "oneof") {
      for (const [type, member] of Object.entries(info.members ?? {})) {
        const value = pick(given, protoName(type, member));
        if (value !== undefined && value !== null) out[name] = { type, value: singleFromJson(member, value) };
      }
      continue;
    }
    const value = pick(given, protoName(name, info));
    if (value === undefined || value === null) continue;
    out[name] = info.repeated ? listFromJson(info, value) : singleFromJson(info, value);
  }
  return out;
}

/** A field stands under its .proto name or the lowerCamelCase of it, which counts if both are there. */
function pick(given: Json, name: string): unknown {
  const camel = name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
  if (Object.hasOwn(given, camel)) return given[camel];
  return Object.hasOwn(given, name) ? given[name] : undefined;
}

function listFromJson(info: FieldInfo, value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value.map((one: unknown) => singleFromJson(info, one));
  if (info.kind === "enum" && typeof value === "string") {
    enumFromJson(info, value); // etcd looks the name up before it sees that a list was wanted
    throw new BytesError(`invalid target "slice" for enum ${enumTypeOf(info)}`);
  }
  throw mismatch(jsonKind(value), "[]json.RawMessage");
}

function singleFromJson(info: FieldInfo, value: unknown): unknown {
  switch (info.kind) {
    case "bytes":
      return bytesFromJson(value);
    case "string":
      if (typeof value !== "string") throw mismatch(jsonKind(value), "string");
      return value;
    case "bool":
      if (typeof value !== "boolean") throw mismatch(jsonKind(value), "bool");
      return value;
    case "int32":
    case "uint32":
    case "int53":
    case "uint53":
    case "int64":
    case "uint64":
      return integerFromJson(info.kind, value);
    case "enum":
      return enumFromJson(info, value);
    case "message":
      return fromJson(nestedOf(info), value);
    case "oneof":
      throw new TypeError("a oneof holds no oneof");
    default:
      return unreachable(info.kind);
  }
}

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Base64, or a list of numbers, which is how Go reads a slice of bytes. */
function bytesFromJson(value: unknown): Uint8Array {
  if (Array.isArray(value)) return Uint8Array.from(value, (one) => integerOf(one, "uint8", [0n, 255n]));
  if (typeof value !== "string") throw mismatch(jsonKind(value), "[]uint8");
  const text = value.replace(/[\r\n]/g, ""); // Go's decoder skips line ends
  if (!base64.test(text)) {
    const at = text.search(/[^A-Za-z0-9+/]/);
    throw new BytesError(
      `illegal base64 data at input byte ${at === -1 ? Math.max(0, text.length - (text.length % 4)) : at}`,
    );
  }
  return Buffer.from(text, "base64");
}

type IntegerKind = Extract<ScalarKind, `${string}int${string}`>;

const ranges: Readonly<Record<IntegerKind, readonly [bigint, bigint]>> = {
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  int53: [-(2n ** 63n), 2n ** 63n - 1n],
  uint53: [0n, 2n ** 64n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
};

const goTypes: Readonly<Record<IntegerKind, string>> = {
  int32: "int32",
  uint32: "uint32",
  int53: "int64",
  uint53: "uint64",
  int64: "int64",
  uint64: "uint64",
};

/** An integer may stand in quotes; what stands there is read as JSON of its own. */
function integerFromJson(kind: IntegerKind, value: unknown): number | bigint {
  const unquoted = typeof value === "string" ? integerInQuotes(value) : value;
  if (unquoted === null) return kind === "int64" || kind === "uint64" ? 0n : 0;
  if (kind !== "int64" && kind !== "uint64") return integerOf(unquoted, goTypes[kind], ranges[kind]);
  return bigintOf(unquoted, goTypes[kind], ranges[kind]);
}

function integerInQuotes(text: string): unknown {
  return /^-?(?:0|[1-9][0-9]*)$/.test(text) ? new JsonNumber(text) : parseJson(text, "whole");
}

function bigintOf(value: unknown, type: string, [least, most]: readonly [bigint, bigint]): bigint {
  const source = typeof value === "number" ? String(value) : value instanceof JsonNumber ? value.source : undefined;
  if (source === undefined) throw mismatch(jsonKind(value), type);
  const integer = /^-?(?:0|[1-9][0-9]{0,19})$/.test(source) ? BigInt(source) : undefined;
  if (integer === undefined || integer < least || integer > most) {
    throw mismatch(`number ${source.slice(0, SHOWN_MAX)}`, type);
  }
  return integer;
}

/** Beyond 2^53 a count or revision compares like the greatest there is, as `protobuf.ts` reads it from the wire. */
function integerOf(value: unknown, type: string, range: readonly [bigint, bigint]): number {
  const number = Number(bigintOf(value, type, range));
  return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(number, Number.MAX_SAFE_INTEGER));
}

function enumFromJson(info: FieldInfo, value: unknown): number {
  if (typeof value !== "string") return integerOf(value, enumTypeOf(info), ranges.int32);
  const number = info.values !== undefined && Object.hasOwn(info.values, value) ? info.values[value] : undefined;
  if (number === undefined) {
    // etcd quotes the name as it stood in the text, and so does the inner call.
    const name = JSON.stringify(JSON.stringify(value.slice(0, SHOWN_MAX)).slice(1, -1));
    throw new BytesError(`unknown value ${name} for enum ${enumTypeOf(info)}`);
  }
  return number;
}

/** What a message repeats of a caller's value is no longer than this. */
const SHOWN_MAX = 100;

/** The enums of etcd's protocol by the names that its messages have for them. */
const enumTypes: ReadonlyMap<unknown, string> = new Map<unknown, string>([
  [AlarmAction, "etcdserverpb.AlarmRequest_AlarmAction"],
  [AlarmType, "etcdserverpb.AlarmType"],
  [CompareResult, "etcdserverpb.Compare_CompareResult"],
  [CompareTarget, "etcdserverpb.Compare_CompareTarget"],
  [DowngradeAction, "etcdserverpb.DowngradeRequest_DowngradeAction"],
  [EventType, "mvccpb.Event_EventType"],
  [WatchFilter, "etcdserverpb.WatchCreateRequest_FilterType"],
  [SortOrder, "etcdserverpb.RangeRequest_SortOrder"],
  [SortTarget, "etcdserverpb.RangeRequest_SortTarget"],
]);

export function enumTypeOf(info: FieldInfo): string {
  return enumTypes.get(info.values) ?? "int32";
}

/** In the words of Go's `encoding/json`, which etcd's gateway passes on. */
function mismatch(found: string, wanted: string): BytesError {
  return new BytesError(`json: cannot unmarshal ${found} into Go value of type ${wanted}`);
}

function enumName(info: FieldInfo, value: number): string | undefined {
  for (const [name, number] of Object.entries(info.values ?? {})) {
    if (number === value) return name;
  }
  return undefined;
}

function nestedOf(info: FieldInfo): AnyMessage {
  if (info.message === undefined) throw new TypeError("a message field names its message");
  return info.message();
}

function protoName(name: string, info: FieldInfo): string {
  return info.protoName ?? name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function jsonKind(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (value instanceof JsonNumber) return "number";
  return typeof value === "boolean" ? "bool" : typeof value;
}
