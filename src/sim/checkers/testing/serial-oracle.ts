/**
 * The definition of serializability itself, for small histories: tries every order of the committed transactions, with any
 * of those of unknown outcome between them, on one copy of the data.
 */
import type { AppendOp, RegisterOp, Transaction, TxnValue } from "../transaction.ts";

export function isSerializable(
  transactions: readonly Transaction<AppendOp | RegisterOp>[],
  options: { readonly isStrict: boolean },
): boolean {
  const candidates = transactions.filter(({ outcome }) => outcome !== "aborted");
  const place = (left: typeof candidates, state: ReadonlyMap<string, readonly TxnValue[]>): boolean => {
    if (left.every(({ outcome }) => outcome === "unknown")) return true;
    const firstEnd = options.isStrict ? Math.min(...left.map(({ end }) => end)) : Number.POSITIVE_INFINITY;
    return left.some((transaction) => {
      if (transaction.begin > firstEnd) return false;
      const next = run(transaction, state);
      return (
        next !== undefined &&
        place(
          left.filter((other) => other !== transaction),
          next,
        )
      );
    });
  };
  return place(candidates, new Map());
}

function run(
  { operations, outcome }: Transaction<AppendOp | RegisterOp>,
  before: ReadonlyMap<string, readonly TxnValue[]>,
): ReadonlyMap<string, readonly TxnValue[]> | undefined {
  const state = new Map(before);
  for (const operation of operations) {
    const contents = state.get(operation.key) ?? [];
    if (operation.type !== "read") {
      state.set(operation.key, [...contents, operation.value]);
    } else if (outcome === "committed") {
      const isSame =
        "list" in operation
          ? JSON.stringify(operation.list) === JSON.stringify(contents)
          : operation.value === contents.at(-1);
      if (!isSame) return undefined;
    }
  }
  return state;
}
