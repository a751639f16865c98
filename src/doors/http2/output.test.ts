/** What is staged arrives as it was staged, whoever reads slowly and whoever shares the buffers. */
import { connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { frameBytes } from "../testing/http2-peer.ts";
import { HpackEncoder, OK_STATUS, wireField } from "./hpack-encoder.ts";
import { Output } from "./output.ts";

let server: Server;
let port: number;
let pairs: { readonly near: Socket; readonly far: Socket }[];

beforeEach(async () => {
  pairs = [];
  server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const bound = server.address();
  port = typeof bound === "object" && bound !== null ? bound.port : 0;
});

afterEach(() => {
  for (const { near, far } of pairs) {
    near.destroy();
    far.destroy();
  }
  server.close();
});

async function pair(): Promise<{ readonly near: Socket; readonly far: Socket }> {
  const near = new Promise<Socket>((resolve) => server.once("connection", resolve));
  const far = connect(port, "127.0.0.1");
  far.on("error", () => undefined);
  const made = { near: await near, far };
  made.near.on("error", () => undefined);
  pairs.push(made);
  return made;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A generator of the same numbers for the same seed (mulberry32). */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

describe("Output", () => {
  it("sends frames of all sizes in order, from many connections with slow and quick readers", async () => {
    const streams: { near: Socket; far: Socket; next: (below: number) => number; sent: Buffer[]; seed: number }[] = [];
    for (let seed = 0; seed < 6; seed++) streams.push({ ...(await pair()), next: random(seed), sent: [], seed });
    const outputs = streams.map(({ near }) => new Output(near));
    const got = streams.map(() => [] as Buffer[]);
    streams.forEach(({ far, seed }, index) => {
      far.on("data", (chunk: Buffer) => {
        got[index]?.push(Buffer.from(chunk));
        if (seed % 2 === 0) return;
        far.pause(); // the buffers of this one stay with the socket for long
        setTimeout(() => far.resume(), 3);
      });
    });
    for (let round = 0; round < 120; round++) {
      streams.forEach(({ next, sent, seed }, index) => {
        const output = outputs[index];
        if (output === undefined) return;
        const isCorked = next(2) === 0;
        if (isCorked) output.cork();
        for (let count = next(6); count > 0; count--) {
          const bytes = Buffer.alloc(
            [next(50), next(8_193), 8_192, 8_193, next(16_385)][next(5)] ?? 0,
            seed * 40 + (round % 40),
          );
          output.frame(bytes.length, 0, 1, 5);
          output.bytes(bytes);
          sent.push(frameBytes(0, 1, 5, bytes));
          if (next(10) === 0) {
            output.frame(4, 3, 0, 7);
            output.uint32(0xdead_beef);
            sent.push(frameBytes(3, 0, 7, [0xde, 0xad, 0xbe, 0xef]));
          }
          if (next(20) === 0) output.flush();
        }
        if (isCorked) output.uncork();
      });
      if (round % 3 === 0) await turn();
    }
    const wanted = streams.map(({ sent }) => Buffer.concat(sent));
    for (let i = 0; i < 1_000; i++) {
      if (wanted.every((bytes, index) => (got[index] ?? []).reduce((sum, one) => sum + one.length, 0) >= bytes.length))
        break;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    wanted.forEach((bytes, index) => {
      const received = Buffer.concat(got[index] ?? []);
      expect(received.length).toBe(bytes.length);
      expect(received.equals(bytes), `connection ${index}`).toBe(true);
    });
    for (const output of outputs) expect(output.unsentBytes).toBe(0);
  });

  it("O2 writes to a buffer again only when the system has taken all of it", async () => {
    const slow = await pair();
    const quick = await pair();
    slow.far.pause();
    const output = new Output(slow.near);
    const other = new Output(quick.near);
    quick.far.resume();
    const sent: Buffer[] = [];
    for (let i = 0; i < 20_000 && slow.near.writableLength < 500_000; i++) {
      const bytes = Buffer.alloc(8_000, i & 0xff);
      output.frame(bytes.length, 0, 0, 1);
      output.bytes(bytes); // small enough to be copied into the shared buffers
      sent.push(frameBytes(0, 0, 1, bytes));
      output.flush();
      other.frame(100, 0, 0, 3);
      other.bytes(Buffer.alloc(100, "#"));
      other.flush();
    }
    expect(slow.near.writableLength).toBeGreaterThan(0);
    for (let i = 0; i < 200; i++) {
      other.frame(4_000, 0, 0, 3);
      other.bytes(Buffer.alloc(4_000, "#"));
      other.flush();
    }
    const wanted = Buffer.concat(sent);
    const received: Buffer[] = [];
    let bytes = 0;
    slow.far.on("data", (chunk: Buffer) => {
      received.push(chunk);
      bytes += chunk.length;
    });
    slow.far.resume();
    for (let i = 0; i < 1_000 && bytes < wanted.length; i++) await new Promise((resolve) => setTimeout(resolve, 2));
    expect(Buffer.concat(received).equals(wanted)).toBe(true);
  });

  it("makes one write of all that happens in a turn", async () => {
    const { near } = await pair();
    let writes = 0;
    const { write } = near;
    near.write = ((...args: Parameters<typeof write>) => {
      writes++;
      return write.apply(near, args);
    }) as typeof write; // counts, and does as before
    const output = new Output(near);
    for (let i = 0; i < 100; i++) {
      output.frame(10, 0, 0, 1);
      output.bytes(new Uint8Array(10));
    }
    expect([writes, output.unsentBytes]).toEqual([0, 1_900]);
    await turn();
    expect(writes).toBe(1);
    output.cork();
    output.frame(0, 4, 1, 0);
    await turn();
    expect(writes).toBe(1);
    output.uncork();
    expect(writes).toBe(2);
  });

  it("fills in the length of a header block, also where a buffer ends in it", async () => {
    const { near, far } = await pair();
    const received: Buffer[] = [];
    far.on("data", (chunk: Buffer) => received.push(chunk));
    const output = new Output(near);
    const encoder = new HpackEncoder();
    const fields = [OK_STATUS, wireField("x-long", "y".repeat(900)), wireField("x-piece", "z".repeat(9_000))];
    const payloadBytes = 1 + fields.slice(1).reduce((sum, one) => sum + one.literal.length, 0);
    output.cork();
    for (let i = 0; i < 80; i++) output.headers(i * 2 + 1, fields, 5, encoder);
    output.uncork();
    const wanted = 80 * (9 + payloadBytes);
    for (let i = 0; i < 400 && received.reduce((sum, one) => sum + one.length, 0) < wanted; i++) await turn();
    const bytes = Buffer.concat(received);
    expect(bytes).toHaveLength(wanted);
    for (let i = 0; i < 80; i++) {
      const head = bytes.subarray(i * (9 + payloadBytes), i * (9 + payloadBytes) + 9);
      expect([head.readUIntBE(0, 3), head[3], head.readUInt32BE(5)]).toEqual([payloadBytes, 1, i * 2 + 1]);
    }
  });

  it("after its end sends nothing and throws nothing", async () => {
    const { near, far } = await pair();
    const received: Buffer[] = [];
    far.on("data", (chunk: Buffer) => received.push(chunk));
    const output = new Output(near);
    output.frame(0, 4, 0, 0);
    output.end();
    output.frame(0, 6, 0, 0);
    output.flush();
    await new Promise((resolve) => far.once("end", resolve));
    expect(Buffer.concat(received)).toEqual(frameBytes(4, 0, 0));
    near.destroy();
    output.frame(0, 6, 0, 0);
    await turn();
  });

  it("on a destroyed socket throws nothing", async () => {
    const { near } = await pair();
    const output = new Output(near);
    near.destroy();
    output.frame(100_000, 0, 0, 1);
    output.bytes(new Uint8Array(100_000));
    await turn();
    output.frame(0, 6, 0, 0);
    await turn();
  });
});
