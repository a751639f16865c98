/**
 * A thread that writes one LMDB environment at a time. A transaction here blocks nobody: the node's event loop packs a batch, and
 * this thread does the tree work and the sync. The package's own asynchronous batches cost the event loop about two
 * microseconds a put, and its asynchronous transactions let other reads of the loop see uncommitted data.
 */
import { statfsSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import { assert } from "../base/assert.ts";
import { compareBytes } from "../base/bytes.ts";
import { AlthingError } from "../base/errors.ts";
import { unpackBatch } from "./lmdb-batch.ts";
import { lmdbError, lmdbWriteError } from "./lmdb-error.ts";
import { type LmdbStore, openLmdb } from "./lmdb-native.ts";
import { sealStored } from "./lmdb-value.ts";
import { verifyLmdb } from "./lmdb-verify.ts";
import type { WriterAnswer, WriterRequest } from "./lmdb-writer.ts";

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

interface Opened {
  readonly folder: string;
  readonly store: LmdbStore;
}

let opened: Opened | undefined;

async function open(folder: string, verifyBytesMax: number): Promise<void> {
  assert(opened === undefined, "a writer thread has one environment at a time");
  let store: LmdbStore;
  try {
    store = await openLmdb(folder);
  } catch (error) {
    throw lmdbError(`open ${folder}`, error);
  }
  try {
    verifyLmdb(store, folder, verifyBytesMax);
  } catch (error) {
    await store.close();
    throw error;
  }
  opened = { folder, store };
}

async function carryOut(request: WriterRequest): Promise<void> {
  if (request.type === "open") {
    await open(request.folder, request.verifyBytesMax);
    return;
  }
  assert(opened !== undefined, "nothing is open");
  const { folder, store } = opened;
  switch (request.type) {
    case "write":
      try {
        writeBatch(store, request.batch);
      } catch (error) {
        throw lmdbWriteError(`write to ${folder}`, error, freeBytes(folder));
      }
      break;
    case "close":
      opened = undefined;
      await store.close();
      break;
  }
}

const port = parentPort;
assert(port !== null, "this file runs as a worker thread");
port.on("message", (request: WriterRequest) => {
  const answer = (message: WriterAnswer): void => port.postMessage(message);
  carryOut(request).then(
    () => answer({ type: "done" }),
    (error: unknown) => {
      if (!(error instanceof AlthingError)) throw error; // a bug: it ends the thread, and the engine with it
      answer({ type: "failed", code: error.code, message: error.message, details: error.details });
    },
  );
});
