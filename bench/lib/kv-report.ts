/** The key-value benchmark's result, as data and as a page to read. */
import type { Hardware } from "./hardware.ts";
import { median, percentile } from "./stats.ts";

export interface SystemResult {
  readonly name: string;
  readonly version: string;
  /** Requests per second, and mean latency in milliseconds, one a round, for each variant by name. */
  readonly rates: Readonly<Record<string, readonly number[]>>;
  readonly latenciesMs: Readonly<Record<string, readonly number[]>>;
  /** Bytes, one a node. */
  readonly memoryWithKeys: readonly number[];
  readonly memoryAfterLoad: readonly number[];
  /** Milliseconds, clients within kills. Undefined if no leader was killed. */
  readonly gapsMs: readonly (readonly number[])[] | undefined;
}

export interface KvResult {
  readonly date: string;
  readonly hardware: Hardware;
  readonly rounds: number;
  readonly keys: number;
  /** The yardstick first. */
  readonly systems: readonly SystemResult[];
}

/** What Althing aims at, as a ratio to etcd in the same run. */
const aims: Readonly<Record<string, number>> = {
  "puts, 8×32": 2.5,
  "puts, one client": 1.1,
  "linearizable reads, 8×32": 3,
};

const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);

/** A page in Markdown. */
export function renderReport(result: KvResult): string {
  const { hardware: machine, systems } = result;
  const [base, other] = systems;
  const names = systems.map((system) => `${system.name} ${system.version}`);
  const lines = [
    `# Key-value benchmark, ${result.date}`,
    "",
    `${machine.cpu}, ${machine.cores} cores shared by both clusters and the load generator, ${machine.memoryGiB} GiB, ` +
      `Linux ${machine.kernel}, ${machine.disk}, Node.js ${machine.node}.`,
    "",
    `Three nodes each on one machine, 256-byte values, load on the leader, medians of ${result.rounds} interleaved rounds. ` +
      "Only ratios of one run compare; `bench/README.md` says how it is measured and checked.",
    "",
    `| Requests per second (mean latency) | ${names.join(" | ")} | Ratio | Aim |`,
    `|---|${"--:|".repeat(systems.length)}--:|--:|`,
  ];
  for (const variant of Object.keys(base?.rates ?? {})) {
    const rates = systems.map((system) => median(system.rates[variant] ?? []));
    const cells = systems.map((system, i) => {
      const latency = median(system.latenciesMs[variant] ?? []);
      return `${Math.round(rates[i] ?? 0).toLocaleString("en")} (${latency.toFixed(2)} ms)`;
    });
    const ratio = rates.length > 1 ? ((rates[1] ?? 0) / (rates[0] ?? 1)).toFixed(2) : "";
    const aim = aims[variant];
    lines.push(`| ${variant} | ${cells.join(" | ")} | ${ratio} | ${aim === undefined ? "" : `≥ ${aim}`} |`);
  }
  lines.push("", `| | ${names.join(" | ")} | Aim |`, `|---|${"--:|".repeat(systems.length)}--:|`);
  const row = (what: string, cell: (system: SystemResult) => string, aim: string): void => {
    lines.push(`| ${what} | ${systems.map(cell).join(" | ")} | ${aim} |`);
  };
  row(
    `resident memory per node with ${result.keys.toLocaleString("en")} keys, MiB`,
    (system) => system.memoryWithKeys.map(mebibytes).join(", "),
    "≤ 250 MB",
  );
  row("resident memory per node after all load, MiB", (system) => system.memoryAfterLoad.map(mebibytes).join(", "), "");
  if (base?.gapsMs !== undefined || other?.gapsMs !== undefined) {
    const gap = (system: SystemResult, share: number): string => {
      const all = system.gapsMs?.flat() ?? [];
      return all.length === 0 ? "" : `${percentile(all, share).toFixed(0)} ms`;
    };
    const kills = Math.max(...systems.map((system) => system.gapsMs?.length ?? 0));
    row(`no answer after a leader is killed, p50 of ${kills} kills`, (system) => gap(system, 0.5), "");
    row(`the same, p99`, (system) => gap(system, 0.99), "≤ 1000 ms");
    row(`the same, worst`, (system) => gap(system, 1), "");
  }
  return `${lines.join("\n")}\n`;
}
