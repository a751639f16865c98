/** Header blocks as RFC 7541's appendix C writes them, and everything that is none. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { blockBytes } from "../testing/http2-peer.ts";
import { ConnectionError, ErrorCode } from "./frame.ts";
import { HpackDecoder } from "./hpack-decoder.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");

function read(decoder: HpackDecoder, block: Uint8Array): string[] {
  const fields: string[] = [];
  // In the middle of a larger chunk, as blocks come.
  const chunk = Buffer.concat([Uint8Array.of(0xff, 0xff), block, Uint8Array.of(0x82)]);
  decoder.decode(chunk, 2, 2 + block.length, ({ name, value }) => fields.push(`${name}: ${value}`));
  return fields;
}

function expectRefused(decoder: HpackDecoder, block: Uint8Array): void {
  let error: unknown;
  try {
    read(decoder, block);
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(ConnectionError);
  expect((error as ConnectionError).code).toBe(ErrorCode.compression); // checked by the line above
}

describe("appendix C.2, one field", () => {
  it.each([
    ["400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "custom-key: custom-header", 1],
    ["040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path", 0],
    ["1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret", 0],
    ["82", ":method: GET", 0],
  ])("%s", (block, field, changes) => {
    const decoder = new HpackDecoder();
    expect(read(decoder, hex(block))).toEqual([field]);
    expect(decoder.changes).toBe(changes);
  });
});

const REQUESTS = [
  [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
  [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache"],
  [":method: GET", ":scheme: https", ":path: /index.html", ":authority: www.example.com", "custom-key: custom-value"],
];
const DATE = "date: Mon, 21 Oct 2013 20:13:21 GMT";
const PLACE = "location: https://www.example.com";
const RESPONSES = [
  [":status: 302", "cache-control: private", DATE, PLACE],
  [":status: 307", "cache-control: private", DATE, PLACE],
  [
    ":status: 200",
    "cache-control: private",
    "date: Mon, 21 Oct 2013 20:13:22 GMT",
    PLACE,
    "content-encoding: gzip",
    "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
  ],
];

describe("appendix C.3 to C.6, one table over three blocks", () => {
  it.each([
    [
      "C.3",
      [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
      ],
    ],
    [
      "C.4",
      [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
      ],
    ],
  ])("%s requests", (_, blocks) => {
    const decoder = new HpackDecoder();
    expect(blocks.map((block) => read(decoder, hex(block)))).toEqual(REQUESTS);
  });

  it.each([
    [
      "C.5",
      [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d" +
          "546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f" +
          "6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b" +
          "2076 6572 7369 6f6e 3d31",
      ],
    ],
    [
      "C.6",
      [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7" +
          "8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335" +
          "dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
      ],
    ],
  ])("%s responses, with eviction from a table of 256 bytes", (_, blocks) => {
    const decoder = new HpackDecoder();
    expect(read(decoder, hex("3fe1 01"))).toEqual([]);
    expect(blocks.map((block) => read(decoder, hex(block)))).toEqual(RESPONSES);
    // The table as the appendix shows it after the third response: 215 bytes, three entries.
    expect(read(decoder, hex("be bf c0"))).toEqual([RESPONSES[2]?.[5], RESPONSES[2]?.[4], RESPONSES[2]?.[2]]);
    expectRefused(decoder, hex("c1"));
  });
});

describe("the table", () => {
  it("is emptied by a field larger than itself (§4.4), and by a size of 0", () => {
    for (const emptying of [
      Buffer.concat([hex("40"), blockBytes([["a", "x".repeat(4_064)]]).subarray(1)]),
      hex("20"),
    ]) {
      const decoder = new HpackDecoder();
      read(decoder, hex("4001 6101 62"));
      expect(read(decoder, hex("be"))).toEqual(["a: b"]);
      read(decoder, emptying);
      expectRefused(decoder, hex("be"));
    }
  });

  it("holds a field of exactly its size", () => {
    const decoder = new HpackDecoder();
    read(decoder, Buffer.concat([hex("40"), blockBytes([["a", "x".repeat(4_063)]]).subarray(1)]));
    expect(read(decoder, hex("be"))[0]).toHaveLength(4_066);
  });

  it("may name the entry that it evicts for the new field (§4.4)", () => {
    const decoder = new HpackDecoder();
    read(decoder, Buffer.concat([hex("3f19"), hex("4002 6161 0162")])); // 56 bytes: room for one entry
    expect(read(decoder, hex("7e 0163"))).toEqual(["aa: c"]);
    expect(read(decoder, hex("be"))).toEqual(["aa: c"]);
    expectRefused(decoder, hex("bf"));
  });

  it("may be resized several times, and only at the start of a block (§4.2)", () => {
    const decoder = new HpackDecoder();
    expect(read(decoder, hex("20 3fe1 1f 82"))).toEqual([":method: GET"]);
    expectRefused(new HpackDecoder(), hex("82 20"));
  });

  it("never grows over what was agreed (§6.3)", () => {
    expect(read(new HpackDecoder(), hex("3fe1 1f"))).toEqual([]); // 4096
    expectRefused(new HpackDecoder(), hex("3fe2 1f")); // 4097
  });

  it("is as large as the static one and its entries, never more", () => {
    const decoder = new HpackDecoder();
    expectRefused(decoder, hex("be"));
    expect(read(new HpackDecoder(), hex("bd"))).toEqual(["www-authenticate: "]);
  });
});

describe("what is no header block", () => {
  it.each([
    ["index 0", "80"],
    ["an index far over the table", "ffff ff7f"],
    ["an integer that does not end", "ff"],
    ["an integer that does not end after a byte", "ff80"],
    ["an integer over 2^28", "ffff ffff ff0f"],
    ["an integer with leading zeros without end", "ff80 8080 8080 8080 8080 8000"],
    ["a name index of nothing", "7f20 0162"],
    ["a name cut short", "4003 6161"],
    ["a value cut short", "4001 6102 62"],
    ["no value", "4001 61"],
    ["no name", "40"],
    ["a length over the end", "407f ff7f"],
    ["a length of many bytes over the end", "407f ffff ff7f 61"],
    ["a size update cut short", "3f"],
    ["a Huffman code with padding of zeros", "4001 6182 1800"],
    ["a Huffman padding of eight bits", "4001 6182 1fff"],
    ["a Huffman string with its own end inside", "4001 6184 ffff ffff"],
  ])("%s", (_, block) => {
    expectRefused(new HpackDecoder(), hex(block));
  });

  it("every cut of a good block is refused or is a shorter block, and no bytes throw anything else", () => {
    const whole = hex("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf");
    for (let end = 0; end <= whole.length; end++) tolerate(whole.subarray(0, end));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => tolerate(bytes)),
      { numRuns: 3_000, seed: 7541 },
    );
  });
});

function tolerate(block: Uint8Array): void {
  try {
    read(new HpackDecoder(), block);
  } catch (error) {
    expect(error).toBeInstanceOf(ConnectionError);
    expect((error as ConnectionError).code).toBe(ErrorCode.compression); // checked by the line above
  }
}
