/** etcd's Election service: one leader at a time under a name, with a value that it proclaims. */
import type { CallOptions } from "../group/handle.ts";
import type { Access } from "./access.ts";
import { EtcdError } from "./etcd-error.ts";
import type { KvService } from "./kv-service.ts";
import {
  type CampaignRequest,
  type CampaignResponse,
  CompareTarget,
  EventType,
  type KeyValue,
  type LeaderKey,
  type LeaderRequest,
  type LeaderResponse,
  type ProclaimRequest,
  type ProclaimResponse,
  type RequestOpInput,
  type ResignRequest,
  type ResignResponse,
  type ResponseHeader,
  TxnRequest,
} from "./messages.ts";
import { equalBytes } from "../base/bytes.ts";
import type { TurnTaking } from "./turn-taking.ts";

export class ElectionService {
  readonly #access: Access;
  readonly #kv: KvService;
  readonly #turns: TurnTaking;

  constructor(access: Access, kv: KvService, turns: TurnTaking) {
    this.#access = access;
    this.#kv = kv;
    this.#turns = turns;
  }

  /** Waits until the caller leads. If it gives up, its candidacy ends. */
  async campaign(request: CampaignRequest, options: CallOptions = {}): Promise<CampaignResponse> {
    return await this.#access.within(options, (signal) =>
      this.#turns.take(request, signal, async (place, turn) => {
        const leader: LeaderKey = { name: request.name, key: place.key, rev: place.revision, lease: place.lease };
        if (place.before !== undefined && !equalBytes(place.before.value, request.value)) {
          await this.#write(leader, request.value, { signal });
        }
        return { header: await turn(), leader };
      }),
    );
  }

  async proclaim(request: ProclaimRequest, options?: CallOptions): Promise<ProclaimResponse> {
    const leader = present(request.leader);
    return { header: await this.#write(leader, request.value, options) };
  }

  /** Throws ELECTION_NO_LEADER if nobody leads. */
  async leader(request: LeaderRequest, options?: CallOptions): Promise<LeaderResponse> {
    const { kv, header } = await this.#turns.first(request.name, options);
    if (kv === undefined) throw new EtcdError("ELECTION_NO_LEADER");
    return { header, kv };
  }

  /** The present leader, each value it proclaims, and each leader after it. Ends only by `signal` or a failure. */
  async *observe(request: LeaderRequest, options: CallOptions = {}): AsyncGenerator<LeaderResponse, void, undefined> {
    const controller = new AbortController();
    const { signal } = options;
    const onAbort = (): void => controller.abort(new EtcdError("CANCELLED"));
    if (signal?.aborted === true) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      for (;;) {
        const found = await this.#turns.first(request.name, { signal: controller.signal });
        const revision = found.header?.revision ?? 0; // a header is always there
        if (found.kv === undefined) {
          await this.#someone(request.name, revision, controller.signal);
          continue;
        }
        yield { header: found.header, kv: found.kv };
        yield* this.#reign(found.kv, revision, controller.signal);
      }
    } finally {
      signal?.removeEventListener("abort", onAbort);
      controller.abort();
    }
  }

  /** What one leader proclaims after `revision`, until its key is gone. */
  async *#reign(kv: KeyValue, revision: number, signal: AbortSignal): AsyncGenerator<LeaderResponse, void, undefined> {
    const changes = this.#turns.changesOf(kv.key, revision + 1, signal);
    try {
      for (;;) {
        const { header, events } = await changes.next();
        for (const event of events) {
          if (event.type === EventType.DELETE) return;
          if (event.kv !== undefined) yield { header: at(header, event.kv), kv: event.kv };
        }
      }
    } catch (error) {
      if (!(error instanceof EtcdError) || error.code !== "COMPACTED") throw error;
    } finally {
      changes.close();
    }
  }

  /** Resolves when somebody has come forward after `revision`, or when that cannot be told any more. */
  async #someone(name: Uint8Array, revision: number, signal: AbortSignal): Promise<void> {
    const changes = this.#turns.changes(name, revision + 1, signal);
    try {
      for (;;) {
        const { events } = await changes.next();
        if (events.some((event) => event.type === EventType.PUT)) return;
      }
    } catch (error) {
      if (!(error instanceof EtcdError) || error.code !== "COMPACTED") throw error;
    } finally {
      changes.close();
    }
  }

  async resign(request: ResignRequest, options?: CallOptions): Promise<ResignResponse> {
    const leader = present(request.leader);
    const { header } = await this.#ifLeading(
      leader,
      { request: { type: "requestDeleteRange", value: { key: leader.key } } },
      options,
    );
    return { header };
  }

  async #write(leader: LeaderKey, value: Uint8Array, options?: CallOptions): Promise<ResponseHeader | undefined> {
    const put = { request: { type: "requestPut" as const, value: { key: leader.key, value, lease: leader.lease } } };
    const { succeeded, header } = await this.#ifLeading(leader, put, options);
    if (!succeeded) throw new EtcdError("ELECTION_NOT_LEADER");
    return header;
  }

  /** Does `op` if the leader's key is still the one that was created then. */
  async #ifLeading(
    leader: LeaderKey,
    op: RequestOpInput,
    options?: CallOptions,
  ): Promise<{ readonly succeeded: boolean; readonly header: ResponseHeader | undefined }> {
    const request = TxnRequest.make({
      compare: [
        {
          target: CompareTarget.CREATE,
          key: leader.key,
          targetUnion: { type: "createRevision", value: leader.rev },
        },
      ],
      success: [op],
    });
    return await this.#kv.txn(request, options);
  }
}

function present(leader: LeaderKey | undefined): LeaderKey {
  if (leader === undefined) throw new EtcdError("ELECTION_LEADER_MISSING");
  return leader;
}

/** A batch may hold several proclamations: each is shown under its own revision. */
function at(header: ResponseHeader | undefined, kv: KeyValue): ResponseHeader | undefined {
  return header === undefined ? undefined : { ...header, revision: kv.modRevision };
}
