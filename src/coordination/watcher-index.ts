/**
 * Which watchers want a key: one map for those of a single key, an interval tree for those of a range. Watchers of the same
 * range share one interval, so that ten thousand clients of one prefix cost the lookup of one.
 */
import { type Interval, IntervalTree } from "./interval-tree.ts";
import type { KeyRange } from "./mvcc.ts";

interface Span<W> extends Interval {
  readonly watchers: Set<W>;
}

export class WatcherIndex<W extends { readonly keys: KeyRange }> {
  readonly #all = new Set<W>();
  readonly #exact = new Map<string, Set<W>>();
  readonly #spans = new Map<string, Span<W>>();
  readonly #tree = new IntervalTree<Span<W>>();

  get size(): number {
    return this.#all.size;
  }

  [Symbol.iterator](): IterableIterator<W> {
    return this.#all.values();
  }

  has(watcher: W): boolean {
    return this.#all.has(watcher);
  }

  add(watcher: W): void {
    this.#all.add(watcher);
    const { keys } = watcher;
    if (keys.type === "one") {
      const set = this.#exact.get(keys.name);
      if (set === undefined) this.#exact.set(keys.name, new Set([watcher]));
      else set.add(watcher);
      return;
    }
    const name = spanName(keys);
    const span = this.#spans.get(name);
    if (span !== undefined) {
      span.watchers.add(watcher);
      return;
    }
    const fresh: Span<W> = { from: keys.from, to: keys.to, watchers: new Set([watcher]) };
    this.#spans.set(name, fresh);
    this.#tree.add(fresh);
  }

  /** False if it was not there. */
  delete(watcher: W): boolean {
    if (!this.#all.delete(watcher)) return false;
    const { keys } = watcher;
    if (keys.type === "one") {
      const set = this.#exact.get(keys.name);
      set?.delete(watcher);
      if (set?.size === 0) this.#exact.delete(keys.name);
      return true;
    }
    const span = this.#spans.get(spanName(keys));
    span?.watchers.delete(watcher);
    if (span?.watchers.size !== 0) return true;
    this.#spans.delete(spanName(keys));
    this.#tree.remove(span);
    return true;
  }

  /** Calls `visit` for each watcher of the key. */
  match(name: string, visit: (watcher: W) => void): void {
    const set = this.#exact.get(name);
    if (set !== undefined) for (const watcher of set) visit(watcher);
    if (this.#tree.size === 0) return;
    this.#tree.visit(name, (span) => {
      for (const watcher of span.watchers) visit(watcher);
    });
  }
}

/** The length first: no two spans have one name, whatever bytes their keys hold. */
function spanName(span: Interval): string {
  return `${span.from.length}:${span.from}${span.to ?? ""}`;
}
