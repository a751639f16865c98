/**
 * The engine without native code: all data in memory, every batch in a log on the Disk port. For the simulator, and for
 * small data on hosts without LMDB. It keeps the contract of `engine.ts`; what its files promise stands in `batch-log.ts`.
 * The checksum that the contract asks for is that of the batch, checked when the file is read; memory is trusted.
 *
 * E1. Memory changes only after the batch is durable, so no reader sees what a crash could take back.
 * E2. The log is written anew once more than two thirds of it are overwritten; the new file replaces the old one by a
 *     rename, after it is durable.
 * E3. After an error of the disk other than a full one, every write fails.
 */
import { AssertionError, assert } from "../../base/assert.ts";
import { ByteReader, BytesError, ByteWriter } from "../../base/bytes.ts";
import { AlthingError, hasCode } from "../../base/errors.ts";
import type { Disk } from "../../ports/disk.ts";
import type { Kernels } from "../../ports/kernels.ts";
import type { Ports } from "../../ports/ports.ts";
import { BatchLog } from "./batch-log.ts";
import type { Engine, EngineOpener, EngineRange, EngineSnapshot, EngineWrite } from "./engine.ts";
import { type MapView, SortedMap } from "./sorted-map.ts";

const LOG_NAME = "engine.log";
const NEXT_NAME = "engine.next";
const KEY_BYTES_MAX = 1_900;
/** A log under this size is not worth writing anew. */
const COMPACT_BYTES_MIN = 256 * 1024;
const GARBAGE_FACTOR = 3;
/** Size of one batch of a log that is written anew. */
const COMPACT_BATCH_BYTES = 256 * 1024;

type EnginePorts = Pick<Ports, "disk" | "kernels">;

/** How the simulator's nodes open their engines. */
export function memoryEngineOpener(ports: EnginePorts): EngineOpener {
  return {
    open: (folder) => MemoryEngine.open(ports, folder),
    discard: async (folder) => {
      for (const name of await ports.disk.list(folder)) {
        if (name === LOG_NAME || name === NEXT_NAME) await ports.disk.remove(`${folder}/${name}`);
      }
      await ports.disk.syncDirectory(folder);
    },
  };
}

type State =
  | { readonly type: "ready" }
  | { readonly type: "writing" }
  | { readonly type: "failed"; readonly error: unknown }
  | { readonly type: "closed" };

export class MemoryEngine implements Engine {
  readonly #disk: Disk;
  readonly #kernels: Kernels;
  readonly #folder: string;
  readonly #map: SortedMap;
  #log: BatchLog;
  #state: State = { type: "ready" };
  #compactBytesMin = COMPACT_BYTES_MIN;

  /** Fails with DATA_CORRUPT. */
  static async open(ports: EnginePorts, folder: string): Promise<MemoryEngine> {
    const { disk, kernels } = ports;
    await makeFolder(disk, folder);
    if ((await disk.list(folder)).includes(NEXT_NAME)) await disk.remove(`${folder}/${NEXT_NAME}`);
    const file = await disk.open(`${folder}/${LOG_NAME}`, { create: true });
    assert(file !== undefined, "open with create gives a file");
    try {
      await disk.syncDirectory(folder);
      const map = new SortedMap();
      const log = await BatchLog.open(file, kernels, (payload) => applyBatch(map, kernels, decode(payload, file.path)));
      return new MemoryEngine(ports, folder, map, log);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  private constructor(ports: EnginePorts, folder: string, map: SortedMap, log: BatchLog) {
    this.#disk = ports.disk;
    this.#kernels = ports.kernels;
    this.#folder = folder;
    this.#map = map;
    this.#log = log;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#checkOpen();
    return this.#map.get(this.#kernels.latin1(key))?.value.slice();
  }

  range(range: EngineRange): Iterable<readonly [key: Uint8Array, value: Uint8Array]> {
    this.#checkOpen();
    return readRange(this.#map, this.#kernels, range);
  }

  async write(writes: readonly EngineWrite[]): Promise<void> {
    this.#checkOpen();
    assert(this.#state.type !== "writing", "one write at a time");
    if (this.#state.type === "failed") throw this.#state.error;
    if (writes.length === 0) return;
    const payload = encode(writes);
    this.#state = { type: "writing" };
    const before = { bytes: this.#log.bytes, sequence: this.#log.sequence };
    try {
      await this.#append(payload, before);
      applyBatch(this.#map, this.#kernels, decode(payload, this.#folder)); // E1; decoding copies the caller's bytes
      await this.#compact();
    } catch (error) {
      this.#state = hasCode(error, "DISK_FULL") ? { type: "ready" } : { type: "failed", error };
      throw error;
    }
    this.#state = { type: "ready" };
  }

  snapshot(): EngineSnapshot {
    this.#checkOpen();
    let view: MapView | undefined = this.#map.view();
    const open = (): MapView => {
      assert(view !== undefined, "a closed snapshot is not read");
      return view;
    };
    return {
      get: (key) => open().get(this.#kernels.latin1(key))?.value.slice(),
      range: (range) => readRange(open(), this.#kernels, range),
      close: () => {
        view = undefined;
      },
    };
  }

  size(): { readonly fileBytes: number; readonly usedBytes: number } {
    return { fileBytes: this.#log.bytes, usedBytes: Math.min(this.#map.bytes, this.#log.bytes) };
  }

  async close(): Promise<void> {
    if (this.#state.type === "closed") return;
    assert(this.#state.type !== "writing", "a write is awaited before the engine is closed");
    this.#state = { type: "closed" };
    await this.#log.close();
  }

  /** A full disk leaves the log as it was. */
  async #append(payload: Uint8Array, before: { readonly bytes: number; readonly sequence: number }): Promise<void> {
    try {
      await this.#log.write(payload);
      await this.#log.commit();
    } catch (error) {
      if (hasCode(error, "DISK_FULL")) {
        await this.#log.rollback(before);
        await this.#log.commit();
      }
      throw error;
    }
  }

  /** E2. Without space for the new file the old one goes on, and is looked at again when it has doubled. */
  async #compact(): Promise<void> {
    if (this.#log.bytes < this.#compactBytesMin || this.#log.bytes < this.#map.bytes * GARBAGE_FACTOR) return;
    const path = `${this.#folder}/${NEXT_NAME}`;
    try {
      await this.#rewrite(path);
      this.#compactBytesMin = COMPACT_BYTES_MIN;
    } catch (error) {
      if (!hasCode(error, "DISK_FULL")) throw error;
      await this.#disk.remove(path);
      this.#compactBytesMin = this.#log.bytes * 2;
    }
  }

  async #rewrite(path: string): Promise<void> {
    const file = await this.#disk.open(path, { create: true });
    assert(file !== undefined, "open with create gives a file");
    const next = BatchLog.create(file, this.#kernels, this.#log.sequence);
    try {
      await file.truncate(0);
      let batch: EngineWrite[] = [];
      let bytes = 0;
      for (const { key, value } of this.#map.range("", undefined, false)) {
        batch.push({ type: "put", key, value });
        bytes += key.length + value.length;
        if (bytes < COMPACT_BATCH_BYTES) continue;
        await next.write(encode(batch));
        batch = [];
        bytes = 0;
      }
      await next.write(encode(batch)); // also an empty one: the sequence goes on
      await next.commit();
    } catch (error) {
      await next.close();
      throw error;
    }
    await this.#disk.rename(path, `${this.#folder}/${LOG_NAME}`);
    await this.#disk.syncDirectory(this.#folder);
    await this.#log.close();
    this.#log = next;
  }

  #checkOpen(): void {
    assert(this.#state.type !== "closed", "a closed engine is not used", { folder: this.#folder });
  }
}

function* readRange(
  view: MapView,
  kernels: Kernels,
  range: EngineRange,
): Generator<readonly [key: Uint8Array, value: Uint8Array], void, undefined> {
  let left = range.limit ?? Number.POSITIVE_INFINITY;
  const to = range.to === undefined ? undefined : kernels.latin1(range.to);
  for (const { key, value } of view.range(kernels.latin1(range.from), to, range.reverse ?? false)) {
    if (left-- <= 0) return;
    yield [key.slice(), value.slice()];
  }
}

function applyBatch(map: SortedMap, kernels: Kernels, writes: Iterable<EngineWrite>): void {
  for (const write of writes) {
    switch (write.type) {
      case "put":
        map.put({ name: kernels.latin1(write.key), key: write.key, value: write.value });
        break;
      case "delete":
        map.delete(kernels.latin1(write.key));
        break;
      case "delete-range":
        map.deleteRange(kernels.latin1(write.from), kernels.latin1(write.to));
    }
  }
}

const PUT = 1;
const DELETE = 2;
const DELETE_RANGE = 3;

function encode(writes: readonly EngineWrite[]): Uint8Array {
  const out = new ByteWriter(1_024).varint(writes.length);
  for (const write of writes) {
    switch (write.type) {
      case "put":
        checkKey(write.key);
        out.u8(PUT).bytes(write.key).bytes(write.value);
        break;
      case "delete":
        checkKey(write.key);
        out.u8(DELETE).bytes(write.key);
        break;
      case "delete-range":
        out.u8(DELETE_RANGE).bytes(write.from).bytes(write.to);
    }
  }
  return out.finish();
}

/** Copies keys and values out, so that no entry keeps a whole batch alive. */
function* decode(payload: Uint8Array, path: string): Generator<EngineWrite, void, undefined> {
  try {
    const input = new ByteReader(payload);
    for (let left = input.varint(); left > 0; left--) {
      const type = input.u8();
      if (type === PUT) yield { type: "put", key: input.bytes().slice(), value: input.bytes().slice() };
      else if (type === DELETE) yield { type: "delete", key: input.bytes() };
      else if (type === DELETE_RANGE) yield { type: "delete-range", from: input.bytes(), to: input.bytes() };
      else throw new BytesError(`unknown write ${type}`);
    }
    input.end();
  } catch (error) {
    if (error instanceof AssertionError || !(error instanceof BytesError)) throw error;
    throw new AlthingError("DATA_CORRUPT", `Cannot open ${path}: a batch makes no sense`, { cause: error });
  }
}

function checkKey(key: Uint8Array): void {
  assert(key.length >= 1 && key.length <= KEY_BYTES_MAX, "a key of 1 to 1,900 bytes", { length: key.length });
}

/** Makes a folder whose name is durable, and those above it. */
async function makeFolder(disk: Disk, folder: string): Promise<void> {
  await disk.makeFolder(folder);
  const parts = folder.split("/");
  for (let depth = parts.length - 1; depth >= 0; depth--) await disk.syncDirectory(parts.slice(0, depth).join("/"));
}
