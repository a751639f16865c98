/**
 * Ordered byte keys and byte values on one node, with atomic and durable batches and consistent snapshots.
 * Implementations: `host/lmdb-engine.ts` (LMDB), `memory-engine.ts` (a log on the Disk port, for the simulator).
 * Every stored value carries a CRC-32 of key and value, because LMDB does not notice flipped bits; a mismatch throws
 * DATA_CORRUPT and the replica is rebuilt from a peer.
 */
export type EngineWrite =
  | { readonly type: "put"; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: "delete"; readonly key: Uint8Array }
  /** All keys in [from, to). */
  | { readonly type: "delete-range"; readonly from: Uint8Array; readonly to: Uint8Array };

export interface EngineRange {
  /** Inclusive. */
  readonly from: Uint8Array;
  /** Exclusive; undefined: to the end. */
  readonly to: Uint8Array | undefined;
  readonly reverse?: boolean;
  readonly limit?: number;
}

export interface EngineReader {
  /** The value, or undefined. The bytes belong to the caller. Keys are 1 to 1,900 bytes. */
  get(key: Uint8Array): Uint8Array | undefined;
  /** In key order, or from the end with `reverse`. Consistent while it is consumed without awaiting. */
  range(range: EngineRange): Iterable<readonly [key: Uint8Array, value: Uint8Array]>;
}

export interface EngineSnapshot extends EngineReader {
  /** Must be called: a long-lived snapshot keeps old pages alive. */
  close(): void;
}

export interface Engine extends EngineReader {
  /** Applies the writes in order, all or none; durable when the promise resolves. One call at a time. */
  write(writes: readonly EngineWrite[]): Promise<void>;
  /** A frozen view of the last completed write; it may be read across awaits. */
  snapshot(): EngineSnapshot;
  /** Bytes on disk, and how many of them hold data. */
  size(): { readonly fileBytes: number; readonly usedBytes: number };
  close(): Promise<void>;
}

/** How a node opens its engines. `folder` is relative to the data folder. A damaged file is reported as DATA_CORRUPT. */
export interface EngineOpener {
  open(folder: string): Promise<Engine>;
  /** Removes an engine that is not open, so that it can be rebuilt from a peer. */
  discard(folder: string): Promise<void>;
}
