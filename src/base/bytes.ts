/**
 * Reading and writing of binary records: little-endian fixed integers, LEB128 varints up to 2^53, length-prefixed bytes.
 * The reader never reads past its end: it throws `BytesError`, which every decoder of outside input turns into its
 * protocol's own error.
 */
import { assert } from "./assert.ts";

/** The input ends too early or holds a value out of range. */
export class BytesError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "BytesError";
  }
}

export const EMPTY_BYTES: Uint8Array = new Uint8Array(0);

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

export function fromUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** Order of two byte strings as unsigned numbers, shorter first on a common prefix: memcmp. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = a.length < b.length ? a.length : b.length;
  for (let i = 0; i < length; i++) {
    const difference = (a[i] as number) - (b[i] as number); // in range by the loop bound
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && compareBytes(a, b) === 0;
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Size of the varint of `value`, in bytes. */
export function varintSize(value: number): number {
  let size = 1;
  while (value >= 0x80) {
    value = Math.floor(value / 0x80);
    size++;
  }
  return size;
}

/** Appends to a buffer that grows by doubling. `finish` hands out the bytes; the writer must not be used afterwards. */
export class ByteWriter {
  #bytes: Uint8Array;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    this.#room(1);
    this.#bytes[this.#length++] = value;
    return this;
  }

  u16(value: number): this {
    this.#room(2);
    this.#bytes[this.#length++] = value;
    this.#bytes[this.#length++] = value >>> 8;
    return this;
  }

  u32(value: number): this {
    this.#room(4);
    putU32(this.#bytes, this.#length, value);
    this.#length += 4;
    return this;
  }

  /** A non-negative safe integer in eight bytes. */
  u53(value: number): this {
    assert(value >= 0 && Number.isSafeInteger(value), "u53 out of range", { value });
    this.#room(8);
    putU32(this.#bytes, this.#length, value % 0x1_0000_0000);
    putU32(this.#bytes, this.#length + 4, Math.floor(value / 0x1_0000_0000));
    this.#length += 8;
    return this;
  }

  /** A 64-bit integer, signed or unsigned, modulo 2^64. */
  u64(value: bigint): this {
    this.#room(8);
    new DataView(this.#bytes.buffer).setBigUint64(this.#length, BigInt.asUintN(64, value), true);
    this.#length += 8;
    return this;
  }

  f64(value: number): this {
    this.#room(8);
    new DataView(this.#bytes.buffer).setFloat64(this.#length, value, true);
    this.#length += 8;
    return this;
  }

  varint(value: number): this {
    assert(value >= 0 && Number.isSafeInteger(value), "varint out of range", { value });
    this.#room(8);
    while (value >= 0x80) {
      this.#bytes[this.#length++] = (value % 0x80) | 0x80;
      value = Math.floor(value / 0x80);
    }
    this.#bytes[this.#length++] = value;
    return this;
  }

  /** Bytes as they are, without a length. */
  raw(bytes: Uint8Array): this {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  /** A varint length, then the bytes. */
  bytes(bytes: Uint8Array): this {
    return this.varint(bytes.length).raw(bytes);
  }

  text(text: string): this {
    return this.bytes(encoder.encode(text));
  }

  /** Overwrites four bytes that were written before: for lengths and checksums known only later. */
  patchU32(at: number, value: number): this {
    assert(at + 4 <= this.#length, "patch beyond the end", { at });
    putU32(this.#bytes, at, value);
    return this;
  }

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #room(size: number): void {
    const needed = this.#length + size;
    if (needed <= this.#bytes.length) return;
    const bytes = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    bytes.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = bytes;
  }
}

/** By hand: a DataView for each short message costs more than all that is written through it. */
function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

/** The four bytes at `at`, which the caller has seen to be there. */
function getU32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}

export class ByteReader {
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get offset(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.#bytes[this.#advance(1)] as number; // `#advance` has seen that it is there; so below
  }

  u16(): number {
    const at = this.#advance(2);
    return (this.#bytes[at] as number) | ((this.#bytes[at + 1] as number) << 8);
  }

  u32(): number {
    return getU32(this.#bytes, this.#advance(4));
  }

  u53(): number {
    const at = this.#advance(8);
    const high = getU32(this.#bytes, at + 4);
    if (high >= 0x20_0000) throw new BytesError("integer beyond 2^53");
    return high * 0x1_0000_0000 + getU32(this.#bytes, at);
  }

  u64(): bigint {
    return this.#view().getBigUint64(this.#advance(8), true);
  }

  f64(): number {
    return this.#view().getFloat64(this.#advance(8), true);
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) throw new BytesError("varint beyond 2^53");
        return value;
      }
      scale *= 0x80;
    }
    throw new BytesError("varint too long");
  }

  /** A view of the next `length` bytes; it shares the reader's memory. */
  raw(length: number): Uint8Array {
    const at = this.#advance(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** A view of length-prefixed bytes; it shares the reader's memory. */
  bytes(): Uint8Array {
    return this.raw(this.varint());
  }

  text(): string {
    return decoder.decode(this.bytes());
  }

  /** Fails unless everything was read: trailing bytes mean another format. */
  end(): void {
    if (this.remaining !== 0) throw new BytesError(`${this.remaining} trailing bytes`);
  }

  #view(): DataView {
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength);
  }

  #advance(size: number): number {
    const at = this.#at;
    if (size > this.#bytes.length - at) throw new BytesError(`wanted ${size} bytes, ${this.#bytes.length - at} left`);
    this.#at = at + size;
    return at;
  }
}
