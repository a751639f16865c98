/** Range requests: selection, filters, order and limit, in the sequence in which etcd applies them. */
import { compareBytes, EMPTY_BYTES } from "../base/bytes.ts";
import type { EtcdErrorCode } from "./etcd-error.ts";
import { type KeyValue, type RangeRequest, SortOrder, SortTarget } from "./messages.ts";
import type { Mvcc } from "./mvcc.ts";

export type RangeResult =
  | {
      readonly type: "range";
      /** The store's revision, not the one asked for. */
      readonly revision: number;
      readonly kvs: readonly KeyValue[];
      readonly more: boolean;
      readonly count: number;
    }
  | { readonly type: "error"; readonly error: EtcdErrorCode };

/** `count` counts all keys of the range, whatever the filters and the limit leave of them: so etcd does it. */
export function range(mvcc: Mvcc, request: RangeRequest): RangeResult {
  const refusal = mvcc.refusal(request.revision);
  if (refusal !== undefined) return { type: "error", error: refusal };
  const keys = mvcc.keyRange(request.key, request.rangeEnd);
  const filtered =
    request.minModRevision !== 0 ||
    request.maxModRevision !== 0 ||
    request.minCreateRevision !== 0 ||
    request.maxCreateRevision !== 0;
  // One more than asked for tells whether there is more. An explicit order or a filter needs all of them first.
  const early = request.sortOrder === SortOrder.NONE && !filtered;
  const limit = early && request.limit > 0 ? request.limit + 1 : 0;
  const selection = mvcc.select(keys, request.revision, limit, { countOnly: request.countOnly });
  let kvs = filtered ? selection.kvs.filter((kv) => passes(kv, request)) : selection.kvs;
  const compare = comparator(request);
  if (compare !== undefined) kvs.sort(compare);
  const more = request.limit > 0 && kvs.length > request.limit;
  if (more) kvs = kvs.slice(0, request.limit);
  if (request.keysOnly) kvs = kvs.map((kv) => ({ ...kv, value: EMPTY_BYTES }));
  return { type: "range", revision: mvcc.readRevision, kvs, more, count: selection.count };
}

function passes(kv: KeyValue, request: RangeRequest): boolean {
  if (request.maxModRevision !== 0 && kv.modRevision > request.maxModRevision) return false;
  if (request.minModRevision !== 0 && kv.modRevision < request.minModRevision) return false;
  if (request.maxCreateRevision !== 0 && kv.createRevision > request.maxCreateRevision) return false;
  return request.minCreateRevision === 0 || kv.createRevision >= request.minCreateRevision;
}

function comparator(request: RangeRequest): ((a: KeyValue, b: KeyValue) => number) | undefined {
  // Keys come in ascending order; another target without an order means ascending.
  const { sortOrder, sortTarget } = request;
  if (sortOrder === SortOrder.NONE && sortTarget === SortTarget.KEY) return undefined;
  const sign = sortOrder === SortOrder.DESCEND ? -1 : 1;
  switch (sortTarget) {
    case SortTarget.KEY:
      return sign === 1 ? undefined : (a, b) => compareBytes(b.key, a.key);
    case SortTarget.VERSION:
      return (a, b) => sign * (a.version - b.version);
    case SortTarget.CREATE:
      return (a, b) => sign * (a.createRevision - b.createRevision);
    case SortTarget.MOD:
      return (a, b) => sign * (a.modRevision - b.modRevision);
    case SortTarget.VALUE:
      return (a, b) => sign * compareBytes(a.value, b.value);
    default:
      return undefined; // an order that this protocol does not know
  }
}
