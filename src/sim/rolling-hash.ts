/**
 * A 64-bit rolling hash over everything a simulated world did, in order: two runs of one seed are the same run exactly
 * if their hashes are equal (up to chance, 2^-64). Two lanes of multiply-xorshift with the constants of murmur3's
 * finaliser (Appleby 2011). Not for secrets and not for storage.
 */
const doubles = new Float64Array(1);
const words = new Uint32Array(doubles.buffer);

export class RollingHash {
  #a = 0x243f6a88;
  #b = 0x85a308d3 | 0;

  /** Mixes a 32-bit integer in. */
  mix(value: number): void {
    let a = Math.imul(this.#a ^ value, 0x85ebca6b);
    a ^= a >>> 13;
    const b = this.#b;
    this.#b = (Math.imul(((b << 13) | (b >>> 19)) ^ value, 0xc2b2ae35) + a) | 0;
    this.#a = a;
  }

  /** Mixes all 64 bits of a number in. */
  mixNumber(value: number): void {
    doubles[0] = value;
    this.mix(words[0] as number); // two words per double
    this.mix(words[1] as number);
  }

  /** Sixteen hexadecimal digits. */
  digest(): string {
    return hex(this.#a) + hex(this.#b);
  }
}

function hex(value: number): string {
  return (value >>> 0).toString(16).padStart(8, "0");
}

/** A 32-bit hash of bytes (FNV-1a's shape, four bytes a step, murmur3's finaliser), continued from `seed`. */
export function hashBytes(bytes: Uint8Array, seed = 0): number {
  let h = seed ^ bytes.length;
  const whole = bytes.length & ~3;
  let i = 0;
  for (; i < whole; i += 4) {
    // In range by the loop bound.
    const word =
      (bytes[i] as number) |
      ((bytes[i + 1] as number) << 8) |
      ((bytes[i + 2] as number) << 16) |
      ((bytes[i + 3] as number) << 24);
    h = Math.imul(h ^ word, 0x01000193);
    h ^= h >>> 15;
  }
  for (; i < bytes.length; i++) h = Math.imul(h ^ (bytes[i] as number), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  return h ^ (h >>> 13);
}

/** A 32-bit hash of a short text. */
export function hashText(text: string, seed = 0): number {
  let h = seed ^ text.length;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  return h ^ (h >>> 13);
}
