/**
 * Makes a breach of linearizability small enough to read: the earliest moment at which it shows, and the few operations
 * that cannot be ordered.
 *
 * V1. To relax an operation (its answer and its end are forgotten) or to drop one that changed nothing only takes demands
 *     away: what still has no order then had none before.
 * V2. So the core is a proof by itself: whenever the other changes took effect, if at all, those of the core have no order.
 */
import type { Operation } from "./history.ts";

/** What a check of some operations found, and what it cost. */
export interface Probe<Input, Output> {
  readonly type: "ok" | "violation" | "unknown";
  /** For `ok`: an order. For others: the longest that was found. */
  readonly order: readonly Operation<Input, Output>[];
}

export interface Breach<Input, Output> {
  /** An order of what took effect before `stuck` was answered. */
  readonly order: readonly Operation<Input, Output>[];
  /** With the end of this operation the history has no order any more. */
  readonly stuck: Operation<Input, Output>;
  /** The operations that cannot be ordered, whenever other changes took effect; ordered by their call. */
  readonly core: readonly Operation<Input, Output>[];
}

export interface Shrink<Input, Output> {
  readonly operations: readonly Operation<Input, Output>[];
  /** Where the search got stuck, if all else takes too long. */
  readonly found: { readonly order: readonly Operation<Input, Output>[]; readonly stuck: Operation<Input, Output> };
  /** Operations known to have no order by themselves. */
  readonly core: readonly Operation<Input, Output>[] | undefined;
  readonly check: (operations: readonly Operation<Input, Output>[]) => Probe<Input, Output>;
  readonly isRead: (operation: Operation<Input, Output>) => boolean;
  /** True: stop making it smaller, what is there is proof enough. */
  readonly isOver: () => boolean;
}

/** Finds the shortest prefix that has no order, then the smallest core in it, as far as time allows. */
export function shrinkViolation<Input, Output>(shrink: Shrink<Input, Output>): Breach<Input, Output> {
  const { stuck, order } = shortestPrefix(shrink);
  const inPrefix = (o: Operation<Input, Output>): boolean => o.call < stuck.end && o.end <= stuck.end;
  if (shrink.core?.every(inPrefix) === true) return { order, stuck, core: shrink.core };
  return { order, stuck, core: smallestCore(shrink, until(shrink.operations, stuck.end), stuck) };
}

/** What was known at a moment: calls after it have not happened, answers after it have not been given. */
function until<Input, Output>(
  operations: readonly Operation<Input, Output>[],
  moment: number,
): readonly Operation<Input, Output>[] {
  return operations.filter((o) => o.call < moment).map((o) => (o.end <= moment ? o : relaxed(o)));
}

function relaxed<Input, Output>(operation: Operation<Input, Output>): Operation<Input, Output> {
  return { ...operation, end: Number.POSITIVE_INFINITY, output: undefined };
}

/** Bisects the ends: a history that has an order has one for each of its prefixes. */
function shortestPrefix<Input, Output>({
  operations,
  found,
  core,
  check,
  isOver,
}: Shrink<Input, Output>): Breach<Input, Output> {
  const ends = operations.filter((o) => o.end !== Number.POSITIVE_INFINITY).sort((a, b) => a.end - b.end);
  const coreEnd = core === undefined ? undefined : Math.max(...core.map((o) => o.end));
  const last = coreEnd === undefined ? ends.length - 1 : ends.findIndex((o) => o.end === coreEnd);
  let low = 0; // all before it have an order
  let high = last; // the prefix up to and with this one has none
  let order: readonly Operation<Input, Output>[] | undefined;
  let at = core === undefined ? high : high - 1; // a core names its own moment: look just before it first
  while (low < high && !isOver()) {
    const operation = ends[at];
    if (operation === undefined) break;
    const probe = check(until(operations, operation.end));
    if (probe.type === "unknown") break;
    if (probe.type === "violation") {
      high = Math.min(at, high);
    } else {
      low = at + 1;
      order = probe.order;
    }
    at = (low + high) >>> 1;
  }
  const stuck = ends[high];
  if (stuck === undefined || (low < high && core === undefined && high === last)) return { ...found, core: [] };
  return { order: order ?? [], stuck, core: [] };
}

/** Relaxes whole stretches of operations, then ever shorter ones, as long as no order appears (Zeller 2002, ddmin). */
function smallestCore<Input, Output>(
  { check, isRead, isOver }: Shrink<Input, Output>,
  prefix: readonly Operation<Input, Output>[],
  stuck: Operation<Input, Output>,
): readonly Operation<Input, Output>[] {
  const isFree = (o: Operation<Input, Output>): boolean => o.end === Number.POSITIVE_INFINITY;
  let history = prefix;
  for (let size = Math.ceil(prefix.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < prefix.length; from += size) {
      if (isOver()) break;
      const stretch = new Set<number>();
      for (const o of prefix.slice(from, from + size)) if (o.call !== stuck.call) stretch.add(o.call);
      if (!history.some((o) => stretch.has(o.call) && !isFree(o))) continue;
      const weaker = history.flatMap((o) => (!stretch.has(o.call) || isFree(o) ? [o] : isRead(o) ? [] : [relaxed(o)]));
      if (check(weaker).type === "violation") history = weaker;
    }
  }
  return history.filter((o) => !isFree(o)).sort((a, b) => a.call - b.call);
}
