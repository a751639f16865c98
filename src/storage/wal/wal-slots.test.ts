/**
 * Records of an acceptor of Paxos: slots that replace only themselves, with holes between them, and sticky promises. Power
 * cuts with slots among entries are in `wal-crash.test.ts`.
 */
import { crc32 } from "node:zlib";
import { beforeEach, describe, expect, it } from "vitest";
import { logIndex } from "../../base/ids.ts";
import { Prng } from "../../base/prng.ts";
import {
  acceptedKind,
  chosenKind,
  isEntry,
  isSlot,
  isSticky,
  type LogRecord,
  RecordKind,
} from "../../consensus/contract/record.ts";
import type { Kernels } from "../../ports/kernels.ts";
import type { WalRecovery } from "./contract.ts";
import { HEADER_BYTES } from "./record-header.ts";
import { FOLDER, GROUP_A, GROUP_B, settle, WalWorld } from "./testing/wal-world.ts";

const kernels: Kernels = {
  crc32: (bytes, seed) => crc32(bytes, seed),
  latin1: (bytes) => Buffer.from(bytes).toString("latin1"),
};
const { acceptedCommand, acceptedNoop, acceptedConfiguration, promise, chosen, command } = RecordKind;
const PATH = `${FOLDER}/000000000001.wal`;

let world: WalWorld;
beforeEach(async () => {
  world = new WalWorld(kernels);
  await world.open();
});

/** `slot@ballot` of what came back. */
const slots = (recovery: WalRecovery, group = GROUP_A): string[] =>
  (recovery.groups.get(group) ?? []).filter((r) => isSlot(r.kind)).map((r) => `${r.index}@${r.term}`);
const newest = (recovery: WalRecovery, kind: number): LogRecord | undefined =>
  recovery.groups.get(GROUP_A)?.findLast((r) => r.kind === kind);

/** One flush a record: each batch begins at the next multiple of 512, the first after the head. */
async function accept(...written: readonly (readonly [slot: number, ballot: number, bytes?: number])[]): Promise<void> {
  for (const [slot, ballot, bytes = 100] of written) {
    await world.write(GROUP_A, world.record(acceptedCommand, slot, bytes, ballot));
  }
}

async function reopen(): Promise<WalRecovery> {
  await world.wal.close();
  return world.open();
}

/** Flips a bit in the body or in the header of the record in the batch of that number, counted from 0. */
async function rot(batch: number, where: "body" | "header"): Promise<WalRecovery> {
  await world.wal.close();
  const start = batch === 0 ? HEADER_BYTES : batch * 512;
  world.disk.rot(PATH, start + (where === "body" ? HEADER_BYTES + 10 : 30), 4);
  return world.open();
}

describe("kinds of records", () => {
  it("are entries, slots or sticky, and every entry has its slot", () => {
    for (const kind of Object.values(RecordKind)) {
      expect([isEntry(kind), isSlot(kind), isSticky(kind)].filter(Boolean)).toHaveLength(1);
    }
    for (const kind of [command, RecordKind.noop, RecordKind.configuration] as const) {
      expect(isSlot(acceptedKind(kind))).toBe(true);
      expect(chosenKind(acceptedKind(kind))).toBe(kind);
    }
  });
});

describe("slots", () => {
  it("come back in the order of the log: of each the newest, whatever was written at lower ones, with holes", async () => {
    await accept([5, 1], [9, 1], [3, 1], [5, 2], [200, 2], [4, 2]);
    expect(slots(await reopen())).toEqual(["9@1", "3@1", "5@2", "200@2", "4@2"]);
  });

  it("are replaced across kinds of values", async () => {
    await world.write(GROUP_A, world.record(acceptedNoop, 7, 0, 3), world.record(acceptedConfiguration, 8, 40, 3));
    await world.write(GROUP_A, world.record(acceptedCommand, 7, 20, 4), world.record(acceptedNoop, 8, 0, 5));
    expect(slots(await reopen())).toEqual(["7@4", "8@5"]);
  });

  it("of one group leave the entries of another alone", async () => {
    await world.write(GROUP_B, world.record(command, 1, 10), world.record(command, 2, 10));
    await accept([1, 1]);
    await world.write(GROUP_B, world.record(command, 1, 10));
    const recovery = await reopen();
    expect(recovery.groups.get(GROUP_B)?.map((r) => r.index)).toEqual([1, 2, 1]);
    expect(slots(recovery)).toEqual(["1@1"]);
  });

  it("keep their segment until they are trimmed, the promise moves on", async () => {
    await world.write(GROUP_A, world.record(promise, 0, 0, 8), world.record(chosen, 4, 0, 0));
    await accept([30, 9]);
    for (let slot = 1; slot <= 29; slot++) await accept([slot, 9, 1_000]);
    world.wal.trim(GROUP_A, logIndex(29));
    await settle();
    expect(world.wal.stats.recycled).toBe(0);
    world.wal.trim(GROUP_A, logIndex(30));
    await settle();
    expect(world.wal.stats.recycled).toBeGreaterThan(2);
    await accept([31, 9]);
    world.disk.crash(new Prng(4));
    const recovery = await world.open();
    expect(newest(recovery, promise)?.term).toBe(8);
    expect(newest(recovery, chosen)?.index).toBe(4);
    expect(slots(recovery).at(-1)).toBe("31@9");
    expect(recovery.damage).toEqual([]);
  });
});

describe("a damaged slot", () => {
  it("is named, and an older value does not take its place", async () => {
    await accept([5, 1], [6, 1], [5, 2], [7, 2]);
    const recovery = await rot(2, "body");
    expect(slots(recovery)).toEqual(["6@1", "7@2"]);
    expect(recovery.damage).toMatchObject([
      { records: 1, record: { group: GROUP_A, kind: acceptedCommand, index: 5, term: 2 } },
    ]);
  });

  it("is harmless when a newer value stands in it, not when one stands in a lower slot", async () => {
    await accept([5, 1], [6, 1], [4, 1], [5, 2]);
    let recovery = await rot(0, "body");
    expect(recovery.damage).toEqual([]);
    expect(slots(recovery)).toEqual(["6@1", "4@1", "5@2"]);
    recovery = await rot(1, "body");
    expect(recovery.damage).toMatchObject([{ record: { index: 6 } }]);
    expect(slots(recovery)).toEqual(["4@1", "5@2"]);
  });

  it("is told once, as its newest record, and heals when it is accepted anew", async () => {
    await accept([5, 1], [5, 2], [6, 2]);
    await rot(0, "body");
    const recovery = await rot(1, "body");
    expect(recovery.damage).toMatchObject([{ record: { index: 5, term: 2 } }]);
    expect(slots(recovery)).toEqual(["6@2"]);
    await accept([5, 3]);
    const healed = await reopen();
    expect(healed.damage).toEqual([]);
    expect(slots(healed)).toEqual(["6@2", "5@3"]);
  });

  it("may go with its segment when it is trimmed", async () => {
    await accept([1, 1], [2, 1], [3, 1]);
    await rot(1, "body");
    await accept([4, 1]);
    world.wal.trim(GROUP_A, logIndex(3));
    await settle();
    expect(world.wal.isDamaged).toBe(false);
    expect((await reopen()).damage).toEqual([]);
  });
});

describe("damage that names no record", () => {
  it("keeps its segment until the group is repaired, whatever is trimmed", async () => {
    await accept([1, 1], [2, 1], [3, 1]);
    let recovery = await rot(1, "header");
    expect(recovery.damage).toMatchObject([{ records: 1, record: undefined }]);
    expect(slots(recovery)).toEqual(["1@1", "3@1"]);
    await accept([4, 2]);
    world.wal.trim(GROUP_A, logIndex(1_000_000));
    await settle();
    expect(world.wal.isDamaged).toBe(true);
    recovery = await reopen();
    expect(recovery.damage).toHaveLength(1);
    await accept([5, 2]);
    world.wal.repaired(GROUP_A);
    await settle();
    expect(world.wal.isDamaged).toBe(true); // its other slots are not trimmed in this life
    world.wal.trim(GROUP_A, logIndex(5));
    await settle();
    expect(world.wal.isDamaged).toBe(false);
    recovery = await reopen();
    expect(recovery.damage).toEqual([]);
    expect(slots(recovery)).toEqual(["4@2", "5@2"]);
  });

  it("is not held back by a group of entries, which knows how far its log can have reached", async () => {
    await world.write(GROUP_B, world.record(command, 1, 10));
    await world.write(GROUP_B, world.record(command, 2, 10));
    await world.wal.close();
    world.disk.rot(PATH, 512 + 30, 1);
    expect((await world.open()).damage).toHaveLength(1);
    await world.write(GROUP_B, world.record(command, 2, 10));
    world.wal.trim(GROUP_B, logIndex(1));
    await settle();
    expect(world.wal.isDamaged).toBe(true);
    world.wal.trim(GROUP_B, logIndex(2));
    await settle();
    expect(world.wal.isDamaged).toBe(false);
  });

  it("in a segment of which nothing is left waits for the groups that come", async () => {
    await world.write(GROUP_B, world.record(command, 1, 10));
    await rot(0, "header");
    expect(world.wal.isDamaged).toBe(true);
    world.wal.trim(GROUP_B, logIndex(0));
    await world.write(GROUP_B, world.record(command, 1, 10));
    await settle();
    expect(world.wal.isDamaged).toBe(true);
    world.wal.trim(GROUP_B, logIndex(1));
    await settle();
    expect(world.wal.isDamaged).toBe(false);
  });
});

describe("a promise that cannot be read", () => {
  it("is reported until a newer one is written", async () => {
    await world.write(GROUP_A, world.record(promise, 0, 60, 8));
    await accept([1, 8]);
    let recovery = await rot(0, "body");
    expect(recovery.damage).toMatchObject([{ record: { kind: promise, term: 8 } }]);
    expect(newest(recovery, promise)).toBeUndefined();
    await world.write(GROUP_A, world.record(promise, 0, 60, 9));
    recovery = await reopen();
    expect(recovery.damage).toEqual([]);
    expect(newest(recovery, promise)?.term).toBe(9);
  });
});
