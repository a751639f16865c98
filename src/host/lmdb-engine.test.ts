import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { compareBytes, fromUtf8, utf8 } from "../base/bytes.ts";
import type { Engine, EngineRange, EngineReader, EngineWrite } from "../storage/engine/engine.ts";
import { packBatch, unpackBatch } from "./lmdb-batch.ts";
import { LmdbEngine, lmdbOpener } from "./lmdb-engine.ts";
import { lmdbError, lmdbWriteError } from "./lmdb-error.ts";

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
const remove = (key: string): EngineWrite => ({ type: "delete", key: utf8(key) });
const removeRange = (from: string, to: string): EngineWrite => ({
  type: "delete-range",
  from: utf8(from),
  to: utf8(to),
});

function text(reader: EngineReader, range: Partial<EngineRange> = {}): string[] {
  const all = reader.range({ from: new Uint8Array(0), to: undefined, ...range });
  return [...all].map(([key, value]) => `${fromUtf8(key)}=${fromUtf8(value)}`);
}

describe("LmdbEngine against a naive twin", () => {
  const alphabet = fc.uint8Array({ minLength: 1, maxLength: 3, max: 3 });
  const bound = fc.uint8Array({ maxLength: 3, max: 4 });
  const write: fc.Arbitrary<EngineWrite> = fc.oneof(
    { weight: 5, arbitrary: fc.record({ type: fc.constant("put" as const), key: alphabet, value: fc.uint8Array() }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant("delete" as const), key: alphabet }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant("delete-range" as const), from: bound, to: bound }) },
  );
  const range: fc.Arbitrary<EngineRange> = fc.record(
    { from: bound, to: fc.option(bound, { nil: undefined }), reverse: fc.boolean(), limit: fc.nat({ max: 6 }) },
    { requiredKeys: ["from", "to"] },
  );

  test("write(), get(), range() and snapshot() agree with a sorted map", async () => {
    const engine = await open("twin");
    const twin = new Map<string, { readonly key: Uint8Array; readonly value: Uint8Array }>();
    const name = (key: Uint8Array): string => Buffer.from(key).toString("hex");
    const sorted = () => [...twin.values()].sort((a, b) => compareBytes(a.key, b.key));
    const plain = (entries: Iterable<readonly [Uint8Array, Uint8Array]>) =>
      [...entries].map(([key, value]) => `${name(key)}:${name(value)}`);
    await fc.assert(
      fc.asyncProperty(
        fc.array(write, { maxLength: 25 }),
        fc.array(range, { maxLength: 8 }),
        async (writes, ranges) => {
          const before = sorted();
          const snapshot = engine.snapshot();
          await engine.write(writes);
          for (const w of writes) {
            if (w.type === "put") twin.set(name(w.key), w);
            else if (w.type === "delete") twin.delete(name(w.key));
            else {
              for (const { key } of sorted()) {
                if (compareBytes(key, w.from) >= 0 && compareBytes(key, w.to) < 0) twin.delete(name(key));
              }
            }
          }
          const expected = (entries: ReturnType<typeof sorted>, r: EngineRange): string[] => {
            const inside = entries.filter(
              ({ key }) => compareBytes(key, r.from) >= 0 && (r.to === undefined || compareBytes(key, r.to) < 0),
            );
            if (r.reverse === true) inside.reverse();
            return plain(inside.slice(0, r.limit ?? inside.length).map(({ key, value }) => [key, value] as const));
          };
          for (const r of ranges) {
            expect(plain(engine.range(r))).toEqual(expected(sorted(), r));
            expect(plain(snapshot.range(r))).toEqual(expected(before, r));
          }
          for (const { key, value } of sorted()) expect(name(engine.get(key) ?? utf8("?"))).toBe(name(value));
          for (const w of writes) {
            if (w.type !== "delete-range") expect(engine.get(w.key) === undefined).toBe(!twin.has(name(w.key)));
          }
          snapshot.close();
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe("LmdbEngine", () => {
  test("write() carries out its writes in order", async () => {
    const engine = await open("order");
    await engine.write([put("a", "1"), removeRange("a", "c"), put("b", "2"), remove("b"), put("b", "3")]);
    expect(text(engine)).toEqual(["b=3"]);
  });

  test("values are kept across reopening, whatever their size, and belong to the caller", async () => {
    const engine = await open("sizes");
    const sizes = [0, 1, 2_000, 5_000, 70_000, 3_000_000];
    const value = (size: number): Uint8Array => new Uint8Array(size).map((_, i) => i * 11 + size);
    await engine.write(sizes.map((size) => ({ type: "put", key: utf8(`k${size}`), value: value(size) })));
    await engine.close();
    const again = await open("sizes");
    const kept = sizes.map((size) => again.get(utf8(`k${size}`)) ?? utf8("missing"));
    const ranged = new Map([...again.range({ from: utf8("k"), to: undefined })].map(([k, v]) => [fromUtf8(k), v]));
    for (const [i, size] of sizes.entries()) {
      expect(Buffer.compare(kept[i] ?? utf8("?"), value(size))).toBe(0);
      expect(Buffer.compare(ranged.get(`k${size}`) ?? utf8("?"), value(size))).toBe(0);
      expect(kept[i]?.constructor).toBe(Uint8Array);
    }
    kept[4]?.fill(0);
    expect(Buffer.compare(again.get(utf8("k70000")) ?? utf8("?"), value(70_000))).toBe(0);
  });

  test("keys of 1 and 1,900 bytes work, 0 and 1,901 are a bug", async () => {
    const engine = await open("keys");
    const longest = new Uint8Array(1_900).fill(255);
    await engine.write([
      { type: "put", key: longest, value: utf8("long") },
      { type: "put", key: Uint8Array.of(0), value: utf8("short") },
    ]);
    expect(fromUtf8(engine.get(longest) ?? utf8("?"))).toBe("long");
    expect([...engine.range({ from: new Uint8Array(0), to: undefined })]).toHaveLength(2);
    expect([...engine.range({ from: longest, to: undefined, reverse: true })]).toHaveLength(1);
    for (const length of [0, 1_901]) {
      const key = new Uint8Array(length);
      expect(() => engine.get(key)).toThrow("not a key");
      await expect(engine.write([{ type: "put", key, value: key }])).rejects.toThrow("not a key");
    }
    await engine.write([put("after", "a bug")]); // the refused write left nothing behind
  });

  test("a range that is read while the engine is written keeps its view, also when it is given up half-way", async () => {
    const engine = await open("iterator");
    await engine.write(Array.from({ length: 500 }, (_, i) => put(`k${1_000 + i}`, "old")));
    const kept = engine.range({ from: utf8("k"), to: undefined })[Symbol.iterator]();
    const first = kept.next();
    expect(first.done).toBe(false);
    for (let round = 0; round < 5; round++) {
      await engine.write([removeRange("k", "l"), put(`n${round}`, "new")]);
      for (const _ of engine.range({ from: utf8("n"), to: undefined })) break;
    }
    let count = 1;
    for (let next = kept.next(); next.done !== true; next = kept.next()) {
      expect(fromUtf8(next.value[1])).toBe("old");
      count++;
    }
    expect(count).toBe(500);
    expect(text(engine)).toEqual(["n0=new", "n1=new", "n2=new", "n3=new", "n4=new"]);
  });

  test("reads show a write when it has completed, not before", async () => {
    const engine = await open("visibility");
    await engine.write([put("a", "0")]);
    for (let i = 1; i <= 30; i++) {
      let done = false;
      const writing = engine.write([put("a", String(i))]).then(() => {
        done = true;
      });
      while (!done) {
        expect(fromUtf8(engine.get(utf8("a")) ?? utf8("?"))).toBe(String(i - 1));
        await new Promise((resolve) => setImmediate(resolve));
      }
      await writing;
      expect(fromUtf8(engine.get(utf8("a")) ?? utf8("?"))).toBe(String(i));
    }
  });

  test("snapshots outlive many writes; closed with the engine they are of no use", async () => {
    const engine = await open("snapshots");
    await engine.write([put("a", "0")]);
    const snapshots = [];
    for (let i = 1; i <= 40; i++) {
      snapshots.push(engine.snapshot());
      await engine.write([put("a", String(i)), put(`b${i}`, "x".repeat(500))]);
    }
    for (const [i, snapshot] of snapshots.entries()) {
      expect(fromUtf8(snapshot.get(utf8("a")) ?? utf8("?"))).toBe(String(i));
      expect(text(snapshot)).toHaveLength(i + 1);
    }
    const [first, second] = snapshots;
    second?.close();
    second?.close();
    const iterator = first?.range({ from: utf8("a"), to: undefined })[Symbol.iterator]();
    iterator?.next();
    await engine.close();
    expect(() => first?.get(utf8("a"))).toThrow("a closed snapshot is not used");
    expect(() => iterator?.next()).toThrow("closed");
    expect(() => engine.get(utf8("a"))).toThrow("a closed engine is not used");
  });

  test("close() waits for a write that is under way, and size() tells file and data apart", async () => {
    const engine = await open("closing");
    await engine.write([put("a", "x".repeat(100_000))]);
    const { fileBytes, usedBytes } = engine.size();
    expect(usedBytes).toBeGreaterThan(100_000);
    expect(fileBytes).toBeGreaterThanOrEqual(usedBytes);
    const writing = engine.write([put("b", "2")]);
    await engine.close();
    await writing;
    expect(text(await open("closing"), { from: utf8("b") })).toEqual(["b=2"]);
  });

  test("delete-range removes more keys than one chunk, and the file's space is used again", async () => {
    const engine = await open("many");
    const many = Array.from({ length: 3_500 }, (_, i) => put(`k${10_000 + i}`, "v".repeat(100)));
    await engine.write(many);
    const { fileBytes } = engine.size();
    for (let round = 0; round < 4; round++) {
      await engine.write([removeRange("k", "l")]);
      expect(text(engine)).toEqual([]);
      await engine.write(many);
    }
    expect(text(engine)).toHaveLength(3_500);
    expect(engine.size().fileBytes).toBeLessThan(fileBytes * 3);
  });

  test("lmdbOpener() discards a folder", async () => {
    const opener = lmdbOpener(root);
    const engine = await opener.open("discarded/deep");
    await engine.write([put("a", "1")]);
    await engine.close();
    await opener.discard("discarded/deep");
    await opener.discard("discarded/deep");
    expect(existsSync(join(root, "discarded/deep"))).toBe(false);
    const again = await opener.open("discarded/deep");
    expect(again.get(utf8("a"))).toBeUndefined();
    await again.close();
  });

  test("a folder that cannot be made, and a file that is none of LMDB's, are told apart", async () => {
    writeFileSync(join(root, "plain"), "");
    await expect(LmdbEngine.open(join(root, "plain", "x"))).rejects.toMatchObject({ code: "DISK_FAILED" });
    const opener = lmdbOpener(root);
    await (await opener.open("foreign")).close();
    for (const content of ["no such thing ".repeat(1_000), "short", "\0".repeat(40_000)]) {
      writeFileSync(join(root, "foreign", "data.mdb"), content);
      await expect(opener.open("foreign")).rejects.toMatchObject({ code: "DATA_CORRUPT" });
    }
  });

  test("lmdbError() maps return codes", () => {
    const withCode = (code: number): Error => Object.assign(new Error("x"), { code });
    expect(lmdbError("write", withCode(28)).code).toBe("DISK_FULL");
    expect(lmdbError("write", withCode(-30792)).code).toBe("DISK_FULL");
    expect(lmdbError("write", withCode(5)).code).toBe("DISK_FAILED");
    expect(lmdbError("write", withCode(-30796)).code).toBe("DATA_CORRUPT");
    expect(lmdbWriteError("write", withCode(5), 4_096).code).toBe("DISK_FULL"); // a write cut short
    expect(lmdbWriteError("write", withCode(5), 1e9).code).toBe("DISK_FAILED");
    expect(lmdbWriteError("write", withCode(-30796), 0).code).toBe("DATA_CORRUPT");
  });
});

describe("packBatch()", () => {
  test("unpackBatch() gives back every write", () => {
    const writes = [put("key", "value"), remove("gone"), removeRange("", "z"), put("k", "")];
    const unpacked = [...unpackBatch(Buffer.from(packBatch(writes).buffer))].map((write) =>
      write.type === "put"
        ? put(write.key.toString(), write.stored.subarray(4).toString())
        : write.type === "delete"
          ? remove(write.key.toString())
          : removeRange(write.from.toString(), write.to.toString()),
    );
    expect(unpacked).toEqual(writes);
  });
});
