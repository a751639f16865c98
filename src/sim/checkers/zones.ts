/**
 * A quick proof that a history of single-valued objects is *not* linearizable, for any number of clients.
 * Source  Gibbons & Korach 1997, "Testing shared memories", section 4: the operations that wrote and saw one value form a
 *         cluster; between the first end and the last call of a cluster (its forward zone) the object holds that value.
 *
 * Z1. Only values with exactly one possible writer have a zone: such a value is held without a break from its writing to
 *     the last time it is seen.
 * Z2. An operation that needs another value at some moment of a zone, and lies inside it, contradicts it; so does a zone
 *     that overlaps it. Both are proofs; no zone in conflict proves nothing, and the search decides.
 */
import type { Operation } from "./history.ts";

/** What one operation has to do with the value of the object. */
export interface Touch<Input, Output> {
  readonly operation: Operation<Input, Output>;
  /** The value it surely wrote or surely saw; undefined if it may have done neither. */
  readonly value: string;
  /** It may be the writer of the value. */
  readonly isWriter: boolean;
  /** The value was surely held at some moment between its call and its end. */
  readonly isSure: boolean;
}

/** Why no order exists: `holders` pin a value to the time between them, and `intruders` need another one meanwhile. */
export interface ZoneConflict<Input, Output> {
  readonly value: string;
  readonly holders: readonly [Operation<Input, Output>, Operation<Input, Output>];
  readonly other: string;
  readonly intruders: readonly Operation<Input, Output>[];
}

interface Zone<Input, Output> {
  readonly value: string;
  /** Ends first. */
  readonly first: Operation<Input, Output>;
  /** Is called last; after `first` has ended. */
  readonly last: Operation<Input, Output>;
}

/** The conflict that shows earliest in time, or undefined. O(n log n). */
export function findZoneConflict<Input, Output>(
  touches: readonly Touch<Input, Output>[],
): ZoneConflict<Input, Output> | undefined {
  const zones = zonesOf(touches).sort((a, b) => a.first.end - b.first.end);
  let best: { readonly at: number; readonly conflict: ZoneConflict<Input, Output> } | undefined;
  const offer = (at: number, conflict: ZoneConflict<Input, Output>): void => {
    if (best === undefined || at < best.at) best = { at, conflict };
  };
  // Zones in the order of their beginnings; if any two overlap, then one does with the one that reaches farthest so far.
  let farthest: Zone<Input, Output> | undefined;
  const reach: Zone<Input, Output>[] = []; // of every zone: the farthest-reaching of those that begin no later
  for (const zone of zones) {
    if (farthest !== undefined && zone.first.end < farthest.last.call) {
      const at = Math.max(farthest.last.end, zone.last.end);
      offer(at, conflictOf(farthest, zone.value, [zone.first, zone.last]));
    }
    if (farthest === undefined || zone.last.call > farthest.last.call) farthest = zone;
    reach.push(farthest);
  }
  for (const { operation, value, isSure } of touches) {
    if (!isSure) continue;
    const zone = reach[countBefore(zones, operation.call) - 1];
    if (zone === undefined || zone.value === value || operation.end >= zone.last.call) continue;
    offer(Math.max(zone.last.end, operation.end), conflictOf(zone, value, [operation]));
  }
  return best?.conflict;
}

function conflictOf<Input, Output>(
  zone: Zone<Input, Output>,
  other: string,
  intruders: readonly Operation<Input, Output>[],
): ZoneConflict<Input, Output> {
  return { value: zone.value, holders: [zone.first, zone.last], other, intruders };
}

/** How many zones begin before a moment. */
function countBefore(zones: readonly Zone<unknown, unknown>[], moment: number): number {
  let low = 0;
  let high = zones.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const zone = zones[middle];
    if (zone !== undefined && zone.first.end < moment) low = middle + 1;
    else high = middle;
  }
  return low;
}

function zonesOf<Input, Output>(touches: readonly Touch<Input, Output>[]): Zone<Input, Output>[] {
  const writers = new Map<string, number>();
  const clusters = new Map<string, Zone<Input, Output>>();
  for (const { operation, value, isWriter, isSure } of touches) {
    if (isWriter) writers.set(value, (writers.get(value) ?? 0) + 1);
    if (!isSure) continue;
    const cluster = clusters.get(value);
    clusters.set(value, {
      value,
      first: cluster === undefined || operation.end < cluster.first.end ? operation : cluster.first,
      last: cluster === undefined || operation.call > cluster.last.call ? operation : cluster.last,
    });
  }
  return [...clusters.values()].filter(({ value, first, last }) => writers.get(value) === 1 && first.end < last.call);
}
