/**
 * The files of the log: names, creation ahead of need, reuse, removal.
 * Owns the folder; one operation at a time. Leaves what stands in the files to `wal.ts` and `recovery.ts`.
 *
 * F1. Numbers of segments have no hole: a file gets the number after the highest one, the oldest goes first, and each
 *     change of a name is durable before the next is made.
 * F2. A file gets its number only when it durably has its length, so a shorter one was cut by somebody else; a file in the
 *     making has another name and is removed at start. Its space is there too, unless the disk is full.
 * F3. A reused file keeps its old bytes. They are never records again: headers are seeded with the number (W2).
 */
import { assert } from "../../base/assert.ts";
import { hasCode } from "../../base/errors.ts";
import type { Disk, DiskFile } from "../../ports/disk.ts";

const SUFFIX = ".wal";
const NUMBER_DIGITS = 12;
const UNFINISHED = "unfinished";
/** Segments kept ready for reuse; what is free beyond them is removed. */
export const PREPARED_SEGMENTS_MAX = 2;
const ZEROES_BYTES = 1024 * 1024;

export interface OpenedSegment {
  readonly number: number;
  readonly file: DiskFile;
}

export function segmentName(number: number): string {
  return `${String(number).padStart(NUMBER_DIGITS, "0")}${SUFFIX}`;
}

export function segmentNumber(name: string): number | undefined {
  if (name.length !== NUMBER_DIGITS + SUFFIX.length || !name.endsWith(SUFFIX)) return undefined;
  const number = Number(name.slice(0, NUMBER_DIGITS));
  return Number.isSafeInteger(number) && number > 0 ? number : undefined;
}

export class SegmentFiles {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #segmentBytes: number;
  /** The highest number in use, prepared ones included. */
  #highest: number;
  #prepared: number[];
  /** Made on a full disk: their space is only promised. Not known after a start, and then they are reused all the same. */
  readonly #sparse = new Set<number>();
  #work: Promise<void> = Promise.resolve();
  /** Somebody waits for a segment: filling one with zeroes is cut short. */
  #hurry = false;

  constructor(
    disk: Disk,
    options: {
      readonly folder: string;
      readonly segmentBytes: number;
      readonly highest: number;
      readonly prepared: readonly number[];
    },
  ) {
    this.#disk = disk;
    this.#folder = options.folder;
    this.#segmentBytes = options.segmentBytes;
    this.#highest = options.highest;
    this.#prepared = [...options.prepared];
  }

  get prepared(): number {
    return this.#prepared.length;
  }

  path(number: number): string {
    return `${this.#folder}/${segmentName(number)}`;
  }

  /** The segment after the highest one in use, opened. Fails with DISK_FULL, and then nothing has changed. */
  async next(): Promise<OpenedSegment> {
    this.#hurry = true;
    return this.#alone(async () => {
      this.#hurry = false;
      const number = this.#prepared[0];
      if (number === undefined) return this.#create();
      const file = await this.#disk.open(this.path(number), { create: false });
      assert(file !== undefined, "a prepared segment exists", { number });
      this.#prepared.shift();
      return { number, file };
    });
  }

  /**
   * Makes one segment ready, full of zeroes, so that later syncs write data only and no new file length. Fails with
   * DISK_FULL, and then nothing has changed.
   */
  async prepare(): Promise<void> {
    await this.#alone(async () => {
      if (this.#prepared.length === 0) this.#prepared.push(await this.#make(true));
    });
  }

  /** Gives back the oldest segment: its file is prepared for reuse under the next number, or removed. */
  async release(number: number): Promise<"reused" | "removed"> {
    return this.#alone(async () => {
      if (this.#prepared.length < PREPARED_SEGMENTS_MAX && (await this.#isWhole(number))) {
        this.#prepared.push(await this.#rename(this.path(number)));
        return "reused";
      }
      await this.#disk.remove(this.path(number));
      await this.#disk.syncDirectory(this.#folder);
      return "removed";
    });
  }

  /** Resolves when no operation is under way. */
  async idle(): Promise<void> {
    this.#hurry = true;
    await this.#alone(async () => undefined);
  }

  /** A segment made on the spot, without filling it. Reserving may fail: the last bytes of a disk belong to votes. */
  async #create(): Promise<OpenedSegment> {
    const number = await this.#make(false);
    const file = await this.#disk.open(this.path(number), { create: false });
    assert(file !== undefined, "a segment that was made exists", { number });
    return { number, file };
  }

  /** F2. Fails with DISK_FULL, and then nothing has changed. */
  async #make(isFilled: boolean): Promise<number> {
    const unfinished = `${this.#folder}/${UNFINISHED}`;
    const file = await this.#disk.open(unfinished, { create: true });
    assert(file !== undefined, "open with create gives a file");
    let isSparse = false;
    try {
      try {
        await file.allocate(this.#segmentBytes);
        if (isFilled) await this.#fill(file);
      } catch (error) {
        if (isFilled || !hasCode(error, "DISK_FULL")) throw error;
        isSparse = true;
      }
      await file.truncate(this.#segmentBytes); // longer: what is not yet filled
      await file.sync();
      await file.close();
    } catch (error) {
      await file.close();
      if (hasCode(error, "DISK_FULL")) await this.#disk.remove(unfinished);
      throw error;
    }
    const number = await this.#rename(unfinished);
    if (isSparse) this.#sparse.add(number);
    return number;
  }

  /** What reserving has left: with some disks all is zeroes by now. */
  async #fill(file: DiskFile): Promise<void> {
    const zeroes = new Uint8Array(Math.min(ZEROES_BYTES, this.#segmentBytes));
    for (let at = await file.length(); at < this.#segmentBytes && !this.#hurry; at += zeroes.length) {
      await file.write([zeroes.subarray(0, Math.min(zeroes.length, this.#segmentBytes - at))], at);
    }
  }

  async #rename(from: string): Promise<number> {
    const number = this.#highest + 1;
    await this.#disk.rename(from, this.path(number));
    await this.#disk.syncDirectory(this.#folder);
    this.#highest = number;
    return number;
  }

  /** Files that are larger (one huge record) or whose space was never reserved are not worth keeping. */
  async #isWhole(number: number): Promise<boolean> {
    if (this.#sparse.delete(number)) return false;
    const file = await this.#disk.open(this.path(number), { create: false });
    assert(file !== undefined, "a live segment exists", { number });
    try {
      return (await file.length()) === this.#segmentBytes;
    } finally {
      await file.close();
    }
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#work.then(work);
    this.#work = result.then(
      () => undefined,
      () => undefined, // whoever asked for the work handles its failure
    );
    return result;
  }
}

/**
 * The numbers of the segments in a folder, ascending. Makes the folder if it is missing and removes what a crash left
 * unfinished.
 */
export async function findSegments(disk: Disk, folder: string): Promise<readonly number[]> {
  await disk.makeFolder(folder);
  const parts = folder.split("/");
  for (let depth = parts.length - 1; depth >= 0; depth--) await disk.syncDirectory(parts.slice(0, depth).join("/"));
  const numbers: number[] = [];
  for (const name of await disk.list(folder)) {
    if (name === UNFINISHED) await disk.remove(`${folder}/${UNFINISHED}`);
    const number = segmentNumber(name);
    if (number !== undefined) numbers.push(number);
  }
  await disk.syncDirectory(folder); // F1: a killed process may leave names that are seen and not durable
  return numbers.sort((a, b) => a - b);
}
