/**
 * All changes by revision: the old ones in the engine, those since the last checkpoint in memory. While a checkpoint is
 * being written there are two pieces in memory: the frozen one, which is written, and the live one, which grows.
 *
 *     engine: 1 … a    frozen: a+1 … b    live: b+1 …
 *
 * H1. A main revision lies in exactly one of the three as far as readers see; `get` decides by number alone.
 * H2. What was dropped is never asked for again; whether it is still on disk shows nowhere.
 * H3. Damage met while reading the engine is told before the read fails with it.
 * H4. A run of revisions that comes out of the engine has no gap: a damaged tree may leave out what it cannot reach and
 *     say nothing. Above the compacted revision every main revision has records, subs 0, 1, … each; how many there are in
 *     all, the index knows.
 */
import { assert } from "../base/assert.ts";
import { AlthingError, hasCode } from "../base/errors.ts";
import type { Engine, EngineReader, EngineSnapshot, EngineWrite } from "../storage/engine/engine.ts";
import { decodeRecord, encodeRecord, type HistoryRecord, recordBytes, recordKey } from "./record.ts";

/** Deleting one revision costs a key and the work on disk. */
const DROP_BYTES = 48;
/** Records encoded between two pauses of a checkpoint: about a millisecond. */
const ENCODE_BATCH = 1_000;

/** A run of main revisions without gap, each with subs 0, 1, …. */
class Piece {
  readonly base: number;
  readonly #records: HistoryRecord[] = [];
  /** Position of sub 0 of revision base + i. */
  readonly #starts: number[] = [];
  bytes = 0;
  /** Records of this piece that need not be written any more. */
  readonly dropped = new Set<HistoryRecord>();

  constructor(base: number) {
    this.base = base;
  }

  /** One beyond the last main revision. */
  get end(): number {
    return this.base + this.#starts.length;
  }

  get records(): readonly HistoryRecord[] {
    return this.#records;
  }

  append(record: HistoryRecord): void {
    const main = record.kv.modRevision;
    if (main === this.end) {
      assert(record.sub === 0, "the first change of a revision has sub 0", { main, sub: record.sub });
      this.#starts.push(this.#records.length);
    } else {
      const start = this.#starts[main - this.base];
      assert(main === this.end - 1 && start !== undefined, "revisions follow each other", { main, end: this.end });
      assert(record.sub === this.#records.length - start, "subs follow each other", { main, sub: record.sub });
    }
    this.#records.push(record);
    this.bytes += recordBytes(record);
  }

  get(main: number, sub: number): HistoryRecord {
    const start = this.#starts[main - this.base];
    const record = start === undefined ? undefined : this.#records[start + sub];
    assert(record !== undefined && record.kv.modRevision === main && record.sub === sub, "a revision is in its piece", {
      main,
      sub,
    });
    return record;
  }

  /** Position of the first record with main revision ≥ `main`. */
  position(main: number): number {
    if (main <= this.base) return 0;
    return this.#starts[main - this.base] ?? this.#records.length;
  }
}

export class History {
  readonly #engine: Engine;
  readonly #latin1: (bytes: Uint8Array) => string;
  readonly #onDamage: (error: AlthingError) => void;
  #live = new Piece(1);
  #frozen: Piece | undefined;
  /** Pairs (main, sub) on disk, or about to be, that the next checkpoint deletes. */
  #drops: number[] = [];
  /** The same of the checkpoint being written. */
  #frozenDrops: readonly number[] = [];

  /** `onDamage` hears of each read that fails with DATA_CORRUPT, and must not throw. */
  constructor(engine: Engine, latin1: (bytes: Uint8Array) => string, onDamage: (error: AlthingError) => void) {
    this.#engine = engine;
    this.#latin1 = latin1;
    this.#onDamage = onDamage;
  }

  /** Bytes that only memory holds. */
  get dirtyBytes(): number {
    return this.#live.bytes + (this.#frozen?.bytes ?? 0) + (this.#drops.length / 2) * DROP_BYTES;
  }

  /** Forgets what is in memory; the engine holds all up to and with `revision`. */
  reset(revision: number): void {
    this.#live = new Piece(revision + 1);
    this.#frozen = undefined;
    this.#drops = [];
    this.#frozenDrops = [];
  }

  append(record: HistoryRecord): void {
    this.#live.append(record);
  }

  /** The record at a revision that the index names. Fails with DATA_CORRUPT if the engine lost it. */
  get(main: number, sub: number): HistoryRecord {
    if (main >= this.#live.base) return this.#live.get(main, sub);
    if (this.#frozen !== undefined && main >= this.#frozen.base) return this.#frozen.get(main, sub);
    const key = recordKey(main, sub);
    try {
      const bytes = this.#engine.get(key);
      if (bytes === undefined) throw new AlthingError("DATA_CORRUPT", "Cannot read a revision: it is missing");
      return decodeRecord(key, bytes, this.#latin1);
    } catch (error) {
      throw this.#failed(error, `revision ${main}.${sub}`);
    }
  }

  /** H3. What a read is to fail with. */
  #failed(error: unknown, what: string): unknown {
    if (!hasCode(error, "DATA_CORRUPT")) return error;
    const damage = new AlthingError("DATA_CORRUPT", `Cannot read ${what} of the store: ${reason(error)}`, {
      details: { ...error.details, what },
      cause: error,
    });
    this.#onDamage(damage);
    return damage;
  }

  /** Records of revisions from ≤ main < to, as `reader` has them; H4 holds above `compacted`. */
  *#stored(
    reader: EngineReader,
    from: number,
    to: number,
    compacted: number,
  ): Generator<HistoryRecord, void, undefined> {
    let main = Math.max(from - 1, compacted);
    let sub = 0;
    let last = from;
    try {
      for (const [key, bytes] of reader.range({ from: recordKey(from, 0), to: recordKey(to, 0) })) {
        const record = decodeRecord(key, bytes, this.#latin1);
        last = record.kv.modRevision;
        if (last > compacted) {
          const isNext = last === main ? record.sub === sub + 1 : last === main + 1 && record.sub === 0;
          if (!isNext) throw gap(main);
          main = last;
          sub = record.sub;
        }
        yield record;
      }
      if (main + 1 < to) throw gap(main);
    } catch (error) {
      throw this.#failed(error, `a revision from ${last} on`);
    }
  }

  /** True if the record is in memory: reading it costs nothing. */
  inMemory(main: number): boolean {
    return main >= (this.#frozen ?? this.#live).base;
  }

  /** No read will ask for this revision again. */
  drop(main: number, sub: number): void {
    if (main >= this.#live.base) this.#live.dropped.add(this.#live.get(main, sub));
    else this.#drops.push(main, sub);
  }

  /**
   * Changes with from ≤ main ≤ to in order. Those up to `compacted` may be missing. The generator must be used up before
   * anything is applied.
   */
  *scan(from: number, to: number, compacted: number): Generator<HistoryRecord, void, undefined> {
    const firstInMemory = (this.#frozen ?? this.#live).base;
    if (from < firstInMemory) {
      yield* this.#stored(this.#engine, from, Math.min(to + 1, firstInMemory), compacted);
    }
    for (const piece of this.#frozen === undefined ? [this.#live] : [this.#frozen, this.#live]) {
      for (let i = piece.position(from); i < piece.records.length; i++) {
        const record = piece.records[i];
        if (record === undefined || record.kv.modRevision > to) return;
        yield record;
      }
    }
  }

  /**
   * Freezes what is in memory; call `settle` when the writes are durable or have failed. `pause` lets other work in
   * between while the records are encoded.
   */
  freeze(): { readonly writes: (pause: () => Promise<void>) => Promise<EngineWrite[]> } {
    assert(this.#frozen === undefined, "H1: one checkpoint at a time");
    const piece = this.#live;
    const drops = this.#drops;
    this.#frozen = piece;
    this.#frozenDrops = drops;
    this.#live = new Piece(piece.end);
    this.#drops = [];
    return {
      writes: async (pause) => {
        const writes: EngineWrite[] = [];
        for (let i = 0; i < piece.records.length; i++) {
          if (i % ENCODE_BATCH === ENCODE_BATCH - 1) await pause();
          const record = piece.records[i];
          if (record === undefined || piece.dropped.has(record)) continue;
          writes.push({ type: "put", key: recordKey(record.kv.modRevision, record.sub), value: encodeRecord(record) });
        }
        for (let i = 0; i < drops.length; i += 2) {
          if (i % (2 * ENCODE_BATCH) === 2 * ENCODE_BATCH - 2) await pause();
          writes.push({ type: "delete", key: recordKey(drops[i] ?? 0, drops[i + 1] ?? 0) });
        }
        return writes;
      },
    };
  }

  /** The frozen piece is on disk, or it could not be written and goes back in front of the live one. */
  settle(written: boolean): void {
    const frozen = this.#frozen;
    assert(frozen !== undefined, "H1: a checkpoint ends that began");
    if (!written) {
      const merged = new Piece(frozen.base);
      for (const piece of [frozen, this.#live]) {
        for (const record of piece.records) merged.append(record);
        for (const record of piece.dropped) merged.dropped.add(record);
      }
      const drops = [...this.#frozenDrops];
      for (let i = 0; i < this.#drops.length; i += 2) {
        const main = this.#drops[i] ?? 0;
        const sub = this.#drops[i + 1] ?? 0;
        if (main >= merged.base) merged.dropped.add(merged.get(main, sub));
        else drops.push(main, sub);
      }
      this.#live = merged;
      this.#drops = drops;
    }
    this.#frozen = undefined;
    this.#frozenDrops = [];
  }

  /**
   * A frozen copy of all that is not dropped, in order of revision, to be read across awaits. Up to `compacted` some are;
   * `count`: how many records there must be, if that is known (H4).
   */
  snapshot(
    compacted: number,
    count?: number,
  ): { readonly records: () => Generator<HistoryRecord, void, undefined>; close(): void } {
    const engine: EngineSnapshot = this.#engine.snapshot();
    const firstInMemory = (this.#frozen ?? this.#live).base;
    const dropped = new Set<string>();
    for (const drops of [this.#frozenDrops, this.#drops]) {
      for (let i = 0; i < drops.length; i += 2) dropped.add(`${drops[i]}.${drops[i + 1]}`);
    }
    const pieces = this.#frozen === undefined ? [this.#live] : [this.#frozen, this.#live];
    const memory = pieces.flatMap((piece) => piece.records.filter((record) => !piece.dropped.has(record)));
    const miscounted = (left: number): unknown =>
      this.#failed(
        new AlthingError("DATA_CORRUPT", `Cannot read the history: ${left} records are missing`, { details: { left } }),
        "all revisions",
      );
    const stored = (): Generator<HistoryRecord, void, undefined> => this.#stored(engine, 0, firstInMemory, compacted);
    return {
      *records() {
        let left = count;
        // The engine's snapshot may already hold the frozen piece; the bound keeps it from coming twice.
        for (const record of stored()) {
          if (dropped.has(`${record.kv.modRevision}.${record.sub}`)) continue;
          if (left !== undefined) left--;
          yield record;
        }
        for (const record of memory) {
          if (dropped.has(`${record.kv.modRevision}.${record.sub}`)) continue;
          if (left !== undefined) left--;
          yield record;
        }
        if (left !== undefined && left !== 0) throw miscounted(left);
      },
      close: () => engine.close(),
    };
  }
}

function gap(main: number): AlthingError {
  return new AlthingError("DATA_CORRUPT", `Cannot read the history: what follows revision ${main} is missing`);
}

/** The second half of a message `Cannot <do what>: <why>`. */
function reason({ message }: AlthingError): string {
  const at = message.indexOf(": ");
  return at < 0 ? message : message.slice(at + 2);
}
