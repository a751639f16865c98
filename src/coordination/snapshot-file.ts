/**
 * A backup as a file: the group's snapshot, zeros up to a multiple of 512, and the SHA-256 of all that. The length and the
 * trailer are those of etcd's snapshot files, because etcdctl checks both before it keeps what it downloaded. The content is
 * ours and not a bbolt file: etcd's own tools cannot open it, and etcd cannot start from it.
 */
import { equalBytes } from "../base/bytes.ts";
import { AlthingError } from "../base/errors.ts";
import { Sha256 } from "./sha256.ts";

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
 * The snapshot inside a file's pieces, padding included: what `Store.restore` reads. Fails with DATA_CORRUPT at the end if
 * the digest does not match; so read it to the end, which a restore by itself does not.
 */
export async function* snapshotContent(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
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
}

/** Reads a whole file for its digest alone. Fails with DATA_CORRUPT. */
export async function verifySnapshotFile(pieces: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of snapshotContent(pieces));
}
