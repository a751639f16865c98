/**
 * Bytes that arrived and are not wanted yet, in their order. They are copied together: a caller that sends its window in
 * frames of one byte costs the server its window, not an object and a piece of the socket's memory for each frame.
 */
const FIRST_BYTES = 512;
const BUFFER_BYTES_MAX = 16 * 1024;

export class HeldBytes {
  readonly #full: Uint8Array[] = [];
  #last: Uint8Array = NOTHING;
  #used = 0;
  #length = 0;

  /** Bytes held. */
  get length(): number {
    return this.#length;
  }

  /** Keeps a copy. */
  push(bytes: Uint8Array): void {
    this.#length += bytes.length;
    const fitting = Math.min(bytes.length, this.#last.length - this.#used);
    this.#last.set(fitting === bytes.length ? bytes : bytes.subarray(0, fitting), this.#used);
    this.#used += fitting;
    if (fitting === bytes.length) return;
    const left = bytes.length - fitting;
    const next = new Uint8Array(
      Math.max(left, Math.min(BUFFER_BYTES_MAX, Math.max(FIRST_BYTES, this.#last.length * 2))),
    );
    next.set(bytes.subarray(fitting));
    if (this.#used > 0) this.#full.push(this.#last);
    this.#last = next;
    this.#used = left;
  }

  /** Takes the oldest bytes out, as many as lie together; undefined if there are none. */
  shift(): Uint8Array | undefined {
    const oldest = this.#full.shift();
    if (oldest !== undefined) {
      this.#length -= oldest.length;
      return oldest;
    }
    if (this.#used === 0) return undefined;
    const bytes = this.#last.subarray(0, this.#used);
    this.#length -= bytes.length;
    this.#last = NOTHING; // what was handed out is not written to again
    this.#used = 0;
    return bytes;
  }
}

const NOTHING = new Uint8Array(0);
