/**
 * The streams that this side reset while the caller had not finished: what was on its way then is thrown away without a
 * word. On every other closed stream a frame with content is the caller's error.
 * Source  RFC 9113 sections 5.1 (closed), 5.4.2, 6.1.
 */
/** More than an honest caller can have on its way: the burst of resets that the flood guard allows, and open streams. */
const STREAMS_MAX = 2_048;

export class ResetStreams {
  /** The oldest first. */
  readonly #ids = new Set<number>();

  add(streamId: number): void {
    this.#ids.add(streamId);
    if (this.#ids.size <= STREAMS_MAX) return;
    for (const oldest of this.#ids) {
      this.#ids.delete(oldest);
      return;
    }
  }

  /** A frame with content came on a closed stream: was it on its way? With `isLast` nothing follows it. */
  excuses(streamId: number, isLast: boolean): boolean {
    return isLast ? this.#ids.delete(streamId) : this.#ids.has(streamId);
  }

  /** The caller reset it, so nothing follows. */
  delete(streamId: number): void {
    this.#ids.delete(streamId);
  }
}
