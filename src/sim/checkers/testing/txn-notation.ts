/**
 * Histories of transactions in shorthand, for tests. One text a transaction: operations with a one-letter key, `ax1` appends 1
 * to x, `wx1` writes it, `rx1.2` reads [1, 2] (or 1, in a register), `rx` finds nothing. A first `!` aborts it, `?` leaves its
 * outcome unknown. All run at once by clients of their own, unless `when` says otherwise.
 */
import type { AppendOp, RegisterOp, Transaction } from "../transaction.ts";

interface When {
  readonly begin: number;
  readonly end: number;
  readonly process?: number;
}

type Outcome = Transaction<unknown>["outcome"];
const outcomes: Readonly<Record<string, Outcome>> = { "!": "aborted", "?": "unknown" };

function parse<Op>(
  texts: readonly string[],
  when: Readonly<Record<number, When>>,
  operation: (type: string, key: string, values: readonly number[]) => Op,
): readonly Transaction<Op>[] {
  return texts.map((text, index) => {
    const outcome = outcomes[text.charAt(0)] ?? "committed";
    const words = text.replace(/^[!?]/, "").split(" ");
    const operations = words.map((word) => {
      const values = word.length > 2 ? word.slice(2).split(".").map(Number) : [];
      return operation(word.charAt(0), word.charAt(1), values);
    });
    const { begin, end, process = index } = when[index] ?? { begin: index, end: 1_000 + index };
    return { process, operations, outcome, begin, end: outcome === "unknown" ? Number.POSITIVE_INFINITY : end };
  });
}

export function appends(
  texts: readonly string[],
  when: Readonly<Record<number, When>> = {},
): readonly Transaction<AppendOp>[] {
  return parse(texts, when, (type, key, values): AppendOp => {
    return type === "r" ? { type: "read", key, list: values } : { type: "append", key, value: values[0] ?? 0 };
  });
}

export function registers(
  texts: readonly string[],
  when: Readonly<Record<number, When>> = {},
): readonly Transaction<RegisterOp>[] {
  return parse(texts, when, (type, key, values): RegisterOp => {
    return type === "r" ? { type: "read", key, value: values[0] } : { type: "write", key, value: values[0] ?? 0 };
  });
}
