/** The memory engine: the conformance suite, and what is its own — crashes, rot, compaction, full and failing disks. */
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { fromUtf8, utf8 } from "../../base/bytes.ts";
import { AlthingError, hasCode } from "../../base/errors.ts";
import { Prng } from "../../base/prng.ts";
import type { Kernels } from "../../ports/kernels.ts";
import { CrashDisk } from "../wal/testing/crash-disk.ts";
import type { Engine, EngineOpener, EngineWrite } from "./engine.ts";
import { memoryEngineOpener } from "./memory-engine.ts";
import { engineCases } from "./testing/engine-conformance.ts";

const kernels: Kernels = {
  crc32: (bytes, seed) => crc32(bytes, seed),
  latin1: (bytes) => Buffer.from(bytes).toString("latin1"),
};

const opener = (disk: CrashDisk): EngineOpener => memoryEngineOpener({ disk: disk.boot(), kernels });
const put = (key: string, value: string): EngineWrite => ({ type: "put", key: utf8(key), value: utf8(value) });
const LOG = "data/engine.log";

function rows(engine: Engine): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [key, value] of engine.range({ from: new Uint8Array(0), to: undefined }))
    out[fromUtf8(key)] = fromUtf8(value);
  return out;
}

async function settle(): Promise<void> {
  for (let i = 0; i < 200; i++) await Promise.resolve();
}

describe("MemoryEngine keeps the contract of an engine", () => {
  for (const { name, run } of engineCases) it(name, () => run(opener(new CrashDisk())));
});

let disk: CrashDisk;
let engine: Engine;
beforeEach(async () => {
  disk = new CrashDisk();
  engine = await opener(disk).open("data");
});

describe("MemoryEngine after a crash", () => {
  it("has every finished write whole, and the unfinished one whole or not at all", async () => {
    let cuts = 0;
    const batch = fc.array(fc.tuple(fc.constantFrom("a", "b", "c", "d"), fc.integer({ min: 0, max: 900 })), {
      minLength: 1,
      maxLength: 4,
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(batch, fc.integer({ min: 0, max: 9 })), { minLength: 1, maxLength: 12 }),
        fc.nat(),
        async (steps, seed) => {
          const world = new CrashDisk();
          const prng = new Prng(seed);
          let open = await opener(world).open("data");
          let sure: Record<string, string> = {};
          let number = 0;
          for (const [pairs, afterOperations] of steps) {
            const writes = pairs.map(([key, size]) => put(key, `${++number}:${"x".repeat(size)}`));
            const next = { ...sure };
            for (const write of writes) if (write.type === "put") next[fromUtf8(write.key)] = fromUtf8(write.value);
            if (afterOperations < 4) world.losePowerAfter(afterOperations);
            let done = false;
            void open.write(writes).then(() => {
              done = true;
            });
            await settle();
            if (afterOperations < 6) {
              cuts += world.isDead ? 1 : 0;
              if (afterOperations === 5) world.killProcess();
              else world.crash(prng);
              open = await opener(world).open("data");
              expect(done ? [next] : [sure, next]).toContainEqual(rows(open));
              sure = rows(open);
            } else {
              expect(done).toBe(true);
              sure = next;
            }
          }
          world.crash(prng);
          expect(rows(await opener(world).open("data"))).toEqual(sure);
        },
      ),
      { numRuns: 150, seed: 11 },
    );
    expect(cuts).toBeGreaterThan(50);
  });

  it("writes again what a failed sync left in the page cache only", async () => {
    await engine.write([put("a", "1")]);
    disk.before = (operation) => {
      if (operation === "sync") throw new Error("EIO");
    };
    await expect(engine.write([put("a", "2")])).rejects.toThrow("EIO");
    disk.before = () => undefined;
    await expect(engine.write([put("a", "3")])).rejects.toThrow("EIO");
    disk.killProcess();
    const seen = rows(await opener(disk).open("data"));
    disk.crash(new Prng(3));
    expect(rows(await opener(disk).open("data"))).toEqual(seen);
  });
});

describe("MemoryEngine and rot", () => {
  it("reports every flipped byte that matters as DATA_CORRUPT, the last batch included", async () => {
    for (let i = 0; i < 4; i++) await engine.write([put(`key${i}`, `${i}`.repeat(300)), put("same", `${i}`)]);
    const wanted = rows(engine);
    disk.crash(new Prng(1));
    const { length } = disk.content(LOG);
    let corrupt = 0;
    for (let offset = 0; offset < length; offset++) {
      const copy = disk.copy();
      copy.rot(LOG, offset, 1 << (offset % 8));
      try {
        expect(rows(await opener(copy).open("data"))).toEqual(wanted);
      } catch (error) {
        if (!hasCode(error, "DATA_CORRUPT")) throw error;
        corrupt++;
      }
    }
    expect(corrupt).toBeGreaterThan(4 * 300);
  });
});

describe("MemoryEngine and its file", () => {
  it("is written anew when most of it is overwritten, and loses nothing in a crash meanwhile", async () => {
    const value = "v".repeat(40_000);
    for (let operations = 0; operations < 20; operations++) {
      const world = new CrashDisk();
      let open = await opener(world).open("data");
      for (let i = 0; i < 6; i++) await open.write([put("k", `${i}${value}`), put(`n${i}`, "1")]);
      const before = rows(open);
      world.losePowerAfter(operations);
      const writes = [put("k", `6${value}`), put("n6", "1")];
      let done = false;
      void open.write(writes).then(() => {
        done = true;
      });
      await settle();
      const after: Record<string, string> = { ...before, k: `6${value}`, n6: "1" };
      if (done) {
        world.losePowerAfter(100);
        await open.write([put("new", "1")]);
        after["new"] = "1";
      }
      world.crash(new Prng(operations));
      open = await opener(world).open("data");
      expect(done ? [after] : [before, after]).toContainEqual(rows(open));
      expect(world.names()).toEqual([LOG]);
      await open.write([put("n7", "1")]);
      expect(rows(open)["n7"]).toBe("1");
    }
    for (let i = 0; i < 30; i++) await engine.write([put("k", `${i}${value}`)]);
    expect(engine.size().fileBytes).toBeLessThan(300_000);
    await engine.close();
    expect(rows(await opener(disk).open("data"))).toEqual({ k: `29${value}` });
  });

  it("refuses a batch with DISK_FULL as if it never was, and takes the next one when there is space", async () => {
    disk.capacityBytes = 20_000;
    await engine.write([put("a", "1".repeat(9_000))]);
    const before = rows(engine);
    await expect(engine.write([put("b", "2".repeat(30_000))])).rejects.toMatchObject({ code: "DISK_FULL" });
    expect(rows(engine)).toEqual(before);
    disk.crash(new Prng(1));
    engine = await opener(disk).open("data");
    expect(rows(engine)).toEqual(before);
    disk.capacityBytes = 100_000;
    await engine.write([put("b", "2")]);
    await engine.close();
    expect(rows(await opener(disk).open("data"))).toEqual({ ...before, b: "2" });
  });

  it("takes back a batch that found space, when its mark does not", async () => {
    await engine.write([put("a", "1")]);
    let writes = 0;
    disk.before = (operation) => {
      if (operation === "write" && ++writes === 2)
        throw new AlthingError("DISK_FULL", "Cannot write: no space is left");
    };
    await expect(engine.write([put("a", "2"), put("b", "2")])).rejects.toMatchObject({ code: "DISK_FULL" });
    expect(rows(engine)).toEqual({ a: "1" });
    const copy = disk.copy();
    expect(rows(await opener(copy).open("data"))).toEqual({ a: "1" });
    await engine.write([put("c", "3")]);
    disk.crash(new Prng(5));
    expect(rows(await opener(disk).open("data"))).toEqual({ a: "1", c: "3" });
  });

  it("goes on with the old file when there is no space for a new one", async () => {
    const value = "v".repeat(60_000);
    disk.capacityBytes = 330_000;
    for (let i = 0; i < 5; i++) await engine.write([put("k", `${i}${value}`)]);
    expect(rows(engine)).toEqual({ k: `4${value}` });
    expect(disk.names()).toEqual([LOG]);
    disk.capacityBytes = Number.POSITIVE_INFINITY;
    for (let i = 5; i < 12; i++) await engine.write([put("k", `${i}${value}`)]);
    expect(engine.size().fileBytes).toBeLessThan(400_000);
  });

  it("refuses keys out of bounds, writes side by side, and use after close", async () => {
    await expect(engine.write([put("", "1")])).rejects.toThrow("1 to 1,900");
    await expect(engine.write([put("k".repeat(1_901), "1")])).rejects.toThrow("1 to 1,900");
    const first = engine.write([put("a", "1")]);
    await expect(engine.write([put("a", "2")])).rejects.toThrow("one write at a time");
    await first;
    await engine.close();
    expect(() => engine.get(utf8("a"))).toThrow("closed");
  });
});
