import { connect as rawConnect, createServer as rawServer, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { concatBytes } from "../base/bytes.ts";
import { Deferred } from "../base/deferred.ts";
import { Scope } from "../base/scope.ts";
import type { Connection, Listener } from "../ports/network.ts";
import type { ObservedEvent } from "../ports/observer.ts";
import { parseAddress } from "./address.ts";
import { encodeFrames } from "./frame.ts";
import { NodeNetwork, type NodeNetworkOptions } from "./node-network.ts";

let scope = new Scope();
afterEach(async () => {
  await scope.close();
  scope = new Scope();
});

function until(condition: () => boolean): Promise<void> {
  return expect.poll(condition, { interval: 2, timeout: 2_000 }).toBe(true);
}

async function serve(options: NodeNetworkOptions = {}) {
  const events: ObservedEvent[] = [];
  const network = new NodeNetwork({ observer: { observe: (event) => events.push(event) }, ...options });
  const accepted: Connection[] = [];
  const listener: Listener = scope.own(
    await network.listen("127.0.0.1:0", (connection) => {
      connection.onFrame = () => undefined;
      accepted.push(connection);
      scope.defer(() => connection.close());
    }),
  );
  return { network, listener, accepted, events };
}

async function dial(network: NodeNetwork, address: string): Promise<Connection> {
  const connection = await network.dial(address);
  scope.defer(() => connection.close());
  return connection;
}

/** A raw socket to a listener. */
async function raw(address: string): Promise<Socket> {
  const socket = rawConnect(parseAddress(address));
  socket.on("error", () => undefined);
  scope.defer(() => {
    socket.destroy();
  });
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  return socket;
}

describe("NodeNetwork", () => {
  test("frames arrive whole, in order and unchanged in both directions, also the large ones", async () => {
    const received: Uint8Array[] = [];
    const network = new NodeNetwork();
    const listener = scope.own(
      await network.listen("127.0.0.1:0", (connection) => {
        scope.defer(() => connection.close());
        connection.onFrame = (frame) => connection.send(frame); // an echo
      }),
    );
    const client = await dial(network, listener.address);
    client.onFrame = (frame) => received.push(frame);
    const sent = [0, 1, 30, 8_191, 8_192, 8_193, 70_000, 1_048_576, 5].map((length) =>
      new Uint8Array(length).map((_, i) => i * 7 + length),
    );
    for (const frame of sent) client.send(frame);
    await until(() => received.length === sent.length);
    for (const [i, frame] of sent.entries()) expect(Buffer.compare(frame, received[i] ?? new Uint8Array(1))).toBe(0);
  });

  test("send() gathers the frames of a turn into one write", async () => {
    const chunks: Buffer[] = [];
    const server = rawServer((socket) => socket.on("data", (chunk) => chunks.push(chunk)));
    scope.defer(() => {
      server.close();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const bound = server.address();
    if (typeof bound !== "object" || bound === null) throw new Error("no port");
    const client = await dial(new NodeNetwork(), `127.0.0.1:${bound.port}`);
    for (let i = 0; i < 100; i++) client.send(new Uint8Array(20));
    expect(client.bufferedBytes).toBe(2_800);
    await until(() => chunks.reduce((sum, chunk) => sum + chunk.length, 0) === 2_800);
    expect(chunks).toHaveLength(1);
    expect(client.bufferedBytes).toBe(0);
  });

  test("frames that arrive before onFrame is set are kept for it", async () => {
    const held = new Deferred<Connection>();
    const network = new NodeNetwork();
    const listener = scope.own(await network.listen("127.0.0.1:0", (connection) => held.resolve(connection)));
    const client = await dial(network, listener.address);
    client.send(Uint8Array.of(1));
    client.send(Uint8Array.of(2));
    const connection = await held.promise;
    scope.defer(() => connection.close());
    await new Promise((resolve) => setTimeout(resolve, 20));
    const frames: number[] = [];
    connection.onFrame = (frame) => frames.push(frame[0] ?? 0);
    await until(() => frames.length === 2);
    expect(frames).toEqual([1, 2]);
  });

  test("close() writes what was sent before, and both ends hear of it exactly once", async () => {
    const { network, listener, accepted } = await serve();
    const client = await dial(network, listener.address);
    const reasons: string[] = [];
    const frames: number[] = [];
    client.onFrame = (frame) => frames.push(frame.length);
    client.onClose = (reason) => reasons.push(`client: ${reason}`);
    await until(() => accepted.length === 1);
    const [server] = accepted;
    if (server === undefined) throw new Error("nothing accepted");
    server.onClose = (reason) => reasons.push(`server: ${reason}`);
    client.send(new Uint8Array(50)); // unread when the server closes: it must not turn the goodbye into a reset
    server.send(new Uint8Array(9));
    server.close();
    server.close();
    server.send(new Uint8Array(8)); // ignored
    await until(() => reasons.length >= 2);
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(frames).toEqual([9]);
    expect(reasons.toSorted()).toEqual(["client: closed by the peer", "server: closed by this node"]);
  });

  test("onClose that is set late is still told", async () => {
    const { network, listener } = await serve();
    const client = await dial(network, listener.address);
    client.close();
    await new Promise((resolve) => setTimeout(resolve, 5));
    const reason = new Deferred<string>();
    client.onClose = (why) => reason.resolve(why);
    expect(await reason.promise).toBe("closed by this node");
  });

  test("a damaged frame closes the connection and tells the Observer", async () => {
    const { listener, accepted, events } = await serve();
    const socket = await raw(listener.address);
    await until(() => accepted.length === 1);
    const reason = new Deferred<string>();
    for (const connection of accepted) connection.onClose = (why) => reason.resolve(why);
    const stream = concatBytes(encodeFrames([Uint8Array.of(1, 2, 3)]));
    stream[9] = 77;
    socket.write(stream);
    expect(await reason.promise).toBe("a frame of 3 bytes fails its checksum");
    expect(events).toMatchObject([{ type: "connection-refused", level: "warn" }]);
  });

  test("an oversized frame closes the connection at its header", async () => {
    const { listener, accepted, events } = await serve({ frameBytesMax: 1_000 });
    const socket = await raw(listener.address);
    await until(() => accepted.length === 1);
    const reason = new Deferred<string>();
    for (const connection of accepted) connection.onClose = (why) => reason.resolve(why);
    socket.write(concatBytes(encodeFrames([new Uint8Array(1_001)])).subarray(0, 8));
    expect(await reason.promise).toBe("a frame of 1001 bytes is over the limit of 1000");
    expect(events).toHaveLength(1);
  });

  test("a peer that goes away in the middle of a frame is told apart", async () => {
    const { listener, accepted } = await serve();
    const socket = await raw(listener.address);
    await until(() => accepted.length === 1);
    const reason = new Deferred<string>();
    for (const connection of accepted) connection.onClose = (why) => reason.resolve(why);
    socket.end(Uint8Array.of(9, 0, 0));
    expect(await reason.promise).toBe("closed by the peer in the middle of a frame");
  });

  test("a peer that reads too slowly is cut off at the limit", async () => {
    const { network, listener, accepted, events } = await serve({ bufferedBytesMax: 1_000_000 });
    const socket = await raw(listener.address);
    socket.pause();
    await until(() => accepted.length === 1);
    const [server] = accepted;
    if (server === undefined) throw new Error("nothing accepted");
    const reason = new Deferred<string>();
    server.onClose = (why) => reason.resolve(why);
    let most = 0;
    for (let i = 0; i < 400 && events.length === 0; i++) {
      server.send(new Uint8Array(100_000));
      most = Math.max(most, server.bufferedBytes);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await reason.promise).toMatch(/^the peer reads too slowly: \d+ bytes wait for it$/);
    expect(most).toBeLessThanOrEqual(1_000_000);
    expect(network).toBeDefined();
  });

  test("listen() fails with ADDRESS_IN_USE and names the address", async () => {
    const { network, listener } = await serve();
    await expect(network.listen(listener.address, () => undefined)).rejects.toMatchObject({
      code: "ADDRESS_IN_USE",
      message: expect.stringContaining(listener.address),
    });
  });

  test("listen() can take the port again once close() has resolved, while old connections go on", async () => {
    const { network, listener, accepted } = await serve();
    const client = await dial(network, listener.address);
    await until(() => accepted.length === 1);
    await listener.close();
    scope.own(await network.listen(listener.address, () => undefined));
    const frames: number[] = [];
    client.onFrame = (frame) => frames.push(frame.length);
    for (const connection of accepted) connection.send(new Uint8Array(3));
    await until(() => frames.length === 1);
  });

  test("listen() names an address that is not of this machine, or is none", async () => {
    const network = new NodeNetwork();
    await expect(network.listen("192.0.2.1:0", () => undefined)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await expect(network.listen("nonsense", () => undefined)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });

  test("listen() drops connections over connectionsMax and tells the Observer", async () => {
    const { listener, accepted, events } = await serve({ connectionsMax: 1 });
    await raw(listener.address);
    await raw(listener.address);
    await until(() => events.length === 1);
    expect(events).toMatchObject([{ type: "connection-dropped", limit: 1 }]);
    expect(accepted).toHaveLength(1);
  });

  test("dial() fails with UNREACHABLE where nothing listens", async () => {
    const { network, listener } = await serve();
    await listener.close();
    await expect(network.dial(listener.address)).rejects.toMatchObject({ code: "UNREACHABLE" });
  });

  test("dial() ends at its signal with the signal's reason", async () => {
    const controller = new AbortController();
    const dialing = new NodeNetwork().dial("127.0.0.1:9", { signal: controller.signal });
    controller.abort(new Error("enough"));
    await expect(dialing).rejects.toThrow("enough");
  });
});

describe("parseAddress()", () => {
  test("takes names, IPv4 and bracketed IPv6, and nothing else", () => {
    expect(parseAddress("[::1]:7400")).toEqual({ host: "::1", port: 7400 });
    expect(parseAddress("node-1.example:0")).toEqual({ host: "node-1.example", port: 0 });
    for (const bad of ["::1:7400", "host", "host:", ":1", "host:65536", "a b:1", "[::1]", "http://x:1"]) {
      expect(() => parseAddress(bad)).toThrow(/it is not host:port/);
    }
  });
});
