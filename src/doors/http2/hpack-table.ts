/**
 * What an index in a header block stands for: the static table, then the newest entries first.
 * Source  RFC 7541 sections 2.3, 4 and appendix A.
 */
export interface HeaderField {
  readonly name: string;
  readonly value: string;
}

const STATIC: readonly HeaderField[] = (
  [
    [":authority"],
    [":method", "GET"],
    [":method", "POST"],
    [":path", "/"],
    [":path", "/index.html"],
    [":scheme", "http"],
    [":scheme", "https"],
    [":status", "200"],
    [":status", "204"],
    [":status", "206"],
    [":status", "304"],
    [":status", "400"],
    [":status", "404"],
    [":status", "500"],
    ["accept-charset"],
    ["accept-encoding", "gzip, deflate"],
    ["accept-language"],
    ["accept-ranges"],
    ["accept"],
    ["access-control-allow-origin"],
    ["age"],
    ["allow"],
    ["authorization"],
    ["cache-control"],
    ["content-disposition"],
    ["content-encoding"],
    ["content-language"],
    ["content-length"],
    ["content-location"],
    ["content-range"],
    ["content-type"],
    ["cookie"],
    ["date"],
    ["etag"],
    ["expect"],
    ["expires"],
    ["from"],
    ["host"],
    ["if-match"],
    ["if-modified-since"],
    ["if-none-match"],
    ["if-range"],
    ["if-unmodified-since"],
    ["last-modified"],
    ["link"],
    ["location"],
    ["max-forwards"],
    ["proxy-authenticate"],
    ["proxy-authorization"],
    ["range"],
    ["referer"],
    ["refresh"],
    ["retry-after"],
    ["server"],
    ["set-cookie"],
    ["strict-transport-security"],
    ["transfer-encoding"],
    ["user-agent"],
    ["vary"],
    ["via"],
    ["www-authenticate"],
  ] as const
).map(([name, value = ""]) => ({ name, value }));

export const STATIC_ENTRIES: number = STATIC.length;
/** What an entry costs besides its letters (section 4.1). */
export const ENTRY_OVERHEAD_BYTES = 32;
/** The size of both tables unless settings say otherwise. */
export const TABLE_BYTES_MAX = 4_096;

export function fieldBytes(field: HeaderField): number {
  return field.name.length + field.value.length + ENTRY_OVERHEAD_BYTES;
}

export class HpackTable {
  /** The oldest first; the newest has the lowest index. */
  readonly #entries: HeaderField[] = [];
  #bytes = 0;
  #bytesMax = TABLE_BYTES_MAX;
  #changes = 0;

  /** Rises with each change: while it stays, a block that changes nothing means the same again. */
  get changes(): number {
    return this.#changes;
  }

  /** The field with this index (1 is the first of the static table), or undefined. */
  get(index: number): HeaderField | undefined {
    return index <= STATIC_ENTRIES ? STATIC[index - 1] : this.#entries[this.#entries.length - (index - STATIC_ENTRIES)];
  }

  /** A field larger than the table empties it (section 4.4). */
  add(field: HeaderField): void {
    this.#changes++;
    const bytes = fieldBytes(field);
    this.#evict(this.#bytesMax - bytes);
    if (bytes > this.#bytesMax) return;
    this.#entries.push(field);
    this.#bytes += bytes;
  }

  resize(bytesMax: number): void {
    this.#changes++;
    this.#bytesMax = bytesMax;
    this.#evict(bytesMax);
  }

  #evict(bytesMax: number): void {
    let gone = 0;
    while (this.#bytes > bytesMax && gone < this.#entries.length) {
      this.#bytes -= fieldBytes(this.#entries[gone] as HeaderField); // in range by the loop's condition
      gone++;
    }
    if (gone > 0) this.#entries.splice(0, gone);
  }
}
