/**
 * Checks transactions that read and write single values, each written once. Unlike a list, a value does not tell what stood
 * there before it, so the order of versions comes only from sources that the caller vouches for.
 * Source  Kingsbury & Alvaro 2020, section 5 (registers: what can be inferred from which assumption); Adya 1999, chapter 3.
 *
 * R1. A version order is never guessed: without a source two versions stay unordered, and an anomaly that needs their
 *     order is not seen. What is reported is real, if the sources hold; what is not found may still exist.
 * R2. An edge from a version to one that follows, but perhaps not at once, stands for a path of overwrites; a cycle through
 *     it has the same name.
 */
import { EdgeList, RW, strongComponents, WR, WW } from "./dependency-graph.ts";
import { eachRealTimePair } from "./time-order.ts";
import type { RegisterOp, Transaction, TxnValue } from "./transaction.ts";
import { DirectFinds, judge, type TxnCheckOptions, type TxnVerdict } from "./txn-verdict.ts";
import { NOBODY, Versions } from "./versions.ts";

/** Before every version of a key: it does not exist. */
const NOTHING = -1;

/**
 * Where the order of versions may be taken from. That nothing stood there before the first write, and that a transaction's
 * own writes are in its order, always holds.
 */
export interface VersionSources {
  /** A transaction that read a version and then wrote the key overwrote that version or a later one. Default true. */
  readonly writesFollowReads?: boolean;
  /** Each client by itself sees and makes the versions of a key in their order. Default false. */
  readonly sequentialKeys?: boolean;
  /** Each key by itself is linearizable: versions follow real time. Default false. */
  readonly linearizableKeys?: boolean;
}

interface ExternalRead {
  readonly transaction: number;
  readonly key: string;
  readonly saw: number;
}

/** First and last of the versions of one key with which one transaction had to do. */
interface Span {
  readonly transaction: number;
  readonly first: number;
  readonly last: number;
}

/** Checks an rw-register history. Aborted and unknown transactions' reads are ignored. */
export function checkRwRegister(
  transactions: readonly Transaction<RegisterOp>[],
  options: TxnCheckOptions & { readonly sources?: VersionSources } = {},
): TxnVerdict {
  return new RwRegisterCheck(transactions, options.sources ?? {}).run(options);
}

class RwRegisterCheck {
  readonly #transactions: readonly Transaction<RegisterOp>[];
  readonly #sources: VersionSources;
  readonly #versions = new Versions();
  readonly #direct: DirectFinds;
  readonly #edges = new EdgeList();
  readonly #reads: ExternalRead[] = [];
  readonly #spans = new Map<string, Span[]>();
  /** By version: those known to follow it. */
  readonly #after = new Map<number, Set<number>>();
  readonly #tookEffect: Uint8Array;

  constructor(transactions: readonly Transaction<RegisterOp>[], sources: VersionSources) {
    this.#transactions = transactions;
    this.#sources = sources;
    this.#direct = new DirectFinds(transactions);
    this.#tookEffect = new Uint8Array(transactions.length);
  }

  run(options: TxnCheckOptions): TxnVerdict {
    this.#noteWrites();
    for (const [index, { outcome }] of this.#transactions.entries()) {
      if (outcome === "committed") this.#noteReads(index);
    }
    this.#findTookEffect();
    for (const read of this.#reads) this.#checkRead(read);
    for (const [index, taken] of this.#tookEffect.entries()) if (taken === 1) this.#noteSpans(index);
    if (this.#sources.sequentialKeys === true) this.#orderBySessions();
    if (this.#sources.linearizableKeys === true) this.#orderByTime();
    this.#dropCircularOrders();
    this.#findDirtyUpdates();
    this.#findLostUpdates();
    this.#connect();
    return judge(
      {
        transactions: this.#transactions,
        edges: this.#edges,
        isIn: (index) => this.#tookEffect[index] === 1,
        direct: this.#direct,
        why: (edge, reason) => {
          const key = this.#versions.keyOf(reason.after);
          const after = this.#versions.valueOf(reason.after);
          const before = this.#text(reason.before);
          if (edge.kind === WW) return `${key} = ${after} of T${edge.to} follows ${before} of T${edge.from}`;
          if (edge.kind === WR) return `T${edge.to} read ${key} = ${after}, which T${edge.from} wrote`;
          return `T${edge.from} read ${key} = ${before}, which ${after} of T${edge.to} follows`;
        },
      },
      options,
    );
  }

  #text(version: number): string {
    return version === NOTHING ? "nothing" : `${this.#versions.valueOf(version)}`;
  }

  #noteWrites(): void {
    for (const [index, { operations }] of this.#transactions.entries()) {
      const lastOf = new Map<string, number>();
      for (const operation of operations) {
        if (operation.type !== "write") continue;
        const { key, value } = operation;
        lastOf.set(key, this.#versions.write(index, key, value, lastOf.get(key)));
      }
    }
  }

  #versionOf(key: string, value: TxnValue | undefined): number {
    return value === undefined ? NOTHING : this.#versions.of(key, value);
  }

  #noteReads(index: number): void {
    const expected = new Map<string, { readonly value: TxnValue | undefined; readonly isOwn: boolean }>();
    for (const operation of this.#transactions[index]?.operations ?? []) {
      const { key, value } = operation;
      const before = expected.get(key);
      if (operation.type === "read") {
        if (before !== undefined && before.value !== value) {
          const why = `T${index} expected ${key} to be ${before.value ?? "nothing"} and read ${value ?? "nothing"}`;
          this.#direct.add("internal", [index], why);
        }
        if (before?.isOwn !== true) this.#reads.push({ transaction: index, key, saw: this.#versionOf(key, value) });
      }
      expected.set(key, { value, isOwn: operation.type === "write" || before?.isOwn === true });
    }
  }

  /** A transaction of unknown outcome took effect if a committed one saw a value of it. */
  #findTookEffect(): void {
    for (const [index, { outcome }] of this.#transactions.entries()) {
      if (outcome === "committed") this.#tookEffect[index] = 1;
    }
    for (const { saw } of this.#reads) {
      const writer = this.#versions.writerOf(saw);
      if (this.#transactions[writer]?.outcome === "unknown") this.#tookEffect[writer] = 1;
    }
  }

  #isIn(version: number): boolean {
    return this.#tookEffect[this.#versions.writerOf(version)] === 1;
  }

  #checkRead({ transaction, key, saw }: ExternalRead): void {
    if (saw === NOTHING) return;
    const writer = this.#versions.writerOf(saw);
    const value = this.#text(saw);
    if (writer === NOBODY) {
      this.#direct.add("garbage-read", [transaction], `T${transaction} read ${key} = ${value}, which nobody wrote`);
    } else if (writer === transaction) {
      this.#direct.add("internal", [transaction], `T${transaction} read ${key} = ${value} before it wrote it`);
    } else if (this.#transactions[writer]?.outcome === "aborted") {
      const why = `T${transaction} committed and read ${key} = ${value}, which T${writer} wrote and then aborted`;
      this.#direct.add("G1a", [transaction, writer], why);
    } else if (!this.#versions.isFinal(saw)) {
      const why = `T${transaction} read ${key} = ${value}, which T${writer} itself replaced`;
      this.#direct.add("G1b", [transaction, writer], why);
    }
  }

  /** Walks one transaction: the order of its own writes, and that of what it read before them. */
  #noteSpans(index: number): void {
    const transaction = this.#transactions[index];
    const current = new Map<string, { readonly first: number; readonly last: number }>();
    for (const operation of transaction?.operations ?? []) {
      if (operation.type === "read" && transaction?.outcome !== "committed") continue;
      const { key } = operation;
      const version = this.#versionOf(key, operation.value);
      const span = current.get(key);
      if (operation.type === "read") {
        if (span === undefined) current.set(key, { first: version, last: version });
        continue;
      }
      const isOwn = span !== undefined && this.#versions.writerOf(span.last) === index;
      if (span !== undefined && (isOwn || this.#sources.writesFollowReads !== false)) this.#order(span.last, version);
      const first = span === undefined || (!isOwn && this.#sources.writesFollowReads === false) ? version : span.first;
      current.set(key, { first, last: version });
    }
    for (const [key, { first, last }] of current) {
      const spans = this.#spans.get(key);
      const span = { transaction: index, first, last };
      if (spans === undefined) this.#spans.set(key, [span]);
      else spans.push(span);
    }
  }

  #order(before: number, after: number): void {
    if (before === NOTHING || after === NOTHING || before === after) return;
    const known = this.#after.get(before);
    if (known === undefined) this.#after.set(before, new Set([after]));
    else known.add(after);
  }

  #orderBySessions(): void {
    for (const spans of this.#spans.values()) {
      const lastOf = new Map<number, number>();
      const byBegin = spans.toSorted((a, b) => this.#begin(a.transaction) - this.#begin(b.transaction));
      for (const { transaction, first, last } of byBegin) {
        const process = this.#transactions[transaction]?.process ?? 0;
        const before = lastOf.get(process);
        if (before !== undefined) this.#orderOrBreak(before, first, transaction);
        if (this.#transactions[transaction]?.outcome === "committed") lastOf.set(process, last);
      }
    }
  }

  #orderByTime(): void {
    for (const spans of this.#spans.values()) {
      const parts = spans.flatMap(({ transaction }) => this.#transactions[transaction] ?? []);
      eachRealTimePair(
        parts,
        () => true,
        (a, b) => {
          const [before, after] = [spans[a], spans[b]];
          if (before !== undefined && after !== undefined) {
            this.#orderOrBreak(before.last, after.first, after.transaction);
          }
        },
      );
    }
  }

  /** As `#order`, but to have seen nothing after something is circular by itself. */
  #orderOrBreak(before: number, after: number, transaction: number): void {
    if (before === NOTHING || after !== NOTHING) {
      this.#order(before, after);
      return;
    }
    const writer = this.#versions.writerOf(before);
    const why = `T${transaction} found nothing in ${this.#versions.keyOf(before)}, after ${this.#text(before)} was there`;
    this.#direct.add("cyclic-versions", [writer, transaction], why);
  }

  #begin(transaction: number): number {
    return this.#transactions[transaction]?.begin ?? 0;
  }

  /** A circular order orders nothing: it is reported, and its key is left without. */
  #dropCircularOrders(): void {
    const list = new EdgeList();
    for (const [before, all] of this.#after) for (const after of all) list.add(before, after, WW);
    const dropped = new Set<string>();
    for (const component of strongComponents(list.graph(this.#versions.count), WW)) {
      const key = this.#versions.keyOf(component[0] ?? 0);
      if (dropped.has(key)) continue;
      dropped.add(key);
      const members = new Set(component);
      const steps = component.flatMap((before) =>
        [...(this.#after.get(before) ?? [])].filter((after) => members.has(after)).map((after) => [before, after]),
      );
      const why = `of ${key}: ${steps
        .slice(0, 8)
        .map(([a, b]) => `${this.#text(a ?? NOTHING)} before ${this.#text(b ?? NOTHING)}`)
        .join(", ")}`;
      const writers = component.slice(0, 8).map((version) => this.#versions.writerOf(version));
      this.#direct.add("cyclic-versions", writers, why);
    }
    if (dropped.size === 0) return;
    for (const before of [...this.#after.keys()]) {
      if (dropped.has(this.#versions.keyOf(before))) this.#after.delete(before);
    }
  }

  #findDirtyUpdates(): void {
    for (const [before, all] of this.#after) {
      const dirty = this.#versions.writerOf(before);
      if (this.#transactions[dirty]?.outcome !== "aborted") continue;
      for (const after of all) {
        if (!this.#isIn(after)) continue;
        const clean = this.#versions.writerOf(after);
        const key = this.#versions.keyOf(after);
        const why = `T${clean} wrote ${key} = ${this.#text(after)} over ${this.#text(before)} of T${dirty}, which aborted`;
        this.#direct.add("dirty-update", [dirty, clean], why);
      }
    }
  }

  #findLostUpdates(): void {
    const updaterOf = new Map<string, number>();
    for (const [index, { outcome, operations }] of this.#transactions.entries()) {
      if (outcome !== "committed") continue;
      const touched = new Set<string>();
      for (const [at, operation] of operations.entries()) {
        const { key, value } = operation;
        if (touched.has(key)) continue;
        touched.add(key);
        if (operation.type !== "read") continue;
        if (!operations.slice(at).some((later) => later.type === "write" && later.key === key)) continue;
        const place = JSON.stringify([key, value ?? null]);
        const other = updaterOf.get(place);
        updaterOf.set(place, index);
        if (other === undefined) continue;
        const why = `T${other} and T${index} both read ${key} = ${value ?? "nothing"} and then wrote it`;
        this.#direct.add("lost-update", [other, index], why);
      }
    }
  }

  #connect(): void {
    const versions = this.#versions;
    const follows = new Set<number>();
    for (const [before, all] of this.#after) {
      if (!this.#isIn(before)) continue;
      for (const after of all) {
        follows.add(after);
        if (this.#isIn(after)) this.#edges.add(versions.writerOf(before), versions.writerOf(after), WW, before, after);
      }
    }
    const first = new Map<string, number[]>();
    for (let id = 0; id < versions.count; id++) {
      if (follows.has(id)) continue; // who saw nothing missed it by way of those before it
      const known = first.get(versions.keyOf(id));
      if (known === undefined) first.set(versions.keyOf(id), [id]);
      else known.push(id);
    }
    for (const { transaction, key, saw } of this.#reads) {
      if (saw !== NOTHING && this.#isIn(saw)) this.#edges.add(versions.writerOf(saw), transaction, WR, saw, saw);
      for (const next of (saw === NOTHING ? first.get(key) : this.#after.get(saw)) ?? []) {
        if (this.#isIn(next)) this.#edges.add(transaction, versions.writerOf(next), RW, saw, next);
      }
    }
  }
}
