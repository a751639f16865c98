/**
 * Checks transactions that append to lists and read them: because a list tells the order of its appends, so does one long
 * read, and nearly every dependency between transactions is known, not guessed.
 * Source  Kingsbury & Alvaro 2020, "Elle: inferring isolation anomalies from experimental observations", sections 3–6;
 *         Adya 1999, chapter 3.
 *
 * A1. The order of a key's versions is that of the longest read; every other read must be a beginning of it.
 * A2. A transaction of unknown outcome counts as committed exactly if a committed one saw a value of it.
 * A3. A committed append that no read shows comes after all that reads show. Edges to it stand for a path (an overwrite,
 *     then perhaps more of them) that has the same name as the edge.
 */
import { type EdgeKind, EdgeList, RW, WR, WW } from "./dependency-graph.ts";
import type { AppendOp, Transaction, TxnValue } from "./transaction.ts";
import { DirectFinds, judge, type TxnCheckOptions, type TxnVerdict } from "./txn-verdict.ts";
import { NOBODY, Versions } from "./versions.ts";

/** Before every version of a key: the empty list. */
const EMPTY = -1;

/** One read of what others wrote: its own appends are taken off the end. */
interface ExternalRead {
  readonly transaction: number;
  readonly key: string;
  /** The last version it saw, or EMPTY. */
  readonly saw: number;
  /** All that it saw, its own appends included. */
  readonly list: readonly TxnValue[];
}

/** Checks a list-append history in time about linear in its reads. Aborted and unknown transactions' reads are ignored. */
export function checkListAppend(
  transactions: readonly Transaction<AppendOp>[],
  options: TxnCheckOptions = {},
): TxnVerdict {
  return new ListAppendCheck(transactions).run(options);
}

class ListAppendCheck {
  readonly #transactions: readonly Transaction<AppendOp>[];
  readonly #versions = new Versions();
  readonly #direct: DirectFinds;
  readonly #edges = new EdgeList();
  readonly #reads: ExternalRead[] = [];
  readonly #longest = new Map<string, ExternalRead>();
  /** Reads that are no beginning of the longest. */
  readonly #disagrees = new Set<readonly TxnValue[]>();
  /** Of the longest read of a key: where the first value of an aborted transaction stands. */
  readonly #firstAborted = new Map<string, number>();
  /** A1, as versions; each at its first place if a read shows it twice. */
  readonly #orders = new Map<string, readonly number[]>();
  /** The version after each in its key's order. */
  readonly #next = new Map<number, number>();
  /** Committed versions that no read shows, by key. */
  readonly #unseen = new Map<string, number[]>();
  readonly #isSeen = new Set<number>();
  readonly #tookEffect: Uint8Array;

  constructor(transactions: readonly Transaction<AppendOp>[]) {
    this.#transactions = transactions;
    this.#direct = new DirectFinds(transactions);
    this.#tookEffect = new Uint8Array(transactions.length);
  }

  run(options: TxnCheckOptions): TxnVerdict {
    this.#noteWrites();
    for (const [index, { outcome }] of this.#transactions.entries()) {
      if (outcome === "committed") this.#noteReads(index);
    }
    this.#orderKeys();
    this.#findTookEffect();
    this.#findUnseen();
    for (const read of this.#reads) this.#checkRead(read);
    this.#findTornAppends();
    this.#findDirtyUpdates();
    this.#findLostUpdates();
    this.#connectWrites();
    for (const read of this.#reads) this.#connectRead(read);
    return judge(
      {
        transactions: this.#transactions,
        edges: this.#edges,
        isIn: (index) => this.#tookEffect[index] === 1,
        direct: this.#direct,
        why: ({ from, to, kind }, reason) => this.#why(from, to, kind, reason),
      },
      options,
    );
  }

  #noteWrites(): void {
    for (const [index, { operations }] of this.#transactions.entries()) {
      const lastOf = new Map<string, number>();
      for (const operation of operations) {
        if (operation.type !== "append") continue;
        const { key, value } = operation;
        lastOf.set(key, this.#versions.write(index, key, value, lastOf.get(key)));
      }
    }
  }

  /** Splits each read into what others wrote and its own appends, and finds those that contradict their transaction. */
  #noteReads(index: number): void {
    const { operations } = this.#transactions[index] as Transaction<AppendOp>; // the caller's own index
    for (const [at, operation] of operations.entries()) {
      if (operation.type !== "read") continue;
      const { key, list } = operation;
      const own: TxnValue[] = [];
      let before: readonly TxnValue[] | undefined; // what an earlier read makes this one expect
      for (const earlier of operations.slice(0, at)) {
        if (earlier.key !== key) continue;
        if (earlier.type === "read") before = earlier.list;
        else {
          own.push(earlier.value);
          before = before === undefined ? undefined : [...before, earlier.value];
        }
      }
      const others = list.slice(0, Math.max(0, list.length - own.length));
      if (before !== undefined && !isSame(before, list)) {
        this.#direct.add("internal", [index], `T${index} expected ${key} to be ${text(before)} and read ${text(list)}`);
      }
      if (!isSame(own, list.slice(others.length))) {
        if (before === undefined) {
          this.#direct.add("internal", [index], `T${index} had appended ${text(own)} to ${key} and read ${text(list)}`);
        }
        continue; // nothing can be said of which part of it others wrote
      }
      this.#reads.push({ transaction: index, key, saw: this.#versionOf(key, others.at(-1)), list });
    }
  }

  #versionOf(key: string, value: TxnValue | undefined): number {
    return value === undefined ? EMPTY : this.#versions.of(key, value);
  }

  #orderKeys(): void {
    const longest = this.#longest;
    for (const read of this.#reads) {
      if (read.list.length > (longest.get(read.key)?.list.length ?? 0)) longest.set(read.key, read);
    }
    for (const { transaction, key, list } of longest.values()) {
      const ids = list.map((value) => this.#versions.of(key, value));
      const order = [...new Set(ids)];
      this.#orders.set(key, order);
      for (const [i, id] of order.entries()) {
        this.#isSeen.add(id);
        const after = order[i + 1];
        if (after !== undefined) this.#next.set(id, after);
        if (this.#versions.writerOf(id) === NOBODY) {
          const why = `T${transaction} read ${this.#versions.valueOf(id)} in ${key}, which nobody appended`;
          this.#direct.add("garbage-read", [transaction], why);
        }
      }
      if (order.length < ids.length) {
        const twice = list.find((value, i) => list.indexOf(value) < i);
        this.#direct.add("duplicate-elements", [transaction], `T${transaction} read ${twice} twice in ${key}`);
      }
    }
    for (const read of this.#reads) this.#checkBeginning(read, longest.get(read.key));
  }

  /** A1 */
  #checkBeginning({ transaction, key, list }: ExternalRead, longest: ExternalRead | undefined): void {
    if (longest === undefined || isBeginning(list, longest.list)) return;
    this.#disagrees.add(list);
    const why = `T${transaction} read ${key} as ${text(list)}, T${longest.transaction} as ${text(longest.list)}`;
    this.#direct.add("incompatible-order", [transaction, longest.transaction], why);
    for (const value of list) {
      const id = this.#versions.of(key, value);
      this.#isSeen.add(id);
      if (this.#versions.writerOf(id) !== NOBODY) continue;
      this.#direct.add("garbage-read", [transaction], `T${transaction} read ${value} in ${key}, which nobody appended`);
    }
    if (new Set(list).size < list.length) {
      this.#direct.add("duplicate-elements", [transaction], `T${transaction} read a value twice in ${key}`);
    }
  }

  /** A2 */
  #findTookEffect(): void {
    for (const [index, { outcome }] of this.#transactions.entries()) {
      if (outcome === "committed") this.#tookEffect[index] = 1;
    }
    for (const id of this.#isSeen) {
      const writer = this.#versions.writerOf(id);
      if (this.#transactions[writer]?.outcome === "unknown") this.#tookEffect[writer] = 1;
    }
  }

  #isIn(version: number): boolean {
    return this.#tookEffect[this.#versions.writerOf(version)] === 1;
  }

  #isAborted(version: number): boolean {
    return this.#transactions[this.#versions.writerOf(version)]?.outcome === "aborted";
  }

  /** A3 */
  #findUnseen(): void {
    for (let id = 0; id < this.#versions.count; id++) {
      if (this.#isSeen.has(id) || !this.#isIn(id) || !this.#versions.isFinal(id)) continue;
      const key = this.#versions.keyOf(id);
      const unseen = this.#unseen.get(key);
      if (unseen === undefined) this.#unseen.set(key, [id]);
      else unseen.push(id);
    }
  }

  #checkRead({ transaction, key, saw, list }: ExternalRead): void {
    const versions = this.#versions;
    const dirty = list[this.#abortedAt(key, list)];
    if (dirty !== undefined) {
      const writer = versions.writerOf(versions.of(key, dirty));
      const why = `T${transaction} committed and read ${dirty} in ${key}, which T${writer} appended and then aborted`;
      this.#direct.add("G1a", [transaction, writer], why);
    }
    if (saw === EMPTY) return;
    const writer = versions.writerOf(saw);
    if (writer === transaction) {
      const why = `T${transaction} read ${versions.valueOf(saw)} in ${key} before it appended it`;
      this.#direct.add("internal", [transaction], why);
    } else if (writer !== NOBODY && !versions.isFinal(saw)) {
      const why = `T${transaction} read ${key} up to ${versions.valueOf(saw)}, after which T${writer} appended more`;
      this.#direct.add("G1b", [transaction, writer], why);
    }
  }

  /** Where a list shows the first value of an aborted transaction; a place that it does not have: nowhere. */
  #abortedAt(key: string, list: readonly TxnValue[]): number {
    const isDirty = (value: TxnValue): boolean => this.#isAborted(this.#versions.of(key, value));
    if (this.#disagrees.has(list)) return list.findIndex(isDirty);
    const longest = this.#longest.get(key)?.list ?? list;
    let at = this.#firstAborted.get(key);
    if (at === undefined) this.#firstAborted.set(key, (at = longest.findIndex(isDirty)));
    return at;
  }

  /** A transaction's appends to a key stand in its own order, and none is left out before one that is seen. */
  #findTornAppends(): void {
    const versions = this.#versions;
    for (const [key, order] of this.#orders) {
      const placed = new Set<number>();
      for (const id of order) {
        placed.add(id);
        const before = versions.ownBefore(id);
        if (before === undefined || placed.has(before) || !this.#isIn(id)) continue;
        const [first, second, writer] = [versions.valueOf(before), versions.valueOf(id), versions.writerOf(id)];
        const reader = this.#longest.get(key)?.transaction ?? writer;
        const why = `T${writer} appended ${first} to ${key} and then ${second}, T${reader} read ${second} without ${first} before it`;
        this.#direct.add("incompatible-order", [writer, reader], why);
      }
    }
  }

  #findDirtyUpdates(): void {
    for (const [key, order] of this.#orders) {
      let aborted: number | undefined;
      for (const id of order) {
        if (this.#isAborted(id)) aborted ??= id;
        else if (aborted !== undefined && this.#isIn(id)) {
          const [dirty, clean] = [this.#versions.writerOf(aborted), this.#versions.writerOf(id)];
          const [first, second] = [this.#versions.valueOf(aborted), this.#versions.valueOf(id)];
          const why = `T${clean} appended ${second} to ${key} behind ${first} of T${dirty}, which aborted`;
          this.#direct.add("dirty-update", [dirty, clean], why);
          break;
        }
      }
    }
  }

  /** Two that appended to what both had read as the end of the list. */
  #findLostUpdates(): void {
    const updaterOf = new Map<string, number>();
    for (const [index, { outcome, operations }] of this.#transactions.entries()) {
      if (outcome !== "committed") continue;
      const touched = new Set<string>();
      for (const [at, operation] of operations.entries()) {
        if (touched.has(operation.key)) continue;
        touched.add(operation.key);
        const { key } = operation;
        if (operation.type !== "read") continue;
        if (!operations.slice(at).some((later) => later.type === "append" && later.key === key)) continue;
        const place = JSON.stringify([key, operation.list.at(-1) ?? null]);
        const other = updaterOf.get(place);
        updaterOf.set(place, index);
        if (other === undefined) continue;
        const why = `T${other} and T${index} both read ${key} as ${text(operation.list)} and then appended to it`;
        this.#direct.add("lost-update", [other, index], why);
      }
    }
  }

  #connectWrites(): void {
    for (const order of this.#orders.values()) {
      let last: number | undefined;
      for (const id of order) {
        if (!this.#isIn(id)) continue;
        if (last !== undefined) this.#addEdge(last, id);
        last = id;
      }
      const key = order[0] === undefined ? undefined : this.#versions.keyOf(order[0]);
      if (last === undefined || key === undefined) continue;
      for (const id of this.#unseen.get(key) ?? []) this.#addEdge(last, id);
    }
  }

  #addEdge(before: number, after: number): void {
    this.#edges.add(this.#versions.writerOf(before), this.#versions.writerOf(after), WW, before, after);
  }

  #connectRead({ transaction, key, saw }: ExternalRead): void {
    const versions = this.#versions;
    if (saw !== EMPTY && this.#isIn(saw)) this.#edges.add(versions.writerOf(saw), transaction, WR, saw, saw);
    const order = this.#orders.get(key);
    let next = saw === EMPTY ? order?.[0] : this.#next.get(saw);
    const isPlaced = saw === EMPTY || next !== undefined || order?.at(-1) === saw; // else nobody knows what follows it
    while (next !== undefined && !this.#isIn(next)) next = this.#next.get(next);
    if (next !== undefined) {
      this.#edges.add(transaction, versions.writerOf(next), RW, saw, next);
    } else if (isPlaced) {
      for (const id of this.#unseen.get(key) ?? []) this.#edges.add(transaction, versions.writerOf(id), RW, saw, id);
    }
  }

  #why(from: number, to: number, kind: EdgeKind, reason: { readonly before: number; readonly after: number }): string {
    const versions = this.#versions;
    const key = versions.keyOf(reason.after);
    const before = reason.before === EMPTY ? "empty" : `${versions.valueOf(reason.before)}`;
    const after = versions.valueOf(reason.after);
    if (kind === WW) return `in ${key}, ${after} of T${to} stands behind ${before} of T${from}`;
    if (kind === WR) return `T${to} saw ${key} up to ${after}, which T${from} appended`;
    const seen = reason.before === EMPTY ? `${key} empty` : `${key} up to ${before}`;
    return `T${from} saw ${seen}, without the ${after} that T${to} appended`;
  }
}

function isSame(a: readonly TxnValue[], b: readonly TxnValue[]): boolean {
  return a.length === b.length && isBeginning(a, b);
}

function isBeginning(part: readonly TxnValue[], whole: readonly TxnValue[]): boolean {
  for (let i = 0; i < part.length; i++) if (part[i] !== whole[i]) return false;
  return part.length <= whole.length;
}

/** A list for a message: long ones by their end. */
function text(list: readonly TxnValue[]): string {
  return list.length <= 8 ? `[${list.join(", ")}]` : `[… ${list.slice(-8).join(", ")}]`;
}
