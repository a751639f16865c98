/**
 * Checkpoints for state machines that live in memory only: the machine's snapshot in one file on the Disk port.
 * Layout  magic, version, then records `u32 length, u32 crc, bytes`: first the meta, then the machine's chunks, last an
 *         empty record with the count of those before it. The file is written aside, synced, and renamed over the old one.
 */
import { AlthingError } from "../base/errors.ts";
import { ByteReader, ByteWriter } from "../base/bytes.ts";
import type { Disk, DiskFile } from "../ports/disk.ts";
import type { Kernels } from "../ports/kernels.ts";
import type { DurableState, StateMachine } from "./state-machine.ts";

const MAGIC = 0x414c_4350; // "ALCP"
const VERSION = 1;
const HEADER = 5;
const RECORD_MAX = 64 * 1024 * 1024;

type Ports = { readonly disk: Disk; readonly kernels: Kernels };

export class CheckpointFile implements DurableState {
  readonly #ports: Ports;
  readonly #folder: string;
  readonly #machine: Pick<StateMachine<unknown, unknown, unknown>, "snapshot" | "restore">;
  #dirty = 0;

  constructor(
    ports: Ports,
    folder: string,
    machine: Pick<StateMachine<unknown, unknown, unknown>, "snapshot" | "restore">,
  ) {
    this.#ports = ports;
    this.#folder = folder;
    this.#machine = machine;
  }

  /** Bytes of commands applied since the last checkpoint. */
  note(bytes: number): void {
    this.#dirty += bytes;
  }

  dirtyBytes(): number {
    return this.#dirty;
  }

  async load(): Promise<Uint8Array | undefined> {
    const { disk } = this.#ports;
    await disk.makeFolder(this.#folder);
    await disk.syncDirectory(parentOf(this.#folder));
    const file = await disk.open(`${this.#folder}/checkpoint`, { create: false });
    if (file === undefined) return undefined;
    try {
      const reader = new RecordReader(file, this.#ports.kernels);
      await reader.header();
      const meta = await reader.next();
      if (meta === undefined) throw corrupt(file.path, "no meta");
      await this.#machine.restore(reader.chunks());
      return meta;
    } finally {
      await file.close();
    }
  }

  async checkpoint(meta: Uint8Array): Promise<void> {
    const { disk } = this.#ports;
    const snapshot = this.#machine.snapshot(); // frozen now: what is applied while we write belongs to the next one
    const dirtyBefore = this.#dirty;
    try {
      const aside = `${this.#folder}/checkpoint.new`;
      const file = await disk.open(aside, { create: true });
      if (file === undefined) throw new AlthingError("DISK_FAILED", `Cannot create ${aside}`);
      try {
        await file.truncate(0);
        const writer = new RecordWriter(file, this.#ports.kernels);
        await writer.header();
        await writer.record(meta);
        for await (const chunk of snapshot.chunks()) await writer.record(chunk);
        await writer.end();
        await file.sync();
      } finally {
        await file.close();
      }
      await disk.rename(aside, `${this.#folder}/checkpoint`);
      await disk.syncDirectory(this.#folder);
    } finally {
      snapshot.close();
    }
    this.#dirty -= dirtyBefore;
  }
}

export class RecordWriter {
  readonly #file: DiskFile;
  readonly #kernels: Kernels;
  #at = 0;
  #count = 0;

  constructor(file: DiskFile, kernels: Kernels) {
    this.#file = file;
    this.#kernels = kernels;
  }

  async header(): Promise<void> {
    await this.#write([new ByteWriter(HEADER).u32(MAGIC).u8(VERSION).finish()]);
  }

  async record(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return; // an empty record is the end mark
    this.#count++;
    await this.#write([new ByteWriter(8).u32(bytes.length).u32(this.#kernels.crc32(bytes)).finish(), bytes]);
  }

  async end(): Promise<void> {
    const count = new ByteWriter(8).u53(this.#count).finish();
    await this.#write([new ByteWriter(8).u32(0).u32(this.#kernels.crc32(count)).finish(), count]);
  }

  async #write(buffers: readonly Uint8Array[]): Promise<void> {
    await this.#file.write(buffers, this.#at);
    for (const buffer of buffers) this.#at += buffer.length;
  }
}

export class RecordReader {
  readonly #file: DiskFile;
  readonly #kernels: Kernels;
  #at = 0;
  #count = 0;

  constructor(file: DiskFile, kernels: Kernels) {
    this.#file = file;
    this.#kernels = kernels;
  }

  async header(): Promise<void> {
    const head = new ByteReader(await this.#read(HEADER));
    if (head.u32() !== MAGIC) throw corrupt(this.#file.path, "not a checkpoint");
    const version = head.u8();
    if (version > VERSION) {
      throw new AlthingError(
        "DATA_NEWER",
        `Cannot read ${this.#file.path}: format ${version} is newer than this version knows`,
      );
    }
  }

  /** The next record; undefined at the end. */
  async next(): Promise<Uint8Array | undefined> {
    const head = new ByteReader(await this.#read(8));
    const length = head.u32();
    const crc = head.u32();
    if (length > RECORD_MAX) throw corrupt(this.#file.path, "a record is too long");
    const bytes = await this.#read(length === 0 ? 8 : length);
    if (this.#kernels.crc32(bytes) !== crc) throw corrupt(this.#file.path, `bad checksum at ${this.#at}`);
    if (length > 0) {
      this.#count++;
      return bytes;
    }
    if (new ByteReader(bytes).u53() !== this.#count) throw corrupt(this.#file.path, "records are missing");
    return undefined;
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = await this.next();
      if (chunk === undefined) return;
      yield chunk;
    }
  }

  async #read(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    const got = await this.#file.read(bytes, this.#at);
    if (got < length) throw corrupt(this.#file.path, "the file is too short");
    this.#at += length;
    return bytes;
  }
}

function parentOf(folder: string): string {
  const slash = folder.lastIndexOf("/");
  return slash < 0 ? "" : folder.slice(0, slash);
}

function corrupt(path: string, why: string): AlthingError {
  return new AlthingError("DATA_CORRUPT", `Cannot read ${path}: ${why}`);
}
