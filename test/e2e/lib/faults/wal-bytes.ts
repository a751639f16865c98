/**
 * Finds records in the log files of a stopped node, and damages them. Reads the layout by itself, from the description at
 * the head of the log's header codec: records begin at multiples of 8, a magic number at offset 4, the body's length at
 * offset 12, the header 72 bytes long.
 */
import { closeSync, openSync, readdirSync, readFileSync, truncateSync, writeSync } from "node:fs";
import { join } from "node:path";

const HEADER_BYTES = 72;
const ALIGNMENT = 8;
const SECTOR_BYTES = 512;
const MAGIC = 0xa15c;
const KIND_NOTE = 0x8000;

export interface FoundRecord {
  readonly file: string;
  readonly offset: number;
  readonly bodyLength: number;
  /** Position in the whole log; of notes, 0. */
  readonly lsn: number;
}

/** All records in the log of the data folder, in the order of the log. What a reused segment still holds of its past is left out. */
export function findRecords(dataFolder: string): readonly FoundRecord[] {
  const folder = join(dataFolder, "wal");
  const found: FoundRecord[] = [];
  let last = 0;
  for (const name of readdirSync(folder)
    .filter((one) => one.endsWith(".wal"))
    .sort()) {
    const bytes = readFileSync(join(folder, name));
    for (let at = 0; at + HEADER_BYTES <= bytes.length; at += ALIGNMENT) {
      if (bytes.readUInt16LE(at + 4) !== MAGIC || bytes.readUInt16LE(at + 8) === KIND_NOTE) continue;
      const lsn = Number(bytes.readBigUInt64LE(at + 48));
      if (lsn <= last) continue; // an older life of this segment
      last = lsn;
      found.push({ file: join(folder, name), offset: at, bodyLength: bytes.readUInt32LE(at + 12), lsn });
    }
  }
  return found;
}

/** The record whose body holds `text`; the last one if there are more. */
export function recordWith(dataFolder: string, text: string): FoundRecord {
  const contents = new Map<string, Buffer>();
  const match = findRecords(dataFolder).findLast((record) => {
    const bytes = contents.get(record.file) ?? readFileSync(record.file);
    contents.set(record.file, bytes);
    const from = record.offset + HEADER_BYTES;
    return bytes.subarray(from, from + record.bodyLength).includes(text);
  });
  if (match === undefined) throw new Error(`Cannot find a record with ${text} in ${dataFolder}`);
  return match;
}

export type RecordPart = "header" | "body";

/** Flips one bit of a record. */
export function flipRecord(record: FoundRecord, part: RecordPart): void {
  const within = part === "header" ? 33 : HEADER_BYTES + Math.floor(record.bodyLength / 2);
  flipBit(record.file, record.offset + within);
}

/** Cuts the file off in the middle of the record. */
export function cutIn(record: FoundRecord): void {
  truncateSync(record.file, record.offset + HEADER_BYTES + Math.floor(record.bodyLength / 2));
}

/** Writes noise over the sector after the record, as a crash in the middle of the next write leaves it. */
export function tearAfter(record: FoundRecord): void {
  const end = record.offset + HEADER_BYTES + record.bodyLength;
  const fd = openSync(record.file, "r+");
  try {
    writeSync(fd, Buffer.alloc(200, 0xa5), 0, undefined, SECTOR_BYTES * Math.ceil(end / SECTOR_BYTES));
  } finally {
    closeSync(fd);
  }
}

export function flipBit(file: string, offset: number, bit = 4): void {
  const bytes = readFileSync(file);
  const before = bytes[offset];
  if (before === undefined) throw new Error(`Cannot flip a bit at ${offset}: ${file} has ${bytes.length} bytes`);
  const fd = openSync(file, "r+");
  try {
    writeSync(fd, Buffer.of(before ^ (1 << bit)), 0, 1, offset);
  } finally {
    closeSync(fd);
  }
}

/** Every offset at which `text` stands in the file. */
export function offsetsOf(file: string, text: string): readonly number[] {
  const bytes = readFileSync(file);
  const found: number[] = [];
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) found.push(at);
  return found;
}
