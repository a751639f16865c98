/**
 * Tables in plain text. On a terminal a table fits the width: columns marked `shrink` give way, the widest first, and
 * what is cut ends in an ellipsis. In a pipe nothing is ever cut.
 */
import type { Style } from "./style.ts";
import { cutText, textWidth } from "./text-width.ts";

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
  /** May lose cells on a narrow terminal. */
  readonly shrink?: boolean;
}

export type Cell = string | { readonly text: string; readonly paint: (text: string) => string };

const GAP = 2;
const SHRUNK_MIN = 6;

/** Lines without a line break at their end. Every row has as many cells as there are columns. */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  style: Pick<Style, "width" | "strong">,
): readonly string[] {
  const natural = columns.map((column, i) =>
    Math.max(textWidth(column.title), ...rows.map((row) => textWidth(plain(row[i] ?? "")))),
  );
  const widths = style.width === undefined ? natural : fit(columns, natural, style.width);
  const header = columns.map((column): Cell => ({ text: column.title, paint: style.strong }));
  return [header, ...rows].map((row) => renderRow(columns, row, widths, style.width));
}

function renderRow(
  columns: readonly Column[],
  row: readonly Cell[],
  widths: readonly number[],
  lineWidth: number | undefined,
): string {
  let line = "";
  let used = 0;
  for (const [i, column] of columns.entries()) {
    const cell = row[i] ?? "";
    const gap = i === 0 ? 0 : GAP;
    const room = lineWidth === undefined ? Number.POSITIVE_INFINITY : lineWidth - used - gap;
    if (room <= 0) break; // even shrunk the table is wider than the terminal: whole columns go, from the right
    const width = Math.min(widths[i] ?? 0, room);
    const text = cutText(plain(cell), width);
    const padding = " ".repeat(width - textWidth(text));
    const painted = typeof cell === "string" ? text : cell.paint(text);
    const last = i === columns.length - 1;
    line += " ".repeat(gap) + (column.align === "right" ? padding + painted : last ? painted : painted + padding);
    used += gap + width;
  }
  return line.trimEnd();
}

/** Takes cells from the widest shrinkable column until the line fits or nothing is left to take. */
function fit(columns: readonly Column[], natural: readonly number[], lineWidth: number): readonly number[] {
  const widths = [...natural];
  let excess = widths.reduce((sum, width) => sum + width, 0) + GAP * (columns.length - 1) - lineWidth;
  while (excess > 0) {
    let widest = -1;
    for (const [i, column] of columns.entries()) {
      const width = widths[i] ?? 0;
      if (column.shrink === true && width > SHRUNK_MIN && width > (widths[widest] ?? 0)) widest = i;
    }
    if (widest === -1) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
    excess--;
  }
  return widths;
}

function plain(cell: Cell): string {
  return typeof cell === "string" ? cell : cell.text;
}
