/**
 * Which transactions come before which by the clock: each client's own order, and real time.
 * Source  Papadimitriou 1979 (strictness); Kingsbury & Alvaro 2020, section 5.1 (only the edges that no others imply).
 *
 * A transaction whose end nobody saw comes before nothing; it may come after others.
 */
import type { Transaction } from "./transaction.ts";

/**
 * Calls `add(a, b)` for each pair such that `a` ended before `b` began and no third transaction lies wholly between them.
 * Indexes are those of `transactions`; only those for which `isIn` holds take part. At most n × (most at a time) calls.
 */
export function eachRealTimePair(
  transactions: readonly Transaction<unknown>[],
  isIn: (index: number) => boolean,
  add: (before: number, after: number) => void,
): void {
  const points: { readonly at: number; readonly index: number; readonly isEnd: boolean }[] = [];
  for (const [index, { begin, end }] of transactions.entries()) {
    if (!isIn(index)) continue;
    points.push({ at: begin, index, isEnd: false });
    if (end !== Number.POSITIVE_INFINITY) points.push({ at: end, index, isEnd: true });
  }
  // Of one moment, beginnings first: what touches is concurrent.
  points.sort((a, b) => (a.at === b.at ? Number(a.isEnd) - Number(b.isEnd) : a.at - b.at));
  let ended: number[] = []; // not yet followed by a transaction that has itself ended
  for (const { index, isEnd } of points) {
    if (!isEnd) {
      for (const before of ended) add(before, index);
      continue;
    }
    const begin = transactions[index]?.begin ?? 0;
    ended = ended.filter((before) => (transactions[before]?.end ?? 0) >= begin);
    ended.push(index);
  }
}

/** Calls `add(a, b)` for each two transactions in a row of one client, if both took effect. */
export function eachSessionPair(
  transactions: readonly Transaction<unknown>[],
  isIn: (index: number) => boolean,
  add: (before: number, after: number) => void,
): void {
  const lastOf = new Map<number, number>();
  const byBegin = [...transactions.keys()].filter(isIn);
  byBegin.sort((a, b) => (transactions[a]?.begin ?? 0) - (transactions[b]?.begin ?? 0));
  for (const index of byBegin) {
    const transaction = transactions[index];
    if (transaction === undefined) continue;
    const before = lastOf.get(transaction.process);
    if (before !== undefined && (transactions[before]?.end ?? 0) < transaction.begin) add(before, index);
    if (transaction.outcome === "committed") lastOf.set(transaction.process, index);
  }
}
