/** Huffman strings as another implementation writes them (`node:http2`), and strings that nobody may write. */
import { once } from "node:events";
import { connect } from "node:http2";
import { createServer } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CLIENT_PREFACE, FrameType } from "./frame.ts";
import { FrameReader } from "./frame-reader.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import { decodeHuffman } from "./huffman.ts";

/** What a decoder makes of the values that `node:http2` sends, and how many bytes their blocks took. */
async function sent(values: readonly string[]): Promise<{ readonly values: string[]; readonly bytes: number }> {
  const got: string[] = [];
  let bytes = 0;
  const decoder = new HpackDecoder();
  const server = createServer((socket) => {
    const reader = new FrameReader((type, _flags, _id, chunk, from, to) => {
      if (type !== FrameType.headers) return;
      bytes += to - from;
      decoder.decode(chunk, from, to, ({ name, value }) => {
        if (name === "x-value") got.push(value);
      });
    });
    let skip = CLIENT_PREFACE.length;
    socket.on("data", (chunk: Buffer) => {
      const skipped = Math.min(skip, chunk.length);
      skip -= skipped;
      reader.push(chunk.subarray(skipped));
    });
    socket.on("error", () => undefined);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const bound = server.address();
  const session = connect(`http://127.0.0.1:${typeof bound === "object" && bound !== null ? bound.port : 0}`);
  session.on("error", () => undefined);
  await once(session, "connect");
  for (const value of values) session.request({ "x-value": value }, { endStream: true }).on("error", () => undefined);
  for (let i = 0; i < 400 && got.length < values.length; i++) await new Promise((resolve) => setTimeout(resolve, 5));
  session.destroy();
  server.close();
  return { values: got, bytes };
}

describe("decodeHuffman()", () => {
  it("reads every letter that a value may hold, as node:http2 writes it", async () => {
    // All but the control characters, which node:http2 does not send.
    const codes = Array.from({ length: 256 }, (_, code) => code).filter((code) => code >= 32 && code !== 127);
    const letters = codes.map((code) => String.fromCharCode(code));
    // Short letters around the long code, so that the string is shorter in Huffman code than without.
    const values = letters.map((letter) => `0000000000${letter}a${letter}e`);
    values.push(letters.join("").trim() + "a".repeat(300));
    expect((await sent(values.slice(0, 90))).values).toEqual(values.slice(0, 90));
    expect((await sent(values.slice(90, 180))).values).toEqual(values.slice(90, 180));
    expect((await sent(values.slice(180))).values).toEqual(values.slice(180));
  });

  it("reads random texts, as node:http2 writes them", async () => {
    const texts = fc.sample(
      fc.string({ minLength: 150, maxLength: 300, unit: fc.constantFrom(...Array.from("abcdeiostu019 -./,:_~é<{")) }),
      {
        numRuns: 80,
        seed: 9113,
      },
    );
    const values = texts.map((text) => `a${text}a`);
    const answer = await sent(values);
    expect(answer.values).toEqual(values);
    expect(answer.bytes).toBeLessThan(values.join("").length); // it was Huffman code indeed
  });

  it.each([
    ["no bytes are no text", "", ""],
    ["padding of seven bits", "fe", undefined],
    ["a letter and its padding", "1f", "a"],
    ["a letter without padding", "1c", undefined],
    ["padding of a whole byte", "1fff", undefined],
    ["nothing but padding of eight bits", "ff", undefined],
    ["the end of the string", "fffffffc", undefined],
    ["the end of the string after letters", "1fffffffff", undefined],
  ])("%s", (_, bytes, text) => {
    const buffer = Buffer.from(bytes, "hex");
    expect(decodeHuffman(buffer, 0, buffer.length)).toBe(text);
  });

  it("reads the codes of 13 and 30 bits of RFC 7541 appendix B", () => {
    // NUL is 1ff8 in 13 bits; line feed, carriage return and 0x16 are 3ffffffc, 3ffffffd, 3ffffffe in 30.
    const bits = `${(0x1ff8).toString(2)}${(0x3ffffffc).toString(2)}${(0x3ffffffd).toString(2)}${(0x3ffffffe).toString(2)}`;
    const padded = bits.padEnd(Math.ceil(bits.length / 8) * 8, "1");
    const buffer = Buffer.from((padded.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
    expect(decodeHuffman(buffer, 0, buffer.length)).toBe("\0\n\r\x16");
  });

  it("never throws, and never gives more than 8 letters for 5 bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const text = decodeHuffman(bytes, 0, bytes.length);
        if (text !== undefined) expect(text.length).toBeLessThanOrEqual((bytes.length * 8) / 5);
      }),
      { numRuns: 2_000, seed: 1 },
    );
  });
});
