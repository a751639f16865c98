/** Every byte of a small log at rest, changed one at a time: harmless or reported, and never a log that is silently shorter. */
import { crc32 } from "node:zlib";
import { describe, expect, it } from "vitest";
import { logIndex } from "../../base/ids.ts";
import { type LogRecord, RecordKind } from "../../consensus/contract/record.ts";
import type { Kernels } from "../../ports/kernels.ts";
import type { CrashDisk } from "./testing/crash-disk.ts";
import { GROUP_A, GROUP_B, isSame, settle, WalWorld } from "./testing/wal-world.ts";

const kernels: Kernels = {
  crc32: (bytes, seed) => crc32(bytes, seed),
  latin1: (bytes) => Buffer.from(bytes).toString("latin1"),
};

const { command, vote, start } = RecordKind;

/** A log of several segments, one of them reused, at rest. */
async function makeLog(): Promise<{
  readonly disk: CrashDisk;
  readonly all: ReadonlyMap<number, readonly LogRecord[]>;
}> {
  const world = new WalWorld(kernels);
  world.segmentBytes = 4_096;
  await world.open();
  await world.write(GROUP_A, world.record(vote, 0, 9, 1), world.record(start, 2, 30, 1));
  for (let index = 3; index <= 8; index++) await world.write(GROUP_A, world.record(command, index, 1_200));
  world.wal.trim(GROUP_A, logIndex(6));
  await settle();
  for (let index = 9; index <= 11; index++) {
    world.wal.append(GROUP_B, [world.record(command, index, 40), world.record(command, index + 100, 0)]);
    await world.write(GROUP_A, world.record(command, index, 300), world.record(vote, 0, 9, index));
  }
  expect(world.wal.stats.recycled).toBeGreaterThan(0);
  await world.wal.close();
  const disk = world.disk.copy();
  world.disk.killProcess();
  const recovery = await world.open();
  expect(recovery.damage).toEqual([]);
  return { disk, all: recovery.groups };
}

describe("a flipped byte in a log at rest", () => {
  it("is harmless or reported: never a silently shorter log", async () => {
    const { disk, all } = await makeLog();
    const pristine = disk.names().map((path) => disk.content(path));
    const fates = { harmless: 0, reported: 0 };
    for (const path of disk.names()) {
      const length = disk.content(path).length;
      for (let offset = 0; offset < length; offset++) {
        const world = new WalWorld(kernels);
        world.segmentBytes = 4_096;
        world.disk = disk;
        const mask = 1 << (offset % 8);
        disk.rot(path, offset, mask);
        const recovery = await world.open();
        disk.rot(path, offset, mask); // recovery changes nothing in a log at rest, so the next flip starts afresh
        const whole = [...all].every(([group, records]) => hasAll(recovery.groups.get(group as never) ?? [], records));
        if (recovery.damage.length > 0) fates.reported++;
        else if (whole) fates.harmless++;
        else expect.fail(`a flip at ${path}:${offset} went unnoticed`);
        for (const [group, records] of recovery.groups) {
          const known = all.get(group) ?? [];
          if (!records.every((r) => known.some((k) => isSame(k, r))))
            expect.fail(`${path}:${offset} invented a record`);
        }
        if (recovery.tornBytes > 0) expect.fail(`a flip at ${path}:${offset} passed as a torn tail`);
      }
    }
    expect(disk.names().map((path) => disk.content(path))).toEqual(pristine);
    expect(fates.reported).toBeGreaterThan(3_000);
    expect(fates.harmless).toBeGreaterThan(1_000);
  });
});

/** All entries in order, and the newest sticky record of each kind; older ones may be missing. */
function hasAll(found: readonly LogRecord[], wanted: readonly LogRecord[]): boolean {
  const entries = (records: readonly LogRecord[]): readonly LogRecord[] => records.filter((r) => r.kind < 16);
  const newest = (records: readonly LogRecord[], kind: number): LogRecord | undefined =>
    records.findLast((r) => r.kind === kind);
  const a = entries(found);
  const b = entries(wanted);
  return (
    a.length === b.length &&
    b.every((record, i) => isSame(record, a[i] ?? record) && a[i] !== undefined) &&
    [vote, start].every((kind) => {
      const last = newest(wanted, kind);
      const here = newest(found, kind);
      return last === undefined ? here === undefined : here !== undefined && isSame(here, last);
    })
  );
}
