import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Prng } from "../base/prng.ts";
import { type CrashDamage, DiskImage, PAGE_BYTES } from "./disk-image.ts";

const allKept: CrashDamage = { sectorBytes: 512, lostChance: 0, tornChance: 0, garbageChance: 0 };
const allLost: CrashDamage = { ...allKept, lostChance: 1 };
const anything: CrashDamage = { sectorBytes: 512, lostChance: 0.4, tornChance: 0.2, garbageChance: 0.2 };

function content(image: DiskImage): Uint8Array {
  const out = new Uint8Array(image.length);
  expect(image.read(out, 0)).toBe(out.length);
  return out;
}

function filled(length: number, byte: number): Uint8Array {
  return new Uint8Array(length).fill(byte);
}

describe("DiskImage", () => {
  it("equals a plain array under writes and truncations", () => {
    const op = fc.oneof(
      fc.record({ write: fc.uint8Array({ minLength: 1, maxLength: 300 }), at: fc.nat(2 * PAGE_BYTES) }),
      fc.record({ truncate: fc.nat(2 * PAGE_BYTES) }),
      fc.constant({ sync: true }),
    );
    fc.assert(
      fc.property(fc.array(op, { maxLength: 30 }), (ops) => {
        const image = new DiskImage();
        let twin = new Uint8Array(0);
        for (const step of ops) {
          if ("write" in step) {
            const grown = new Uint8Array(Math.max(twin.length, step.at + step.write.length));
            grown.set(twin);
            grown.set(step.write, step.at);
            twin = grown;
            image.write(step.write, step.at);
          } else if ("truncate" in step) {
            const cut = new Uint8Array(step.truncate);
            cut.set(twin.subarray(0, step.truncate));
            twin = cut;
            image.truncate(step.truncate);
          } else {
            image.completeSync(image.beginSync());
          }
          expect(content(image)).toEqual(twin);
        }
        image.completeSync(image.beginSync());
        image.crash(new Prng(1), allLost);
        expect(content(image)).toEqual(twin); // all of it was durable
      }),
      { numRuns: 60 },
    );
  });

  it("D1: keeps synced data whatever happens to the rest", () => {
    for (let seed = 0; seed < 200; seed++) {
      const prng = new Prng(seed);
      const image = new DiskImage();
      const durable = 300 + prng.below(2_000);
      image.write(filled(durable, 1), 0);
      image.completeSync(image.beginSync());
      image.write(filled(3_000, 2), durable); // shares a sector with the durable bytes
      if (prng.chance(0.5)) image.beginSync(); // under way when the power goes
      image.crash(prng, anything);
      expect(image.length).toBeGreaterThanOrEqual(durable);
      expect(content(image).subarray(0, durable)).toEqual(filled(durable, 1));
    }
  });

  it("D2: a crash reaches every fate of an un-synced sector: kept, lost, torn, garbage", () => {
    const fates = new Set<string>();
    for (let seed = 0; seed < 300; seed++) {
      const image = new DiskImage();
      image.write(filled(512, 1), 0);
      image.completeSync(image.beginSync());
      image.write(filled(512, 2), 0);
      image.crash(new Prng(seed), anything);
      const bytes = content(image);
      const kinds = new Set(bytes);
      if (kinds.size === 1) fates.add(kinds.has(1) ? "lost" : "kept");
      else if (kinds.size === 2 && kinds.has(1) && kinds.has(2)) fates.add("torn");
      else fates.add("garbage");
    }
    expect([...fates].sort()).toEqual(["garbage", "kept", "lost", "torn"]);
  });

  it("D2: sectors fall independently", () => {
    const counts = new Map<number, number>();
    for (let seed = 0; seed < 100; seed++) {
      const image = new DiskImage();
      image.write(filled(PAGE_BYTES, 1), 0);
      image.completeSync(image.beginSync());
      image.write(filled(PAGE_BYTES, 2), 0);
      image.crash(new Prng(seed), { ...allKept, lostChance: 0.5 });
      const kept = [0, 1, 2, 3, 4, 5, 6, 7].filter((sector) => content(image)[sector * 512] === 2).length;
      counts.set(kept, (counts.get(kept) ?? 0) + 1);
    }
    expect(counts.size).toBeGreaterThan(4);
  });

  it("un-synced length: the old one, the new one or between", () => {
    const lengths = new Set<number>();
    for (let seed = 0; seed < 100; seed++) {
      const image = new DiskImage();
      image.write(filled(100, 1), 0);
      image.completeSync(image.beginSync());
      image.write(filled(5_000, 2), 100);
      image.crash(new Prng(seed), anything);
      lengths.add(image.length);
      expect(image.length).toBeGreaterThanOrEqual(100);
      expect(image.length).toBeLessThanOrEqual(5_100);
    }
    expect(lengths.has(100) && lengths.has(5_100) && lengths.size > 2).toBe(true);
  });

  it("a write during a sync belongs to the next one", () => {
    const image = new DiskImage();
    image.write(filled(10, 1), 0);
    const sync = image.beginSync();
    image.write(filled(10, 2), 0);
    image.completeSync(sync);
    image.crash(new Prng(0), allLost);
    expect(content(image)).toEqual(filled(10, 1));
  });

  it("a later sync that completes first is not undone by an earlier one", () => {
    const image = new DiskImage();
    image.write(filled(10, 1), 0);
    const first = image.beginSync();
    image.write(filled(10, 2), 0);
    const second = image.beginSync();
    image.completeSync(second);
    image.completeSync(first);
    image.crash(new Prng(0), allLost);
    expect(content(image)).toEqual(filled(10, 2));
  });

  it("D3: after a failed sync the next one succeeds and proves nothing", () => {
    const image = new DiskImage();
    image.write(filled(10, 1), 0);
    image.completeSync(image.beginSync());
    image.write(filled(10, 2), 0);
    image.failSync(image.beginSync());
    image.completeSync(image.beginSync()); // "success"
    expect(content(image)).toEqual(filled(10, 2)); // the cache still shows the new data
    image.crash(new Prng(0), allLost);
    expect(content(image)).toEqual(filled(10, 1));
  });

  it("a killed process leaves the page cache to the kernel", () => {
    const image = new DiskImage();
    image.write(filled(10, 1), 0);
    image.beginSync();
    image.processDied();
    expect(content(image)).toEqual(filled(10, 1));
    image.completeSync(image.beginSync());
    image.crash(new Prng(0), allLost);
    expect(content(image)).toEqual(filled(10, 1));
  });

  it("flipBit() shows after the cache is dropped and changes one bit", () => {
    const image = new DiskImage();
    image.write(filled(10, 0), 0);
    image.completeSync(image.beginSync());
    image.flipBit(3, 4);
    expect(content(image)[3]).toBe(0);
    image.dropCache();
    expect(content(image)[3]).toBe(16);
  });
});
