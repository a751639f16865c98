/**
 * The replicated half of leases: which exist, and which keys hang on them. Time is not here: when a lease ends is decided by
 * the leader's `Lessor`, and arrives as a command.
 */
import { assert } from "../base/assert.ts";
import type { KeyEntry } from "./key-index.ts";

export interface Lease {
  readonly id: bigint;
  /** As granted, in seconds. */
  readonly ttl: number;
  /** What a former leader noted as left, in seconds; 0: nothing noted, the whole TTL counts. */
  remainingTtl: number;
  readonly keys: Set<KeyEntry>;
}

/** Tells the leader's clockwork what was applied. */
export interface LeaseListener {
  granted(lease: Lease): void;
  revoked(id: bigint): void;
  /** The whole table was replaced. */
  reset(): void;
}

export class LeaseTable {
  #leases = new Map<bigint, Lease>();
  #listener: LeaseListener | undefined;
  /** Ids granted, noted or revoked since the last checkpoint. */
  #changed = new Set<bigint>();

  set listener(listener: LeaseListener | undefined) {
    this.#listener = listener;
  }

  get size(): number {
    return this.#leases.size;
  }

  get(id: bigint): Lease | undefined {
    return this.#leases.get(id);
  }

  /** Sorted by id. */
  all(): Lease[] {
    return [...this.#leases.values()].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  }

  grant(id: bigint, ttl: number): Lease {
    const lease = this.load(id, ttl, 0);
    this.#changed.add(id);
    this.#listener?.granted(lease);
    return lease;
  }

  /** Adds a lease that was granted before, without telling anyone. */
  load(id: bigint, ttl: number, remainingTtl: number): Lease {
    assert(!this.#leases.has(id), "a lease is granted once", { id });
    const lease: Lease = { id, ttl, remainingTtl, keys: new Set() };
    this.#leases.set(id, lease);
    return lease;
  }

  note(id: bigint, remainingTtl: number): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    lease.remainingTtl = remainingTtl;
    this.#changed.add(id);
  }

  /** The caller has deleted the keys. */
  revoke(id: bigint): void {
    this.#leases.delete(id);
    this.#changed.add(id);
    this.#listener?.revoked(id);
  }

  attach(id: bigint, entry: KeyEntry): void {
    if (id !== 0n) this.#leases.get(id)?.keys.add(entry);
  }

  detach(id: bigint, entry: KeyEntry): void {
    if (id !== 0n) this.#leases.get(id)?.keys.delete(entry);
  }

  clear(): void {
    this.#leases = new Map();
    this.#changed = new Set();
  }

  /** Call after the table was filled anew. */
  announceReset(): void {
    this.#listener?.reset();
  }

  get changedCount(): number {
    return this.#changed.size;
  }

  /** Ids changed since the last call, for a checkpoint; give them back with `retake` if it fails. */
  takeChanges(): ReadonlySet<bigint> {
    const changed = this.#changed;
    this.#changed = new Set();
    return changed;
  }

  retake(changed: ReadonlySet<bigint>): void {
    for (const id of changed) this.#changed.add(id);
  }
}
