/** etcd's Lock service: mutual exclusion tied to a lease. The key it returns is the proof, for fencing writes with it. */
import type { CallOptions } from "../group/handle.ts";
import type { Access } from "./access.ts";
import { EtcdError } from "./etcd-error.ts";
import type { KvService } from "./kv-service.ts";
import {
  DeleteRangeRequest,
  type LockRequest,
  type LockResponse,
  RangeRequest,
  type UnlockRequest,
  type UnlockResponse,
} from "./messages.ts";
import type { TurnTaking } from "./turn-taking.ts";

const NO_VALUE = new Uint8Array(0);

export class LockService {
  readonly #access: Access;
  readonly #kv: KvService;
  readonly #turns: TurnTaking;

  constructor(access: Access, kv: KvService, turns: TurnTaking) {
    this.#access = access;
    this.#kv = kv;
    this.#turns = turns;
  }

  /** Waits until the lock is the caller's. If the caller gives up, its place in the queue is given up too. */
  async lock(request: LockRequest, options: CallOptions = {}): Promise<LockResponse> {
    const { name, lease } = request;
    return await this.#access.within(options, (signal) =>
      this.#turns.take({ name, lease, value: NO_VALUE }, signal, async (place, turn) => {
        await turn();
        // While it waited, the lease may have ended and taken the key along.
        const { kvs, header } = await this.#kv.range(RangeRequest.make({ key: place.key }), { signal });
        if (kvs[0]?.createRevision !== place.revision) throw new EtcdError("LOCK_SESSION_EXPIRED");
        return { header, key: place.key };
      }),
    );
  }

  async unlock(request: UnlockRequest, options?: CallOptions): Promise<UnlockResponse> {
    const { header } = await this.#kv.deleteRange(DeleteRangeRequest.make({ key: request.key }), options);
    return { header };
  }
}
