/**
 * Reads header blocks. Every block is read to its end, whatever is thought of its fields: the next one leans on the table.
 * Source  RFC 7541 sections 5 and 6.
 */
import { ConnectionError, ErrorCode } from "./frame.ts";
import { type HeaderField, HpackTable, TABLE_BYTES_MAX } from "./hpack-table.ts";
import { decodeHuffman } from "./huffman.ts";

export class HpackDecoder {
  readonly #table = new HpackTable();
  #block: Uint8Array = NOTHING;
  #at = 0;
  #end = 0;

  /** See `HpackTable.changes`. */
  get changes(): number {
    return this.#table.changes;
  }

  /** Calls `take` with each field in order. Throws a `ConnectionError` on what is no header block. */
  decode(block: Uint8Array, from: number, to: number, take: (field: HeaderField) => void): void {
    this.#block = block;
    this.#at = from;
    this.#end = to;
    let mayResize = true;
    while (this.#at < to) {
      const first = block[this.#at] as number; // in range by the loop's condition
      if (first >= 0x80) {
        take(this.#indexed(this.#integer(7)));
      } else if (first >= 0x40) {
        const field = this.#literal(6);
        this.#table.add(field);
        take(field);
      } else if (first >= 0x20) {
        if (!mayResize) throw broken("a table size update after a field");
        const bytesMax = this.#integer(5);
        if (bytesMax > TABLE_BYTES_MAX) throw broken("a table size over the agreed one");
        this.#table.resize(bytesMax);
        continue;
      } else {
        take(this.#literal(4)); // without indexing, or never indexed
      }
      mayResize = false;
    }
    this.#block = NOTHING; // it is a view of the socket's memory, which an idle connection must not keep
  }

  #indexed(index: number): HeaderField {
    const field = index === 0 ? undefined : this.#table.get(index);
    if (field === undefined) throw broken("an index of nothing");
    return field;
  }

  #literal(prefixBits: number): HeaderField {
    const index = this.#integer(prefixBits);
    const name = index === 0 ? this.#string() : this.#indexed(index).name;
    return { name, value: this.#string() };
  }

  #integer(prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = this.#byte() & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw broken("an integer that is too large");
  }

  #string(): string {
    const isHuffman = this.#at < this.#end && (this.#block[this.#at] as number) >= 0x80;
    const length = this.#integer(7);
    const from = this.#at;
    const to = from + length;
    if (to > this.#end) throw broken("a string beyond the end of the block");
    this.#at = to;
    if (!isHuffman) return latin1(this.#block, from, to);
    const text = decodeHuffman(this.#block, from, to);
    if (text === undefined) throw broken("a string that is no Huffman code");
    return text;
  }

  #byte(): number {
    if (this.#at >= this.#end) throw broken("a field beyond the end of the block");
    return this.#block[this.#at++] as number; // in range by the line above
  }
}

const NOTHING = new Uint8Array(0);

function latin1(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString("latin1");
}

function broken(what: string): ConnectionError {
  return new ConnectionError(ErrorCode.compression, `Cannot read a header block: ${what}`);
}
