/**
 * A trace as a sequence diagram: who sent what to whom, what became of whom, what was done to them. Mermaid for documents
 * (mermaid.js.org, "Sequence diagrams"), or plain text for terminals. Messages are there if the run traced them
 * (`traceMessages`). Long traces are cut at their beginning, because a failure stands at the end.
 */
import type { Trace, TraceEntry } from "./trace.ts";

export interface DiagramOptions {
  /** Default "mermaid". */
  readonly format?: "mermaid" | "text";
  /** Lines of events at most, the newest. Default 200. */
  readonly eventsMax?: number;
  /** Only what happened from here to there, in virtual milliseconds. */
  readonly fromMs?: number;
  readonly toMs?: number;
}

/** One line of a diagram. Nodes are `n1` …, clients `c1` …; a note without `at` is about the whole world. */
type Line = { readonly timeMs: number; count: number } & (
  | {
      readonly type: "arrow";
      readonly from: string;
      readonly to: string;
      readonly text: string;
      readonly lost: boolean;
    }
  | { readonly type: "note"; readonly at: string | undefined; readonly text: string }
);

const EVENTS_MAX = 200;

/** Renders the trace; the result ends in a line break. */
export function sequenceDiagram(trace: Trace, options: DiagramOptions = {}): string {
  const { format = "mermaid", eventsMax = EVENTS_MAX } = options;
  const { fromMs = 0, toMs = Number.POSITIVE_INFINITY } = options;
  const chosen = trace.entries().filter(({ timeMs }) => timeMs >= fromMs && timeMs <= toMs);
  const all = merge(chosen.flatMap(lineOf));
  const lines = all.slice(Math.max(0, all.length - eventsMax));
  const dropped = all.length - lines.length + (trace.total - trace.entries().length);
  return format === "mermaid" ? mermaid(lines, dropped) : plain(lines, dropped);
}

function lineOf({ timeMs, node, event }: TraceEntry): readonly Line[] {
  switch (event.type) {
    case "message":
      return [arrow(timeMs, `n${text(event["from"])}`, `n${text(event["to"])}`, text(event["what"]))];
    case "call":
      return [arrow(timeMs, `c${text(event["client"])}`, `n${text(event["to"])}`, text(event["what"]))];
    case "answer": {
      const what = text(event["what"]);
      const line = arrow(timeMs, `n${text(event["from"])}`, `c${text(event["client"])}`, what);
      return [{ ...line, lost: /^(unknown|refused|error)/.test(what) }];
    }
    default: {
      if (node !== 0 && isQuiet(event)) return [];
      const named = event["node"];
      const about = node === 0 && typeof named === "number" ? named : node;
      const details = Object.entries(event)
        .filter(([name, value]) => isDetail(name, value) && !(name === "node" && value === about))
        .map(([name, value]) => `${name} ${text(value)}`)
        .join(", ");
      const words = details === "" ? event.type : `${event.type}: ${details}`;
      return [{ type: "note", timeMs, count: 1, at: about === 0 ? undefined : `n${about}`, text: shorten(words) }];
    }
  }
}

function isDetail(name: string, value: unknown): boolean {
  return name !== "type" && name !== "level" && name !== "group" && value !== undefined && typeof value !== "object";
}

type Arrow = Extract<Line, { readonly type: "arrow" }>;

function arrow(timeMs: number, from: string, to: string, what: string): Arrow {
  return { type: "arrow", timeMs, count: 1, from, to, text: shorten(what), lost: false };
}

/** What nodes tell at level `debug` would fill the diagram; lives and deaths and changes of role have no level or `info`. */
function isQuiet(event: TraceEntry["event"]): boolean {
  const level = event.level ?? "debug";
  return level === "debug" && !lives.has(event.type);
}

const lives: ReadonlySet<string> = new Set(["booted", "started", "killed", "sync-failed", "failed"]);

const TEXT_CHARACTERS_MAX = 80;

function shorten(words: string): string {
  const line = words.replace(/\s+/g, " ");
  return line.length > TEXT_CHARACTERS_MAX ? `${line.slice(0, TEXT_CHARACTERS_MAX)}…` : line;
}

function text(value: unknown): string {
  switch (typeof value) {
    case "string":
      return value;
    case "number":
      return String(Math.round(value * 1000) / 1000);
    case "boolean":
    case "bigint":
      return String(value);
    default:
      return "?";
  }
}

/** Equal lines in a row become one with a count. */
function merge(lines: readonly Line[]): readonly Line[] {
  const out: Line[] = [];
  for (const line of lines) {
    const last = out.at(-1);
    if (last !== undefined && sameWords(last, line)) last.count++;
    else out.push(line);
  }
  return out;
}

function sameWords(a: Line, b: Line): boolean {
  if (a.type === "note" || b.type === "note") {
    return a.type === "note" && b.type === "note" && a.at === b.at && a.text === b.text;
  }
  return a.from === b.from && a.to === b.to && a.text === b.text && a.lost === b.lost;
}

/** Clients first, then nodes, by number. */
function participants(lines: readonly Line[]): readonly string[] {
  const names = new Set<string>();
  for (const line of lines) {
    if (line.type === "arrow") names.add(line.from).add(line.to);
    else if (line.at !== undefined) names.add(line.at);
  }
  const rank = (name: string): number => (name.startsWith("c") ? 0 : 1_000_000) + Number(name.slice(1));
  return [...names].sort((a, b) => rank(a) - rank(b));
}

function mermaid(lines: readonly Line[], dropped: number): string {
  const names = participants(lines);
  const out = ["sequenceDiagram"];
  for (const name of names) out.push(`  participant ${name}`);
  const [first] = names;
  const last = names.at(-1);
  const everywhere = first === undefined || last === undefined || first === last ? first : `${first},${last}`;
  if (dropped > 0 && everywhere !== undefined) out.push(`  Note over ${everywhere}: … ${dropped} earlier events`);
  for (const line of lines) {
    const words = escapeMermaid(`${times(line)}${line.text} [${stamp(line)}]`);
    if (line.type === "arrow") out.push(`  ${line.from}${line.lost ? "--x" : "->>"}${line.to}: ${words}`);
    else if (line.at !== undefined) out.push(`  Note over ${line.at}: ${words}`);
    else if (everywhere !== undefined) out.push(`  Note over ${everywhere}: ${words}`);
  }
  return `${out.join("\n")}\n`;
}

/** `;` ends a statement and `#` begins a character code, in Mermaid. */
function escapeMermaid(words: string): string {
  return words.replace(/[#;<>]/g, (character) => `#${character.charCodeAt(0)};`);
}

const COLUMN = 6;

/** One column a participant; arrows run between columns, words stand at the right. */
function plain(lines: readonly Line[], dropped: number): string {
  const names = participants(lines);
  const column = new Map(names.map((name, i) => [name, i * COLUMN]));
  const width = Math.max(0, names.length - 1) * COLUMN + 1;
  const gap = " ".repeat(STAMP);
  const out = [`${gap}${names.map((name) => name.padEnd(COLUMN)).join("")}`.trimEnd()];
  if (dropped > 0) out.push(`${gap}… ${dropped} earlier events`);
  for (const line of lines) {
    const row: string[] = Array.from({ length: width }, (_, i) => (i % COLUMN === 0 ? "|" : " "));
    if (line.type === "arrow") drawArrow(row, column.get(line.from) ?? 0, column.get(line.to) ?? 0, line.lost);
    else if (line.at !== undefined) row[column.get(line.at) ?? 0] = "*";
    else row.fill("=");
    out.push(`${stamp(line).padStart(STAMP - 2)}  ${row.join("")}  ${times(line)}${line.text}`);
  }
  return `${out.join("\n")}\n`;
}

const STAMP = 14;

function drawArrow(row: string[], from: number, to: number, lost: boolean): void {
  if (from === to) {
    row[from] = "o";
    return;
  }
  const right = to > from;
  for (let i = Math.min(from, to) + 1; i < Math.max(from, to); i++) if (row[i] === " ") row[i] = "-";
  row[to] = lost ? "x" : right ? ">" : "<";
}

function stamp({ timeMs }: Line): string {
  return `${timeMs.toFixed(1)} ms`;
}

function times({ count }: Line): string {
  return count === 1 ? "" : `${count}× `;
}
