/**
 * What a scan of the segments finds, put together into the log, with a verdict on everything that cannot be read.
 * Pure: it reads no file and changes none. Invariants W1–W7 stand in `wal.ts`.
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
 * R6. Where the log ends, the file shows that it ends: at the place where the next header would stand there is none. If the
 *     file stops before that place, and is shorter than it was made (W7), or is gone, then records were cut off; how many,
 *     nobody knows. That is damage. If only unused space was cut off, it is not. Before the end LSNs tell (R4).
 *
 * What a record replaces depends on its kind (`record.ts`): an entry its index and all above it, a slot only itself, a
 * sticky record the one before it. Damage of something that was replaced later has done no harm.
 */
import { assert } from "../../base/assert.ts";
import { type GroupId, groupId } from "../../base/ids.ts";
import { isEntry, isSlot, isSticky, type LogRecord, RecordKind } from "../../consensus/contract/record.ts";
import type { WalDamage } from "./contract.ts";
import {
  alignUp,
  FLAG_BATCH_END,
  FLAG_CARRIED,
  HEADER_BYTES,
  KIND_HEAD,
  KIND_NOTE,
  type RecordHeader,
  SECTOR_BYTES,
  VERSION_WITH_HEADS,
} from "./record-header.ts";
import { RecoveredRecord } from "./recovered-record.ts";
import { Segment } from "./segment.ts";
import { segmentName } from "./segment-files.ts";
import { StickyTable } from "./sticky-table.ts";

/** A segment under scan. */
export interface ScannedSegment {
  readonly number: number;
  readonly bytes: Uint8Array;
}

/** Where a record stands. */
export interface Place {
  readonly segment: ScannedSegment;
  readonly offset: number;
  readonly end: number;
}

/** Of a rotten record the header is intact, the body is not. */
interface Read extends Place {
  readonly type: "record" | "rotten";
  readonly lsn: number;
  readonly group: GroupId;
  readonly isCarried: boolean;
  readonly record: LogRecord;
}

/** LSNs `first` to `lsn` are nowhere. */
interface Hole {
  readonly type: "hole";
  readonly first: number;
  readonly lsn: number;
  readonly segment: number;
  readonly offset: number;
  readonly why: string;
  /** R6. */
  readonly isCut: boolean;
}

type Item = Read | Hole;

interface Found {
  readonly lsn: number;
  readonly segment: number;
  readonly damage: WalDamage;
  /** Of a hole: the highest index that each group can have had in it, if its records were entries. */
  readonly upTo: ReadonlyMap<GroupId, number> | undefined;
}

/** A file of the log, as far as its end matters. */
interface FileEnd {
  readonly number: number;
  readonly length: number;
  /** The length that its head says; undefined without a head. */
  fileBytes: number | undefined;
}

/** Records are missing at the end of the log. */
interface Cut extends Pick<Hole, "segment" | "offset" | "why"> {
  readonly records: number;
}

interface GroupRecords {
  /** Carried copies whose originals are in segments that are gone: older than all else that is left. */
  readonly front: LogRecord[];
  /** Undefined marks a sticky record that could not be read and may be found again as a carried copy. */
  readonly rest: (LogRecord | undefined)[];
  /** The highest entry index or slot so far. */
  highest: number;
  hasSlots: boolean;
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
  readonly #segmentBytes: number;
  readonly #groups = new Map<GroupId, GroupRecords>();
  readonly #segments = new Map<number, Segment>();
  readonly #files: FileEnd[] = [];
  readonly #sticky = new StickyTable();
  /** Where the placeholder of an unreadable newest sticky record stands in its group's `rest`. */
  readonly #placeholders = new Map<string, number>();
  #found: Found[] = [];
  /** Items above D, in LSN order. A batch or two. */
  #open: Item[] = [];
  #durable = 0;
  #lastLsn = 0;
  #lastBatch = 0;
  #lastVersion = VERSION_WITH_HEADS;
  #highestBatch = 0;
  #batchEnded = true;
  /** The file ends in the midst of the last record's body. */
  #isClipped = false;
  #end: { readonly segment: number; readonly offset: number };
  #seen = false;

  /** `oldest` is the lowest number of a segment in the folder, `segmentBytes` the usual length of one. */
  constructor(oldest: number, segmentBytes: number) {
    this.#oldest = oldest;
    this.#segmentBytes = segmentBytes;
    this.#end = { segment: oldest, offset: 0 };
  }

  /** The headers that follow are from this segment. Segments come in the order of their numbers. */
  beginSegment({ number, bytes }: ScannedSegment): void {
    this.#files.push({ number, length: bytes.length, fileBytes: undefined });
  }

  /**
   * An intact header found at `offset`; its record ends at `end`, or with the file. Returns false if it is not the log's next
   * record: then it is as if nothing stood there. `isIntact` tells about the body.
   */
  offer(header: RecordHeader, segment: ScannedSegment, offset: number, end: number, isIntact: boolean): boolean {
    if (header.batch > this.#highestBatch) this.#highestBatch = header.batch;
    if (header.kind === KIND_NOTE || header.kind === KIND_HEAD) {
      const file = this.#files.at(-1);
      assert(file !== undefined && file.number === segment.number, "a segment is begun before its headers are offered");
      if (header.kind === KIND_HEAD) file.fileBytes = header.index;
      this.#raise(header.durable);
      return false; // not a record: the place of a note is free for the next batch
    }
    const { lsn } = header;
    // W1: a later batch begins after all that is durable; what an earlier one has put above that is an attempt.
    if (header.batch > this.#lastBatch && lsn <= this.#lastLsn && lsn > header.durable)
      this.#dropAttempt(header.durable);
    if (lsn <= this.#lastLsn || header.batch < this.#lastBatch) return false; // R5
    if (this.#batchEnded && header.batch === this.#lastBatch) return false; // R5
    const isFirst = offset <= (header.version < VERSION_WITH_HEADS ? 0 : HEADER_BYTES);
    if (!this.#seen && this.#oldest > 1) this.#begin(lsn, segment.number, isFirst);
    if (lsn > this.#lastLsn + 1) this.#hole(this.#lastLsn + 1, lsn - 1, segment.number, isFirst);
    this.#seen = true;
    this.#lastLsn = lsn;
    this.#lastBatch = header.batch;
    this.#lastVersion = header.version;
    this.#batchEnded = (header.flags & FLAG_BATCH_END) !== 0;
    this.#isClipped = offset + HEADER_BYTES + header.bodyLength > segment.bytes.length;
    if (end > segment.bytes.length) end = segment.bytes.length;
    this.#end = { segment: segment.number, offset: end };
    const type = isIntact ? "record" : "rotten";
    const isCarried = (header.flags & FLAG_CARRIED) !== 0;
    const record = new RecoveredRecord(header, segment.bytes, offset + HEADER_BYTES);
    this.#open.push({ type, lsn, group: groupId(header.group), isCarried, record, segment, offset, end });
    this.#raise(header.durable);
    return true;
  }

  /** The verdict, after all segments. */
  finish(): AssembledLog {
    const cut = this.#findCut();
    const ghost = !this.#seen && this.#oldest > 1; // a first segment is only ever removed when the next one is durable
    if (cut !== undefined) {
      const lsn = Math.max(this.#lastLsn + cut.records, this.#durable);
      this.#open.push({ ...cut, type: "hole", first: this.#lastLsn + 1, lsn, isCut: true });
      this.#durable = lsn; // what follows is numbered from here, so the next start finds as many missing
    } else if (this.#durable > this.#lastLsn || ghost) {
      this.#hole(this.#lastLsn + 1, Math.max(this.#durable, this.#lastLsn + 1));
      this.#durable = Math.max(this.#durable, this.#lastLsn + 1);
    }
    this.#settle();
    const cutLsn = this.#cutLsn();
    const undecided: Place[] = [];
    const torn: Place[] = [];
    for (const item of this.#open) {
      if (item.type === "hole") {
        if (item.first <= this.#durable) this.#damageHole({ ...item, lsn: this.#durable });
        continue;
      }
      if (item.lsn >= cutLsn) {
        torn.push(item);
        continue;
      }
      assert(item.type === "record", "R2: everything above the watermark and below the cut can be read", item.lsn);
      this.#keep(item);
      undecided.push(item);
    }
    this.#pinHoles();
    for (const { number, fileBytes, length } of this.#files) {
      const segment = this.#segments.get(number);
      if (segment !== undefined) segment.fileBytes = fileBytes ?? length;
    }
    return {
      groups: new Map([...this.#groups].map(([group, records]) => [group, this.#inOrder(group, records)])),
      damage: this.#found.map((f) => f.damage),
      segments: [...this.#segments.values()].sort((a, b) => a.number - b.number),
      sticky: this.#sticky,
      nextLsn: Math.min(Math.max(this.#lastLsn, this.#durable) + 1, cutLsn),
      lastBatch: this.#highestBatch,
      undecided,
      torn,
      damagedSegments: new Set(this.#found.map((f) => f.segment)),
    };
  }

  /** R6: where records were cut off at the end of the log, and how many there can have been. */
  #findCut(): Cut | undefined {
    const at = this.#files.findIndex(({ number }) => number >= this.#end.segment);
    const last = this.#files[at];
    if (last === undefined) return undefined;
    let place = firstPlace(last);
    if (this.#seen) place = this.#batchEnded ? alignUp(this.#end.offset, SECTOR_BYTES) : this.#end.offset;
    const isClipped = this.#isClipped && this.#lastVersion >= VERSION_WITH_HEADS; // W7: it had its whole length
    if (isClipped || this.#isCut(last, place)) return this.#cutOff(last, place);

    // A batch that did not fit there went to the next file.
    const next = this.#seen ? this.#files[at + 1] : undefined;
    if (next === undefined) return undefined;
    if (next.number > last.number + 1) {
      const why = `the file ${segmentName(last.number + 1)} is gone`;
      return { segment: last.number, offset: this.#end.offset, why, records: recordsIn(this.#segmentBytes) };
    }
    place = firstPlace(next);
    return this.#isCut(next, place) ? this.#cutOff(next, place) : undefined;
  }

  /** True if the file stops before the header at `place`, and once had more room there than for a note. */
  #isCut({ fileBytes, length }: FileEnd, place: number): boolean {
    if (length >= place + HEADER_BYTES) return false;
    if (fileBytes !== undefined) return place < fileBytes - SECTOR_BYTES;
    return place === 0 && this.#lastVersion >= VERSION_WITH_HEADS; // F2; the first version named its files first
  }

  #cutOff({ number, length, fileBytes = this.#segmentBytes }: FileEnd, place: number): Cut {
    const why = `the file was cut from ${fileBytes} to ${length} bytes`;
    return { segment: number, offset: length, why, records: recordsIn(fileBytes - Math.min(place, length)) };
  }

  #dropAttempt(durable: number): void {
    while ((this.#open.at(-1)?.lsn ?? 0) > durable) this.#open.pop();
    this.#lastLsn = durable;
  }

  /** The first record of a log whose older segments are gone. The oldest segment left is durable from its start. */
  #begin(lsn: number, segment: number, isFirst: boolean): void {
    this.#lastLsn = lsn - 1;
    if (segment === this.#oldest && isFirst) return;
    this.#hole(lsn - 1, lsn - 1, segment, isFirst);
    this.#raise(lsn - 1);
  }

  /** LSNs `first` to `lsn` are missing before what stands in `nextSegment`, first there or not; or at the end. */
  #hole(first: number, lsn: number, nextSegment: number = this.#end.segment, isFirst: boolean = true): void {
    const elsewhere = nextSegment > this.#end.segment;
    const { segment, offset } = elsewhere && !isFirst ? { segment: nextSegment, offset: 0 } : this.#end;
    const why =
      nextSegment > this.#end.segment + 1
        ? `a segment is missing before ${segmentName(nextSegment)}`
        : first === lsn
          ? `record ${lsn} cannot be read`
          : `records ${first} to ${lsn} cannot be read`;
    const file = this.#files.find(({ number }) => number === segment);
    const isCut = file?.fileBytes !== undefined && file.length < file.fileBytes; // found by R6 at an earlier start
    this.#open.push({ type: "hole", first, lsn, segment, offset, why, isCut });
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
          this.#keep(item);
          break;
        case "rotten":
          this.#damageRecord(item);
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
      segment = new Segment(number, 0); // `finish` knows the length
      this.#segments.set(number, segment);
    }
    if (end > segment.bytes) segment.bytes = end;
    return segment;
  }

  #keep({ group, record, isCarried, segment, end }: Read): void {
    const { kind, index } = record;
    this.#segment(segment.number, end).hold(group, kind, index);
    const records = this.#recordsOf(group);
    if (!isSticky(kind)) {
      records.rest.push(record);
      if (index > records.highest) records.highest = index;
      if (isSlot(kind)) records.hasSlots = true;
      if (this.#found.length > 0) this.#heal(group, record);
      return;
    }
    if (isCarried) this.#keepCarried(group, record, records);
    else records.rest.push(record);
    this.#sticky.keep(group, record);
    this.#placeholders.delete(keyOf(group, kind));
    this.#heal(group, record);
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

  #damageRecord({ lsn, group, record, isCarried, segment, offset, end }: Read): void {
    const { kind, index } = record;
    this.#segment(segment.number, end).hold(group, kind, index);
    const records = this.#recordsOf(group);
    if (isSticky(kind)) {
      const known = this.#sticky.newest(group, kind);
      if (isCarried && known?.type === "intact" && isNamed(known.record, record)) return;
      this.#placeholders.set(keyOf(group, kind), records.rest.length);
      records.rest.push(undefined);
      this.#sticky.markDamaged(group, kind, segment.number);
    } else {
      if (index > records.highest) records.highest = index;
      if (isSlot(kind)) {
        records.hasSlots = true;
        this.#heal(group, record); // one report a slot: that of the newest record
      }
    }
    this.#found.push({
      lsn,
      segment: segment.number,
      damage: {
        segment: segmentName(segment.number),
        offset,
        why: "the body fails its checksum",
        records: 1,
        record: { group, kind, index, term: record.term },
      },
      upTo: undefined,
    });
  }

  #damageHole(hole: Hole): void {
    this.#segment(hole.segment, hole.offset);
    const records = hole.lsn - hole.first + 1;
    const { lsn, segment, offset, why, isCut } = hole;
    const damage = { segment: segmentName(segment), offset, why, records, record: undefined };
    this.#found.push({
      lsn,
      segment,
      damage: isCut ? { ...damage, isAtMost: true } : damage,
      upTo: new Map([...this.#groups].map(([group, { highest }]) => [group, highest + records])),
    });
  }

  /** Takes back damage that a later record makes harmless. */
  #heal(group: GroupId, later: LogRecord): void {
    if (this.#found.length === 0) return;
    this.#found = this.#found.filter(({ damage: { record } }) => {
      return record === undefined || record.group !== group || !isReplaced(record, later);
    });
  }

  /**
   * Nobody knows what a hole held. Its segment stays until every group has trimmed all that was recovered and all that can
   * have stood in the hole: then each state stands in a checkpoint that is newer. A slot can have been any.
   */
  #pinHoles(): void {
    for (const { segment: number, upTo, damage } of this.#found) {
      if (upTo === undefined) continue;
      const segment = this.#segment(number, 0);
      segment.lost += damage.records;
      for (const [group, { highest, hasSlots }] of this.#groups) {
        const pinned = Math.max(highest, upTo.get(group) ?? 0);
        if (pinned > 0) segment.hold(group, RecordKind.command, pinned);
        if (hasSlots) segment.unrepaired.add(group);
      }
    }
  }

  #inOrder(group: GroupId, { front, rest, hasSlots }: GroupRecords): readonly LogRecord[] {
    let whole: readonly LogRecord[] = rest.every(isRead) ? rest : rest.filter(isRead);
    if (hasSlots) whole = this.#newestSlots(group, whole);
    return front.length === 0 ? whole : front.concat(whole);
  }

  /** Leaves of each slot the newest record, and none if that one is damaged. */
  #newestSlots(group: GroupId, records: readonly LogRecord[]): readonly LogRecord[] {
    const later = new Set<number>();
    for (const { damage } of this.#found) {
      if (damage.record?.group === group && isSlot(damage.record.kind)) later.add(damage.record.index);
    }
    const newestFirst: LogRecord[] = [];
    for (let i = records.length - 1; i >= 0; i--) {
      const record = records[i];
      assert(record !== undefined, "a position within the list");
      if (isSlot(record.kind)) {
        if (later.has(record.index)) continue;
        later.add(record.index);
      }
      newestFirst.push(record);
    }
    return newestFirst.reverse();
  }

  #recordsOf(group: GroupId): GroupRecords {
    let records = this.#groups.get(group);
    if (records === undefined) {
      records = { front: [], rest: [], highest: 0, hasSlots: false };
      this.#groups.set(group, records);
    }
    return records;
  }
}

const keyOf = (group: GroupId, kind: number): string => `${group}/${kind}`;

const isNamed = (record: LogRecord, header: LogRecord): boolean =>
  record.index === header.index && record.term === header.term && record.bodyCrc === header.bodyCrc;

const isCopy = (a: LogRecord, b: LogRecord): boolean => isNamed(a, b) && a.body.length === b.body.length;

const isRead = (record: LogRecord | undefined): record is LogRecord => record !== undefined;

/** True if nothing is left of `earlier` once `later` is in the log. */
function isReplaced(earlier: { readonly kind: number; readonly index: number }, later: LogRecord): boolean {
  if (isSticky(later.kind)) return earlier.kind === later.kind;
  if (isSlot(later.kind)) return isSlot(earlier.kind) && earlier.index === later.index;
  return isEntry(earlier.kind) && earlier.index >= later.index;
}

/** The most records that can have stood in so many bytes. */
const recordsIn = (bytes: number): number => Math.ceil(bytes / HEADER_BYTES);

/** Where the first record of a file stands or would stand. */
const firstPlace = ({ fileBytes }: FileEnd): number => (fileBytes === undefined ? 0 : HEADER_BYTES);
