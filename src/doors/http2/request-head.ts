/**
 * The head of a request out of its fields, checked as a server must.
 * Source  RFC 9113 sections 8.2 (field validity, connection-specific fields), 8.3.1 (pseudo-header fields) and 8.5 (CONNECT).
 */
import { fieldBytes, type HeaderField } from "./hpack-table.ts";

export interface RequestHead {
  readonly method: string;
  readonly path: string;
  /** Lower-case names; the values of one name joined by a comma. */
  readonly fields: ReadonlyMap<string, string>;
  /** From content-length. */
  readonly bodyBytes: number | undefined;
}

export type HeadResult =
  | { readonly type: "head"; readonly head: RequestHead }
  | { readonly type: "malformed" }
  /** More fields than the door takes. */
  | { readonly type: "too-large" };

const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
/** What no value may hold: three bytes anywhere, white space around it (section 8.2.1). */
const VALUE_BREAKS = /[\0\r\n]|^[ \t]|[ \t]$/;
const CONNECTION_SPECIFIC = new Set(["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]);
const PSEUDO = new Set([":method", ":scheme", ":path", ":authority"]);

/** Collects the fields of one block within bounds of bytes (as HPACK counts them) and of fields. */
export class HeadBuilder {
  readonly #bytesMax: number;
  readonly #fieldsMax: number;
  readonly #pseudo = new Map<string, string>();
  readonly #fields = new Map<string, string>();
  #bytes = 0;
  #count = 0;
  #malformed = false;

  constructor(bytesMax: number, fieldsMax: number) {
    this.#bytesMax = bytesMax;
    this.#fieldsMax = fieldsMax;
  }

  add(field: HeaderField): void {
    this.#bytes += fieldBytes(field);
    this.#count++;
    if (this.#bytes > this.#bytesMax || this.#count > this.#fieldsMax) return;
    const { name, value } = field;
    if (VALUE_BREAKS.test(value)) this.#malformed = true;
    else if (name.startsWith(":")) this.#addPseudo(name, value);
    else this.#addField(name, value);
  }

  #addPseudo(name: string, value: string): void {
    if (this.#fields.size > 0 || !PSEUDO.has(name) || this.#pseudo.has(name)) this.#malformed = true;
    else this.#pseudo.set(name, value);
  }

  #addField(name: string, value: string): void {
    if (!NAME.test(name) || CONNECTION_SPECIFIC.has(name) || (name === "te" && value !== "trailers")) {
      this.#malformed = true;
      return;
    }
    const before = this.#fields.get(name);
    this.#fields.set(name, before === undefined ? value : `${before}, ${value}`);
  }

  /** The trailers of a request hold no pseudo-header field; what they say is of no use to anybody here. */
  get isValidTrailer(): boolean {
    return !this.#malformed && this.#pseudo.size === 0;
  }

  finish(): HeadResult {
    if (this.#bytes > this.#bytesMax || this.#count > this.#fieldsMax) return { type: "too-large" };
    const method = this.#pseudo.get(":method");
    const path = this.#path(method);
    const length = this.#fields.get("content-length");
    if (this.#malformed || method === undefined || path === undefined) return { type: "malformed" };
    if (length !== undefined && !/^[0-9]{1,15}$/.test(length)) return { type: "malformed" };
    const bodyBytes = length === undefined ? undefined : Number(length);
    return { type: "head", head: { method, path, fields: this.#fields, bodyBytes } };
  }

  /** Empty for CONNECT, which has an authority and neither scheme nor path (section 8.5); undefined if malformed. */
  #path(method: string | undefined): string | undefined {
    const path = this.#pseudo.get(":path");
    const hasScheme = this.#pseudo.has(":scheme");
    if (method === "CONNECT")
      return path === undefined && !hasScheme && this.#pseudo.has(":authority") ? "" : undefined;
    return path === "" || !hasScheme ? undefined : path;
  }
}
