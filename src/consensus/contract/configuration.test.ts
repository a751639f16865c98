/** Configurations as bytes: what goes in comes out, and bytes from outside are refused, never asserted on. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteWriter, BytesError } from "../../base/bytes.ts";
import { type NodeId, nodeId } from "../../base/ids.ts";
import { AssertionError } from "../../base/assert.ts";
import {
  type Configuration,
  checkConfiguration,
  decodeConfiguration,
  EMPTY_CONFIGURATION,
  encodeConfiguration,
  isUnboundReplacement,
  type Member,
} from "./configuration.ts";

fc.configureGlobal({ seed: 403 }); // the same cases in every run

const ids = fc
  .uniqueArray(fc.integer({ min: 1, max: 1_000_000 }), { maxLength: 7 })
  .map((list) => list.sort((a, b) => a - b).map(nodeId));

const members: fc.Arbitrary<Member[]> = ids.chain((list) =>
  fc.tuple(
    ...list.map((id, i) =>
      fc.record({
        id: fc.constant(id),
        incarnation: fc.maxSafeNat(),
        role: fc.constantFrom<Member["role"]>(...(i === 0 ? (["voter"] as const) : (["voter", "learner"] as const))),
        promote: fc.boolean(),
        name: fc.string({ unit: "grapheme" }),
        address: fc.string(),
        clientUrls: fc.array(fc.string(), { maxLength: 3 }),
      }),
    ),
  ),
);

const configurations: fc.Arbitrary<Configuration> = fc
  .record({ members, outgoing: ids })
  .filter((c) => c.members.length > 0 || c.outgoing.length === 0);

const one = (id: number, role: Member["role"] = "voter"): Member => ({
  id: nodeId(id),
  incarnation: 1,
  role,
  promote: false,
  name: `n${id}`,
  address: `n${id}:1`,
  clientUrls: [],
});

/** Members as given and in the order given, without a check: what a broken or hostile peer could write. */
function written(list: readonly { id: number; flags: number }[], outgoing: readonly number[] = []): Uint8Array {
  const out = new ByteWriter().u8(1).varint(list.length);
  for (const { id, flags } of list) out.varint(id).u53(1).u8(flags).text("n").text("n:1").varint(0);
  out.varint(outgoing.length);
  for (const id of outgoing) out.varint(id);
  return out.finish();
}

describe("encodeConfiguration() and decodeConfiguration()", () => {
  test("give back every valid configuration", () => {
    fc.assert(
      fc.property(configurations, (configuration) => {
        checkConfiguration(configuration);
        expect(decodeConfiguration(encodeConfiguration(configuration))).toEqual(configuration);
      }),
    );
  });

  test("the writer of these tests writes what the encoder writes", () => {
    const plain: Member = { ...one(2), name: "n", address: "n:1" };
    const outgoing: NodeId[] = [nodeId(1), nodeId(2)];
    expect(written([{ id: 2, flags: 1 }], [1, 2])).toEqual(encodeConfiguration({ members: [plain], outgoing }));
  });
});

describe("decodeConfiguration() refuses with BytesError", () => {
  test.each<[string, Uint8Array]>([
    ["another version", new Uint8Array([2, 0, 0])],
    ["no bytes", new Uint8Array(0)],
    ["node id 0", written([{ id: 0, flags: 1 }])],
    ["a voter being left with id 0", written([{ id: 1, flags: 1 }], [0])],
    ["a node id beyond 2^53", written([{ id: Number.MAX_SAFE_INTEGER, flags: 1 }]).map((b, i) => (i === 9 ? 0x7f : b))],
    [
      "members out of order",
      written([
        { id: 2, flags: 1 },
        { id: 1, flags: 1 },
      ]),
    ],
    [
      "a member twice",
      written([
        { id: 1, flags: 1 },
        { id: 1, flags: 1 },
      ]),
    ],
    ["a voter being left twice", written([{ id: 1, flags: 1 }], [2, 2])],
    [
      "members without a voter",
      written([
        { id: 1, flags: 0 },
        { id: 2, flags: 2 },
      ]),
    ],
    ["voters being left and nobody to come", written([], [1])],
    ["unknown flags", written([{ id: 1, flags: 5 }])],
    ["trailing bytes", new Uint8Array([...encodeConfiguration(EMPTY_CONFIGURATION), 0])],
    ["a count beyond the bytes", new Uint8Array([1, 0x7f, 1])],
  ])("%s", (_, bytes) => {
    expect(() => decodeConfiguration(bytes)).toThrow(BytesError);
  });

  test("every cut, and no changed byte fails in another way", () => {
    fc.assert(
      fc.property(configurations, fc.nat(), fc.integer({ min: 0, max: 255 }), (configuration, position, value) => {
        const bytes = encodeConfiguration(configuration);
        const at = position % bytes.length;
        expect(() => decodeConfiguration(bytes.subarray(0, at))).toThrow(BytesError);
        const changed = bytes.map((b, i) => (i === at ? value : b));
        try {
          checkConfiguration(decodeConfiguration(changed));
        } catch (error) {
          expect(error).toBeInstanceOf(BytesError);
        }
      }),
    );
  });
});

test("checkConfiguration() asserts: a configuration made here that is not valid is a bug", () => {
  expect(() => checkConfiguration({ members: [one(2), one(1)], outgoing: [] })).toThrow(AssertionError);
  expect(() => checkConfiguration({ members: [one(1, "learner")], outgoing: [] })).toThrow(AssertionError);
});

describe("isUnboundReplacement()", () => {
  const bound = (folder: number): Configuration => {
    const one = { id: nodeId(1), role: "voter" as const, promote: false, name: "", address: "", clientUrls: [] };
    return { members: [{ ...one, incarnation: folder }], outgoing: [] };
  };

  test("holds for a folder that took a lost one's place until a configuration names it", () => {
    expect(isUnboundReplacement(bound(0), nodeId(1), 7)).toBe(true);
    expect(isUnboundReplacement(bound(4), nodeId(1), 7)).toBe(true);
    expect(isUnboundReplacement(EMPTY_CONFIGURATION, nodeId(1), 7)).toBe(true);
    expect(isUnboundReplacement(bound(7), nodeId(1), 7)).toBe(false);
  });

  test("never holds for a folder that lost nothing", () => {
    expect(isUnboundReplacement(bound(0), nodeId(1), 8)).toBe(false);
    expect(isUnboundReplacement(EMPTY_CONFIGURATION, nodeId(1), 8)).toBe(false);
  });
});
