/**
 * Reads the log at start: every segment whole, the next one while the last one is scanned. Then it makes true what
 * `recovered-log.ts` decided: a torn tail is overwritten with zeroes, and what is kept without proof that it was durable is
 * written again and synced before anyone hears of it. Again, because after a failed sync the page cache may hold as clean
 * what the disk never got (Rebello et al., ATC'20); a sync alone would prove nothing.
 */
import { assert } from "../../base/assert.ts";
import type { Disk } from "../../ports/disk.ts";
import type { Kernels } from "../../ports/kernels.ts";
import { HEADER_BYTES, type HeaderCodec, RECORD_ALIGNMENT, recordBytes } from "./record-header.ts";
import { type AssembledLog, type Place, RecoveredLog, type ScannedSegment } from "./recovered-log.ts";
import { findSegments, segmentName } from "./segment-files.ts";

export interface RecoveredFiles {
  readonly log: AssembledLog;
  /** Segments that follow the log without a hole and are whole: ready for use. Ascending. */
  readonly prepared: readonly number[];
  readonly highest: number;
  readonly tornBytes: number;
}

export async function recover(
  ports: { readonly disk: Disk; readonly kernels: Pick<Kernels, "crc32"> },
  codec: HeaderCodec,
  options: { readonly folder: string; readonly segmentBytes: number },
): Promise<RecoveredFiles> {
  const { disk, kernels } = ports;
  const { folder, segmentBytes } = options;
  const numbers = await findSegments(disk, folder);
  const found = new RecoveredLog(numbers[0] ?? 1);
  const lengths = new Map<number, number>();
  let ahead = numbers[0] === undefined ? undefined : readSegment(disk, folder, numbers[0]);
  for (let i = 0; i < numbers.length; i++) {
    const segment = await ahead;
    assert(segment !== undefined, "a read is under way for each segment");
    const next = numbers[i + 1];
    ahead = next === undefined ? undefined : readSegment(disk, folder, next);
    ahead?.catch(() => undefined); // looked at in the next round
    lengths.set(segment.number, segment.bytes.length);
    scan(segment, found, codec, kernels);
  }
  const log = found.finish();
  const tornBytes = await repair(disk, folder, log);

  const last = log.segments.at(-1)?.number ?? (numbers[0] ?? 1) - 1;
  const prepared: number[] = [];
  for (let number = last + 1; lengths.get(number) === segmentBytes; number++) prepared.push(number);
  const highest = last + prepared.length;
  for (const number of numbers.filter((n) => n > highest).reverse()) {
    await disk.remove(`${folder}/${segmentName(number)}`);
    await disk.syncDirectory(folder);
  }
  return { log, prepared, highest, tornBytes };
}

async function readSegment(disk: Disk, folder: string, number: number): Promise<ScannedSegment> {
  const file = await disk.open(`${folder}/${segmentName(number)}`, { create: false });
  assert(file !== undefined, "a listed segment exists", { number });
  try {
    const bytes = new Uint8Array(await file.length());
    let read = 0;
    while (read < bytes.length) {
      const count = await file.read(bytes.subarray(read), read);
      assert(count > 0, "a file is as long as it says", { number, read });
      read += count;
    }
    return { number, bytes };
  } finally {
    await file.close();
  }
}

/** Offers every intact header to the log: record after record, and after a bad one the next that verifies. */
function scan(segment: ScannedSegment, log: RecoveredLog, codec: HeaderCodec, kernels: Pick<Kernels, "crc32">): void {
  const { bytes } = segment;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  while (at + HEADER_BYTES <= bytes.length) {
    const header = codec.read(bytes, view, at, segment.number);
    if (header === undefined) {
      at += RECORD_ALIGNMENT;
      continue;
    }
    const end = at + recordBytes(header.bodyLength);
    const body = bytes.subarray(at + HEADER_BYTES, at + HEADER_BYTES + header.bodyLength);
    const intact = body.length === header.bodyLength && kernels.crc32(body) === header.bodyCrc;
    const place = { segment, offset: at, end: Math.min(end, bytes.length), body };
    at = log.offer(header, place, intact) ? end : at + RECORD_ALIGNMENT;
  }
}

/** Overwrites what is torn, rewrites what is undecided, and syncs. Returns the bytes that were cut off. */
async function repair(disk: Disk, folder: string, log: AssembledLog): Promise<number> {
  let tornBytes = 0;
  const numbers = new Set([...log.torn, ...log.undecided].map((place) => place.segment.number));
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const here = (place: Place): boolean => place.segment.number === number;
    const file = await disk.open(`${folder}/${segmentName(number)}`, { create: false });
    assert(file !== undefined, "a segment that was read exists", { number });
    try {
      for (const { segment, offset, end } of log.undecided.filter(here)) {
        await file.write([segment.bytes.subarray(offset, end)], offset);
      }
      const torn = log.torn.filter(here);
      const first = torn[0];
      const last = torn.at(-1);
      if (first !== undefined && last !== undefined) {
        const from = log.damagedSegments.has(number) ? first.offset : tailOf(log, number);
        await file.write([new Uint8Array(last.end - from)], from);
        tornBytes += last.end - from;
      }
      await file.sync();
    } finally {
      await file.close();
    }
  }
  return tornBytes;
}

/** Where the kept part of a segment ends. */
function tailOf(log: AssembledLog, number: number): number {
  const segment = log.segments.find((s) => s.number === number);
  return segment === undefined ? 0 : segment.bytes;
}
