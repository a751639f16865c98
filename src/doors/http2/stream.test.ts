/** One stream over a carrier made by hand: windows, queue, pauses, and what is given back at the end. */
import { beforeEach, describe, expect, it } from "vitest";
import { ErrorCode } from "./frame.ts";
import { Http2Stream, type StreamCarrier, type StreamListener } from "./stream.ts";

class Carrier implements StreamCarrier {
  sendRoom = 1_000_000;
  readonly sent: string[] = [];
  queuedBytes = 0;
  consumedBytes = 0;
  waits = 0;
  forgotten = 0;

  sendHeaders(_stream: Http2Stream, fields: readonly unknown[], isLast: boolean): void {
    this.sent.push(`headers ${fields.length}${isLast ? " last" : ""}`);
  }

  sendData(_stream: Http2Stream, bytes: Uint8Array, isLast: boolean): void {
    this.sendRoom -= bytes.length;
    this.sent.push(`data ${bytes.length}${isLast ? " last" : ""}`);
  }

  sendReset(_stream: Http2Stream, code: ErrorCode): void {
    this.sent.push(`reset ${code}`);
  }

  wait(): void {
    this.waits++;
  }

  consumed(_stream: Http2Stream, bytes: number): void {
    this.consumedBytes += bytes;
  }

  queued(bytes: number): void {
    this.queuedBytes += bytes;
  }

  forget(): void {
    this.forgotten++;
  }
}

const WINDOW_MAX = 0x7fff_ffff;
let carrier: Carrier;
let events: string[];

beforeEach(() => {
  carrier = new Carrier();
  events = [];
});

function open(
  options: { readonly send?: number; readonly receive?: number; readonly body?: number } = {},
  listener: Partial<StreamListener> = {},
): Http2Stream {
  const windows = { send: options.send ?? 65_535, receive: options.receive ?? 100 };
  const stream = new Http2Stream(1, carrier, windows, options.body);
  stream.listen({
    data: (bytes) => {
      events.push(Buffer.from(bytes).toString());
      listener.data?.(bytes);
    },
    end: () => {
      events.push("END");
      listener.end?.();
    },
    drain: () => {
      events.push("DRAIN");
      listener.drain?.();
    },
    close: () => {
      events.push("CLOSE");
      listener.close?.();
    },
  });
  return stream;
}

const text = (words: string): Buffer => Buffer.from(words);

describe("sending", () => {
  it("goes out at once within the windows, and ends with trailers or an empty frame", () => {
    const first = open();
    first.endRequest();
    first.respond([]);
    expect(first.write(text("abc"))).toBe(true);
    first.end([]);
    expect(carrier.sent).toEqual(["headers 0", "data 3", "headers 0 last"]);
    const second = open();
    second.endRequest();
    second.respond([]);
    second.end();
    expect(carrier.sent.slice(3)).toEqual(["headers 0", "data 0 last"]);
    expect([carrier.forgotten, carrier.queuedBytes]).toEqual([2, 0]);
  });

  it("stops at the stream's window, and does not wait in the connection's line for it", () => {
    const stream = open({ send: 5 });
    stream.endRequest();
    stream.respond([]);
    stream.write(text("12345678"));
    stream.write(text("9"));
    stream.end([]);
    expect(carrier.sent).toEqual(["headers 0", "data 5"]);
    expect([carrier.queuedBytes, carrier.waits]).toEqual([4, 0]);
    stream.widen(3, WINDOW_MAX);
    stream.widen(1, WINDOW_MAX);
    expect(carrier.sent.slice(2)).toEqual(["data 3", "data 1", "headers 0 last"]);
    expect(carrier.queuedBytes).toBe(0);
  });

  it("waits in line for the connection's room, and goes on when it is pumped", () => {
    carrier.sendRoom = 2;
    const stream = open();
    stream.respond([]);
    stream.write(text("abcde"));
    expect([carrier.waits, carrier.queuedBytes]).toEqual([1, 3]);
    carrier.sendRoom = 1;
    stream.pump();
    expect([carrier.waits, carrier.queuedBytes]).toEqual([2, 2]);
    carrier.sendRoom = 10;
    stream.pump();
    expect(carrier.sent.slice(1)).toEqual(["data 2", "data 1", "data 2"]);
  });

  it("sends nothing while the window is negative", () => {
    const stream = open({ send: 10 });
    stream.respond([]);
    stream.write(Buffer.alloc(10));
    expect(stream.widen(-8, WINDOW_MAX)).toBe(true);
    stream.write(Buffer.alloc(0));
    stream.write(Buffer.alloc(3));
    stream.widen(8, WINDOW_MAX);
    expect(carrier.sent).toEqual(["headers 0", "data 10"]);
    stream.widen(1, WINDOW_MAX);
    expect(carrier.sent.slice(2)).toEqual(["data 0", "data 1"]);
  });

  it("tells an overflow of the window", () => {
    expect(open({ send: 10 }).widen(WINDOW_MAX - 10, WINDOW_MAX)).toBe(true);
    expect(open({ send: 10 }).widen(WINDOW_MAX - 9, WINDOW_MAX)).toBe(false);
  });

  it("says when it is full and once when it is not", () => {
    const stream = open({ send: 0 });
    stream.respond([]);
    expect(stream.write(Buffer.alloc(16_383))).toBe(true);
    expect(stream.write(Buffer.alloc(1))).toBe(false);
    expect(stream.write(Buffer.alloc(1))).toBe(false);
    stream.widen(16_384, WINDOW_MAX);
    expect(events).toEqual([]);
    stream.widen(1, WINDOW_MAX);
    stream.widen(1, WINDOW_MAX);
    expect(events).toEqual(["DRAIN"]);
  });

  it("may be fed from inside drain", () => {
    let left = 5;
    const stream: Http2Stream = open(
      { send: 0 },
      {
        drain: () => {
          while (left-- > 0 && stream.write(Buffer.alloc(20_000)));
        },
      },
    );
    stream.respond([]);
    stream.write(Buffer.alloc(20_000));
    for (let i = 0; i < 6; i++) stream.widen(20_000, WINDOW_MAX);
    expect(carrier.sent.filter((one) => one === "data 20000")).toHaveLength(6);
    expect(carrier.queuedBytes).toBe(0);
  });

  it("F3 after a reset of either side nothing is sent, and what was queued is given back", () => {
    for (const give of [
      (stream: Http2Stream) => stream.abandon(),
      (stream: Http2Stream) => stream.reset(ErrorCode.cancel),
    ]) {
      carrier = new Carrier();
      const stream = open({ send: 1 });
      stream.respond([]);
      stream.write(Buffer.alloc(100));
      give(stream);
      const before = [...carrier.sent];
      expect(stream.write(Buffer.alloc(5))).toBe(false);
      stream.end([]);
      stream.respond([]);
      stream.reset(ErrorCode.cancel);
      stream.widen(100, WINDOW_MAX);
      stream.pump();
      stream.abandon();
      expect(carrier.sent).toEqual(before);
      expect([carrier.queuedBytes, carrier.forgotten]).toEqual([0, 1]);
    }
    expect(events).toEqual(["CLOSE", "CLOSE"]);
  });

  it("F3 an answer that is whole before the request is followed by one reset without an error", () => {
    const stream = open();
    stream.respond([], true);
    expect(carrier.sent).toEqual(["headers 0 last", "reset 0"]);
    expect(events).toEqual(["CLOSE"]);
  });
});

describe("receiving", () => {
  it("hands on what comes, and the end after it", () => {
    const stream = open();
    expect(stream.receive(text("ab"), 2, false)).toBe(ErrorCode.none);
    expect(stream.receive(text("c"), 5, true)).toBe(ErrorCode.none);
    expect(events).toEqual(["ab", "c", "END"]);
    expect(carrier.consumedBytes).toBe(7);
    expect(stream.receive(text("d"), 1, false)).toBe(ErrorCode.streamClosed);
    expect(stream.endRequest()).toBe(ErrorCode.streamClosed);
  });

  it("takes no more than its window, padding counted", () => {
    const stream = open({ receive: 10 });
    expect(stream.receive(text("ab"), 10, false)).toBe(ErrorCode.none);
    expect(stream.receive(text("c"), 1, false)).toBe(ErrorCode.flowControl);
  });

  it("takes what content-length says, no more and no less", () => {
    expect(open({ body: 2 }).receive(text("abc"), 3, false)).toBe(ErrorCode.protocol);
    expect(open({ body: 2 }).receive(text("a"), 1, true)).toBe(ErrorCode.protocol);
    expect(open({ body: 2 }).receive(text("ab"), 9, true)).toBe(ErrorCode.none);
    expect(open({ body: 1 }).endRequest()).toBe(ErrorCode.protocol);
    expect(open({ body: 0 }).endRequest()).toBe(ErrorCode.none);
  });

  it("F2 opens the window for what was handed on, when it is worth a frame", () => {
    const stream = open({ receive: 100 });
    stream.receive(Buffer.alloc(40), 40, false);
    expect(stream.takeCredit(50)).toBe(0);
    stream.receive(Buffer.alloc(20), 20, false);
    expect(stream.takeCredit(50)).toBe(60);
    expect(stream.takeCredit(1)).toBe(0);
    expect(stream.receive(Buffer.alloc(100), 100, false)).toBe(ErrorCode.none);
  });

  it("F2 holds what comes while it is paused, and gives no credit for it", () => {
    const stream = open();
    stream.pause();
    for (const letter of "abc") stream.receive(text(letter), 1, false);
    stream.receive(text("d"), 1, true);
    expect([events.length, carrier.consumedBytes]).toEqual([0, 0]);
    stream.resume();
    expect(events.join("")).toBe("abcdEND");
    expect(carrier.consumedBytes).toBe(4);
  });

  it("hands each byte on once, whatever its listener does inside", () => {
    const big = Buffer.alloc(40_000, "x");
    let turns = 0;
    let depth = 0;
    const stream: Http2Stream = open(
      { receive: 1_000_000 },
      {
        data: () => {
          expect(depth++).toBe(0); // never inside itself
          stream.pause();
          if (turns++ % 2 === 0) stream.resume(); // at once, or later by hand
          depth--;
        },
        end: () => expect(depth).toBe(0),
      },
    );
    stream.pause();
    for (let i = 0; i < 5; i++) stream.receive(big, big.length, i === 4);
    for (let i = 0; i < 20; i++) stream.resume();
    expect(events.filter((one) => one !== "END").join("").length).toBe(200_000);
    expect(events.at(-1)).toBe("END");
    expect(events.filter((one) => one === "END")).toHaveLength(1);
    expect(carrier.consumedBytes).toBe(200_000);
  });

  it("keeps the order when more comes while a part is still held", () => {
    const stream: Http2Stream = open({}, { data: () => stream.pause() });
    stream.pause();
    stream.receive(text("ab"), 2, false);
    stream.resume();
    stream.receive(text("cd"), 2, false);
    stream.receive(text("ef"), 2, true);
    for (let i = 0; i < 5; i++) stream.resume();
    expect(events.join("")).toBe("abcdefEND");
  });

  it("gives the connection back what was held when the stream goes", () => {
    const stream = open();
    stream.pause();
    stream.receive(Buffer.alloc(30), 35, false);
    expect(carrier.consumedBytes).toBe(5);
    stream.abandon();
    expect(carrier.consumedBytes).toBe(35);
    expect(events).toEqual(["CLOSE"]);
    stream.resume();
    expect(events).toEqual(["CLOSE"]);
  });

  it("lets a listener answer, reset or end inside data", () => {
    const answering: Http2Stream = open(
      {},
      {
        data: () => {
          answering.respond([]);
          answering.end([]);
        },
      },
    );
    expect(answering.receive(text("a"), 1, true)).toBe(ErrorCode.none);
    expect(carrier.sent).toEqual(["headers 0", "headers 0 last"]); // no reset: the caller had said all
    expect(events).toEqual(["a", "CLOSE"]);
    const resetting: Http2Stream = open({}, { data: () => resetting.reset(ErrorCode.cancel) });
    expect(resetting.receive(text("a"), 1, true)).toBe(ErrorCode.none);
    expect(carrier.sent.at(-1)).toBe(`reset ${ErrorCode.cancel}`);
  });
});
