/** etcd's Lease service. What is left of a lease only the leader knows: other nodes ask it. */
import type { CallOptions } from "../group/handle.ts";
import { sleep } from "../ports/clock.ts";
import { type Access, etcdErrorOf, resultOf } from "./access.ts";
import { CommandTag, command } from "./command.ts";
import { EtcdError } from "./etcd-error.ts";
import type { Lessor } from "./lessor.ts";
import {
  LeaseGrantRequest,
  type LeaseGrantResponse,
  type LeaseKeepAliveRequest,
  type LeaseKeepAliveResponse,
  type LeaseLeasesResponse,
  LeaseRevokeRequest,
  type LeaseRevokeResponse,
  type LeaseTimeToLiveRequest,
  type LeaseTimeToLiveResponse,
} from "./messages.ts";
import { decodeAnswer, encodeQuestion, type Question } from "./question.ts";
import { bytesOfName } from "./record.ts";

export interface LeaseServiceOptions {
  /** Shorter TTLs are raised to this, in seconds. etcd: three half election timeouts, 2 s by default. */
  readonly minTtlSeconds: number;
  /** How long a renewal looks for a leader if the call does not say. */
  readonly callTimeoutMs: number;
}

/** The answer for a lease that does not exist. */
const GONE = -1;
const RETRY_MS = 50;
const ID_TRIES = 8;

export class LeaseService {
  readonly #access: Access;
  readonly #lessor: Lessor;
  readonly #options: LeaseServiceOptions;

  constructor(access: Access, lessor: Lessor, options: LeaseServiceOptions) {
    this.#access = access;
    this.#lessor = lessor;
    this.#options = options;
  }

  /** Id 0: one is drawn. */
  async grant(request: LeaseGrantRequest, options?: CallOptions): Promise<LeaseGrantResponse> {
    const ttl = Math.max(request.ttl, this.#options.minTtlSeconds);
    for (let tries = 1; ; tries++) {
      const id = request.id === 0n ? this.#drawId() : request.id;
      try {
        const bytes = command(CommandTag.leaseGrant, LeaseGrantRequest, { id, ttl });
        const result = resultOf(await this.#access.propose(bytes, options), "lease-grant");
        return { header: this.#access.header(result.revision), id: result.id, ttl: result.ttl, error: "" };
      } catch (error) {
        const taken = error instanceof EtcdError && error.code === "LEASE_EXISTS";
        if (!taken || request.id !== 0n || tries === ID_TRIES) throw error;
      }
    }
  }

  /** 63 random bits, not 0. */
  #drawId(): bigint {
    let id = 0n;
    for (const byte of this.#access.random.bytes(8)) id = (id << 8n) | BigInt(byte);
    id &= 0x7fff_ffff_ffff_ffffn;
    return id === 0n ? 1n : id;
  }

  async revoke(request: LeaseRevokeRequest, options?: CallOptions): Promise<LeaseRevokeResponse> {
    const bytes = command(CommandTag.leaseRevoke, LeaseRevokeRequest, request);
    const { revision } = resultOf(await this.#access.propose(bytes, { ...options, urgent: true }), "lease-revoke");
    return { header: this.#access.header(revision) };
  }

  /** TTL 0: there is no such lease. */
  async keepAlive(request: LeaseKeepAliveRequest, options: CallOptions = {}): Promise<LeaseKeepAliveResponse> {
    const ttl = await this.#ask({ type: "lease-renew", id: request.id }, options);
    return { header: this.#access.headerNow(), id: request.id, ttl: ttl === GONE ? 0 : ttl };
  }

  /** TTL −1: there is no such lease. */
  async timeToLive(request: LeaseTimeToLiveRequest, options: CallOptions = {}): Promise<LeaseTimeToLiveResponse> {
    const left = await this.#ask({ type: "lease-time-to-live", id: request.id }, options);
    const take = (): LeaseTimeToLiveResponse => {
      const lease = this.#access.store.leases.get(request.id);
      const header = this.#access.headerNow();
      if (left === GONE || lease === undefined) return { header, id: request.id, ttl: GONE, grantedTtl: 0, keys: [] };
      const names = request.keys ? [...lease.keys].map((entry) => entry.name).sort() : [];
      return { header, id: request.id, ttl: left, grantedTtl: lease.ttl, keys: names.map(bytesOfName) };
    };
    return await this.#access.read(false, take, options);
  }

  leases(options?: CallOptions): Promise<LeaseLeasesResponse> {
    const take = (): LeaseLeasesResponse => {
      const leases = this.#access.store.leases.all().map(({ id }) => ({ id }));
      return { header: this.#access.headerNow(), leases };
    };
    return this.#access.read(false, take, options);
  }

  /** The leader's half of what other nodes ask. */
  async answer(question: Question & { readonly id: bigint }): Promise<number> {
    const left =
      question.type === "lease-renew"
        ? await this.#lessor.renew(question.id)
        : await this.#lessor.timeToLive(question.id);
    return left ?? GONE;
  }

  /** Asks the leader until one answers or the time is over: a change of leaders must not cost anyone their lease. */
  async #ask(question: Question & { readonly id: bigint }, options: CallOptions): Promise<number> {
    const { clock, handle } = this.#access;
    const timeoutMs = options.timeoutMs ?? this.#options.callTimeoutMs;
    const endMs = clock.monotonicMs() + timeoutMs;
    for (;;) {
      let failure: EtcdError;
      try {
        if (this.#lessor.isLeading) return await this.answer(question);
        const leftMs = Math.max(1, endMs - clock.monotonicMs());
        return decodeAnswer(await handle.askLeader(encodeQuestion(question), { ...options, timeoutMs: leftMs }));
      } catch (error) {
        failure = etcdErrorOf(error);
      }
      const again = failure.code === "NO_LEADER" || failure.code === "LEADER_CHANGED" || failure.code === "TIMEOUT";
      if (!again || clock.monotonicMs() + RETRY_MS >= endMs) throw failure;
      if (options.signal?.aborted === true) throw new EtcdError("CANCELLED", { cause: failure });
      await sleep(clock, RETRY_MS);
    }
  }
}
