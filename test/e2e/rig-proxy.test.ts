/** The proxy that makes network faults, seen to make them: on plain TCP, before any cluster depends on it. */
import { connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TcpProxy } from "./lib/tcp-proxy.ts";
import { sleep, until } from "./lib/until.ts";

/** Answers every line with the same line in capitals, and says what it heard. */
class ShoutServer {
  readonly heard: string[] = [];
  readonly #server: Server;

  constructor() {
    this.#server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.on("data", (chunk: Buffer) => {
        this.heard.push(chunk.toString());
        socket.write(chunk.toString().toUpperCase());
      });
    });
  }

  open(): Promise<number> {
    return new Promise((resolve) => {
      this.#server.listen(0, "127.0.0.1", () => {
        const address = this.#server.address();
        resolve(typeof address === "object" && address !== null ? address.port : 0);
      });
    });
  }

  get heardText(): string {
    return this.heard.join("");
  }

  close(): void {
    this.#server.close();
  }
}

class Caller {
  received = "";
  isClosed = false;
  readonly #socket: Socket;

  constructor(address: string) {
    this.#socket = connect(Number(address.split(":")[1]), "127.0.0.1");
    this.#socket.on("error", () => undefined);
    this.#socket.on("data", (chunk: Buffer) => {
      this.received += chunk.toString();
    });
    this.#socket.on("close", () => {
      this.isClosed = true;
    });
  }

  send(text: string): void {
    this.#socket.write(text);
  }

  receives(text: string): Promise<true> {
    return until(`"${text}"`, 2_000, () => (this.received === text ? true : undefined), 2);
  }

  close(): void {
    this.#socket.destroy();
  }
}

describe("TcpProxy", () => {
  let server: ShoutServer;
  let proxy: TcpProxy;
  let caller: Caller;

  beforeEach(async () => {
    server = new ShoutServer();
    const port = await server.open();
    proxy = await TcpProxy.open(() => port);
    caller = new Caller(proxy.address);
    caller.send("a");
    await caller.receives("A");
  });
  afterEach(async () => {
    caller.close();
    await proxy.close();
    server.close();
  });

  it("holds what the caller sends while forward is cut, and passes it on when healed", async () => {
    proxy.fault = { forwardCut: true };
    caller.send("b");
    await sleep(60);
    expect([server.heardText, caller.received]).toEqual(["a", "A"]);
    proxy.heal();
    await caller.receives("AB");
  });

  it("holds only the answers while backward is cut", async () => {
    proxy.fault = { backwardCut: true };
    caller.send("b");
    await until("the request", 2_000, () => (server.heardText === "ab" ? true : undefined), 2);
    await sleep(60);
    expect(caller.received).toBe("A");
    proxy.heal();
    await caller.receives("AB");
  });

  it("keeps a connection that is dialled during a cut silent", async () => {
    proxy.fault = { forwardCut: true, backwardCut: true };
    const late = new Caller(proxy.address);
    late.send("z");
    await sleep(60);
    expect([server.heardText, late.received, late.isClosed]).toEqual(["a", "", false]);
    proxy.heal();
    await late.receives("Z");
    late.close();
  });

  it("delays both ways and keeps the order", async () => {
    proxy.fault = { delayMs: 40 };
    const sent = performance.now();
    for (const letter of "bcdef") caller.send(letter);
    await caller.receives("ABCDEF");
    expect(performance.now() - sent).toBeGreaterThanOrEqual(79);
  });

  it("breaks open connections on reset, and takes new ones", async () => {
    proxy.reset();
    await until("the end of the connection", 2_000, () => (caller.isClosed ? true : undefined), 2);
    const next = new Caller(proxy.address);
    next.send("n");
    await next.receives("N");
    next.close();
  });

  it("passes many bytes through whole, also when the reader is slower", async () => {
    const line = "x".repeat(64 * 1024);
    for (let i = 0; i < 64; i++) caller.send(line);
    await until("4 MiB", 5_000, () => (caller.received.length === 1 + 64 * line.length ? true : undefined), 5);
    expect(/^AX+$/.test(caller.received)).toBe(true);
  });
});
