import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { utf8 } from "../base/bytes.ts";
import { Deferred } from "../base/deferred.ts";
import type { DiskFile } from "../ports/disk.ts";
import { diskError } from "./disk-error.ts";
import { type NodeDisk, openNodeDisk } from "./node-disk.ts";

let folder = "";
let disk: NodeDisk;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "althing-disk-"));
  disk = await openNodeDisk(folder);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function create(path: string): Promise<DiskFile> {
  const file = await disk.open(path, { create: true });
  if (file === undefined) throw new Error("not created");
  return file;
}

describe("NodeDisk files", () => {
  test("write() lays its buffers one after the other at the offset and grows the file", async () => {
    const file = await create("a");
    await file.write([utf8("one"), new Uint8Array(0), utf8("two")], 4);
    await file.sync();
    expect(await file.length()).toBe(10);
    const target = new Uint8Array(20);
    expect(await file.read(target, 0)).toBe(10);
    expect([...target.subarray(0, 4)]).toEqual([0, 0, 0, 0]);
    expect(Buffer.from(target.subarray(4, 10)).toString()).toBe("onetwo");
    expect(await file.read(target, 10)).toBe(0);
    await file.close();
  });

  test("write() of more buffers than one system call takes, and of more bytes than go synchronously", async () => {
    const file = await create("a");
    const many = Array.from({ length: 3_000 }, (_, i) => Uint8Array.of(i, i >> 8));
    await file.write(many, 0);
    const large = new Uint8Array(700_000).map((_, i) => i * 13);
    await file.write([large.subarray(0, 300_000), large.subarray(300_000)], 6_000);
    await file.close();
    const all = readFileSync(join(folder, "a"));
    expect(all.length).toBe(706_000);
    for (let i = 0; i < 3_000; i++) expect(all.readUInt16LE(i * 2)).toBe(i);
    expect(Buffer.compare(all.subarray(6_000), large)).toBe(0);
  });

  test("allocate() writes zeroes up to the length and leaves the content alone", async () => {
    const file = await create("a");
    await file.write([utf8("head")], 0);
    await file.allocate(2_500_000);
    await file.allocate(10);
    expect(await file.length()).toBe(2_500_000);
    const bytes = readFileSync(join(folder, "a"));
    expect(bytes.subarray(0, 4).toString()).toBe("head");
    expect(bytes.subarray(4).every((byte) => byte === 0)).toBe(true);
    await file.truncate(2);
    expect(await file.length()).toBe(2);
    await file.close();
  });

  test("close() waits for what is under way, and a closed file is not used", async () => {
    const file = await create("a");
    const writing = file.write([new Uint8Array(4_000_000)], 0);
    const syncing = file.sync();
    await file.close();
    await file.close();
    await writing;
    await syncing;
    await expect(file.length()).rejects.toThrow("a closed file is not used");
  });

  test("open() without create gives undefined for a missing file", async () => {
    expect(await disk.open("missing", { create: false })).toBeUndefined();
  });
});

describe("NodeDisk names", () => {
  test("list() is sorted and empty for a missing folder; rename() and remove() act; remove() may be repeated", async () => {
    await disk.makeFolder("wal/deep");
    for (const name of ["wal/b", "wal/a", "wal/B"]) await (await create(name)).close();
    expect(await disk.list("wal")).toEqual(["B", "a", "b", "deep"]);
    expect(await disk.list("none")).toEqual([]);
    await disk.rename("wal/b", "wal/c");
    await disk.syncDirectory("wal");
    await disk.syncDirectory("");
    await disk.remove("wal/a");
    await disk.remove("wal/a");
    await disk.remove("wal/deep");
    expect(await disk.list("wal")).toEqual(["B", "c"]);
    expect(await disk.list("")).toEqual(["wal"]);
  });

  test("a path that leaves the folder is a bug", async () => {
    for (const path of ["../x", "/etc/passwd", "a/../../x", "a//b", "a/.", "a\0b"]) {
      await expect(disk.open(path, { create: true })).rejects.toThrow("a path leaves the data folder");
    }
  });

  test("freeBytes() is a plausible number", async () => {
    expect(await disk.freeBytes()).toBeGreaterThan(0);
  });

  test("openNodeDisk() names a folder that cannot be made", async () => {
    writeFileSync(join(folder, "file"), "");
    await expect(openNodeDisk(join(folder, "file", "sub"))).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("ENOTDIR"),
    });
  });
});

describe("NodeDisk errors", () => {
  test.runIf(existsSync("/dev/full"))("no space is DISK_FULL, and the disk goes on", async () => {
    symlinkSync("/dev/full", join(folder, "full"));
    const full = await create("full");
    await expect(full.write([utf8("x")], 0)).rejects.toMatchObject({ code: "DISK_FULL" });
    await expect(full.write([new Uint8Array(1_000_000)], 0)).rejects.toMatchObject({ code: "DISK_FULL" });
    await full.close();
    const other = await create("other");
    await other.write([utf8("x")], 0);
    await other.sync();
    await other.close();
  });

  test.runIf(existsSync("/dev/full"))("after a failed sync nothing can be written or synced any more", async () => {
    const other = await create("other");
    symlinkSync("/dev/full", join(folder, "device"));
    const device = await create("device"); // fdatasync of a device without storage: EINVAL
    await expect(device.sync()).rejects.toMatchObject({ code: "DISK_FAILED" });
    await expect(other.write([utf8("x")], 0)).rejects.toMatchObject({ code: "DISK_FAILED" });
    await expect(other.sync()).rejects.toMatchObject({ code: "DISK_FAILED" });
    await expect(disk.syncDirectory("")).rejects.toMatchObject({ code: "DISK_FAILED" });
    expect(await other.length()).toBe(0); // reads go on
    await other.close();
    await device.close();
  });

  test("diskError() tells full from failed, and a sync on a full disk is failed", () => {
    const withCode = (code: string): Error => Object.assign(new Error(code), { code });
    for (const code of ["ENOSPC", "EDQUOT"]) expect(diskError("write a", withCode(code)).code).toBe("DISK_FULL");
    for (const code of ["EIO", "EROFS", "EBADF"]) expect(diskError("write a", withCode(code)).code).toBe("DISK_FAILED");
    expect(diskError("sync a", withCode("ENOSPC"), { final: true }).code).toBe("DISK_FAILED");
  });
});

describe("NodeDisk.lock()", () => {
  test("a second holder in the same process is refused until the first lets go", async () => {
    const lock = await disk.lock("LOCK");
    await expect(disk.lock("LOCK")).rejects.toMatchObject({ code: "DATA_LOCKED" });
    await expect((await openNodeDisk(folder)).lock("LOCK")).rejects.toMatchObject({ code: "DATA_LOCKED" });
    await lock.close();
    await lock.close();
    await (await disk.lock("LOCK")).close();
  });

  test("another process that holds it is named; killed with SIGKILL it holds nothing", async () => {
    const script = `
      import { openNodeDisk } from ${JSON.stringify(new URL("./node-disk.ts", import.meta.url).href)};
      const disk = await openNodeDisk(process.argv[1]);
      await disk.lock("LOCK");
      process.stdout.write("locked\\n");
      setInterval(() => undefined, 1000);
    `;
    const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", script, folder], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { PATH: process.env["PATH"] },
    });
    const exited = new Promise((resolve) => child.once("exit", resolve));
    try {
      const locked = new Deferred<void>();
      child.stdout.once("data", () => locked.resolve());
      await locked.promise;
      await expect(disk.lock("LOCK")).rejects.toMatchObject({
        code: "DATA_LOCKED",
        message: expect.stringMatching(new RegExp(`process ${child.pid} .* holds it; stop it first`)),
      });
    } finally {
      child.kill("SIGKILL");
      await exited;
    }
    await (await disk.lock("LOCK")).close();
  });
});
