/** Observed events as text: bounded JSON fields for machines, one short line for people. */
import type { ObservedEvent, ObservedLevel } from "../ports/observer.ts";

const TEXT_MAX = 500;
const ITEMS_MAX = 50;
const DEPTH_MAX = 3;

/**
 * The fields of an event without its name and level, each cut to a bounded size and made fit for JSON. `base` stands in every
 * line already: what says the same is left out, and no name comes twice.
 */
export function logFields(event: ObservedEvent, base: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(event)) {
    if (name === "type" || name === "level" || value === undefined) continue;
    const isTaken = name === "time" || name === "event" || Object.hasOwn(base, name);
    if (isTaken && value === base[name]) continue;
    fields[isTaken ? `${name}_` : name] = bounded(value, DEPTH_MAX);
  }
  return fields;
}

function bounded(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case "string":
      return value.length > TEXT_MAX ? `${value.slice(0, TEXT_MAX)}… (${value.length} characters)` : value;
    case "bigint":
    case "symbol":
    case "function":
      return String(value).slice(0, TEXT_MAX);
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "object":
      break;
    default:
      return value;
  }
  if (value === null) return null;
  if (value instanceof Error) return bounded(errorText(value), depth);
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`;
  if (depth === 0) return "…";
  if (Array.isArray(value)) return value.slice(0, ITEMS_MAX).map((item) => bounded(item, depth - 1));
  const entries = value instanceof Map ? [...value.entries()] : Object.entries(value);
  return Object.fromEntries(entries.slice(0, ITEMS_MAX).map(([key, item]) => [String(key), bounded(item, depth - 1)]));
}

function errorText(error: Error): string {
  return error.cause instanceof Error ? `${error.message} (${errorText(error.cause)})` : error.message;
}

const COLOURS: Readonly<Record<ObservedLevel, string>> = { debug: "2", info: "36", warn: "33", error: "31" };

/** `12:34:56.789 warn  disk-full group=1`, without a line end. Control characters are escaped: a field cannot forge a line. */
export function prettyLine(event: ObservedEvent, wallMs: number, options: { readonly colour: boolean }): string {
  const level = event.level ?? "debug";
  const time = new Date(wallMs).toISOString().slice(11, 23);
  const fields = Object.entries(logFields(event)).map(([name, value]) => ` ${name}=${shown(value)}`);
  const head = `${level.padEnd(5)} ${event.type}`;
  return `${time} ${options.colour ? `\u001b[${COLOURS[level]}m${head}\u001b[0m` : head}${fields.join("")}`;
}

function shown(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
  return typeof value === "string" && !/^[\w.:/@+[\]-]+$/.test(text) ? JSON.stringify(text) : text;
}
