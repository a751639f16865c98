/**
 * Small byte arrays out of shared blocks: an array of its own costs several times as much to make and to collect as a view.
 * A block lives as long as any of its views, so each user keeps a slab for bytes that live about equally long.
 */
const BLOCK_BYTES = 64 * 1024;

export class Slab {
  #block = new Uint8Array(BLOCK_BYTES);
  #used = 0;

  /** `size` bytes that nobody else has; zero, as a block is used once. */
  take(size: number): Uint8Array {
    if (size > BLOCK_BYTES / 4) return new Uint8Array(size);
    if (this.#used + size > BLOCK_BYTES) {
      this.#block = new Uint8Array(BLOCK_BYTES);
      this.#used = 0;
    }
    const taken = this.#block.subarray(this.#used, this.#used + size);
    this.#used += size;
    return taken;
  }
}
