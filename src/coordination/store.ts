/**
 * The coordination group's state machine: keys with their history, leases, alarms. Commands are those of `command.ts`.
 *
 * S1. `apply` depends on the state, the command and the point, on nothing else; a command that cannot be carried out has a
 *     result that says so, and changes nothing.
 * S2. What is published to watchers was applied by a whole log entry: `entryApplied`.
 * S3. A checkpoint holds exactly the state at its call; what is applied while it is written belongs to the next one.
 * S4. While a snapshot is installed (`isWhole` is false) nothing reads the state, nor tells anyone of it.
 * S5. A copy that was found damaged (`damage` is set) applies nothing, answers nothing and saves nothing any more: what
 *     becomes of it is for `node/store-damage.ts` to settle.
 */
import { assert } from "../base/assert.ts";
import { BytesError, fromUtf8, utf8 } from "../base/bytes.ts";
import { AlthingError, hasCode } from "../base/errors.ts";
import type { LogIndex } from "../base/ids.ts";
import type { ApplyPoint, Codec, DurableState, MachineSnapshot, StateMachine } from "../group/state-machine.ts";
import type { Clock } from "../ports/clock.ts";
import type { Kernels } from "../ports/kernels.ts";
import type { Engine, EngineWrite } from "../storage/engine/engine.ts";
import { CommandTag, LeaseExpire, LeaseNotes, MemberIdRequest } from "./command.ts";
import type { EtcdErrorCode } from "./etcd-error.ts";
import { History } from "./history.ts";
import { KeyIndex } from "./key-index.ts";
import { type Lease, type LeaseListener, LeaseTable } from "./lease-table.ts";
import {
  AlarmAction,
  type AlarmMember,
  AlarmRequest,
  AlarmType,
  CompactionRequest,
  DeleteRangeRequest,
  LeaseGrantRequest,
  LeaseRevokeRequest,
  PutRequest,
  type RangeRequest,
  TxnRequest,
} from "./messages.ts";
import { FIRST_REVISION, Mvcc, NEVER_COMPACTED } from "./mvcc.ts";
import { type RangeResult, range } from "./range.ts";
import {
  encodeRecord,
  type HistoryRecord,
  leaseBounds,
  leaseIdOf,
  leaseKey,
  recordKey,
  stateKey,
  storeBounds,
} from "./record.ts";
import { RecordCache } from "./record-cache.ts";
import { type StoreResult, storeResultCodec } from "./store-result.ts";
import { decodeSnapshot, encodeSnapshot, type SnapshotLease } from "./store-snapshot.ts";
import { AlarmTable, decodeState, encodeState, type StoreState } from "./store-state.ts";
import { executeTxn, hasPut, readTxn, type TxnResult } from "./txn.ts";

/** etcd's bound, in seconds: about 285 years. */
export const LEASE_TTL_MAX = 9_000_000_000;

export type StoreQuery =
  | { readonly type: "range"; readonly request: RangeRequest }
  | { readonly type: "txn"; readonly request: TxnRequest }
  | { readonly type: "revision" };

export type StoreAnswer = RangeResult | TxnResult | { readonly type: "revision"; readonly revision: number };

export interface StoreOptions {
  /** The store's own: nothing else may write to it. */
  readonly engine: Engine;
  readonly kernels: Kernels;
  readonly clock: Clock;
  /** Memory for values read from disk. Default 16 MiB. */
  readonly cacheBytesMax?: number;
}

/** Told on this node what was applied, after whole log entries. */
export interface StoreListener {
  /** Revisions from ≤ r ≤ to are new. */
  published(from: number, to: number): void;
  /** The whole state was replaced by a later one. */
  replaced(): void;
  /** A compaction was applied: `compactStep` has work. */
  compacting?(): void;
  /** S5, once: this node's copy is damaged. After the turn in which it was found. */
  damaged?(error: AlthingError): void;
}

const STATE_KEY = stateKey(0x73); // "s"
const META_KEY = stateKey(0x6d); // "m": the group's, after which the state stands
const COMPACTED_KEY = stateKey(0x63); // "c"
/** Stands while a snapshot is being installed and until the checkpoint after it. */
const INSTALLING_KEY = stateKey(0x69); // "i"
const LOAD_BATCH = 5_000;
const INSTALL_BATCH_BYTES = 4 * 1024 * 1024;
const LEASE_DIRTY_BYTES = 64;

export class Store implements StateMachine<StoreResult, StoreQuery, StoreAnswer> {
  readonly results: Codec<StoreResult> = storeResultCodec;
  readonly leases: LeaseTable = new LeaseTable();
  readonly #engine: Engine;
  readonly #kernels: Kernels;
  readonly #clock: Clock;
  readonly #pause: () => Promise<void>;
  readonly #index = new KeyIndex();
  readonly #history: History;
  readonly #cache: RecordCache;
  readonly #mvcc: Mvcc;
  readonly #alarms = new AlarmTable();
  readonly #listeners = new Set<StoreListener>();
  #lastMemberId = 0;
  #published: number = FIRST_REVISION;
  /** The state came from a snapshot and is in no checkpoint yet. */
  #installed = false;
  #isWhole = true;
  #damage: AlthingError | undefined;

  constructor(options: StoreOptions) {
    this.#engine = options.engine;
    this.#kernels = options.kernels;
    this.#clock = options.clock;
    this.#pause = () => new Promise((resolve) => options.clock.afterTurn(resolve));
    const latin1 = (bytes: Uint8Array): string => options.kernels.latin1(bytes);
    this.#history = new History(options.engine, latin1, (error) => this.#damaged(error));
    this.#history.reset(FIRST_REVISION);
    this.#cache = new RecordCache(options.cacheBytesMax ?? 16 * 1024 * 1024);
    this.#mvcc = new Mvcc({
      index: this.#index,
      history: this.#history,
      cache: this.#cache,
      leases: this.leases,
      latin1,
    });
  }

  // What this node's layers above may read at any time

  /** False while a snapshot is being installed, and for ever if that failed (S4). */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** What was found wrong with this copy (S5): DATA_CORRUPT. */
  get damage(): AlthingError | undefined {
    return this.#damage;
  }

  get revision(): number {
    return this.#mvcc.revision;
  }

  /** Up to here watchers were told. Equal to `revision` outside of `apply` and `restore`. */
  get publishedRevision(): number {
    return this.#published;
  }

  /** Reads below this are refused; −1: nothing was compacted. */
  get compactRevision(): number {
    return this.#mvcc.compactRevision;
  }

  /** `used`: an id that must not be given out again; otherwise a fresh one, from `least`. */
  #memberIdAfter({ least, used }: MemberIdRequest): number {
    return used > 0 ? Math.max(this.#lastMemberId, used) : Math.max(this.#lastMemberId + 1, least);
  }

  /** Those that are there so far, while a snapshot is being installed. */
  get keyCount(): number {
    return this.#mvcc.keyCount;
  }

  get alarms(): readonly AlarmMember[] {
    return this.#alarms.all;
  }

  get mvcc(): Mvcc {
    return this.#mvcc;
  }

  // What needs a whole and sound state: DATA_CORRUPT otherwise, or a failed assertion

  #demandReadable(): void {
    if (this.#damage !== undefined) throw this.#damage;
    assert(this.#isWhole, "S4: nobody reads half of a snapshot");
  }

  range(request: RangeRequest): RangeResult {
    this.#demandReadable();
    return range(this.#mvcc, request);
  }

  /** A transaction that only reads. */
  readTxn(request: TxnRequest): TxnResult {
    this.#demandReadable();
    return readTxn(this.#mvcc, request);
  }

  listen(listener: StoreListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A bounded step of physical deletion behind a compaction. True if there is more to do. */
  compactStep(): boolean {
    return this.#damage === undefined && this.#mvcc.compactStep();
  }

  /** Bytes on disk and bytes of data, as the engine says. */
  size(): { readonly fileBytes: number; readonly usedBytes: number } {
    return this.#engine.size();
  }

  /**
   * A checksum over all that a read at `revision` (0: now) or a watch up to it can see. Replicas with the same compacted
   * revision give the same. Walks the whole history: costly.
   */
  hash(
    revision: number,
  ):
    | { readonly type: "hash"; readonly hash: number; readonly compactRevision: number; readonly revision: number }
    | { readonly type: "error"; readonly error: EtcdErrorCode } {
    this.#demandReadable();
    const refusal = this.#mvcc.refusal(revision);
    if (refusal !== undefined) return { type: "error", error: refusal };
    const upTo = revision <= 0 ? this.revision : revision;
    this.#mvcc.finishCompaction();
    const frozen = this.#freeze(this.#mvcc.recordCount);
    let crc = this.#kernels.crc32(utf8("kv"));
    try {
      for (const record of frozen.records()) {
        if (record.kv.modRevision > upTo) break;
        crc = this.#kernels.crc32(recordKey(record.kv.modRevision, record.sub), crc);
        crc = this.#kernels.crc32(encodeRecord(record), crc);
      }
    } finally {
      frozen.close();
    }
    return { type: "hash", hash: crc >>> 0, compactRevision: this.compactRevision, revision: this.revision };
  }

  /** A checksum over the whole replicated state, leases and alarms included. */
  hashAll(): number {
    const keys = this.hash(0);
    assert(keys.type === "hash", "the present is never refused");
    let crc = this.#kernels.crc32(encodeState(this.#state()), keys.hash);
    for (const { id, ttl, remainingTtl } of this.leases.all()) {
      crc = this.#kernels.crc32(utf8(`${id} ${ttl} ${remainingTtl};`), crc);
    }
    return crc >>> 0;
  }

  // StateMachine

  apply(bytes: Uint8Array, point: ApplyPoint): StoreResult {
    if (this.#damage !== undefined) return { type: "error", error: "CORRUPT" }; // S5
    if (bytes.length === 0) return { type: "error", error: "REQUEST_MALFORMED" };
    const body = new Uint8Array(bytes.buffer, bytes.byteOffset + 1, bytes.length - 1);
    try {
      switch (bytes[0]) {
        case CommandTag.put:
          return this.#put(PutRequest.decode(body));
        case CommandTag.deleteRange:
          return this.#deleteRange(DeleteRangeRequest.decode(body));
        case CommandTag.txn:
          return this.#txn(TxnRequest.decode(body));
        case CommandTag.compact:
          return this.#compact(CompactionRequest.decode(body));
        case CommandTag.leaseGrant:
          return this.#leaseGrant(LeaseGrantRequest.decode(body));
        case CommandTag.leaseRevoke:
          return this.#leaseRevoke(LeaseRevokeRequest.decode(body).id);
        case CommandTag.leaseCheckpoint:
          return this.#leaseCheckpoint(LeaseNotes.decode(body), point);
        case CommandTag.leaseExpire: {
          // An entry of term t was proposed by the one leader of t. If the clock that ran out was that of an earlier
          // leader, the lease may have been renewed since: the command is void (etcd issue 15247).
          const { id, term } = LeaseExpire.decode(body);
          return term === point.term ? this.#leaseRevoke(id) : { type: "error", error: "FENCED" };
        }
        case CommandTag.alarm:
          return this.#alarm(AlarmRequest.decode(body));
        case CommandTag.memberId:
          this.#lastMemberId = this.#memberIdAfter(MemberIdRequest.decode(body));
          return { type: "member-id", id: this.#lastMemberId };
        default:
          return { type: "error", error: "REQUEST_MALFORMED" };
      }
    } catch (error) {
      if (error instanceof BytesError) return { type: "error", error: "REQUEST_MALFORMED" };
      if (this.#damage === undefined || !hasCode(error, "DATA_CORRUPT")) throw error;
      // S1 is broken here, and S5 keeps that from everyone but the client: the other replicas carry the command out.
      return { type: "error", error: "CORRUPT" };
    }
  }

  entryApplied(_index: LogIndex): void {
    if (this.#damage !== undefined) return;
    if (this.#mvcc.compactionPending) {
      this.#mvcc.compactStep(); // under load too it goes on: a step with each entry
      if (this.#mvcc.compactionPending) for (const listener of this.#listeners) listener.compacting?.();
    }
    const to = this.revision;
    if (to === this.#published) return;
    const from = this.#published + 1;
    this.#published = to;
    for (const listener of this.#listeners) listener.published(from, to);
  }

  query(query: StoreQuery): StoreAnswer {
    switch (query.type) {
      case "range":
        return this.range(query.request);
      case "txn":
        return this.readTxn(query.request);
      case "revision":
        return { type: "revision", revision: this.revision };
    }
  }

  #put(request: PutRequest): StoreResult {
    const { key, lease } = request;
    if (key.length === 0) return { type: "error", error: "EMPTY_KEY" };
    if (this.#alarms.has(AlarmType.NOSPACE)) return { type: "error", error: "NO_SPACE" };
    if (lease !== 0n && this.leases.get(lease) === undefined) return { type: "error", error: "LEASE_NOT_FOUND" };
    const { ignoreValue, ignoreLease } = request;
    const wantsPrevious = request.prevKv || ignoreValue || ignoreLease;
    const previous = wantsPrevious ? this.#mvcc.get(this.#kernels.latin1(key)) : undefined;
    if ((ignoreValue || ignoreLease) && previous === undefined) return { type: "error", error: "KEY_NOT_FOUND" };
    this.#mvcc.begin();
    this.#mvcc.put(
      key,
      ignoreValue && previous !== undefined ? previous.value : request.value,
      ignoreLease && previous !== undefined ? previous.lease : lease,
    );
    return { type: "put", revision: this.#mvcc.commit(), prevKv: request.prevKv ? previous : undefined };
  }

  #deleteRange(request: DeleteRangeRequest): StoreResult {
    if (request.key.length === 0) return { type: "error", error: "EMPTY_KEY" };
    const keys = this.#mvcc.keyRange(request.key, request.rangeEnd);
    const prevKvs = request.prevKv ? this.#mvcc.select(keys, 0, 0, { countOnly: false }).kvs : [];
    this.#mvcc.begin();
    const deleted = this.#mvcc.deleteRange(keys);
    return { type: "delete-range", revision: this.#mvcc.commit(), deleted, prevKvs };
  }

  #txn(request: TxnRequest): StoreResult {
    if (this.#alarms.has(AlarmType.NOSPACE) && hasPut(request)) return { type: "error", error: "NO_SPACE" };
    return executeTxn(this.#mvcc, this.leases, request);
  }

  #compact(request: CompactionRequest): StoreResult {
    const error = this.#mvcc.compact(request.revision);
    return error === undefined ? { type: "compact", revision: this.revision } : { type: "error", error };
  }

  #leaseGrant(request: LeaseGrantRequest): StoreResult {
    const { id } = request;
    if (this.#alarms.has(AlarmType.NOSPACE)) return { type: "error", error: "NO_SPACE" };
    if (id === 0n) return { type: "error", error: "LEASE_NOT_FOUND" }; // the door draws an id before it proposes
    if (request.ttl > LEASE_TTL_MAX) return { type: "error", error: "LEASE_TTL_TOO_LARGE" };
    if (this.leases.get(id) !== undefined) return { type: "error", error: "LEASE_EXISTS" };
    const ttl = Math.max(request.ttl, 1);
    this.leases.grant(id, ttl);
    return { type: "lease-grant", revision: this.revision, id, ttl };
  }

  #leaseRevoke(id: bigint): StoreResult {
    const lease = this.leases.get(id);
    if (lease === undefined) return { type: "error", error: "LEASE_NOT_FOUND" };
    this.#mvcc.begin();
    this.#mvcc.deleteLeased(lease.keys);
    const revision = this.#mvcc.commit();
    this.leases.revoke(id);
    return { type: "lease-revoke", revision };
  }

  #leaseCheckpoint(notes: LeaseNotes, point: ApplyPoint): StoreResult {
    if (notes.term !== point.term) return { type: "error", error: "FENCED" };
    for (const { id, remainingTtl } of notes.checkpoints) this.leases.note(id, Math.max(remainingTtl, 0));
    return { type: "lease-checkpoint", revision: this.revision };
  }

  #alarm(request: AlarmRequest): StoreResult {
    const { alarm, memberId } = request;
    let alarms = this.#alarms.all.filter((one) => alarm === AlarmType.NONE || one.alarm === alarm);
    if (request.action === AlarmAction.ACTIVATE) {
      if (alarm !== AlarmType.NONE) this.#alarms.raise(alarm, memberId);
      alarms = [{ alarm, memberId }];
    } else if (request.action === AlarmAction.DEACTIVATE) {
      alarms = this.#alarms.clear(alarm, memberId) ? [{ alarm, memberId }] : [];
    }
    return { type: "alarm", revision: this.revision, alarms };
  }

  #freeze(count?: number): ReturnType<History["snapshot"]> {
    return this.#history.snapshot(Math.max(this.compactRevision, FIRST_REVISION), count);
  }

  #state(): StoreState {
    return {
      revision: this.revision,
      compactRevision: this.compactRevision,
      lastMemberId: this.#lastMemberId,
      alarms: this.#alarms.all,
    };
  }

  // Snapshots

  snapshot(): MachineSnapshot {
    this.#demandReadable();
    // What a compaction has not removed yet would make the bytes differ between replicas.
    this.#mvcc.finishCompaction();
    const state = this.#state();
    const leases: SnapshotLease[] = this.leases.all().map(({ id, ttl, remainingTtl }) => ({ id, ttl, remainingTtl }));
    const frozen = this.#freeze(this.#mvcc.recordCount);
    const kernels = this.#kernels;
    return {
      chunks: () => encodeSnapshot({ state, leases, records: () => frozen.records() }, kernels),
      close: () => frozen.close(),
    };
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    if (this.#damage !== undefined) throw this.#damage; // a damaged file is no place to put a sound state
    this.#isWhole = false;
    let writes: EngineWrite[] = [];
    let bytes = 0;
    const flush = async (): Promise<void> => {
      const full = writes;
      writes = [];
      bytes = 0;
      await this.#write(full);
    };
    await decodeSnapshot(
      chunks,
      {
        begin: async (state, leases) => {
          // From here until the next checkpoint the folder holds no state that could be loaded.
          await this.#write([
            { type: "delete-range", ...storeBounds },
            { type: "put", key: INSTALLING_KEY, value: new Uint8Array([1]) },
          ]);
          this.#begin(state, leases, state.compactRevision);
        },
        record: (record) => {
          this.#mvcc.load(record);
          const value = encodeRecord(record);
          writes.push({ type: "put", key: recordKey(record.kv.modRevision, record.sub), value });
          bytes += value.length + 64;
          return bytes > INSTALL_BATCH_BYTES ? flush() : undefined;
        },
      },
      this.#kernels,
    );
    await flush();
    this.#installed = true;
    this.#isWhole = true;
    this.#published = this.revision;
    this.leases.announceReset();
    for (const listener of this.#listeners) listener.replaced();
  }

  #begin(state: StoreState, leases: readonly SnapshotLease[], compacted: number): void {
    const { revision, compactRevision } = state;
    this.#mvcc.reset({ revision, compactRevision, compacted });
    this.#lastMemberId = state.lastMemberId;
    this.#alarms.reset(state.alarms);
    this.leases.clear();
    for (const { id, ttl, remainingTtl } of leases) this.leases.load(id, ttl, remainingTtl);
  }

  // DurableState

  readonly durable: DurableState = {
    load: () => this.#load(),
    checkpoint: (meta) => this.#checkpoint(meta),
    dirtyBytes: () => this.#history.dirtyBytes + this.leases.changedCount * LEASE_DIRTY_BYTES,
  };

  async #load(): Promise<Uint8Array | undefined> {
    const engine = this.#engine;
    if (engine.get(INSTALLING_KEY) !== undefined) {
      await engine.write([{ type: "delete-range", ...storeBounds }]);
      return undefined;
    }
    const meta = engine.get(META_KEY);
    if (meta === undefined) return undefined;
    const bytes = engine.get(STATE_KEY);
    if (bytes === undefined) throw new AlthingError("DATA_CORRUPT", "Cannot load the store: its state is missing");
    const leases: SnapshotLease[] = [];
    for (const [key, value] of engine.range(leaseBounds)) leases.push(decodeLease(key, value));
    const compacted = engine.get(COMPACTED_KEY);
    this.#begin(decodeState(bytes), leases, compacted === undefined ? NEVER_COMPACTED : Number(fromUtf8(compacted)));
    const frozen = this.#freeze();
    try {
      let count = 0;
      for (const record of frozen.records()) {
        this.#mvcc.load(record);
        if (++count % LOAD_BATCH === 0) await this.#pause();
      }
    } finally {
      frozen.close();
    }
    this.#published = this.revision;
    this.leases.announceReset();
    return meta;
  }

  async #checkpoint(meta: Uint8Array): Promise<void> {
    this.#demandReadable(); // S5: the log must keep what led here
    const state = encodeState(this.#state());
    const compacted = utf8(String(this.#mvcc.compactedRevision));
    const installed = this.#installed;
    const changed = this.leases.takeChanges();
    const ids = installed ? new Set(this.leases.all().map((lease) => lease.id)) : changed;
    const leaseWrites = [...ids].map((id) => leaseWrite(id, this.leases.get(id)));
    const piece = this.#history.freeze();
    let written = false;
    try {
      const writes = await piece.writes(this.#pause);
      for (const write of leaseWrites) writes.push(write);
      writes.push({ type: "put", key: STATE_KEY, value: state });
      writes.push({ type: "put", key: COMPACTED_KEY, value: compacted });
      writes.push({ type: "put", key: META_KEY, value: meta });
      if (installed) writes.push({ type: "delete", key: INSTALLING_KEY });
      await this.#write(writes);
      written = true;
      if (installed) this.#installed = false;
    } finally {
      if (!written) this.leases.retake(changed);
      this.#history.settle(written);
    }
  }

  /** Damage may show itself to a write too: in the pages that it would reuse. */
  async #write(writes: readonly EngineWrite[]): Promise<void> {
    try {
      await this.#engine.write(writes);
    } catch (error) {
      if (hasCode(error, "DATA_CORRUPT")) this.#damaged(error);
      throw error;
    }
  }

  #damaged(error: AlthingError): void {
    if (this.#damage !== undefined) return;
    this.#damage = error;
    this.#clock.afterTurn(() => {
      for (const listener of this.#listeners) listener.damaged?.(error);
    });
  }

  set leaseListener(listener: LeaseListener | undefined) {
    this.leases.listener = listener;
  }

  /** Changes with from ≤ main ≤ to, for watches. */
  changes(from: number, to: number): Generator<HistoryRecord, void, undefined> {
    this.#demandReadable();
    return this.#mvcc.changes(from, to);
  }
}

function leaseWrite(id: bigint, lease: Lease | undefined): EngineWrite {
  const key = leaseKey(id);
  if (lease === undefined) return { type: "delete", key };
  const value = new Uint8Array(16);
  const view = new DataView(value.buffer);
  view.setBigUint64(0, BigInt(lease.ttl));
  view.setBigUint64(8, BigInt(lease.remainingTtl));
  return { type: "put", key, value };
}

function decodeLease(key: Uint8Array, value: Uint8Array): SnapshotLease {
  if (value.length !== 16) throw new AlthingError("DATA_CORRUPT", "Cannot load the store: a lease is damaged");
  const view = new DataView(value.buffer, value.byteOffset, 16);
  return { id: leaseIdOf(key), ttl: Number(view.getBigUint64(0)), remainingTtl: Number(view.getBigUint64(8)) };
}
