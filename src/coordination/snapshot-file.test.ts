import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { concatBytes, fromUtf8, utf8 } from "../base/bytes.ts";
import { simKernels } from "../sim/sim-kernels.ts";
import { DeleteRangeRequest, LeaseGrantRequest, SnapshotRequest } from "./messages.ts";
import { describeSnapshotFile, readSnapshotFile, snapshotContent, snapshotFile } from "./snapshot-file.ts";
import { Store } from "./store.ts";
import { Fixture } from "./testing/fixture.ts";
import { MapEngine } from "./testing/map-engine.ts";
import { TestClock } from "./testing/test-clock.ts";

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

/** The file of a store with history, a deletion, a compaction and a lease, and the store itself. */
async function sample(): Promise<{ readonly file: Uint8Array; readonly store: Store }> {
  const f = new Fixture(simKernels);
  for (let i = 0; i < 40; i++) await f.put(`k${i % 10}`, String(i).repeat(50));
  await f.coordination.deleteRange(DeleteRangeRequest.make({ key: utf8("k3") }));
  await f.coordination.leaseGrant(LeaseGrantRequest.make({ id: 77n, ttl: 60 }));
  await f.put("leased", "x", { lease: 77n });
  const blobs: Uint8Array[] = [];
  for await (const { blob } of f.coordination.snapshot(SnapshotRequest.make())) blobs.push(blob);
  f.coordination.close();
  return { file: concatBytes(blobs), store: f.store };
}

test("describeSnapshotFile() counts what is there, however the file is cut", async () => {
  const { file, store } = await sample();
  for (const cut of [1, 33, file.length]) {
    const { digest, ...counts } = await describeSnapshotFile(pieces(file, cut), simKernels);
    expect(counts).toEqual({
      revision: store.revision,
      compactRevision: -1,
      keys: 10,
      changes: 42,
      leases: 1,
      bytes: file.length,
    });
    expect(Buffer.from(digest)).toEqual(Buffer.from(file.subarray(-32)));
  }
});

test("readSnapshotFile() gives a store the state that the file was made from", async () => {
  const { file, store } = await sample();
  const restored = new Store({ engine: new MapEngine(simKernels), kernels: simKernels, clock: new TestClock() });
  const { bytes } = await readSnapshotFile(pieces(file, 1_000), (content) => restored.restore(content));
  expect(bytes).toBe(file.length);
  expect(restored.hashAll()).toBe(store.hashAll());
});

test("readSnapshotFile() reads on when its reader has read to the end", async () => {
  const { file } = await sample();
  const { value } = await readSnapshotFile(pieces(file, 500), joined);
  expect(value.length).toBe(file.length - 32);
});

test("readSnapshotFile() finds every flipped byte, every cut, and closes its source", async () => {
  const { file } = await sample();
  for (let at = 0; at < file.length; at += at < 64 || at > file.length - 600 ? 1 : 97) {
    const bad = file.slice();
    bad[at] = (bad[at] ?? 0) ^ 0x10;
    await expect(describeSnapshotFile(pieces(bad, 700), simKernels), `byte ${at}`).rejects.toMatchObject({
      code: "DATA_CORRUPT",
    });
  }
  for (const length of [0, 1, 7, 19, 20, 31, 32, 544, file.length - 512, file.length - 1]) {
    let closed = false;
    const source = async function* (): AsyncGenerator<Uint8Array> {
      try {
        yield* pieces(file.subarray(0, length), 100);
      } finally {
        closed = true;
      }
    };
    await expect(describeSnapshotFile(source(), simKernels), `${length} bytes`).rejects.toMatchObject({
      code: "DATA_CORRUPT",
    });
    expect(closed).toBe(true);
  }
});

test("readSnapshotFile() passes the failure of its reader on, and closes its source", async () => {
  const { file } = await sample();
  let closed = false;
  const source = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield* pieces(file, 100);
    } finally {
      closed = true;
    }
  };
  const failing = readSnapshotFile(source(), async (content) => {
    for await (const piece of content) throw new Error(`no room for ${piece.length} bytes`);
  });
  await expect(failing).rejects.toThrow("no room");
  expect(closed).toBe(true);
});

test("a snapshot of etcd's own and a file of something else are told apart", async () => {
  const bbolt = new Uint8Array(32 * 1024);
  new DataView(bbolt.buffer).setUint32(16, 0xed0c_daed, true);
  const etcd = await joined(snapshotFile(pieces(bbolt, 4_096)));
  await expect(describeSnapshotFile(pieces(etcd, 10), simKernels)).rejects.toMatchObject({
    code: "DATA_FOREIGN",
    message: expect.stringContaining("etcd's own"),
  });
  const text = utf8('{"not": "a snapshot, but long enough to be looked at"}');
  await expect(describeSnapshotFile(pieces(text, 5), simKernels), fromUtf8(text)).rejects.toMatchObject({
    code: "DATA_CORRUPT",
    message: expect.stringContaining("no snapshot of Althing"),
  });
});
