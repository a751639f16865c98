/** The tour as lines of a terminal: calls per 100 ms, latency, kill marks, and the summary. */
import type { Style } from "../style.ts";
import { renderTable } from "../table.ts";
import { showDuration } from "../parse.ts";
import { groupToWidth, sparkline } from "./sparkline.ts";
import { BUCKET_MS, type Bucket, type Timeline } from "./timeline.ts";
import type { TourResult } from "./tour.ts";

const LABEL = 13;
const LEGEND = 22;

/** Four lines that are as wide as there is room; `nowMs` is the right edge. */
export function drawTimeline(timeline: Timeline, nowMs: number, style: Style, width: number): readonly string[] {
  const groups = groupToWidth(timeline.buckets(nowMs), Math.max(10, width - LABEL - LEGEND));
  const groupMs = (groups[0]?.length ?? 1) * BUCKET_MS;
  const sum = (pick: (bucket: Bucket) => number): readonly number[] =>
    groups.map((group) => group.reduce((total, bucket) => total + pick(bucket), 0));
  const greatest = (pick: (bucket: Bucket) => number | undefined): readonly (number | undefined)[] =>
    groups.map((group) => {
      const known = group.map(pick).filter((value) => value !== undefined);
      return known.length === 0 ? undefined : Math.max(...known);
    });
  const middle = (pick: (bucket: Bucket) => number | undefined): readonly (number | undefined)[] =>
    groups.map((group) => {
      const known = group
        .map(pick)
        .filter((value) => value !== undefined)
        .sort((a, b) => a - b);
      return known[Math.floor(known.length / 2)];
    });
  const rate = sum((bucket) => bucket.writes + bucket.reads).map((count) => Math.round((count * 1_000) / groupMs));
  const p50 = middle((bucket) => bucket.p50);
  const p99 = greatest((bucket) => bucket.p99);
  const row = (label: string, line: string, legend: string): string =>
    `${label.padEnd(LABEL)}${line} ${style.dim(legend)}`;
  const peak = (values: readonly (number | undefined)[]): number => Math.max(0, ...values.map((value) => value ?? 0));
  return [
    row("calls/s", style.ok(sparkline(rate)), `peak ${peak(rate)}`),
    row("p50", style.accent(sparkline(p50, { log: true })), `peak ${showDuration(peak(p50))}`),
    row("p99", style.warn(sparkline(p99, { log: true })), `peak ${showDuration(peak(p99))}`),
    row("kills", style.bad(killMarks(timeline, groups.length, groupMs)), `1 column = ${showDuration(groupMs)}`),
  ];
}

/** A mark where a node was killed, another where it was back. */
function killMarks(timeline: Timeline, columns: number, groupMs: number): string {
  const marks = Array.from({ length: columns }, () => " ");
  const put = (atMs: number, mark: string): void => {
    const column = Math.floor(atMs / groupMs);
    if (column < columns) marks[column] = mark;
  };
  for (const { atMs, backAtMs } of timeline.kills) {
    if (backAtMs !== undefined) put(backAtMs, "△");
    put(atMs, "▼");
  }
  return marks.join("");
}

export function drawSummary(result: TourResult, style: Style): readonly string[] {
  const rows = result.kills.map((kill, i) => [
    String(i + 1),
    `node ${kill.id}`,
    showDuration(kill.atMs),
    showDuration(kill.clusterGapMs),
    showDuration(kill.clientStallMs),
    kill.backAfterMs === undefined ? "-" : showDuration(kill.backAfterMs),
  ]);
  const table = renderTable(
    [
      { title: "KILL", align: "right" },
      { title: "LEADER" },
      { title: "AT", align: "right" },
      { title: "NO WRITE FOR", align: "right" },
      { title: "WORST CLIENT", align: "right" },
      { title: "BACK AFTER", align: "right" },
    ],
    rows,
    style,
  );
  const nodes = result.nodes.map(({ endpoint, found, missing, changed }) => {
    const good = missing + changed === 0;
    const text = good ? `all ${found} acknowledged writes are there` : `${missing} missing, ${changed} changed`;
    return `${good ? style.ok("✓") : style.bad("✗")} ${endpoint.replace(/^https?:\/\//, "")}: ${text}`;
  });
  const verdict =
    result.lost === 0 && result.wrongReads === 0
      ? style.ok(`Nothing was lost: ${result.acknowledged} acknowledged writes, ${result.records} of them real records`)
      : style.bad(
          `${result.lost} of ${result.acknowledged} acknowledged writes were lost, ${result.wrongReads} reads were wrong`,
        );
  return ["", ...table, "", ...nodes, ...result.examples.map((example) => `  ${example}`), "", verdict];
}
