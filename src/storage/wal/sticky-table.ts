/**
 * The newest sticky record of every group and kind that is durable in the log. It is what a new segment begins with, so
 * that older segments hold nothing that counts but entries.
 */
import type { GroupId } from "../../base/ids.ts";
import { isSticky, type LogRecord } from "../../consensus/contract/record.ts";
import type { Carried } from "./batch.ts";

type Newest =
  | { readonly type: "intact"; readonly record: LogRecord }
  /** The newest one cannot be read; an older one must not take its place, and its segment stays as evidence. */
  | { readonly type: "damaged"; readonly segment: number };

export class StickyTable {
  readonly #groups = new Map<GroupId, Map<number, Newest>>();

  /** Takes note of a durable record; ignores entries. The body is copied: it may be a view of something large. */
  keep(group: GroupId, record: LogRecord): void {
    if (!isSticky(record.kind)) return;
    const kinds = this.#kinds(group);
    kinds.delete(record.kind); // a map keeps the order of insertion: that of the log
    kinds.set(record.kind, { type: "intact", record: { ...record, body: record.body.slice() } });
  }

  markDamaged(group: GroupId, kind: number, segment: number): void {
    this.#kinds(group).set(kind, { type: "damaged", segment });
  }

  newest(group: GroupId, kind: number): Newest | undefined {
    return this.#groups.get(group)?.get(kind);
  }

  /** True while `segment` holds the only trace of a newest record that cannot be read. */
  pins(segment: number): boolean {
    for (const kinds of this.#groups.values()) {
      for (const newest of kinds.values()) if (newest.type === "damaged" && newest.segment === segment) return true;
    }
    return false;
  }

  /** All intact newest records; those of one group in the order in which they were appended. */
  carried(): readonly Carried[] {
    const carried: Carried[] = [];
    for (const [group, kinds] of this.#groups) {
      for (const newest of kinds.values()) if (newest.type === "intact") carried.push({ group, record: newest.record });
    }
    return carried;
  }

  #kinds(group: GroupId): Map<number, Newest> {
    let kinds = this.#groups.get(group);
    if (kinds === undefined) {
      kinds = new Map();
      this.#groups.set(group, kinds);
    }
    return kinds;
  }
}
