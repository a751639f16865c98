/**
 * Frames that cost the server more than the client that sends them, and that an honest client sends now and then: so many at
 * once, so many a second. What the server itself sends of use to a client refills the bucket of pings, because clients
 * measure the path with a ping beside the data that they get (grpc-go does, for each round trip).
 * Source  CVE-2023-44487 (rapid reset), CVE-2025-8671 (made you reset), CVE-2019-9512, -9515, -9518 (pings, settings, empty
 *         frames); gRPC A8 (keepalive enforcement).
 */
const PINGS_BURST = 100;
const RESETS_BURST = 1_000;
const RESETS_PER_SECOND = 100;

export class FloodGuard {
  #pings = PINGS_BURST;
  #resets = RESETS_BURST;

  /** A ping, settings, a priority, or a frame without content. False: too many. */
  allowsPing(): boolean {
    return --this.#pings >= 0;
  }

  /** A stream given up before it was answered, by the client or because of what it sent. False: too many. */
  allowsReset(): boolean {
    return --this.#resets >= 0;
  }

  /** The client was sent headers or data. */
  sentContent(): void {
    this.#pings = PINGS_BURST;
  }

  /** Called once a second. */
  refill(): void {
    if (this.#pings < PINGS_BURST) this.#pings++;
    this.#resets = Math.min(RESETS_BURST, this.#resets + RESETS_PER_SECOND);
  }
}
