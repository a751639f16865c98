/** What a torture run says at its end, for people. */
import type { RoundReport, TortureReport } from "./torture-run.ts";

export function roundLine(round: RoundReport): string {
  const { done, failed, unknown, acknowledged, worstGapMs, recoveryMs } = round;
  const counts = `${done} operations done, ${failed} failed, ${unknown} unknown, ${acknowledged} journal writes`;
  return `round ${round.round} ${round.fault}: ${counts}, no write for ${ms(worstGapMs)}, up in ${ms(recoveryMs)}`;
}

/** Only for a run that held: one that did not ends with an error instead. */
export function summary(report: TortureReport): string {
  const { rounds } = report;
  const total = (of: (round: RoundReport) => number): number => rounds.reduce((sum, round) => sum + of(round), 0);
  const worst = worstOf(rounds);
  const names = [...new Set(rounds.map((round) => round.fault))].sort();
  const width = Math.max(0, ...names.map((name) => name.length));
  const lines = names.map((name) => {
    const own = rounds.filter((round) => round.fault === name);
    const gap = ms(worstOf(own)?.worstGapMs ?? 0).padStart(9);
    const up = ms(Math.max(...own.map((round) => round.recoveryMs))).padStart(9);
    return `  ${name.padEnd(width)} ${String(own.length).padStart(5)} ${gap} ${up}`;
  });
  return [
    `${rounds.length} rounds`,
    `  ${"fault".padEnd(width)} ${"fired".padStart(5)} ${"no write".padStart(9)} ${"up in".padStart(9)}   (at worst)`,
    ...lines,
    `operations: ${total((r) => r.done)} done, ${total((r) => r.failed)} failed, ${total((r) => r.unknown)} unknown`,
    worst === undefined
      ? "worst unavailability: no round was run"
      : `worst unavailability: ${ms(worst.worstGapMs)} without an acknowledged write (round ${worst.round}, ${worst.fault})`,
    `verdict: ${report.acknowledged} acknowledged journal writes, none lost; the histories of all ${rounds.length} rounds linearizable`,
    "",
  ].join("\n");
}

function worstOf(rounds: readonly RoundReport[]): RoundReport | undefined {
  let worst: RoundReport | undefined;
  for (const round of rounds) if (worst === undefined || round.worstGapMs > worst.worstGapMs) worst = round;
  return worst;
}

const ms = (value: number): string => `${value.toFixed(0)} ms`;
