/** etcd's KV service on the replicated store: writes are proposed, reads confirmed, answers given headers. */
import type { CallOptions } from "../group/handle.ts";
import { type Access, resultOf, type StoreSuccess } from "./access.ts";
import { CommandTag, command, commandOfBytes } from "./command.ts";
import { EtcdError, type EtcdErrorCode } from "./etcd-error.ts";
import {
  CompactionRequest,
  type CompactionResponse,
  DeleteRangeRequest,
  type DeleteRangeResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  type RequestOp,
  TxnRequest,
  type TxnResponse,
} from "./messages.ts";
import { checkDeleteRange, checkPut, checkRange, checkTxn } from "./request-check.ts";
import { isReadOnly, type TxnResult } from "./txn.ts";

export type BytesDone = (error: unknown, response: Uint8Array | undefined) => void;

export interface KvServiceOptions {
  readonly txnOperationsMax: number;
  readonly latin1: (bytes: Uint8Array) => string;
}

export class KvService {
  readonly #access: Access;
  readonly #options: KvServiceOptions;
  /** Calls of `compact` that wait for the physical end. */
  #compactionWaiters: (() => void)[] = [];
  #compactionPlanned = false;

  constructor(access: Access, options: KvServiceOptions) {
    this.#access = access;
    this.#options = options;
    this.driveCompaction(); // what a restart cut off goes on
  }

  async range(request: RangeRequest, options?: CallOptions): Promise<RangeResponse> {
    refuse(checkRange(request));
    return await this.#access.read(request.serializable, () => this.#rangeNow(request), options);
  }

  /** The hot path of Range: bytes in, bytes out. Throws BytesError on malformed bytes. */
  rangeBytes(bytes: Uint8Array, done: BytesDone, headroom = 0): void {
    const request = RangeRequest.decode(bytes.slice()); // kept over turns, unlike the transport's memory
    const wrong = checkRange(request);
    if (wrong !== undefined) return this.#access.clock.afterTurn(() => done(new EtcdError(wrong), undefined));
    this.#access.whenReadable(request.serializable, (error) => {
      if (error !== undefined) return done(error, undefined);
      let response: Uint8Array;
      try {
        response = RangeResponse.encode(this.#rangeNow(request), headroom);
      } catch (failure) {
        return done(failure, undefined);
      }
      done(undefined, response);
    });
  }

  #rangeNow(request: RangeRequest): RangeResponse {
    const result = this.#access.store.range(request);
    if (result.type === "error") throw new EtcdError(result.error);
    const { revision, kvs, more, count } = result;
    return { header: this.#access.header(revision), kvs, more, count };
  }

  async put(request: PutRequest, options?: CallOptions): Promise<PutResponse> {
    refuse(checkPut(request));
    return this.#putResponse(await this.#access.propose(command(CommandTag.put, PutRequest, request), options));
  }

  /** The hot path of Put: the bytes of the request are the bytes of the log. Throws BytesError on malformed bytes. */
  putBytes(bytes: Uint8Array, done: BytesDone, headroom = 0): void {
    const wrong = checkPut(PutRequest.decode(bytes));
    if (wrong !== undefined) return this.#access.clock.afterTurn(() => done(new EtcdError(wrong), undefined));
    this.#access.submit(commandOfBytes(CommandTag.put, bytes), (error, result) => {
      if (result === undefined) done(error, undefined);
      else done(undefined, PutResponse.encode(this.#putResponse(result), headroom));
    });
  }

  #putResponse(result: StoreSuccess): PutResponse {
    const { revision, prevKv } = resultOf(result, "put");
    return { header: this.#access.header(revision), prevKv };
  }

  async deleteRange(request: DeleteRangeRequest, options?: CallOptions): Promise<DeleteRangeResponse> {
    refuse(checkDeleteRange(request));
    const result = await this.#access.propose(command(CommandTag.deleteRange, DeleteRangeRequest, request), {
      ...options,
      urgent: true,
    });
    const { revision, deleted, prevKvs } = resultOf(result, "delete-range");
    return { header: this.#access.header(revision), deleted, prevKvs };
  }

  async txn(request: TxnRequest, options?: CallOptions): Promise<TxnResponse> {
    refuse(checkTxn(request, this.#options.txnOperationsMax, this.#options.latin1));
    if (isReadOnly(request)) return await this.#readTxn(request, options);
    const result = await this.#access.propose(command(CommandTag.txn, TxnRequest, request), options);
    return this.#txnResponse(resultOf(result, "txn"));
  }

  #readTxn(request: TxnRequest, options: CallOptions | undefined): Promise<TxnResponse> {
    const take = (): TxnResponse => this.#txnResponse(this.#access.store.readTxn(request));
    return this.#access.read(isSerializable(request), take, options);
  }

  #txnResponse(result: TxnResult): TxnResponse {
    if (result.type === "error") throw new EtcdError(result.error);
    return { ...result.response, header: this.#access.header(result.revision) };
  }

  /** With `physical`, answers when this node has nothing left to remove. */
  async compact(request: CompactionRequest, options?: CallOptions): Promise<CompactionResponse> {
    const result = await this.#access.propose(command(CommandTag.compact, CompactionRequest, request), {
      ...options,
      urgent: true,
    });
    const { revision } = resultOf(result, "compact");
    if (request.physical && this.#access.store.mvcc.compactionPending) {
      await new Promise<void>((resolve) => {
        this.#compactionWaiters.push(resolve);
        this.driveCompaction();
      });
    }
    return { header: this.#access.header(revision) };
  }

  /** Goes on with physical deletion, a bounded step a turn. */
  driveCompaction(): void {
    if (this.#compactionPlanned || !this.#access.store.mvcc.compactionPending) return;
    this.#compactionPlanned = true;
    this.#access.clock.afterTurn(() => {
      this.#compactionPlanned = false;
      if (this.#access.store.compactStep()) return this.driveCompaction();
      const waiters = this.#compactionWaiters;
      this.#compactionWaiters = [];
      for (const resolve of waiters) resolve();
    });
  }
}

function refuse(code: EtcdErrorCode | undefined): void {
  if (code !== undefined) throw new EtcdError(code);
}

/** True if every read of a read-only transaction allows stale data. */
function isSerializable(request: TxnRequest): boolean {
  const allows = ({ request: op }: RequestOp): boolean =>
    op?.type === "requestRange" ? op.value.serializable : op?.type === "requestTxn" && isSerializable(op.value);
  const ops = [...request.success, ...request.failure];
  return ops.length > 0 && ops.every(allows);
}
