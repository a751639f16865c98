/**
 * The store as a stream of bytes: for replicas that lag, and for backups. The stream may be cut into chunks anywhere.
 *
 *     "ALTHKV01"  block(state)  u32 leases  { i64 id, u53 ttl, u53 remaining }…  { block(main:u53 sub:u53 record) }…
 *     u32 0  u53 records  u32 crc         block = u32 length, bytes; crc over everything before it
 *
 * Equal states give equal bytes: records come in order of revision, leases in order of id.
 */
import { ByteReader, ByteWriter, BytesError } from "../base/bytes.ts";
import { AlthingError } from "../base/errors.ts";
import type { Kernels } from "../ports/kernels.ts";
import { decodeRecord, encodeRecord, type HistoryRecord, recordKey } from "./record.ts";
import { decodeState, encodeState, type StoreState } from "./store-state.ts";

const MAGIC = 0x3130_564b_4854_4c41n; // "ALTHKV01", little-endian
const CHUNK_BYTES = 256 * 1024;
const LEASE_BYTES = 24;
/** No block is larger: a value is bounded by the request limit; what claims more is damaged. */
const BLOCK_BYTES_MAX = 256 * 1024 * 1024;

/** True for the first bytes of a snapshot, at least eight of them. */
export function beginsLikeSnapshot(bytes: Uint8Array): boolean {
  return bytes.length >= 8 && new ByteReader(bytes).u64() === MAGIC;
}

export interface SnapshotLease {
  readonly id: bigint;
  readonly ttl: number;
  readonly remainingTtl: number;
}

export interface SnapshotContent {
  readonly state: StoreState;
  readonly leases: readonly SnapshotLease[];
  readonly records: () => Iterable<HistoryRecord>;
}

/** The chunks of a snapshot, each at most 256 KiB. */
export async function* encodeSnapshot(content: SnapshotContent, kernels: Kernels): AsyncGenerator<Uint8Array> {
  let crc = 0;
  let out = new ByteWriter(CHUNK_BYTES);
  const cut = function* (everything: boolean): Generator<Uint8Array> {
    if (out.length < CHUNK_BYTES && !everything) return;
    const bytes = out.finish();
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) yield bytes.subarray(at, at + CHUNK_BYTES);
    out = new ByteWriter(CHUNK_BYTES);
  };
  const sum = (from: number): void => {
    crc = kernels.crc32(out.finish().subarray(from), crc);
  };

  const state = encodeState(content.state);
  out.u64(MAGIC).u32(state.length).raw(state).u32(content.leases.length);
  for (const lease of content.leases) out.u64(lease.id).u53(lease.ttl).u53(lease.remainingTtl);
  sum(0);
  yield* cut(false);
  let count = 0;
  for (const record of content.records()) {
    const from = out.length;
    const bytes = encodeRecord(record);
    out
      .u32(16 + bytes.length)
      .u53(record.kv.modRevision)
      .u53(record.sub)
      .raw(bytes);
    sum(from);
    count++;
    yield* cut(false);
  }
  const from = out.length;
  out.u32(0).u53(count);
  sum(from);
  out.u32(crc);
  yield* cut(true);
}

/** What a snapshot holds, in the order in which it comes. */
export interface SnapshotSink {
  begin(state: StoreState, leases: readonly SnapshotLease[]): Promise<void>;
  record(record: HistoryRecord): Promise<void> | undefined;
}

/** Feeds a snapshot to `sink`. Fails with DATA_CORRUPT if the stream is damaged or ends early. */
export async function decodeSnapshot(
  chunks: AsyncIterable<Uint8Array>,
  sink: SnapshotSink,
  kernels: Kernels,
): Promise<void> {
  const input = new StreamReader(chunks, kernels);
  try {
    if (new ByteReader(await input.take(8)).u64() !== MAGIC) throw new BytesError("not a snapshot of the store");
    const state = decodeState(await input.block());
    const leases: SnapshotLease[] = [];
    for (let left = await input.u32(); left > 0; left--) {
      const lease = new ByteReader(await input.take(LEASE_BYTES));
      leases.push({ id: BigInt.asIntN(64, lease.u64()), ttl: lease.u53(), remainingTtl: lease.u53() });
    }
    await sink.begin(state, leases);
    let count = 0;
    for (;;) {
      const block = input.blockNow() ?? (await input.block());
      if (block.length === 0) break;
      const head = new ByteReader(block);
      const key = recordKey(head.u53(), head.u53());
      const added = sink.record(decodeRecord(key, head.raw(head.remaining), (bytes) => kernels.latin1(bytes)));
      if (added !== undefined) await added;
      count++;
    }
    if (new ByteReader(await input.take(8)).u53() !== count) throw new BytesError("records are missing");
    const crc = input.crc;
    if ((await input.u32()) !== crc) throw new BytesError("the checksum does not match");
  } catch (cause) {
    if (!(cause instanceof BytesError)) throw cause;
    throw new AlthingError("DATA_CORRUPT", "Cannot read a snapshot of the store: the stream is damaged", { cause });
  } finally {
    await input.close();
  }
}

/** Exact byte counts out of chunks of any size, with a running checksum. */
class StreamReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #kernels: Kernels;
  #held: Uint8Array = new Uint8Array(0);
  #at = 0;
  crc = 0;

  constructor(chunks: AsyncIterable<Uint8Array>, kernels: Kernels) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#kernels = kernels;
  }

  /** Bytes of the caller's own, valid for ever. */
  async take(size: number): Promise<Uint8Array> {
    if (size > BLOCK_BYTES_MAX) throw new BytesError(`a block of ${size} bytes`);
    while (this.#held.length - this.#at < size) {
      const next = await this.#chunks.next();
      if (next.done === true) throw new BytesError("the stream ends early");
      const rest = this.#held.subarray(this.#at);
      const held = new Uint8Array(rest.length + next.value.length);
      held.set(rest);
      held.set(next.value, rest.length);
      this.#held = held;
      this.#at = 0;
    }
    return this.#cut(size);
  }

  async u32(): Promise<number> {
    return new ByteReader(await this.take(4)).u32();
  }

  async block(): Promise<Uint8Array> {
    return await this.take(await this.u32());
  }

  /** The next block if it is here whole: saves two turns of the event loop per record. */
  blockNow(): Uint8Array | undefined {
    const left = this.#held.length - this.#at;
    if (left < 4) return undefined;
    const size = new ByteReader(this.#held, this.#at).u32();
    if (left < 4 + size) return undefined;
    this.#cut(4);
    return this.#cut(size);
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  #cut(size: number): Uint8Array {
    const bytes = this.#held.subarray(this.#at, this.#at + size);
    this.#at += size;
    this.crc = this.#kernels.crc32(bytes, this.crc);
    return bytes;
  }
}
