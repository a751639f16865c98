/** What LmdbEngine makes of processes that were killed and files that were damaged; its ordinary work is in lmdb-engine.test.ts. */
import { spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { fromUtf8, utf8 } from "../base/bytes.ts";
import { AlthingError, hasCode } from "../base/errors.ts";
import { Prng } from "../base/prng.ts";
import type { Engine, EngineReader, EngineWrite } from "../storage/engine/engine.ts";
import { LmdbEngine } from "./lmdb-engine.ts";
import { prepareLmdb } from "./lmdb-meta.ts";
import { openLmdb } from "./lmdb-native.ts";
import { readRange, readValue } from "./lmdb-read.ts";
import { verifyLmdb } from "./lmdb-verify.ts";

let root = "";
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "althing-lmdb-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const opened: Engine[] = [];
afterEach(async () => {
  for (const engine of opened.splice(0)) await engine.close();
});

async function open(folder: string): Promise<LmdbEngine> {
  const engine = await LmdbEngine.open(join(root, folder));
  opened.push(engine);
  return engine;
}

const put = (key: string, value: string): EngineWrite => ({ type: "put", key: utf8(key), value: utf8(value) });

function text(reader: EngineReader): string[] {
  const all = reader.range({ from: new Uint8Array(0), to: undefined });
  return [...all].map(([key, value]) => `${fromUtf8(key)}=${fromUtf8(value)}`);
}

describe("LmdbEngine after kill -9", () => {
  /** Writes batches of 50 keys that all hold the number of their batch, and says which are acknowledged. */
  const writerScript = `
    import { LmdbEngine } from ${JSON.stringify(new URL("./lmdb-engine.ts", import.meta.url).href)};
    const engine = await LmdbEngine.open(process.argv[1]);
    const utf8 = (text) => new TextEncoder().encode(text);
    for (let round = Number(process.argv[2]); ; round++) {
      const writes = Array.from({ length: 50 }, (_, i) => ({ type: "put", key: utf8("k" + i), value: utf8(round + ":" + "x".repeat(i * 40)) }));
      await engine.write([{ type: "delete-range", from: utf8("k"), to: utf8("l") }, ...writes]);
      process.stdout.write(round + "\\n");
    }
  `;

  test("every acknowledged batch is there, and each batch is there as a whole", async () => {
    const folder = join(root, "killed");
    let acknowledged = 0;
    for (const rounds of [3, 25]) {
      const child = spawn(
        process.execPath,
        ["--input-type=module", "-e", writerScript, folder, String(acknowledged + 1)],
        { stdio: ["ignore", "pipe", "inherit"], env: { PATH: process.env["PATH"] } },
      );
      let said = "";
      const exited = new Promise((resolve) => child.once("close", resolve));
      const until = acknowledged + rounds;
      child.stdout.on("data", (chunk: Buffer) => {
        said += chunk.toString();
        if (Number(said.trim().split("\n").at(-1)) >= until) child.kill("SIGKILL");
      });
      await exited;
      acknowledged = Number(said.slice(0, said.lastIndexOf("\n")).split("\n").at(-1));
      const engine = await open("killed");
      const rows = text(engine);
      expect(rows).toHaveLength(50);
      const batches = new Set(rows.map((row) => row.slice(row.indexOf("=") + 1, row.indexOf(":"))));
      expect(batches.size).toBe(1);
      const [batch] = batches;
      expect(Number(batch)).toBeGreaterThanOrEqual(acknowledged);
      acknowledged = Number(batch);
      await engine.close();
    }
  });
});

describe("LmdbEngine on a damaged file", () => {
  function flipBit(file: string, offset: number, bit: number): void {
    const fd = openSync(file, "r+");
    const byte = Buffer.alloc(1);
    readSync(fd, byte, 0, 1, offset);
    byte[0] = (byte[0] ?? 0) ^ (1 << bit);
    writeSync(fd, byte, 0, 1, offset);
  }

  test("a flipped bit is reported as DATA_CORRUPT or changes nothing", async () => {
    const engine = await open("sound");
    const rows = Array.from({ length: 300 }, (_, i) => [`key${1_000 + i}`, `value ${i} `.repeat(12)] as const);
    await engine.write(rows.map(([key, value]) => put(key, value)));
    await engine.close();
    const length = readFileSync(join(root, "sound", "data.mdb")).length;
    const prng = new Prng(20);
    let reported = 0;
    for (let round = 0; round < 24; round++) {
      const folder = join(root, `flipped${round}`);
      cpSync(join(root, "sound"), folder, { recursive: true });
      flipBit(join(folder, "data.mdb"), prng.between(0, length - 1), prng.below(8));
      try {
        // What LmdbEngine.open() does, without a thread for each round.
        expect(prepareLmdb(folder)).toBe(true);
        const store = await openLmdb(folder);
        try {
          verifyLmdb(store, folder, Number.POSITIVE_INFINITY);
          const transaction = store.useReadTransaction();
          for (const [key, value] of rows) {
            expect(fromUtf8(readValue(store, transaction, utf8(key), folder) ?? utf8("missing"))).toBe(value);
          }
          const everything = { from: new Uint8Array(0), to: undefined };
          expect([...readRange(store, transaction, everything, folder, () => true)]).toHaveLength(rows.length);
          transaction.done();
        } finally {
          await store.close();
        }
      } catch (error) {
        expect(hasCode(error, "DATA_CORRUPT") ? "DATA_CORRUPT" : error).toBe("DATA_CORRUPT");
        reported++;
      }
    }
    expect(reported).toBeGreaterThan(5);
  });

  test("get() and range() refuse a damaged value that came after the opening", async () => {
    const engine = await open("rotten");
    await engine.write([put("a", "some value that will rot"), put("b", "fine")]);
    const file = join(root, "rotten", "data.mdb");
    const at = readFileSync(file).indexOf("will rot");
    flipBit(file, at, 3); // the map shows the page cache, so the running engine sees it
    expect(() => engine.get(utf8("a"))).toThrow(expect.objectContaining({ code: "DATA_CORRUPT" }));
    expect(() => text(engine)).toThrow(expect.objectContaining({ code: "DATA_CORRUPT" }));
    expect(fromUtf8(engine.get(utf8("b")) ?? utf8("?"))).toBe("fine");
  });

  test("every flipped bit of the meta pages is reported or harmless", async () => {
    const engine = await open("metas");
    await engine.write([put("a", "1")]);
    await engine.write([put("a", "2")]);
    await engine.close();
    const file = join(root, "metas", "data.mdb");
    const sound = readFileSync(file);
    for (let bit = 0; bit < 2 * 160 * 8; bit += 7) {
      const bytes = Buffer.from(sound);
      const at = (bit >> 3 < 160 ? 0 : 4_096) + ((bit >> 3) % 160);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7));
      writeFileSync(file, bytes);
      let whole: unknown;
      try {
        whole = prepareLmdb(join(root, "metas"));
      } catch (error) {
        whole = error instanceof AlthingError ? error.code : error;
      }
      expect([true, false, "DATA_CORRUPT"]).toContain(whole);
    }
    writeFileSync(file, sound);
    expect(prepareLmdb(join(root, "metas"))).toBe(true);
  });

  test("a file that was cut is DATA_CORRUPT and does not end this process", async () => {
    const engine = await open("cut");
    await engine.write(Array.from({ length: 300 }, (_, i) => put(`k${1_000 + i}`, "v".repeat(200))));
    await engine.close();
    truncateSync(join(root, "cut", "data.mdb"), 4_096 * 6);
    await expect(open("cut")).rejects.toMatchObject({ code: "DATA_CORRUPT" });
  });

  test("a marker of an opening that died leads to a check by another process", async () => {
    const engine = await open("marked");
    await engine.write([put("a", "precious value")]);
    await engine.close();
    writeFileSync(join(root, "marked", "opening"), "");
    const again = await open("marked");
    expect(text(again)).toEqual(["a=precious value"]);
    await again.close();
    expect(existsSync(join(root, "marked", "opening"))).toBe(false);

    const file = join(root, "marked", "data.mdb");
    flipBit(file, readFileSync(file).indexOf("precious"), 0);
    writeFileSync(join(root, "marked", "opening"), "");
    await expect(open("marked")).rejects.toMatchObject({ code: "DATA_CORRUPT" });
  });
});
