/**
 * Protocol Buffers, proto3, declared in TypeScript: `message({ key: field(1, "bytes"), … })` is the schema, the codec and,
 * through `Infer`, the type. Source: the public encoding guide (protobuf.dev/programming-guides/encoding).
 *
 * - A scalar that has its default is not written; an absent field is read as its default.
 * - Unknown fields are skipped, groups included. Of a repeated singular scalar the last counts, nested messages merge.
 * - Repeated scalars are read packed or not, and written packed.
 * - Bytes are views of the input: copy what outlives it.
 * - A known field with a foreign wire type, a field number 0, a length beyond the end, or nesting deeper than
 *   `NESTING_MAX` is a `BytesError`.
 *
 * Messages are written back to front: when the length of a nested message is due, it is known. Results are cut from
 * slabs, so that a small message costs no buffer of its own; a result that is kept for long keeps its slab alive.
 *
 * Left out, because no protocol here uses them: floats, fixed-width integers, zigzag integers, maps, extensions.
 */
import { assert } from "./assert.ts";
import { BytesError, EMPTY_BYTES } from "./bytes.ts";

/** Messages within messages, and groups within groups. protobuf's own implementations stop at 100. */
export const NESTING_MAX = 100;

/**
 * The scalars and their types here. `int53` is an int64 on the wire and a number here: for counts and revisions, which stay
 * far below 2^53. What a peer sends beyond is read as ±(2^53 − 1): it compares the same with anything that exists.
 * `uint53` is the same for uint64. Ids that use all bits are `int64` and `uint64`, as bigint.
 */
export interface ScalarTypes {
  bytes: Uint8Array;
  string: string;
  bool: boolean;
  int32: number;
  uint32: number;
  int53: number;
  uint53: number;
  int64: bigint;
  uint64: bigint;
}
export type ScalarKind = keyof ScalarTypes;

/** What a field is, for those who map messages to another notation, as the JSON gateway does. */
export interface FieldInfo {
  readonly number: number;
  /** The name in the .proto file, if it is not the snake_case of the name here. */
  readonly protoName: string | undefined;
  readonly kind: ScalarKind | "enum" | "message" | "oneof";
  readonly repeated: boolean;
  /** Of an enum: its names and numbers. */
  readonly values?: Readonly<Record<string, number>>;
  /** Of a message. */
  readonly message?: () => Message<unknown, never>;
  /** Of a oneof: its members by name. */
  readonly members?: Readonly<Record<string, FieldInfo>>;
}

/** How one field is read and written. `In` is what may be written; what is left out there is the default. */
export interface Field<Out, In = Out> {
  readonly info: FieldInfo;
  readonly initial: Out;
  /** Writes tag and value in front of what is written; nothing for a default. */
  readonly write: (out: BackWriter, value: In | undefined) => void;
  /** Reads the value behind a tag; `before` is what the message holds so far. */
  readonly read: (input: WireReader, wire: number, before: Out, number: number) => Out;
  /** Fills what is left out in nested messages with defaults. */
  readonly complete: (value: In) => Out;
  /** All field numbers that belong to it: one, or those of a oneof. */
  readonly numbers: readonly number[];
}

export interface Message<Out, In = Out> {
  /** The bytes of `value`; with `headroom`, that many zero bytes before them, for a frame's header. */
  encode(value: In, headroom?: number): Uint8Array;
  /** Throws `BytesError` on malformed input. */
  decode(bytes: Uint8Array): Out;
  /** A whole message from its given parts; the rest are defaults. */
  make(parts?: In): Out;
  readonly fields: Readonly<Record<string, FieldInfo>>;
  /** For nesting: the body without length, in front of what is written. */
  readonly write: (out: BackWriter, value: In) => void;
  /** For nesting: fields up to `end` into `into`, or into a new message. */
  readonly read: (input: WireReader, end: number, into: Out | undefined) => Out;
}

/** The type of a message: `type PutRequest = Infer<typeof PutRequest>`. */
export type Infer<M> = M extends Message<infer Out, infer _In> ? Out : never;
/** What may be given to `encode` and `make`: every field may be left out. */
export type InferInput<M> = M extends Message<infer _Out, infer In> ? In : never;

// oxlint-disable-next-line typescript/no-explicit-any -- a record of fields of any types; `MessageOut` infers each exactly
type AnyField = Field<any, any>;
type OutOf<F> = F extends Field<infer Out, infer _In> ? Out : never;
type InOf<F> = F extends Field<infer _Out, infer In> ? In : never;
type Simplify<T> = { readonly [K in keyof T]: T[K] };
export type MessageOut<Fields> = Simplify<{ readonly [K in keyof Fields]: OutOf<Fields[K]> }>;
export type MessageIn<Fields> = Simplify<{ readonly [K in keyof Fields]?: InOf<Fields[K]> | undefined }>;
type MemberOut<Members> = {
  [K in keyof Members]: { readonly type: K; readonly value: Exclude<OutOf<Members[K]>, undefined> }; // chosen: not absent
}[keyof Members];
type MemberIn<Members> = {
  [K in keyof Members]: { readonly type: K; readonly value: InOf<Members[K]> };
}[keyof Members];

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const GROUP = 3;
const GROUP_END = 4;
const FIXED32 = 5;
const FIELD_NUMBER_MAX = 0x1fff_ffff;

const SLAB_BYTES = 32 * 1024;
const TWO_28 = 0x1000_0000;
const TWO_56 = TWO_28 * TWO_28;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Writes towards lower addresses. One instance serves all messages: encoding is synchronous and does not interleave. */
export class BackWriter {
  #bytes: Uint8Array = new Uint8Array(SLAB_BYTES);
  #at = SLAB_BYTES;
  /** Where the message in work ends. */
  #end = SLAB_BYTES;

  /** Count of bytes written of the message in work. */
  get length(): number {
    return this.#end - this.#at;
  }

  raw(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#at -= bytes.length;
    this.#bytes.set(bytes, this.#at);
  }

  /** An unsigned integer below 2^32. */
  varint32(value: number): void {
    this.#room(5);
    const bytes = this.#bytes;
    if (value < 0x80) {
      bytes[--this.#at] = value;
      return;
    }
    let at = this.#at - (value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5);
    this.#at = at;
    while (value >= 0x80) {
      bytes[at++] = (value & 0x7f) | 0x80;
      value >>>= 7;
    }
    bytes[at] = value;
  }

  /** A safe integer; negative ones as ten bytes of two's complement. */
  varint53(value: number): void {
    if (value >= 0 && value <= 0xffff_ffff) return this.varint32(value);
    if (value < 0) return this.varint64(BigInt(value));
    this.#room(8);
    let size = 5;
    for (let rest = Math.floor(value / TWO_28 / 128); rest > 0; rest = Math.floor(rest / 128)) size++;
    let at = this.#at - size;
    this.#at = at;
    const bytes = this.#bytes;
    while (value >= 0x80) {
      bytes[at++] = (value % 0x80) | 0x80;
      value = Math.floor(value / 0x80);
    }
    bytes[at] = value;
  }

  /** Any 64-bit integer, modulo 2^64. */
  varint64(value: bigint): void {
    // In two halves as numbers: arithmetic on bigint, byte by byte, would cost ten times as much.
    let low = Number(BigInt.asUintN(32, value));
    let high = Number(BigInt.asUintN(32, value >> 32n));
    if (high === 0) return this.varint32(low);
    this.#room(10);
    const bits = 64 - Math.clz32(high);
    let at = this.#at - Math.ceil(bits / 7);
    this.#at = at;
    const bytes = this.#bytes;
    while (high !== 0 || low >= 0x80) {
      bytes[at++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    bytes[at] = low;
  }

  /** The bytes of the message in work, which ends here; the next one begins in front of it. */
  cut(headroom: number): Uint8Array {
    if (headroom > 0) {
      this.#room(headroom);
      this.#at -= headroom;
      this.#bytes.fill(0, this.#at, this.#at + headroom);
    }
    if (this.#at === this.#end) return EMPTY_BYTES;
    const cut = new Uint8Array(this.#bytes.buffer, this.#at, this.#end - this.#at);
    this.#end = this.#at;
    return cut;
  }

  /** Forgets the message in work: after a failure half-way. */
  reset(): void {
    this.#at = this.#end;
  }

  #room(size: number): void {
    if (this.#at >= size) return;
    const written = this.#end - this.#at;
    const capacity = Math.max(SLAB_BYTES, 2 * (written + size));
    const bytes = new Uint8Array(capacity);
    bytes.set(this.#bytes.subarray(this.#at, this.#end), capacity - written);
    this.#bytes = bytes;
    this.#at = capacity - written;
    this.#end = capacity;
  }
}

/** Reads tags and values; never past the end of the input. */
export class WireReader {
  readonly #bytes: Uint8Array;
  #at: number;
  /** Nested messages and groups entered and not left. */
  depth = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#at = 0;
  }

  get at(): number {
    return this.#at;
  }

  get size(): number {
    return this.#bytes.length;
  }

  /** An integer modulo 2^32; what a varint holds above is read and dropped. */
  varint32(): number {
    const bytes = this.#bytes;
    const first = bytes[this.#at];
    if (first === undefined) throw new BytesError("varint beyond the end");
    if (first < 0x80) {
      this.#at++;
      return first;
    }
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = bytes[this.#at];
      if (byte === undefined) throw new BytesError("varint beyond the end");
      this.#at++;
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw new BytesError("varint too long");
  }

  /** A signed 64-bit integer, held to ±(2^53 − 1). */
  int53(): number {
    const value = this.#halves();
    if (this.#high < 0x80) return Math.min(value + this.#high * TWO_56, Number.MAX_SAFE_INTEGER);
    // Two's complement. Each part is subtracted for itself: the sum of the parts would not fit a double.
    const below = (TWO_28 - 1 - this.#upper) * TWO_28 + (TWO_28 - this.#lower);
    return Math.max((this.#high - 0xff) * TWO_56 - below, -Number.MAX_SAFE_INTEGER);
  }

  /** An unsigned 64-bit integer, held to 2^53 − 1. */
  uint53(): number {
    const value = this.#halves();
    return Math.min(value + this.#high * TWO_56, Number.MAX_SAFE_INTEGER);
  }

  uint64(): bigint {
    const value = this.#halves();
    if (this.#high === 0 && value <= Number.MAX_SAFE_INTEGER) return BigInt(value);
    return (BigInt(this.#high) << 56n) + (BigInt(this.#upper) << 28n) + BigInt(this.#lower);
  }

  int64(): bigint {
    const value = this.uint64();
    return value < 0x8000_0000_0000_0000n ? value : value - 0x1_0000_0000_0000_0000n;
  }

  bool(): boolean {
    const value = this.#halves();
    return value !== 0 || this.#high !== 0;
  }

  /** Reads a length; the offset just behind what it measures. */
  end(limit: number): number {
    const length = this.uint53();
    if (length > limit - this.#at) throw new BytesError(`wanted ${length} bytes, ${limit - this.#at} left`);
    return this.#at + length;
  }

  view(): Uint8Array {
    const end = this.end(this.#bytes.length);
    const at = this.#at;
    this.#at = end;
    return at === end ? EMPTY_BYTES : new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + at, end - at);
  }

  text(): string {
    const bytes = this.view();
    return bytes.length === 0 ? "" : decoder.decode(bytes);
  }

  /** Passes over the value behind a tag. */
  skip(wire: number, number: number, limit: number): void {
    switch (wire) {
      case VARINT:
        this.#halves();
        return;
      case LENGTH:
        this.#at = this.end(limit);
        return;
      case FIXED64:
        return this.#pass(8, limit);
      case FIXED32:
        return this.#pass(4, limit);
      case GROUP:
        return this.#skipGroup(number, limit);
      default:
        throw new BytesError(`wire type ${wire} of field ${number}`);
    }
  }

  #pass(size: number, limit: number): void {
    if (size > limit - this.#at) throw new BytesError(`wanted ${size} bytes, ${limit - this.#at} left`);
    this.#at += size;
  }

  #skipGroup(number: number, limit: number): void {
    if (++this.depth > NESTING_MAX) throw new BytesError(`nested deeper than ${NESTING_MAX}`);
    for (;;) {
      if (this.#at >= limit) throw new BytesError(`group ${number} without end`);
      const tag = this.tag();
      if ((tag & 7) === GROUP_END) {
        if (tag >>> 3 !== number) throw new BytesError(`group ${number} ended as ${tag >>> 3}`);
        this.depth--;
        return;
      }
      this.skip(tag & 7, tag >>> 3, limit);
    }
  }

  tag(): number {
    const tag = this.uint53();
    if (tag > 0xffff_ffff || tag < 8) throw new BytesError(`field tag ${tag}`);
    return tag;
  }

  // A varint in parts, so that no intermediate number passes 2^53: the low 56 bits are returned (exact below 2^53), the
  // high eight stand in #high, and the two 28-bit parts in #lower and #upper.
  #lower = 0;
  #upper = 0;
  #high = 0;
  #halves(): number {
    const bytes = this.#bytes;
    this.#high = 0;
    this.#upper = 0;
    let byte = bytes[this.#at];
    if (byte === undefined) throw new BytesError("varint beyond the end");
    this.#at++;
    if (byte < 0x80) {
      this.#lower = byte;
      return byte;
    }
    let lower = byte & 0x7f;
    let upper = 0;
    for (let i = 1; i < 10; i++) {
      byte = bytes[this.#at];
      if (byte === undefined) throw new BytesError("varint beyond the end");
      this.#at++;
      if (i < 4) lower |= (byte & 0x7f) << (7 * i);
      else if (i < 8) upper |= (byte & 0x7f) << (7 * (i - 4));
      else if (i === 8) this.#high = byte & 0x7f;
      else this.#high |= (byte & 1) << 7;
      if (byte < 0x80) {
        this.#lower = lower;
        this.#upper = upper;
        return lower + upper * TWO_28;
      }
    }
    throw new BytesError("varint too long");
  }
}

interface Scalar<T> {
  readonly wire: number;
  readonly zero: T;
  readonly isZero: (value: T) => boolean;
  readonly write: (out: BackWriter, value: T) => void;
  readonly read: (input: WireReader) => T;
}

function writeBytes(out: BackWriter, value: Uint8Array): void {
  out.raw(value);
  out.varint32(value.length);
}

const int32: Scalar<number> = {
  wire: VARINT,
  zero: 0,
  isZero: (value) => value === 0,
  write: (out, value) => out.varint53(value),
  read: (input) => input.varint32() | 0,
};

const scalars: { readonly [K in ScalarKind]: Scalar<ScalarTypes[K]> } = {
  bytes: {
    wire: LENGTH,
    zero: EMPTY_BYTES,
    isZero: (value) => value.length === 0,
    write: writeBytes,
    read: (input) => input.view(),
  },
  string: {
    wire: LENGTH,
    zero: "",
    isZero: (value) => value === "",
    write: (out, value) => writeBytes(out, encoder.encode(value)),
    read: (input) => input.text(),
  },
  bool: {
    wire: VARINT,
    zero: false,
    isZero: (value) => !value,
    write: (out, value) => out.varint32(value ? 1 : 0),
    read: (input) => input.bool(),
  },
  int32,
  uint32: {
    wire: VARINT,
    zero: 0,
    isZero: (value) => value === 0,
    write: (out, value) => out.varint32(value >>> 0),
    read: (input) => input.varint32(),
  },
  int53: {
    wire: VARINT,
    zero: 0,
    isZero: (value) => value === 0,
    write: (out, value) => out.varint53(safe(value)),
    read: (input) => input.int53(),
  },
  uint53: {
    wire: VARINT,
    zero: 0,
    isZero: (value) => value === 0,
    write: (out, value) => out.varint53(nonNegative(safe(value))),
    read: (input) => input.uint53(),
  },
  int64: {
    wire: VARINT,
    zero: 0n,
    isZero: (value) => value === 0n,
    write: (out, value) => out.varint64(value),
    read: (input) => input.int64(),
  },
  uint64: {
    wire: VARINT,
    zero: 0n,
    isZero: (value) => value === 0n,
    write: (out, value) => out.varint64(value),
    read: (input) => input.uint64(),
  },
};

function safe(value: number): number {
  assert(Number.isSafeInteger(value), "a number field holds a safe integer", { value });
  return value;
}

function nonNegative(value: number): number {
  assert(value >= 0, "an unsigned field holds no negative number", { value });
  return value;
}

function checkNumber(number: number): void {
  assert(Number.isInteger(number) && number >= 1 && number <= FIELD_NUMBER_MAX, "a field number", { number });
}

function wantWire(wire: number, wanted: number, number: number): void {
  if (wire !== wanted) throw new BytesError(`wire type ${wire} of field ${number}, not ${wanted}`);
}

/** A singular scalar. `protoName` where the .proto's name is not the snake_case of ours. */
export function field<K extends ScalarKind>(number: number, kind: K, protoName?: string): Field<ScalarTypes[K]> {
  return single(number, scalars[kind], { number, protoName, kind, repeated: false });
}

/** An enum, as its number; numbers that `values` does not name are kept. */
export function enumeration(
  number: number,
  values: Readonly<Record<string, number>>,
  protoName?: string,
): Field<number> {
  return single(number, int32, { number, protoName, kind: "enum", repeated: false, values });
}

function single<T>(number: number, scalar: Scalar<T>, info: FieldInfo): Field<T> {
  checkNumber(number);
  const tag = number * 8 + scalar.wire;
  const { isZero, write, read, wire: wanted } = scalar;
  return {
    info,
    numbers: [number],
    initial: scalar.zero,
    complete: (value) => value,
    write: (out, value) => {
      if (value === undefined || isZero(value)) return;
      write(out, value);
      out.varint32(tag);
    },
    read: (input, wire, _before, at) => {
      wantWire(wire, wanted, at);
      return read(input);
    },
  };
}

/** A list of scalars. */
export function repeated<K extends ScalarKind>(
  number: number,
  kind: K,
  protoName?: string,
): Field<readonly ScalarTypes[K][]> {
  return list(number, scalars[kind], { number, protoName, kind, repeated: true });
}

/** A list of enum numbers. */
export function repeatedEnumeration(
  number: number,
  values: Readonly<Record<string, number>>,
  protoName?: string,
): Field<readonly number[]> {
  return list(number, int32, { number, protoName, kind: "enum", repeated: true, values });
}

const NONE: readonly never[] = Object.freeze([]);

/** The list so far, to be pushed to: the shared empty one is never written to. */
function growing<T>(before: readonly T[]): T[] {
  return before.length === 0 ? [] : (before as T[]); // a non-empty list was made here, by this very decode
}

function list<T>(number: number, scalar: Scalar<T>, info: FieldInfo): Field<readonly T[]> {
  checkNumber(number);
  const packed = scalar.wire === VARINT;
  const tag = number * 8 + LENGTH;
  return {
    info,
    numbers: [number],
    initial: NONE,
    complete: (values) => values,
    write: (out, values) => {
      if (values === undefined || values.length === 0) return;
      const start = out.length;
      for (let i = values.length - 1; i >= 0; i--) {
        scalar.write(out, values[i] as T); // in range by the loop bound
        if (!packed) out.varint32(tag);
      }
      if (!packed) return;
      out.varint32(out.length - start);
      out.varint32(tag);
    },
    read: (input, wire, before, at) => {
      const values = growing(before);
      if (packed && wire === LENGTH) {
        const bytes = input.view();
        const inner = new WireReader(bytes);
        while (inner.at < bytes.length) values.push(scalar.read(inner));
        return values;
      }
      wantWire(wire, scalar.wire, at);
      values.push(scalar.read(input));
      return values;
    },
  };
}

type Lazy<M> = M | (() => M);

function resolver<Out, In>(of: Lazy<Message<Out, In>>): () => Message<Out, In> {
  return typeof of === "function" ? of : () => of;
}

function readNested<Out, In>(message: Message<Out, In>, input: WireReader, into: Out | undefined): Out {
  if (++input.depth > NESTING_MAX) throw new BytesError(`nested deeper than ${NESTING_MAX}`);
  const value = message.read(input, input.end(input.size), into);
  input.depth--;
  return value;
}

/** A nested message, undefined when absent. A function breaks the circle of messages that contain each other. */
export function nested<Out, In>(
  number: number,
  of: Lazy<Message<Out, In>>,
  protoName?: string,
): Field<Out | undefined, In> {
  checkNumber(number);
  const message = resolver(of);
  const tag = number * 8 + LENGTH;
  return {
    info: { number, protoName, kind: "message", repeated: false, message: message as FieldInfo["message"] & object },
    numbers: [number],
    initial: undefined,
    complete: (value) => message().make(value),
    write: (out, value) => {
      if (value === undefined) return;
      const start = out.length;
      message().write(out, value);
      out.varint32(out.length - start);
      out.varint32(tag);
    },
    read: (input, wire, before, at) => {
      wantWire(wire, LENGTH, at);
      return readNested(message(), input, before);
    },
  };
}

/** A list of nested messages. */
export function repeatedNested<Out, In>(
  number: number,
  of: Lazy<Message<Out, In>>,
  protoName?: string,
): Field<readonly Out[], readonly In[]> {
  checkNumber(number);
  const message = resolver(of);
  const tag = number * 8 + LENGTH;
  return {
    info: { number, protoName, kind: "message", repeated: true, message: message as FieldInfo["message"] & object },
    numbers: [number],
    initial: NONE,
    complete: (values) => values.map((value) => message().make(value)),
    write: (out, values) => {
      if (values === undefined) return;
      const { write } = message();
      for (let i = values.length - 1; i >= 0; i--) {
        const start = out.length;
        write(out, values[i] as In); // in range by the loop bound
        out.varint32(out.length - start);
        out.varint32(tag);
      }
    },
    read: (input, wire, before, at) => {
      wantWire(wire, LENGTH, at);
      const values = growing(before);
      values.push(readNested(message(), input, undefined));
      return values;
    },
  };
}

/** At most one of several fields, as `{ type: its name, value }`. A member is written even when it holds its default. */
export function oneof<Members extends Readonly<Record<string, AnyField>>>(
  members: Members,
): Field<MemberOut<Members> | undefined, MemberIn<Members>> {
  const byNumber = new Map<number, readonly [string, AnyField]>();
  const infos: Record<string, FieldInfo> = {};
  for (const [name, member] of Object.entries(members)) {
    assert(!member.info.repeated && member.info.kind !== "oneof", "a oneof holds single fields", { name });
    byNumber.set(member.info.number, [name, member]);
    infos[name] = member.info;
  }
  type Out = MemberOut<Members> | undefined;
  const memberOf = (name: keyof Members): AnyField => {
    const member = members[name];
    assert(member !== undefined, "a member of the oneof", { name });
    return member;
  };
  return {
    info: { number: 0, protoName: undefined, kind: "oneof", repeated: false, members: infos },
    numbers: [...byNumber.keys()],
    initial: undefined,
    complete: (chosen) => {
      const value: unknown = memberOf(chosen.type).complete(chosen.value);
      return { type: chosen.type, value } as Out;
    },
    write: (out, chosen) => {
      if (chosen === undefined) return;
      const member = memberOf(chosen.type);
      const start = out.length;
      member.write(out, chosen.value ?? member.initial);
      if (out.length > start) return;
      // A default wrote nothing: tag and zero say that it was chosen. Every wire type in use has its zero in one byte.
      out.varint32(0);
      out.varint32(member.info.number * 8 + wireOf(member.info.kind));
    },
    read: (input, wire, before, number) => {
      const [name, member] = byNumber.get(number) as readonly [string, AnyField]; // `numbers` are the keys
      const held = before as { readonly type: string; readonly value: unknown } | undefined;
      const value: unknown = member.read(input, wire, held?.type === name ? held.value : member.initial, number);
      return { type: name, value } as Out;
    },
  };
}

function wireOf(kind: FieldInfo["kind"]): number {
  return kind === "bytes" || kind === "string" || kind === "message" ? LENGTH : VARINT;
}

const shared = new BackWriter();

interface Slot {
  readonly name: string;
  readonly read: AnyField["read"];
}

/** A message of the given fields. */
export function message<Fields extends Readonly<Record<string, AnyField>>>(
  fields: Fields,
): Message<MessageOut<Fields>, MessageIn<Fields>> {
  type Out = MessageOut<Fields>;
  type In = MessageIn<Fields>;
  type Values = Record<string, unknown>; // a message in work: the casts between it and Out, In stay in this function

  const template: Values = {};
  const infos: Record<string, FieldInfo> = {};
  const slots: (Slot | undefined)[] = [];
  const writers: { readonly name: string; readonly number: number; readonly write: AnyField["write"] }[] = [];
  for (const [name, one] of Object.entries(fields)) {
    template[name] = one.initial;
    infos[name] = one.info;
    for (const number of one.numbers) {
      assert(slots[number] === undefined, "a field number stands once in a message", { name, number });
      slots[number] = { name, read: one.read };
    }
    writers.push({ name, number: Math.min(...one.numbers), write: one.write });
  }
  writers.sort((a, b) => b.number - a.number); // written back to front, so that ascending numbers come out

  const write = (out: BackWriter, value: In): void => {
    const values = value as Values;
    for (let i = 0; i < writers.length; i++) {
      const writer = writers[i] as (typeof writers)[number]; // in range by the loop bound
      writer.write(out, values[writer.name]);
    }
  };

  const read = (input: WireReader, end: number, into: Out | undefined): Out => {
    const values = into === undefined ? { ...template } : (into as Values);
    while (input.at < end) {
      const tag = input.tag();
      const slot = slots[tag >>> 3];
      if (slot === undefined) input.skip(tag & 7, tag >>> 3, end);
      else values[slot.name] = slot.read(input, tag & 7, values[slot.name], tag >>> 3);
    }
    if (input.at !== end) throw new BytesError("a field beyond the end of its message");
    return values as Out;
  };

  return {
    fields: infos,
    write,
    read,
    encode: (value, headroom = 0) => {
      try {
        write(shared, value);
        return shared.cut(headroom);
      } catch (error) {
        shared.reset();
        throw error;
      }
    },
    decode: (bytes) => read(new WireReader(bytes), bytes.length, undefined),
    make: (parts) => {
      const values: Values = { ...template };
      for (const [name, value] of Object.entries(parts ?? {})) {
        const one = fields[name];
        assert(one !== undefined, "a field of the message", { name });
        if (value !== undefined) values[name] = one.complete(value);
      }
      return values as Out;
    },
  };
}
