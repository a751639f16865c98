/**
 * The log against a naive list, with power cuts after every possible count of disk operations and process kills: what was
 * acknowledged is there, what comes back was appended, nothing is out of order, and only a tail is ever missing. Groups 1 to 3
 * write entries, groups 4 and 5 slots.
 */
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hasCode } from "../../base/errors.ts";
import { type GroupId, groupId, logIndex } from "../../base/ids.ts";
import { Prng } from "../../base/prng.ts";
import { isSlot, isSticky, type LogRecord, RecordKind } from "../../consensus/contract/record.ts";
import type { Kernels } from "../../ports/kernels.ts";
import type { WalRecovery } from "./contract.ts";
import { isSame, settle, WalWorld } from "./testing/wal-world.ts";

const kernels: Kernels = {
  crc32: (bytes, seed) => crc32(bytes, seed),
  latin1: (bytes) => Buffer.from(bytes).toString("latin1"),
};

type Step =
  | { readonly type: "append"; readonly group: number; readonly sizes: readonly number[] }
  | { readonly type: "vote"; readonly group: number; readonly kind: 16 | 17 }
  /** Values accepted at some slots, above the trim, in any order and with slots left out. */
  | { readonly type: "accept"; readonly group: number; readonly slots: readonly number[]; readonly bytes: number }
  | { readonly type: "promise"; readonly group: number; readonly kind: 18 | 19 }
  | { readonly type: "flush"; readonly wait: boolean }
  | { readonly type: "trim"; readonly group: number; readonly keep: number }
  | { readonly type: "checkpoint" }
  | { readonly type: "rest" }
  | { readonly type: "power"; readonly afterOperations: number }
  | { readonly type: "crash"; readonly seed: number }
  | { readonly type: "kill" }
  | { readonly type: "close" };

const size = fc.oneof(
  { weight: 5, arbitrary: fc.integer({ min: 0, max: 200 }) },
  { weight: 3, arbitrary: fc.integer({ min: 500, max: 1_500 }) },
  { weight: 1, arbitrary: fc.integer({ min: 3_000, max: 6_000 }) },
);
const group = fc.integer({ min: 1, max: 3 });
/** Groups whose records are slots. */
const acceptor = fc.integer({ min: 4, max: 5 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 16, arbitrary: fc.record({ type: fc.constant("append"), group, sizes: fc.array(size, { maxLength: 5 }) }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant("vote"), group, kind: fc.constantFrom(16, 17) }) },
  {
    weight: 10,
    arbitrary: fc.record({
      type: fc.constant("accept"),
      group: acceptor,
      slots: fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 4 }),
      bytes: size,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant("promise"), group: acceptor, kind: fc.constantFrom(18, 19) }),
  },
  { weight: 11, arbitrary: fc.constant<Step>({ type: "flush", wait: true }) },
  { weight: 3, arbitrary: fc.constant<Step>({ type: "flush", wait: false }) },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant("trim"),
      group: fc.oneof(group, acceptor),
      keep: fc.integer({ min: 0, max: 6 }),
    }),
  },
  { weight: 8, arbitrary: fc.record({ type: fc.constant("checkpoint") }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant("rest") }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("power"), afterOperations: fc.integer({ min: 0, max: 12 }) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("crash"), seed: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("kill") }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("close") }) },
);

interface Appended {
  readonly group: GroupId;
  readonly record: LogRecord;
}

/** Everything appended and not lost, in order; what the log must give back is a matter of `acknowledged` and `trims`. */
class Model {
  readonly world = new WalWorld(kernels);
  appended: Appended[] = [];
  /** The count of records that some flush said are durable. */
  acknowledged = 0;
  readonly trims = new Map<GroupId, number>();
  readonly nextIndex = new Map<GroupId, number>();
  recycled = 0;
  torn = 0;

  async apply(step: Step): Promise<void> {
    const { world } = this;
    switch (step.type) {
      case "append": {
        const id = groupId(step.group);
        let index = this.nextIndex.get(id) ?? 1;
        this.#append(id, ...step.sizes.map((bytes) => world.record(RecordKind.command, index++, bytes)));
        this.nextIndex.set(id, index);
        return;
      }
      case "accept": {
        const id = groupId(step.group);
        const base = this.trims.get(id) ?? 0;
        const kinds = [RecordKind.acceptedCommand, RecordKind.acceptedNoop, RecordKind.acceptedConfiguration] as const;
        for (const slot of step.slots) {
          const kind = kinds[slot % kinds.length] ?? RecordKind.acceptedCommand;
          this.#append(id, world.record(kind, base + slot, step.bytes));
        }
        return;
      }
      case "vote":
      case "promise":
        this.#append(groupId(step.group), world.record(step.kind, 0, 12));
        return;
      case "flush": {
        const upTo = this.appended.length;
        const durable = world.wal.flush().then(() => {
          this.acknowledged = Math.max(this.acknowledged, upTo);
        });
        if (step.wait) await Promise.race([durable, settle()]);
        return;
      }
      case "trim":
        this.#trim(groupId(step.group), step.keep);
        return;
      case "checkpoint":
        for (const id of [1, 2, 3, 4, 5]) this.#trim(groupId(id), 0);
        return settle();
      case "rest":
        await settle();
        world.clock.advance(60);
        await settle();
        return;
      case "power":
        world.disk.losePowerAfter(step.afterOperations);
        return;
      case "crash":
        world.disk.crash(new Prng(step.seed));
        return this.#restart(step.seed);
      case "kill":
        world.disk.killProcess();
        return this.#restart(0);
      case "close":
        await Promise.race([world.wal.close(), settle()]);
        world.disk.killProcess();
        return this.#restart(0);
    }
  }

  async #restart(seed: number): Promise<void> {
    this.recycled += this.world.wal.stats.recycled;
    // Power may be cut again in the midst of recovery: once, after some operations.
    if (seed % 3 === 1) {
      this.world.disk.losePowerAfter(seed % 17);
      const half = this.world.open().then(() => undefined);
      await Promise.race([half, settle()]);
      this.world.disk.crash(new Prng(seed + 1));
    }
    const recovery = await this.world.open();
    this.check(recovery);
    for (const [id, upTo] of this.trims) this.world.wal.trim(id, logIndex(upTo)); // groups know their checkpoints
    this.torn += recovery.tornBytes > 0 ? 1 : 0;
  }

  /** The recovered log is what was appended, up to a point at or behind all that was acknowledged. */
  check(recovery: WalRecovery): void {
    expect(recovery.damage).toEqual([]);
    const position = new Map(this.appended.map(({ record }, at) => [record.chain, at]));
    let end = this.acknowledged;
    const present = new Set<number>();
    for (const [id, records] of recovery.groups) {
      let before = -1;
      const slots = records.filter((r) => isSlot(r.kind)).map((r) => r.index);
      expect(new Set(slots).size, "one record a slot").toBe(slots.length);
      for (const record of records) {
        const at = position.get(record.chain);
        expect(at, "a record that was appended and not lost before").toBeDefined();
        const original = this.appended[at ?? 0];
        expect(original?.group).toBe(id);
        expect(original !== undefined && isSame(original.record, record)).toBe(true);
        expect(at).toBeGreaterThan(before);
        before = at ?? 0;
        present.add(before);
        end = Math.max(end, before + 1);
      }
    }
    for (let at = 0; at < end; at++) {
      const here = this.appended[at];
      if (here === undefined || present.has(at)) continue;
      const { record, group: id } = here;
      const later = this.appended.slice(at + 1, end).filter((a) => a.group === id);
      const mayGo = isSticky(record.kind)
        ? later.some((a) => a.record.kind === record.kind)
        : record.index <= (this.trims.get(id) ?? 0) ||
          (isSlot(record.kind) && later.some((a) => isSameSlot(a, record)));
      expect(mayGo, `record ${at} of ${end} is missing`).toBe(true);
    }
    this.appended = this.appended.slice(0, end);
    this.acknowledged = end;
    for (const id of this.nextIndex.keys()) this.nextIndex.set(id, this.#durableIndex(id) + 1);
  }

  #append(id: GroupId, ...records: readonly LogRecord[]): void {
    this.world.wal.append(id, records);
    for (const record of records) this.appended.push({ group: id, record });
  }

  #trim(id: GroupId, keep: number): void {
    const upTo = this.#durableIndex(id) - keep;
    if (upTo < (this.trims.get(id) ?? 0)) return;
    this.trims.set(id, upTo);
    this.world.wal.trim(id, logIndex(upTo));
  }

  /** The highest acknowledged entry index or slot of a group. */
  #durableIndex(id: GroupId): number {
    let highest = this.trims.get(id) ?? 0;
    for (const { group, record } of this.appended.slice(0, this.acknowledged)) {
      if (group === id && !isSticky(record.kind)) highest = Math.max(highest, record.index);
    }
    return highest;
  }
}

const isSameSlot = ({ record: { kind, index } }: Appended, record: LogRecord): boolean =>
  isSlot(kind) && index === record.index;

const reached = { recycled: 0, torn: 0, powerCuts: 0 };

async function run(steps: readonly Step[], segmentBytes: number): Promise<void> {
  const model = new Model();
  model.world.segmentBytes = segmentBytes;
  await model.world.open();
  for (const step of steps) {
    await model.apply(step).catch((error: unknown) => {
      if (!hasCode(error, "CLOSED")) throw error;
    });
    if (model.world.disk.isDead) {
      reached.powerCuts++;
      await model.apply({ type: "crash", seed: steps.length * 7 + reached.powerCuts });
    }
  }
  await model.apply({ type: "crash", seed: steps.length });
  await model.apply({ type: "kill" });
  reached.recycled += model.recycled;
  reached.torn += model.torn;
}

describe("a log under power cuts", () => {
  it("gives back all that was acknowledged, invents nothing, keeps the order", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 40, maxLength: 100 }), fc.constantFrom(4_096, 8_192, 16_384), run),
      { numRuns: 250, seed: 20_240_607 },
    );
  });

  it("was seen to recycle segments and to cut torn tails on the way", () => {
    expect(reached.recycled).toBeGreaterThan(500);
    expect(reached.torn).toBeGreaterThan(10);
    expect(reached.powerCuts).toBeGreaterThan(50);
  });
});
