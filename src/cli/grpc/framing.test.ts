import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FramingError, frameMessage, MessageParser } from "./framing.ts";

describe("MessageParser", () => {
  test("finds the same messages however the stream is cut", () => {
    const messages = fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 6 });
    fc.assert(
      fc.property(messages, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (sent, cuts) => {
        const stream = Buffer.concat(sent.map(frameMessage));
        const parser = new MessageParser();
        const found: Uint8Array[] = [];
        for (let at = 0, i = 0; at < stream.length; i++) {
          const size = cuts[i % cuts.length] ?? 1;
          found.push(...parser.push(stream.subarray(at, at + size)));
          at += size;
        }
        expect(found.map((message) => [...message])).toEqual(sent.map((message) => [...message]));
        expect(parser.atBoundary).toBe(true);
      }),
    );
  });

  test("refuses a message over the limit before its body arrives", () => {
    const parser = new MessageParser(10);
    expect(() => parser.push(Uint8Array.of(0, 0, 0, 0, 11))).toThrow(FramingError);
  });

  test("refuses a compressed message", () => {
    expect(() => new MessageParser().push(Uint8Array.of(1, 0, 0, 0, 0))).toThrow("compressed");
  });

  test("knows that it is inside a message", () => {
    const parser = new MessageParser();
    parser.push(Uint8Array.of(0, 0, 0));
    expect(parser.atBoundary).toBe(false);
  });
});
