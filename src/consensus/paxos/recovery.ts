/**
 * Phase 1 of a candidate over all slots that are not known to be chosen: what a quorum of acceptors reports, and what
 * follows for each slot.
 * Source  Lamport 2001, section 3 (phase 1 for infinitely many instances, gaps filled with no-ops).
 *
 * P2. Per slot the value of the highest *ballot*, never of the highest slot or the newest message; a slot that nobody
 *     reports is free, and becomes a no-op.
 * P9. Nothing is concluded for slots at or below anyone's chosen watermark: they are learned instead. An acceptor that has
 *     trimmed says so by its start, and never "nothing accepted".
 * P10. A leader that proposes a stop entry proposes nothing above it in its ballot, and its own phase 1 has shown that
 *     nothing above it was chosen. So of a stop entry at s under ballot b and values above s:
 *     - one under a ballot above b shows that its leader found the stop entry not chosen: the slot is free;
 *     - one under a ballot below b was not chosen, and is dropped: the era ends at s.
 * Values of other eras than the ballot's are leftovers of leaders that lost, and count for nothing.
 */
import { assert } from "../../base/assert.ts";
import { type LogIndex, logIndex, type NodeId } from "../../base/ids.ts";
import { type Ballot, eraOf } from "./ballot.ts";
import type { PaxosPromise, Report } from "./messages.ts";
import { highestAccepted } from "./single-decree.ts";
import { sameValue, type SlotValue, ValueTag } from "./value.ts";

/** The promise of one acceptor, as far as it has arrived. */
interface Promised {
  readonly chosen: LogIndex;
  readonly start: LogIndex;
  readonly parts: number;
  readonly arrived: Set<number>;
  readonly reports: Report[];
}

/** What is to be proposed in the slots from `first` to `last`; undefined: a no-op. */
export interface Plan {
  readonly first: LogIndex;
  readonly last: LogIndex;
  readonly values: ReadonlyMap<LogIndex, SlotValue>;
  /** The last slot holds a stop entry: nothing goes above it. */
  readonly stops: boolean;
}

export type Conclusion =
  | { readonly type: "plan"; readonly plan: Plan }
  /** Values that were reported by digest only, by who has them. */
  | { readonly type: "fetch"; readonly wanted: ReadonlyMap<NodeId, readonly LogIndex[]> };

export class Recovery {
  readonly ballot: Ballot;
  readonly #promises = new Map<NodeId, Promised>();
  readonly #fetched = new Map<LogIndex, SlotValue[]>();

  constructor(ballot: Ballot) {
    this.ballot = ballot;
  }

  /** One part of an acceptor's promise, in any order, repeated or not. A promise made at a later point starts anew. */
  add(from: NodeId, message: PaxosPromise): void {
    let promised = this.#promises.get(from);
    if (promised === undefined || (message.chosen > promised.chosen && !this.isComplete(from))) {
      const { chosen, start, parts } = message;
      promised = { chosen, start, parts, arrived: new Set(), reports: [] };
      this.#promises.set(from, promised);
    }
    const isPart = message.chosen === promised.chosen && message.parts === promised.parts;
    if (!isPart || promised.arrived.has(message.part)) return;
    promised.arrived.add(message.part);
    promised.reports.push(...message.reports);
  }

  addFetched(index: LogIndex, value: SlotValue): void {
    const known = this.#fetched.get(index);
    if (known === undefined) this.#fetched.set(index, [value]);
    else known.push(value);
  }

  isComplete(from: NodeId): boolean {
    const promised = this.#promises.get(from);
    return promised !== undefined && promised.arrived.size === promised.parts;
  }

  /** Nobody whose promise is complete has accepted anything, or knows of anything chosen. */
  get isEmpty(): boolean {
    for (const [id, { chosen, reports }] of this.#promises) {
      if (this.isComplete(id) && (chosen > 0 || reports.length > 0)) return false;
    }
    return true;
  }

  /** P9: the highest chosen watermark and start among complete promises, and who has them. */
  get furthest(): { readonly chosen: LogIndex; readonly start: LogIndex; readonly by: NodeId | undefined } {
    let chosen = logIndex(0);
    let start = logIndex(0);
    let by: NodeId | undefined;
    for (const [id, promised] of this.#promises) {
      if (!this.isComplete(id)) continue;
      if (by === undefined || promised.chosen > chosen) {
        chosen = promised.chosen;
        by = id;
      }
      if (promised.start > start) start = promised.start;
    }
    return { chosen, start, by };
  }

  /** What follows for the slots above `chosen`, which nobody's watermark is above; `own` is what this node accepted. */
  conclude(chosen: LogIndex, own: Iterable<Report>): Conclusion {
    assert(this.furthest.chosen <= chosen, "P9: chosen slots are learned first", { chosen, far: this.furthest.chosen });
    const slots = this.#gather(chosen, own);
    const best = new Map<LogIndex, Report>();
    let last = chosen;
    for (const [index, reports] of slots) {
      const report = highestAccepted(reports);
      if (report === undefined) continue;
      for (const other of reports) {
        assert(other.ballot !== report.ballot || sameValue(other.digest, report.digest), "P2: one value a ballot", {
          index,
          ballot: report.ballot,
        });
      }
      best.set(index, report);
      if (index > last) last = index;
    }
    const stop = settleStops(best, last);
    const end = stop ?? last;
    return this.#fill({ first: logIndex(chosen + 1), last: end, stops: stop !== undefined }, best, slots);
  }

  #gather(chosen: LogIndex, own: Iterable<Report>): Map<LogIndex, (Report & { readonly by?: NodeId })[]> {
    const era = eraOf(this.ballot);
    const slots = new Map<LogIndex, (Report & { readonly by?: NodeId })[]>();
    const take = (report: Report & { readonly by?: NodeId }): void => {
      if (report.index <= chosen || eraOf(report.ballot) !== era) return;
      const known = slots.get(report.index);
      if (known === undefined) slots.set(report.index, [report]);
      else known.push(report);
    };
    for (const report of own) take(report);
    for (const [id, promised] of this.#promises) {
      if (this.isComplete(id)) for (const report of promised.reports) take({ ...report, by: id });
    }
    return slots;
  }

  #fill(
    range: { readonly first: LogIndex; readonly last: LogIndex; readonly stops: boolean },
    best: ReadonlyMap<LogIndex, Report & { readonly by?: NodeId }>,
    slots: ReadonlyMap<LogIndex, readonly Report[]>,
  ): Conclusion {
    const values = new Map<LogIndex, SlotValue>();
    const wanted = new Map<NodeId, LogIndex[]>();
    for (const [index, report] of best) {
      if (index > range.last) continue;
      const near =
        report.value ??
        slots.get(index)?.find((r) => r.value !== undefined && sameValue(r.digest, report.digest))?.value ??
        this.#fetched.get(index)?.find((value) => sameValue(value, report.digest));
      if (near !== undefined) values.set(index, near);
      else {
        assert(report.by !== undefined, "one's own values are near", { index });
        const list = wanted.get(report.by);
        if (list === undefined) wanted.set(report.by, [index]);
        else list.push(index);
      }
    }
    return wanted.size > 0 ? { type: "fetch", wanted } : { type: "plan", plan: { ...range, values } };
  }
}

/** P10: frees the slots of stop entries that were not chosen; returns the slot of the one that ends the era, if there is. */
function settleStops(best: Map<LogIndex, Report>, last: LogIndex): LogIndex | undefined {
  const stops = [...best.values()].filter((r) => r.digest.tag === ValueTag.stop).sort((a, b) => a.index - b.index);
  for (const stop of stops) {
    let above = false;
    for (const other of best.values()) {
      if (other.index <= stop.index || other.ballot < stop.ballot) continue;
      assert(other.ballot > stop.ballot, "P10: nothing above a stop entry in its ballot", { index: stop.index, last });
      above = true;
    }
    if (!above) return stop.index;
    best.delete(stop.index);
  }
  return undefined;
}
