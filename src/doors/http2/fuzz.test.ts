/**
 * Bytes and frames by chance, from fixed seeds: whatever comes, the connection answers by the rules or ends by them. An
 * exception other than `ConnectionError` would reach the process, and vitest fails a run for that.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  blockBytes,
  frameBytes,
  Http2Peer,
  type PeerFrame,
  settingsBytes,
  uint32Bytes,
} from "../testing/http2-peer.ts";
import { Http2Rig } from "../testing/http2-rig.ts";
import { CLIENT_PREFACE, Flag, FRAME_BYTES_MAX, FrameType, Setting } from "./frame.ts";
import { HpackDecoder } from "./hpack-decoder.ts";

const T = FrameType;

/** Numbers below a bound, the same for the same seed (mulberry32). */
type Draw = (below: number) => number;

function draws(seed: number): Draw {
  let state = seed * 0x9e37_79b1;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

let rig: Http2Rig;

beforeEach(async () => {
  rig = await Http2Rig.open();
});

afterEach(async () => {
  await rig.close();
});

async function stillServes(): Promise<void> {
  const peer = await Http2Peer.open(rig.port);
  const head = blockBytes([
    [":method", "POST"],
    [":scheme", "http"],
    [":path", "/whole"],
  ]);
  peer.send(frameBytes(T.headers, Flag.endHeaders, 1, head), frameBytes(T.data, Flag.endStream, 1, Buffer.from("x")));
  await peer.barrier();
  expect(peer.body(1).toString()).toBe("x");
  peer.destroy();
  await expect.poll(() => rig.openStreams, { timeout: 3_000 }).toBe(0);
  expect(rig.queuedBytes).toBe(0);
  await expect.poll(() => rig.closedConnections).toBe(rig.connections.length);
  for (const one of rig.served) expect(one.closes).toBe(1);
}

/** What must hold of everything that a server sends on one connection. */
function checkAnswers(frames: readonly PeerFrame[]): void {
  const decoder = new HpackDecoder();
  const ended = new Set<number>();
  const known = new Set<number>([T.data, T.headers, T.reset, T.settings, T.ping, T.goaway, T.windowUpdate]);
  let isOver = false;
  for (const { type, flags, streamId, payload } of frames) {
    expect(isOver, "a frame after GOAWAY with an error").toBe(false);
    expect(known.has(type), `type ${type}`).toBe(true);
    expect(payload.length).toBeLessThanOrEqual(FRAME_BYTES_MAX);
    expect(streamId % 2 === 1 || streamId === 0).toBe(true);
    if (type === T.headers) decoder.decode(payload, 0, payload.length, () => undefined);
    if (type === T.headers || type === T.data) {
      expect(ended.has(streamId), `an answer on stream ${streamId} after its end`).toBe(false);
      if ((flags & Flag.endStream) !== 0) ended.add(streamId);
    }
    if (type === T.reset) ended.add(streamId);
    if (type === T.windowUpdate) expect(payload.readUInt32BE(0)).toBeGreaterThan(0);
    if (type === T.goaway && payload.readUInt32BE(4) !== 0) isOver = true;
  }
}

describe("random bytes", () => {
  it("after the preface, or in place of it, never do more than end their connection", async () => {
    for (let seed = 1; seed <= 120; seed++) {
      const draw = draws(seed);
      const bytes = Buffer.from(Array.from({ length: 1 + draw(600) }, () => (draw(3) === 0 ? draw(12) : draw(256))));
      const peer = await Http2Peer.dial(rig.port);
      if (seed % 6 !== 0) peer.send(CLIENT_PREFACE);
      if (seed % 2 === 0) peer.send(settingsBytes([]));
      // Short frames of known types get further than pure chance.
      for (let at = 0; at < bytes.length; ) {
        const size = draw(40);
        const piece = bytes.subarray(at, at + size);
        if (seed % 3 === 0) peer.send(frameBytes(draw(11), draw(64), draw(8), piece));
        else peer.send(piece);
        at += size + 1;
      }
      peer.socket.end();
      await peer.until(() => peer.isClosed, `the close of seed ${seed}`);
      checkAnswers(peer.frames);
    }
    await stillServes();
  });
});

const PATHS = ["/whole", "/echo", "/hold", "/paused", "/bytes/0", "/bytes/70000", "/fat"];

/** A frame that a client might send at this moment, as a rule a legal one. */
function makeFrame(draw: Draw, state: { nextId: number }, ids: number[]): Buffer {
  const id = ids.length === 0 ? 1 : (ids[draw(ids.length)] ?? 1);
  switch (draw(12)) {
    case 0:
    case 1:
    case 2: {
      const fresh = state.nextId;
      state.nextId += 2;
      ids.push(fresh);
      const head = blockBytes([
        [":method", "POST"],
        [":scheme", "http"],
        [":path", PATHS[draw(PATHS.length)] ?? "/whole"],
        ["x-field", "v".repeat(draw(30))],
      ]);
      const last = draw(2) === 0 ? Flag.endStream : 0;
      if (draw(4) !== 0) return frameBytes(T.headers, Flag.endHeaders | last, fresh, head);
      const cut = draw(head.length);
      return Buffer.concat([
        frameBytes(T.headers, last, fresh, head.subarray(0, cut)),
        frameBytes(T.continuation, Flag.endHeaders, fresh, head.subarray(cut)),
      ]);
    }
    case 3:
    case 4:
    case 5:
      return frameBytes(T.data, draw(3) === 0 ? Flag.endStream : 0, id, Buffer.alloc(draw(2_000), id));
    case 6:
      return frameBytes(T.data, Flag.padded, id, Buffer.alloc(1 + draw(40), draw(20)));
    case 7:
      return frameBytes(T.windowUpdate, 0, draw(2) === 0 ? 0 : id, uint32Bytes(1 + draw(70_000)));
    case 8:
      return settingsBytes([[Setting.initialWindowSize, draw(100_000)]]);
    case 9:
      return settingsBytes([[Setting.headerTableSize, draw(2) * 8_192]]);
    case 10:
      return frameBytes(T.headers, Flag.endHeaders | Flag.endStream, id, blockBytes([["x-trailer", "1"]]));
    default:
      return frameBytes(T.ping, 0, 0, new Uint8Array(8));
  }
}

function mutate(draw: Draw, frame: Buffer): Buffer {
  const copy = Buffer.from(frame);
  const at = draw(copy.length);
  switch (draw(4)) {
    case 0:
      copy[at] = draw(256);
      return copy;
    case 1:
      copy[3] = draw(11);
      return copy;
    case 2:
      copy[4] = draw(256);
      return copy;
    default:
      return copy.subarray(0, at); // what follows is read as its rest
  }
}

describe("random frames", () => {
  it("that are legal or nearly so are answered by the rules, and not at all on a stream that was reset", async () => {
    let survived = 0;
    for (let seed = 1; seed <= 100; seed++) {
      const draw = draws(seed + 1_000);
      const hasMutants = seed % 2 === 0;
      const peer = await Http2Peer.open(rig.port, [[Setting.initialWindowSize, draw(70_000)]]);
      const state = { nextId: 1 };
      const ids: number[] = [];
      const gone = new Set<number>();
      let mutants = 0;
      for (let round = 0; round < 6 && !peer.isOver; round++) {
        const seen = peer.frames.length;
        const batch: Buffer[] = [];
        for (let i = 0; i < 8; i++) {
          const frame = makeFrame(draw, state, ids);
          const isMutant = hasMutants && draw(30) === 0;
          if (isMutant) mutants++;
          batch.push(isMutant ? mutate(draw, frame) : frame);
        }
        const bytes = Buffer.concat(batch);
        const cut = draw(bytes.length);
        peer.send(bytes.subarray(0, cut));
        if (draw(2) === 0) await new Promise((resolve) => setImmediate(resolve));
        peer.send(bytes.subarray(cut));
        // After a mutant nobody knows where frames begin, and a ping may be taken for the rest of one.
        if (mutants > 0) await new Promise((resolve) => setImmediate(resolve));
        else if (await isAlive(peer)) survived++;
        for (const { type, streamId } of peer.frames.slice(seen)) {
          expect(
            gone.has(streamId) && (type === T.data || type === T.headers),
            `seed ${seed}, stream ${streamId}`,
          ).toBe(false);
        }
        if (mutants > 0) continue;
        for (const id of ids.filter(() => draw(4) === 0)) {
          if (gone.has(id)) continue;
          peer.send(frameBytes(T.reset, 0, id, uint32Bytes(8)));
          gone.add(id);
        }
        await isAlive(peer);
      }
      peer.socket.end();
      await peer.until(() => peer.isClosed, `the close of seed ${seed}`);
      checkAnswers(peer.frames);
    }
    expect(survived).toBeGreaterThan(50);
    await stillServes();
  }, 20_000);
});

/** A ping comes back; or the connection has ended, as some legal frames in the wrong place demand. */
async function isAlive(peer: Http2Peer): Promise<boolean> {
  if (peer.isOver) return false;
  try {
    await peer.barrier();
    return true;
  } catch (error) {
    if (peer.isOver) return false;
    throw error;
  }
}
