/** Numbers over time as one line of blocks, for terminals. */
const BLOCKS = "▁▂▃▄▅▆▇█";

/**
 * One character per value, scaled to the greatest. Undefined is "nothing was measured" and stays blank; a zero is the
 * lowest block. With `log` the heights are logarithmic, for latencies.
 */
export function sparkline(values: readonly (number | undefined)[], options: { readonly log?: boolean } = {}): string {
  const scale = (value: number): number => (options.log === true ? Math.log2(1 + value) : value);
  const greatest = Math.max(0, ...values.map((value) => (value === undefined ? 0 : scale(value))));
  let line = "";
  for (const value of values) {
    if (value === undefined) {
      line += " ";
      continue;
    }
    const height = greatest === 0 ? 0 : Math.ceil((scale(value) / greatest) * (BLOCKS.length - 1));
    line += BLOCKS[Math.min(height, BLOCKS.length - 1)] ?? " ";
  }
  return line;
}

/** Joins neighbours until at most `width` groups are left; every group has the same count of members but the last. */
export function groupToWidth<T>(items: readonly T[], width: number): readonly (readonly T[])[] {
  const size = Math.max(1, Math.ceil(items.length / Math.max(1, width)));
  const groups: T[][] = [];
  for (let at = 0; at < items.length; at += size) groups.push(items.slice(at, at + size));
  return groups;
}
