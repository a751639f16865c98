/**
 * The calls that judge a cluster from outside: members, alarms, digests of the whole store. Field numbers: etcd's `rpc.proto`
 * (etcd.io/docs/v3.5/dev-guide/api_reference_v3).
 */
import { decodeHeader } from "../etcd-messages.ts";
import { GrpcConnection } from "../grpc-connection.ts";
import { outcomeOf, type Outcome } from "../kv-client.ts";
import { bytesOf, decodeMessage, encodeMessage, numberOf } from "../protobuf-lite.ts";

export interface Member {
  readonly id: bigint;
  readonly name: string;
  readonly isLearner: boolean;
}

export interface Alarm {
  readonly memberId: bigint;
  /** 1: NOSPACE, 2: CORRUPT. */
  readonly kind: bigint;
}

const NOSPACE = 1n;
const text = new TextDecoder();

export class AdminClient {
  readonly #connection: GrpcConnection;
  readonly #timeoutMs: number;

  constructor(endpoint: string, options: { readonly timeoutMs?: number } = {}) {
    this.#connection = new GrpcConnection(endpoint);
    this.#timeoutMs = options.timeoutMs ?? 3_000;
  }

  members(): Promise<Outcome<readonly Member[]>> {
    return this.#call("/etcdserverpb.Cluster/MemberList", [], (body) =>
      repeated(body, 2).map((fields) => ({
        id: numberOf(fields, 1),
        name: text.decode(bytesOf(fields, 2)),
        isLearner: numberOf(fields, 5) === 1n,
      })),
    );
  }

  /** Ids of the members that have no space. */
  async noSpace(): Promise<Outcome<readonly bigint[]>> {
    const got = await this.#call("/etcdserverpb.Maintenance/Alarm", [], (body) =>
      repeated(body, 2).map((fields): Alarm => ({ memberId: numberOf(fields, 1), kind: numberOf(fields, 2) })),
    );
    if (got.type !== "done") return got;
    return { type: "done", value: got.value.filter((alarm) => alarm.kind === NOSPACE).map((alarm) => alarm.memberId) };
  }

  /** The digest of everything that the asked node itself holds up to `revision`, and the node's own newest revision. */
  hashKv(revision: bigint): Promise<Outcome<{ readonly hash: bigint; readonly newest: bigint }>> {
    return this.#call("/etcdserverpb.Maintenance/HashKV", [[1, revision]], (body) => ({
      hash: numberOf(decodeMessage(body), 2),
      newest: decodeHeader(body).revision,
    }));
  }

  close(): void {
    this.#connection.close();
  }

  async #call<T>(
    method: string,
    fields: Parameters<typeof encodeMessage>[0],
    decode: (body: Uint8Array) => T,
  ): Promise<Outcome<T>> {
    return outcomeOf(
      await this.#connection.unary(method, encodeMessage(fields), { timeoutMs: this.#timeoutMs }),
      decode,
    );
  }
}

function repeated(body: Uint8Array, field: number): readonly ReturnType<typeof decodeMessage>[] {
  return decodeMessage(body)
    .filter((found) => found.field === field)
    .map((found) => decodeMessage(found.bytes));
}
