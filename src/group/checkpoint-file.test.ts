/** Checkpoints on a disk that tears, flips and fills up. Crashes at each point of the writing are the simulator's part. */
import { describe, expect, test } from "vitest";
import { FakeDisk, fakeKernels } from "../../test/sim/lib/fake-ports.ts";
import { AlthingError } from "../base/errors.ts";
import { fromUtf8, utf8 } from "../base/bytes.ts";
import { CheckpointFile } from "./checkpoint-file.ts";
import type { MachineSnapshot } from "./state-machine.ts";

/** A state of texts, one a chunk. */
class Texts {
  texts: string[] = [];
  closed = 0;

  snapshot(): MachineSnapshot {
    const texts = [...this.texts];
    return {
      async *chunks() {
        for (const text of texts) yield utf8(text);
      },
      close: () => void this.closed++,
    };
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const texts: string[] = [];
    for await (const chunk of chunks) texts.push(fromUtf8(chunk));
    this.texts = texts;
  }
}

function make(disk = new FakeDisk()): { disk: FakeDisk; machine: Texts; file: CheckpointFile } {
  const machine = new Texts();
  return { disk, machine, file: new CheckpointFile({ disk, kernels: fakeKernels }, "group", machine) };
}

const PATH = "group/checkpoint";

async function written(): Promise<{ disk: FakeDisk; bytes: Uint8Array }> {
  const { disk, machine, file } = make();
  machine.texts = ["one", "two", "three"];
  await file.checkpoint(utf8("meta"));
  const bytes = disk.files.get(PATH);
  if (bytes === undefined) throw new Error("no checkpoint");
  return { disk, bytes };
}

async function codeOfLoad(disk: FakeDisk): Promise<string> {
  return make(disk)
    .file.load()
    .then(
      () => "loaded",
      (error: unknown) => (error instanceof AlthingError ? error.code : String(error)),
    );
}

describe("CheckpointFile", () => {
  test("load() gives back meta and state; an empty folder has none", async () => {
    const { disk } = await written();
    const { machine, file } = make(disk);
    expect(fromUtf8((await file.load()) ?? new Uint8Array(0))).toBe("meta");
    expect(machine.texts).toEqual(["one", "two", "three"]);
    expect(disk.opened.size).toBe(0);
    expect(await make().file.load()).toBeUndefined();
  });

  test("an empty state is a state", async () => {
    const { disk, file } = make();
    await file.checkpoint(utf8("m"));
    const again = make(disk);
    again.machine.texts = ["old"];
    expect(await again.file.load()).toEqual(utf8("m"));
    expect(again.machine.texts).toEqual([]);
  });

  test("load() finds every flipped bit and every missing byte", async () => {
    const { disk, bytes } = await written();
    for (let at = 0; at < bytes.length; at++) {
      disk.files.set(PATH, bytes.slice(0, at));
      expect(await codeOfLoad(disk)).toBe("DATA_CORRUPT");
      const flipped = bytes.slice();
      flipped[at] = (flipped[at] ?? 0) ^ 0x10;
      disk.files.set(PATH, flipped);
      expect(["DATA_CORRUPT", "DATA_NEWER"]).toContain(await codeOfLoad(disk));
    }
    disk.files.set(PATH, bytes);
    expect(await codeOfLoad(disk)).toBe("loaded");
  });

  test("load() refuses a newer format by name", async () => {
    const { disk, bytes } = await written();
    const newer = bytes.slice();
    newer[4] = 2;
    disk.files.set(PATH, newer);
    expect(await codeOfLoad(disk)).toBe("DATA_NEWER");
  });

  test("a checkpoint that finds no space leaves the one before it, and can be tried again", async () => {
    const { disk, machine, file } = make();
    machine.texts = ["old"];
    file.note(10);
    await file.checkpoint(utf8("1"));
    expect(file.dirtyBytes()).toBe(0);
    machine.texts = ["new"];
    file.note(7);
    for (const roomBytes of [0, 5, 13, 17, 20]) {
      disk.roomBytes = roomBytes;
      await expect(file.checkpoint(utf8("2"))).rejects.toMatchObject({ code: "DISK_FULL" });
      expect(file.dirtyBytes()).toBe(7);
      const other = make(disk);
      expect(await other.file.load()).toEqual(utf8("1"));
      expect(other.machine.texts).toEqual(["old"]);
    }
    disk.roomBytes = 1_000;
    await file.checkpoint(utf8("2"));
    expect(file.dirtyBytes()).toBe(0);
    expect(disk.opened.size).toBe(0);
    expect(machine.closed).toBe(7); // every snapshot that was taken
  });

  test("what is applied while it is written counts for the next one", async () => {
    const { file } = make();
    file.note(5);
    const done = file.checkpoint(utf8("m"));
    file.note(3);
    await done;
    expect(file.dirtyBytes()).toBe(3);
  });

  test("a sync that fails is told, and the old checkpoint stands", async () => {
    const { disk, machine, file } = make();
    machine.texts = ["old"];
    await file.checkpoint(utf8("1"));
    disk.failsAt = "checkpoint.new";
    machine.texts = ["new"];
    await expect(file.checkpoint(utf8("2"))).rejects.toMatchObject({ code: "DISK_FAILED" });
    disk.failsAt = undefined;
    expect(await make(disk).file.load()).toEqual(utf8("1"));
  });
});
