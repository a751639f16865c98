/** Headers as bytes: what was written is read, under the right segment number and with every bit in place only. */
import { describe, expect, it } from "vitest";
import { groupId, logIndex, term } from "../../base/ids.ts";
import { type LogRecord, RecordKind } from "../../consensus/contract/record.ts";
import {
  FLAG_BATCH_END,
  HEADER_BYTES,
  HeaderCodec,
  KIND_HEAD,
  KIND_NOTE,
  recordBytes,
  SECTOR_BYTES,
} from "./record-header.ts";

const codec = new HeaderCodec();
const HIGH = 2 ** 53 - 1;
const record: LogRecord = {
  kind: RecordKind.configuration,
  index: logIndex(HIGH),
  term: term(2 ** 40 + 3),
  chain: 0xfedcba98,
  body: new Uint8Array(77),
  bodyCrc: 0x89abcdef,
};

function encoded(segment: number): Uint8Array {
  const bytes = new Uint8Array(8 + HEADER_BYTES);
  const stamp = { segment, durable: 2 ** 52 + 1, batch: 2 ** 32 };
  codec.write(bytes, new DataView(bytes.buffer), 8, record, groupId(2 ** 33), HIGH - 1, FLAG_BATCH_END, stamp);
  return bytes;
}

const read = (bytes: Uint8Array, segment: number, at = 8) => codec.read(bytes, new DataView(bytes.buffer), at, segment);

describe("HeaderCodec", () => {
  it("reads what it wrote, up to the largest integers", () => {
    expect(read(encoded(3), 3)).toEqual({
      version: 2,
      flags: FLAG_BATCH_END,
      kind: RecordKind.configuration,
      bodyLength: 77,
      bodyCrc: 0x89abcdef,
      chain: 0xfedcba98,
      group: 2 ** 33,
      index: HIGH,
      term: 2 ** 40 + 3,
      lsn: HIGH - 1,
      durable: 2 ** 52 + 1,
      batch: 2 ** 32,
    });
  });

  it("reads nothing under another segment's number, at another place, or cut short", () => {
    const bytes = encoded(3);
    for (const segment of [0, 1, 2, 4, 5, 259, 65_539]) expect(read(bytes, segment)).toBeUndefined();
    expect(read(bytes, 3, 0)).toBeUndefined();
    expect(read(bytes.slice(0, -1), 3)).toBeUndefined();
  });

  it("reads nothing with any one bit flipped", () => {
    for (let bit = 0; bit < HEADER_BYTES * 8; bit++) {
      const bytes = encoded(3);
      const at = 8 + (bit >> 3);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7));
      expect(read(bytes, 3)).toBeUndefined();
    }
  });

  it("writes a head that tells the length of the file, over whatever stood there", () => {
    const bytes = new Uint8Array(80).fill(0xff);
    codec.writeHead(bytes, new DataView(bytes.buffer), 8, 2 ** 33 + 512, { segment: 9, durable: 12, batch: 4 });
    expect(read(bytes, 9)).toEqual({
      ...{ version: 2, flags: 0, kind: KIND_HEAD, bodyLength: 0, bodyCrc: 0, chain: 0, group: 0, term: 0, lsn: 0 },
      ...{ index: 2 ** 33 + 512, durable: 12, batch: 4 },
    });
  });

  it("writes a note of one sector", () => {
    const note = codec.note({ segment: 9, durable: 12, batch: 4 });
    expect(note).toHaveLength(SECTOR_BYTES);
    expect(read(note, 9, 0)).toMatchObject({ kind: KIND_NOTE, durable: 12, batch: 4, lsn: 0, bodyLength: 0 });
  });
});

describe("recordBytes()", () => {
  it("rounds up to the alignment of records", () => {
    expect([0, 1, 8, 9].map(recordBytes)).toEqual([72, 80, 80, 88]);
  });
});
