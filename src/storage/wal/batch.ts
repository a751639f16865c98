/**
 * The records that gather for one flush, and their encoding. Owns the reusable memory for headers; bodies are handed to the
 * disk where they stand, except small ones, which are copied beside their headers because an entry of a vectored write
 * costs more than the copy.
 */
import { assert } from "../../base/assert.ts";
import { Deferred } from "../../base/deferred.ts";
import type { GroupId } from "../../base/ids.ts";
import type { LogRecord } from "../../consensus/contract/record.ts";
import {
  alignUp,
  type BatchStamp,
  FLAG_BATCH_END,
  FLAG_CARRIED,
  HEADER_BYTES,
  type HeaderCodec,
  RECORD_ALIGNMENT,
  recordBytes,
  SECTOR_BYTES,
} from "./record-header.ts";

const COPIED_BODY_BYTES_MAX = 1_024;
const SCRATCH_BYTES = 64 * 1024;

/** Records in the order of `append`, as two parallel lists. One promise a batch, made when the first flush asks for it. */
export class Batch {
  readonly groups: GroupId[] = [];
  readonly records: LogRecord[] = [];
  /** Encoded size, without the padding to the sector. */
  bytes = 0;
  /** Monotonic time of the first `flush`. */
  sinceMs = 0;
  done: Deferred<void> | undefined;

  add(group: GroupId, records: readonly LogRecord[]): void {
    for (const record of records) {
      this.groups.push(group);
      this.records.push(record);
      this.bytes += recordBytes(record.body.length);
    }
  }

  /** Takes in a later batch: one flush makes both durable. */
  join(later: Batch): void {
    this.groups.push(...later.groups);
    this.records.push(...later.records);
    this.bytes += later.bytes;
    const { done } = later;
    if (done === undefined) return;
    assert(this.done !== undefined, "an earlier batch was asked for before a later one");
    this.done.promise.then(done.resolve, done.reject);
  }

  /** The promise that the batch is durable. */
  request(nowMs: number): Promise<void> {
    if (this.done === undefined) {
      this.done = new Deferred<void>();
      this.sinceMs = nowMs;
    }
    return this.done.promise;
  }
}

/** A part of a batch that goes to one segment with one write. */
export interface BatchPart {
  readonly groups: readonly GroupId[];
  readonly records: readonly LogRecord[];
  readonly from: number;
  readonly to: number;
}

export interface EncodedPart {
  readonly buffers: readonly Uint8Array[];
  /** A multiple of the sector. */
  readonly bytes: number;
  readonly records: number;
}

export class BatchEncoder {
  readonly #codec: HeaderCodec;
  #scratch = new Uint8Array(SCRATCH_BYTES);
  #view = new DataView(this.#scratch.buffer);
  #at = 0;
  /** Start of the scratch bytes that are not yet in `#buffers`. */
  #from = 0;
  #buffers: Uint8Array[] = [];
  #bytes = 0;

  constructor(codec: HeaderCodec) {
    this.#codec = codec;
  }

  /**
   * The segment's head if it is its first batch (`headBytes` is then the length of the file), `carried` records, the part;
   * with LSNs from `firstLsn`. The buffers stay valid until the next call, so there is one write at a time.
   */
  encode(
    headBytes: number | undefined,
    carried: readonly Carried[],
    part: BatchPart,
    firstLsn: number,
    stamp: BatchStamp,
  ): EncodedPart {
    const count = carried.length + part.to - part.from;
    assert(count > 0, "an empty batch is not written");
    this.#at = 0;
    this.#from = 0;
    this.#buffers = [];
    this.#bytes = 0;
    if (headBytes !== undefined) {
      this.#codec.writeHead(this.#scratch, this.#view, 0, headBytes, stamp);
      this.#advance(HEADER_BYTES);
    }
    let lsn = firstLsn;
    const last = firstLsn + count - 1;
    for (const { group, record } of carried) {
      this.#record(group, record, FLAG_CARRIED | (lsn === last ? FLAG_BATCH_END : 0), lsn++, stamp);
    }
    for (let i = part.from; i < part.to; i++) {
      const group = part.groups[i];
      const record = part.records[i];
      assert(group !== undefined && record !== undefined, "a part within its batch", { i });
      this.#record(group, record, lsn === last ? FLAG_BATCH_END : 0, lsn++, stamp);
    }
    this.#zeroes(alignUp(this.#bytes, SECTOR_BYTES) - this.#bytes);
    this.#cut();
    return { buffers: this.#buffers, bytes: this.#bytes, records: count };
  }

  #record(group: GroupId, record: LogRecord, flags: number, lsn: number, stamp: BatchStamp): void {
    const { body } = record;
    const isCopied = body.length <= COPIED_BODY_BYTES_MAX;
    this.#room(HEADER_BYTES + (isCopied ? body.length + RECORD_ALIGNMENT : 0));
    this.#codec.write(this.#scratch, this.#view, this.#at, record, group, lsn, flags, stamp);
    this.#advance(HEADER_BYTES);
    if (isCopied) {
      this.#scratch.set(body, this.#at);
      this.#advance(body.length);
    } else {
      this.#cut();
      this.#buffers.push(body);
      this.#bytes += body.length;
    }
    this.#zeroes(-body.length & (RECORD_ALIGNMENT - 1)); // headers are whole steps
  }

  #zeroes(count: number): void {
    if (count === 0) return;
    this.#room(count);
    this.#scratch.fill(0, this.#at, this.#at + count);
    this.#advance(count);
  }

  #advance(count: number): void {
    this.#at += count;
    this.#bytes += count;
  }

  /** Ends the run of scratch bytes, so that what follows is a buffer of its own. */
  #cut(): void {
    if (this.#at > this.#from) this.#buffers.push(this.#scratch.subarray(this.#from, this.#at));
    this.#from = this.#at;
  }

  /** More scratch: the run so far keeps the old memory, so nothing is copied. */
  #room(count: number): void {
    if (this.#at + count <= this.#scratch.length) return;
    this.#cut();
    this.#scratch = new Uint8Array(Math.min(this.#scratch.length * 2, 4 * 1024 * 1024));
    this.#view = new DataView(this.#scratch.buffer);
    this.#at = 0;
    this.#from = 0;
  }
}

/** The newest sticky record of a group and kind, on its way into a new segment. */
export interface Carried {
  readonly group: GroupId;
  readonly record: LogRecord;
}
