/**
 * Reads the log at start: every segment whole, the next one while the last one is scanned. Then it makes true what
 * `recovered-log.ts` decided: a torn tail is overwritten with zeroes, and what is kept without proof that it was durable is
 * written again and synced before anyone hears of it. Again, because after a failed sync the page cache may hold as clean
 * what the disk never got (Rebello et al., ATC'20); a sync alone would prove nothing. A file from whose end only unused space
 * was cut off gets its length back, so that W7 holds for what is written next.
 */
import { assert } from "../../base/assert.ts";
import type { Disk } from "../../ports/disk.ts";
import type { Kernels } from "../../ports/kernels.ts";
import { sumOf } from "./header-sum.ts";
import { HEADER_BYTES, type HeaderCodec, RECORD_ALIGNMENT, recordBytes } from "./record-header.ts";
import { type AssembledLog, type Place, RecoveredLog, type ScannedSegment } from "./recovered-log.ts";
import type { Segment } from "./segment.ts";
import { findSegments, segmentName } from "./segment-files.ts";

/** Up to this length the sum of a body is made here: a call of native code would cost more. */
const SHORT_BODY_BYTES = 256;

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
  const found = new RecoveredLog(numbers[0] ?? 1, segmentBytes);
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

  const active = log.segments.at(-1);
  const isUsable = active !== undefined && !log.damagedSegments.has(active.number);
  if (isUsable && (lengths.get(active.number) ?? 0) < active.fileBytes) await lengthen(disk, folder, active);
  const last = active?.number ?? (numbers[0] ?? 1) - 1;
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
  const { bytes, number } = segment;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  log.beginSegment(segment);
  let at = 0;
  while (at + HEADER_BYTES <= bytes.length) {
    const header = codec.read(bytes, view, at, number);
    if (header === undefined) {
      at += RECORD_ALIGNMENT;
      continue;
    }
    const from = at + HEADER_BYTES;
    const to = from + header.bodyLength;
    const isIntact = to <= bytes.length && bodySum(bytes, from, to, kernels) === header.bodyCrc;
    const end = at + recordBytes(header.bodyLength);
    at = log.offer(header, segment, at, end, isIntact) ? end : at + RECORD_ALIGNMENT;
  }
}

function bodySum(bytes: Uint8Array, from: number, to: number, kernels: Pick<Kernels, "crc32">): number {
  return to - from <= SHORT_BODY_BYTES ? sumOf(bytes, from, to, 0) : kernels.crc32(bytes.subarray(from, to));
}

async function lengthen(disk: Disk, folder: string, { number, fileBytes }: Segment): Promise<void> {
  const file = await disk.open(`${folder}/${segmentName(number)}`, { create: false });
  assert(file !== undefined, "a segment that was read exists", { number });
  try {
    await file.truncate(fileBytes);
    await file.sync();
  } finally {
    await file.close();
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
