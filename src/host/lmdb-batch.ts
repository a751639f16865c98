/**
 * A batch of engine writes as one buffer that moves to the writer thread without a copy. Each write is
 * u8 kind, u16 first length, u32 second length (little-endian), then the two byte strings:
 *   put           key, then room for the value's header, value
 *   delete        key, nothing
 *   delete-range  from, to
 * Both ends are the same build, so there is no version.
 */
import { assert } from "../base/assert.ts";
import type { EngineWrite } from "../storage/engine/engine.ts";
import { VALUE_HEADER_BYTES } from "./lmdb-value.ts";

const HEAD_BYTES = 7;
const PUT = 0;
const DELETE = 1;
const DELETE_RANGE = 2;

/** The port's limit; LMDB's own, with pages of 4 KiB, is 1,978. */
export const KEY_BYTES_MAX = 1_900;

export type StoredWrite =
  /** `stored` has room for its header at the front. */
  | { readonly type: "put"; readonly key: Buffer; readonly stored: Buffer }
  | { readonly type: "delete"; readonly key: Buffer }
  | { readonly type: "delete-range"; readonly from: Buffer; readonly to: Buffer };

export function packBatch(writes: readonly EngineWrite[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const write of writes) length += HEAD_BYTES + firstOf(write).length + secondBytes(write);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const write of writes) {
    const first = firstOf(write);
    bytes[at] = write.type === "put" ? PUT : write.type === "delete" ? DELETE : DELETE_RANGE;
    view.setUint16(at + 1, first.length, true);
    view.setUint32(at + 3, secondBytes(write), true);
    bytes.set(first, at + HEAD_BYTES);
    at += HEAD_BYTES + first.length;
    switch (write.type) {
      case "put":
        bytes.set(write.value, at + VALUE_HEADER_BYTES);
        at += VALUE_HEADER_BYTES + write.value.length;
        break;
      case "delete":
        break;
      case "delete-range":
        bytes.set(write.to, at);
        at += write.to.length;
        break;
    }
  }
  return bytes;
}

/** The writes of a packed batch, in order, as views of it. */
export function* unpackBatch(bytes: Buffer): Generator<StoredWrite> {
  for (let at = 0; at < bytes.length; ) {
    const kind = bytes[at];
    const keyEnd = at + HEAD_BYTES + bytes.readUInt16LE(at + 1);
    const end = keyEnd + bytes.readUInt32LE(at + 3);
    const first = bytes.subarray(at + HEAD_BYTES, keyEnd);
    const second = bytes.subarray(keyEnd, end);
    if (kind === PUT) yield { type: "put", key: first, stored: second };
    else if (kind === DELETE) yield { type: "delete", key: first };
    else {
      assert(kind === DELETE_RANGE, "an unknown kind of write", { kind });
      yield { type: "delete-range", from: first, to: second };
    }
    at = end;
  }
}

function firstOf(write: EngineWrite): Uint8Array {
  if (write.type === "delete-range") {
    assert(
      write.from.length <= KEY_BYTES_MAX && write.to.length <= KEY_BYTES_MAX,
      "a bound is over the limit of a key",
    );
    return write.from;
  }
  assert(write.key.length >= 1 && write.key.length <= KEY_BYTES_MAX, "not a key", { length: write.key.length });
  return write.key;
}

function secondBytes(write: EngineWrite): number {
  switch (write.type) {
    case "put":
      return VALUE_HEADER_BYTES + write.value.length;
    case "delete":
      return 0;
    case "delete-range":
      return write.to.length;
  }
}
