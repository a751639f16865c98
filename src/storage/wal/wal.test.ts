/**
 * The log in single scenes: batches, segments, trims, notes, full and failing disks, damage one can name.
 * Random crashes are in `wal-crash.test.ts`, every single flipped byte in `wal-rot.test.ts`.
 */
import { crc32 } from "node:zlib";
import { beforeEach, describe, expect, it } from "vitest";
import { AlthingError } from "../../base/errors.ts";
import { logIndex } from "../../base/ids.ts";
import { Prng } from "../../base/prng.ts";
import { type LogRecord, RecordKind } from "../../consensus/contract/record.ts";
import type { Kernels } from "../../ports/kernels.ts";
import type { WalRecovery } from "./contract.ts";
import { HEADER_BYTES } from "./record-header.ts";
import { FOLDER, GROUP_A, GROUP_B, settle, WalWorld } from "./testing/wal-world.ts";

const kernels: Kernels = {
  crc32: (bytes, seed) => crc32(bytes, seed),
  latin1: (bytes) => Buffer.from(bytes).toString("latin1"),
};

const { command, vote, start } = RecordKind;

let world: WalWorld;
beforeEach(async () => {
  world = new WalWorld(kernels);
  await world.open();
});

/** The fields and nothing else, as they were appended. */
const plain = (records: readonly (LogRecord | undefined)[] = []): (LogRecord | undefined)[] =>
  records.map((r) => (r === undefined ? undefined : { ...r, body: r.body }));
const bodies = (records: readonly LogRecord[] | undefined): number[] => (records ?? []).map((r) => r.chain);
const entries = (recovery: WalRecovery, group = GROUP_A): number[] =>
  (recovery.groups.get(group) ?? []).filter((r) => r.kind < 16).map((r) => r.index);
const newest = (recovery: WalRecovery, kind: number, group = GROUP_A): LogRecord | undefined =>
  recovery.groups.get(group)?.findLast((r) => r.kind === kind);

async function reopen(): Promise<WalRecovery> {
  await world.wal.close();
  return world.open();
}

async function powerCut(seed = 1): Promise<WalRecovery> {
  world.disk.crash(new Prng(seed));
  return world.open();
}

/** Entries of 1 KiB, one flush each, from `from` to `to`. */
async function fill(from: number, to: number, group = GROUP_A): Promise<void> {
  for (let index = from; index <= to; index++) await world.write(group, world.record(command, index, 1_000));
}

describe("Wal.flush()", () => {
  it("keeps records of all groups, in order and unchanged", async () => {
    const written = [world.record(command, 1, 0), world.record(vote, 0, 13), world.record(command, 2, 3_000)];
    const other = world.record(command, 9, 700, 4);
    world.wal.append(GROUP_A, written.slice(0, 2));
    world.wal.append(GROUP_B, [other]);
    world.wal.append(GROUP_A, written.slice(2));
    await world.wal.flush();
    const recovery = await powerCut();
    expect(plain(recovery.groups.get(GROUP_A))).toEqual(written);
    expect(plain(recovery.groups.get(GROUP_B))).toEqual([other]);
    expect(recovery).toMatchObject({ tornBytes: 0, damage: [] });
  });

  it("writes nothing before it is called, and nothing when nothing was appended", async () => {
    world.wal.append(GROUP_A, [world.record(command, 1, 10)]);
    await settle();
    expect(world.disk.counts.get("write")).toBeUndefined();
    await world.wal.flush();
    expect(world.disk.counts.get("write")).toBe(1);
    await world.wal.flush();
    expect(world.disk.counts.get("write")).toBe(1);
  });

  it("gathers the next batch while one is under way: one write and one sync for all of it", async () => {
    await fill(1, 1);
    const before = { write: world.disk.counts.get("write") ?? 0, sync: world.disk.counts.get("sync") ?? 0 };
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    world.disk.before = (operation) => (operation === "sync" ? gate : undefined);
    const first = world.write(GROUP_A, world.record(command, 2, 10));
    await settle();
    const rest = [3, 4, 5, 6].map((index) => world.write(GROUP_A, world.record(command, index, 10)));
    let ended = 0;
    for (const flush of [first, ...rest]) void flush.then(() => ended++);
    await settle();
    expect(ended).toBe(0);
    expect(world.disk.counts.get("write")).toBe(before.write + 1);
    release();
    await Promise.all([first, ...rest]);
    expect(world.disk.counts.get("write")).toBe(before.write + 2);
    expect(world.disk.counts.get("sync")).toBe(before.sync + 2);
    expect(world.wal.stats.flushes).toBe(3);
    expect(entries(await powerCut())).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it("resolves only when the records are durable", async () => {
    await fill(1, 1);
    world.disk.losePowerAfter(1); // the write comes before the sync
    let resolved = false;
    void world.write(GROUP_A, world.record(command, 2, 10)).then(() => {
      resolved = true;
    });
    await settle();
    expect(world.disk.isDead).toBe(true);
    expect(resolved).toBe(false);
  });

  it("splits a batch that is larger than a segment, and gives one huge record a segment of its own", async () => {
    const records = [...Array(40).keys()].map((i) => world.record(command, i + 1, 900));
    records.push(world.record(command, 41, 30_000), world.record(command, 42, 5));
    await world.write(GROUP_A, ...records);
    const recovery = await powerCut();
    expect(bodies(recovery.groups.get(GROUP_A))).toEqual(bodies(records));
    expect(recovery.damage).toEqual([]);
    await fill(43, 60);
    expect(entries(await powerCut())).toHaveLength(60);
  });

  it("tells the age of the oldest write that is not durable", async () => {
    expect(world.wal.oldestOpenMs()).toBe(0);
    world.disk.before = (operation) => (operation === "sync" ? new Promise<never>(() => undefined) : undefined);
    void world.write(GROUP_A, world.record(command, 1, 10));
    await settle();
    world.clock.advance(30);
    void world.write(GROUP_A, world.record(command, 2, 10));
    world.clock.advance(400);
    expect(world.wal.oldestOpenMs()).toBe(430);
  });
});

describe("segments", () => {
  it("roll over, and recovery reads them all", async () => {
    await fill(1, 40);
    expect(world.wal.stats.segments).toBeGreaterThan(4);
    const recovery = await powerCut();
    expect(entries(recovery)).toEqual([...Array(40).keys()].map((i) => i + 1));
    expect(recovery.damage).toEqual([]);
  });

  it("are prepared ahead of need and filled with zeroes", async () => {
    await fill(1, 3);
    await settle();
    const second = `${FOLDER}/000000000002.wal`;
    expect(world.disk.names()).toContain(second);
    expect(world.disk.content(second)).toEqual(new Uint8Array(8_192));
  });

  it("are reused once trimmed, the oldest first, without a hole in their numbers", async () => {
    for (let round = 0; round < 12; round++) {
      await fill(round * 8 + 1, round * 8 + 8);
      world.wal.trim(GROUP_A, logIndex(round * 8 + 4));
      await settle();
      const numbers = world.disk.names().map((name) => Number(name.slice(FOLDER.length + 1, -4)));
      expect(numbers).toEqual(numbers.map((_, i) => (numbers[0] ?? 0) + i));
    }
    expect(world.wal.stats.recycled).toBeGreaterThan(8);
    expect(world.wal.stats.segments).toBeLessThan(5);
    expect(world.disk.names().length).toBeLessThan(8);
    const recovery = await powerCut();
    expect(entries(recovery).filter((index) => index > 92)).toEqual([93, 94, 95, 96]);
    expect(recovery.damage).toEqual([]);
  });

  it("stay while another group needs an entry of theirs", async () => {
    await world.write(GROUP_B, world.record(command, 7, 10));
    await fill(1, 30);
    world.wal.trim(GROUP_A, logIndex(30));
    await settle();
    expect(world.wal.stats.recycled).toBe(0);
    expect(entries(await reopen(), GROUP_B)).toEqual([7]);
    world.wal.trim(GROUP_A, logIndex(30));
    world.wal.trim(GROUP_B, logIndex(7));
    await settle();
    expect(world.wal.stats.recycled).toBe(0); // W5: what is sticky is copied with the first batch after a start
    await fill(31, 31);
    await settle();
    expect(world.wal.stats.recycled).toBeGreaterThan(2);
  });

  it("of another size are not reused", async () => {
    await fill(1, 20);
    await world.wal.close();
    world.segmentBytes = 16_384;
    await world.open();
    await fill(21, 60);
    world.wal.trim(GROUP_A, logIndex(58));
    await settle();
    await fill(61, 80);
    expect(entries(await powerCut()).slice(-22)).toEqual([...Array(22).keys()].map((i) => i + 59));
  });
});

describe("sticky records", () => {
  it("survive the recycling of their segment: the newest of each kind and group", async () => {
    await world.write(GROUP_A, world.record(vote, 0, 5, 1), world.record(start, 3, 40, 1));
    await world.write(GROUP_B, world.record(vote, 0, 6, 8));
    const last = world.record(vote, 0, 5, 2);
    await world.write(GROUP_A, last);
    await fill(4, 60);
    world.wal.trim(GROUP_A, logIndex(58));
    await settle();
    expect(world.wal.stats.recycled).toBeGreaterThan(5);
    const recovery = await powerCut();
    expect(plain([newest(recovery, vote)])).toEqual([last]);
    expect(newest(recovery, start)?.index).toBe(3);
    expect(newest(recovery, vote, GROUP_B)?.term).toBe(8);
  });

  it("carried forward stand before the entries that followed them, once", async () => {
    await world.write(GROUP_A, world.record(start, 3, 40, 1));
    await fill(4, 60);
    world.wal.trim(GROUP_A, logIndex(30));
    await settle();
    const records = (await powerCut()).groups.get(GROUP_A) ?? [];
    expect(records.filter((r) => r.kind === start)).toHaveLength(1);
    expect(records[0]?.kind).toBe(start);
  });

  it("keep that place if the copy at the head of the log is lost and a later one is read", async () => {
    await world.write(GROUP_A, world.record(start, 3, 40, 1));
    await fill(4, 60);
    world.wal.trim(GROUP_A, logIndex(30));
    await settle();
    await world.wal.close();
    const oldest = world.disk.names().find((name) => world.disk.content(name).some((byte) => byte !== 0));
    world.disk.rot(oldest ?? "", HEADER_BYTES + 20, 1);
    const recovery = await world.open();
    expect(recovery.damage).toHaveLength(1);
    const records = recovery.groups.get(GROUP_A) ?? [];
    expect(records.filter((r) => r.kind === start)).toHaveLength(1);
    expect(records[0]?.kind).toBe(start);
    expect(records.length).toBeGreaterThan(20);
  });

  it("heal from their copy in a later segment", async () => {
    const first = world.record(vote, 0, 64, 3);
    await world.write(GROUP_A, first);
    await fill(1, 12);
    await world.wal.close();
    world.disk.rot(`${FOLDER}/000000000001.wal`, 2 * HEADER_BYTES + 20, 1);
    const recovery = await world.open();
    expect(recovery.damage).toEqual([]);
    expect(plain([newest(recovery, vote), recovery.groups.get(GROUP_A)?.[0]])).toEqual([first, first]);
  });

  it("that cannot be read keep their segment until a newer one is written", async () => {
    await fill(1, 12);
    await world.write(GROUP_A, world.record(vote, 0, 64, 3));
    const path = `${FOLDER}/${String(world.wal.stats.segments).padStart(12, "0")}.wal`;
    await world.wal.close();
    const bytes = world.disk.content(path);
    world.disk.rot(path, bytes.findIndex((_, at) => at > 80 && bytes[at] === vote && bytes[at - 4] === 0x5c) + 100, 1);
    let recovery = await world.open();
    expect(recovery.damage).toMatchObject([{ record: { group: GROUP_A, kind: vote, term: 3 } }]);
    await fill(13, 50);
    world.wal.trim(GROUP_A, logIndex(50));
    await settle();
    recovery = await reopen();
    expect(recovery.damage).toHaveLength(1);
    expect(newest(recovery, vote)).toBeUndefined();
    await world.write(GROUP_A, world.record(vote, 0, 64, 4));
    recovery = await reopen();
    expect(recovery.damage).toEqual([]);
    expect(newest(recovery, vote)?.term).toBe(4);
  });
});

describe("the durable watermark", () => {
  it("is noted and synced once, when the log is at rest", async () => {
    await fill(1, 2);
    await settle();
    const syncs = world.disk.counts.get("sync") ?? 0;
    const writes = world.disk.counts.get("write") ?? 0;
    world.clock.advance(49);
    await settle();
    expect(world.disk.counts.get("write")).toBe(writes);
    world.clock.advance(2);
    await settle();
    expect(world.disk.counts.get("write")).toBe(writes + 1);
    expect(world.disk.counts.get("sync")).toBe(syncs + 1);
    world.clock.advance(5_000);
    await settle();
    expect(world.disk.counts.get("write")).toBe(writes + 1);
    expect(world.disk.counts.get("sync")).toBe(syncs + 1);
  });

  it("in a note makes a flipped bit of the last batch damage, without it a torn tail", async () => {
    await fill(1, 1);
    const path = `${FOLDER}/000000000001.wal`;
    const noteless = world.disk.copy();
    world.clock.advance(60);
    await settle();
    world.disk.rot(path, 500, 4);
    world.disk.killProcess();
    const recovery = await world.open();
    expect(recovery.damage).toEqual([
      {
        segment: "000000000001.wal",
        offset: HEADER_BYTES,
        why: "the body fails its checksum",
        records: 1,
        record: { group: GROUP_A, kind: command, index: 1, term: 1 },
      },
    ]);
    world.disk = noteless;
    world.disk.rot(path, 500, 4);
    const torn = await world.open();
    expect(torn.damage).toEqual([]);
    expect(torn.tornBytes).toBe(HEADER_BYTES + 1_072);
    expect(torn.groups.size).toBe(0);
    expect((await powerCut()).tornBytes).toBe(0);
  });

  it("is overwritten by the next batch, which tells the same", async () => {
    await fill(1, 1);
    world.clock.advance(60);
    await settle();
    await fill(2, 2);
    world.disk.rot(`${FOLDER}/000000000001.wal`, 500, 4);
    world.disk.killProcess();
    const recovery = await world.open();
    expect(recovery.damage).toHaveLength(1);
    expect(entries(recovery)).toEqual([2]);
  });
});

describe("recovery", () => {
  it("cuts a batch that was torn in the middle, though its later records survived", async () => {
    await fill(1, 1);
    world.wal.append(
      GROUP_A,
      [2, 3, 4, 5].map((index) => world.record(command, index, 1_000)),
    );
    await world.wal.flush();
    world.disk.rot(`${FOLDER}/000000000001.wal`, 1_536 + 1_072, 0xff); // the header of entry 3, before any note
    world.disk.killProcess();
    const recovery = await world.open();
    expect(entries(recovery)).toEqual([1, 2]);
    expect(recovery.damage).toEqual([]);
    expect(recovery.tornBytes).toBeGreaterThan(2_000);
    await fill(3, 3);
    expect(entries(await powerCut())).toEqual([1, 2, 3]);
  });

  it("reports an unreadable header among durable records, keeps all others, and again the next time", async () => {
    await fill(1, 3);
    await world.wal.close();
    world.disk.rot(`${FOLDER}/000000000001.wal`, 1_536 + 50, 1);
    const recovery = await world.open();
    expect(entries(recovery)).toEqual([1, 3]);
    expect(recovery.damage).toMatchObject([{ record: undefined, why: "record 2 cannot be read" }]);
    await fill(4, 9);
    const again = await powerCut();
    expect(entries(again)).toEqual([1, 3, 4, 5, 6, 7, 8, 9]);
    expect(again.damage).toHaveLength(1);
    await fill(10, 10);
    world.wal.trim(GROUP_A, logIndex(5));
    await settle();
    expect(world.wal.stats.recycled).toBe(0); // who knows what stood there: only a checkpoint beyond all of it tells
    world.wal.trim(GROUP_A, logIndex(9));
    await settle();
    expect((await reopen()).damage).toEqual([]);
  });

  it("writes nothing more to a segment with damage", async () => {
    await fill(1, 3);
    await world.wal.close();
    const path = `${FOLDER}/000000000001.wal`;
    world.disk.rot(path, 2 * 1_536 + 50, 1);
    const before = world.disk.content(path);
    expect((await world.open()).damage).toHaveLength(1);
    await fill(3, 4);
    await settle();
    expect(world.disk.content(path)).toEqual(before);
    const recovery = await powerCut();
    expect(entries(recovery)).toEqual([1, 2, 3, 4]);
    expect(recovery.damage).toHaveLength(1);
  });

  it("reports a missing segment", async () => {
    await fill(1, 30);
    await world.wal.close();
    await world.disk.boot().remove(`${FOLDER}/000000000002.wal`);
    const recovery = await world.open();
    expect(recovery.damage).toMatchObject([
      { segment: "000000000001.wal", why: "a segment is missing before 000000000003.wal", record: undefined },
    ]);
    expect(entries(recovery).slice(-1)).toEqual([30]);
  });

  it("reports a first segment that cannot be read when older ones are gone", async () => {
    await fill(1, 20);
    world.wal.trim(GROUP_A, logIndex(19));
    await settle();
    await world.wal.close();
    const path = world.disk.names().find((name) => world.disk.content(name).some((byte) => byte !== 0));
    for (let at = 0; at < 8_192; at += 64) world.disk.rot(path ?? "", at + 5, 0xff);
    const recovery = await world.open();
    expect(recovery.damage.length).toBeGreaterThan(0);
  });

  it("forgets damage of an entry that was written again", async () => {
    await fill(1, 3);
    await world.wal.close();
    world.disk.rot(`${FOLDER}/000000000001.wal`, 1_536 + 500, 1);
    expect((await world.open()).damage).toHaveLength(1);
    const repaired = world.record(command, 2, 1_000);
    await world.write(GROUP_A, repaired, world.record(command, 3, 1_000));
    const recovery = await powerCut();
    expect(recovery.damage).toEqual([]);
    expect(entries(recovery)).toEqual([1, 3, 2, 3]);
  });

  it("writes again what a failed sync left in the page cache only", async () => {
    await fill(1, 1);
    world.disk.before = (operation) => {
      if (operation === "sync") throw new AlthingError("DISK_FAILED", "Cannot sync: I/O error");
    };
    await expect(fill(2, 2)).rejects.toMatchObject({ code: "DISK_FAILED" });
    world.disk.before = () => undefined;
    world.disk.killProcess();
    expect(entries(await world.open())).toEqual([1, 2]);
    expect(entries(await powerCut())).toEqual([1, 2]);
  });

  it("refuses a log of a newer format", async () => {
    await fill(1, 1);
    await world.wal.close();
    const path = `${FOLDER}/000000000001.wal`;
    const header = world.disk.content(path).slice(4, 72);
    world.disk.rot(path, 6, 2 ^ 9);
    header[2] = 9;
    const old = new DataView(world.disk.content(path).buffer).getUint32(0, true);
    const sum = crc32(header, 1);
    for (let i = 0; i < 4; i++) world.disk.rot(path, i, ((old ^ sum) >>> (8 * i)) & 0xff);
    await expect(world.open()).rejects.toMatchObject({ code: "DATA_NEWER" });
  });

  it.each([1, 2, 3, 4, 5, 6])(
    "makes names durable that a killed process had not synced yet (seed %i)",
    async (seed) => {
      let renames = 0; // the first one names the segment that is written to, the second the one made ahead of need
      world.disk.before = (operation) => {
        if (operation === "rename") renames++;
        return renames > 1 && operation === "syncDirectory" ? new Promise<never>(() => undefined) : undefined;
      };
      await fill(1, 3);
      await settle();
      expect(renames).toBe(2);
      world.disk.before = () => undefined;
      world.disk.killProcess();
      await world.open();
      await fill(4, 8);
      expect(entries(await powerCut(seed))).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    },
  );

  it("removes what a crash left unfinished", async () => {
    await fill(1, 1);
    await world.wal.close();
    await world.disk.boot().open(`${FOLDER}/unfinished`, { create: true });
    await world.open();
    expect(world.disk.names()).not.toContain(`${FOLDER}/unfinished`);
  });
});

describe("a failing disk", () => {
  const failAt = (wanted: string): void => {
    world.disk.before = (operation) => {
      if (operation === wanted) throw new Error(`EIO in ${wanted}`);
    };
  };

  it.each(["sync", "write"])(
    "latches DISK_FAILED after a failed %s: nothing is written any more",
    async (operation) => {
      await fill(1, 1);
      failAt(operation);
      const failed = world.write(GROUP_A, world.record(command, 2, 10));
      const waiting = world.write(GROUP_A, world.record(command, 3, 10));
      await expect(failed).rejects.toMatchObject({ code: "DISK_FAILED" });
      await expect(waiting).rejects.toMatchObject({ code: "DISK_FAILED" });
      world.disk.before = () => undefined;
      const writes = world.disk.counts.get("write");
      await expect(world.write(GROUP_A, world.record(command, 4, 10))).rejects.toMatchObject({ code: "DISK_FAILED" });
      world.clock.advance(1_000);
      await settle();
      expect(world.disk.counts.get("write")).toBe(writes);
      await world.wal.close();
      expect(world.disk.counts.get("write")).toBe(writes);
      expect(world.events.some((e) => e.type === "wal-failed")).toBe(true);
    },
  );

  it("latches when the work beside the writer fails", async () => {
    await fill(1, 2);
    failAt("rename");
    await fill(3, 3);
    await settle();
    await expect(world.wal.flush()).rejects.toMatchObject({ code: "DISK_FAILED" });
  });
});

describe("a full disk", () => {
  it("has no room under the reserve, says so once a second at most, and has room again", async () => {
    world.disk.capacityBytes = 100_000;
    world.diskReserveBytes = 50_000;
    await reopen();
    expect(world.wal.hasRoom).toBe(true);
    const filler = await world.disk.boot().open("filler", { create: true });
    await filler?.write([new Uint8Array(60_000)], 0);
    await fill(1, 1);
    world.clock.advance(1_100);
    await fill(2, 2);
    await settle();
    expect(world.wal.hasRoom).toBe(false);
    await world.write(GROUP_A, world.record(vote, 0, 10)); // still accepted
    await filler?.truncate(0);
    world.clock.advance(1_100);
    await settle();
    expect(world.wal.hasRoom).toBe(true);
    expect(world.events.filter((e) => e.type === "wal-room").map((e) => e["hasRoom"])).toEqual([false, true]);
  });

  it("holds a batch back while there is no space, keeps the order, and goes on by itself", async () => {
    world.disk.capacityBytes = 20_000;
    await reopen();
    const acknowledged: number[] = [];
    const writes: Promise<void>[] = [];
    for (let index = 1; index <= 60; index++) {
      writes.push(
        fill(index, index).then(() => {
          acknowledged.push(index);
        }),
      );
      await settle();
    }
    expect(acknowledged.length).toBeGreaterThan(8);
    expect(acknowledged.length).toBeLessThan(60);
    expect(world.wal.hasRoom).toBe(false);
    expect(world.wal.oldestOpenMs()).toBe(0);
    world.clock.advance(1_000);
    await settle();
    expect(world.wal.oldestOpenMs()).toBe(1_000);
    expect(acknowledged.length).toBeLessThan(60);
    world.disk.capacityBytes = 200_000;
    world.clock.advance(1_000);
    await Promise.all(writes);
    expect(acknowledged).toEqual([...Array(60).keys()].map((i) => i + 1));
    const recovery = await powerCut();
    expect(entries(recovery)).toEqual(acknowledged);
    expect(recovery.damage).toEqual([]);
  });

  it("leaves no ghost of a batch that was half written when space ran out", async () => {
    await fill(1, 1);
    let writes = 0;
    world.disk.before = async (operation, path) => {
      if (operation !== "write" || ++writes > 1) return;
      world.disk.before = () => undefined;
      const file = await world.disk.boot().open(path, { create: false });
      await file?.write([half], 1_536);
      throw new AlthingError("DISK_FULL", "Cannot write: no space is left");
    };
    // What the refused batch would have put on the disk: made by a twin of the log with the same past.
    const twin = new WalWorld(kernels);
    twin.disk = world.disk.copy();
    await twin.open();
    await twin.write(GROUP_A, ...[2, 3, 4].map((index) => twin.record(command, index, 1_000, 66)));
    const half = twin.disk.content(`${FOLDER}/000000000001.wal`).slice(1_536, 1_536 + 3_584);
    const real = world.write(GROUP_A, world.record(command, 2, 600, 77));
    await settle();
    world.clock.advance(1_000);
    await real;
    const records = (await powerCut()).groups.get(GROUP_A) ?? [];
    expect(records.map((r) => r.term)).toEqual([1, 77]);
    await world.write(GROUP_A, world.record(command, 3, 600, 78));
    expect(((await powerCut()).groups.get(GROUP_A) ?? []).map((r) => r.term)).toEqual([1, 77, 78]);
  });
});

describe("Wal.close()", () => {
  it("finishes flushes, drops what nobody flushed, cancels its timers, and refuses what comes later", async () => {
    const flushed = world.write(GROUP_A, world.record(command, 1, 10));
    await world.wal.close();
    await flushed;
    expect(world.clock.timers).toBe(0);
    await expect(world.wal.flush()).rejects.toMatchObject({ code: "CLOSED" });
    expect(entries(await world.open())).toEqual([1]);
    world.wal.append(GROUP_A, [world.record(command, 2, 10)]);
    expect(entries(await reopen())).toEqual([1]);
  });
});
