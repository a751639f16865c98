/**
 * Transactions: compare, then one of two lists of operations, under one main revision. Source: etcd 3.4's protocol and
 * behaviour.
 *
 * - All comparisons, nested ones too, look at the state before the transaction.
 * - What could fail is checked before anything is written: a transaction happens as a whole or fails as a whole.
 * - A read behind a write of the same transaction sees it.
 */
import { assert } from "../base/assert.ts";
import { compareBytes, EMPTY_BYTES } from "../base/bytes.ts";
import type { EtcdErrorCode } from "./etcd-error.ts";
import type { KeyEntry } from "./key-index.ts";
import type { LeaseTable } from "./lease-table.ts";
import {
  type Compare,
  CompareResult,
  CompareTarget,
  type RequestOp,
  type ResponseHeader,
  type ResponseOp,
  type TxnRequest,
  type TxnResponse,
} from "./messages.ts";
import type { Mvcc } from "./mvcc.ts";
import { range } from "./range.ts";

export type TxnResult =
  | { readonly type: "txn"; readonly revision: number; readonly response: TxnResponse }
  | { readonly type: "error"; readonly error: EtcdErrorCode };

/** True if neither branch writes, at any depth: such a transaction needs no log entry. */
export function isReadOnly(request: TxnRequest): boolean {
  const reads = (op: RequestOp): boolean =>
    op.request === undefined ||
    op.request.type === "requestRange" ||
    (op.request.type === "requestTxn" && isReadOnly(op.request.value));
  return request.success.every(reads) && request.failure.every(reads);
}

/** True if a branch puts, at any depth: what a full disk refuses. */
export function hasPut(request: TxnRequest): boolean {
  const puts = (op: RequestOp): boolean =>
    op.request?.type === "requestPut" || (op.request?.type === "requestTxn" && hasPut(op.request.value));
  return request.success.some(puts) || request.failure.some(puts);
}

/** The branches that the comparisons choose: of the transaction, and of each nested one in the chosen branch. */
interface Choice {
  readonly succeeded: boolean;
  readonly ops: readonly RequestOp[];
  /** By position in `ops`; only nested transactions have one. */
  readonly nested: ReadonlyMap<number, Choice>;
}

/** Carries out a transaction. `leases` answers whether a lease exists. */
export function executeTxn(mvcc: Mvcc, leases: LeaseTable, request: TxnRequest): TxnResult {
  const choice = choose(mvcc, request);
  const error = checkOps(mvcc, leases, choice);
  if (error !== undefined) return { type: "error", error };
  mvcc.begin();
  const response = run(mvcc, choice);
  const revision = mvcc.commit();
  return { type: "txn", revision, response };
}

/** The same for a transaction that `isReadOnly`: it may run on any replica that is fresh enough. */
export function readTxn(mvcc: Mvcc, request: TxnRequest): TxnResult {
  const choice = choose(mvcc, request);
  const error = checkReads(mvcc, choice);
  if (error !== undefined) return { type: "error", error };
  return { type: "txn", revision: mvcc.revision, response: run(mvcc, choice) };
}

function choose(mvcc: Mvcc, request: TxnRequest): Choice {
  const succeeded = request.compare.every((compare) => holds(mvcc, compare));
  const ops = succeeded ? request.success : request.failure;
  const nested = new Map<number, Choice>();
  for (const [i, op] of ops.entries()) {
    if (op.request?.type === "requestTxn") nested.set(i, choose(mvcc, op.request.value));
  }
  return { succeeded, ops, nested };
}

function holds(mvcc: Mvcc, compare: Compare): boolean {
  const entries = mvcc.live(mvcc.keyRange(compare.key, compare.rangeEnd));
  if (entries.length > 0) return entries.every((entry) => related(compare, orderOf(mvcc, compare, entry)));
  // An absent key has version and revisions 0, but no value: a comparison of values fails.
  return compare.target !== CompareTarget.VALUE && related(compare, orderOf(mvcc, compare, undefined));
}

function related(compare: Compare, order: number): boolean {
  switch (compare.result) {
    case CompareResult.EQUAL:
      return order === 0;
    case CompareResult.GREATER:
      return order > 0;
    case CompareResult.LESS:
      return order < 0;
    case CompareResult.NOT_EQUAL:
      return order !== 0;
    default:
      return true; // as etcd treats relations that it does not know
  }
}

/** Negative, 0 or positive as the key's attribute is less than, equal to or greater than the operand (default 0). */
function orderOf(mvcc: Mvcc, compare: Compare, entry: KeyEntry | undefined): number {
  const operand = compare.targetUnion;
  switch (compare.target) {
    case CompareTarget.VERSION:
      return (entry?.version ?? 0) - (operand?.type === "version" ? operand.value : 0);
    case CompareTarget.CREATE:
      return (entry?.createRevision ?? 0) - (operand?.type === "createRevision" ? operand.value : 0);
    case CompareTarget.MOD:
      return (entry?.main ?? 0) - (operand?.type === "modRevision" ? operand.value : 0);
    case CompareTarget.VALUE: {
      const value = entry === undefined ? EMPTY_BYTES : mvcc.newest(entry).value;
      return compareBytes(value, operand?.type === "value" ? operand.value : EMPTY_BYTES);
    }
    case CompareTarget.LEASE: {
      const held = entry?.lease ?? 0n;
      const wanted = operand?.type === "lease" ? operand.value : 0n;
      return held < wanted ? -1 : held > wanted ? 1 : 0;
    }
    default:
      return 0;
  }
}

/** Puts first, then reads: when both would fail, etcd reports the put. */
function checkOps(mvcc: Mvcc, leases: LeaseTable, choice: Choice): EtcdErrorCode | undefined {
  return checkPuts(mvcc, leases, choice) ?? checkReads(mvcc, choice);
}

function checkPuts(mvcc: Mvcc, leases: LeaseTable, choice: Choice): EtcdErrorCode | undefined {
  for (const [i, op] of choice.ops.entries()) {
    const nested = choice.nested.get(i);
    if (nested !== undefined) {
      const error = checkPuts(mvcc, leases, nested);
      if (error !== undefined) return error;
    }
    if (op.request?.type !== "requestPut") continue;
    const put = op.request.value;
    if (put.ignoreValue || put.ignoreLease) {
      const { count } = mvcc.select(mvcc.keyRange(put.key, EMPTY_BYTES), 0, 0, { countOnly: true });
      if (count === 0) return "KEY_NOT_FOUND";
    }
    if (put.lease !== 0n && leases.get(put.lease) === undefined) return "LEASE_NOT_FOUND";
  }
  return undefined;
}

function checkReads(mvcc: Mvcc, choice: Choice): EtcdErrorCode | undefined {
  for (const [i, op] of choice.ops.entries()) {
    const nested = choice.nested.get(i);
    if (nested !== undefined) {
      const error = checkReads(mvcc, nested);
      if (error !== undefined) return error;
    }
    if (op.request?.type !== "requestRange" || op.request.value.revision === 0) continue;
    const { revision } = op.request.value;
    if (revision > mvcc.revision) return "FUTURE_REVISION";
    if (revision < mvcc.compactRevision) return "COMPACTED";
  }
  return undefined;
}

/** Headers inside a transaction carry the revision only; that of a nested transaction not even that. */
function header(revision: number): ResponseHeader {
  return { clusterId: 0n, memberId: 0n, revision, raftTerm: 0 };
}

function run(mvcc: Mvcc, choice: Choice): TxnResponse {
  const responses: ResponseOp[] = [];
  for (const [i, op] of choice.ops.entries()) {
    responses.push({ response: runOp(mvcc, op, choice.nested.get(i)) });
  }
  return { header: header(0), succeeded: choice.succeeded, responses };
}

function runOp(mvcc: Mvcc, op: RequestOp, nested: Choice | undefined): ResponseOp["response"] {
  switch (op.request?.type) {
    case undefined:
      return undefined;
    case "requestRange": {
      const result = range(mvcc, op.request.value);
      assert(result.type === "range", "reads of a transaction were checked before", { result });
      const { revision, kvs, more, count } = result;
      return { type: "responseRange", value: { header: header(revision), kvs, more, count } };
    }
    case "requestPut": {
      const put = op.request.value;
      const wantsPrevious = put.prevKv || put.ignoreValue || put.ignoreLease;
      const keys = mvcc.keyRange(put.key, EMPTY_BYTES);
      const previous = wantsPrevious ? mvcc.select(keys, 0, 0, { countOnly: false }).kvs[0] : undefined;
      const value = put.ignoreValue ? (previous?.value ?? EMPTY_BYTES) : put.value;
      mvcc.put(put.key, value, put.ignoreLease ? (previous?.lease ?? 0n) : put.lease);
      const prevKv = put.prevKv ? previous : undefined;
      return { type: "responsePut", value: { header: header(mvcc.readRevision), prevKv } };
    }
    case "requestDeleteRange": {
      const request = op.request.value;
      const keys = mvcc.keyRange(request.key, request.rangeEnd);
      const prevKvs = request.prevKv ? mvcc.select(keys, 0, 0, { countOnly: false }).kvs : [];
      const deleted = mvcc.deleteRange(keys);
      return { type: "responseDeleteRange", value: { header: header(mvcc.readRevision), deleted, prevKvs } };
    }
    case "requestTxn":
      return nested === undefined ? undefined : { type: "responseTxn", value: run(mvcc, nested) };
  }
}
