/**
 * The JSON mapping of protobuf messages, as grpc-gateway 1.x prints and reads it for etcd: names of the .proto file, bytes
 * in base64, 64-bit integers as strings, enums by name, fields with their default left out, unknown fields ignored.
 * Source  protobuf.dev/programming-guides/json; behaviour compared with etcd 3.4.23's own gateway.
 */
import { unreachable } from "../../base/assert.ts";
import { BytesError } from "../../base/bytes.ts";
import type { FieldInfo, Message, ScalarKind } from "../../base/protobuf.ts";
import { JsonNumber } from "./json-text.ts";

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
    throw new BytesError(`json: cannot unmarshal ${jsonKind(json)} into a message`);
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
    if (!info.repeated) out[name] = singleFromJson(info, value);
    else if (Array.isArray(value)) out[name] = value.map((one: unknown) => singleFromJson(info, one));
    else throw new BytesError(`json: cannot unmarshal ${jsonKind(value)} into a list`);
  }
  return out;
}

/** A field stands under its .proto name or the lowerCamelCase of it. */
function pick(given: Json, name: string): unknown {
  if (Object.hasOwn(given, name)) return given[name];
  const camel = name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
  return Object.hasOwn(given, camel) ? given[camel] : undefined;
}

function singleFromJson(info: FieldInfo, value: unknown): unknown {
  switch (info.kind) {
    case "bytes":
      return bytesFromJson(value);
    case "string":
      if (typeof value !== "string") throw new BytesError(`json: cannot unmarshal ${jsonKind(value)} into a string`);
      return value;
    case "bool":
      if (typeof value !== "boolean") throw new BytesError(`json: cannot unmarshal ${jsonKind(value)} into a bool`);
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

function bytesFromJson(value: unknown): Uint8Array {
  if (typeof value !== "string") throw new BytesError(`json: cannot unmarshal ${jsonKind(value)} into bytes`);
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

function integerFromJson(kind: IntegerKind, value: unknown): number | bigint {
  const source =
    typeof value === "number"
      ? String(value)
      : value instanceof JsonNumber
        ? value.source
        : typeof value === "string"
          ? value
          : undefined;
  if (source === undefined) throw new BytesError(`json: cannot unmarshal ${jsonKind(value)} into ${kind}`);
  if (!/^-?(?:0|[1-9][0-9]{0,19})$/.test(source)) {
    throw new BytesError(`json: cannot unmarshal number ${source.slice(0, 40)} into ${kind}`);
  }
  const integer = BigInt(source);
  const [least, most] = ranges[kind];
  if (integer < least || integer > most) {
    throw new BytesError(`json: cannot unmarshal number ${source} into ${kind}`);
  }
  if (kind === "int64" || kind === "uint64") return integer;
  // Beyond 2^53 a count or revision compares like the greatest there is, as `protobuf.ts` reads it from the wire.
  const number = Number(integer);
  return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(number, Number.MAX_SAFE_INTEGER));
}

function enumFromJson(info: FieldInfo, value: unknown): number {
  if (typeof value === "number") return value | 0;
  if (typeof value === "string") {
    const number = info.values !== undefined && Object.hasOwn(info.values, value) ? info.values[value] : undefined;
    if (number === undefined) throw new BytesError(`unknown value ${JSON.stringify(value.slice(0, 100))} for an enum`);
    return number;
  }
  throw new BytesError(`json: cannot unmarshal ${jsonKind(value)} into an enum`);
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
  return value instanceof JsonNumber ? "number" : typeof value;
}
