/** A segment that holds records, as the running log remembers it. */
import type { GroupId } from "../../base/ids.ts";
import { isSticky } from "../../consensus/contract/record.ts";

export class Segment {
  readonly number: number;
  /** Bytes used, from the start. */
  bytes: number = 0;
  /** Length of the file, durable: what its head says or will say. */
  fileBytes: number;
  /** The highest entry index or slot of each group in this segment: what must be trimmed before it may go. */
  readonly highest: Map<GroupId, number> = new Map();
  /** Records of which nobody knows what they were: with any of them, even a group that left no trace may miss something. */
  lost: number = 0;
  /** Groups that may have lost any slot here: trimming says nothing about those, only `repaired` does. */
  readonly unrepaired: Set<GroupId> = new Set();

  constructor(number: number, fileBytes: number) {
    this.number = number;
    this.fileBytes = fileBytes;
  }

  /** Takes note of a record that was written here. */
  hold(group: GroupId, kind: number, index: number): void {
    if (isSticky(kind)) return;
    const before = this.highest.get(group);
    if (before === undefined || before < index) this.highest.set(group, index);
  }

  /** A group trims for the first time: all that it can have lost here is this much newer. */
  meet(group: GroupId, upTo: number): void {
    if (this.lost > 0 && !this.highest.has(group)) this.highest.set(group, upTo + this.lost);
  }

  /** True if every entry and slot here is at or below its group's trim. */
  isTrimmed(trims: ReadonlyMap<GroupId, number>): boolean {
    if (this.unrepaired.size > 0 || (this.lost > 0 && this.highest.size === 0)) return false;
    for (const [group, highest] of this.highest) {
      const trim = trims.get(group);
      if (trim === undefined || trim < highest) return false;
    }
    return true;
  }
}
