/**
 * A file of batches, each whole or absent: the durable half of the memory engine.
 *
 * A frame starts at a multiple of a sector:
 *   0 u32 CRC-32 of bytes 4..32   4 u32 magic   8 u32 type (1 batch, 2 mark)   12 u32 length of the payload
 *  16 u32 CRC-32 of the payload  20 u32 zero   24 u53 sequence                 32 payload
 *
 * L1. A batch is written and synced; then a mark with its sequence is written behind it and synced; then it counts. The next
 *     batch overwrites the mark.
 * L2. So a frame that cannot be read is damage if a mark or a batch with its sequence or a higher one stands anywhere, and
 *     else a batch that never counted: it is cut off.
 * L3. A batch that can be read and has no mark is kept, but written again and synced first: after a failed sync the page
 *     cache may show what the disk does not have.
 */
import { assert } from "../../base/assert.ts";
import { AlthingError } from "../../base/errors.ts";
import type { DiskFile } from "../../ports/disk.ts";
import type { Kernels } from "../../ports/kernels.ts";

const SECTOR_BYTES = 512;
const HEADER_BYTES = 32;
const MAGIC = 0xa15e0001;
const TYPE_BATCH = 1;
const TYPE_MARK = 2;

interface Frame {
  readonly type: number;
  readonly sequence: number;
  readonly payload: Uint8Array;
  readonly intact: boolean;
  readonly end: number;
}

export class BatchLog {
  readonly #file: DiskFile;
  readonly #kernels: Pick<Kernels, "crc32">;
  /** Where the next batch goes. */
  #end = 0;
  #sequence: number;

  private constructor(file: DiskFile, kernels: Pick<Kernels, "crc32">, sequence: number) {
    this.#file = file;
    this.#kernels = kernels;
    this.#sequence = sequence;
  }

  /** An empty log; `file` is empty. Sequences go on from `sequence`. */
  static create(file: DiskFile, kernels: Pick<Kernels, "crc32">, sequence: number): BatchLog {
    return new BatchLog(file, kernels, sequence);
  }

  /** Hands every batch to `replay` in order and makes the log ready for more. Fails with DATA_CORRUPT. */
  static async open(
    file: DiskFile,
    kernels: Pick<Kernels, "crc32">,
    replay: (payload: Uint8Array) => void,
  ): Promise<BatchLog> {
    const log = new BatchLog(file, kernels, 0);
    await log.#recover(await readAll(file), replay);
    return log;
  }

  get bytes(): number {
    return this.#end;
  }

  get sequence(): number {
    return this.#sequence;
  }

  /** Writes without making durable: `commit` does that for all batches since the last one. */
  async write(payload: Uint8Array): Promise<void> {
    const frame = this.#frame(TYPE_BATCH, this.#sequence + 1, payload);
    const size = alignUp(HEADER_BYTES + payload.length);
    const padding = new Uint8Array(size - HEADER_BYTES - payload.length);
    await this.#file.write([frame, payload, padding], this.#end);
    this.#end += size;
    this.#sequence++;
  }

  /** L1. */
  async commit(): Promise<void> {
    await this.#file.sync();
    await this.#file.write([this.#frame(TYPE_MARK, this.#sequence, new Uint8Array(0))], this.#end);
    await this.#file.sync();
  }

  /** Takes back batches written since `mark`: they did not count. */
  async rollback(mark: { readonly bytes: number; readonly sequence: number }): Promise<void> {
    await this.#file.truncate(mark.bytes);
    this.#end = mark.bytes;
    this.#sequence = mark.sequence;
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async #recover(bytes: Uint8Array, replay: (payload: Uint8Array) => void): Promise<void> {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let last: { readonly from: number; readonly end: number } | undefined;
    let highest = 0;
    for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
      const frame = this.#read(bytes, view, at);
      if (frame === undefined) continue;
      if (frame.type === TYPE_MARK || frame.intact) highest = Math.max(highest, frame.sequence);
      const isNext = at === this.#end && (this.#end === 0 || frame.sequence === this.#sequence + 1);
      if (frame.type !== TYPE_BATCH || !frame.intact || !isNext) continue;
      replay(frame.payload);
      this.#sequence = frame.sequence;
      last = { from: at, end: frame.end };
      this.#end = frame.end;
      at = frame.end - SECTOR_BYTES;
    }
    if (highest > this.#sequence) {
      throw new AlthingError("DATA_CORRUPT", `Cannot open ${this.#file.path}: batch ${this.#sequence + 1} is damaged`, {
        details: { path: this.#file.path, offset: this.#end, durable: highest },
      });
    }
    const mark = this.#read(bytes, view, this.#end);
    const isMarked = mark?.type === TYPE_MARK && mark.sequence === this.#sequence;
    if (isMarked && bytes.length === this.#end + HEADER_BYTES) return;
    if (last !== undefined) await this.#file.write([bytes.subarray(last.from, last.end)], last.from); // L3
    await this.#file.truncate(this.#end);
    await this.commit();
  }

  #read(bytes: Uint8Array, view: DataView, at: number): Frame | undefined {
    if (at + HEADER_BYTES > bytes.length || view.getUint32(at + 4, true) !== MAGIC) return undefined;
    if (this.#kernels.crc32(bytes.subarray(at + 4, at + HEADER_BYTES)) !== view.getUint32(at, true)) return undefined;
    const length = view.getUint32(at + 12, true);
    const payload = bytes.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length);
    const end = at + alignUp(HEADER_BYTES + length);
    return {
      type: view.getUint32(at + 8, true),
      sequence: view.getUint32(at + 28, true) * 0x1_0000_0000 + view.getUint32(at + 24, true),
      payload,
      intact:
        payload.length === length &&
        end <= alignUp(bytes.length) &&
        this.#kernels.crc32(payload) === view.getUint32(at + 16, true),
      end,
    };
  }

  #frame(type: number, sequence: number, payload: Uint8Array): Uint8Array {
    const bytes = new Uint8Array(HEADER_BYTES);
    const view = new DataView(bytes.buffer);
    view.setUint32(4, MAGIC, true);
    view.setUint32(8, type, true);
    view.setUint32(12, payload.length, true);
    view.setUint32(16, this.#kernels.crc32(payload), true);
    view.setUint32(24, sequence >>> 0, true);
    view.setUint32(28, Math.floor(sequence / 0x1_0000_0000), true);
    view.setUint32(0, this.#kernels.crc32(bytes.subarray(4)), true);
    return bytes;
  }
}

async function readAll(file: DiskFile): Promise<Uint8Array> {
  const bytes = new Uint8Array(await file.length());
  for (let at = 0; at < bytes.length; ) {
    const count = await file.read(bytes.subarray(at), at);
    assert(count > 0, "a file is as long as it says", { path: file.path, at });
    at += count;
  }
  return bytes;
}

const alignUp = (value: number): number => Math.ceil(value / SECTOR_BYTES) * SECTOR_BYTES;
