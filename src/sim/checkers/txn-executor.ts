/**
 * Runs a workload against a store with several clients that take turns by the seed, one operation at a time, and records
 * what they saw. The same seed gives the same history.
 */
import { Prng } from "../../base/prng.ts";
import { type AppendOp, type RegisterOp, type Transaction, TransactionHistory } from "./transaction.ts";
import type { StoreTransaction, TxnStore } from "./txn-stores.ts";
import type { PlannedOp, TxnWorkload } from "./txn-workload.ts";

export interface ExecutionOptions {
  readonly seed: number;
  readonly transactions: number;
  readonly clients: number;
  /** Share of transactions that their client gives up before the end. Default 0. */
  readonly abortChance?: number;
  /** Share of transactions whose answer is lost; half of them were carried out. Default 0. */
  readonly unknownChance?: number;
}

interface Running<Op> {
  readonly id: number;
  readonly handle: StoreTransaction;
  readonly plan: readonly PlannedOp[];
  readonly fate: "commit" | "abort" | "unknown";
  readonly done: Op[];
}

/** A history of list-append transactions. */
export function executeListAppend(
  store: TxnStore,
  workload: TxnWorkload,
  options: ExecutionOptions,
): readonly Transaction<AppendOp>[] {
  return execute<AppendOp>(store, workload, options, (operation, contents) =>
    operation.type === "read"
      ? { type: "read", key: operation.key, list: contents }
      : { type: "append", key: operation.key, value: operation.value },
  );
}

/** A history of rw-register transactions. */
export function executeRwRegister(
  store: TxnStore,
  workload: TxnWorkload,
  options: ExecutionOptions,
): readonly Transaction<RegisterOp>[] {
  return execute<RegisterOp>(store, workload, options, (operation, contents) =>
    operation.type === "read"
      ? { type: "read", key: operation.key, value: contents.at(-1) }
      : { type: "write", key: operation.key, value: operation.value },
  );
}

function execute<Op>(
  store: TxnStore,
  workload: TxnWorkload,
  options: ExecutionOptions,
  record: (operation: PlannedOp, contents: ReturnType<StoreTransaction["read"]>) => Op,
): readonly Transaction<Op>[] {
  const { transactions, clients, abortChance = 0, unknownChance = 0 } = options;
  const prng = new Prng(options.seed);
  const history = new TransactionHistory<Op>();
  const running = new Map<number, Running<Op>>();
  let begun = 0;
  const begin = (client: number): void => {
    begun++;
    const chance = prng.unit();
    const fate = chance < abortChance ? "abort" : chance < abortChance + unknownChance ? "unknown" : "commit";
    const plan = workload.next();
    running.set(client, { id: history.begin(client), handle: store.begin(), plan, fate, done: [] });
  };
  const finish = (client: number, { id, handle, fate, done }: Running<Op>): void => {
    running.delete(client);
    if (fate === "commit") {
      history.end(id, handle.commit() ? "committed" : "aborted", done);
    } else if (fate === "unknown" && prng.chance(0.5)) {
      handle.commit();
      history.end(id, "unknown", done);
    } else {
      handle.abort();
      history.end(id, fate === "unknown" ? "unknown" : "aborted", done);
    }
  };
  while (begun < transactions || running.size > 0) {
    const client = prng.below(clients);
    const current = running.get(client);
    if (current === undefined) {
      if (begun < transactions) begin(client);
      continue;
    }
    const operation = current.plan[current.done.length];
    if (operation === undefined) {
      finish(client, current);
      continue;
    }
    const { handle, done } = current;
    if (operation.type === "write" && !handle.write(operation.key, operation.value)) {
      running.delete(client);
      history.end(current.id, "aborted", done);
      continue;
    }
    done.push(record(operation, operation.type === "read" ? handle.read(operation.key) : []));
  }
  return history.transactions();
}
