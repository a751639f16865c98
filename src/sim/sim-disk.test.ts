import { describe, expect, it } from "vitest";
import { nodeSimHost } from "../../test/sim/sim-host.ts";
import { Prng } from "../base/prng.ts";
import type { DiskFile } from "../ports/disk.ts";
import { calmDisk, type DiskOptions, SimDisk } from "./sim-disk.ts";
import { SimProcess } from "./sim-process.ts";
import { EventKind, World } from "./world.ts";

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

async function text(file: DiskFile): Promise<string> {
  const out = new Uint8Array(await file.length());
  await file.read(out, 0);
  return new TextDecoder().decode(out);
}

/** A world with one disk; `run` drives async code of a process in virtual time. */
function make(seed = 1, options: Partial<DiskOptions> = {}) {
  const world = new World(seed, nodeSimHost);
  const disk = new SimDisk(world, new Prng(seed), { ...calmDisk, ...options });
  const process = new SimProcess(1, 0);
  const run = async <T>(work: () => Promise<T>): Promise<T> => {
    let outcome: { readonly value: T } | { readonly error: unknown } | undefined;
    world.schedule(undefined, 0, EventKind.call, 0, () => {
      work().then(
        (value) => {
          outcome = { value };
        },
        (error: unknown) => {
          outcome = { error };
        },
      );
    });
    await world.run({ untilMs: world.nowMs + 60_000, until: () => outcome !== undefined });
    if (outcome === undefined) throw new Error("did not end");
    if ("error" in outcome) throw outcome.error;
    return outcome.value;
  };
  return { world, disk, process, run, port: disk.port(process) };
}

async function create(port: ReturnType<SimDisk["port"]>, path: string): Promise<DiskFile> {
  const file = await port.open(path, { create: true });
  if (file === undefined) throw new Error("not created");
  return file;
}

describe("SimDisk", () => {
  it("reads what was written, and undefined for a missing file", async () => {
    const { port, run } = make();
    await run(async () => {
      const file = await create(port, "a");
      await file.write([bytes("one "), bytes("two")], 0);
      expect(await text(file)).toBe("one two");
      expect(await port.open("b", { create: false })).toBeUndefined();
    });
  });

  it("powerLost() keeps what was synced with its name, and loses what was not", async () => {
    const { disk, port, process, run } = make(1, { damage: { ...calmDisk.damage, lostChance: 1 } });
    await run(async () => {
      const file = await create(port, "a");
      await port.syncDirectory("");
      await file.write([bytes("kept")], 0);
      await file.sync();
      await file.write([bytes("LOST")], 0);
    });
    process.kill("test");
    disk.powerLost();
    const reborn = disk.port(new SimProcess(1, 1));
    await run(async () => expect(await text(await create(reborn, "a"))).toBe("kept"));
  });

  it("a sync takes time, and a stall makes it take longer", async () => {
    const { world, disk, port, run } = make();
    await run(async () => {
      const file = await create(port, "a");
      await file.write([bytes("x")], 0);
      const before = world.nowMs;
      await file.sync();
      expect(world.nowMs - before).toBeGreaterThanOrEqual(0.1);
      disk.stallUntil(world.nowMs + 3_000);
      const stalled = world.nowMs;
      await file.sync();
      expect(world.nowMs - stalled).toBeGreaterThanOrEqual(3_000);
    });
  });

  it("K3: a failed sync rejects with DISK_FAILED, and the listener hears of it", async () => {
    const { disk, port, process, run } = make();
    const told: SimProcess[] = [];
    disk.onSyncFailed((who) => told.push(who));
    await run(async () => {
      const file = await create(port, "a");
      disk.failSyncs(1);
      await expect(file.sync()).rejects.toMatchObject({ code: "DISK_FAILED" });
      await file.sync();
    });
    expect(told).toEqual([process]);
    expect(disk.faultCount).toBe(1);
  });

  it("a full disk is DISK_FULL; what was written before stays readable; room comes back", async () => {
    const { disk, port, run } = make();
    await run(async () => {
      const file = await create(port, "a");
      await file.write([bytes("before")], 0);
      disk.limitFree(0);
      expect(await port.freeBytes()).toBe(0);
      await expect(file.write([new Uint8Array(10_000)], 4_096)).rejects.toMatchObject({ code: "DISK_FULL" });
      await file.write([bytes("BEFORE")], 0); // its page is there already
      expect(await text(file)).toBe("BEFORE");
      disk.limitFree(undefined);
      await file.write([new Uint8Array(10_000)], 4_096);
    });
  });

  it("removing a file gives its space back once nobody has it open", async () => {
    const { port, run } = make(1, { capacityBytes: 100 * 4_096 });
    await run(async () => {
      const file = await create(port, "a");
      await file.write([new Uint8Array(50 * 4_096).fill(1)], 0);
      await port.remove("a");
      expect(await port.freeBytes()).toBe(50 * 4_096);
      expect(await text(file)).toHaveLength(50 * 4_096); // still readable, as POSIX says
      await file.close();
      expect(await port.freeBytes()).toBe(100 * 4_096);
    });
  });

  it("lock() is exclusive among the living", async () => {
    const { disk, port, process, run } = make();
    await run(async () => {
      await port.lock("LOCK");
      const other = disk.port(new SimProcess(1, 1));
      await expect(other.lock("LOCK")).rejects.toMatchObject({ code: "DATA_LOCKED" });
      process.kill("test");
      disk.processDied();
      await (await other.lock("LOCK")).close();
    });
  });

  it("K2: operations of a dead process neither complete nor take effect", async () => {
    const { world, disk, port, process, run } = make();
    let completed = false;
    await run(async () => {
      const file = await create(port, "a");
      void file.sync().then(() => {
        completed = true;
      });
      process.kill("test");
      disk.processDied();
      void file.write([bytes("ghost")], 0).then(() => {
        completed = true;
      });
    });
    await world.run({ untilMs: world.nowMs + 1_000 });
    expect(completed).toBe(false);
    await run(async () => expect(await text(await create(disk.port(new SimProcess(1, 1)), "a"))).toBe(""));
  });

  it("K1: writes under way at once may complete in any order", async () => {
    const results = new Set<string>();
    for (let seed = 0; seed < 20; seed++) {
      const { port, run } = make(seed);
      await run(async () => {
        const file = await create(port, "a");
        await Promise.all([file.write([bytes("1")], 0), file.write([bytes("2")], 0)]);
        results.add(await text(file));
      });
    }
    expect([...results].sort()).toEqual(["1", "2"]);
  });

  it("a write that the process's death interrupts may land in part", async () => {
    const lengths = new Set<number>();
    for (let seed = 0; seed < 60; seed++) {
      const { disk, port, process, run } = make(seed);
      await run(async () => {
        const file = await create(port, "a");
        void file.write([bytes("0123456789")], 0);
      });
      process.kill("test");
      disk.processDied();
      await run(async () => {
        lengths.add((await text(await create(disk.port(new SimProcess(1, 1)), "a"))).length);
      });
    }
    expect(lengths.has(0) && lengths.has(10) && lengths.size > 4).toBe(true);
  });

  it("rot() flips one bit under the prefix; wipe() leaves nothing", async () => {
    const { disk, port, process, run } = make();
    await run(async () => {
      await port.makeFolder("wal");
      const file = await create(port, "wal/1");
      await file.write([bytes("abc")], 0);
      await file.sync();
      await port.syncDirectory("wal");
      await port.syncDirectory("");
      await create(port, "other");
    });
    process.kill("test");
    disk.powerLost();
    expect(disk.rot("nothing", new Prng(1))).toBeUndefined();
    expect(disk.rot("wal", new Prng(1))?.path).toBe("wal/1");
    disk.dropCaches();
    const reborn = disk.port(new SimProcess(1, 1));
    await run(async () => expect(await text(await create(reborn, "wal/1"))).not.toBe("abc"));
    disk.wipe();
    await run(async () => expect(await reborn.list("wal")).toEqual([]));
  });
});
