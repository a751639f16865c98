/** Reading an LMDB environment at one transaction: plain byte arrays of the caller's own, checked on the way out. */
import { assert } from "../base/assert.ts";
import { compareBytes } from "../base/bytes.ts";
import type { EngineRange, EngineSnapshot } from "../storage/engine/engine.ts";
import { KEY_BYTES_MAX } from "./lmdb-batch.ts";
import { lmdbReadError } from "./lmdb-error.ts";
import type { LmdbRange, LmdbStore, LmdbTransaction } from "./lmdb-native.ts";
import { openStored } from "./lmdb-value.ts";

/** Throws DATA_CORRUPT for a value that fails its checksum. */
export function readValue(
  store: LmdbStore,
  transaction: LmdbTransaction,
  key: Uint8Array,
  folder: string,
): Uint8Array | undefined {
  assert(key.length >= 1 && key.length <= KEY_BYTES_MAX, "not a key", { length: key.length });
  let found: Buffer | undefined;
  try {
    found = store.getBinaryFast(key, { transaction });
  } catch (error) {
    throw lmdbReadError(`read from ${folder}`, error);
  }
  if (found === undefined) return undefined;
  // The package shares one buffer among all reads and gives it a false `length`, so the size comes from elsewhere.
  return openStored(key, found, store.lastSize, folder).slice();
}

/** Reads on only while `usable`: an iterator that is kept beyond its engine's end must not touch freed memory. */
export function* readRange(
  store: LmdbStore,
  transaction: LmdbTransaction,
  range: EngineRange,
  folder: string,
  usable: () => boolean,
): Generator<readonly [key: Uint8Array, value: Uint8Array], void, undefined> {
  const bounds = lmdbRange(range, transaction);
  if (bounds === undefined) return;
  const assertUsable = (): void =>
    assert(usable(), "a range is read after its engine or snapshot was closed", { folder });
  assertUsable();
  const entries = store.getRange(bounds)[Symbol.iterator]();
  try {
    for (;;) {
      let next: ReturnType<typeof entries.next>;
      try {
        next = entries.next();
      } catch (error) {
        throw lmdbReadError(`read from ${folder}`, error);
      }
      if (next.done === true) return;
      const { key, value } = next.value;
      yield [new Uint8Array(key.buffer, key.byteOffset, key.length), openStored(key, value, value.length, folder)];
      assertUsable();
    }
  } finally {
    if (usable()) entries.return?.();
  }
}

/** LMDB takes an empty bound for none, so those cases are settled here; undefined: the range is empty. */
function lmdbRange(range: EngineRange, transaction: LmdbTransaction): LmdbRange | undefined {
  const { from, to, limit, reverse = false } = range;
  if (limit !== undefined) assert(Number.isSafeInteger(limit) && limit >= 0, "not a limit", { limit });
  if (limit === 0 || (to !== undefined && compareBytes(from, to) >= 0)) return undefined;
  const least = from.length === 0 ? FIRST_KEY : from;
  const counted = limit === undefined ? { transaction } : { transaction, limit };
  if (!reverse) return to === undefined ? { ...counted, start: least } : { ...counted, start: least, end: to };
  const downTo = { ...counted, reverse, end: least, inclusiveEnd: true };
  return to === undefined ? downTo : { ...downTo, start: to, exclusiveStart: true };
}

/** Keys are at least one byte long. */
const FIRST_KEY = Uint8Array.of(0);

export class LmdbSnapshot implements EngineSnapshot {
  readonly #store: LmdbStore;
  readonly #transaction: LmdbTransaction;
  readonly #folder: string;
  readonly #onClose: () => void;
  #open = true;

  /** `transaction` has been counted for this snapshot already. */
  constructor(store: LmdbStore, transaction: LmdbTransaction, folder: string, onClose: () => void) {
    this.#store = store;
    this.#transaction = transaction;
    this.#folder = folder;
    this.#onClose = onClose;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    assert(this.#open, "a closed snapshot is not used", { folder: this.#folder });
    return readValue(this.#store, this.#transaction, key, this.#folder);
  }

  range(range: EngineRange): Iterable<readonly [key: Uint8Array, value: Uint8Array]> {
    assert(this.#open, "a closed snapshot is not used", { folder: this.#folder });
    return readRange(this.#store, this.#transaction, range, this.#folder, () => this.#open);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#transaction.done();
    this.#onClose();
  }
}
