/** The reference page of mutants, made from what a whole run of the gate has found. */
import type { GateResult, MutantResult } from "./gate.ts";

export const mutantsPagePath = "docs/reference/mutants.md";

const titles = { raft: "Raft", paxos: "Paxos", host: "The host of a core", wal: "The write-ahead log" } as const;

export function mutantsPage({ results, baseline }: GateResult, budgetSeconds: number): string {
  const lines = [
    "# Mutants",
    "",
    "<!-- Written by npm run mutants -- --write; a test compares its names with test/mutants. -->",
    "",
    "The product with one deliberate bug each, and the simulated run that finds it. What a run is called is how it is",
    "repeated: `npm run mutants -- --only NAME` makes the bug and hunts it again. Seconds are processor time from the first",
    `run on; a mutant that lives for ${budgetSeconds} of them fails the gate. A run that finds a mutant passes without it.`,
    "",
  ];
  for (const [engine, title] of Object.entries(titles)) {
    const of = results.filter(({ mutant }) => mutant.engine === engine);
    if (of.length === 0) continue;
    const calm = baseline.find((b) => b.engine === engine)?.verdict;
    lines.push(`## ${title}`, "");
    if (calm?.type === "survived") lines.push(`Nothing broken: ${calm.attempts} runs found nothing.`, "");
    lines.push(
      "| Mutant | Breaks | What goes wrong | Found by | Seconds | As |",
      "|---|---|---|---|---|---|",
      ...of.map(row),
      "",
    );
  }
  return `${lines.join("\n").trimEnd()}\n`;
}

function row({ mutant, verdict }: MutantResult): string {
  const { name, invariant, why } = mutant;
  if (verdict.type !== "killed") return `| \`${name}\` | ${invariant} | ${why} | nothing | – | – |`;
  const { attempt, cpuSeconds, caught } = verdict;
  return `| \`${name}\` | ${invariant} | ${why} | \`${attempt}\` | ${cpuSeconds.toFixed(1)} | ${words(caught)} |`;
}

/** A failure without the values that belong to its run. */
function words(caught: string): string {
  const text = caught
    .replace(/^seed \d+ failed[^:]*: /, "")
    .replace(/\s*[[{].*$/, "")
    .replaceAll("|", "\\|");
  return text.length > 90 ? `${text.slice(0, 90)}…` : text;
}
