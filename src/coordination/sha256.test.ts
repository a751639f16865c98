import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { concatBytes } from "../base/bytes.ts";
import { Sha256 } from "./sha256.ts";
import { snapshotContent, snapshotFile, verifySnapshotFile } from "./snapshot-file.ts";

test("Sha256 equals the host's, however the input is cut", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 8 }), (parts) => {
      const ours = new Sha256();
      const theirs = createHash("sha256");
      for (const part of parts) {
        ours.update(part);
        theirs.update(part);
      }
      expect(Buffer.from(ours.digest()).toString("hex")).toBe(theirs.digest("hex"));
    }),
    { numRuns: 200 },
  );
});

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
async function joined(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part.slice());
  return concatBytes(parts);
}

test("a snapshot file has the shape that etcdctl checks, and gives its content back", async () => {
  for (const size of [1, 511, 512, 513, 5_000]) {
    const content = Uint8Array.from({ length: size }, (_, i) => i * 31);
    const file = await joined(snapshotFile(pieces(content, 100)));
    expect(file.length % 512).toBe(32);
    expect(Buffer.from(file.subarray(-32))).toEqual(createHash("sha256").update(file.subarray(0, -32)).digest());
    for (const cut of [7, 32, 1_000]) {
      const back = await joined(snapshotContent(pieces(file, cut)));
      expect(Buffer.compare(back.subarray(0, size), content)).toBe(0);
      expect(back.subarray(size).every((byte) => byte === 0)).toBe(true);
    }
  }
});

test("a damaged, cut or empty snapshot file is found", async () => {
  const file = await joined(snapshotFile(pieces(new Uint8Array(1_000).fill(7), 100)));
  for (const at of [0, 999, 1_023, file.length - 1]) {
    const bad = file.slice();
    bad[at] = (bad[at] ?? 0) ^ 1;
    await expect(verifySnapshotFile(pieces(bad, 64)), `byte ${at}`).rejects.toThrow("checksum");
  }
  await expect(verifySnapshotFile(pieces(file.subarray(0, 600), 64))).rejects.toThrow("checksum");
  await expect(verifySnapshotFile(pieces(new Uint8Array(0), 64))).rejects.toThrow("checksum");
  await expect(verifySnapshotFile(pieces(file, 64))).resolves.toBeUndefined();
});
