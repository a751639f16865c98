/**
 * What RFC 9113 demands of a server, section by section: a raw socket sends, and the answer is a reset, a GOAWAY, or nothing.
 * Tested elsewhere: header compression (`hpack-*.test.ts`), the rules for single fields (`request-head.test.ts`), floods
 * (`floods.test.ts`), clients that keep the rules (`interop.test.ts`).
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { blockBytes, frameBytes, Http2Peer, settingsBytes, uint32Bytes } from "../testing/http2-peer.ts";
import { Http2Rig } from "../testing/http2-rig.ts";
import { CLIENT_PREFACE, ErrorCode, Flag, FrameType, Setting } from "./frame.ts";

const T = FrameType;
const HEAD = Flag.endHeaders;
const LAST = Flag.endHeaders | Flag.endStream;

type Fields = readonly (readonly [string, string])[];

function head(path: string, more: Fields = []): Buffer {
  return blockBytes([[":method", "POST"], [":scheme", "http"], [":path", path], [":authority", "test"], ...more]);
}

function headers(id: number, path = "/hold", flags: number = HEAD, more: Fields = []): Buffer {
  return frameBytes(T.headers, flags, id, head(path, more));
}

function data(id: number, bytes: number | Uint8Array, flags = 0): Buffer {
  return frameBytes(T.data, flags, id, typeof bytes === "number" ? Buffer.alloc(bytes, 1) : bytes);
}

function widen(id: number, bytes: number): Buffer {
  return frameBytes(T.windowUpdate, 0, id, uint32Bytes(bytes));
}

function reset(id: number, code: number = ErrorCode.cancel): Buffer {
  return frameBytes(T.reset, 0, id, uint32Bytes(code));
}

let rig: Http2Rig;
let peers: Http2Peer[];

beforeEach(async () => {
  peers = [];
  rig = await Http2Rig.open();
});

afterEach(async () => {
  for (const peer of peers) peer.destroy();
  await rig.close();
});

async function open(settings: readonly (readonly [number, number])[] = []): Promise<Http2Peer> {
  const peer = await Http2Peer.open(rig.port, settings);
  peers.push(peer);
  return peer;
}

async function dial(): Promise<Http2Peer> {
  const peer = await Http2Peer.dial(rig.port);
  peers.push(peer);
  return peer;
}

/** The connection ends with this code, and every stream of it is told. */
async function breaks(code: number, ...bytes: readonly Uint8Array[]): Promise<void> {
  const peer = await open();
  peer.send(...bytes);
  expect(await peer.goaway(), peer.describe()).toBe(code);
  expect(rig.closedConnections).toBe(1);
  expect(rig.openStreams).toBe(0);
  for (const served of rig.served) expect(served.closes).toBe(1);
}

/** The stream is reset once with this code, and the connection lives. */
async function resets(id: number, code: number, ...bytes: readonly Uint8Array[]): Promise<Http2Peer> {
  const peer = await open();
  peer.send(...bytes);
  await peer.barrier();
  expect(peer.resets(id), peer.describe()).toEqual([code]);
  return peer;
}

/** Nothing comes of it but the answers to SETTINGS and to the barrier's ping. */
async function ignores(...bytes: readonly Uint8Array[]): Promise<Http2Peer> {
  const peer = await open();
  peer.send(...bytes);
  await peer.barrier();
  const types = peer.frames.map((one) => one.type);
  expect(types).not.toContain(T.goaway);
  expect(types).not.toContain(T.reset);
  return peer;
}

/** Each row: what is sent, and the code with which the connection ends. */
function connectionErrors(rows: readonly (readonly [string, number, () => readonly Uint8Array[]])[]): void {
  it.each(rows.map(([what, code, bytes]) => ({ what, code, bytes })))("$what ends the connection", async (row) => {
    await breaks(row.code, ...row.bytes());
  });
}

/** Each row: what is sent on stream 1, and the code of its reset. */
function streamErrors(rows: readonly (readonly [string, number, () => readonly Uint8Array[]])[]): void {
  it.each(rows.map(([what, code, bytes]) => ({ what, code, bytes })))("$what resets the stream", async (row) => {
    await resets(1, row.code, ...row.bytes());
  });
}

describe("§3.4 preface", () => {
  it("the server's first frame is SETTINGS without ACK, and the client's SETTINGS are acknowledged", async () => {
    const peer = await open();
    await peer.barrier();
    expect(peer.frames[0]).toMatchObject({ type: T.settings, flags: 0, streamId: 0 });
    expect(peer.frames.filter((one) => one.type === T.settings && one.flags === Flag.ack)).toHaveLength(1);
  });

  it("a wrong preface ends the connection", async () => {
    const peer = await dial();
    peer.send(Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\rX"));
    expect(await peer.goaway()).toBe(ErrorCode.protocol);
  });

  it("may come byte by byte", async () => {
    const peer = await dial();
    for (const byte of Buffer.concat([CLIENT_PREFACE, settingsBytes([])])) {
      peer.send(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await peer.barrier();
  });

  it.each([
    ["PING", (): Buffer => frameBytes(T.ping, 0, 0, new Uint8Array(8))],
    ["HEADERS", (): Buffer => headers(1)],
    ["an unknown frame", (): Buffer => frameBytes(0xbb, 0, 0)],
    ["an acknowledgement", (): Buffer => settingsBytes([], Flag.ack)],
  ])("%s in place of the client's SETTINGS ends the connection", async (_, bytes) => {
    const peer = await dial();
    peer.send(CLIENT_PREFACE, bytes());
    expect(await peer.goaway()).toBe(ErrorCode.protocol);
  });
});

describe("§4.1 frame format", () => {
  it("unknown types are ignored (§5.5), the reserved bit and undefined flags too", async () => {
    const peer = await ignores(
      frameBytes(0xbb, 0xff, 0, new Uint8Array(100)),
      frameBytes(0xbb, 0xff, 7, new Uint8Array(16_384)),
      frameBytes(T.settings, 0xfe, 0x8000_0000),
      frameBytes(T.headers, LAST | 0x82, 0x8000_0001, head("/whole")),
    );
    expect(peer.of(1, T.headers)).toHaveLength(2);
  });

  it("unknown flags of PING are ignored", async () => {
    const peer = await ignores(frameBytes(T.ping, 0xfe, 0, Buffer.from("abcdefgh")));
    expect(peer.frames.some((one) => one.type === T.ping && one.payload.toString() === "abcdefgh")).toBe(true);
  });
});

describe("§4.2 frame size", () => {
  it("a frame of the largest size is taken", async () => {
    const peer = await ignores(headers(1, "/echo"), data(1, 16_384, Flag.endStream));
    expect(peer.body(1)).toHaveLength(16_384);
  });

  connectionErrors([
    ["DATA over the largest size", ErrorCode.frameSize, () => [headers(1), data(1, 16_385)]],
    ["HEADERS over it", ErrorCode.frameSize, () => [frameBytes(T.headers, HEAD, 1, new Uint8Array(16_385))]],
    ["any frame over it by its head alone", ErrorCode.frameSize, () => [frameBytes(0xbb, 0, 0, [], 0xff_ffff)]],
    ["HEADERS too short for its priority", ErrorCode.frameSize, () => [frameBytes(T.headers, 0x24, 1, [0, 0, 0, 0])]],
    ["HEADERS too short for its pad length", ErrorCode.frameSize, () => [frameBytes(T.headers, HEAD | Flag.padded, 1)]],
    ["DATA too short for its pad length", ErrorCode.frameSize, () => [headers(1), frameBytes(T.data, Flag.padded, 1)]],
  ]);
});

describe("§4.3 header blocks", () => {
  connectionErrors([
    ["an index of nothing", ErrorCode.compression, () => [frameBytes(T.headers, HEAD, 1, [0x80])]],
    ["a block cut short", ErrorCode.compression, () => [frameBytes(T.headers, HEAD, 1, [0x00, 0x03, 0x61])]],
    [
      "a bad block in trailers",
      ErrorCode.compression,
      () => [headers(1), frameBytes(T.headers, LAST, 1, [0xff, 0xff, 0xff, 0xff, 0xff, 0x0f])],
    ],
    ["a frame inside a block", ErrorCode.protocol, () => [headers(1, "/hold", 0), data(1, 1)]],
    ["a frame of another stream inside a block", ErrorCode.protocol, () => [headers(1, "/hold", 0), headers(3)]],
    [
      "an unknown frame inside a block (§5.5)",
      ErrorCode.protocol,
      () => [headers(1, "/hold", 0), frameBytes(0xbb, 0, 0)],
    ],
    [
      "a PING inside a block",
      ErrorCode.protocol,
      () => [headers(1, "/hold", 0), frameBytes(T.ping, 0, 0, new Uint8Array(8))],
    ],
  ]);

  it("the table lives on through requests that are refused", async () => {
    const entering = Buffer.concat([Uint8Array.of(0x40), blockBytes([["x-one", "1"]]).subarray(1)]);
    const bad = Buffer.concat([head("/hold"), entering, blockBytes([["Upper", "x"]])]);
    const peer = await resets(1, ErrorCode.protocol, frameBytes(T.headers, LAST, 1, bad));
    peer.send(frameBytes(T.headers, LAST, 3, Buffer.concat([head("/whole"), Uint8Array.of(0x80 | 62)])));
    await peer.barrier();
    expect(rig.served[0]?.head.fields.get("x-one")).toBe("1");
    // Through trailers of a stream that is reset, and through a stream over the limit, as well.
    peer.send(frameBytes(T.headers, LAST, 5, Buffer.concat([head("/whole"), Uint8Array.of(0x80 | 62)])));
    await peer.barrier();
    expect(rig.served[1]?.head.fields.get("x-one")).toBe("1");
  });
});

describe("§4.3 equal header blocks", () => {
  it("mean something else once the table has changed", async () => {
    const entering = (name: string): Buffer =>
      Buffer.concat([Uint8Array.of(0x40), blockBytes([[name, "1"]]).subarray(1)]);
    const newest = Buffer.concat([head("/whole"), Uint8Array.of(0x80 | 62)]);
    const peer = await open();
    peer.send(
      frameBytes(T.headers, LAST, 1, Buffer.concat([head("/whole"), entering("x-one")])),
      frameBytes(T.headers, LAST, 3, newest),
      frameBytes(T.headers, LAST, 5, newest),
      frameBytes(T.headers, LAST, 7, Buffer.concat([head("/whole"), entering("x-two")])),
      frameBytes(T.headers, LAST, 9, newest),
    );
    await peer.barrier();
    const names = rig.served.map((one) => [...one.head.fields.keys()].join());
    expect(names).toEqual(["x-one", "x-one", "x-one", "x-two", "x-two"]);
    expect(rig.served[1]?.head).toBe(rig.served[2]?.head); // the equal one was known
  });
});

describe("§5.1 stream states", () => {
  connectionErrors([
    ["DATA of an idle stream", ErrorCode.protocol, () => [data(1, 1)]],
    ["RST_STREAM of an idle stream", ErrorCode.protocol, () => [reset(1)]],
    ["WINDOW_UPDATE of an idle stream", ErrorCode.protocol, () => [widen(1, 1)]],
    ["CONTINUATION of an idle stream", ErrorCode.protocol, () => [frameBytes(T.continuation, HEAD, 1, head("/hold"))]],
    ["WINDOW_UPDATE of a stream that only we could open", ErrorCode.protocol, () => [headers(3), widen(2, 1)]],
    ["HEADERS after the end of both sides", ErrorCode.streamClosed, () => [headers(1, "/whole", LAST), headers(1)]],
    ["HEADERS after the client's own reset", ErrorCode.streamClosed, () => [headers(1), reset(1), headers(1)]],
    ["CONTINUATION after a whole block", ErrorCode.protocol, () => [headers(1), frameBytes(T.continuation, HEAD, 1)]],
  ]);

  it("PRIORITY is taken in every state", async () => {
    const priority = frameBytes(T.priority, 0, 1, [0, 0, 0, 0, 16]);
    await ignores(priority, headers(1), priority, reset(1), priority, frameBytes(T.priority, 0, 99, [0, 0, 0, 99, 16]));
  });

  streamErrors([
    ["DATA after END_STREAM", ErrorCode.streamClosed, () => [headers(1, "/hold", LAST), data(1, 1)]],
    ["HEADERS after END_STREAM", ErrorCode.streamClosed, () => [headers(1, "/hold", LAST), headers(1, "/hold", LAST)]],
    ["HEADERS without END_STREAM after it", ErrorCode.streamClosed, () => [headers(1, "/hold", LAST), headers(1)]],
    ["DATA after both sides have ended", ErrorCode.streamClosed, () => [headers(1, "/whole", LAST), data(1, 1)]],
    ["DATA after the client's own reset", ErrorCode.streamClosed, () => [headers(1), reset(1), data(1, 1)]],
  ]);

  it("what was on its way when we reset the stream is thrown away, and its window given back", async () => {
    const peer = await resets(1, ErrorCode.protocol, headers(1, "/hold", HEAD, [["X", "upper"]]));
    for (let i = 0; i < 100; i++) peer.send(data(1, 16_000)); // more than the connection's window
    await new Promise((resolve) => setTimeout(resolve, 20));
    peer.send(frameBytes(T.headers, LAST, 1, blockBytes([["trailer", "x"]])), reset(1), widen(1, 5));
    await peer.barrier();
    expect(peer.resets(1)).toEqual([ErrorCode.protocol]);
    expect(peer.of(0, T.windowUpdate).length).toBeGreaterThan(1);
  });

  it("WINDOW_UPDATE and RST_STREAM after the end are ignored", async () => {
    const peer = await ignores(headers(1, "/whole", LAST), widen(1, 10), widen(1, 0), reset(1));
    expect(peer.of(1, T.headers)).toHaveLength(2);
  });

  it("an answer that ends before the request does is followed by RST_STREAM without an error (§8.1)", async () => {
    const peer = await resets(1, ErrorCode.none, headers(1, "/bytes/3"));
    expect(peer.of(1, T.headers).at(-1)?.flags).toBe(LAST);
    peer.send(data(1, 5, Flag.endStream)); // was on its way
    await peer.barrier();
    expect(peer.resets(1)).toEqual([ErrorCode.none]);
    peer.send(data(1, 5)); // was not
    await peer.barrier();
    expect(peer.resets(1)).toEqual([ErrorCode.none, ErrorCode.streamClosed]);
  });
});

describe("§5.1.1 stream identifiers", () => {
  connectionErrors([
    ["an even one", ErrorCode.protocol, () => [headers(2)]],
    ["HEADERS of stream 0", ErrorCode.protocol, () => [headers(0)]],
  ]);

  it("one below the last that was never used ends the connection", async () => {
    const peer = await open();
    peer.send(headers(5), headers(3));
    expect([ErrorCode.protocol, ErrorCode.streamClosed]).toContain(await peer.goaway());
  });
});

describe("§5.1.2 concurrency", () => {
  it("streams over the announced limit are refused, and others go on", async () => {
    await rig.close();
    rig = await Http2Rig.open({ streamsMax: 2 });
    const peer = await open();
    peer.send(headers(1), headers(3), headers(5), data(5, 10, Flag.endStream));
    await peer.barrier();
    expect([peer.resets(1), peer.resets(3), peer.resets(5)]).toEqual([[], [], [ErrorCode.refusedStream]]);
    const announced = peer.frames[0]?.payload;
    expect(announced?.subarray(0, 6)).toEqual(Buffer.from([0, Setting.maxConcurrentStreams, 0, 0, 0, 2]));
    peer.send(reset(1), headers(7, "/whole", LAST));
    await peer.barrier();
    expect(peer.of(7, T.headers)).toHaveLength(2);
  });
});

describe("§5.2, §6.9 flow control", () => {
  connectionErrors([
    ["WINDOW_UPDATE by nothing of the connection", ErrorCode.protocol, () => [widen(0, 0)]],
    ["WINDOW_UPDATE of another length", ErrorCode.frameSize, () => [frameBytes(T.windowUpdate, 0, 0, [0, 0, 1])]],
    ["its window over 2^31-1", ErrorCode.flowControl, () => [widen(0, 0x7fff_ffff)]],
    [
      "more data than its window",
      ErrorCode.flowControl,
      () => [1, 3, 5, 7, 9].flatMap((id) => [headers(id, "/paused"), ...times(15, () => data(id, 16_384))]),
    ],
  ]);

  streamErrors([
    ["WINDOW_UPDATE by nothing", ErrorCode.protocol, () => [headers(1), widen(1, 0)]],
    ["a window over 2^31-1", ErrorCode.flowControl, () => [headers(1), widen(1, 0x7fff_ffff)]],
    [
      "a window over 2^31-1 by steps",
      ErrorCode.flowControl,
      () => [headers(1), ...times(3, () => widen(1, 0x3fff_ffff))],
    ],
    [
      "more data than the stream's window",
      ErrorCode.flowControl,
      () => [headers(1, "/paused"), ...times(17, () => data(1, 16_384))],
    ],
  ]);

  it("no more is sent than the stream's window, down to one byte", async () => {
    const peer = await open([[Setting.initialWindowSize, 1]]);
    peer.send(headers(1, "/bytes/5", LAST));
    await peer.barrier();
    expect(peer.body(1)).toHaveLength(1);
    peer.send(widen(1, 3));
    await peer.barrier();
    expect(peer.body(1)).toHaveLength(4);
    peer.send(widen(1, 100));
    await peer.barrier();
    expect(peer.body(1)).toHaveLength(5);
    expect(peer.of(1, T.headers)).toHaveLength(2);
  });

  it("no more is sent than the connection's window, over all streams", async () => {
    const peer = await open([[Setting.initialWindowSize, 1_000_000]]);
    peer.send(headers(1, "/bytes/50000", LAST), headers(3, "/bytes/50000", LAST));
    await peer.barrier();
    expect(peer.body(1).length + peer.body(3).length).toBe(65_535);
    peer.send(widen(0, 34_465));
    await peer.barrier();
    expect(peer.body(1).length + peer.body(3).length).toBe(100_000);
    expect(rig.queuedBytes).toBe(0);
  });

  it("§6.9.1 headers and an empty last frame need no window", async () => {
    const peer = await open([[Setting.initialWindowSize, 0]]);
    peer.send(headers(1, "/bytes/0", LAST));
    await peer.barrier();
    expect(peer.of(1, T.headers)).toHaveLength(2);
  });

  it("§6.9.2 a smaller initial window makes those of open streams negative, and nothing is sent before they are not", async () => {
    const peer = await open([[Setting.initialWindowSize, 10]]);
    peer.send(headers(1, "/bytes/30", LAST));
    await peer.barrier();
    expect(peer.body(1)).toHaveLength(10);
    peer.send(settingsBytes([[Setting.initialWindowSize, 3]])); // the window is -7
    peer.send(widen(1, 7));
    await peer.barrier();
    expect(peer.body(1)).toHaveLength(10);
    peer.send(widen(1, 1));
    await peer.barrier();
    expect(peer.body(1)).toHaveLength(11);
    peer.send(settingsBytes([[Setting.initialWindowSize, 22]]));
    await peer.barrier();
    expect(peer.body(1)).toHaveLength(30);
  });

  it("§6.9.2 the last of several values in one frame counts", async () => {
    const peer = await open([
      [Setting.initialWindowSize, 100],
      [Setting.initialWindowSize, 5],
    ]);
    peer.send(headers(1, "/bytes/30", LAST));
    await peer.barrier();
    expect(peer.body(1)).toHaveLength(5);
  });

  connectionErrors([
    [
      "an initial window over 2^31-1",
      ErrorCode.flowControl,
      () => [settingsBytes([[Setting.initialWindowSize, 0x8000_0000]])],
    ],
    [
      "an initial window that makes a stream's overflow",
      ErrorCode.flowControl,
      () => [headers(1), widen(1, 0x7fff_ffff - 65_535), settingsBytes([[Setting.initialWindowSize, 65_536]])],
    ],
  ]);

  it("the client's windows open again for what was read, padding too", async () => {
    const peer = await open();
    peer.send(headers(1, "/hold"));
    const padded = Buffer.concat([Uint8Array.of(255), Buffer.alloc(300)]);
    for (let i = 0; i < 5_000; i++) {
      peer.send(frameBytes(T.data, Flag.padded, 1, padded)); // 1.5 MB: more than both windows
      if (i % 400 === 399) await peer.barrier();
    }
    await peer.barrier();
    expect(peer.resets(1)).toEqual([]);
    expect(rig.served[0]?.bodyBytes).toBe(5_000 * 45);
    for (const [id, granted] of [
      [0, 1_048_576 - 65_535],
      [1, 0],
    ] as const) {
      const credit = peer.of(id, T.windowUpdate).reduce((sum, one) => sum + one.payload.readUInt32BE(0), 0) - granted;
      expect(credit).toBeGreaterThan(5_000 * 301 - 600_000); // what is left to give is less than half a window
      expect(credit).toBeLessThanOrEqual(5_000 * 301);
    }
  });

  it("the connection's window comes back for data that broke its stream", async () => {
    const peer = await open();
    for (let i = 0; i < 100; i++) {
      peer.send(headers(1 + 2 * i, "/hold", HEAD, [["content-length", "1"]]), data(1 + 2 * i, 16_000));
      await peer.barrier();
    }
    expect(peer.resets(199)).toEqual([ErrorCode.protocol]);
  });

  it("the streams that wait for the connection's window take turns", async () => {
    const peer = await open([[Setting.initialWindowSize, 1_000_000]]);
    peer.send(headers(1, "/bytes/100000", LAST), headers(3, "/bytes/100000", LAST));
    for (let i = 0; i < 20; i++) peer.send(widen(0, 10));
    await peer.barrier();
    expect([peer.body(1).length, peer.body(3).length]).toEqual([65_535 + 100, 100]);
  });

  it("the client's windows stay shut for what is not read", async () => {
    const peer = await open();
    peer.send(headers(1, "/paused"), ...times(16, () => data(1, 16_384)));
    await peer.barrier();
    expect(peer.of(1, T.windowUpdate)).toHaveLength(0);
    const [served] = rig.served;
    served?.stream.resume();
    await peer.barrier();
    expect(served?.bodyBytes).toBe(16 * 16_384);
    expect(peer.of(1, T.windowUpdate).length).toBeGreaterThan(0);
  });

  it("the connection's window comes back for what a reset stream had not read", async () => {
    const peer = await open();
    for (let i = 0; i < 8; i++) {
      const id = 1 + 2 * i;
      peer.send(headers(id, "/paused"), ...times(16, () => data(id, 16_384)), reset(id)); // 256 KiB each, of 1 MiB
      await peer.barrier();
    }
    expect(rig.openStreams).toBe(0);
  });
});

describe("§6.1 DATA", () => {
  connectionErrors([
    ["of stream 0", ErrorCode.protocol, () => [data(0, 1)]],
    ["padding as long as the frame", ErrorCode.protocol, () => [headers(1), frameBytes(T.data, 8, 1, [2, 0])]],
    ["padding longer than the frame", ErrorCode.protocol, () => [headers(1), frameBytes(T.data, 8, 1, [255, 0])]],
  ]);

  it("padding is cut off", async () => {
    const peer = await ignores(
      headers(1, "/whole"),
      frameBytes(T.data, Flag.padded, 1, [2, 65, 66, 0, 0]),
      frameBytes(T.data, Flag.padded, 1, [0, 67]),
      frameBytes(T.data, Flag.padded | Flag.endStream, 1, [3, 0, 0, 0]),
    );
    expect(peer.body(1).toString()).toBe("ABC");
  });
});

describe("§6.2 HEADERS", () => {
  connectionErrors([
    ["padding longer than the frame", ErrorCode.protocol, () => [frameBytes(T.headers, HEAD | 8, 1, [200, 0x82])]],
    [
      "padding that reaches into the priority",
      ErrorCode.protocol,
      () => [frameBytes(T.headers, HEAD | 0x28, 1, [1, 0, 0, 0, 0, 16])],
    ],
  ]);

  it("padding and priority are cut off", async () => {
    const payload = Buffer.concat([Uint8Array.of(3, 0x80, 0, 0, 9, 255), head("/whole"), new Uint8Array(3)]);
    const peer = await ignores(frameBytes(T.headers, LAST | Flag.padded | Flag.priority, 1, payload));
    expect(peer.of(1, T.headers)).toHaveLength(2);
  });
});

describe("§6.3 PRIORITY", () => {
  connectionErrors([
    ["of stream 0", ErrorCode.protocol, () => [frameBytes(T.priority, 0, 0, [0, 0, 0, 0, 1])]],
    // A stream error, which an endpoint may treat as one of the connection (§5.4.1).
    ["of another length", ErrorCode.frameSize, () => [headers(1), frameBytes(T.priority, 0, 1, [0, 0, 0, 0])]],
  ]);
});

describe("§6.4 RST_STREAM", () => {
  connectionErrors([
    ["of stream 0", ErrorCode.protocol, () => [reset(0)]],
    ["of another length", ErrorCode.frameSize, () => [headers(1), frameBytes(T.reset, 0, 1, [0, 0, 8])]],
  ]);

  it("ends the stream, and nothing is sent on it", async () => {
    const peer = await open([[Setting.initialWindowSize, 1]]);
    peer.send(headers(1, "/bytes/500", LAST));
    await peer.barrier();
    const before = peer.frames.filter((one) => one.streamId === 1).length;
    peer.send(reset(1), widen(0, 1_000), settingsBytes([[Setting.initialWindowSize, 60_000]]));
    await peer.barrier();
    expect(peer.frames.filter((one) => one.streamId === 1)).toHaveLength(before);
    expect([rig.served[0]?.closes, rig.queuedBytes, rig.openStreams]).toEqual([1, 0, 0]);
  });
});

describe("§6.5 SETTINGS", () => {
  connectionErrors([
    ["of a stream", ErrorCode.protocol, () => [frameBytes(T.settings, 0, 1)]],
    ["an acknowledgement with a payload", ErrorCode.frameSize, () => [frameBytes(T.settings, 1, 0, new Uint8Array(6))]],
    ["of another length", ErrorCode.frameSize, () => [frameBytes(T.settings, 0, 0, new Uint8Array(7))]],
    ["ENABLE_PUSH of 2", ErrorCode.protocol, () => [settingsBytes([[Setting.enablePush, 2]])]],
    ["MAX_FRAME_SIZE below 2^14", ErrorCode.protocol, () => [settingsBytes([[Setting.maxFrameSize, 16_383]])]],
    ["MAX_FRAME_SIZE over 2^24-1", ErrorCode.protocol, () => [settingsBytes([[Setting.maxFrameSize, 16_777_216]])]],
  ]);

  it("each frame is acknowledged once, unknown settings are ignored", async () => {
    const peer = await ignores(
      settingsBytes([
        [0x99, 1],
        [Setting.maxFrameSize, 16_777_215],
        [Setting.enablePush, 1],
      ]),
      settingsBytes([
        [Setting.maxConcurrentStreams, 0],
        [Setting.maxHeaderListSize, 0],
      ]),
      settingsBytes([], Flag.ack),
    );
    expect(peer.frames.filter((one) => one.type === T.settings && one.flags === Flag.ack)).toHaveLength(3);
  });
});

describe("§6.6 PUSH_PROMISE", () => {
  connectionErrors([
    ["of a client", ErrorCode.protocol, () => [headers(1), frameBytes(T.pushPromise, HEAD, 1, [0, 0, 0, 2])]],
  ]);
});

describe("§6.7 PING", () => {
  connectionErrors([
    ["of a stream", ErrorCode.protocol, () => [frameBytes(T.ping, 0, 1, new Uint8Array(8))]],
    ["of another length", ErrorCode.frameSize, () => [frameBytes(T.ping, 0, 0, new Uint8Array(7))]],
  ]);

  it("is answered with its own bytes, and an answer is not answered", async () => {
    const peer = await ignores(
      frameBytes(T.ping, 0, 0, Buffer.from("12345678")),
      frameBytes(T.ping, Flag.ack, 0, Buffer.from("unasked!")),
    );
    const texts = peer.frames.filter((one) => one.type === T.ping).map((one) => one.payload.toString("latin1"));
    expect(texts[0]).toBe("12345678");
    expect(texts).not.toContain("unasked!");
  });
});

describe("§6.8 GOAWAY", () => {
  connectionErrors([
    ["of a stream", ErrorCode.protocol, () => [frameBytes(T.goaway, 0, 1, new Uint8Array(8))]],
    ["of another length", ErrorCode.frameSize, () => [frameBytes(T.goaway, 0, 0, new Uint8Array(7))]],
  ]);

  it("of the client lets open streams finish", async () => {
    const peer = await ignores(headers(1, "/whole"), frameBytes(T.goaway, 0, 0, new Uint8Array(20)), data(1, 4, 1));
    expect(peer.body(1)).toHaveLength(4);
  });

  it("of the server names the last stream, never a later one, and ends when its streams have", async () => {
    const peer = await open();
    peer.send(headers(1), headers(3, "/whole"));
    await peer.barrier();
    rig.connections[0]?.drain();
    await peer.barrier();
    peer.send(headers(5, "/whole", LAST), headers(7, "/whole", LAST));
    await peer.barrier();
    expect([peer.resets(5), peer.resets(7)]).toEqual([[ErrorCode.refusedStream], [ErrorCode.refusedStream]]);
    peer.send(data(3, 5, Flag.endStream));
    await peer.barrier();
    expect(peer.body(3)).toHaveLength(5);
    peer.send(frameBytes(T.ping, 0, 1, new Uint8Array(8))); // an error on top
    await peer.goaway();
    const goaways = peer.of(0, T.goaway).map((one) => [one.payload.readUInt32BE(0), one.payload.readUInt32BE(4)]);
    expect(goaways).toEqual([
      [3, ErrorCode.none],
      [3, ErrorCode.protocol],
    ]);
  });

  it("of the server is followed by the close once the last stream has ended", async () => {
    const peer = await open();
    peer.send(headers(1, "/whole"), data(1, 5));
    await peer.barrier();
    rig.connections[0]?.drain();
    rig.connections[0]?.drain();
    peer.send(data(1, 5, Flag.endStream));
    expect(await peer.goaway()).toBe(ErrorCode.none);
    expect(peer.body(1)).toHaveLength(10);
    expect(peer.of(0, T.goaway)).toHaveLength(1);
  });

  it("of the server lets a slow reader have the whole of the last answer", async () => {
    const peer = await open([[Setting.initialWindowSize, 0x7fff_ffff]]);
    peer.send(widen(0, 0x7000_0000));
    await peer.barrier();
    peer.socket.pause();
    peer.send(headers(1, "/bytes/6000000", LAST));
    await new Promise((resolve) => setTimeout(resolve, 50));
    rig.connections[0]?.drain();
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    peer.socket.resume();
    await peer.goaway();
    expect(peer.body(1)).toHaveLength(6_000_000);
    expect(peer.of(1, T.headers)).toHaveLength(2);
  });

  it("names the last stream that was worked on when the connection breaks", async () => {
    const peer = await open();
    peer.send(headers(1), headers(9), data(2, 1));
    await peer.goaway();
    expect(peer.of(0, T.goaway)[0]?.payload.readUInt32BE(0)).toBe(9);
  });
});

describe("§6.10 CONTINUATION", () => {
  it("a block in pieces is one block", async () => {
    const block = head("/whole", [["x-long", "y".repeat(3_000)]]);
    const pieces = [block.subarray(0, 1), block.subarray(1, 20), block.subarray(20, 2_000), block.subarray(2_000)];
    const peer = await ignores(
      frameBytes(T.headers, Flag.endStream, 1, pieces[0]),
      frameBytes(T.continuation, 0, 1, pieces[1]),
      frameBytes(T.continuation, 0, 1, pieces[2]),
      frameBytes(T.continuation, Flag.endHeaders, 1, pieces[3]),
    );
    expect(peer.of(1, T.headers)).toHaveLength(2);
    expect(rig.served[0]?.head.fields.get("x-long")).toHaveLength(3_000);
  });

  it("END_STREAM of the HEADERS counts, that of a CONTINUATION does not", async () => {
    const block = head("/whole");
    const peer = await ignores(
      frameBytes(T.headers, 0, 1, block.subarray(0, 4)),
      frameBytes(T.continuation, Flag.endHeaders | Flag.endStream, 1, block.subarray(4)),
    );
    expect(peer.of(1, T.headers)).toHaveLength(0);
    peer.send(data(1, 1, Flag.endStream));
    await peer.barrier();
    expect(peer.body(1)).toHaveLength(1);
  });

  connectionErrors([
    ["of stream 0", ErrorCode.protocol, () => [headers(1, "/hold", 0), frameBytes(T.continuation, HEAD, 0, [])]],
    ["of another stream", ErrorCode.protocol, () => [headers(1, "/hold", 0), frameBytes(T.continuation, HEAD, 3, [])]],
    ["without a HEADERS", ErrorCode.protocol, () => [frameBytes(T.continuation, HEAD, 1, head("/hold"))]],
    ["after DATA", ErrorCode.protocol, () => [headers(1), data(1, 1), frameBytes(T.continuation, HEAD, 1, [])]],
  ]);
});

describe("§8.1 messages", () => {
  it("trailers end a request", async () => {
    const peer = await ignores(
      headers(1, "/whole"),
      data(1, 3),
      frameBytes(T.headers, LAST, 1, blockBytes([["x-check", "1"]])),
    );
    expect(peer.body(1)).toHaveLength(3);
    expect(rig.served[0]).toMatchObject({ isEnded: true, closes: 1 });
  });

  streamErrors([
    ["a second HEADERS without END_STREAM", ErrorCode.protocol, () => [headers(1), headers(1)]],
    [
      "a pseudo-header field in trailers",
      ErrorCode.protocol,
      () => [headers(1), frameBytes(T.headers, LAST, 1, blockBytes([[":method", "GET"]]))],
    ],
    [
      "an upper-case name in trailers",
      ErrorCode.protocol,
      () => [headers(1), frameBytes(T.headers, LAST, 1, blockBytes([["X-Check", "1"]]))],
    ],
  ]);
});

describe("§8.1.1 content-length", () => {
  const length = (value: string): Fields => [["content-length", value]];

  streamErrors([
    ["less data than it says", ErrorCode.protocol, () => [headers(1, "/hold", HEAD, length("5")), data(1, 4, 1)]],
    ["more data than it says", ErrorCode.protocol, () => [headers(1, "/hold", HEAD, length("5")), data(1, 6)]],
    [
      "more in a later frame",
      ErrorCode.protocol,
      () => [headers(1, "/hold", HEAD, length("5")), data(1, 5), data(1, 1)],
    ],
    ["no data at all", ErrorCode.protocol, () => [headers(1, "/hold", LAST, length("5"))]],
    [
      "trailers before all of it",
      ErrorCode.protocol,
      () => [
        headers(1, "/hold", HEAD, length("5")),
        data(1, 1),
        frameBytes(T.headers, LAST, 1, blockBytes([["a", "b"]])),
      ],
    ],
    ["what is no number", ErrorCode.protocol, () => [headers(1, "/hold", HEAD, length("5x"))]],
    ["two of them", ErrorCode.protocol, () => [headers(1, "/hold", HEAD, [...length("5"), ...length("6")])]],
  ]);

  it("that is kept is answered; padding does not count", async () => {
    const peer = await ignores(
      headers(1, "/whole", HEAD, length("5")),
      frameBytes(T.data, Flag.padded, 1, [4, 1, 2, 3, 0, 0, 0, 0]),
      data(1, 2, Flag.endStream),
      headers(3, "/whole", LAST, length("0")),
    );
    expect(peer.body(1)).toHaveLength(5);
    expect(peer.of(3, T.headers)).toHaveLength(2);
  });
});

describe("§8.2, §8.3 malformed requests", () => {
  const block = (fields: Fields): Buffer => frameBytes(T.headers, LAST, 1, blockBytes(fields));
  const whole: Fields = [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", "/whole"],
  ];

  streamErrors([
    ["an upper-case name", ErrorCode.protocol, () => [block([...whole, ["X-A", "1"]])]],
    ["a connection-specific field", ErrorCode.protocol, () => [block([...whole, ["connection", "close"]])]],
    ["TE other than trailers", ErrorCode.protocol, () => [block([...whole, ["te", "gzip"]])]],
    ["a pseudo-header field after others", ErrorCode.protocol, () => [block([["a", "1"], ...whole])]],
    ["an unknown pseudo-header field", ErrorCode.protocol, () => [block([...whole, [":test", "1"]])]],
    ["one of a response", ErrorCode.protocol, () => [block([...whole, [":status", "200"]])]],
    ["one twice", ErrorCode.protocol, () => [block([...whole, [":path", "/"]])]],
    ["no method", ErrorCode.protocol, () => [block(whole.slice(1))]],
    ["no scheme", ErrorCode.protocol, () => [block([...whole.slice(0, 1), ...whole.slice(2)])]],
    ["no path", ErrorCode.protocol, () => [block(whole.slice(0, 2))]],
    ["an empty path", ErrorCode.protocol, () => [block([...whole.slice(0, 2), [":path", ""]])]],
    ["no fields at all", ErrorCode.protocol, () => [block([])]],
    ["a line break in a value", ErrorCode.protocol, () => [block([...whole, ["a", "b\r\nc"]])]],
    ["a space around a value", ErrorCode.protocol, () => [block([...whole, ["a", " b"]])]],
  ]);

  it("a malformed request is not served, and its later frames are thrown away", async () => {
    const peer = await open();
    peer.send(headers(1, "/whole", HEAD, [["X", "1"]]), data(1, 100), data(1, 100, Flag.endStream));
    await peer.barrier();
    expect(rig.served).toHaveLength(0);
    expect(peer.resets(1)).toEqual([ErrorCode.protocol]);
  });

  it("a URL as authority, as etcd's old client sends it, is served", async () => {
    const peer = await ignores(block([...whole, [":authority", "http://127.0.0.1:2379"]]));
    expect(peer.of(1, T.headers)).toHaveLength(2);
  });
});

describe("§10.5.1 header lists", () => {
  it("over the announced size are answered with 431, and others go on", async () => {
    const peer = await open();
    const many: Fields = times(20, (i) => [`x-${i}`, "y".repeat(1_000)] as const);
    const large = head("/whole", many);
    peer.send(
      frameBytes(T.headers, Flag.endStream, 1, large.subarray(0, 16_000)),
      frameBytes(T.continuation, Flag.endHeaders, 1, large.subarray(16_000)),
      frameBytes(T.headers, 0, 3, large.subarray(0, 16_000)),
      frameBytes(T.continuation, Flag.endHeaders, 3, large.subarray(16_000)),
      data(3, 5),
      headers(5, "/whole", LAST),
    );
    await peer.barrier();
    expect(peer.resets(3)).toEqual([ErrorCode.none]);
    const fields = peer.fields();
    expect(fields).toContainEqual([1, ":status", "431"]);
    expect(fields).toContainEqual([3, ":status", "431"]);
    expect(fields).toContainEqual([5, ":status", "200"]);
    expect(rig.served).toHaveLength(1);
  });
});

describe("§9.1 the end of a connection", () => {
  it("a client that ends its side loses its streams, and nothing is kept", async () => {
    const peer = await open();
    peer.send(headers(1), headers(3, "/paused"), data(3, 1_000));
    await peer.barrier();
    peer.socket.end();
    await peer.closed;
    expect([rig.openStreams, rig.closedConnections]).toEqual([0, 1]);
    expect(rig.served.map((one) => one.closes)).toEqual([1, 1]);
  });

  it("a client that ends its side and never reads does not keep the socket", async () => {
    const peer = await open([[Setting.initialWindowSize, 0x7fff_ffff]]);
    peer.send(widen(0, 0x7000_0000));
    await peer.barrier();
    peer.socket.pause();
    peer.send(headers(1, "/bytes/20000000", LAST));
    await new Promise((resolve) => setTimeout(resolve, 50));
    peer.socket.end();
    const socket = rig.sockets[0];
    for (let i = 0; i < 300 && socket?.destroyed === false; i++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    expect(socket?.destroyed).toBe(true);
    expect(rig.queuedBytes).toBe(0);
  });
});

function times<Item>(count: number, make: (index: number) => Item): Item[] {
  return Array.from({ length: count }, (_, index) => make(index));
}
