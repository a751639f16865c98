/** Ranges of keys as etcd's protocol writes them: a key and the exclusive end. */
import { CliFailure } from "../failure.ts";

export interface RangeOptions {
  readonly prefix?: boolean;
  readonly fromKey?: boolean;
}

export interface KeyRange {
  readonly key: Uint8Array;
  /** Empty: the key alone. One zero byte: to the end of all keys. */
  readonly rangeEnd: Uint8Array;
}

const ZERO = Uint8Array.of(0);

/** The range that a command line names. With `--prefix` or `--from-key` an empty key means every key. */
export function keyRange(key: string, end: string | undefined, options: RangeOptions): KeyRange {
  const ways = [end !== undefined, options.prefix === true, options.fromKey === true].filter((way) => way).length;
  if (ways > 1) {
    throw new CliFailure("usage", "Cannot use this range: an end, --prefix and --from-key exclude each other");
  }
  const bytes = new TextEncoder().encode(key);
  if (ways > 0 && bytes.length === 0) {
    return { key: ZERO, rangeEnd: end === undefined ? ZERO : new TextEncoder().encode(end) };
  }
  if (bytes.length === 0)
    throw new CliFailure("usage", "Cannot use an empty key", { next: "--prefix '' means every key" });
  if (options.prefix === true) return { key: bytes, rangeEnd: prefixEnd(bytes) };
  if (options.fromKey === true) return { key: bytes, rangeEnd: ZERO };
  return { key: bytes, rangeEnd: new TextEncoder().encode(end ?? "") };
}

/** The first key behind all keys that begin with `prefix`; a zero byte if there is none. */
export function prefixEnd(prefix: Uint8Array): Uint8Array {
  for (let i = prefix.length - 1; i >= 0; i--) {
    const byte = prefix[i] ?? 0xff;
    if (byte === 0xff) continue;
    const end = prefix.slice(0, i + 1);
    end[i] = byte + 1;
    return end;
  }
  return ZERO;
}
