/**
 * The store's twin for differential tests, written for obviousness: a list of everything that ever happened, and every
 * answer computed by walking it from the start. It shares the message types with the store, and no code.
 */
import type { Compare, KeyValue, PutRequest, RangeRequest, RequestOp, TxnRequest } from "../messages.ts";

interface Change {
  readonly main: number;
  readonly sub: number;
  readonly key: string;
  /** undefined: deleted. */
  readonly put: { readonly value: string; readonly lease: bigint } | undefined;
}

export interface NaiveKv {
  readonly key: string;
  readonly value: string;
  readonly create: number;
  readonly mod: number;
  readonly version: number;
  readonly lease: bigint;
}

/** Bytes as text that sorts as they do. */
export function text(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

export function plain(kv: KeyValue): NaiveKv {
  return {
    key: text(kv.key),
    value: text(kv.value),
    create: kv.createRevision,
    mod: kv.modRevision,
    version: kv.version,
    lease: kv.lease,
  };
}

export class NaiveError extends Error {}

export class NaiveStore {
  readonly changes: Change[] = [];
  readonly leases = new Map<bigint, number>();
  revision = 1;
  compacted = -1;
  #pending: Change[] = [];

  /** All pairs after `revision`, the transaction's own writes included. */
  at(revision: number): Map<string, NaiveKv> {
    const state = new Map<string, NaiveKv>();
    for (const change of [...this.changes, ...this.#pending]) {
      if (change.main > revision) continue;
      if (change.put === undefined) {
        state.delete(change.key);
        continue;
      }
      const before = state.get(change.key);
      state.set(change.key, {
        key: change.key,
        value: change.put.value,
        lease: change.put.lease,
        create: before?.create ?? change.main,
        mod: change.main,
        version: (before?.version ?? 0) + 1,
      });
    }
    return new Map([...state].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  get #now(): number {
    return this.#pending.length > 0 ? this.revision + 1 : this.revision;
  }

  #change(key: string, put: Change["put"]): void {
    this.#pending.push({ main: this.revision + 1, sub: this.#pending.length, key, put });
  }

  #end(): number {
    this.changes.push(...this.#pending);
    if (this.#pending.length > 0) this.revision++;
    this.#pending = [];
    return this.revision;
  }

  select(key: Uint8Array, end: Uint8Array, revision: number): NaiveKv[] {
    const from = text(key);
    const to = text(end);
    return [...this.at(revision).values()].filter((kv) => {
      if (to === "") return kv.key === from;
      return kv.key >= from && (to === "\0" || kv.key < to);
    });
  }

  range(q: RangeRequest): { kvs: NaiveKv[]; count: number; more: boolean; revision: number } {
    const now = this.#now;
    if (q.revision > now) throw new NaiveError("FUTURE_REVISION");
    const at = q.revision <= 0 ? now : q.revision;
    if (at < this.compacted) throw new NaiveError("COMPACTED");
    const all = this.select(q.key, q.rangeEnd, at);
    let kvs = q.countOnly ? [] : all;
    const filters = [q.minModRevision, q.maxModRevision, q.minCreateRevision, q.maxCreateRevision];
    // With no order asked for, etcd cuts by key before it sorts by anything else.
    if (q.sortOrder === 0 && filters.every((f) => f === 0) && q.limit > 0) kvs = kvs.slice(0, q.limit + 1);
    if (q.maxModRevision !== 0) kvs = kvs.filter((kv) => kv.mod <= q.maxModRevision);
    if (q.minModRevision !== 0) kvs = kvs.filter((kv) => kv.mod >= q.minModRevision);
    if (q.maxCreateRevision !== 0) kvs = kvs.filter((kv) => kv.create <= q.maxCreateRevision);
    if (q.minCreateRevision !== 0) kvs = kvs.filter((kv) => kv.create >= q.minCreateRevision);
    const by = [
      (kv: NaiveKv) => kv.key,
      (kv: NaiveKv) => kv.version,
      (kv: NaiveKv) => kv.create,
      (kv: NaiveKv) => kv.mod,
      (kv: NaiveKv) => kv.value,
    ][q.sortTarget];
    if (by !== undefined) {
      const sign = q.sortOrder === 2 ? -1 : 1;
      kvs = [...kvs].sort((a, b) => sign * (by(a) < by(b) ? -1 : by(a) > by(b) ? 1 : 0));
    }
    const more = q.limit > 0 && kvs.length > q.limit;
    if (more) kvs = kvs.slice(0, q.limit);
    if (q.keysOnly) kvs = kvs.map((kv) => ({ ...kv, value: "" }));
    return { kvs, count: all.length, more, revision: now };
  }

  #putNow(q: PutRequest): NaiveKv | undefined {
    const before = this.at(this.#now).get(text(q.key));
    const value = q.ignoreValue ? (before?.value ?? "") : text(q.value);
    this.#change(text(q.key), { value, lease: q.ignoreLease ? (before?.lease ?? 0n) : q.lease });
    return q.prevKv ? before : undefined;
  }

  put(q: PutRequest): { prev: NaiveKv | undefined; revision: number } {
    if (q.lease !== 0n && !this.leases.has(q.lease)) throw new NaiveError("LEASE_NOT_FOUND");
    if ((q.ignoreValue || q.ignoreLease) && !this.at(this.revision).has(text(q.key)))
      throw new NaiveError("KEY_NOT_FOUND");
    const prev = this.#putNow(q);
    return { prev, revision: this.#end() };
  }

  #deleteNow(key: Uint8Array, end: Uint8Array): NaiveKv[] {
    const victims = this.select(key, end, this.#now);
    for (const victim of victims) this.#change(victim.key, undefined);
    return victims;
  }

  deleteRange(key: Uint8Array, end: Uint8Array): { victims: NaiveKv[]; revision: number } {
    const victims = this.#deleteNow(key, end);
    return { victims, revision: this.#end() };
  }

  #holds(c: Compare): boolean {
    const kvs = this.select(c.key, c.rangeEnd, this.revision);
    const relate = (order: number): boolean => [order === 0, order > 0, order < 0, order !== 0][c.result] ?? true;
    const sign = (a: number | bigint | string, b: number | bigint | string): number => (a < b ? -1 : a > b ? 1 : 0);
    const u = c.targetUnion;
    const order = (kv: NaiveKv | undefined): number => {
      if (c.target === 0) return sign(kv?.version ?? 0, u?.type === "version" ? u.value : 0);
      if (c.target === 1) return sign(kv?.create ?? 0, u?.type === "createRevision" ? u.value : 0);
      if (c.target === 2) return sign(kv?.mod ?? 0, u?.type === "modRevision" ? u.value : 0);
      if (c.target === 3) return sign(kv?.value ?? "", u?.type === "value" ? text(u.value) : "");
      return sign(kv?.lease ?? 0n, u?.type === "lease" ? u.value : 0n);
    };
    if (kvs.length === 0) return c.target !== 3 && relate(order(undefined));
    return kvs.every((kv) => relate(order(kv)));
  }

  /** The plan is made on the state before the transaction; then it is carried out. */
  txn(q: TxnRequest): { answer: unknown; revision: number } {
    const plan = this.#plan(q);
    this.#check(plan, "put");
    this.#check(plan, "range");
    const answer = this.#execute(plan);
    return { answer, revision: this.#end() };
  }

  #plan(q: TxnRequest): Plan {
    const succeeded = q.compare.every((c) => this.#holds(c));
    const ops = (succeeded ? q.success : q.failure).map((op): Plan | RequestOp =>
      op.request?.type === "requestTxn" ? this.#plan(op.request.value) : op,
    );
    return { succeeded, ops };
  }

  #check(plan: Plan, what: "put" | "range"): void {
    for (const op of plan.ops) {
      if ("ops" in op) this.#check(op, what);
      else if (what === "put" && op.request?.type === "requestPut") {
        const q = op.request.value;
        const missing = !this.at(this.revision).has(text(q.key));
        if ((q.ignoreValue || q.ignoreLease) && missing) throw new NaiveError("KEY_NOT_FOUND");
        if (q.lease !== 0n && !this.leases.has(q.lease)) throw new NaiveError("LEASE_NOT_FOUND");
      } else if (what === "range" && op.request?.type === "requestRange" && op.request.value.revision !== 0) {
        if (op.request.value.revision > this.revision) throw new NaiveError("FUTURE_REVISION");
        if (op.request.value.revision < this.compacted) throw new NaiveError("COMPACTED");
      }
    }
  }

  #execute(plan: Plan): unknown {
    const answers = plan.ops.map((op): unknown => {
      if ("ops" in op) return this.#execute(op);
      const request = op.request;
      if (request?.type === "requestRange") return this.range(request.value);
      if (request?.type === "requestPut") {
        const prev = this.#putNow(request.value);
        return { prev, revision: this.#now };
      }
      if (request?.type === "requestDeleteRange") {
        const victims = this.#deleteNow(request.value.key, request.value.rangeEnd);
        return { deleted: victims.length, prevs: request.value.prevKv ? victims : [], revision: this.#now };
      }
      return undefined;
    });
    return { succeeded: plan.succeeded, answers };
  }

  grant(id: bigint, ttl: number): void {
    if (this.leases.has(id)) throw new NaiveError("LEASE_EXISTS");
    this.leases.set(id, ttl);
  }

  revoke(id: bigint): number {
    if (!this.leases.delete(id)) throw new NaiveError("LEASE_NOT_FOUND");
    for (const kv of this.at(this.revision).values()) if (kv.lease === id) this.#change(kv.key, undefined);
    return this.#end();
  }

  compact(revision: number): void {
    if (revision <= this.compacted) throw new NaiveError("COMPACTED");
    if (revision > this.revision) throw new NaiveError("FUTURE_REVISION");
    this.compacted = revision;
  }
}

interface Plan {
  readonly succeeded: boolean;
  readonly ops: readonly (Plan | RequestOp)[];
}
