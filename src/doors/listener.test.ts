/** The one port, over real sockets: every first byte, slow and silent clients, refusals, limits. */
import { connect, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { AlthingError } from "../base/errors.ts";
import type { ObservedEvent } from "../ports/observer.ts";
import { Listener, type ListenerOptions } from "./listener.ts";

const observed: ObservedEvent[] = [];
const taken: { readonly protocol: string; readonly socket: Socket }[] = [];
const clients: Socket[] = [];
let listener: Listener;

async function open(options: Partial<ListenerOptions> = {}): Promise<void> {
  observed.length = 0;
  taken.length = 0;
  listener = await Listener.open({
    address: "127.0.0.1:0",
    connectionsMax: 1_000,
    observer: { observe: (event) => observed.push(event) },
    detectionMs: 100,
    http1: (socket) => taken.push({ protocol: "http1", socket }),
    http2: (socket) => taken.push({ protocol: "http2", socket }),
    ...options,
  });
}

interface Conversation {
  readonly received: Buffer;
  readonly ms: number;
}

function dial(): Socket {
  const socket = connect(Number(listener.address.split(":")[1]), "127.0.0.1");
  socket.on("error", () => undefined);
  clients.push(socket);
  return socket;
}

/** Sends the pieces, one a turn, and waits for the other side to close. */
async function converse(...pieces: readonly Uint8Array[]): Promise<Conversation> {
  const socket = dial();
  const started = performance.now();
  const chunks: Buffer[] = [];
  socket.on("data", (chunk) => chunks.push(chunk));
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
  await closed;
  return { received: Buffer.concat(chunks), ms: performance.now() - started };
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; !condition(); i++) {
    if (i > 400) throw new Error("the condition did not come true in 2 s");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await listener.close();
});

const startup = (): Buffer => {
  const body = Buffer.from("\0\0\0\0\0\x03\0\0user\0me\0\0", "latin1");
  body.writeUInt32BE(body.length, 0);
  return body;
};
const request = (code: number): Buffer => {
  const body = Buffer.alloc(8);
  body.writeUInt32BE(8, 0);
  body.writeUInt32BE(code, 4);
  return body;
};

describe("Listener", () => {
  it("closes or routes a connection for every first byte, in time", async () => {
    await open();
    const bytes = Array.from({ length: 256 }, (_, byte) => byte);
    const results = await Promise.all(bytes.map((byte) => converse(Uint8Array.of(byte))));
    for (const [byte, { received, ms }] of results.entries()) {
      expect(ms, `first byte ${byte}`).toBeLessThan(1_500);
      if (byte === 0x16) expect([...received]).toEqual([0x15, 3, 3, 0, 2, 2, 40]);
      else expect(received.length, `first byte ${byte}`).toBe(0);
    }
    expect(taken).toEqual([]);
    await until(() => listener.connections === 0);
  });

  it("hands over a connection with every byte that was read for detection", async () => {
    await open();
    const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for (const [text, protocol] of [
      ["POST /v3/kv/put HTTP/1.1\r\n", "http1"],
      [preface, "http2"],
    ] as const) {
      const socket = dial();
      for (const piece of [text.slice(0, 2), text.slice(2, 4), `${text.slice(4)}rest`]) {
        socket.write(piece);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await until(() => taken.some((one) => one.protocol === protocol));
      const server = taken.find((one) => one.protocol === protocol)?.socket as Socket;
      let got = "";
      server.on("data", (chunk: Buffer) => (got += chunk.toString("latin1")));
      await until(() => got.length >= text.length + 4);
      socket.write("!");
      await until(() => got.endsWith("!"));
      expect(got).toBe(`${text}rest!`);
    }
  });

  it("does not cut a connection that it handed over", async () => {
    await open({ detectionMs: 40 });
    const socket = dial();
    socket.write("GET / ");
    await until(() => taken.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect(socket.destroyed).toBe(false);
  });

  it("closes the silent, and those that stop in the middle", async () => {
    await open({ detectionMs: 60 });
    for (const pieces of [[], ["P"], ["PRI * HTTP/2.0\r\n"], ["GE", "T"]]) {
      const { ms, received } = await converse(...pieces.map((one) => Buffer.from(one)));
      expect(ms).toBeGreaterThan(50);
      expect(ms).toBeLessThan(1_000);
      expect(received.length).toBe(0);
    }
    expect(observed.filter((one) => one.type === "door-protocol-unknown")).toHaveLength(4);
  });

  it("answers PostgreSQL in its own words, with and without asking for encryption first", async () => {
    await open();
    const plain = await converse(startup());
    expect(plain.received[0]).toBe(0x45);
    expect(plain.received.readUInt32BE(1)).toBe(plain.received.length - 1);
    expect(plain.received.toString("latin1")).toContain("SFATAL\0VFATAL\0C0A000\0M");

    const polite = await converse(request(80_877_104), request(80_877_103), startup());
    expect(polite.received.toString("latin1").slice(0, 3)).toBe("NNE");

    const cut = startup();
    const slow = await converse(cut.subarray(0, 3), cut.subarray(3, 9), cut.subarray(9));
    expect(slow.received.equals(plain.received)).toBe(true);
  });

  it("closes a PostgreSQL client that cancels, lies about lengths, or asks without end", async () => {
    await open();
    expect((await converse(Buffer.concat([request(80_877_102), Buffer.alloc(8)]))).received.length).toBe(0);
    expect((await converse(Buffer.from([0, 255, 255, 255, 0, 3, 0, 0]))).received.length).toBe(0);
    const many = await converse(Buffer.concat(Array.from({ length: 1_000 }, () => request(80_877_103))));
    expect(many.received.length).toBeLessThanOrEqual(3);
  });

  it("closes at once what comes over the limit, and serves again below it", async () => {
    await open({ connectionsMax: 2, detectionMs: 5_000 });
    const held = [dial(), dial()];
    await until(() => listener.connections === 2);
    expect((await converse()).ms).toBeLessThan(1_000);
    expect(observed).toMatchObject([{ type: "door-connection-refused", limit: "connectionsMax" }]);
    held[0]?.destroy();
    await until(() => listener.connections === 1);
    dial().write("GET / ");
    await until(() => taken.length === 1);
  });

  it("keeps nothing of a thousand strangers", async () => {
    await open();
    const round = async (): Promise<void> => {
      await Promise.all(Array.from({ length: 100 }, (_, i) => converse(Buffer.alloc(1_000, (i % 200) + 40))));
    };
    await round();
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 10; i++) await round();
    await until(() => listener.connections === 0);
    expect(process.memoryUsage().rss - before).toBeLessThan(60_000_000);
  });

  it("names the cause and the next step when the port is taken", async () => {
    await open();
    const again = Listener.open({
      address: listener.address,
      connectionsMax: 1,
      observer: { observe: () => undefined },
      http1: () => undefined,
      http2: () => undefined,
    });
    await expect(again).rejects.toMatchObject({
      code: "ADDRESS_IN_USE",
      message: `Cannot listen on ${listener.address}: another program does; stop it or choose another port`,
    });
  });

  it("refuses what is no address", async () => {
    await open();
    for (const address of ["7400", "localhost", ":7400", "::1:7400", "127.0.0.1:70000", "a b:1x"]) {
      await expect(
        Listener.open({
          address,
          connectionsMax: 1,
          observer: { observe: () => undefined },
          http1: () => undefined,
          http2: () => undefined,
        }),
      ).rejects.toThrow(AlthingError);
    }
  });
});
