/**
 * One HTTP/2 connection, the server's side: reads frames, keeps the streams, and sends within the peer's windows.
 * Source  RFC 9113; RFC 7541 (in `hpack-*.ts`).
 * Owns    the socket, the connection's windows, both header tables, the life of each stream.
 * Leaves  what a request means to `serve`; framing of bytes to `frame-reader.ts` and `output.ts`.
 *
 * C1. Every bound stands before the buffer: frame, header block, streams, windows, answers that are not read.
 * C2. A header block is read to its end whatever becomes of its stream: both sides' tables stay the same.
 * C3. What breaks one stream resets it; what breaks the connection ends it with GOAWAY and one reason.
 * C4. A peer that does not read what it is sent is not read from.
 */
import type { Socket } from "node:net";
import type { Observer } from "../../ports/observer.ts";
import { FloodGuard } from "./flood-guard.ts";
import {
  CLIENT_PREFACE,
  ConnectionError,
  DEFAULT_WINDOW_BYTES,
  ErrorCode,
  Flag,
  FRAME_BYTES_MAX,
  FrameType,
  Setting,
  WINDOW_BYTES_MAX,
} from "./frame.ts";
import { FrameReader, uint31, uint32 } from "./frame-reader.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import { HpackEncoder, type WireField, wireField } from "./hpack-encoder.ts";
import { Output } from "./output.ts";
import { HeadBuilder, type RequestHead } from "./request-head.ts";
import { ResetStreams } from "./reset-streams.ts";
import { Http2Stream, type StreamCarrier } from "./stream.ts";

/** `Call` is what the server above makes of a request's head, once for equal heads. */
export interface Http2Options<Call> {
  readonly streamsMax: number;
  readonly observer: Observer;
  /** Depends on nothing but the head: it is kept and used again. */
  readonly prepare: (head: RequestHead) => Call;
  readonly serve: (stream: Http2Stream, call: Call) => void;
  /** Bytes that wait for the peer's windows, more or fewer by `bytes`. */
  readonly queued: (bytes: number) => void;
  readonly closed: () => void;
}

const HEADER_BYTES_MAX = 16 * 1024;
const HEADER_FIELDS_MAX = 128;
/** A block that is still no whole after this many bytes is an attack (CVE-2024-27316 and its kin). */
const BLOCK_BYTES_MAX = 64 * 1024;
const STREAM_WINDOW_BYTES = 256 * 1024;
const CONNECTION_WINDOW_BYTES = 1024 * 1024;
/** Bytes not taken by the peer's system: from the first on no data is sent, from the second on nothing is read. */
const UNSENT_BYTES_HIGH = 256 * 1024;
const UNSENT_BYTES_MAX = 1024 * 1024;
const KNOWN_BLOCKS_MAX = 8;
const KNOWN_BLOCK_BYTES_MAX = 256;

const TOO_LARGE: readonly WireField[] = [wireField(":status", "431")];

/** A header block seen before, and what came of it: most callers send the same few again and again. */
interface KnownBlock<Call> {
  /** The table's state in which the block means this. */
  readonly changes: number;
  readonly bytes: Uint8Array;
  readonly head: RequestHead;
  readonly call: Call;
}

/** A header block that goes on in CONTINUATION frames. */
interface OpenBlock {
  readonly streamId: number;
  readonly isLast: boolean;
  /** The first `length` bytes are the block so far; one buffer, in however many pieces it comes. */
  bytes: Uint8Array;
  length: number;
}

export class Http2Connection<Call> implements StreamCarrier {
  readonly #socket: Socket;
  readonly #options: Http2Options<Call>;
  readonly #output: Output;
  readonly #reader: FrameReader;
  readonly #decoder = new HpackDecoder();
  readonly #encoder = new HpackEncoder();
  readonly #guard = new FloodGuard();
  readonly #streams = new Map<number, Http2Stream>();
  readonly #waiting = new Set<Http2Stream>();
  readonly #resetStreams = new ResetStreams();
  #knownBlocks: KnownBlock<Call>[] = [];
  #prefaceAt = 0;
  #hasSettings = false;
  #openBlock: OpenBlock | undefined;
  #lastStreamId = 0;
  /** The last stream that is served: what comes after GOAWAY is not, and a second GOAWAY must not name a later one. */
  #lastServedId = 0;
  #sendWindow = DEFAULT_WINDOW_BYTES;
  #peerStreamWindow = DEFAULT_WINDOW_BYTES;
  #receiveWindow = CONNECTION_WINDOW_BYTES;
  #consumedBytes = 0;
  #pong: (() => void) | undefined;
  #isDraining = false;
  #isClosed = false;

  /** Takes over a socket whose bytes from the preface on are still to be read. */
  constructor(socket: Socket, options: Http2Options<Call>) {
    this.#socket = socket;
    this.#options = options;
    this.#output = new Output(socket);
    this.#reader = new FrameReader((type, flags, id, bytes, from, to) => this.#frame(type, flags, id, bytes, from, to));
    socket.setNoDelay(true);
    socket.on("error", () => undefined); // `close` follows
    socket.on("close", () => this.#closed());
    socket.on("end", () => this.#hangUp());
    socket.on("drain", () => this.#drained());
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    this.#sendPreface();
    socket.resume();
  }

  /** The peer's SETTINGS are here. */
  get hasSettings(): boolean {
    return this.#hasSettings;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get streams(): Iterable<Http2Stream> {
    return this.#streams.values();
  }

  /** Calls back when the peer has answered; one ping at a time. */
  ping(answered: () => void): void {
    if (this.#pong !== undefined || this.#isClosed) return;
    this.#pong = answered;
    this.#output.frame(8, FrameType.ping, 0, 0);
    this.#output.uint32(0);
    this.#output.uint32(0);
  }

  /** Called once a second: what an honest client may do again. */
  refill(): void {
    this.#guard.refill();
  }

  /** Takes no new streams, and closes when those there are have ended. */
  drain(): void {
    if (this.#isDraining || this.#isClosed) return;
    this.#isDraining = true;
    this.#sendGoaway(ErrorCode.none);
    this.#closeIfDone();
  }

  destroy(): void {
    this.#socket.destroy();
    this.#closed();
  }

  // What streams need (`StreamCarrier`).

  get sendRoom(): number {
    return this.#output.unsentBytes < UNSENT_BYTES_HIGH ? this.#sendWindow : 0;
  }

  sendHeaders(stream: Http2Stream, fields: readonly WireField[], isLast: boolean): void {
    this.#guard.sentContent();
    this.#output.headers(stream.id, fields, Flag.endHeaders | (isLast ? Flag.endStream : 0), this.#encoder);
  }

  sendData(stream: Http2Stream, bytes: Uint8Array, isLast: boolean): void {
    this.#guard.sentContent();
    this.#sendWindow -= bytes.length;
    let at = 0;
    do {
      const to = Math.min(bytes.length, at + FRAME_BYTES_MAX);
      const flags = isLast && to === bytes.length ? Flag.endStream : 0;
      this.#output.frame(to - at, FrameType.data, flags, stream.id);
      this.#output.bytes(at === 0 && to === bytes.length ? bytes : bytes.subarray(at, to));
      at = to;
    } while (at < bytes.length);
  }

  sendReset(stream: Http2Stream, code: ErrorCode): void {
    this.#sendReset(stream.id, code, stream.isRequestEnded);
  }

  wait(stream: Http2Stream): void {
    this.#waiting.add(stream);
  }

  consumed(stream: Http2Stream, bytes: number): void {
    this.#credit(bytes);
    const credit = stream.takeCredit(STREAM_WINDOW_BYTES / 2);
    if (credit > 0) this.#sendWindowUpdate(stream.id, credit);
  }

  queued(bytes: number): void {
    this.#options.queued(bytes);
  }

  forget(stream: Http2Stream): void {
    this.#streams.delete(stream.id);
    this.#waiting.delete(stream);
    this.#closeIfDone();
  }

  // Reading.

  #read(chunk: Uint8Array): void {
    if (this.#isClosed) return;
    this.#output.cork();
    try {
      const from = this.#prefaceAt < CLIENT_PREFACE.length ? this.#readPreface(chunk) : 0;
      if (from < chunk.length) this.#reader.push(from === 0 ? chunk : chunk.subarray(from));
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      this.#fail(error);
    } finally {
      this.#output.uncork();
    }
    if (this.#output.unsentBytes > UNSENT_BYTES_MAX && !this.#isClosed) this.#socket.pause(); // C4
  }

  #readPreface(chunk: Uint8Array): number {
    let at = 0;
    while (this.#prefaceAt < CLIENT_PREFACE.length && at < chunk.length) {
      if (chunk[at++] !== CLIENT_PREFACE[this.#prefaceAt++]) {
        throw new ConnectionError(ErrorCode.protocol, "Cannot read the connection's preface");
      }
    }
    return at;
  }

  #frame(type: number, flags: number, id: number, bytes: Uint8Array, from: number, to: number): void {
    if (this.#isClosed) return;
    if (this.#openBlock !== undefined && type !== FrameType.continuation) throw broken("a header block is unfinished");
    if (!this.#hasSettings && type !== FrameType.settings) throw broken("the first frame must be SETTINGS");
    switch (type) {
      case FrameType.data:
        this.#onData(flags, id, bytes, from, to);
        return;
      case FrameType.headers:
        this.#onHeaders(flags, id, bytes, from, to);
        return;
      case FrameType.continuation:
        this.#onContinuation(flags, id, bytes, from, to);
        return;
      case FrameType.priority:
        if (id === 0) throw broken("PRIORITY of stream 0");
        if (to - from !== 5) throw wrongSize("PRIORITY");
        this.#countPing();
        return;
      case FrameType.reset:
        this.#onReset(id, to - from);
        return;
      case FrameType.settings:
        this.#onSettings(flags, id, bytes, from, to);
        return;
      case FrameType.ping:
        this.#onPing(flags, id, bytes, from, to);
        return;
      case FrameType.goaway:
        if (id !== 0) throw broken("GOAWAY of a stream");
        if (to - from < 8) throw wrongSize("GOAWAY");
        this.#countPing();
        return; // the peer opens no more streams; those there are go on
      case FrameType.windowUpdate:
        this.#onWindowUpdate(id, bytes, from, to);
        return;
      case FrameType.pushPromise:
        throw broken("a client pushes nothing");
      default:
        this.#countPing(); // an unknown type is ignored (section 5.5)
    }
  }

  #onData(flags: number, id: number, bytes: Uint8Array, from: number, to: number): void {
    if (id === 0) throw broken("DATA of stream 0");
    const wireBytes = to - from;
    this.#receiveWindow -= wireBytes;
    if (this.#receiveWindow < 0) throw new ConnectionError(ErrorCode.flowControl, "more data than the window allows");
    let start = from;
    let end = to;
    if ((flags & Flag.padded) !== 0) {
      if (wireBytes === 0) throw wrongSize("DATA");
      start = from + 1;
      end = to - (bytes[from] as number); // in range: wireBytes > 0
      if (end < start) throw broken("padding longer than its frame");
    }
    const isLast = (flags & Flag.endStream) !== 0;
    if (wireBytes === 0 && !isLast) this.#countPing();
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      this.#mustHaveExisted(id);
      this.#credit(wireBytes);
      if (this.#resetStreams.excuses(id, isLast)) return;
      this.#sendReset(id, ErrorCode.streamClosed, true);
      this.#countReset();
      return;
    }
    const error = stream.receive(bytes.subarray(start, end), wireBytes, isLast);
    if (error !== ErrorCode.none) this.#resetStream(stream, error, wireBytes);
  }

  #onHeaders(flags: number, id: number, bytes: Uint8Array, from: number, to: number): void {
    let start = from;
    let end = to;
    if ((flags & Flag.padded) !== 0) {
      if (to === from) throw wrongSize("HEADERS");
      end -= bytes[from] as number; // in range by the line above
      start += 1;
    }
    if ((flags & Flag.priority) !== 0) start += 5;
    if (start > to) throw wrongSize("HEADERS");
    if (start > end) throw broken("padding longer than its frame");
    if (id % 2 === 0) throw broken("a client's streams have odd numbers");
    const isLast = (flags & Flag.endStream) !== 0;
    if ((flags & Flag.endHeaders) !== 0) {
      this.#block(id, isLast, bytes, start, end);
      return;
    }
    this.#openBlock = { streamId: id, isLast, bytes: copy(bytes, start, end), length: end - start };
  }

  #onContinuation(flags: number, id: number, bytes: Uint8Array, from: number, to: number): void {
    const open = this.#openBlock;
    if (open === undefined || open.streamId !== id) throw broken("CONTINUATION of nothing");
    if (from === to) this.#countPing();
    const length = open.length + to - from;
    if (length > BLOCK_BYTES_MAX) {
      throw new ConnectionError(ErrorCode.enhanceYourCalm, `a header block over ${BLOCK_BYTES_MAX} bytes`);
    }
    if (length > open.bytes.length) {
      const grown = new Uint8Array(Math.min(BLOCK_BYTES_MAX, Math.max(length, open.bytes.length * 2)));
      grown.set(open.bytes.subarray(0, open.length));
      open.bytes = grown;
    }
    open.bytes.set(bytes.subarray(from, to), open.length);
    open.length = length;
    if ((flags & Flag.endHeaders) === 0) return;
    this.#openBlock = undefined;
    this.#block(id, open.isLast, open.bytes, 0, length);
  }

  /** A whole header block: a new stream's head, or the trailers of one. */
  #block(id: number, isLast: boolean, bytes: Uint8Array, from: number, to: number): void {
    if (id <= this.#lastStreamId) {
      this.#trailers(id, isLast, bytes, from, to);
      return;
    }
    this.#lastStreamId = id;
    if (!this.#isDraining) this.#lastServedId = id;
    const known = this.#findBlock(bytes, from, to);
    if (known !== undefined) {
      this.#open(id, isLast, known.head, known.call);
      return;
    }
    const before = this.#decoder.changes;
    const builder = new HeadBuilder(HEADER_BYTES_MAX, HEADER_FIELDS_MAX);
    this.#decoder.decode(bytes, from, to, (field) => builder.add(field));
    const result = builder.finish();
    if (result.type !== "head") {
      this.#refuse(id, isLast, result.type);
      return;
    }
    const { head } = result;
    const call = this.#options.prepare(head);
    if (before === this.#decoder.changes) this.#remember(bytes, from, to, head, call);
    this.#open(id, isLast, head, call);
  }

  #open(id: number, isLast: boolean, head: RequestHead, call: Call): void {
    if (this.#isDraining || this.#streams.size >= this.#options.streamsMax) {
      this.#sendReset(id, ErrorCode.refusedStream, isLast);
      if (!this.#isDraining) this.#countReset();
      return;
    }
    const windows = { send: this.#peerStreamWindow, receive: STREAM_WINDOW_BYTES };
    const stream = new Http2Stream(id, this, windows, head.bodyBytes);
    this.#streams.set(id, stream);
    this.#options.serve(stream, call);
    if (!isLast) return;
    const error = stream.endRequest();
    if (error !== ErrorCode.none) this.#resetStream(stream, error, 0);
  }

  #refuse(id: number, isLast: boolean, why: "malformed" | "too-large"): void {
    this.#countReset();
    if (why === "too-large") {
      this.#output.headers(id, TOO_LARGE, Flag.endHeaders | Flag.endStream, this.#encoder);
      if (isLast) return;
    }
    this.#sendReset(id, why === "too-large" ? ErrorCode.none : ErrorCode.protocol, isLast);
  }

  #trailers(id: number, isLast: boolean, bytes: Uint8Array, from: number, to: number): void {
    const builder = new HeadBuilder(HEADER_BYTES_MAX, HEADER_FIELDS_MAX);
    this.#decoder.decode(bytes, from, to, (field) => builder.add(field)); // C2
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      if (this.#resetStreams.excuses(id, isLast)) return;
      throw new ConnectionError(ErrorCode.streamClosed, "Cannot go on: HEADERS of a stream that has ended");
    }
    const isProper = stream.isRequestEnded || (isLast && builder.isValidTrailer);
    const error = isProper ? stream.endRequest() : ErrorCode.protocol;
    if (error !== ErrorCode.none) this.#resetStream(stream, error, 0);
  }

  #onReset(id: number, payloadBytes: number): void {
    if (id === 0) throw broken("RST_STREAM of stream 0");
    if (payloadBytes !== 4) throw wrongSize("RST_STREAM");
    this.#mustHaveExisted(id);
    this.#countReset();
    const stream = this.#streams.get(id);
    if (stream === undefined) this.#resetStreams.delete(id);
    else stream.abandon();
  }

  #onSettings(flags: number, id: number, bytes: Uint8Array, from: number, to: number): void {
    if (id !== 0) throw broken("SETTINGS of a stream");
    if ((flags & Flag.ack) !== 0) {
      if (to !== from) throw wrongSize("SETTINGS");
      if (!this.#hasSettings) throw broken("the first frame must be SETTINGS");
      return;
    }
    if ((to - from) % 6 !== 0) throw wrongSize("SETTINGS");
    if (this.#hasSettings) this.#countPing();
    this.#hasSettings = true;
    const windowBefore = this.#peerStreamWindow;
    for (let at = from; at < to; at += 6) {
      // In range: the payload is a multiple of six.
      this.#applySetting(((bytes[at] as number) << 8) | (bytes[at + 1] as number), uint32(bytes, at + 2));
    }
    this.#widenStreams(this.#peerStreamWindow - windowBefore);
    this.#output.frame(0, FrameType.settings, Flag.ack, 0);
  }

  #applySetting(setting: number, value: number): void {
    switch (setting) {
      case Setting.headerTableSize:
        this.#encoder.peerTableBytes(value);
        return;
      case Setting.enablePush:
        if (value > 1) throw broken("ENABLE_PUSH is 0 or 1");
        return;
      case Setting.initialWindowSize:
        if (value > WINDOW_BYTES_MAX) throw new ConnectionError(ErrorCode.flowControl, "a window over 2^31-1");
        this.#peerStreamWindow = value;
        return;
      case Setting.maxFrameSize:
        // We never send more than the least that a peer may ask for.
        if (value < FRAME_BYTES_MAX || value > 0xff_ffff) throw broken("MAX_FRAME_SIZE out of its range");
        return;
      default: // MAX_CONCURRENT_STREAMS and MAX_HEADER_LIST_SIZE bound what we do not do; the rest is unknown
    }
  }

  /** Once a frame, with the last of its values: the streams are many, and so may the settings of a frame be. */
  #widenStreams(more: number): void {
    if (more === 0) return;
    for (const stream of [...this.#streams.values()]) {
      if (!stream.widen(more, WINDOW_BYTES_MAX)) {
        throw new ConnectionError(ErrorCode.flowControl, "a window overflows");
      }
    }
  }

  #onPing(flags: number, id: number, bytes: Uint8Array, from: number, to: number): void {
    if (id !== 0) throw broken("PING of a stream");
    if (to - from !== 8) throw wrongSize("PING");
    if ((flags & Flag.ack) !== 0) {
      const answered = this.#pong;
      this.#pong = undefined;
      answered?.();
      return;
    }
    this.#countPing();
    this.#output.frame(8, FrameType.ping, Flag.ack, 0);
    this.#output.bytes(copy(bytes, from, to));
  }

  #onWindowUpdate(id: number, bytes: Uint8Array, from: number, to: number): void {
    if (to - from !== 4) throw wrongSize("WINDOW_UPDATE");
    const more = uint31(bytes, from);
    if (id === 0) {
      if (more === 0) throw broken("WINDOW_UPDATE by nothing");
      this.#sendWindow += more;
      if (this.#sendWindow > WINDOW_BYTES_MAX) throw new ConnectionError(ErrorCode.flowControl, "a window overflows");
      this.#pumpWaiting();
      return;
    }
    this.#mustHaveExisted(id);
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    if (more === 0) this.#resetStream(stream, ErrorCode.protocol, 0);
    else if (!stream.widen(more, WINDOW_BYTES_MAX)) this.#resetStream(stream, ErrorCode.flowControl, 0);
  }

  // The rest.

  #findBlock(bytes: Uint8Array, from: number, to: number): KnownBlock<Call> | undefined {
    const { changes } = this.#decoder;
    for (const known of this.#knownBlocks) {
      if (known.changes === changes && isSame(known.bytes, bytes, from, to)) return known;
    }
    return undefined;
  }

  #remember(bytes: Uint8Array, from: number, to: number, head: RequestHead, call: Call): void {
    if (to - from > KNOWN_BLOCK_BYTES_MAX) return;
    const { changes } = this.#decoder;
    const still = this.#knownBlocks.filter((one) => one.changes === changes);
    if (still.length === KNOWN_BLOCKS_MAX) still.shift();
    still.push({ changes, bytes: copy(bytes, from, to), head, call });
    this.#knownBlocks = still;
  }

  /** Resets a stream because of what its caller sent. */
  #resetStream(stream: Http2Stream, code: ErrorCode, unusedBytes: number): void {
    this.#credit(unusedBytes);
    stream.reset(code);
    this.#countReset();
  }

  #credit(bytes: number): void {
    this.#consumedBytes += bytes;
    if (this.#consumedBytes < CONNECTION_WINDOW_BYTES / 2) return;
    this.#receiveWindow += this.#consumedBytes;
    this.#sendWindowUpdate(0, this.#consumedBytes);
    this.#consumedBytes = 0;
  }

  #pumpWaiting(): void {
    for (const stream of this.#waiting) {
      if (this.sendRoom <= 0) return;
      this.#waiting.delete(stream); // if it must wait again, it goes to the end of the line
      stream.pump();
    }
  }

  #drained(): void {
    if (this.#isClosed) return;
    this.#pumpWaiting();
    if (this.#socket.isPaused() && this.#output.unsentBytes <= UNSENT_BYTES_MAX) this.#socket.resume();
  }

  #mustHaveExisted(id: number): void {
    if (id > this.#lastStreamId || id % 2 === 0) throw broken("a frame of a stream that was never opened");
  }

  #countPing(): void {
    if (this.#guard.allowsPing()) return;
    this.#options.observer.observe({ type: "door-ping-flood", level: "warn" });
    throw new ConnectionError(ErrorCode.enhanceYourCalm, "too many pings");
  }

  #countReset(): void {
    if (this.#guard.allowsReset()) return;
    this.#options.observer.observe({ type: "door-reset-flood", level: "warn" });
    throw new ConnectionError(ErrorCode.enhanceYourCalm, "too many resets");
  }

  #sendPreface(): void {
    const settings = [
      [Setting.maxConcurrentStreams, this.#options.streamsMax],
      [Setting.initialWindowSize, STREAM_WINDOW_BYTES],
      [Setting.maxHeaderListSize, HEADER_BYTES_MAX],
    ] as const;
    this.#output.frame(settings.length * 6, FrameType.settings, 0, 0);
    for (const [setting, value] of settings) {
      this.#output.byte(0);
      this.#output.byte(setting);
      this.#output.uint32(value);
    }
    this.#sendWindowUpdate(0, CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW_BYTES);
  }

  #sendWindowUpdate(streamId: number, bytes: number): void {
    this.#output.frame(4, FrameType.windowUpdate, 0, streamId);
    this.#output.uint32(bytes);
  }

  #sendReset(streamId: number, code: ErrorCode, isRequestEnded: boolean): void {
    this.#output.frame(4, FrameType.reset, 0, streamId);
    this.#output.uint32(code);
    if (!isRequestEnded) this.#resetStreams.add(streamId);
  }

  #sendGoaway(code: ErrorCode): void {
    this.#output.frame(8, FrameType.goaway, 0, 0);
    this.#output.uint32(this.#lastServedId);
    this.#output.uint32(code);
  }

  /** C3. The peer is told why, and gets a moment to read it. */
  #fail(error: ConnectionError): void {
    if (this.#isClosed) return;
    this.#options.observer.observe({ type: "door-connection-failed", level: "debug", message: error.message });
    this.#sendGoaway(error.code);
    this.#endSocket(LAST_WORDS_MS);
  }

  /** The peer sends no more: nothing that it asked for can be told apart from a connection that is gone. */
  #hangUp(): void {
    if (this.#isClosed) return;
    this.#endSocket(LAST_WORDS_MS);
    this.#socket.destroySoon();
  }

  #closeIfDone(): void {
    if (!this.#isDraining || this.#streams.size > 0 || this.#isClosed) return;
    this.#endSocket(LAST_ANSWERS_MS);
  }

  /** Sends what is staged, reads on so that it is not lost to a reset, and cuts a peer that does not take it in time. */
  #endSocket(lingerMs: number): void {
    const socket = this.#socket;
    this.#output.end();
    this.#closed();
    if (socket.destroyed) return;
    const timer = setTimeout(() => socket.destroy(), lingerMs).unref();
    socket.once("close", () => clearTimeout(timer));
    socket.resume();
  }

  #closed(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const stream of [...this.#streams.values()]) stream.abandon();
    this.#options.closed();
  }
}

/** How long a peer that broke the protocol, or hung up, may take to read the last words. */
const LAST_WORDS_MS = 1_000;
/** The same when all is well: answers may still be under way to a slow reader. */
const LAST_ANSWERS_MS = 10_000;

/** A copy also of a `Buffer`, whose own `slice` is a view that would keep all of the socket's chunk. */
function copy(bytes: Uint8Array, from: number, to: number): Uint8Array {
  return Uint8Array.prototype.slice.call(bytes, from, to);
}

function isSame(known: Uint8Array, bytes: Uint8Array, from: number, to: number): boolean {
  if (known.length !== to - from) return false;
  for (let i = 0; i < known.length; i++) {
    if (known[i] !== bytes[from + i]) return false;
  }
  return true;
}

function broken(what: string): ConnectionError {
  return new ConnectionError(ErrorCode.protocol, `Cannot go on: ${what}`);
}

function wrongSize(frame: string): ConnectionError {
  return new ConnectionError(ErrorCode.frameSize, `Cannot go on: ${frame} of a wrong length`);
}
