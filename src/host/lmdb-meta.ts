/**
 * The two meta pages of an LMDB file (mdb.c, `MDB_meta`), looked at before LMDB sees them: the binding ends the process by a
 * signal when LMDB refuses to open an environment, so what can make it refuse is settled here.
 */
import { accessSync, closeSync, constants, fstatSync, openSync, readSync, rmSync, statfsSync } from "node:fs";
import { endianness } from "node:os";
import { join } from "node:path";
import { AlthingError } from "../base/errors.ts";
import { diskError, errnoOf } from "./disk-error.ts";

const META_PAGE_FLAG = 0x08;
const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
/** MDB_INTEGERKEY; the environments we make have no other persistent flag. */
const FREE_TREE_FLAGS = 0x08;
const NO_PAGE = 2n ** 64n - 1n;
const PAGE_BYTES_LEAST = 512;
const PAGE_BYTES_MOST = 65_536;
const META_BYTES = 160;
const DEPTH_MOST = 32;
/** What a new environment needs for its first pages, with room to spare. */
const NEW_BYTES = 1024 * 1024;
/** User space on the common 64-bit machines. */
const ADDRESS_BYTES = 2n ** 47n;

/**
 * Makes `folder` fit to be opened by LMDB, which nobody else may have open. Returns false if the file is shorter than its
 * tree may need: then only opening it shows. Throws DATA_CORRUPT, DISK_FULL or DISK_FAILED.
 */
export function prepareLmdb(folder: string): boolean {
  const path = join(folder, "data.mdb");
  try {
    // It knows the readers of a former life at best, and stops the opening at worst, if another build wrote it.
    rmSync(join(folder, "lock.mdb"), { force: true });
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw diskError(`open ${folder}`, error);
  }
  let fd: number;
  try {
    fd = openSync(path, "r+");
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw diskError(`open ${path}`, error);
    demandRoom(folder);
    return true;
  }
  try {
    const fileBytes = fstatSync(fd).size;
    if (fileBytes === 0) {
      demandRoom(folder);
      return true;
    }
    const first = readMeta(fd, 0, path);
    const second = readMeta(fd, first.pageBytes, path);
    if (first.pageBytes !== second.pageBytes) throw damaged(path, "its two meta pages disagree");
    const lastPage = first.transaction > second.transaction ? first.lastPage : second.lastPage;
    return lastPage < BigInt(Math.floor(fileBytes / first.pageBytes));
  } finally {
    closeSync(fd);
  }
}

interface Meta {
  readonly pageBytes: number;
  readonly lastPage: bigint;
  readonly transaction: bigint;
}

/** The offsets are those of a 64-bit machine, in its byte order. */
function readMeta(fd: number, at: number, path: string): Meta {
  const page = new DataView(new ArrayBuffer(META_BYTES));
  if (readSync(fd, page, 0, META_BYTES, at) !== META_BYTES) throw damaged(path, "it ends within its meta pages");
  const little = endianness() === "LE";
  const u16 = (offset: number): number => page.getUint16(offset, little);
  const u32 = (offset: number): number => page.getUint32(offset, little);
  const u64 = (offset: number): bigint => page.getBigUint64(offset, little);

  if ((u16(18) & META_PAGE_FLAG) === 0 || u32(24) !== MAGIC) throw damaged(path, "it is not an LMDB file");
  if ((u32(28) & 0xffff) !== DATA_VERSION) throw damaged(path, "it has another version of the format");
  const pageBytes = u32(48);
  if (pageBytes < PAGE_BYTES_LEAST || pageBytes > PAGE_BYTES_MOST || (pageBytes & (pageBytes - 1)) !== 0) {
    throw damaged(path, `its pages cannot have ${pageBytes} bytes`);
  }
  const mapBytes = u64(40);
  const lastPage = u64(144);
  if (mapBytes > ADDRESS_BYTES || lastPage * BigInt(pageBytes) > ADDRESS_BYTES) {
    throw damaged(path, "a meta page is beyond all measure");
  }
  if (u16(52) !== FREE_TREE_FLAGS || u16(100) !== 0) throw damaged(path, "a meta page has unknown flags");
  for (const tree of [48, 96]) {
    const root = u64(tree + 40);
    if ((root !== NO_PAGE && root > lastPage) || u16(tree + 6) > DEPTH_MOST) {
      throw damaged(path, "a meta page refers to what is not there");
    }
  }
  return { pageBytes, lastPage, transaction: u64(152) };
}

function damaged(path: string, why: string): AlthingError {
  return new AlthingError("DATA_CORRUPT", `Cannot open ${path}: ${why}`, { details: { path } });
}

function demandRoom(folder: string): void {
  const stats = statfsSync(folder);
  if (stats.bavail * stats.bsize >= NEW_BYTES) return;
  throw new AlthingError("DISK_FULL", `Cannot open ${folder}: the disk has no room for a new file`, {
    details: { folder },
  });
}
