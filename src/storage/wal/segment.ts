/** A segment that holds records, as the running log remembers it. */
import type { GroupId } from "../../base/ids.ts";
import { isSticky, type LogRecord } from "../../consensus/contract/record.ts";

export class Segment {
  readonly number: number;
  /** Bytes used, from the start. */
  bytes: number = 0;
  /** The highest entry index of each group in this segment: what must be trimmed before it may go. */
  readonly highest: Map<GroupId, number> = new Map();

  constructor(number: number) {
    this.number = number;
  }

  /** Takes note of records that were written here. */
  hold(group: GroupId, kind: number, index: number): void {
    if (isSticky(kind as LogRecord["kind"])) return; // only the order of kinds counts here, not which are known
    const before = this.highest.get(group);
    if (before === undefined || before < index) this.highest.set(group, index);
  }

  /** True if every entry here is at or below its group's trim. */
  isTrimmed(trims: ReadonlyMap<GroupId, number>): boolean {
    for (const [group, highest] of this.highest) {
      const trim = trims.get(group);
      if (trim === undefined || trim < highest) return false;
    }
    return true;
  }
}
