/**
 * How long a log takes to come back: writes `--bytes` (default 1 GiB) of entries, closes, and recovers. Prints the best
 * and the median of some rounds as one JSON line, the processor time of one recovery (on a busy machine the better figure),
 * and what a flush costs on the way. The page cache is warm: the figure is that of the code, and of the disk only where the
 * machine has less memory than log.
 *
 *   node bench/wal-recovery.ts [--bytes 1073741824] [--body 4096] [--rounds 3]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { groupId, logIndex, term } from "../src/base/ids.ts";
import { type LogRecord, RecordKind } from "../src/consensus/contract/record.ts";
import { NodeClock } from "../src/host/node-clock.ts";
import { openNodeDisk } from "../src/host/node-disk.ts";
import { nodeKernels } from "../src/host/node-kernels.ts";
import { silentObserver } from "../src/ports/observer.ts";
import { Wal, type WalPorts } from "../src/storage/wal/wal.ts";

const GROUP = groupId(1);
const FLUSH_BYTES = 1024 * 1024;
const OPTIONS = { folder: "wal", diskReserveBytes: 0 };

const { values } = parseArgs({
  options: {
    bytes: { type: "string", default: String(1024 * 1024 * 1024) },
    body: { type: "string", default: "4096" },
    rounds: { type: "string", default: "3" },
    dir: { type: "string", default: tmpdir() },
  },
});
const bytesWanted = Number(values.bytes);
const bodyBytes = Number(values.body);

const folder = await mkdtemp(join(values.dir, "althing-wal-"));
try {
  const ports: WalPorts = {
    disk: await openNodeDisk(folder),
    clock: new NodeClock(),
    kernels: nodeKernels,
    observer: silentObserver,
  };
  const records = await fill(ports);
  const flushUs = await flushCost(ports);
  const took: number[] = [];
  const rounds = Number(values.rounds);
  const before = process.cpuUsage();
  for (let round = 0; round < rounds; round++) took.push(await recoverOnce(ports, records));
  const used = process.cpuUsage(before);
  took.sort((a, b) => a - b);
  const result = {
    bench: "wal-recovery",
    bytes: bytesWanted,
    bodyBytes,
    records,
    bestMs: Math.round(took[0] ?? 0),
    medianMs: Math.round(took[took.length >> 1] ?? 0),
    userMs: Math.round(used.user / 1_000 / rounds),
    systemMs: Math.round(used.system / 1_000 / rounds),
    flushUs: Math.round(flushUs),
    cpu: cpus()[0]?.model,
  };
  console.log(JSON.stringify(result));
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** Writes the log; returns the count of its records. */
async function fill(ports: WalPorts): Promise<number> {
  const { wal } = await Wal.open(ports, OPTIONS);
  const body = new Uint8Array(bodyBytes).map((_, i) => (i * 131) & 0xff);
  const bodyCrc = ports.kernels.crc32(body);
  let index = 0;
  for (let written = 0; written < bytesWanted; ) {
    const batch: LogRecord[] = [];
    for (let size = 0; size < FLUSH_BYTES; size += bodyBytes) {
      index++;
      batch.push({ kind: RecordKind.command, index: logIndex(index), term: term(1), chain: index, body, bodyCrc });
    }
    written += batch.length * bodyBytes;
    wal.append(GROUP, batch);
    await wal.flush();
  }
  await wal.close();
  return index;
}

/** Microseconds of one flush of one small record, with its sync. */
async function flushCost(ports: WalPorts): Promise<number> {
  const { wal } = await Wal.open(ports, { ...OPTIONS, folder: "flush" });
  const body = new Uint8Array(256);
  const bodyCrc = ports.kernels.crc32(body);
  const count = 500;
  const start = performance.now();
  for (let index = 1; index <= count; index++) {
    wal.append(GROUP, [
      { kind: RecordKind.command, index: logIndex(index), term: term(1), chain: index, body, bodyCrc },
    ]);
    await wal.flush();
  }
  const tookMs = performance.now() - start;
  await wal.close();
  return (tookMs * 1_000) / count;
}

/** Milliseconds until the log is open with every record at hand. */
async function recoverOnce(ports: WalPorts, records: number): Promise<number> {
  const start = performance.now();
  const { wal, recovery } = await Wal.open(ports, OPTIONS);
  const tookMs = performance.now() - start;
  const found = recovery.groups.get(GROUP)?.length;
  if (found !== records || recovery.damage.length > 0 || recovery.tornBytes > 0) {
    throw new Error(`Cannot measure: ${found} of ${records} records came back`);
  }
  await wal.close();
  return tookMs;
}
