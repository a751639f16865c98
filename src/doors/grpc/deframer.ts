/**
 * Cuts a gRPC body into messages: one byte of flags, four bytes of length (big-endian), the message; any number of them
 * in any number of chunks.
 * Source  gRPC over HTTP/2, "Length-Prefixed-Message".
 *
 * D1. A message is refused by its declared length, before one byte of it is kept.
 * D2. What is kept is charged to the budget: at most the declared length of one message, however many chunks it comes in.
 * D3. After a fault nothing more comes out.
 */
import type { ByteBudget } from "./byte-budget.ts";

export type Deframed =
  | { readonly type: "message"; readonly compressed: boolean; readonly bytes: Uint8Array }
  /** No whole message is there yet. */
  | { readonly type: "starved" }
  /** The declared length is over the limit. */
  | { readonly type: "too-large"; readonly declaredBytes: number }
  | { readonly type: "bad-flag"; readonly flag: number }
  /** The budget for unfinished messages is spent. */
  | { readonly type: "over-budget" };

const STARVED: Deframed = { type: "starved" };
const PREFIX_BYTES = 5;
const FIRST_CAPACITY = 1024;

/** The four bytes of length at `at`. */
export function declaredLength(bytes: Uint8Array, at: number): number {
  // In range: the caller has seen at + 5 bytes.
  return (
    (((bytes[at + 1] as number) << 24) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 8) |
      (bytes[at + 4] as number)) >>>
    0
  );
}

export class Deframer {
  readonly #messageBytesMax: number;
  readonly #budget: ByteBudget;
  /** The unread part of the last chunk, and where reading stands in it. A view of the transport's memory. */
  #chunk: Uint8Array | undefined;
  #at = 0;
  /** The start of a message whose rest has not arrived: prefix and body, `#kept` bytes of them. */
  #partial: Uint8Array | undefined;
  #kept = 0;
  #fault: Deframed | undefined;

  constructor(messageBytesMax: number, budget: ByteBudget) {
    this.#messageBytesMax = messageBytesMax;
    this.#budget = budget;
  }

  /** True between messages: the body may end here. */
  get atBoundary(): boolean {
    return this.#kept === 0 && this.#chunk === undefined;
  }

  /** True while part of a message is kept. */
  get hasPartial(): boolean {
    return this.#kept > 0;
  }

  /** Takes a chunk. `next` must have answered `starved` or a fault since the last one. */
  push(chunk: Uint8Array): void {
    if (this.#fault !== undefined || chunk.length === 0) return;
    this.#chunk = chunk;
    this.#at = 0;
  }

  /** The next message; its bytes may share the chunk's memory. */
  next(): Deframed {
    if (this.#fault !== undefined) return this.#fault;
    const chunk = this.#chunk;
    if (chunk === undefined) return STARVED;
    if (this.#kept > 0) return this.#fill(chunk);

    const available = chunk.length - this.#at;
    if (available >= PREFIX_BYTES) {
      const flag = chunk[this.#at] as number; // in range by the line above
      const length = declaredLength(chunk, this.#at);
      const refused = this.#refuse(flag, length);
      if (refused !== undefined) return refused;
      if (available >= PREFIX_BYTES + length) {
        const from = this.#at + PREFIX_BYTES;
        this.#advance(chunk, PREFIX_BYTES + length);
        return { type: "message", compressed: flag === 1, bytes: chunk.subarray(from, from + length) };
      }
    }
    return this.#keep(chunk, available) ? STARVED : this.#fail({ type: "over-budget" });
  }

  /** Gives back what it charged. Safe to call twice. */
  close(): void {
    this.#fault ??= STARVED;
    this.#drop();
    this.#chunk = undefined;
  }

  /** Continues the kept message with the chunk's bytes. */
  #fill(chunk: Uint8Array): Deframed {
    if (this.#kept < PREFIX_BYTES) {
      const missing = Math.min(PREFIX_BYTES - this.#kept, chunk.length - this.#at);
      if (!this.#keep(chunk, missing)) return this.#fail({ type: "over-budget" });
      if (this.#kept < PREFIX_BYTES) return STARVED;
    }
    const partial = this.#partial as Uint8Array; // there while #kept > 0
    const flag = partial[0] as number;
    const length = declaredLength(partial, 0);
    const refused = this.#refuse(flag, length);
    if (refused !== undefined) return refused;
    const available = this.#chunk === undefined ? 0 : chunk.length - this.#at;
    const missing = Math.min(PREFIX_BYTES + length - this.#kept, available);
    if (missing > 0 && !this.#keep(chunk, missing)) return this.#fail({ type: "over-budget" });
    if (this.#kept < PREFIX_BYTES + length) return STARVED;
    const bytes = (this.#partial as Uint8Array).subarray(PREFIX_BYTES, PREFIX_BYTES + length);
    this.#drop();
    return { type: "message", compressed: flag === 1, bytes };
  }

  #refuse(flag: number, length: number): Deframed | undefined {
    // grpc-go looks at the length first, then at the flag; so do we, and the two faults at once give the same answer.
    if (length > this.#messageBytesMax) return this.#fail({ type: "too-large", declaredBytes: length });
    if (flag > 1) return this.#fail({ type: "bad-flag", flag });
    return undefined;
  }

  /** Moves `count` bytes of the chunk into the kept message; false when the budget refuses. */
  #keep(chunk: Uint8Array, count: number): boolean {
    const needed = this.#kept + count;
    const capacity = this.#partial?.length ?? 0;
    if (needed > capacity) {
      const next = Math.max(FIRST_CAPACITY, needed, Math.min(capacity * 2, this.#messageBytesMax + PREFIX_BYTES));
      if (!this.#budget.take(next - capacity)) return false;
      const grown = new Uint8Array(next);
      if (this.#partial !== undefined) grown.set(this.#partial.subarray(0, this.#kept));
      this.#partial = grown;
    }
    (this.#partial as Uint8Array).set(chunk.subarray(this.#at, this.#at + count), this.#kept);
    this.#kept = needed;
    this.#advance(chunk, count);
    return true;
  }

  #advance(chunk: Uint8Array, count: number): void {
    this.#at += count;
    if (this.#at === chunk.length) this.#chunk = undefined;
  }

  #drop(): void {
    if (this.#partial !== undefined) this.#budget.give(this.#partial.length);
    this.#partial = undefined;
    this.#kept = 0;
  }

  #fail(fault: Deframed): Deframed {
    this.#fault = fault;
    this.#drop();
    this.#chunk = undefined;
    return fault;
  }
}
