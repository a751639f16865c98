/**
 * The write-ahead log: one a node, for all its groups. Whatever consensus must not forget is here first.
 * Sources  group commit: Gray & Reuter 1992, section 9.4; what a checksum alone cannot tell, and why a bad record is not
 *          a short log: Alagappan et al., FAST'18; failed syncs: Rebello et al., ATC'20.
 * Owns     batches, segments, the durable watermark, the newest sticky records.
 * Leaves   what records mean to the groups; names of files to `segment-files.ts`; the verdict on damage to
 *          `recovered-log.ts`.
 *
 * W1. One writer. A batch is written and synced before the next is written, and a batch lies in one segment. So what can be
 *     lost or torn in a crash belongs to one batch (and to the note that it overwrites), and every header of a batch says
 *     truthfully: all before this batch is durable.
 * W2. Every record has the LSN after the one before, over all groups and segments, and a header that verifies only under
 *     the number of its segment. A missing record leaves a gap that can be seen, and an old one cannot pass as new.
 * W3. A batch starts at a sector, so writing it touches no byte that was ever acknowledged.
 * W4. Acknowledged means synced. When nothing follows for a while, a note (no LSN, overwritten by the next batch) carries
 *     the last batch's watermark, and is synced once, so that only the last milliseconds are undecided after a crash.
 * W5. The first batch of a segment, and the first after a start, begins with a copy of the newest sticky records. Only when
 *     it is durable may an older segment go, the oldest first, and only when its entries are trimmed.
 * W6. After an error of the disk nothing is written and nothing acknowledged. Too little space is no error: the batch waits
 *     and is tried again together with what gathered behind it, so that no record overtakes another. Its LSNs are used
 *     again, and leftovers of the attempt on the disk are told apart by their batch number.
 * W7. A file has its whole length, durably, before it has a number (F2) and before its first batch, which begins with a head
 *     that names the length. So no crash leaves a file shorter than its head says.
 *
 * Recovery (R1–R6 in `recovered-log.ts`) rests on W1: a bad record at or below the highest watermark was durable, which
 * makes it damage; one above belongs to the one batch that never was known to be durable, which makes it a torn tail, even
 * if later records of that batch survived.
 */
import { AssertionError, assert } from "../../base/assert.ts";
import { AlthingError, hasCode } from "../../base/errors.ts";
import type { GroupId, LogIndex } from "../../base/ids.ts";
import type { LogRecord } from "../../consensus/contract/record.ts";
import type { Timer } from "../../ports/clock.ts";
import type { DiskFile } from "../../ports/disk.ts";
import type { Ports } from "../../ports/ports.ts";
import { Batch, BatchEncoder } from "./batch.ts";
import type { SlotLog, WalRecovery, WalStats } from "./contract.ts";
import { alignUp, HEADER_BYTES, HeaderCodec, recordBytes, SECTOR_BYTES } from "./record-header.ts";
import { type RecoveredFiles, recover } from "./recovery.ts";
import { RoomWatch } from "./room-watch.ts";
import { Segment } from "./segment.ts";
import { SegmentFiles } from "./segment-files.ts";
import type { StickyTable } from "./sticky-table.ts";

const SEGMENT_BYTES = 16 * 1024 * 1024;
const SEGMENT_BYTES_MIN = 4 * 1024;
/** A log at rest for so long says so in a note. */
const NOTE_MS = 50;
const FULL_RETRY_MS = 250;

export type WalPorts = Pick<Ports, "disk" | "kernels" | "observer" | "clock">;

export interface WalOptions {
  /** Relative to the data folder; made if it is missing. */
  readonly folder: string;
  /** Default 16 MiB; a multiple of 512. A larger record gets a segment of its own size. */
  readonly segmentBytes?: number;
  /** Free space under which `hasRoom` is false. */
  readonly diskReserveBytes: number;
}

type State =
  | { readonly type: "open" }
  | { readonly type: "failed"; readonly error: AlthingError }
  | { readonly type: "closed" };

/** The segment that is written to. */
interface Active {
  readonly segment: Segment;
  readonly file: DiskFile;
  /** W5: a copy of the newest sticky records is durable here. Not known after a start: the copy may have been torn. */
  carried: boolean;
}

export class Wal implements SlotLog {
  readonly #ports: WalPorts;
  readonly #codec: HeaderCodec;
  readonly #encoder: BatchEncoder;
  readonly #files: SegmentFiles;
  readonly #room: RoomWatch;
  readonly #sticky: StickyTable;
  readonly #segmentBytes: number;
  /** Ascending; the active one is the last. */
  readonly #segments: Segment[];
  readonly #damaged: ReadonlySet<number>;
  readonly #trims = new Map<GroupId, number>();

  #state: State = { type: "open" };
  #active: Active | undefined;
  #gathering = new Batch();
  #writing: Batch | undefined;
  #pump: Promise<void> | undefined;
  #maintenance: Promise<void> | undefined;
  #noteTimer: Timer | undefined;
  /** Set while a batch waits for space. */
  #retry: Timer | undefined;
  #noteDue = false;

  #nextLsn: number;
  #batch: number;

  #flushes = 0;
  #recycled = 0;
  #lastFlushMs = 0;
  #flushedAtMs: number;

  /** Recovers the log in `folder`, or begins one. Fails with DISK_FAILED, DATA_NEWER. */
  static async open(
    ports: WalPorts,
    options: WalOptions,
  ): Promise<{ readonly wal: Wal; readonly recovery: WalRecovery }> {
    const segmentBytes = options.segmentBytes ?? SEGMENT_BYTES;
    assert(segmentBytes >= SEGMENT_BYTES_MIN && segmentBytes % SECTOR_BYTES === 0, "segments of whole sectors", {
      segmentBytes,
    });
    const codec = new HeaderCodec();
    const startMs = ports.clock.monotonicMs();
    const found = await recover(ports, codec, { folder: options.folder, segmentBytes });
    const { log } = found;
    const files = new SegmentFiles(ports.disk, { ...found, folder: options.folder, segmentBytes });
    const last = log.segments.at(-1);
    let active: Active | undefined;
    if (last !== undefined && !log.damagedSegments.has(last.number)) {
      const file = await ports.disk.open(files.path(last.number), { create: false });
      assert(file !== undefined, "the last segment exists");
      last.bytes = alignUp(last.bytes, SECTOR_BYTES);
      active = { segment: last, file, carried: false };
    }
    const room = new RoomWatch(ports, options.diskReserveBytes);
    await room.check();
    const wal = new Wal(ports, { codec, files, room, found, active, segmentBytes });
    ports.observer.observe({
      type: "wal-recovered",
      level: log.damage.length > 0 ? "warn" : "debug",
      segments: log.segments.length,
      records: log.nextLsn - 1,
      tornBytes: found.tornBytes,
      damage: log.damage.length,
      tookMs: ports.clock.monotonicMs() - startMs,
    });
    return { wal, recovery: { groups: log.groups, tornBytes: found.tornBytes, damage: log.damage } };
  }

  private constructor(
    ports: WalPorts,
    parts: {
      readonly codec: HeaderCodec;
      readonly files: SegmentFiles;
      readonly room: RoomWatch;
      readonly found: RecoveredFiles;
      readonly active: Active | undefined;
      readonly segmentBytes: number;
    },
  ) {
    const { log } = parts.found;
    this.#ports = ports;
    this.#codec = parts.codec;
    this.#encoder = new BatchEncoder(parts.codec);
    this.#files = parts.files;
    this.#room = parts.room;
    this.#sticky = log.sticky;
    this.#segmentBytes = parts.segmentBytes;
    this.#segments = [...log.segments];
    this.#damaged = log.damagedSegments;
    this.#active = parts.active;
    this.#nextLsn = log.nextLsn;
    this.#batch = log.lastBatch;
    this.#flushedAtMs = ports.clock.monotonicMs();
    if (this.#active !== undefined) this.#armNote(NOTE_MS);
  }

  get hasRoom(): boolean {
    return this.#room.hasRoom;
  }

  get isDamaged(): boolean {
    return this.#segments.some((segment) => this.#damaged.has(segment.number));
  }

  get stats(): WalStats {
    return {
      segments: this.#segments.length,
      bytes: this.#segments.reduce((sum, segment) => sum + segment.bytes, 0),
      flushes: this.#flushes,
      recycled: this.#recycled,
      lastFlushMs: this.#lastFlushMs,
    };
  }

  /** After a failure or `close` the records go nowhere; the next `flush` says so. */
  append(group: GroupId, records: readonly LogRecord[]): void {
    if (this.#state.type === "open") this.#gathering.add(group, records);
  }

  flush(): Promise<void> {
    switch (this.#state.type) {
      case "failed":
        return Promise.reject(this.#state.error);
      case "closed":
        return Promise.reject(new AlthingError("CLOSED", "Cannot write the log: it is closed"));
      case "open": {
        if (this.#gathering.records.length === 0) return this.#writing?.done?.promise ?? Promise.resolve();
        const durable = this.#gathering.request(this.#ports.clock.monotonicMs());
        this.#start();
        return durable;
      }
    }
  }

  trim(group: GroupId, upTo: LogIndex): void {
    const before = this.#trims.get(group);
    if (before !== undefined && before >= upTo) return;
    if (before === undefined && this.#damaged.size > 0) for (const segment of this.#segments) segment.meet(group, upTo);
    this.#trims.set(group, upTo);
    this.#maintain();
  }

  repaired(group: GroupId): void {
    for (const segment of this.#segments) segment.unrepaired.delete(group);
    this.#maintain();
  }

  oldestOpenMs(): number {
    const oldest = this.#writing ?? (this.#gathering.done === undefined ? undefined : this.#gathering);
    return oldest === undefined ? 0 : this.#ports.clock.monotonicMs() - oldest.sinceMs;
  }

  /** Finishes the flushes that were asked for and leaves a synced note. Records without a flush are dropped. */
  async close(): Promise<void> {
    if (this.#state.type === "closed") return;
    while (this.#pump !== undefined) await this.#pump;
    const failed = this.#state.type === "failed";
    this.#state = { type: "closed" };
    this.#noteTimer?.cancel();
    this.#retry?.cancel();
    if (this.#retry !== undefined) {
      const error = new AlthingError("DISK_FULL", "Cannot write the log: it was closed while the disk was full");
      this.#gathering.done?.reject(error);
    }
    this.#room.close();
    await this.#files.idle();
    await this.#maintenance;
    const active = this.#active;
    if (active === undefined) return;
    this.#active = undefined;
    try {
      if (!failed) await this.#note(active);
      if (!failed) await active.file.sync();
    } finally {
      await active.file.close();
    }
  }

  /** Runs the writer unless it runs. */
  #start(): void {
    this.#pump ??= this.#run().finally(() => {
      this.#pump = undefined;
      const waits = this.#retry !== undefined || this.#state.type !== "open";
      if (this.#gathering.done !== undefined && !waits) this.#start();
    });
  }

  /** The one writer (W1): batches as they gather, and a note when there are none. */
  async #run(): Promise<void> {
    while (this.#state.type === "open" && this.#retry === undefined) {
      if (this.#gathering.done !== undefined) {
        const batch = this.#gathering;
        this.#gathering = new Batch();
        await this.#flushBatch(batch);
      } else if (this.#noteDue && this.#active !== undefined) {
        this.#noteDue = false;
        const { file } = this.#active;
        await this.#note(this.#active)
          .then(() => file.sync())
          .catch((error: unknown) => {
            if (!hasCode(error, "DISK_FULL")) this.#fail(error);
          });
      } else {
        return;
      }
    }
  }

  async #flushBatch(batch: Batch): Promise<void> {
    this.#writing = batch;
    const startMs = this.#ports.clock.monotonicMs();
    try {
      await this.#persist(batch);
    } catch (error) {
      this.#writing = undefined;
      if (!hasCode(error, "DISK_FULL")) {
        batch.done?.reject(this.#fail(error));
        if (error instanceof AssertionError) throw error;
        return;
      }
      this.#waitForSpace(batch);
      return;
    }
    this.#writing = undefined;
    const nowMs = this.#ports.clock.monotonicMs();
    this.#flushes++;
    this.#flushedAtMs = nowMs;
    this.#lastFlushMs = nowMs - startMs;
    batch.done?.resolve();
    this.#noteDue = false;
    this.#armNote(NOTE_MS);
    this.#room.touch(nowMs);
    this.#maintain();
    this.#ports.observer.observe({
      type: "wal-flush",
      records: batch.records.length,
      bytes: batch.bytes,
      tookMs: this.#lastFlushMs,
    });
  }

  /** W6: the batch goes to the front of the line. */
  #waitForSpace(batch: Batch): void {
    this.#room.full();
    batch.join(this.#gathering);
    this.#gathering = batch;
    this.#ports.observer.observe({ type: "wal-full", level: "warn", records: batch.records.length });
    this.#retry = this.#ports.clock.timer(FULL_RETRY_MS, () => {
      this.#retry = undefined;
      if (this.#state.type === "open") this.#start();
    });
  }

  /** One write and one sync, unless the batch is larger than a segment. */
  async #persist(batch: Batch): Promise<void> {
    const { groups, records } = batch;
    let leftBytes = batch.bytes;
    for (let from = 0; from < records.length; ) {
      const active = await this.#activeFor(leftBytes);
      const { segment, file } = active;
      const carried = active.carried ? [] : this.#sticky.carried();
      let end = segment.bytes === 0 ? HEADER_BYTES : segment.bytes;
      for (const { record } of carried) end += recordBytes(record.body.length);
      let to = from;
      for (; to < records.length; to++) {
        const size = recordBytes(records[to]?.body.length ?? 0);
        if (to > from && end + size > capacityOf(segment)) break;
        end += size;
        leftBytes -= size;
      }
      const isFirst = segment.bytes === 0;
      if (isFirst) await this.#lengthen(active, end);
      const head = isFirst ? segment.fileBytes : undefined;
      const encoded = this.#encoder.encode(head, carried, { groups, records, from, to }, this.#nextLsn, {
        segment: segment.number,
        durable: this.#nextLsn - 1,
        batch: ++this.#batch,
      });
      await file.write(encoded.buffers, segment.bytes);
      await file.sync();
      active.carried = true;
      segment.bytes += encoded.bytes;
      this.#nextLsn += encoded.records;
      for (; from < to; from++) {
        const group = groups[from];
        const record = records[from];
        assert(group !== undefined && record !== undefined, "a record for each group");
        segment.hold(group, record.kind, record.index);
        this.#sticky.keep(group, record);
      }
    }
  }

  /** W7, for one huge record: its file gets the length that it needs before it is written. */
  async #lengthen({ segment, file }: Active, end: number): Promise<void> {
    if (end <= capacityOf(segment)) return;
    const fileBytes = alignUp(end, SECTOR_BYTES) + SECTOR_BYTES;
    await file.truncate(fileBytes);
    await file.sync();
    segment.fileBytes = fileBytes;
  }

  /** The active segment if `bytes` fit, else a new one. A new segment takes what it is given. */
  async #activeFor(bytes: number): Promise<Active> {
    const active = this.#active;
    if (active !== undefined) {
      const { segment } = active;
      if (segment.bytes === 0 || segment.bytes + bytes <= capacityOf(segment)) return active;
    }
    const { number, file } = await this.#files.next();
    const segment = new Segment(number, this.#segmentBytes);
    this.#active = { segment, file, carried: false };
    this.#segments.push(segment);
    await active?.file.close();
    await this.#room.check();
    return this.#active;
  }

  /** W4. Fails with DISK_FULL, DISK_FAILED. */
  async #note({ segment, file }: Active): Promise<void> {
    const stamp = { segment: segment.number, durable: this.#nextLsn - 1, batch: this.#batch };
    if (segment.bytes > 0 && segment.bytes <= capacityOf(segment))
      await file.write([this.#codec.note(stamp)], segment.bytes);
  }

  #armNote(delayMs: number): void {
    this.#noteTimer ??= this.#ports.clock.timer(delayMs, () => {
      this.#noteTimer = undefined;
      if (this.#state.type !== "open") return;
      const leftMs = NOTE_MS - (this.#ports.clock.monotonicMs() - this.#flushedAtMs);
      if (leftMs > 0) {
        this.#armNote(leftMs); // there was another flush meanwhile: one timer serves them all
        return;
      }
      this.#noteDue = true;
      this.#start();
    });
  }

  /** Work beside the writer: gives old segments back, and makes the next one before it is needed. */
  #maintain(): void {
    if (this.#state.type !== "open" || this.#maintenance !== undefined) return;
    if (this.#releasable() === undefined && !this.#wantsSegment()) return;
    this.#maintenance = this.#work()
      .catch((error: unknown) => {
        if (hasCode(error, "DISK_FULL")) this.#room.full();
        else this.#fail(error);
        if (error instanceof AssertionError) throw error;
      })
      .finally(() => {
        this.#maintenance = undefined;
      });
  }

  async #work(): Promise<void> {
    while (this.#state.type === "open") {
      const oldest = this.#releasable();
      if (oldest !== undefined) {
        const fate = await this.#files.release(oldest.number);
        this.#segments.shift();
        this.#recycled++;
        this.#ports.observer.observe({ type: "wal-segment-released", segment: oldest.number, fate });
      } else if (this.#wantsSegment()) {
        await this.#files.prepare();
        await this.#room.check();
      } else {
        return;
      }
    }
  }

  /** W5: the oldest segment, if it may go. */
  #releasable(): Segment | undefined {
    const oldest = this.#segments[0];
    const active = this.#active;
    if (oldest === undefined || active === undefined || oldest === active.segment || !active.carried) return undefined;
    return oldest.isTrimmed(this.#trims) && !this.#sticky.pins(oldest.number) ? oldest : undefined;
  }

  /** A quarter of the active segment is used, nothing is ready, and the reserve is not at stake. */
  #wantsSegment(): boolean {
    const used = this.#active?.segment.bytes ?? 0;
    return this.#files.prepared === 0 && this.#room.hasRoom && used > this.#segmentBytes / 4;
  }

  /** W6: latches, and tells everyone who waits. */
  #fail(error: unknown): AlthingError {
    if (this.#state.type === "failed") return this.#state.error;
    const failure = hasCode(error, "DISK_FAILED")
      ? error
      : new AlthingError("DISK_FAILED", `Cannot write the log: ${String(error)}`, { cause: error });
    this.#state = { type: "failed", error: failure };
    this.#ports.observer.observe({ type: "wal-failed", level: "warn", why: failure.message });
    this.#noteTimer?.cancel();
    this.#retry?.cancel();
    if (this.#retry !== undefined) {
      const error = new AlthingError("DISK_FULL", "Cannot write the log: it was closed while the disk was full");
      this.#gathering.done?.reject(error);
    }
    this.#room.close();
    this.#gathering.done?.reject(failure);
    this.#writing?.done?.reject(failure);
    return failure;
  }
}

/** Bytes of a segment that batches may take; the last sector is for a note. */
const capacityOf = (segment: Segment): number => segment.fileBytes - SECTOR_BYTES;
