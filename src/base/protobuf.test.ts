// The wire format against protobufjs as the oracle; what protobufjs is lax about is tested by hand.
import * as fc from "fast-check";
import protobuf from "protobufjs";
import { describe, expect, test } from "vitest";
import { BytesError, concatBytes, utf8 } from "./bytes.ts";
import {
  enumeration,
  field,
  type Infer,
  type InferInput,
  type Message,
  message,
  NESTING_MAX,
  nested,
  oneof,
  repeated,
  repeatedEnumeration,
  repeatedNested,
} from "./protobuf.ts";

const Colour = { RED: 0, GREEN: 1, BLUE: 7 } as const;
const Leaf = message({ id: field(1, "int64"), name: field(2, "string") });
const Everything = message({
  data: field(1, "bytes"),
  text: field(2, "string"),
  flag: field(3, "bool"),
  small: field(4, "int32"),
  natural: field(5, "uint32"),
  revision: field(6, "int53"),
  size: field(7, "uint53"),
  lease: field(8, "int64"),
  member: field(9, "uint64"),
  colour: enumeration(10, Colour),
  leaf: nested(11, Leaf),
  leaves: repeatedNested(12, Leaf),
  blobs: repeated(13, "bytes"),
  words: repeated(14, "string"),
  numbers: repeated(15, "int64"),
  colours: repeatedEnumeration(100, Colour),
  choice: oneof({ one: field(20, "bytes"), two: field(21, "int53"), three: nested(22, Leaf), four: field(23, "bool") }),
});
type Everything = Infer<typeof Everything>;

const oracle = protobuf
  .parse(`
  syntax = "proto3";
  enum Colour { RED = 0; GREEN = 1; BLUE = 7; }
  message Leaf { int64 id = 1; string name = 2; }
  message Everything {
    bytes data = 1; string text = 2; bool flag = 3; int32 small = 4; uint32 natural = 5;
    int64 revision = 6; uint64 size = 7; int64 lease = 8; uint64 member = 9; Colour colour = 10;
    Leaf leaf = 11; repeated Leaf leaves = 12; repeated bytes blobs = 13; repeated string words = 14;
    repeated int64 numbers = 15; repeated Colour colours = 100;
    oneof choice { bytes one = 20; int64 two = 21; Leaf three = 22; bool four = 23; }
  }`)
  .root.resolveAll()
  .lookupType("Everything");

interface LongFactory {
  fromString(text: string, unsigned?: boolean): unknown;
}
const Long = protobuf.util.Long as unknown as LongFactory; // its own types live in a package that is not ours
const bytes = fc.uint8Array({ maxLength: 40 });
const signed = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const unsigned = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const safe = fc.maxSafeInteger();
const text = fc.string({ unit: "grapheme", maxLength: 12 });
const leaf = fc.record({ id: signed, name: text });
const value: fc.Arbitrary<Everything> = fc.record({
  data: bytes,
  text,
  flag: fc.boolean(),
  small: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  natural: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  revision: safe,
  size: fc.maxSafeNat(),
  lease: signed,
  member: unsigned,
  colour: fc.constantFrom(0, 1, 7, -3),
  leaf: fc.option(leaf, { nil: undefined }),
  leaves: fc.array(leaf, { maxLength: 3 }),
  blobs: fc.array(bytes, { maxLength: 3 }),
  words: fc.array(text, { maxLength: 3 }),
  numbers: fc.array(signed, { maxLength: 4 }),
  colours: fc.array(fc.constantFrom(0, 1, 7), { maxLength: 4 }),
  choice: fc.option(
    fc.oneof(
      fc.record({ type: fc.constant("one" as const), value: bytes }),
      fc.record({ type: fc.constant("two" as const), value: safe }),
      fc.record({ type: fc.constant("three" as const), value: leaf }),
      fc.record({ type: fc.constant("four" as const), value: fc.boolean() }),
    ),
    { nil: undefined },
  ),
});

const long = (n: bigint | number, isUnsigned = false) => Long.fromString(String(n), isUnsigned);

/** The same value in protobufjs's terms. proto3 leaves defaults out; protobufjs writes whatever is set. */
function forOracle(v: Everything): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  const set = (name: string, isDefault: boolean, x: unknown) => {
    if (!isDefault) out[name] = x;
  };
  set("data", v.data.length === 0, v.data);
  set("text", v.text === "", v.text);
  set("flag", !v.flag, v.flag);
  set("small", v.small === 0, v.small);
  set("natural", v.natural === 0, v.natural);
  set("revision", v.revision === 0, long(v.revision));
  set("size", v.size === 0, long(v.size, true));
  set("lease", v.lease === 0n, long(v.lease));
  set("member", v.member === 0n, long(v.member, true));
  set("colour", v.colour === 0, v.colour);
  const leafOf = (l: { id: bigint; name: string }) => {
    const made: Record<string, unknown> = {};
    if (l.id !== 0n) made["id"] = long(l.id);
    if (l.name !== "") made["name"] = l.name;
    return made;
  };
  if (v.leaf !== undefined) out["leaf"] = leafOf(v.leaf);
  out["leaves"] = v.leaves.map(leafOf);
  out["blobs"] = v.blobs;
  out["words"] = v.words;
  out["numbers"] = v.numbers.map((n) => long(n));
  out["colours"] = v.colours;
  const { choice } = v;
  if (choice?.type === "two") out["two"] = long(choice.value);
  else if (choice?.type === "three") out["three"] = leafOf(choice.value);
  else if (choice !== undefined) out[choice.type] = choice.value;
  return out;
}

function comparable(v: unknown): unknown {
  const plain = (_: string, x: unknown): unknown =>
    typeof x === "bigint" ? `${x}n` : x instanceof Uint8Array ? [...x] : x;
  const parsed: unknown = JSON.parse(JSON.stringify(v, plain));
  return parsed;
}

describe("against protobufjs", () => {
  test("encode() gives bytes that the oracle reads to the same fields", () => {
    fc.assert(
      fc.property(value, (v) => {
        const decoded = oracle.decode(Everything.encode(v));
        const expected = oracle.decode(oracle.encode(forOracle(v)).finish());
        expect(oracle.toObject(decoded, { longs: String, bytes: Array })).toEqual(
          oracle.toObject(expected, { longs: String, bytes: Array }),
        );
      }),
      { numRuns: 300 },
    );
  });

  test("encode() gives the very bytes of the oracle, whose field order is that of the numbers", () => {
    fc.assert(
      fc.property(value, (v) => {
        expect([...Everything.encode(v)]).toEqual([...oracle.encode(forOracle(v)).finish()]);
      }),
      { numRuns: 300 },
    );
  });

  test("decode() reads the oracle's bytes back to the value", () => {
    fc.assert(
      fc.property(value, (v) => {
        expect(comparable(Everything.decode(oracle.encode(forOracle(v)).finish()))).toEqual(comparable(v));
      }),
      { numRuns: 300 },
    );
  });

  test("decode() never fails but with BytesError, and never reads what the oracle refuses", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (input) => {
        try {
          Everything.decode(input);
        } catch (error) {
          expect(error).toBeInstanceOf(BytesError);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test("decode() of a cut message fails or gives a prefix, never more", () => {
    fc.assert(
      fc.property(value, fc.nat(), (v, n) => {
        const whole = Everything.encode(v);
        const cut = whole.slice(0, n % (whole.length + 1));
        try {
          Everything.decode(cut);
        } catch (error) {
          expect(error).toBeInstanceOf(BytesError);
        }
      }),
    );
  });
});

describe("rules of the format", () => {
  const bytesOf = (...parts: number[]) => new Uint8Array(parts);

  test("unknown fields of every wire type are skipped, groups included", () => {
    const unknown = concatBytes([
      bytesOf(0x80 | 0x40, 0x3e, 0x96, 0x01), // field 1000, varint
      bytesOf(0xc1, 0x3e, 1, 2, 3, 4, 5, 6, 7, 8), // 64 bits
      bytesOf(0xc2, 0x3e, 2, 9, 9), // length
      bytesOf(0xc5, 0x3e, 1, 2, 3, 4), // 32 bits
      bytesOf(0xc3, 0x3e, 0x08, 1, 0xcb, 0x3e, 0xcc, 0x3e, 0xc4, 0x3e), // a group with a group
    ]);
    const known = Leaf.encode({ id: 5n, name: "x" });
    expect(Leaf.decode(concatBytes([unknown, known, unknown]))).toEqual({ id: 5n, name: "x" });
  });

  test("of a repeated scalar the last counts, and nested messages merge", () => {
    const first = Everything.encode({ small: 1, leaf: { id: 3n } });
    const second = Everything.encode({ small: 2, leaf: { name: "n" } });
    const both = Everything.decode(concatBytes([first, second]));
    expect(both.small).toBe(2);
    expect(both.leaf).toEqual({ id: 3n, name: "n" });
  });

  test("of a oneof the last member counts", () => {
    const first = Everything.encode({ choice: { type: "two", value: 4 } });
    const second = Everything.encode({ choice: { type: "one", value: utf8("z") } });
    expect(Everything.decode(concatBytes([first, second])).choice).toEqual({ type: "one", value: utf8("z") });
    expect(Everything.decode(concatBytes([second, first])).choice).toEqual({ type: "two", value: 4 });
  });

  test("repeated numbers are read packed, unpacked and mixed", () => {
    const unpacked = bytesOf(15 * 8, 1, 15 * 8, 2);
    const packed = Everything.encode({ numbers: [3n, 4n] });
    expect(Everything.decode(concatBytes([unpacked, packed, unpacked])).numbers).toEqual([1n, 2n, 3n, 4n, 1n, 2n]);
  });

  test("decoding does not write into the shared defaults", () => {
    Everything.decode(Everything.encode({ leaves: [{ id: 1n }], blobs: [utf8("b")], leaf: { id: 9n } }));
    expect(Everything.decode(new Uint8Array(0))).toEqual(Everything.make());
    expect(Everything.make().leaves).toEqual([]);
    expect(Everything.make().leaf).toBeUndefined();
  });

  test("int53 beyond 2^53 is held at the bound, with its sign", () => {
    const Wide = message({ n: field(1, "int64"), u: field(2, "uint64") });
    const Narrow = message({ n: field(1, "int53"), u: field(2, "uint53") });
    const read = (n: bigint) => Narrow.decode(Wide.encode({ n })).n;
    expect(read(2n ** 63n - 1n)).toBe(Number.MAX_SAFE_INTEGER);
    expect(read(-(2n ** 63n))).toBe(-Number.MAX_SAFE_INTEGER);
    expect(read(-1n)).toBe(-1);
    expect(read(-(2n ** 28n))).toBe(-(2 ** 28));
    expect(read(-(2n ** 28n) - 1n)).toBe(-(2 ** 28) - 1);
    expect(read(-(2n ** 53n) + 1n)).toBe(-Number.MAX_SAFE_INTEGER);
    expect(Narrow.decode(Wide.encode({ u: 2n ** 64n - 1n })).u).toBe(Number.MAX_SAFE_INTEGER);
    fc.assert(fc.property(safe, (n) => read(BigInt(n)) === n));
  });

  test("malformed input is a BytesError", () => {
    const bad: readonly (readonly number[])[] = [
      [0x0a, 5, 1], // length beyond the end
      [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], // varint of eleven bytes
      [0x08], // no value
      [0x00, 0x01], // field 0
      [0x09, 1, 2, 3, 4, 5, 6, 7, 8], // wire type 1 where a varint is due
      [0x0f, 1], // wire type 7
      [0xf3, 0x01, 0x08, 1], // group without end
      [0xf3, 0x01, 0xec, 0x01], // group ended by another
      [0xf4, 0x01], // end of no group
      [0x5a, 2, 0x12, 4, 65, 65, 65, 65], // a nested field that runs beyond its message
    ];
    for (const input of bad) expect(() => Everything.decode(bytesOf(...input)), String(input)).toThrow(BytesError);
  });

  test("nesting ends at the limit, for messages and groups", () => {
    interface Chain {
      readonly next: Chain | undefined;
    }
    interface ChainInput {
      readonly next?: ChainInput | undefined;
    }
    const Chain: Message<Chain, ChainInput> = message({ next: nested<Chain, ChainInput>(1, () => Chain) });
    let deep: ChainInput = {};
    for (let i = 0; i < NESTING_MAX; i++) deep = { next: deep };
    expect(() => Chain.decode(Chain.encode(deep))).not.toThrow();
    expect(() => Chain.decode(Chain.encode({ next: deep }))).toThrow(BytesError);
    expect(() => Chain.decode(new Uint8Array(200).fill(0x13))).toThrow(BytesError);
  });

  test("encode() keeps earlier results whole, also large ones, and leaves headroom", () => {
    const results: [Uint8Array, InferInput<typeof Everything>][] = [];
    for (let i = 0; i < 300; i++) {
      const input = { data: new Uint8Array(i % 10 === 0 ? 50_000 : i).fill(i), small: i + 1 };
      results.push([Everything.encode(input, 5), input]);
    }
    for (const [encoded, input] of results) {
      expect([...encoded.subarray(0, 5)]).toEqual([0, 0, 0, 0, 0]);
      const back = Everything.decode(encoded.subarray(5));
      expect(back.small).toBe(input.small);
      expect(Buffer.compare(back.data, input.data ?? new Uint8Array(0))).toBe(0);
    }
  });

  test("encode() refuses what would not come back, and works on after it", () => {
    expect(() => Everything.encode({ small: 3, revision: 2 ** 53 })).toThrow("safe integer");
    expect(() => Everything.encode({ size: -1 })).toThrow("negative");
    expect(Everything.decode(Everything.encode({ small: 3 })).small).toBe(3);
  });

  test("make() completes nested messages", () => {
    const made = Everything.make({ leaf: { id: 1n }, leaves: [{}], choice: { type: "three", value: {} } });
    expect(made.leaf).toEqual({ id: 1n, name: "" });
    expect(made.leaves).toEqual([{ id: 0n, name: "" }]);
    expect(made.choice).toEqual({ type: "three", value: { id: 0n, name: "" } });
  });
});
