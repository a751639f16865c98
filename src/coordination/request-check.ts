/**
 * What is wrong with a request by itself, without looking at any state: checked before it is proposed or read. Source: etcd
 * 3.4's request checks, in their order, so that a request with two faults is refused for the same one.
 */
import type { EtcdErrorCode } from "./etcd-error.ts";
import type { DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest } from "./messages.ts";

type Check = EtcdErrorCode | undefined;
type Name = (bytes: Uint8Array) => string;

export function checkRange(request: RangeRequest): Check {
  return request.key.length === 0 ? "EMPTY_KEY" : undefined;
}

export function checkPut(request: PutRequest): Check {
  if (request.key.length === 0) return "EMPTY_KEY";
  if (request.ignoreValue && request.value.length > 0) return "VALUE_PROVIDED";
  if (request.ignoreLease && request.lease !== 0n) return "LEASE_PROVIDED";
  return undefined;
}

export function checkDeleteRange(request: DeleteRangeRequest): Check {
  return request.key.length === 0 ? "EMPTY_KEY" : undefined;
}

/** `latin1` makes comparable names of keys. */
export function checkTxn(request: TxnRequest, operationsMax: number, latin1: Name): Check {
  return checkOperations(request, operationsMax) ?? checkKeys(request, latin1);
}

/** The limit is on the longest of the three lists; what is nested shares what it leaves. */
function checkOperations(request: TxnRequest, operationsMax: number): Check {
  const count = Math.max(request.compare.length, request.success.length, request.failure.length);
  if (count > operationsMax) return "TOO_MANY_OPS";
  if (request.compare.some((compare) => compare.key.length === 0)) return "EMPTY_KEY";
  for (const op of [...request.success, ...request.failure]) {
    const error = checkOperation(op, operationsMax - count);
    if (error !== undefined) return error;
  }
  return undefined;
}

function checkOperation({ request }: RequestOp, operationsLeft: number): Check {
  switch (request?.type) {
    case "requestRange":
      return checkRange(request.value);
    case "requestPut":
      return checkPut(request.value);
    case "requestDeleteRange":
      return checkDeleteRange(request.value);
    case "requestTxn":
      return checkOperations(request.value, operationsLeft);
    case undefined:
      return "KEY_NOT_FOUND"; // etcd's answer to an operation that is none
  }
}

interface Span {
  readonly from: string;
  readonly to: string;
}

interface Writes {
  readonly puts: Set<string>;
  readonly deletes: Span[];
}

/** A key may be put once in a transaction, and not be put and deleted. */
function checkKeys(request: TxnRequest, latin1: Name): Check {
  for (const branch of [request.success, request.failure]) {
    if (writesOf(branch, latin1) === "DUPLICATE_KEY") return "DUPLICATE_KEY";
  }
  return undefined;
}

/** Everything a branch may write, whichever way its nested transactions go. */
function writesOf(branch: readonly RequestOp[], latin1: Name): Writes | "DUPLICATE_KEY" {
  const writes: Writes = { puts: new Set(), deletes: [] };
  for (const { request } of branch) {
    if (request?.type === "requestDeleteRange") writes.deletes.push(spanOf(request.value, latin1));
  }
  for (const { request } of branch) {
    if (request?.type === "requestTxn" && !addNested(writes, request.value, latin1)) return "DUPLICATE_KEY";
  }
  for (const { request } of branch) {
    if (request?.type !== "requestPut") continue;
    const name = latin1(request.value.key);
    if (writes.puts.has(name) || isDeleted(writes, name)) return "DUPLICATE_KEY";
    writes.puts.add(name);
  }
  return writes;
}

/** False if the nested transaction writes what is written already. Its two branches exclude each other. */
function addNested(writes: Writes, nested: TxnRequest, latin1: Name): boolean {
  const success = writesOf(nested.success, latin1);
  const failure = writesOf(nested.failure, latin1);
  if (success === "DUPLICATE_KEY" || failure === "DUPLICATE_KEY") return false;
  for (const name of success.puts) {
    if (writes.puts.has(name) || isDeleted(writes, name)) return false;
    writes.puts.add(name);
  }
  for (const name of failure.puts) {
    if ((writes.puts.has(name) && !success.puts.has(name)) || isDeleted(writes, name)) return false;
    writes.puts.add(name);
  }
  writes.deletes.push(...success.deletes, ...failure.deletes);
  return true;
}

function isDeleted(writes: Writes, name: string): boolean {
  return writes.deletes.some(({ from, to }) => from <= name && name < to);
}

/** An end of one zero byte, "everything from the key on", covers nothing here: etcd lets such a deletion stand beside puts. */
function spanOf(request: DeleteRangeRequest, latin1: Name): Span {
  const from = latin1(request.key);
  return request.rangeEnd.length === 0 ? { from, to: `${from}\0` } : { from, to: latin1(request.rangeEnd) };
}
