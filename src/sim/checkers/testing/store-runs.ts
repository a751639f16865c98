/** What clients saw of a small store that keeps one isolation level; some transactions are given up, some answers get lost. */
import type { Level } from "../anomalies.ts";
import type { AppendOp, RegisterOp, Transaction } from "../transaction.ts";
import { executeListAppend, executeRwRegister, type ExecutionOptions } from "../txn-executor.ts";
import { makeStore } from "../txn-stores.ts";
import { TxnWorkload } from "../txn-workload.ts";

export function runLists(
  level: Level,
  seed: number,
  transactions: number,
  clients = 4,
  keys = 3,
): readonly Transaction<AppendOp>[] {
  const options = optionsOf(level, { seed, transactions, clients });
  return executeListAppend(makeStore(level, seed), new TxnWorkload({ seed, keys, writesPerKeyMax: 12 }), options);
}

export function runRegisters(
  level: Level,
  seed: number,
  transactions: number,
  clients = 4,
  keys = 3,
): readonly Transaction<RegisterOp>[] {
  const options = optionsOf(level, { seed, transactions, clients });
  return executeRwRegister(makeStore(level, seed), new TxnWorkload({ seed, keys, writesPerKeyMax: 12 }), options);
}

function optionsOf(level: Level, some: ExecutionOptions): ExecutionOptions {
  // What a transaction that was aborted, unknown to its client, showed to others is taken for committed.
  return { ...some, abortChance: 0.1, unknownChance: level === "read-uncommitted" ? 0 : 0.05 };
}
