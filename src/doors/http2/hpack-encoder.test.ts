/** Our header blocks, read by our own decoder and by `node:http2`, with every size of the peer's table. */
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from "node:http2";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Http2Rig } from "../testing/http2-rig.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import { HpackEncoder, OK_STATUS, type WireField, wireField } from "./hpack-encoder.ts";

function encode(encoder: HpackEncoder, fields: readonly WireField[]): Buffer {
  const pieces: Uint8Array[] = [];
  encoder.encode(fields, { bytes: (piece) => pieces.push(piece), byte: (value) => pieces.push(Uint8Array.of(value)) });
  return Buffer.concat(pieces);
}

function decode(decoder: HpackDecoder, block: Uint8Array): string[] {
  const fields: string[] = [];
  decoder.decode(block, 0, block.length, ({ name, value }) => fields.push(`${name}: ${value}`));
  return fields;
}

describe("HpackEncoder", () => {
  it("sends a common field in full once, then in one byte", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    const type = wireField("content-type", "application/grpc", true);
    const status = wireField("grpc-status", "0", true);
    for (const [fields, bytes] of [
      [[OK_STATUS, type], 1 + type.entering.length],
      [[status], status.entering.length],
      [[OK_STATUS, type], 2],
      [[status], 1],
    ] as const) {
      const block = encode(encoder, fields);
      expect(block).toHaveLength(bytes);
      expect(decode(decoder, block)).toHaveLength(fields.length);
    }
  });

  it("is read the same by the decoder, whatever fields in whatever order", () => {
    const common = Array.from({ length: 50 }, (_, i) => wireField(`x-common-${i}`, "v".repeat(i * 5), true));
    const rare = Array.from({ length: 10 }, (_, i) => wireField(`x-rare-${i}`, "w".repeat(i * 40)));
    const all = [OK_STATUS, ...common, ...rare];
    const texts = all.map((_, i) =>
      i === 0
        ? ":status: 200"
        : i <= 50
          ? `x-common-${i - 1}: ${"v".repeat((i - 1) * 5)}`
          : `x-rare-${i - 51}: ${"w".repeat((i - 51) * 40)}`,
    );
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.nat(all.length - 1), { maxLength: 8 }), { maxLength: 40 }),
        fc.option(fc.tuple(fc.nat(39), fc.constantFrom(0, 100, 4_095, 4_096, 65_536))),
        (blocks, resize) => {
          const encoder = new HpackEncoder();
          const decoder = new HpackDecoder();
          blocks.forEach((block, at) => {
            if (resize !== null && resize[0] === at) encoder.peerTableBytes(resize[1]);
            const fields = block.map((index) => all[index] ?? OK_STATUS);
            expect(decode(decoder, encode(encoder, fields))).toEqual(block.map((index) => texts[index]));
          });
        },
      ),
      { numRuns: 300, seed: 7541 },
    );
  });

  it("writes lengths of one, two and three bytes", () => {
    for (const length of [0, 126, 127, 128, 254, 255, 16_000]) {
      const value = "z".repeat(length);
      expect(decode(new HpackDecoder(), encode(new HpackEncoder(), [wireField("x", value)]))).toEqual([`x: ${value}`]);
    }
  });
});

describe("node:http2 reads our header blocks", () => {
  let rig: Http2Rig;
  let session: ClientHttp2Session | undefined;

  beforeEach(async () => {
    rig = await Http2Rig.open();
  });

  afterEach(async () => {
    session?.destroy();
    await rig.close();
  });

  async function ask(): Promise<IncomingHttpHeaders> {
    const stream = session?.request({ ":method": "POST", ":path": "/whole" });
    if (stream === undefined) throw new Error("Cannot ask: there is no session");
    const seen: IncomingHttpHeaders = {};
    stream.on("response", (headers: IncomingHttpHeaders) => Object.assign(seen, headers));
    stream.on("trailers", (headers: IncomingHttpHeaders) => Object.assign(seen, headers));
    stream.resume();
    stream.end("body");
    await new Promise<void>((resolve, reject) => {
      stream.on("close", resolve);
      stream.on("error", reject);
    });
    return seen;
  }

  const answer = { ":status": 200, "content-type": "application/octet-stream", "grpc-status": "0" };

  it.each([0, 31, 4_095, 4_096, 65_536])("with a table of %i bytes", async (headerTableSize) => {
    session = connect(`http://127.0.0.1:${rig.port}`, { settings: { headerTableSize } });
    for (let i = 0; i < 5; i++) expect(await ask()).toMatchObject(answer);
  });

  it("with a table that shrinks to nothing between answers and grows again", async () => {
    session = connect(`http://127.0.0.1:${rig.port}`);
    for (const headerTableSize of [undefined, 0, 65_536, 100, 4_096]) {
      const live = session;
      if (headerTableSize !== undefined) {
        await new Promise<void>((resolve) => live.settings({ headerTableSize }, () => resolve()));
      }
      for (let i = 0; i < 3; i++) expect(await ask()).toMatchObject(answer);
    }
  });
});
