/**
 * What reads make of the ways in which the binding tells of a tree that was damaged after it was opened. They were seen on
 * real files with flipped bits in page headers; there the next bit ends the process, so here the binding is played.
 */
import { expect, test } from "vitest";
import { AlthingError } from "../base/errors.ts";
import type { LmdbStore, LmdbTransaction } from "./lmdb-native.ts";
import { readRange, readValue } from "./lmdb-read.ts";

const transaction: LmdbTransaction = { use: () => undefined, done: () => undefined };
const key = Buffer.from("key");

function failing(error: Error): LmdbStore {
  const fail = (): never => {
    throw error;
  };
  return {
    lastSize: 0,
    getBinaryFast: fail,
    getRange: () => ({ [Symbol.iterator]: () => ({ next: fail }) }),
    getKeys: fail,
    putSync: fail,
    removeSync: fail,
    transactionSync: fail,
    resetReadTxn: fail,
    useReadTransaction: fail,
    getStats: fail,
    close: fail,
  };
}

const lmdb = (code: number, message: string): Error => Object.assign(new Error(message), { code });

const failures: readonly (readonly [string, Error, string])[] = [
  ["a page that is missing", lmdb(-30797, "MDB_PAGE_NOTFOUND"), "DATA_CORRUPT"],
  ["a page of the wrong kind", lmdb(-30796, "MDB_CORRUPTED"), "DATA_CORRUPT"],
  ["a transaction that met one before, unheard", lmdb(-30782, "MDB_BAD_TXN: Transaction must abort"), "DATA_CORRUPT"],
  ["bytes that the binding cannot decode", new RangeError("Invalid typed array length: -4"), "DATA_CORRUPT"],
  ["an error of the disk", lmdb(5, "Input/output error"), "DISK_FAILED"],
  ["too many readers", lmdb(-30790, "MDB_READERS_FULL"), "DISK_FAILED"],
];

test.each(failures)("readValue() and readRange() tell damage from other failures: %s", (_, error, code) => {
  const store = failing(error);
  for (const read of [
    () => readValue(store, transaction, key, "folder"),
    () => [...readRange(store, transaction, { from: key, to: undefined }, "folder", () => true)],
  ]) {
    let failure: unknown;
    try {
      read();
    } catch (caught) {
      failure = caught;
    }
    expect(failure).toMatchObject({ code, cause: error, message: expect.stringMatching(/^Cannot read from folder: /) });
    expect(failure).toBeInstanceOf(AlthingError);
  }
});
