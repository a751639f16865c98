/**
 * The writer thread of one LMDB environment. A transaction here blocks nobody: the node's event loop packs a batch, and
 * this thread does the tree work and the sync. The package's own asynchronous batches cost the event loop about two
 * microseconds a put, and its asynchronous transactions let other reads of the loop see uncommitted data.
 */
import { statfsSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { assert } from "../base/assert.ts";
import { compareBytes } from "../base/bytes.ts";
import type { AlthingError } from "../base/errors.ts";
import { unpackBatch } from "./lmdb-batch.ts";
import { lmdbError, lmdbWriteError } from "./lmdb-error.ts";
import { type LmdbStore, openLmdb } from "./lmdb-native.ts";
import { sealStored } from "./lmdb-value.ts";
import { verifyLmdb } from "./lmdb-verify.ts";
import type { WriterAnswer, WriterData, WriterRequest } from "./lmdb-writer.ts";

/** Keys of a range that are collected before they are removed: a cursor must not stand on what is being deleted. */
const RANGE_CHUNK = 1_000;

function writeBatch(store: LmdbStore, batch: Uint8Array<ArrayBuffer>): void {
  const bytes = Buffer.from(batch.buffer, batch.byteOffset, batch.length);
  store.transactionSync(() => {
    for (const write of unpackBatch(bytes)) {
      switch (write.type) {
        case "put":
          sealStored(write.key, write.stored);
          store.putSync(write.key, write.stored);
          break;
        case "delete":
          store.removeSync(write.key);
          break;
        case "delete-range":
          deleteRange(store, write.from, write.to);
          break;
      }
    }
  });
}

function deleteRange(store: LmdbStore, from: Uint8Array, to: Uint8Array): void {
  if (compareBytes(from, to) >= 0) return; // LMDB would take an empty end for none
  for (let start = from; ; ) {
    const keys = [...store.getKeys({ start, end: to, limit: RANGE_CHUNK })];
    for (const key of keys) store.removeSync(key);
    const last = keys.at(-1);
    if (last === undefined || keys.length < RANGE_CHUNK) return;
    start = last; // it is gone: the next key is after it
  }
}

function freeBytes(folder: string): number {
  const stats = statfsSync(folder);
  return stats.bavail * stats.bsize;
}

async function main(): Promise<void> {
  const port = parentPort;
  assert(port !== null, "this file runs as a worker thread");
  const { folder, verifyBytesMax } = workerData as WriterData; // set by lmdb-engine.ts, of the same build
  const answer = (message: WriterAnswer): void => port.postMessage(message);
  const fail = (error: AlthingError): void =>
    answer({ type: "failed", code: error.code, message: error.message, details: error.details });

  let store: LmdbStore;
  try {
    store = await openLmdb(folder);
  } catch (error) {
    fail(lmdbError(`open ${folder}`, error));
    return;
  }
  try {
    verifyLmdb(store, folder, verifyBytesMax);
  } catch (error) {
    await store.close();
    fail(lmdbError(`verify ${folder}`, error));
    return;
  }
  answer({ type: "opened" });

  port.on("message", (request: WriterRequest) => {
    switch (request.type) {
      case "write":
        try {
          writeBatch(store, request.batch);
          answer({ type: "written" });
        } catch (error) {
          fail(lmdbWriteError(`write to ${folder}`, error, freeBytes(folder)));
        }
        break;
      case "close":
        void store.close().then(() => {
          answer({ type: "closed" });
          port.close();
        });
        break;
    }
  });
}

await main();
