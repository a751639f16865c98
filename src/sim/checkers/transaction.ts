/**
 * What clients of a transactional store saw: one entry per transaction, with what it read and wrote in program order.
 *
 * Two workloads, both chosen because every value tells who wrote it (Kingsbury & Alvaro 2020, sections 3 and 5):
 * list-append: each key holds a list; a write appends a value, a read returns the whole list and so its history.
 * rw-register: each key holds one value; a write replaces it.
 * In both, a value is written at most once to a key.
 */
import { assert } from "../../base/assert.ts";

/** A number or a short text; equal values are `===`. */
export type TxnValue = number | string;

export type AppendOp =
  | { readonly type: "append"; readonly key: string; readonly value: TxnValue }
  | { readonly type: "read"; readonly key: string; readonly list: readonly TxnValue[] };

export type RegisterOp =
  | { readonly type: "write"; readonly key: string; readonly value: TxnValue }
  /** undefined: the key does not exist. */
  | { readonly type: "read"; readonly key: string; readonly value: TxnValue | undefined };

export interface Transaction<Op> {
  /** The client, as a session: it begins a transaction after the one before has ended. */
  readonly process: number;
  /** In program order. Reads count only if the transaction committed. */
  readonly operations: readonly Op[];
  readonly outcome: "committed" | "aborted" | "unknown";
  /** Rises over all beginnings and ends of a history. */
  readonly begin: number;
  /** Infinity if the outcome is unknown: it may yet take effect. */
  readonly end: number;
}

/** Records transactions while clients run; the order of beginnings and ends is exact where one thread runs them all. */
export class TransactionHistory<Op> {
  #order = 0;
  readonly #open = new Map<number, number>();
  readonly #done: Transaction<Op>[] = [];

  /** A transaction begins. Returns its id. */
  begin(process: number): number {
    const id = this.#order++;
    this.#open.set(id, process);
    return id;
  }

  /** It was answered, or nobody will ever know. `operations` are all that it did, with what the reads returned. */
  end(id: number, outcome: Transaction<Op>["outcome"], operations: readonly Op[]): void {
    const process = this.#open.get(id);
    assert(process !== undefined, "a transaction ends once", { id });
    this.#open.delete(id);
    const end = outcome === "unknown" ? Number.POSITIVE_INFINITY : this.#order++;
    this.#done.push({ process, operations, outcome, begin: id, end });
  }

  /** All transactions that have ended, by their beginning. Those still open must be ended as unknown first. */
  transactions(): readonly Transaction<Op>[] {
    assert(this.#open.size === 0, "every transaction was ended, if only as unknown", { open: this.#open.size });
    return this.#done.toSorted((a, b) => a.begin - b.begin);
  }
}

/** One operation as people write it: `append x 3`, `write x 3`, `read x [1, 2]`, `read x nothing`. */
export function operationText(operation: AppendOp | RegisterOp): string {
  if (operation.type !== "read") return `${operation.type} ${operation.key} ${operation.value}`;
  if ("list" in operation) return `read ${operation.key} [${operation.list.join(", ")}]`;
  return `read ${operation.key} ${operation.value ?? "nothing"}`;
}

/** One transaction in a line: `client 3, 17–22, committed: read x [1], append y 4`. */
export function transactionText({
  process,
  begin,
  end,
  outcome,
  operations,
}: Transaction<AppendOp | RegisterOp>): string {
  const until = end === Number.POSITIVE_INFINITY ? "" : end;
  return `client ${process}, ${begin}–${until}, ${outcome}: ${operations.map(operationText).join(", ")}`;
}
