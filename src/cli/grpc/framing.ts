/**
 * gRPC's message framing over an HTTP/2 body: one flag byte, a big-endian length, the message. The client announces no
 * compression, so a compressed message is a violation of the protocol.
 */
const PREFIX = 5;

/** A single answer larger than this is refused before it is buffered. */
export const ANSWER_BYTES_MAX: number = 256 * 1024 * 1024;

export class FramingError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "FramingError";
  }
}

export function frameMessage(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(PREFIX + message.length);
  framed[0] = 0;
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, PREFIX);
  return framed;
}

/** Cuts a byte stream, fragmented in any way, into messages. */
export class MessageParser {
  readonly #bytesMax: number;
  /** Chunks of the message under way, prefix included. */
  #chunks: Uint8Array[] = [];
  #held = 0;
  /** Bytes the message under way takes, prefix included; undefined until its prefix is complete. */
  #wanted: number | undefined;

  constructor(bytesMax: number = ANSWER_BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  /** True between two messages: the only place where a stream may end. */
  get atBoundary(): boolean {
    return this.#held === 0;
  }

  /** The messages that `chunk` completes. Throws `FramingError`. */
  push(chunk: Uint8Array): readonly Uint8Array[] {
    if (chunk.length === 0) return [];
    this.#chunks.push(chunk);
    this.#held += chunk.length;
    const messages: Uint8Array[] = [];
    for (;;) {
      if (this.#wanted === undefined) {
        if (this.#held < PREFIX) return messages;
        this.#wanted = PREFIX + this.#readPrefix();
      }
      if (this.#held < this.#wanted) return messages;
      const all = this.#joined();
      messages.push(all.subarray(PREFIX, this.#wanted));
      const rest = all.subarray(this.#wanted);
      this.#chunks = rest.length === 0 ? [] : [rest];
      this.#held = rest.length;
      this.#wanted = undefined;
    }
  }

  #readPrefix(): number {
    const all = this.#joined();
    if (all[0] !== 0) throw new FramingError(`compressed or foreign message (flag ${all[0]})`);
    const length = all.readUInt32BE(1);
    if (length > this.#bytesMax) throw new FramingError(`message of ${length} bytes, the limit is ${this.#bytesMax}`);
    return length;
  }

  #joined(): Buffer {
    const [first] = this.#chunks;
    const all =
      this.#chunks.length === 1 && first !== undefined
        ? Buffer.from(first.buffer, first.byteOffset, first.length)
        : Buffer.concat(this.#chunks, this.#held);
    this.#chunks = [all];
    return all;
  }
}
