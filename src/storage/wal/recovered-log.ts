/**
 * What a scan of the segments finds, put together into the log, with a verdict on everything that cannot be read.
 * Pure: it reads no file and changes none. Invariants W1–W6 stand in `wal.ts`.
 *
 * The scan offers intact headers in file order. Let D be the highest watermark in any of them (notes included). A header
 * that verifies proves that everything up to D was durable before a crash could touch it.
 *
 * R1. Unreadable at or below D: it was durable, perhaps acknowledged, and is not any more. That is damage; it is reported,
 *     and nothing else is dropped because of it.
 * R2. Unreadable above D: it belongs to the last batch that was written. For if a later batch had been written, each of its
 *     headers would carry a watermark at or above it (W1), and D would be higher. So whatever else survives above it comes
 *     from the same batch, whose sectors reached the disk in any order; none of it was seen to be durable. The log ends
 *     before it: a torn tail.
 * R3. What stays undecided is a last batch that was synced, acknowledged, hit by rot and by a crash, all before a note or
 *     another batch could say that it was durable: some 50 ms.
 * R4. A missing LSN is as good as a bad record: LSNs have no gaps (W2).
 * R5. Leftovers of an attempt that ended in DISK_FULL are not records: their batch number is lower than that of the batch
 *     which used their LSNs again, over them or in the next segment, or their LSN is not above the one before.
 */
import { assert } from "../../base/assert.ts";
import { type GroupId, groupId, logIndex, term } from "../../base/ids.ts";
import { isSticky, type LogRecord } from "../../consensus/contract/record.ts";
import type { WalDamage } from "./contract.ts";
import { FLAG_BATCH_END, FLAG_CARRIED, KIND_NOTE, type RecordHeader } from "./record-header.ts";
import { Segment } from "./segment.ts";
import { segmentName } from "./segment-files.ts";
import { StickyTable } from "./sticky-table.ts";

/** A segment under scan. */
export interface ScannedSegment {
  readonly number: number;
  readonly bytes: Uint8Array;
}

export interface Place {
  readonly segment: ScannedSegment;
  readonly offset: number;
  readonly end: number;
  /** A view of the segment's bytes. */
  readonly body: Uint8Array;
}

type Item =
  | { readonly type: "record"; readonly lsn: number; readonly header: RecordHeader; readonly place: Place }
  /** The header is intact, the body is not. */
  | { readonly type: "rotten"; readonly lsn: number; readonly header: RecordHeader; readonly place: Place }
  /** LSNs `first` to `lsn` are nowhere. */
  | {
      readonly type: "hole";
      readonly first: number;
      readonly lsn: number;
      readonly segment: number;
      readonly offset: number;
      readonly why: string;
    };

interface Found {
  readonly lsn: number;
  readonly segment: number;
  readonly damage: WalDamage;
}

interface GroupRecords {
  /** Carried copies whose originals are in segments that are gone: older than all else that is left. */
  readonly front: LogRecord[];
  /** Undefined marks a sticky record that could not be read and may be found again as a carried copy. */
  readonly rest: (LogRecord | undefined)[];
}

export interface AssembledLog {
  readonly groups: ReadonlyMap<GroupId, readonly LogRecord[]>;
  readonly damage: readonly WalDamage[];
  /** Segments that hold records or damage, ascending; the last one's `bytes` is where the log ends. */
  readonly segments: readonly Segment[];
  readonly sticky: StickyTable;
  /** The next record's LSN, and the highest batch number in any header. */
  readonly nextLsn: number;
  readonly lastBatch: number;
  /** Records that are kept and that nothing proves durable: to be written again and synced. */
  readonly undecided: readonly Place[];
  /** Records that are cut off: to be overwritten. */
  readonly torn: readonly Place[];
  /** Numbers of segments with damage: nothing more is written to them. */
  readonly damagedSegments: ReadonlySet<number>;
}

export class RecoveredLog {
  readonly #oldest: number;
  readonly #groups = new Map<GroupId, GroupRecords>();
  readonly #segments = new Map<number, Segment>();
  readonly #sticky = new StickyTable();
  /** Where the placeholder of an unreadable newest sticky record stands in its group's `rest`. */
  readonly #placeholders = new Map<string, number>();
  #found: Found[] = [];
  /** Items above D, in LSN order. A batch or two. */
  #open: Item[] = [];
  #durable = 0;
  #lastLsn = 0;
  #lastBatch = 0;
  #highestBatch = 0;
  #batchEnded = true;
  #end: { readonly segment: number; readonly offset: number };
  #seen = false;

  /** `oldest` is the lowest number of a segment in the folder. */
  constructor(oldest: number) {
    this.#oldest = oldest;
    this.#end = { segment: oldest, offset: 0 };
  }

  /**
   * An intact header found at `place`. Returns false if it is not the log's next: then it is as if nothing stood there.
   * `intact` tells about the body.
   */
  offer(header: RecordHeader, place: Place, intact: boolean): boolean {
    this.#highestBatch = Math.max(this.#highestBatch, header.batch);
    if (header.kind === KIND_NOTE) {
      this.#raise(header.durable);
      return false; // the place is free for the next batch
    }
    const { lsn } = header;
    // W1: a later batch begins after all that is durable; what an earlier one has put above that is an attempt.
    if (header.batch > this.#lastBatch && lsn <= this.#lastLsn && lsn > header.durable)
      this.#dropAttempt(header.durable);
    if (lsn <= this.#lastLsn || header.batch < this.#lastBatch) return false; // R5
    if (this.#batchEnded && header.batch === this.#lastBatch) return false; // R5
    if (!this.#seen && this.#oldest > 1) this.#begin(lsn, place);
    if (lsn > this.#lastLsn + 1) this.#hole(this.#lastLsn + 1, lsn - 1, place);
    this.#seen = true;
    this.#lastLsn = lsn;
    this.#lastBatch = header.batch;
    this.#batchEnded = (header.flags & FLAG_BATCH_END) !== 0;
    this.#end = { segment: place.segment.number, offset: place.end };
    this.#open.push({ type: intact ? "record" : "rotten", lsn, header, place });
    this.#raise(header.durable);
    return true;
  }

  /** The verdict, after all segments. */
  finish(): AssembledLog {
    const ghost = !this.#seen && this.#oldest > 1; // a first segment is only ever removed when the next one is durable
    if (this.#durable > this.#lastLsn || ghost) {
      this.#hole(this.#lastLsn + 1, Math.max(this.#durable, this.#lastLsn + 1));
      this.#durable = Math.max(this.#durable, this.#lastLsn + 1);
    }
    this.#settle();
    const cut = this.#cutLsn();
    const undecided: Place[] = [];
    const torn: Place[] = [];
    for (const item of this.#open) {
      if (item.type === "hole") {
        if (item.first <= this.#durable) this.#damageHole({ ...item, lsn: this.#durable });
        continue;
      }
      if (item.lsn >= cut) {
        torn.push(item.place);
        continue;
      }
      assert(item.type === "record", "R2: everything above the watermark and below the cut can be read", item.lsn);
      this.#keep(item.header, item.place);
      undecided.push(item.place);
    }
    this.#pinHoles();
    return {
      groups: new Map([...this.#groups].map(([group, records]) => [group, inOrder(records)])),
      damage: this.#found.map((f) => f.damage),
      segments: [...this.#segments.values()].sort((a, b) => a.number - b.number),
      sticky: this.#sticky,
      nextLsn: Math.min(Math.max(this.#lastLsn, this.#durable) + 1, cut),
      lastBatch: this.#highestBatch,
      undecided,
      torn,
      damagedSegments: new Set(this.#found.map((f) => f.segment)),
    };
  }

  #dropAttempt(durable: number): void {
    while ((this.#open.at(-1)?.lsn ?? 0) > durable) this.#open.pop();
    this.#lastLsn = durable;
  }

  /** The first record of a log whose older segments are gone. The oldest segment left is durable from its start. */
  #begin(lsn: number, place: Place): void {
    this.#lastLsn = lsn - 1;
    if (place.segment.number === this.#oldest && place.offset === 0) return;
    this.#hole(lsn - 1, lsn - 1, place);
    this.#raise(lsn - 1);
  }

  /** LSNs `first` to `lsn` are missing before `next`, or at the end. */
  #hole(first: number, lsn: number, next?: Place): void {
    const elsewhere = next !== undefined && next.segment.number > this.#end.segment;
    const { segment, offset } = elsewhere && next.offset > 0 ? { segment: next.segment.number, offset: 0 } : this.#end;
    const why =
      elsewhere && next.segment.number > this.#end.segment + 1
        ? `a segment is missing before ${segmentName(next.segment.number)}`
        : first === lsn
          ? `record ${lsn} cannot be read`
          : `records ${first} to ${lsn} cannot be read`;
    this.#open.push({ type: "hole", first, lsn, segment, offset, why });
  }

  #raise(durable: number): void {
    if (durable <= this.#durable) return;
    this.#durable = durable;
    this.#settle();
  }

  /** Moves what is proven durable out of `#open`. */
  #settle(): void {
    let count = 0;
    for (const item of this.#open) {
      if (item.lsn > this.#durable) break;
      count++;
      switch (item.type) {
        case "record":
          this.#keep(item.header, item.place);
          break;
        case "rotten":
          this.#damageRecord(item.header, item.place);
          break;
        case "hole":
          this.#damageHole(item);
      }
    }
    if (count > 0) this.#open = count === this.#open.length ? [] : this.#open.slice(count);
  }

  /** R2: the LSN from which on the log never was. */
  #cutLsn(): number {
    for (const item of this.#open) {
      if (item.type === "hole") return Math.max(item.first, this.#durable + 1);
      if (item.type === "rotten") return item.lsn;
    }
    return Number.POSITIVE_INFINITY;
  }

  #segment(number: number, end: number): Segment {
    let segment = this.#segments.get(number);
    if (segment === undefined) {
      segment = new Segment(number);
      this.#segments.set(number, segment);
    }
    if (end > segment.bytes) segment.bytes = end;
    return segment;
  }

  #keep(header: RecordHeader, place: Place): void {
    const group = groupId(header.group);
    this.#segment(place.segment.number, place.end).hold(group, header.kind, header.index);
    const record = toRecord(header, place);
    const records = this.#recordsOf(group);
    if (!isSticky(record.kind)) {
      records.rest.push(record);
      this.#heal(group, (kind, index) => kind < 16 && index >= record.index);
      return;
    }
    if ((header.flags & FLAG_CARRIED) !== 0) this.#keepCarried(group, record, records);
    else records.rest.push(record);
    this.#sticky.keep(group, record);
    this.#placeholders.delete(keyOf(group, record.kind));
    this.#heal(group, (kind) => kind === record.kind);
  }

  /** A copy that keeps the place of its original: groups may care about the order of sticky records and entries. */
  #keepCarried(group: GroupId, record: LogRecord, records: GroupRecords): void {
    const newest = this.#sticky.newest(group, record.kind);
    if (newest === undefined) {
      records.front.push(record);
      return;
    }
    if (newest.type === "intact") {
      if (!isCopy(newest.record, record)) records.rest.push(record); // the original is in a hole
      return;
    }
    const at = this.#placeholders.get(keyOf(group, record.kind));
    assert(at !== undefined, "an unreadable sticky record has a placeholder");
    records.rest[at] = record;
  }

  #damageRecord(header: RecordHeader, place: Place): void {
    const group = groupId(header.group);
    this.#segment(place.segment.number, place.end).hold(group, header.kind, header.index);
    if (isSticky(header.kind as LogRecord["kind"])) {
      const known = this.#sticky.newest(group, header.kind);
      if ((header.flags & FLAG_CARRIED) !== 0 && known?.type === "intact" && isNamed(known.record, header)) return;
      const records = this.#recordsOf(group);
      this.#placeholders.set(keyOf(group, header.kind), records.rest.length);
      records.rest.push(undefined);
      this.#sticky.markDamaged(group, header.kind, place.segment.number);
    }
    this.#found.push({
      lsn: header.lsn,
      segment: place.segment.number,
      damage: {
        segment: segmentName(place.segment.number),
        offset: place.offset,
        why: "the body fails its checksum",
        records: 1,
        record: { group, kind: header.kind, index: logIndex(header.index), term: header.term },
      },
    });
  }

  #damageHole(hole: Item & { readonly type: "hole" }): void {
    this.#segment(hole.segment, hole.offset);
    this.#found.push({
      lsn: hole.lsn,
      segment: hole.segment,
      damage: {
        segment: segmentName(hole.segment),
        offset: hole.offset,
        why: hole.why,
        records: hole.lsn - hole.first + 1,
        record: undefined,
      },
    });
  }

  /** Damage that a later record makes harmless: the entry was replaced, the sticky record has a newer one. */
  #heal(group: GroupId, isReplaced: (kind: number, index: number) => boolean): void {
    if (this.#found.length === 0) return;
    this.#found = this.#found.filter(({ damage: { record } }) => {
      return record === undefined || record.group !== group || !isReplaced(record.kind, record.index);
    });
  }

  /**
   * Nobody knows what a hole held. Its segment stays until every group has trimmed all that was recovered: then each state
   * stands in a checkpoint that is newer than the hole.
   */
  #pinHoles(): void {
    const pinned = this.#found.filter((f) => f.damage.record === undefined).map((f) => f.segment);
    if (pinned.length === 0) return;
    const highest = new Map<GroupId, number>();
    for (const segment of this.#segments.values()) {
      for (const [group, index] of segment.highest) highest.set(group, Math.max(index, highest.get(group) ?? 0));
    }
    for (const number of pinned) {
      const segment = this.#segment(number, 0);
      for (const [group, index] of highest) segment.hold(group, 1, index);
    }
  }

  #recordsOf(group: GroupId): GroupRecords {
    let records = this.#groups.get(group);
    if (records === undefined) {
      records = { front: [], rest: [] };
      this.#groups.set(group, records);
    }
    return records;
  }
}

const keyOf = (group: GroupId, kind: number): string => `${group}/${kind}`;

const isNamed = (record: LogRecord, header: RecordHeader): boolean =>
  record.index === header.index && record.term === header.term && record.bodyCrc === header.bodyCrc;

const isCopy = (a: LogRecord, b: LogRecord): boolean =>
  a.index === b.index && a.term === b.term && a.bodyCrc === b.bodyCrc && a.body.length === b.body.length;

function inOrder({ front, rest }: GroupRecords): readonly LogRecord[] {
  const whole = rest.filter((record) => record !== undefined);
  return front.length === 0 ? whole : front.concat(whole);
}

function toRecord(header: RecordHeader, place: Place): LogRecord {
  return {
    kind: header.kind as LogRecord["kind"], // what was appended; a kind of a later version passes through unchanged
    index: logIndex(header.index),
    term: term(header.term),
    chain: header.chain,
    body: place.body,
    bodyCrc: header.bodyCrc,
  };
}
