/** An engine in memory only, whose writes can be held back and made to fail: for tests of checkpoints under way. */
import { assert } from "../../base/assert.ts";
import { AlthingError } from "../../base/errors.ts";
import type { Kernels } from "../../ports/kernels.ts";
import type { Engine, EngineRange, EngineReader, EngineSnapshot, EngineWrite } from "../../storage/engine/engine.ts";
import { type MapView, SortedMap } from "../../storage/engine/sorted-map.ts";

export class MapEngine implements Engine {
  readonly #kernels: Kernels;
  readonly #map = new SortedMap();
  #writing = false;
  /** Set: a write waits for it before it happens. A rejection makes the write fail, with nothing written. */
  gate: Promise<void> | undefined;
  /** Set: a write that has happened is not reported before it. */
  reportGate: Promise<void> | undefined;
  /** Set: values under these keys fail as if their checksum did. */
  rots: ((key: Uint8Array) => boolean) | undefined;
  /** Snapshots opened and not closed. */
  openSnapshots = 0;
  writes = 0;
  reads = 0;

  constructor(kernels: Kernels) {
    this.#kernels = kernels;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.reads++;
    return this.#reader(this.#map).get(key);
  }

  range(range: EngineRange): Iterable<readonly [key: Uint8Array, value: Uint8Array]> {
    return this.#reader(this.#map).range(range);
  }

  async write(writes: readonly EngineWrite[]): Promise<void> {
    assert(!this.#writing, "one write at a time");
    this.#writing = true;
    try {
      await this.gate;
      this.#apply(writes);
      await this.reportGate;
    } finally {
      this.#writing = false;
    }
  }

  #apply(writes: readonly EngineWrite[]): void {
    this.writes++;
    const latin1 = (bytes: Uint8Array): string => this.#kernels.latin1(bytes);
    for (const write of writes) {
      if (write.type === "put") {
        assert(write.key.length >= 1 && write.key.length <= 1_900, "keys are 1 to 1,900 bytes");
        this.#map.put({ name: latin1(write.key), key: write.key.slice(), value: write.value.slice() });
      } else if (write.type === "delete") this.#map.delete(latin1(write.key));
      else this.#map.deleteRange(latin1(write.from), latin1(write.to));
    }
  }

  snapshot(): EngineSnapshot {
    let view: MapView | undefined = this.#map.view();
    this.openSnapshots++;
    const open = (): EngineReader => {
      assert(view !== undefined, "a closed snapshot is not read");
      return this.#reader(view);
    };
    return {
      get: (key) => open().get(key),
      range: (range) => open().range(range),
      close: () => {
        if (view !== undefined) this.openSnapshots--;
        view = undefined;
      },
    };
  }

  size(): { readonly fileBytes: number; readonly usedBytes: number } {
    return { fileBytes: this.#map.bytes, usedBytes: this.#map.bytes };
  }

  async close(): Promise<void> {
    if (this.#writing) throw new AlthingError("CLOSED", "Cannot close the engine: a write is under way");
  }

  #demandSound(key: Uint8Array): void {
    if (this.rots?.(key) === true)
      throw new AlthingError("DATA_CORRUPT", "Cannot read from memory: a value fails its checksum");
  }

  #reader(map: MapView): EngineReader {
    const latin1 = (bytes: Uint8Array): string => this.#kernels.latin1(bytes);
    const demandSound = (key: Uint8Array): void => this.#demandSound(key);
    return {
      get: (key) => {
        demandSound(key);
        return map.get(latin1(key))?.value.slice();
      },
      *range({ from, to, reverse, limit }) {
        let left = limit ?? Number.POSITIVE_INFINITY;
        const end = to === undefined ? undefined : latin1(to);
        for (const entry of map.range(latin1(from), end, reverse === true)) {
          if (left-- <= 0) return;
          demandSound(entry.key);
          yield [entry.key.slice(), entry.value.slice()] as const;
        }
      },
    };
  }
}
