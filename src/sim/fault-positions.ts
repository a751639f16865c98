/** Which faults of a schedule happen, as replay commands have it: positions from 0 with commas, or `none`. */

export function positionsText(positions: readonly number[]): string {
  return positions.length === 0 ? "none" : positions.join();
}

/** `what` is named in the error. */
export function parsePositions(text: string, what: string): readonly number[] {
  if (text === "none") return [];
  const positions = text.split(",").map((part) => (/^\d+$/.test(part) ? Number(part) : Number.NaN));
  if (positions.some((position) => !Number.isSafeInteger(position))) {
    throw new Error(`Cannot replay: ${what} is "none" or positions such as 0,3, not "${text}"`);
  }
  return positions;
}
