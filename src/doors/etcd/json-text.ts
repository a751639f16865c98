/**
 * JSON text as the gateway needs it: several values in one body, and integers beyond 2^53 exactly as they stand.
 */
import { BytesError } from "../../base/bytes.ts";
import { jsonSyntaxError } from "./json-text-error.ts";

/** A number that is not a safe integer, as its own text: `1e3`, `1.5`, `9223372036854775807`. */
export class JsonNumber {
  readonly source: string;

  constructor(source: string) {
    this.source = source;
  }
}

/**
 * Parses one value. Throws `BytesError` with the reason in etcd's words; `end` says whether a text that stops too early is
 * one of which the rest did not come.
 */
export function parseJson(text: string, end: "stream" | "whole" = "stream"): unknown {
  try {
    // The third parameter of a reviver, the source text, is newer than the library's types.
    const reviver = (_: string, value: unknown, context?: { readonly source?: string }): unknown =>
      typeof value === "number" && context?.source !== undefined && !isPlainInteger(value, context.source)
        ? new JsonNumber(context.source)
        : value;
    return JSON.parse(text, reviver as Parameters<typeof JSON.parse>[1]);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error); // nesting that is too deep, for one
    throw new BytesError(jsonSyntaxError(text, end) ?? why);
  }
}

function isPlainInteger(value: number, source: string): boolean {
  return Number.isSafeInteger(value) && /^-?[0-9]+$/.test(source);
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Cuts a stream of bytes into the texts of top-level values. Objects and arrays end at their bracket, everything else at
 * white space, a bracket or the end. Whether a text is JSON is `parseJson`'s business.
 */
export class JsonSplitter {
  readonly #valueBytesMax: number;
  #parts: Uint8Array[] = [];
  #bytes = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;

  constructor(valueBytesMax: number) {
    this.#valueBytesMax = valueBytesMax;
  }

  /** The values that end within `chunk`. Throws `BytesError` when one grows over the limit. */
  push(chunk: Uint8Array): string[] {
    const values: string[] = [];
    let start = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] as number; // in range by the loop bound
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (byte === BACKSLASH) this.#escaped = true;
        else if (byte === QUOTE) this.#inString = false;
        continue;
      }
      if (byte === QUOTE) this.#inString = true;
      else if (byte === 0x7b || byte === 0x5b) {
        if (this.#depth === 0) {
          this.#take(chunk, start, at, values); // a scalar right before it
          start = at;
        }
        this.#depth++;
      } else if (byte === 0x7d || byte === 0x5d) {
        if (this.#depth > 0) this.#depth--;
        if (this.#depth === 0) {
          this.#take(chunk, start, at + 1, values);
          start = at + 1;
        }
      } else if (this.#depth === 0 && (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09)) {
        this.#take(chunk, start, at, values);
        start = at + 1;
      }
    }
    this.#keep(chunk.slice(start)); // a copy: the chunk is the transport's
    return values;
  }

  /** What stands at the very end: a scalar, or a value that is cut short; undefined if there is nothing. */
  finish(): string | undefined {
    return this.#bytes === 0 ? undefined : this.#text();
  }

  #keep(part: Uint8Array): void {
    if (part.length === 0) return;
    this.#bytes += part.length;
    if (this.#bytes > this.#valueBytesMax) throw new BytesError("a JSON value is over the size limit");
    this.#parts.push(part);
  }

  #take(chunk: Uint8Array, from: number, to: number, values: string[]): void {
    this.#keep(chunk.subarray(from, to));
    if (this.#bytes > 0) values.push(this.#text());
  }

  #text(): string {
    const text = Buffer.concat(this.#parts).toString("utf8");
    this.#parts = [];
    this.#bytes = 0;
    return text;
  }
}
