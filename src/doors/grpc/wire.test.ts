/** The small codecs of gRPC's wire: Status-Message, Timeout, message prefix, encodings. */
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { frameInPlace, frameMessage, openMessage, parseEncoding } from "./message.ts";
import { encodeGrpcMessage } from "./status.ts";
import { parseGrpcTimeout } from "./timeout.ts";

describe("encodeGrpcMessage()", () => {
  it("leaves printable ASCII alone and escapes the rest", () => {
    expect(encodeGrpcMessage("etcdserver: no leader")).toBe("etcdserver: no leader");
    expect(encodeGrpcMessage("100% \n é")).toBe("100%25 %0A %C3%A9");
  });

  it("is undone by percent-decoding, and is a legal header value", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        const wire = encodeGrpcMessage(text);
        expect(wire).toMatch(/^[\x20-\x7e]*$/);
        expect(decodeURIComponent(wire)).toBe(text);
      }),
    );
  });
});

describe("parseGrpcTimeout()", () => {
  it("stops at what a timer reaches", () => {
    expect(parseGrpcTimeout("99999999H")).toBe(0x7fff_ffff);
  });

  it("reads every unit", () => {
    expect(["2H", "2M", "2S", "2m", "2000u", "2000000n"].map(parseGrpcTimeout)).toEqual([
      7_200_000, 120_000, 2_000, 2, 2, 2,
    ]);
  });

  it("refuses what the grammar refuses", () => {
    for (const text of ["", "S", "5", "5x", "5 S", "-5S", "123456789S", "5SS", "0x5S", "1.5S"]) {
      expect(parseGrpcTimeout(text)).toBeUndefined();
    }
  });
});

describe("frameInPlace()", () => {
  it("writes the prefix into the headroom", () => {
    const framed = new Uint8Array(5 + 300);
    expect([...frameInPlace(framed).subarray(0, 5)]).toEqual([0, 0, 0, 1, 44]);
    expect([...frameMessage(Uint8Array.of(9))]).toEqual([0, 0, 0, 0, 1, 9]);
  });
});

describe("openMessage()", () => {
  const open = (bytes: Uint8Array, encoding: "gzip" | "identity", limit = 1_000): unknown => {
    const opened = openMessage({ type: "message", compressed: true, bytes }, encoding, limit);
    return opened.type === "bytes" ? Uint8Array.from(opened.bytes) : opened.status.code;
  };

  it("inflates gzip, bounds what comes out, and refuses damage", () => {
    expect(open(gzipSync(Uint8Array.of(1, 2, 3)), "gzip")).toEqual(Uint8Array.of(1, 2, 3));
    expect(open(gzipSync(new Uint8Array(1_000)), "gzip")).toEqual(new Uint8Array(1_000));
    expect(open(gzipSync(new Uint8Array(1_001)), "gzip")).toBe(8);
    expect(open(Uint8Array.of(1, 2, 3), "gzip")).toBe(13);
    expect(open(gzipSync(Uint8Array.of(1)).subarray(0, 12), "gzip")).toBe(13);
  });

  it("refuses the compressed flag where no encoding is declared", () => {
    expect(open(Uint8Array.of(1), "identity")).toBe(13);
  });
});

describe("parseEncoding()", () => {
  it("knows identity and gzip", () => {
    expect([undefined, "", "identity", "gzip", "snappy", ["gzip", "gzip"]].map(parseEncoding)).toEqual([
      "identity",
      "identity",
      "identity",
      "gzip",
      undefined,
      undefined,
    ]);
  });
});
