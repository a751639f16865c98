/**
 * An HTTP/2 client for tests that can do everything wrong: it sends whatever frames and bytes it is given, and keeps what
 * came back as it came. It judges nothing, acknowledges nothing and opens no windows by itself.
 * Source  RFC 9113 sections 4.1, 6.
 */
import { connect, type Socket } from "node:net";
import { CLIENT_PREFACE, FRAME_HEAD_BYTES, FrameType } from "../http2/frame.ts";
import { HpackDecoder } from "../http2/hpack-decoder.ts";

export interface PeerFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** A frame's bytes. `declaredBytes` to lie about the length. */
export function frameBytes(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array | readonly number[] = [],
  declaredBytes: number = payload.length,
): Buffer {
  const head = Buffer.alloc(FRAME_HEAD_BYTES);
  head.writeUIntBE(declaredBytes, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId >>> 0, 5);
  return Buffer.concat([head, Buffer.from(payload)]);
}

export function uint32Bytes(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

/** A SETTINGS frame of (identifier, value) pairs. */
export function settingsBytes(pairs: readonly (readonly [number, number])[], flags = 0): Buffer {
  const payload = pairs.map(([id, value]) => Buffer.concat([Buffer.from([id >>> 8, id & 0xff]), uint32Bytes(value)]));
  return frameBytes(FrameType.settings, flags, 0, Buffer.concat(payload));
}

function stringBytes(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const length = [127];
  let left = bytes.length - 127;
  for (; left >= 128; left >>>= 7) length.push((left & 0x7f) | 0x80);
  length.push(left);
  return Buffer.concat([Buffer.from(length), bytes]);
}

/** A header block of literals that touch no table. */
export function blockBytes(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(
    fields.map(([name, value]) => Buffer.concat([Buffer.from([0x00]), stringBytes(name), stringBytes(value)])),
  );
}

export class Http2Peer {
  readonly socket: Socket;
  /** All that came, in order. */
  readonly frames: PeerFrame[] = [];
  readonly closed: Promise<void>;
  readonly #decoder = new HpackDecoder();
  readonly #watchers = new Set<() => void>();
  #bytes: Buffer = Buffer.alloc(0);
  #isClosed = false;
  #pings = 0;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on("error", () => undefined); // a reset; `close` follows
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        this.#isClosed = true;
        this.#wake();
        resolve();
      });
    });
  }

  /** Connected, with not a byte sent. */
  static async dial(port: number): Promise<Http2Peer> {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new Http2Peer(socket);
  }

  /** Connected, with preface and SETTINGS sent. */
  static async open(port: number, settings: readonly (readonly [number, number])[] = []): Promise<Http2Peer> {
    const peer = await Http2Peer.dial(port);
    peer.send(CLIENT_PREFACE, settingsBytes(settings));
    return peer;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Closed, or told to be over by a GOAWAY with an error. */
  get isOver(): boolean {
    return this.#isClosed || this.#goaways().some((one) => one.payload.readUInt32BE(4) !== 0);
  }

  send(...pieces: readonly Uint8Array[]): void {
    if (!this.socket.destroyed && !this.socket.writableEnded) this.socket.write(Buffer.concat(pieces));
  }

  /** Resolves when `condition` holds after a frame or the close; fails after `timeoutMs`. */
  async until(condition: () => boolean, what: string, timeoutMs = 5_000): Promise<void> {
    if (condition()) return;
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        clearTimeout(timer);
        this.#watchers.delete(watch);
      };
      const timer = setTimeout(() => {
        leave();
        reject(new Error(`Cannot see ${what}: it did not come in ${timeoutMs} ms (got ${this.describe()})`));
      }, timeoutMs);
      const watch = (): void => {
        if (!condition()) return;
        leave();
        resolve();
      };
      this.#watchers.add(watch);
    });
  }

  /** Everything sent so far has been worked on, and the connection lives; fails if it does not. */
  async barrier(): Promise<void> {
    const payload = Buffer.concat([Buffer.from("ping"), uint32Bytes(++this.#pings)]);
    this.send(frameBytes(FrameType.ping, 0, 0, payload));
    const isHere = (): boolean => this.frames.some((one) => one.type === FrameType.ping && one.payload.equals(payload));
    await this.until(() => isHere() || this.isOver, "the answer to a ping");
    if (!isHere()) throw new Error(`Cannot go on: the connection was ended (got ${this.describe()})`);
  }

  /** Waits for the end of the connection; the code of its GOAWAY, or undefined without one. */
  async goaway(): Promise<number | undefined> {
    await this.until(() => this.#isClosed || this.#goaways().length > 0, "the end of the connection");
    if (this.#goaways().length > 0) this.socket.end();
    await this.until(() => this.#isClosed, "the close after GOAWAY");
    return this.#goaways().at(-1)?.payload.readUInt32BE(4);
  }

  /** The codes of all resets of a stream so far. */
  resets(streamId: number): readonly number[] {
    return this.of(streamId, FrameType.reset).map((one) => one.payload.readUInt32BE(0));
  }

  of(streamId: number, type: number): readonly PeerFrame[] {
    return this.frames.filter((one) => one.streamId === streamId && one.type === type);
  }

  /** The body of an answer so far. */
  body(streamId: number): Buffer {
    return Buffer.concat(this.of(streamId, FrameType.data).map((one) => one.payload));
  }

  /** All header blocks that came, decoded in order, as [stream, name, value]. Call once, at the end. */
  fields(): readonly (readonly [number, string, string])[] {
    const fields: [number, string, string][] = [];
    for (const { type, streamId, payload } of this.frames) {
      if (type !== FrameType.headers) continue;
      this.#decoder.decode(payload, 0, payload.length, ({ name, value }) => fields.push([streamId, name, value]));
    }
    return fields;
  }

  describe(): string {
    return this.frames.map(({ type, flags, streamId }) => `${type}/${flags}@${streamId}`).join(" ");
  }

  destroy(): void {
    this.socket.destroy();
  }

  #goaways(): readonly PeerFrame[] {
    return this.of(0, FrameType.goaway);
  }

  #read(chunk: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    let at = 0;
    while (this.#bytes.length - at >= FRAME_HEAD_BYTES) {
      const end = at + FRAME_HEAD_BYTES + this.#bytes.readUIntBE(at, 3);
      if (end > this.#bytes.length) break;
      this.frames.push({
        type: this.#bytes.readUInt8(at + 3),
        flags: this.#bytes.readUInt8(at + 4),
        streamId: this.#bytes.readUInt32BE(at + 5) & 0x7fff_ffff,
        payload: this.#bytes.subarray(at + FRAME_HEAD_BYTES, end),
      });
      at = end;
    }
    this.#bytes = this.#bytes.subarray(at);
    this.#wake();
  }

  #wake(): void {
    for (const watch of [...this.#watchers]) watch();
  }
}
