/** Key-value calls of a test client: each ends as done, failed for certain, or unknown. */
import {
  compareAndPutRequest,
  decodeDeleted,
  decodeHeader,
  decodeRange,
  decodeStatus,
  decodeSucceeded,
  deleteRequest,
  type KeyValue,
  methods,
  type NodeStatus,
  putRequest,
  rangeRequest,
  statusRequest,
} from "./etcd-messages.ts";
import { GrpcConnection, type UnaryResult } from "./grpc-connection.ts";

export type Outcome<T> =
  | { readonly type: "done"; readonly value: T }
  /** The server refused it, or it was never sent: it did not happen and never will. */
  | { readonly type: "failed"; readonly reason: string }
  /** It may have happened, or happen later. */
  | { readonly type: "unknown"; readonly reason: string };

/**
 * gRPC statuses with which a server refuses a request before it acts: invalid argument, not found, already exists,
 * permission denied, resource exhausted, failed precondition, out of range, unimplemented, unauthenticated
 * (grpc.github.io/grpc/core/md_doc_statuscodes.html). All others, UNAVAILABLE among them, leave the outcome open.
 */
const refusals: ReadonlySet<number> = new Set([3, 5, 6, 7, 8, 9, 11, 12, 16]);

const PAGE_KEYS = 2_000;

export class KvClient {
  readonly endpoint: string;
  readonly #connection: GrpcConnection;
  readonly #timeoutMs: number;

  constructor(endpoint: string, options: { readonly timeoutMs?: number } = {}) {
    this.endpoint = endpoint;
    this.#connection = new GrpcConnection(endpoint);
    this.#timeoutMs = options.timeoutMs ?? 5_000;
  }

  /** The revision of the write. */
  put(key: string, value: Uint8Array | string): Promise<Outcome<bigint>> {
    return this.#call(methods.put, putRequest(key, bytes(value)), (body) => decodeHeader(body).revision);
  }

  /** Linearizable unless `serializable`: then the node answers from what it has. */
  get(key: string, options: { readonly serializable?: boolean } = {}): Promise<Outcome<KeyValue | undefined>> {
    return this.#call(methods.range, rangeRequest(key, options), (body) => decodeRange(body).kvs[0]);
  }

  /** All keys that begin with `prefix`, in order. Read in pages, each at its own moment. */
  async list(prefix: string, options: { readonly serializable?: boolean } = {}): Promise<Outcome<readonly KeyValue[]>> {
    const end = endOfPrefix(prefix);
    const found: KeyValue[] = [];
    for (let from = prefix; ; from = `${found.at(-1)?.key ?? ""}\0`) {
      const request = rangeRequest(from, { ...options, end, limit: PAGE_KEYS });
      const page = await this.#call(methods.range, request, (body) => decodeRange(body).kvs);
      if (page.type !== "done") return page;
      found.push(...page.value);
      if (page.value.length < PAGE_KEYS) return { type: "done", value: found };
    }
  }

  /** Was the key there? */
  delete(key: string): Promise<Outcome<boolean>> {
    return this.#call(methods.deleteRange, deleteRequest(key), (body) => decodeDeleted(body) > 0);
  }

  /** Did the comparison hold, and so the write happen? `expected` undefined: the key must not exist. */
  compareAndPut(key: string, expected: string | undefined, next: string): Promise<Outcome<boolean>> {
    const request = compareAndPutRequest(key, expected === undefined ? undefined : bytes(expected), bytes(next));
    return this.#call(methods.txn, request, decodeSucceeded);
  }

  status(): Promise<Outcome<NodeStatus>> {
    return this.#call(methods.status, statusRequest, decodeStatus);
  }

  close(): void {
    this.#connection.close();
  }

  async #call<T>(method: string, request: Uint8Array, decode: (body: Uint8Array) => T): Promise<Outcome<T>> {
    return outcomeOf(await this.#connection.unary(method, request, { timeoutMs: this.#timeoutMs }), decode);
  }
}

/** What a call's result says about its effect. */
export function outcomeOf<T>(result: UnaryResult, decode: (body: Uint8Array) => T): Outcome<T> {
  switch (result.type) {
    case "unsent":
      return { type: "failed", reason: result.reason };
    case "unknown":
      return { type: "unknown", reason: result.reason };
    case "answered": {
      if (result.status === 0) return { type: "done", value: decode(result.body) };
      const reason = `grpc-status ${result.status}: ${result.message}`;
      return { type: refusals.has(result.status) ? "failed" : "unknown", reason };
    }
  }
}

const bytes = (value: Uint8Array | string): Uint8Array => (typeof value === "string" ? Buffer.from(value) : value);

/** The first key after all keys with this prefix; prefixes of tests end in ASCII. */
function endOfPrefix(prefix: string): string {
  const last = prefix.charCodeAt(prefix.length - 1);
  return prefix.slice(0, -1) + String.fromCharCode(last + 1);
}
