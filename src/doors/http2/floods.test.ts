/**
 * Clients that cost more than they pay: each is ended or held within bounds of memory, and others are served meanwhile.
 * Source  CVE-2019-9511 to -9518, CVE-2023-44487, CVE-2024-27316, CVE-2025-8671; RFC 9113 section 10.5.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { blockBytes, frameBytes, Http2Peer, settingsBytes, uint32Bytes } from "../testing/http2-peer.ts";
import { Http2Rig } from "../testing/http2-rig.ts";
import { ErrorCode, Flag, FrameType, Setting } from "./frame.ts";

const T = FrameType;
const HEAD = Flag.endHeaders;
const LAST = Flag.endHeaders | Flag.endStream;
const HUGE = 0x7fff_ffff;
const MIB = 1024 * 1024;

function head(path: string): Buffer {
  return blockBytes([
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
  ]);
}

const headers = (id: number, path: string, flags: number): Buffer => frameBytes(T.headers, flags, id, head(path));
const reset = (id: number): Buffer => frameBytes(T.reset, 0, id, uint32Bytes(ErrorCode.cancel));
const widen = (id: number, bytes: number): Buffer => frameBytes(T.windowUpdate, 0, id, uint32Bytes(bytes));

let rig: Http2Rig;
let peers: Http2Peer[];
let bystander: Http2Peer;
let bystanderId: number;

beforeEach(async () => {
  peers = [];
  rig = await Http2Rig.open();
  bystander = await open();
  bystanderId = -1;
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

/** Somebody else's call is answered as if nothing were. */
async function othersAreServed(): Promise<void> {
  bystanderId += 2;
  const id = bystanderId;
  bystander.send(headers(id, "/whole", HEAD), frameBytes(T.data, Flag.endStream, id, Buffer.from("hello")));
  await bystander.until(() => bystander.of(id, T.headers).length === 2, "the answer to somebody else");
  expect(bystander.body(id).toString()).toBe("hello");
}

async function endsCalmly(peer: Http2Peer): Promise<void> {
  expect(await peer.goaway()).toBe(ErrorCode.enhanceYourCalm);
  await othersAreServed();
  expect(rig.openStreams).toBe(0);
}

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void; // V8's own, made visible by the flag

/** Bytes that something still refers to, on V8's heap and beside it, once sockets that were closed are gone. */
async function usedBytes(): Promise<number> {
  for (let i = 0; i < 4; i++) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    collect();
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

describe("a client that floods", () => {
  it.each([
    ["pings", frameBytes(T.ping, 0, 0, new Uint8Array(8))],
    ["settings", settingsBytes([])],
    ["priorities", frameBytes(T.priority, 0, 1, [0, 0, 0, 0, 1])],
    ["unknown frames", frameBytes(0xcc, 0, 0, [1])],
    ["farewells", frameBytes(T.goaway, 0, 0, new Uint8Array(8))],
  ])("%s is ended", async (_, bytes) => {
    const peer = await open();
    for (let i = 0; i < 20; i++) peer.send(...Array.from({ length: 50 }, () => bytes));
    await endsCalmly(peer);
  });

  it("empty DATA frames is ended", async () => {
    const peer = await open();
    peer.send(headers(1, "/hold", HEAD), ...Array.from({ length: 200 }, () => frameBytes(T.data, 0, 1)));
    await endsCalmly(peer);
  });

  it("CONTINUATION frames is ended: empty ones, tiny ones, full ones", async () => {
    for (const [count, bytes] of [
      [200, 0],
      [70_000, 1],
      [10, 16_000],
    ] as const) {
      const peer = await open();
      const piece = frameBytes(T.continuation, 0, 1, new Uint8Array(bytes));
      peer.send(frameBytes(T.headers, 0, 1, head("/hold")), ...Array.from({ length: count }, () => piece));
      await endsCalmly(peer);
    }
  });

  it("streams that it resets at once is ended (rapid reset)", async () => {
    const peer = await open();
    const frames = Array.from({ length: 1_200 }, (_, i) => [headers(i * 2 + 1, "/hold", HEAD), reset(i * 2 + 1)]);
    peer.send(...frames.flat());
    await endsCalmly(peer);
    expect(rig.served.filter((one) => one.head.path === "/hold").length).toBeLessThanOrEqual(1_001);
    for (const one of rig.served) expect(one.closes).toBe(1);
  });

  it.each([
    ["windows that overflow", (id: number): Uint8Array[] => [headers(id, "/hold", HEAD), widen(id, HUGE)]],
    ["windows by nothing", (id: number): Uint8Array[] => [headers(id, "/hold", HEAD), widen(id, 0)]],
    ["data after the end", (id: number): Uint8Array[] => [headers(id, "/hold", LAST), frameBytes(T.data, 0, id, [1])]],
    ["trailers without an end", (id: number): Uint8Array[] => [headers(id, "/hold", HEAD), headers(id, "/hold", HEAD)]],
    ["malformed heads", (id: number): Uint8Array[] => [frameBytes(T.headers, LAST, id, blockBytes([["x", "1"]]))]],
    [
      "data on closed streams",
      (id: number): Uint8Array[] => [headers(id, "/whole", LAST), frameBytes(T.data, 0, id, [1])],
    ],
  ])("resets of our own by %s is ended (made you reset)", async (_, make) => {
    const peer = await open();
    peer.send(...Array.from({ length: 1_200 }, (__, i) => make(i * 2 + 1)).flat());
    await endsCalmly(peer);
  });

  it("streams over the limit is ended", async () => {
    const peer = await open();
    peer.send(...Array.from({ length: 1_300 }, (_, i) => headers(i * 2 + 1, "/hold", HEAD)));
    await endsCalmly(peer);
    expect(rig.served.filter((one) => one.head.path === "/hold")).toHaveLength(100);
  });

  it("settings that move every window many times costs one move a frame", async () => {
    const peer = await open();
    peer.send(...Array.from({ length: 100 }, (_, i) => headers(i * 2 + 1, "/hold", HEAD)));
    const many = Array.from({ length: 2_700 }, (_, i) => [Setting.initialWindowSize, 60_000 + (i % 2)] as const);
    const frame = settingsBytes(many);
    const before = performance.now();
    for (let i = 0; i < 60; i++) peer.send(frame);
    await peer.barrier();
    expect(performance.now() - before).toBeLessThan(2_000); // 16 million moves otherwise
    await othersAreServed();
  });
});

describe("a client that does not read", () => {
  it("is not read from either, and holds no more than its own answers", async () => {
    const peer = await open([[Setting.initialWindowSize, HUGE]]);
    peer.send(widen(0, HUGE - 65_535));
    await peer.barrier();
    peer.socket.pause();
    const before = await usedBytes();
    for (let i = 0; i < 60; i++) peer.send(headers(i * 2 + 1, "/bytes/1000000", LAST));
    for (let i = 0; i < 5; i++) await othersAreServed();
    // 60 MB are asked for; an answer waits in its stream's queue, where the server above can count it.
    const unsent = rig.sockets[1]?.writableLength ?? 0;
    expect(unsent).toBeLessThan(3 * MIB);
    expect(rig.queuedBytes).toBeGreaterThan(0);
    expect((await usedBytes()) - before).toBeLessThan(200 * MIB);
    peer.destroy();
    await expect.poll(() => rig.queuedBytes).toBe(0);
    expect(rig.openStreams).toBe(0);
  });

  it("and goes on asking is refused more streams, and then ended", async () => {
    const peer = await open([[Setting.initialWindowSize, HUGE]]);
    peer.send(widen(0, HUGE - 65_535));
    await peer.barrier();
    peer.socket.pause();
    const before = await usedBytes();
    for (let round = 0; round < 100; round++) {
      peer.send(...Array.from({ length: 100 }, (_, i) => headers(round * 200 + i * 2 + 1, "/bytes/40000", LAST)));
      if (round % 20 === 0) await othersAreServed();
    }
    await expect.poll(() => rig.closedConnections).toBe(1);
    expect((await usedBytes()) - before).toBeLessThan(100 * MIB);
    expect(rig.queuedBytes).toBe(0);
    await expect.poll(() => rig.sockets[1]?.destroyed, { timeout: 3_000 }).toBe(true);
    await othersAreServed();
  });

  it("C4 and asks for what no window holds back is stopped by its own socket, until it reads", async () => {
    const peer = await open();
    await peer.barrier();
    peer.socket.pause();
    const before = await usedBytes();
    const asked = 4_000; // 32 MB of answers
    for (let i = 0; i < asked; i++) {
      peer.send(headers(i * 2 + 1, "/fat", LAST));
      if (i % 500 === 0) await othersAreServed();
    }
    await expect.poll(() => rig.sockets[1]?.isPaused()).toBe(true);
    expect(rig.served.filter((one) => one.head.path === "/fat").length).toBeLessThan(asked);
    expect(rig.sockets[1]?.writableLength ?? 0).toBeLessThan(10 * MIB); // 1 MiB, and the answers to one more chunk
    expect((await usedBytes()) - before).toBeLessThan(100 * MIB);
    peer.socket.resume();
    await peer.until(() => peer.of(asked * 2 - 1, T.headers).length === 1, "the last answer", 10_000);
    await othersAreServed();
  });

  it("and opens its windows byte by byte gets bytes, and holds up nobody", async () => {
    const peer = await open([[Setting.initialWindowSize, 0]]);
    peer.send(...Array.from({ length: 50 }, (_, i) => headers(i * 2 + 1, "/bytes/100000", LAST)));
    for (let round = 0; round < 100; round++) {
      peer.send(...Array.from({ length: 50 }, (_, i) => widen(i * 2 + 1, 1)));
    }
    await peer.barrier();
    for (let i = 0; i < 50; i++) expect(peer.body(i * 2 + 1)).toHaveLength(100);
    await othersAreServed();
  });
});

describe("a client whose data nobody wants yet", () => {
  it("costs its window, however small its frames are", async () => {
    const peer = await open();
    // 1 MiB is the connection's window. Cut into frames of one byte this is 10 MB on the wire.
    const tiny = frameBytes(T.data, 0, 1, [7]);
    const frames = 150_000;
    await othersAreServed();
    const before = await usedBytes();
    peer.send(headers(1, "/paused", HEAD));
    const batch = Buffer.concat(Array.from({ length: 10_000 }, () => tiny));
    for (let i = 0; i < frames / 10_000; i++) {
      peer.send(batch);
      await peer.barrier();
    }
    await othersAreServed();
    // As objects of their own these bytes would be 20 MiB and more; pieces of the socket's memory, more still.
    expect((await usedBytes()) - before).toBeLessThan(3 * MIB);
    const served = rig.served.find((one) => one.head.path === "/paused");
    served?.stream.resume();
    expect(served?.bodyBytes).toBe(frames);
  });

  it("loses it all when it goes, and its windows with it", async () => {
    for (let round = 0; round < 3; round++) {
      const peer = await open();
      for (let i = 0; i < 4; i++) {
        peer.send(headers(i * 2 + 1, "/paused", HEAD));
        for (let j = 0; j < 15; j++) peer.send(frameBytes(T.data, 0, i * 2 + 1, new Uint8Array(16_384)));
      }
      await peer.barrier();
      peer.destroy();
    }
    await expect.poll(() => rig.closedConnections).toBe(3);
    expect(rig.openStreams).toBe(0);
    await othersAreServed();
  });
});

describe("clients that say little and stay", () => {
  it("cost what is kept of their requests, not the socket's memory around them", async () => {
    const head = headers(1, "/hold", LAST);
    const around = Array.from({ length: 3 }, () => frameBytes(T.data, 0, 1, new Uint8Array(16_000)));
    const idle = await Promise.all(Array.from({ length: 60 }, () => open()));
    await Promise.all(idle.map((peer) => peer.barrier()));
    const before = await usedBytes();
    for (const peer of idle) {
      // A head in the midst of 48 kB that leave no trace: it is remembered, and a second one begins and does not end.
      peer.send(
        headers(1, "/hold", HEAD),
        ...around,
        headers(3, "/hold", LAST),
        frameBytes(T.headers, 0, 5, head.subarray(9)),
      );
    }
    await expect.poll(() => rig.served.length).toBe(120);
    await othersAreServed();
    expect((await usedBytes()) - before).toBeLessThan(60 * 20_000);
  });
});
