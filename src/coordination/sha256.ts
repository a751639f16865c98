/**
 * SHA-256 (FIPS 180-4), incremental, for the trailer of snapshot files; not for secrets. Written out here because this
 * folder sees no host: about 150 MB/s, in pieces that the caller chooses.
 */

const BLOCK = 64;

/** The first 32 bits of the fractional parts of the roots of the first primes: square roots, and cube roots. */
function constants(count: number, root: (x: number) => number): Uint32Array {
  const out = new Uint32Array(count);
  let found = 0;
  for (let candidate = 2; found < count; candidate++) {
    let prime = true;
    for (let d = 2; d * d <= candidate; d++) if (candidate % d === 0) prime = false;
    if (!prime) continue;
    const value = root(candidate);
    out[found++] = (value - Math.floor(value)) * 0x1_0000_0000;
  }
  return out;
}

const INITIAL = constants(8, Math.sqrt);
const ROUND = constants(64, Math.cbrt);

const rotate = (x: number, bits: number): number => (x >>> bits) | (x << (32 - bits));

export class Sha256 {
  readonly #state = Uint32Array.from(INITIAL);
  readonly #schedule = new Uint32Array(64);
  readonly #block = new Uint8Array(BLOCK);
  #filled = 0;
  #length = 0;

  update(bytes: Uint8Array): this {
    this.#length += bytes.length;
    let at = 0;
    if (this.#filled > 0) {
      at = Math.min(BLOCK - this.#filled, bytes.length);
      this.#block.set(bytes.subarray(0, at), this.#filled);
      this.#filled += at;
      if (this.#filled < BLOCK) return this;
      this.#compress(this.#block, 0);
      this.#filled = 0;
    }
    for (; at + BLOCK <= bytes.length; at += BLOCK) this.#compress(bytes, at);
    this.#block.set(bytes.subarray(at));
    this.#filled = bytes.length - at;
    return this;
  }

  /** The 32 bytes of the digest. Nothing may be added afterwards. */
  digest(): Uint8Array {
    const bits = this.#length * 8;
    const padding = new Uint8Array(this.#filled < 56 ? BLOCK - this.#filled : 2 * BLOCK - this.#filled);
    padding[0] = 0x80;
    const view = new DataView(padding.buffer);
    view.setUint32(padding.length - 8, Math.floor(bits / 0x1_0000_0000));
    view.setUint32(padding.length - 4, bits >>> 0);
    this.update(padding);
    const out = new Uint8Array(32);
    const digest = new DataView(out.buffer);
    for (let i = 0; i < 8; i++) digest.setUint32(i * 4, this.#state[i] as number); // eight words
    return out;
  }

  // The casts below: indexes into arrays of fixed length, by loop bounds.
  #compress(bytes: Uint8Array, from: number): void {
    const w = this.#schedule;
    for (let i = 0; i < 16; i++) {
      const at = from + i * 4;
      w[i] =
        ((bytes[at] as number) << 24) |
        ((bytes[at + 1] as number) << 16) |
        ((bytes[at + 2] as number) << 8) |
        (bytes[at + 3] as number);
    }
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15] as number;
      const y = w[i - 2] as number;
      const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3);
      const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10);
      w[i] = (w[i - 16] as number) + s0 + (w[i - 7] as number) + s1;
    }
    const state = this.#state;
    let [a, b, c, d, e, f, g, h] = state as unknown as [number, number, number, number, number, number, number, number];
    for (let i = 0; i < 64; i++) {
      const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + (ROUND[i] as number) + (w[i] as number)) | 0;
      const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + t1) | 0;
      d = c;
      c = b;
      b = a;
      a = (t1 + t2) | 0;
    }
    const added = [a, b, c, d, e, f, g, h];
    for (let i = 0; i < 8; i++) state[i] = (state[i] as number) + (added[i] as number);
  }
}
