/** Order statistics of small samples. */

/** The middle value; of an even count, the mean of the two middle ones. Fails on an empty list. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const high = sorted[Math.floor(sorted.length / 2)];
  const low = sorted[Math.floor((sorted.length - 1) / 2)];
  if (high === undefined || low === undefined) throw new Error("Cannot take the median of nothing");
  return (low + high) / 2;
}

/** Nearest rank: the least value that at least `share` (0 to 1) of the values do not exceed. Fails on an empty list. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const value = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  if (value === undefined) throw new Error("Cannot take a percentile of nothing");
  return value;
}
