/**
 * Writes header blocks out of fields that were made once. The few fields that stand in every answer go to the peer's table
 * at their first use and cost one byte from then on; all others are literals that touch no table.
 * Source  RFC 7541 section 6.
 */
import { fieldBytes, STATIC_ENTRIES, TABLE_BYTES_MAX } from "./hpack-table.ts";

/** A field in its wire forms. Equal constants are one object: a connection knows what it has sent by identity. */
export interface WireField {
  /** Worth a place in the peer's table. */
  readonly isCommon: boolean;
  /** One byte, when the static table has the whole field. */
  readonly literal: Uint8Array;
  /** The literal that also enters the field into the table. */
  readonly entering: Uint8Array;
  readonly tableBytes: number;
}

const STATUS_200 = 0x88;

/** `:status: 200` stands in the static table. */
export const OK_STATUS: WireField = {
  isCommon: false,
  literal: Uint8Array.of(STATUS_200),
  entering: Uint8Array.of(STATUS_200),
  tableBytes: 0,
};

/** `name` and `value` are latin1 and legal; `isCommon`: sent in most answers, out of a handful of such constants. */
export function wireField(name: string, value: string, isCommon = false): WireField {
  const body = Buffer.concat([wireString(name), wireString(value)]);
  return {
    isCommon,
    literal: Buffer.concat([Uint8Array.of(0x00), body]),
    entering: Buffer.concat([Uint8Array.of(0x40), body]),
    tableBytes: fieldBytes({ name, value }),
  };
}

function wireString(text: string): Uint8Array {
  return Buffer.concat([wireLength(text.length), Buffer.from(text, "latin1")]);
}

/** An integer with a prefix of seven bits (section 5.1). */
function wireLength(length: number): Uint8Array {
  if (length < 127) return Uint8Array.of(length);
  const bytes = [127];
  let left = length - 127;
  for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left % 128) | 0x80);
  bytes.push(left);
  return Uint8Array.from(bytes);
}

/** The entries that one byte can name, far fewer than the table holds. */
const ENTRIES_MAX = 32;

export class HpackEncoder {
  readonly #entered: WireField[] = [];
  #bytes = 0;
  #isPlain = false;
  #mustEmpty = false;

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. With less than the usual table we use none, and say so in the next block. */
  peerTableBytes(bytesMax: number): void {
    if (bytesMax >= TABLE_BYTES_MAX || this.#isPlain) return;
    this.#isPlain = true;
    this.#mustEmpty = true;
  }

  /** The block's bytes, appended through `put`: whole pieces, or single bytes. */
  encode(fields: readonly WireField[], out: { bytes(piece: Uint8Array): void; byte(value: number): void }): void {
    if (this.#mustEmpty) {
      this.#mustEmpty = false;
      out.byte(0x20);
    }
    for (const field of fields) {
      if (!field.isCommon || this.#isPlain) {
        out.bytes(field.literal);
        continue;
      }
      const place = this.#entered.indexOf(field);
      if (place !== -1) {
        out.byte(0x80 | (STATIC_ENTRIES + this.#entered.length - place));
      } else if (this.#entered.length < ENTRIES_MAX && this.#bytes + field.tableBytes <= TABLE_BYTES_MAX) {
        this.#entered.push(field);
        this.#bytes += field.tableBytes;
        out.bytes(field.entering);
      } else {
        out.bytes(field.literal);
      }
    }
  }
}
