/**
 * From edges and direct finds to a verdict that a person can read: the names of the anomalies, which levels are left, and
 * of each anomaly one short example with the reason of every step.
 */
import { type AnomalyName, anomalyNames, forbids, type Level, meaningOf, strongestLevelLeft } from "./anomalies.ts";
import { type Cycle, type CycleEdge, findCycles } from "./cycles.ts";
import { type EdgeList, PROCESS, REALTIME, RW, WR, WW } from "./dependency-graph.ts";
import { eachRealTimePair, eachSessionPair } from "./time-order.ts";
import { type AppendOp, type RegisterOp, type Transaction, transactionText } from "./transaction.ts";

export interface AnomalyExample {
  /** Indexes into the history, in the order of the story. */
  readonly transactions: readonly number[];
  /** Empty if it is not a cycle. */
  readonly cycle: Cycle;
  /** Lines for a person. */
  readonly text: string;
}

export interface Anomaly {
  readonly name: AnomalyName;
  /** The first few, each the shortest of its kind nearby. */
  readonly examples: readonly AnomalyExample[];
}

export type TxnVerdict =
  | {
      /** No anomaly that `level` forbids; `anomalies` are those it allows. */
      readonly type: "ok";
      readonly level: Level;
      readonly anomalies: readonly Anomaly[];
      readonly transactions: number;
    }
  | {
      readonly type: "violation";
      readonly level: Level;
      readonly anomalies: readonly Anomaly[];
      /** The strongest level that what was found does not rule out; undefined: not even the weakest. */
      readonly strongestLeft: Level | undefined;
      readonly transactions: number;
    }
  | {
      /** The search ended before it was through, and had found nothing that `level` forbids. */
      readonly type: "unknown";
      readonly level: Level;
      readonly anomalies: readonly Anomaly[];
      readonly unsearched: readonly AnomalyName[];
      readonly transactions: number;
    };

export interface TxnCheckOptions {
  /** What the store promises. Only what this level forbids is searched for. Default strict-serializable. */
  readonly level?: Level;
  /** Edges looked at for one name of a cycle. Default 30 million, a few seconds. */
  readonly workMax?: number;
}

const WORK_MAX = 30_000_000;
const EXAMPLES_MAX = 3;

/** Collects what is found without a cycle. */
export class DirectFinds {
  readonly #examples = new Map<AnomalyName, AnomalyExample[]>();
  readonly #transactions: readonly Transaction<AppendOp | RegisterOp>[];

  constructor(transactions: readonly Transaction<AppendOp | RegisterOp>[]) {
    this.#transactions = transactions;
  }

  /** `why` names transactions as T and their index; only the first few of each name are kept. */
  add(name: AnomalyName, transactions: readonly number[], why: string): void {
    const examples = this.#examples.get(name) ?? [];
    this.#examples.set(name, examples);
    if (examples.length >= EXAMPLES_MAX) return;
    const known = [...new Set(transactions)].filter((index) => index in this.#transactions);
    const text = [...known.map((index) => line(this.#transactions, index)), `  ${why}`].join("\n");
    examples.push({ transactions: known, cycle: [], text });
  }

  get found(): ReadonlyMap<AnomalyName, readonly AnomalyExample[]> {
    return this.#examples;
  }
}

export interface Judgement {
  readonly transactions: readonly Transaction<AppendOp | RegisterOp>[];
  /** ww, wr and rw edges; session and real-time edges are added here. */
  readonly edges: EdgeList;
  /** The transactions that surely took effect. */
  readonly isIn: (index: number) => boolean;
  readonly direct: DirectFinds;
  /** Why a ww, wr or rw edge holds, in words. */
  readonly why: (edge: CycleEdge, reason: { readonly before: number; readonly after: number }) => string;
}

export function judge(judgement: Judgement, options: TxnCheckOptions): TxnVerdict {
  const { transactions, edges, isIn, direct } = judgement;
  const level = options.level ?? "strict-serializable";
  if (level === "strict-serializable") {
    eachSessionPair(transactions, isIn, (before, after) => edges.add(before, after, PROCESS));
    eachRealTimePair(transactions, isIn, (before, after) => edges.add(before, after, REALTIME));
  }
  const { found, unsearched } = findCycles(edges.graph(transactions.length), {
    wants: (name) => forbids(level, name),
    workMax: options.workMax ?? WORK_MAX,
    examplesMax: EXAMPLES_MAX,
  });
  const examples = new Map<AnomalyName, AnomalyExample[]>();
  for (const [name, some] of direct.found) examples.set(name, [...some]);
  for (const { name, cycle } of found) {
    const some = examples.get(name) ?? [];
    some.push({ transactions: cycle.map((edge) => edge.from), cycle, text: cycleText(judgement, cycle) });
    examples.set(name, some);
  }
  const anomalies = anomalyNames.flatMap((name): readonly Anomaly[] => {
    const some = examples.get(name);
    return some === undefined ? [] : [{ name, examples: some }];
  });
  const base = { level, anomalies, transactions: transactions.length };
  if (anomalies.some(({ name }) => forbids(level, name))) {
    return { ...base, type: "violation", strongestLeft: strongestLevelLeft(anomalies.map(({ name }) => name)) };
  }
  return unsearched.length > 0 ? { ...base, type: "unknown", unsearched } : { ...base, type: "ok" };
}

function line(transactions: readonly Transaction<AppendOp | RegisterOp>[], index: number): string {
  const transaction = transactions[index];
  return `  T${index}  ${transaction === undefined ? "?" : transactionText(transaction)}`;
}

function cycleText({ transactions, edges, why }: Judgement, cycle: Cycle): string {
  const path = [...cycle.map((edge) => edge.from), cycle[0]?.from].map((index) => `T${index}`).join(" → ");
  const lines = [...new Set(cycle.map((edge) => edge.from))].map((index) => line(transactions, index));
  const reasons = cycle.map((edge) => {
    const arrow = `  T${edge.from} → T${edge.to}  (${kindNames[edge.kind]})`;
    if (edge.kind === PROCESS) return `${arrow}  the same client began T${edge.to} after T${edge.from} had ended`;
    if (edge.kind === REALTIME) {
      const [end, begin] = [transactions[edge.from]?.end, transactions[edge.to]?.begin];
      return `${arrow}  T${edge.from} had ended (${end}) before T${edge.to} began (${begin})`;
    }
    const reason = edges.reason(edge.from, edge.to, edge.kind);
    return `${arrow}  ${reason === undefined ? "" : why(edge, reason)}`;
  });
  return [`  ${path}`, ...lines, ...reasons].join("\n");
}

const kindNames = {
  [WW]: "ww, overwrites",
  [WR]: "wr, was seen",
  [RW]: "rw, was not yet seen",
  [PROCESS]: "session",
  [REALTIME]: "real time",
} as const;

/** The whole verdict as text: one paragraph an anomaly, the gravest first, and what is left of the promise. */
export function verdictText(verdict: TxnVerdict): string {
  const { level, transactions, anomalies } = verdict;
  const parts = anomalies.map(({ name, examples }) => {
    const first = examples[0];
    return `${name}: ${meaningOf(name)}\n${first?.text ?? ""}`;
  });
  switch (verdict.type) {
    case "ok":
      return [`${transactions} transactions keep ${level}`, ...parts].join("\n\n");
    case "violation":
      return [`Not ${level}; at most ${verdict.strongestLeft ?? "nothing"} is left`, ...parts].join("\n\n");
    case "unknown":
      return [`Undecided: no time for ${verdict.unsearched.join(", ")}`, ...parts].join("\n\n");
  }
}
