/**
 * A backup as a file: the group's snapshot, zeros up to a multiple of 512, and the SHA-256 of all that. The length and the
 * trailer are those of etcd's snapshot files, because etcdctl checks both before it keeps what it downloaded. The content is
 * ours and not a bbolt file: etcd's own tools cannot open it, and etcd cannot start from it.
 */
import { assert } from "../base/assert.ts";
import { equalBytes } from "../base/bytes.ts";
import { AlthingError } from "../base/errors.ts";
import type { Kernels } from "../ports/kernels.ts";
import { Sha256 } from "./sha256.ts";
import { beginsLikeSnapshot, decodeSnapshot } from "./store-snapshot.ts";

const PAGE = 512;
const DIGEST_BYTES = 32;

/** The pieces of the file. */
export async function* snapshotFile(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = new Sha256();
  let length = 0;
  for await (const chunk of chunks) {
    hash.update(chunk);
    length += chunk.length;
    yield chunk;
  }
  const padding = new Uint8Array((PAGE - (length % PAGE)) % PAGE);
  hash.update(padding);
  const tail = new Uint8Array(padding.length + DIGEST_BYTES);
  tail.set(hash.digest(), padding.length);
  yield tail;
}

/**
 * The snapshot inside a file's pieces, padding included; in the end the digest. Fails with DATA_CORRUPT at the end if the
 * digest does not match.
 */
export async function* snapshotContent(
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, Uint8Array, undefined> {
  const hash = new Sha256();
  let held: Uint8Array = new Uint8Array(0); // always the last 32 bytes, once there are so many
  let length = 0;
  for await (const piece of pieces) {
    const joined = new Uint8Array(held.length + piece.length);
    joined.set(held);
    joined.set(piece, held.length);
    const cut = Math.max(0, joined.length - DIGEST_BYTES);
    held = joined.subarray(cut);
    if (cut === 0) continue;
    const content = joined.subarray(0, cut);
    hash.update(content);
    length += cut;
    yield content;
  }
  if (length === 0 || length % PAGE !== 0 || !equalBytes(hash.digest(), held)) {
    throw new AlthingError("DATA_CORRUPT", "Cannot read the snapshot file: its checksum does not match");
  }
  return held;
}

/**
 * Gives the file's content to `read`, which may stop before the padding, and then reads the rest for the digest: what
 * `read` returns counts only because this resolves. Fails with the errors of `read`, with DATA_FOREIGN for a file of etcd's,
 * and with DATA_CORRUPT for a file that is none of ours or fails its checksum.
 */
export async function readSnapshotFile<T>(
  pieces: AsyncIterable<Uint8Array>,
  read: (content: AsyncIterable<Uint8Array>) => Promise<T>,
): Promise<{ readonly value: T; readonly bytes: number; readonly digest: Uint8Array }> {
  const content = snapshotContent(identified(pieces));
  let bytes = 0;
  let digest: Uint8Array | undefined;
  const next = async (): Promise<IteratorResult<Uint8Array, undefined>> => {
    if (digest !== undefined) return { done: true, value: undefined };
    const { done, value } = await content.next();
    bytes += value.length; // the digest too: with it the count is the file's
    if (done !== true) return { done: false, value };
    digest = value;
    return { done: true, value: undefined };
  };
  try {
    const value = await read({ [Symbol.asyncIterator]: () => ({ next }) }); // without `return`: its end is not ours
    while ((await next()).done !== true);
    assert(digest !== undefined, "a content that ended has its digest");
    return { value, bytes, digest };
  } finally {
    await content.return(new Uint8Array(0));
  }
}

/** What a snapshot file holds. */
export interface SnapshotSummary {
  readonly revision: number;
  /** Reads below it are refused; -1: nothing was compacted. */
  readonly compactRevision: number;
  /** Keys that exist at the revision. */
  readonly keys: number;
  /** Changes that are kept, deletions included. */
  readonly changes: number;
  readonly leases: number;
  /** Length of the file. */
  readonly bytes: number;
  /** SHA-256, the file's trailer. */
  readonly digest: Uint8Array;
}

/** Reads a whole file and checks all that can be checked. Fails as `readSnapshotFile` does. */
export async function describeSnapshotFile(
  pieces: AsyncIterable<Uint8Array>,
  kernels: Kernels,
): Promise<SnapshotSummary> {
  const living = new Set<string>();
  let changes = 0;
  const found = { revision: 0, compactRevision: 0, leases: 0 };
  const { bytes, digest } = await readSnapshotFile(pieces, (content) =>
    decodeSnapshot(
      content,
      {
        begin: async ({ revision, compactRevision }, leases) => {
          Object.assign(found, { revision, compactRevision, leases: leases.length });
        },
        record: ({ name, tombstone }) => {
          changes++;
          if (tombstone) living.delete(name);
          else living.add(name);
          return undefined;
        },
      },
      kernels,
    ),
  );
  return { ...found, keys: living.size, changes, bytes, digest };
}

/** Where a bbolt file has its magic number, and which: etcd's snapshots are such files. */
const BBOLT_MAGIC_AT = 16;
const BBOLT_MAGIC = 0xed0c_daed;

/** The same bytes, once the first of them were seen to be ours. */
async function* identified(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  let head: Uint8Array | undefined = new Uint8Array(0);
  for await (const piece of pieces) {
    if (head === undefined) {
      yield piece;
      continue;
    }
    const joined: Uint8Array = new Uint8Array(head.length + piece.length);
    joined.set(head);
    joined.set(piece, head.length);
    head = joined;
    if (head.length < BBOLT_MAGIC_AT + 4) continue;
    identify(head);
    yield head;
    head = undefined;
  }
  if (head !== undefined) identify(head); // shorter than any snapshot
}

function identify(head: Uint8Array): void {
  if (beginsLikeSnapshot(head) && head.length >= BBOLT_MAGIC_AT + 4) return;
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (head.length >= BBOLT_MAGIC_AT + 4 && view.getUint32(BBOLT_MAGIC_AT, true) === BBOLT_MAGIC) {
    throw new AlthingError("DATA_FOREIGN", "Cannot read the snapshot file: it is etcd's own (bbolt), not Althing's");
  }
  throw new AlthingError("DATA_CORRUPT", "Cannot read the snapshot file: it is no snapshot of Althing");
}
