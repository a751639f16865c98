/**
 * The fixed header that stands before every record of the log, little-endian:
 *
 *   0 u32 CRC-32 of bytes 4..72, seeded with the segment's number    32 u53 index
 *   4 u16 magic   6 u8 version   7 u8 flags                          40 u53 term
 *   8 u16 kind   10 u16 zero    12 u32 body length                   48 u53 lsn
 *  16 u32 body CRC-32           20 u32 chain                         56 u53 durable watermark
 *  24 u53 group                                                      64 u53 batch
 *
 * CRC-32 maps different seeds to different sums over the same bytes, so a record of a recycled segment never verifies under
 * the segment's new number. Header and body have a sum each: an intact header still names an entry whose body rotted.
 * Records start at multiples of 8 bytes, batches at multiples of a sector. Version 2 has heads; version 1, without them, is
 * still read.
 */
import { AlthingError } from "../../base/errors.ts";
import type { GroupId } from "../../base/ids.ts";
import type { LogRecord } from "../../consensus/contract/record.ts";
import { sumOf } from "./header-sum.ts";

export const HEADER_BYTES = 72;
/** Records are scanned for at this step. */
export const RECORD_ALIGNMENT = 8;
/** What a disk writes whole or not at all; no two batches share one. */
export const SECTOR_BYTES = 512;

const MAGIC = 0xa15c;
const VERSION = 2;

/** The last record of its batch: the next one begins at the next sector. */
export const FLAG_BATCH_END = 1;
/** A copy of a sticky record from an older segment, made so that the older segment may go. */
export const FLAG_CARRIED = 2;

/** Not a record: it has no LSN and no body, says only how far the log is durable, and the next batch overwrites it. */
export const KIND_NOTE = 0x8000;

/**
 * Not a record either: the first header of a segment, written with its first batch. `index` is the length of the file,
 * durable before that batch was written. So a file that is shorter than its head says was cut by somebody else.
 */
export const KIND_HEAD = 0x8001;

/** From this version on every segment with records has a head, and no file has a number before it has its length. */
export const VERSION_WITH_HEADS = 2;

export interface RecordHeader {
  readonly version: number;
  readonly flags: number;
  readonly kind: number;
  readonly bodyLength: number;
  readonly bodyCrc: number;
  readonly chain: number;
  readonly group: number;
  readonly index: number;
  readonly term: number;
  /** Position in the node's whole log, from 1, without gaps. */
  readonly lsn: number;
  /** The highest LSN that was known to be durable when this header was written. */
  readonly durable: number;
  /** Rises with every attempt to write a batch. */
  readonly batch: number;
}

export const alignUp = (value: number, step: number): number => Math.ceil(value / step) * step;

/** Bytes that a record with such a body takes, with its header and alignment. */
export const recordBytes = (bodyLength: number): number => alignUp(HEADER_BYTES + bodyLength, RECORD_ALIGNMENT);

/** What all headers of one batch have in common. */
export interface BatchStamp {
  readonly segment: number;
  readonly durable: number;
  readonly batch: number;
}

/** What `read` fills in. */
type MutableHeader = { -readonly [Field in keyof RecordHeader]: RecordHeader[Field] };

/** Reads and writes headers. */
export class HeaderCodec {
  readonly #header: MutableHeader = {
    version: 0,
    flags: 0,
    kind: 0,
    bodyLength: 0,
    bodyCrc: 0,
    chain: 0,
    group: 0,
    index: 0,
    term: 0,
    lsn: 0,
    durable: 0,
    batch: 0,
  };

  /** The parts of the stamp come one by one: this runs once a record. */
  write(
    target: Uint8Array,
    view: DataView,
    at: number,
    record: LogRecord,
    group: GroupId,
    lsn: number,
    flags: number,
    batch: BatchStamp,
  ): void {
    view.setUint32(at + 4, MAGIC | (VERSION << 16) | (flags << 24), true);
    view.setUint32(at + 8, record.kind, true); // and two bytes of zero
    view.setUint32(at + 12, record.body.length, true);
    view.setUint32(at + 16, record.bodyCrc, true);
    view.setUint32(at + 20, record.chain, true);
    setU53(view, at + 24, group);
    setU53(view, at + 32, record.index);
    setU53(view, at + 40, record.term);
    setU53(view, at + 48, lsn);
    setU53(view, at + 56, batch.durable);
    setU53(view, at + 64, batch.batch);
    seal(target, view, at, batch.segment);
  }

  /** The head of a segment in a file of `fileBytes`. */
  writeHead(target: Uint8Array, view: DataView, at: number, fileBytes: number, batch: BatchStamp): void {
    target.fill(0, at, at + HEADER_BYTES);
    view.setUint32(at + 4, MAGIC | (VERSION << 16), true);
    view.setUint32(at + 8, KIND_HEAD, true);
    setU53(view, at + 32, fileBytes);
    setU53(view, at + 56, batch.durable);
    setU53(view, at + 64, batch.batch);
    seal(target, view, at, batch.segment);
  }

  /** A note: one sector that carries the watermark of `batch` and nothing else. */
  note(batch: BatchStamp): Uint8Array {
    const target = new Uint8Array(SECTOR_BYTES);
    const view = new DataView(target.buffer);
    view.setUint32(4, MAGIC | (VERSION << 16), true);
    view.setUint32(8, KIND_NOTE, true);
    setU53(view, 56, batch.durable);
    setU53(view, 64, batch.batch);
    seal(target, view, 0, batch.segment);
    return target;
  }

  /**
   * The header at `at`, or undefined if there is none of this segment. The object is the codec's own: the next call fills it
   * anew, because a recovery reads millions. Fails with DATA_NEWER.
   */
  read(source: Uint8Array, view: DataView, at: number, segment: number): RecordHeader | undefined {
    if (at + HEADER_BYTES > source.length || view.getUint16(at + 4, true) !== MAGIC) return undefined;
    if (sumOf(source, at + 4, at + HEADER_BYTES, seedOf(segment)) !== view.getUint32(at, true)) return undefined;
    const header = this.#header;
    header.version = view.getUint8(at + 6);
    if (header.version > VERSION) {
      throw new AlthingError(
        "DATA_NEWER",
        `Cannot read the log: its format ${header.version} is newer than ${VERSION}`,
      );
    }
    header.flags = view.getUint8(at + 7);
    header.kind = view.getUint16(at + 8, true);
    header.bodyLength = view.getUint32(at + 12, true);
    header.bodyCrc = view.getUint32(at + 16, true);
    header.chain = view.getUint32(at + 20, true);
    header.group = getU53(view, at + 24);
    header.index = getU53(view, at + 32);
    header.term = getU53(view, at + 40);
    header.lsn = getU53(view, at + 48);
    header.durable = getU53(view, at + 56);
    header.batch = getU53(view, at + 64);
    return header;
  }
}

function seal(target: Uint8Array, view: DataView, at: number, segment: number): void {
  view.setUint32(at, sumOf(target, at + 4, at + HEADER_BYTES, seedOf(segment)), true);
}

const seedOf = (segment: number): number => segment >>> 0;

function setU53(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true); // ToUint32 takes the value modulo 2^32
  view.setUint32(at + 4, value < 0x1_0000_0000 ? 0 : Math.floor(value / 0x1_0000_0000), true);
}

function getU53(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
}
