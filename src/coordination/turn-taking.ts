/**
 * The queue that locks and elections share, as etcd's clients build it: everyone puts a key of their own under a common
 * prefix, with their lease; whose key was created first has it; the others wait for the one before them to go.
 * Source: etcd's concurrency recipes (`client/v3/concurrency`).
 *
 *     <name>/<lease id in hex>
 */
import { utf8 } from "../base/bytes.ts";
import type { CallOptions } from "../group/handle.ts";
import type { Access } from "./access.ts";
import { ChangeQueue } from "./change-queue.ts";
import { EtcdError } from "./etcd-error.ts";
import type { KvService } from "./kv-service.ts";
import type { LeaseService } from "./lease-service.ts";
import {
  CompareTarget,
  EventType,
  type KeyValue,
  LeaseGrantRequest,
  RangeRequest,
  type ResponseHeader,
  SortOrder,
  SortTarget,
  TxnRequest,
} from "./messages.ts";
import type { WatchHub } from "./watch-hub.ts";

/** Whoever comes without a lease gets one of this length, as etcd's sessions do. */
const SESSION_TTL_SECONDS = 60;
const ABANDON_TRIES = 2;

export interface Place {
  readonly key: Uint8Array;
  /** The create revision of the key: the place in the queue. */
  readonly revision: number;
  readonly lease: bigint;
  /** What the key held, if it was there before. */
  readonly before: KeyValue | undefined;
  readonly header: ResponseHeader | undefined;
}

export class TurnTaking {
  readonly #access: Access;
  readonly #kv: KvService;
  readonly #leases: LeaseService;
  readonly #hub: WatchHub;

  constructor(parts: {
    readonly access: Access;
    readonly kv: KvService;
    readonly leases: LeaseService;
    readonly hub: WatchHub;
  }) {
    this.#access = parts.access;
    this.#kv = parts.kv;
    this.#leases = parts.leases;
    this.#hub = parts.hub;
  }

  /**
   * Takes a place and lets `use` wait for its turn; `turn` resolves when nobody is ahead. If any of it fails, or the caller
   * gives up, the place is given up too.
   */
  async take<T>(
    request: { readonly name: Uint8Array; readonly lease: bigint; readonly value: Uint8Array },
    signal: AbortSignal,
    use: (place: Place, turn: () => Promise<ResponseHeader | undefined>) => Promise<T>,
  ): Promise<T> {
    const { name, lease, value } = request;
    const place = await this.#enter(name, lease, value, { signal });
    try {
      return await use(place, () => this.#awaitTurn(name, place, signal));
    } catch (error) {
      await this.#abandon(place);
      throw error;
    }
  }

  /** Takes a place under `name` for the lease (0: a new one), or finds the place it has. */
  async #enter(name: Uint8Array, lease: bigint, value: Uint8Array, options: CallOptions): Promise<Place> {
    const held = lease === 0n ? await this.#newLease(options) : lease;
    const key = placeKey(name, held);
    const request = TxnRequest.make({
      compare: [{ target: CompareTarget.CREATE, key, targetUnion: { type: "createRevision", value: 0 } }],
      success: [{ request: { type: "requestPut", value: { key, value, lease: held } } }],
      failure: [{ request: { type: "requestRange", value: { key } } }],
    });
    const response = await this.#kv.txn(request, options);
    const read = response.responses[0]?.response;
    const before = !response.succeeded && read?.type === "responseRange" ? read.value.kvs[0] : undefined;
    const revision = before?.createRevision ?? response.header?.revision ?? 0; // a header is always there
    return { key, revision, lease: held, before, header: response.header };
  }

  async #newLease(options: CallOptions): Promise<bigint> {
    const granted = await this.#leases.grant(LeaseGrantRequest.make({ ttl: SESSION_TTL_SECONDS }), options);
    return granted.id;
  }

  /**
   * Resolves when nothing created before `place` is left under `name`. Each waits for the one just before, so that a key
   * that goes wakes one waiter, not all.
   */
  async #awaitTurn(name: Uint8Array, place: Place, signal: AbortSignal): Promise<ResponseHeader | undefined> {
    for (;;) {
      const response = await this.#kv.range(
        RangeRequest.make({
          ...prefixOf(name),
          sortOrder: SortOrder.DESCEND,
          sortTarget: SortTarget.CREATE,
          maxCreateRevision: place.revision - 1,
          limit: 1,
        }),
        { signal },
      );
      const ahead = response.kvs[0];
      if (ahead === undefined) return response.header;
      await this.#deletion(ahead.key, response.header?.revision ?? 0, signal);
    }
  }

  /** Resolves when the key, seen at `revision`, was deleted; or when that cannot be told any more: look again then. */
  async #deletion(key: Uint8Array, revision: number, signal: AbortSignal): Promise<void> {
    const changes = new ChangeQueue(
      this.#hub,
      { key, rangeEnd: new Uint8Array(0), startRevision: revision + 1 },
      signal,
    );
    try {
      for (;;) {
        const { events } = await changes.next();
        if (events.some((event) => event.type === EventType.DELETE)) return;
      }
    } catch (error) {
      if (error instanceof EtcdError && error.code === "COMPACTED") return;
      throw error;
    } finally {
      changes.close();
    }
  }

  /** The pair that has its turn, if there is one. */
  async first(
    name: Uint8Array,
    options?: CallOptions,
  ): Promise<{ kv: KeyValue | undefined; header: ResponseHeader | undefined }> {
    const request = RangeRequest.make({
      ...prefixOf(name),
      sortOrder: SortOrder.ASCEND,
      sortTarget: SortTarget.CREATE,
      limit: 1,
    });
    const { kvs, header } = await this.#kv.range(request, options);
    return { kv: kvs[0], header };
  }

  /** Changes of the keys under `name`. To be closed. */
  changes(name: Uint8Array, startRevision: number, signal: AbortSignal): ChangeQueue {
    return new ChangeQueue(this.#hub, { ...prefixOf(name), startRevision }, signal);
  }

  /** Changes of one key. To be closed. */
  changesOf(key: Uint8Array, startRevision: number, signal: AbortSignal): ChangeQueue {
    return new ChangeQueue(this.#hub, { key, rangeEnd: new Uint8Array(0), startRevision }, signal);
  }

  /** Deletes the key of a place that nobody waits at any more; if that fails, the end of its lease does it. */
  async #abandon({ key, revision, lease }: Place): Promise<void> {
    const request = TxnRequest.make({
      compare: [{ target: CompareTarget.CREATE, key, targetUnion: { type: "createRevision", value: revision } }],
      success: [{ request: { type: "requestDeleteRange", value: { key } } }],
    });
    for (let triesLeft = ABANDON_TRIES; triesLeft > 0; triesLeft--) {
      try {
        await this.#kv.txn(request);
        return;
      } catch (error) {
        if (triesLeft > 1) continue;
        this.#access.observer.observe({
          type: "place-not-abandoned",
          level: "warn",
          lease: lease.toString(16),
          why: error instanceof Error ? error.message : String(error),
        });
      }
    }
  }
}

function placeKey(name: Uint8Array, lease: bigint): Uint8Array {
  const digits = utf8(`/${hex(lease)}`);
  const key = new Uint8Array(name.length + digits.length);
  key.set(name);
  key.set(digits, name.length);
  return key;
}

/** As Go prints a signed integer in base 16. */
function hex(id: bigint): string {
  return id < 0n ? `-${(-id).toString(16)}` : id.toString(16);
}

/** The keys that begin with `name/`. */
function prefixOf(name: Uint8Array): { readonly key: Uint8Array; readonly rangeEnd: Uint8Array } {
  const key = new Uint8Array(name.length + 1);
  key.set(name);
  key[name.length] = 0x2f; // "/"
  const rangeEnd = key.slice();
  rangeEnd[name.length] = 0x30; // the byte behind "/"
  return { key, rangeEnd };
}
