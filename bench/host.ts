/**
 * What the ports cost on this machine: log writes with their sync, frames through a loopback connection, LMDB. Prints a
 * table and keeps nothing. `node bench/host.ts [folder]`; the folder decides which disk is measured.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { LmdbEngine } from "../src/host/lmdb-engine.ts";
import { openNodeDisk } from "../src/host/node-disk.ts";
import { NodeNetwork } from "../src/host/node-network.ts";
import type { DiskFile } from "../src/ports/disk.ts";
import type { Connection } from "../src/ports/network.ts";
import type { EngineWrite } from "../src/storage/engine/engine.ts";

const rows: (readonly [what: string, value: string])[] = [];

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

function rate(count: number, ms: number): string {
  return `${Math.round((count / ms) * 1_000).toLocaleString("en")}/s`;
}

async function timed(action: () => Promise<void> | void): Promise<number> {
  const startMs = performance.now();
  await action();
  return performance.now() - startMs;
}

async function disk(folder: string): Promise<void> {
  const { freeBytes, open } = await openNodeDisk(folder).then((d) => ({
    freeBytes: () => d.freeBytes(),
    open: (path: string) => d.open(path, { create: true }),
  }));
  rows.push(["disk: free", `${Math.round((await freeBytes()) / 2 ** 30)} GiB`]);
  const file = (await open("bench.wal")) as DiskFile; // created
  const length = 32 * 1024 * 1024;
  const allocateMs = await timed(async () => {
    await file.allocate(length);
    await file.sync();
  });
  rows.push(["disk: allocate and sync 32 MiB", `${allocateMs.toFixed(0)} ms`]);
  for (const bytes of [300, 4_096, 65_536, 1_048_576]) {
    const buffer = new Uint8Array(bytes).fill(7);
    const writes: number[] = [];
    const both: number[] = [];
    const rounds = bytes > 100_000 ? 60 : 400;
    for (let i = 0; i < rounds; i++) {
      const offset = (i * bytes) % (length - bytes);
      const startMs = performance.now();
      await file.write([buffer], offset);
      writes.push(performance.now() - startMs);
      await file.sync();
      both.push(performance.now() - startMs);
    }
    writes.sort((a, b) => a - b);
    both.sort((a, b) => a - b);
    const us = (ms: number): string => `${Math.round(ms * 1_000)} us`;
    const shown = `write p50 ${us(quantile(writes, 0.5))}, with sync p50 ${us(quantile(both, 0.5))} p99 ${us(quantile(both, 0.99))}`;
    rows.push([`disk: ${bytes} B in place`, shown]);
  }
  await file.close();
}

async function network(): Promise<void> {
  const net = new NodeNetwork();
  const accepted = Promise.withResolvers<Connection>();
  const listener = await net.listen("127.0.0.1:0", (connection) => accepted.resolve(connection));
  const client = await net.dial(listener.address);
  const server = await accepted.promise;
  let received = 0;
  let onCount = { at: Number.POSITIVE_INFINITY, resolve: () => undefined as void };
  server.onFrame = (frame) => {
    received++;
    if (frame.length === 1) server.send(frame); // a ping
    if (received >= onCount.at) onCount.resolve();
  };
  for (const [bytes, count, perTurn] of [
    [30, 400_000, 64],
    [300, 300_000, 64],
    [300, 40_000, 1],
    [8_192, 60_000, 16],
    [65_536, 8_000, 4],
    [1_048_576, 500, 1],
  ] as const) {
    const frame = new Uint8Array(bytes).fill(1);
    received = 0;
    const ms = await timed(async () => {
      const done = Promise.withResolvers<void>();
      onCount = { at: count, resolve: done.resolve };
      for (let sent = 0; sent < count; ) {
        for (let i = 0; i < perTurn && sent < count; i++, sent++) client.send(frame);
        await nextTurn();
        while (client.bufferedBytes > 8 * 1024 * 1024) await nextTurn();
      }
      await done.promise;
    });
    const throughput = `${Math.round((bytes * count) / ms / 1_000)} MB/s`;
    rows.push([`network: ${bytes} B, ${perTurn} a turn, one process`, `${rate(count, ms)}, ${throughput}`]);
  }
  const ping = Uint8Array.of(1);
  const trips: number[] = [];
  for (let i = 0; i < 3_000; i++) {
    const startMs = performance.now();
    await new Promise<void>((resolve) => {
      client.onFrame = () => resolve();
      client.send(ping);
    });
    trips.push(performance.now() - startMs);
  }
  trips.sort((a, b) => a - b);
  rows.push(["network: round trip of a frame", `p50 ${Math.round(quantile(trips, 0.5) * 1_000)} us`]);
  client.close();
  server.close();
  await listener.close();
}

async function lmdb(folder: string): Promise<void> {
  let engine: LmdbEngine | undefined;
  const openMs = await timed(async () => {
    engine = await LmdbEngine.open(folder);
  });
  if (engine === undefined) throw new Error("not opened");
  rows.push(["lmdb: open", `${openMs.toFixed(0)} ms`]);
  const key = (i: number): Uint8Array => {
    const bytes = new Uint8Array(24);
    new DataView(bytes.buffer).setFloat64(16, i);
    return bytes;
  };
  const value = new Uint8Array(256).fill(9);
  const batch = 10_000;
  const batches = 20;
  let at = 1;
  let loopMs = 0;
  let totalMs = 0;
  for (let i = 0; i < batches; i++) {
    const writes: EngineWrite[] = Array.from({ length: batch }, () => ({ type: "put", key: key(at++), value }));
    const startMs = performance.now();
    const writing = engine.write(writes);
    loopMs += performance.now() - startMs;
    await writing;
    totalMs += performance.now() - startMs;
  }
  rows.push([
    `lmdb: put in order, 256 B, batches of ${batch}`,
    `${rate(batch * batches, totalMs)}, event loop ${(loopMs / batches).toFixed(1)} of ${(totalMs / batches).toFixed(1)} ms`,
  ]);
  const oneMs: number[] = [];
  for (let i = 0; i < 100; i++) {
    const writes: EngineWrite[] = [{ type: "put", key: key(i + 1), value }];
    oneMs.push(await timed(() => engine?.write(writes)));
  }
  oneMs.sort((a, b) => a - b);
  rows.push(["lmdb: one put, durable", `p50 ${Math.round(quantile(oneMs, 0.5) * 1_000)} us`]);
  const keys = Array.from({ length: 100_000 }, (_, i) => key(((i * 7_919) % (at - 1)) + 1));
  for (let round = 0; round < 2; round++) {
    let found = 0;
    const ms = await timed(() => {
      for (const k of keys) if (engine?.get(k) !== undefined) found++;
    });
    if (found !== keys.length) throw new Error("keys are missing");
    if (round === 1) rows.push(["lmdb: get, random, 256 B", rate(keys.length, ms)]);
  }
  let ranged = 0;
  const rangeMs = await timed(() => {
    for (const _ of engine?.range({ from: new Uint8Array(1), to: undefined }) ?? []) ranged++;
  });
  rows.push(["lmdb: range, 256 B", rate(ranged, rangeMs)]);
  rows.push(["memory: resident at the end", `${Math.round(process.memoryUsage().rss / 2 ** 20)} MiB`]);
  await engine.close();
}

const folder = mkdtempSync(join(process.argv[2] ?? tmpdir(), "althing-bench-"));
try {
  await disk(join(folder, "disk"));
  await network();
  await lmdb(join(folder, "lmdb"));
  const width = Math.max(...rows.map(([what]) => what.length));
  for (const [what, shown] of rows) process.stdout.write(`${what.padEnd(width)}  ${shown}\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
