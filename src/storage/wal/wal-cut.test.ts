/**
 * Files of the log cut short, or removed, behind its back. What was acknowledged and is gone is reported, at this start and
 * at the next ones; a cut through space that was never used costs nothing. That no crash looks like a cut is shown by the
 * tests that crash and expect no damage: `wal-crash.test.ts`, `test/sim/wal.test.ts`.
 */
import { crc32 } from "node:zlib";
import { beforeEach, describe, expect, it } from "vitest";
import { logIndex } from "../../base/ids.ts";
import { Prng } from "../../base/prng.ts";
import { RecordKind } from "../../consensus/contract/record.ts";
import type { Kernels } from "../../ports/kernels.ts";
import type { WalRecovery } from "./contract.ts";
import { HEADER_BYTES, SECTOR_BYTES } from "./record-header.ts";
import type { CrashDisk } from "./testing/crash-disk.ts";
import { FOLDER, GROUP_A, settle, WalWorld } from "./testing/wal-world.ts";

const kernels: Kernels = {
  crc32: (bytes, seed) => crc32(bytes, seed),
  latin1: (bytes) => Buffer.from(bytes).toString("latin1"),
};
const { command, vote } = RecordKind;
const SEGMENT_BYTES = 8_192;

let world: WalWorld;
beforeEach(async () => {
  world = new WalWorld(kernels);
  world.segmentBytes = SEGMENT_BYTES;
  await world.open();
});

const path = (number: number): string => `${FOLDER}/${String(number).padStart(12, "0")}.wal`;
const entries = (recovery: WalRecovery): number[] =>
  (recovery.groups.get(GROUP_A) ?? []).filter((r) => r.kind === command).map((r) => r.index);
const upTo = (last: number): number[] => Array.from({ length: last }, (_, i) => i + 1);

async function fill(from: number, to: number, bytes = 1_000): Promise<void> {
  for (let index = from; index <= to; index++) await world.write(GROUP_A, world.record(command, index, bytes));
}

/** The same log in another life, with a file cut to `length`. */
async function cut(disk: CrashDisk, number: number, length: number): Promise<WalRecovery> {
  world.disk = disk.copy();
  world.disk.cut(path(number), length);
  return world.open();
}

/** Damage is still found when more was written and the process has died. */
async function staysDamaged(): Promise<void> {
  await fill(101, 108);
  world.disk.crash(new Prng(5));
  let recovery = await world.open();
  expect(recovery.damage.length).toBeGreaterThan(0);
  expect(entries(recovery).slice(-8)).toEqual(upTo(108).slice(-8));
  await world.wal.close();
  recovery = await world.open();
  expect(recovery.damage.length).toBeGreaterThan(0);
}

describe.each(["at rest", "in use"])("the last segment of a log %s, cut at any byte", (when) => {
  it("is damage if a record is gone, whole or in part, and harmless if none is", async () => {
    await fill(1, 6, 700); // two sectors each, but the first: with its head it ends in the second as well
    world.wal.append(GROUP_A, [world.record(command, 7, 100), world.record(vote, 0, 9), world.record(command, 8, 300)]);
    await world.wal.flush();
    await settle();
    if (when === "at rest") await world.wal.close();
    const disk = world.disk.copy();
    const usedBytes = 6 * 2 * SECTOR_BYTES + recordEnd([100, 9, 300]);
    expect(disk.names()).toEqual([path(1), path(2)]);
    for (let length = 0; length < SEGMENT_BYTES; length++) {
      const recovery = await cut(disk, 1, length);
      expect(recovery.tornBytes, `cut to ${length}`).toBe(0);
      const whole = entries(recovery).length === 8;
      expect(whole).toBe(length >= usedBytes);
      // The place of the next header is seen to be empty only if it is there.
      const isHarmless = length >= 7 * 2 * SECTOR_BYTES + HEADER_BYTES;
      expect(recovery.damage.length > 0, `cut to ${length}`).toBe(!isHarmless);
      expect(world.wal.isDamaged).toBe(!isHarmless);
      const lost = 9 - entries(recovery).length;
      const told = recovery.damage.reduce((sum, { records }) => sum + records, 0);
      if (!whole) expect(told).toBeGreaterThanOrEqual(lost);
      if (isHarmless) expect(world.disk.content(path(1))).toHaveLength(SEGMENT_BYTES);
      if (length % 331 !== 0) continue;
      if (!isHarmless) await staysDamaged();
      else await staysWhole();
    }
  });

  async function staysWhole(): Promise<void> {
    await fill(9, 12);
    world.disk.crash(new Prng(3));
    const recovery = await world.open();
    expect(entries(recovery)).toEqual(upTo(12));
    expect(recovery).toMatchObject({ damage: [], tornBytes: 0 });
  }
});

/** Where a batch of such bodies ends, counted from its start. */
const recordEnd = (bodies: readonly number[]): number =>
  bodies.reduce((end, bytes, i) => {
    const padded = Math.ceil((HEADER_BYTES + bytes) / 8) * 8;
    return end + (i === bodies.length - 1 ? HEADER_BYTES + bytes : padded);
  }, 0);

describe("a segment cut short", () => {
  it("names the file, the lengths and the most that can be lost", async () => {
    await fill(1, 2);
    const recovery = await cut(world.disk, 1, 1_600);
    expect(recovery.damage).toEqual([
      {
        segment: "000000000001.wal",
        offset: 1_600,
        why: "the file was cut from 8192 to 1600 bytes",
        records: Math.ceil((8_192 - 1_536) / HEADER_BYTES),
        record: undefined,
        isAtMost: true,
      },
    ]);
    await fill(2, 4);
    world.disk.crash(new Prng(9));
    expect((await world.open()).damage).toMatchObject([{ why: "records 2 to 94 cannot be read", isAtMost: true }]);
  });

  it("in the midst of the log is damage only if records are missing", async () => {
    await fill(1, 12);
    await world.wal.close();
    const disk = world.disk;
    expect(disk.content(path(2)).length).toBe(SEGMENT_BYTES);
    const last = disk.content(path(1)).findLastIndex((byte) => byte !== 0);
    expect(last).toBeLessThan(SEGMENT_BYTES - 100);
    let recovery = await cut(disk, 1, last + 1);
    expect(entries(recovery)).toEqual(upTo(12));
    expect(recovery.damage).toEqual([]);
    recovery = await cut(disk, 1, last);
    expect(entries(recovery)).toEqual(upTo(12).filter((index) => index !== 5));
    expect(recovery.damage).toMatchObject([{ record: { index: 5 } }]);
    recovery = await cut(disk, 1, 0);
    expect(recovery.damage).toMatchObject([{ records: 5, record: undefined }]);
  });

  it("is harmless if the segment was full: behind its records there was room for a note only", async () => {
    await fill(1, 15, 300);
    const disk = world.disk.copy();
    for (const length of [7_540, 7_600, 7_680, 7_700, 8_191]) {
      const recovery = await cut(disk, 1, length);
      expect(entries(recovery)).toEqual(upTo(15));
      expect(recovery.damage).toEqual([]);
    }
    expect((await cut(disk, 1, 7_539)).damage.length).toBeGreaterThan(0);
  });

  it("is noticed whatever length is configured now", async () => {
    await fill(1, 3);
    const disk = world.disk.copy();
    for (const segmentBytes of [4_096, 8_192, 16_384]) {
      world.segmentBytes = segmentBytes;
      const recovery = await cut(disk, 1, 4_679); // nothing stood behind it, but who can tell
      expect(recovery).toMatchObject({ damage: [{ record: undefined }], tornBytes: 0 });
      expect((await cut(disk, 1, 4_680)).damage).toEqual([]);
    }
  });

  it("keeps the length with which it was made when another one is configured", async () => {
    await fill(1, 2);
    for (const segmentBytes of [16_384, 4_096]) {
      await world.wal.close();
      world.segmentBytes = segmentBytes;
      await world.open();
      await fill(3, 20);
      world.disk.killProcess();
      const recovery = await world.open();
      expect(entries(recovery).at(-1)).toBe(20);
      expect(recovery.damage).toEqual([]);
      expect(world.disk.content(path(1))).toHaveLength(SEGMENT_BYTES);
    }
  });

  it("is noticed in the file of one huge record", async () => {
    await fill(1, 1);
    await world.write(GROUP_A, world.record(command, 2, 30_000));
    const disk = world.disk.copy();
    const length = disk.content(path(2)).length;
    expect(length).toBeGreaterThan(30_000);
    for (const cutTo of [0, 71, 72, 100, 200, 8_192, 29_999, 30_143]) {
      const recovery = await cut(disk, 2, cutTo);
      expect(entries(recovery)).toEqual([1]);
      expect(recovery.damage.length, `cut to ${cutTo}`).toBeGreaterThan(0);
    }
    const recovery = await cut(disk, 2, length - 1);
    expect(entries(recovery)).toEqual([1, 2]);
    expect(recovery.damage).toEqual([]);
  });

  it("is noticed when it is the first and nothing is left of it, or when it was next", async () => {
    await fill(1, 1);
    expect((await cut(world.disk, 1, 0)).damage).toHaveLength(1);
    world = new WalWorld(kernels);
    await world.open();
    await fill(1, 5);
    await settle();
    const disk = world.disk.copy();
    expect(entries(await cut(disk, 2, 100))).toEqual(upTo(5));
    expect(world.wal.isDamaged).toBe(false); // its first header is seen not to be there
    expect((await cut(disk, 2, 71)).damage).toMatchObject([{ segment: "000000000002.wal" }]);
    await staysDamaged();
  });

  it("may go when all that can have been lost is trimmed, and not before", async () => {
    await fill(1, 2);
    world.disk.cut(path(1), 2_000);
    world.disk.killProcess();
    const recovery = await world.open();
    const lost = recovery.damage.reduce((sum, { records }) => sum + records, 0);
    await fill(2, 6);
    world.wal.trim(GROUP_A, logIndex(6));
    await settle();
    expect(world.wal.isDamaged).toBe(true);
    world.wal.trim(GROUP_A, logIndex(1 + lost));
    await settle();
    expect(world.wal.isDamaged).toBe(false);
  });
});

describe("a file that was removed", () => {
  it("is damage when it was written to last, though a prepared one follows it", async () => {
    await fill(1, 8);
    await settle();
    expect(world.disk.names()).toEqual([path(1), path(2), path(3)]);
    await world.wal.close();
    await world.disk.boot().remove(path(2));
    const recovery = await world.open();
    expect(entries(recovery)).toEqual(upTo(5));
    expect(recovery.damage).toMatchObject([{ why: "the file 000000000002.wal is gone", record: undefined }]);
    await staysDamaged();
  });
});

describe("a log of the first format, which had no heads", () => {
  /** Takes the head away from a log of one segment and lets every header be of the first version. */
  function age(disk: CrashDisk): void {
    const bytes = disk.content(path(1));
    const old = bytes.slice();
    old.copyWithin(0, HEADER_BYTES, 1_536);
    old.fill(0, 1_536 - HEADER_BYTES, 1_536);
    const view = new DataView(old.buffer);
    for (let at = 0; at < old.length; at += 8) {
      if (view.getUint16(at + 4, true) !== 0xa15c) continue;
      old[at + 6] = 1;
      view.setUint32(at, crc32(old.subarray(at + 4, at + HEADER_BYTES), 1), true);
    }
    for (let at = 0; at < old.length; at++) disk.rot(path(1), at, (bytes[at] ?? 0) ^ (old[at] ?? 0));
  }

  it("is read, and continued", async () => {
    await fill(1, 3);
    await world.wal.close();
    age(world.disk);
    let recovery = await world.open();
    expect(entries(recovery)).toEqual(upTo(3));
    expect(recovery).toMatchObject({ damage: [], tornBytes: 0 });
    await fill(4, 12);
    world.disk.crash(new Prng(1));
    recovery = await world.open();
    expect(entries(recovery)).toEqual(upTo(12));
    expect(recovery.damage).toEqual([]);
  });

  it("may have a file that got its name before its length", async () => {
    await fill(1, 3);
    await world.wal.close();
    age(world.disk);
    if (world.disk.names().includes(path(2))) world.disk.cut(path(2), 0);
    else await world.disk.boot().open(path(2), { create: true });
    const recovery = await world.open();
    expect(entries(recovery)).toEqual(upTo(3));
    expect(recovery.damage).toEqual([]);
  });
});
