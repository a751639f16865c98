/**
 * Which of many intervals contain a point: a treap (Seidel & Aragon 1996) ordered by the intervals' beginnings, each node
 * knowing the farthest end below it (Cormen et al., section 14.3). Points and ends are strings in their natural order.
 *
 * Costs, n intervals: add and remove O(log n) expected; visit O(log n + hits · log n) at worst.
 * The priorities come from a fixed seed: the same calls build the same tree on every node.
 */
import { assert } from "../base/assert.ts";
import { Prng } from "../base/prng.ts";

/** from ≤ point < to; `to` undefined: no end. */
export interface Interval {
  readonly from: string;
  readonly to: string | undefined;
}

interface Node<T extends Interval> {
  readonly item: T;
  readonly priority: number;
  left: Node<T> | undefined;
  right: Node<T> | undefined;
  /** The farthest end in this subtree; undefined: no end. */
  reach: string | undefined;
}

export class IntervalTree<T extends Interval> {
  #root: Node<T> | undefined;
  #size = 0;
  readonly #random = new Prng(1);

  get size(): number {
    return this.#size;
  }

  /** Adds an interval that is not in the tree: no two have both ends in common. */
  add(item: T): void {
    const { before, after } = split(this.#root, item);
    assert(!holds(after, item), "an interval is added once", { from: item.from, to: item.to });
    const node: Node<T> = {
      item,
      priority: this.#random.u32(),
      left: undefined,
      right: undefined,
      reach: item.to,
    };
    this.#root = merge(merge(before, node), after);
    this.#size++;
  }

  /** Removes an interval that is in the tree. */
  remove(item: T): void {
    const root = removeFrom(this.#root, item);
    assert(root !== "missing", "an interval that is removed is there", { from: item.from, to: item.to });
    this.#root = root;
    this.#size--;
  }

  /** Calls `visit` for each interval that contains `point`, in order. */
  visit(point: string, visit: (item: T) => void): void {
    visitFrom(this.#root, point, visit);
  }
}

/** By beginning, then by end; no end comes last. */
function order(a: Interval, b: Interval): number {
  if (a.from !== b.from) return a.from < b.from ? -1 : 1;
  if (a.to === b.to) return 0;
  return b.to === undefined || (a.to !== undefined && a.to < b.to) ? -1 : 1;
}

function farther(a: string | undefined, b: string | undefined): string | undefined {
  return a === undefined || b === undefined ? undefined : a < b ? b : a;
}

function update<T extends Interval>(node: Node<T>): Node<T> {
  let reach = node.item.to;
  if (node.left !== undefined) reach = farther(reach, node.left.reach);
  if (node.right !== undefined) reach = farther(reach, node.right.reach);
  node.reach = reach;
  return node;
}

/** Nodes ordered before `item`, and the others. */
function split<T extends Interval>(
  node: Node<T> | undefined,
  item: Interval,
): { readonly before: Node<T> | undefined; readonly after: Node<T> | undefined } {
  if (node === undefined) return { before: undefined, after: undefined };
  if (order(node.item, item) < 0) {
    const { before, after } = split(node.right, item);
    node.right = before;
    return { before: update(node), after };
  }
  const { before, after } = split(node.left, item);
  node.left = after;
  return { before, after: update(node) };
}

/** All of `before` is ordered before all of `after`. */
function merge<T extends Interval>(before: Node<T> | undefined, after: Node<T> | undefined): Node<T> | undefined {
  if (before === undefined) return after;
  if (after === undefined) return before;
  if (before.priority >= after.priority) {
    before.right = merge(before.right, after);
    return update(before);
  }
  after.left = merge(before, after.left);
  return update(after);
}

function holds<T extends Interval>(node: Node<T> | undefined, item: Interval): boolean {
  for (let at = node; at !== undefined; ) {
    const difference = order(item, at.item);
    if (difference === 0) return true;
    at = difference < 0 ? at.left : at.right;
  }
  return false;
}

function removeFrom<T extends Interval>(node: Node<T> | undefined, item: Interval): Node<T> | undefined | "missing" {
  if (node === undefined) return "missing";
  const difference = order(item, node.item);
  if (difference === 0) return merge(node.left, node.right);
  const rest = removeFrom(difference < 0 ? node.left : node.right, item);
  if (rest === "missing") return rest;
  if (difference < 0) node.left = rest;
  else node.right = rest;
  return update(node);
}

function visitFrom<T extends Interval>(node: Node<T> | undefined, point: string, visit: (item: T) => void): void {
  if (node === undefined || (node.reach !== undefined && node.reach <= point)) return; // nothing here reaches that far
  visitFrom(node.left, point, visit);
  if (node.item.from > point) return; // and what stands to the right begins later still
  if (node.item.to === undefined || node.item.to > point) visit(node.item);
  visitFrom(node.right, point, visit);
}
