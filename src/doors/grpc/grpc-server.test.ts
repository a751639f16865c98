/** gRPC over a real socket: what a caller gets, whatever it sends. */
import { connect, createServer, type Server, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AssertionError } from "../../base/assert.ts";
import type { ObservedEvent } from "../../ports/observer.ts";
import { frame, GrpcClient } from "../testing/grpc-client.ts";
import { GrpcServer, type GrpcServerOptions } from "./grpc-server.ts";
import { FRAME_HEADROOM, type Services, type StreamCall, type UnaryCall } from "./method.ts";
import { grpcStatus, OK } from "./status.ts";

const LIMIT = 100_000;
const bytes = (...list: number[]): Uint8Array => Uint8Array.from(list);

interface Seen {
  readonly events: string[];
  readonly observed: ObservedEvent[];
  readonly calls: UnaryCall[];
  readonly streams: StreamCall[];
}

function services(seen: Seen): Services {
  return {
    "test.Echo": {
      Echo: { type: "unary", handle: (request, call) => call.reply(request) },
      Framed: {
        type: "unary",
        handle: (request, call) => {
          const framed = new Uint8Array(FRAME_HEADROOM + request.length);
          framed.set(request, FRAME_HEADROOM);
          call.replyFramed(framed);
        },
      },
      Twice: {
        type: "unary",
        handle: (request, call) => {
          call.reply(request);
          call.fail(grpcStatus(13, "late"));
        },
      },
      Fail: { type: "unary", handle: (_, call) => call.fail(grpcStatus(9, "no: 100% ü")) },
      Throw: {
        type: "unary",
        handle: () => {
          throw new TypeError("secret detail");
        },
      },
      Large: { type: "unary", handle: (_, call) => call.reply(new Uint8Array(1_000_000)) },
      Hold: {
        type: "unary",
        handle: (_, call) => {
          seen.calls.push(call);
          call.onCancel(() => seen.events.push("cancelled"));
        },
      },
      Chat: {
        type: "bidi",
        open: (call) => {
          seen.streams.push(call);
          return {
            message: (message) => {
              seen.events.push(`message ${message.length}`);
              call.send(message);
            },
            halfClose: () => {
              seen.events.push("half-close");
              call.end(OK);
            },
            drain: () => seen.events.push("drain"),
            cancel: () => seen.events.push("cancel"),
          };
        },
      },
      Listen: {
        type: "bidi",
        open: (call) => {
          seen.streams.push(call);
          return {
            message: (message) => call.send(message),
            halfClose: () => undefined,
            drain: () => undefined,
            cancel: () => seen.events.push("cancel"),
          };
        },
      },
      Count: {
        type: "server-stream",
        open: (request, call) => {
          for (let i = 0; i < (request[0] ?? 0); i++) call.send(bytes(i));
          call.end(request[0] === 9 ? grpcStatus(11, "nine") : OK);
          return { drain: () => undefined, cancel: () => undefined };
        },
      },
    },
  };
}

let seen: Seen;
let listener: Server;
let server: GrpcServer;
let client: GrpcClient;
let address: string;
let lastSocket: Socket | undefined;

async function open(options: Partial<GrpcServerOptions> = {}): Promise<void> {
  server = new GrpcServer({
    services: services(seen),
    observer: { observe: (event) => seen.observed.push(event) },
    messageBytesMax: LIMIT,
    streamsPerConnectionMax: 100,
    unfinishedBytesMax: 1_000_000,
    ...options,
  });
  listener = createServer({ noDelay: true }, (socket) => {
    lastSocket = socket;
    server.take(socket);
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const bound = listener.address();
  address = `127.0.0.1:${typeof bound === "object" && bound !== null ? bound.port : 0}`;
  client = new GrpcClient(address);
}

function http2Frame(type: number, flags: number, stream: number, payload: readonly number[]): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, Buffer.from(payload)]);
}

/** A header field without indexing, in plain letters. */
function literal(name: string, value: string): readonly number[] {
  return [0x00, name.length, ...Buffer.from(name), value.length, ...Buffer.from(value)];
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; !condition(); i++) {
    if (i > 400) throw new Error("the condition did not come true in 2 s");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

beforeEach(() => {
  seen = { events: [], observed: [], calls: [], streams: [] };
});

afterEach(async () => {
  client.close();
  listener.close();
  await server.close(0);
});

describe("unary calls", () => {
  it("answer with headers, message and trailers", async () => {
    await open();
    for (const method of ["Echo", "Framed", "Twice"]) {
      const answer = await client.call(`/test.Echo/${method}`, { chunks: [frame(bytes(1, 2, 3))] });
      expect(answer).toMatchObject({ httpStatus: 200, contentType: "application/grpc", grpcStatus: 0 });
      expect(answer.trailersOnly).toBe(false);
      expect(answer.messages.map((one) => [...one])).toEqual([[1, 2, 3]]);
    }
  });

  it("answer an empty message, and one of the largest size in any pieces", async () => {
    await open();
    expect((await client.call("/test.Echo/Echo", { chunks: [frame(bytes())] })).messages).toHaveLength(1);
    const large = new Uint8Array(LIMIT).fill(5);
    const body = frame(large);
    const chunks = [body.subarray(0, 2), body.subarray(2, 7), body.subarray(7, 70_000), body.subarray(70_000)];
    const answer = await client.call("/test.Echo/Echo", { chunks });
    expect(answer.grpcStatus).toBe(0);
    expect(Buffer.compare(answer.messages[0] ?? bytes(), large)).toBe(0);
    expect(server.unfinishedBytes).toBe(0);
  });

  it("answer before the caller half-closes, as grpc-go does", async () => {
    await open();
    const answer = await client.call("/test.Echo/Echo", { chunks: [frame(bytes(1))], end: false, timeoutMs: 1_000 });
    expect(answer).toMatchObject({ grpcStatus: 0, timedOut: false, rstCode: 0 });
  });

  it("inflate gzip", async () => {
    await open();
    const chunks = [frame(gzipSync(bytes(7, 7)), 1)];
    const answer = await client.call("/test.Echo/Echo", { headers: { "grpc-encoding": "gzip" }, chunks });
    expect(answer.messages.map((one) => [...one])).toEqual([[7, 7]]);
  });

  it("carry a failure in one HEADERS frame, percent-encoded", async () => {
    await open();
    const answer = await client.call("/test.Echo/Fail", { chunks: [frame(bytes())] });
    expect(answer).toMatchObject({ httpStatus: 200, grpcStatus: 9, grpcMessage: "no: 100% ü", trailersOnly: true });
  });

  it("hide what a handler throws from the caller and show it to the Observer", async () => {
    await open();
    const answer = await client.call("/test.Echo/Throw", { chunks: [frame(bytes())] });
    expect(answer).toMatchObject({ grpcStatus: 13, grpcMessage: "internal error" });
    expect(seen.observed).toMatchObject([{ type: "door-handler-failed", level: "error", message: "secret detail" }]);
  });

  const refused: readonly (readonly [string, Parameters<GrpcClient["call"]>, number, string])[] = [
    ["an unknown service", ["/x.Y/Z"], 12, "unknown service x.Y"],
    ["an unknown method", ["/test.Echo/Nope"], 12, "unknown method Nope for service test.Echo"],
    ["a path without a method", ["/foo"], 8, 'malformed method name: "/foo"'],
    ["no message", ["/test.Echo/Echo"], 2, "EOF"],
    ["a cut prefix", ["/test.Echo/Echo", { chunks: [bytes(0, 0)] }], 2, "unexpected EOF"],
    ["a cut message", ["/test.Echo/Echo", { chunks: [frame(bytes(1), 0, 9)] }], 2, "unexpected EOF"],
    [
      "a bad flag",
      ["/test.Echo/Echo", { chunks: [frame(bytes(1), 2)] }],
      13,
      "grpc: received unexpected payload format 2",
    ],
    [
      "compression that was not declared",
      ["/test.Echo/Echo", { chunks: [frame(bytes(1), 1)] }],
      13,
      "grpc: compressed flag set with identity or empty encoding",
    ],
    [
      "an unknown compression",
      ["/test.Echo/Echo", { chunks: [frame(bytes(1))], headers: { "grpc-encoding": "snappy" } }],
      12,
      'grpc: Decompressor is not installed for grpc-encoding "snappy"',
    ],
    [
      "a message over the limit",
      ["/test.Echo/Echo", { chunks: [frame(new Uint8Array(LIMIT + 1))] }],
      8,
      `grpc: received message larger than max (${LIMIT + 1} vs. ${LIMIT})`,
    ],
    [
      "a declared length over the limit, at once",
      ["/test.Echo/Echo", { chunks: [frame(bytes(), 0, 0x7fff_ffff)], end: false }],
      8,
      `grpc: received message larger than max (2147483647 vs. ${LIMIT})`,
    ],
    ["no time at all", ["/test.Echo/Hold", { headers: { "grpc-timeout": "0S" } }], 4, "context deadline exceeded"],
    [
      "a malformed timeout",
      ["/test.Echo/Hold", { headers: { "grpc-timeout": "5x" } }],
      13,
      'malformed grpc-timeout: "5x"',
    ],
  ];
  for (const [what, call, code, message] of refused) {
    it(`refuse ${what}`, async () => {
      await open();
      const answer = await client.call(...call);
      expect(answer).toMatchObject({ httpStatus: 200, grpcStatus: code, grpcMessage: message, timedOut: false });
      expect(server.unfinishedBytes).toBe(0);
    });
  }

  it("of another content type get HTTP's 415, and of another method 405", async () => {
    await open();
    for (const type of ["application/json", "application/grpcx", "text/plain", undefined]) {
      const answer = await client.call("/test.Echo/Echo", {
        headers: { "content-type": type },
        chunks: [frame(bytes())],
      });
      expect(answer).toMatchObject({ httpStatus: 415, grpcStatus: undefined });
      expect(answer.text).toContain("application/grpc");
    }
    const get = await client.call("/test.Echo/Echo", { headers: { ":method": "GET" } });
    expect(get.httpStatus).toBe(405);
  });

  it("never get more back than fits in one frame, whatever their own header fields are", async () => {
    await open();
    const longType = `application/grpc+${"x".repeat(8_190)}`;
    const answer = await client.call("/test.Echo/Echo", {
      headers: { "content-type": longType, "grpc-timeout": "%".repeat(4_000) },
      chunks: [frame(bytes(1))],
    });
    expect(answer.httpStatus).toBe(415);
    const timeout = await client.call("/test.Echo/Echo", { headers: { "grpc-timeout": "%".repeat(15_000) } });
    expect(timeout.grpcStatus).toBe(13);
    expect((await client.call("/test.Echo/Echo", { chunks: [frame(bytes(1))] })).grpcStatus).toBe(0);
  });

  it("get their content subtype back", async () => {
    await open();
    const call = { headers: { "content-type": "application/grpc+proto" }, chunks: [frame(bytes(1))] };
    expect((await client.call("/test.Echo/Echo", call)).contentType).toBe("application/grpc+proto");
    expect((await client.call("/test.Echo/Fail", call)).contentType).toBe("application/grpc+proto");
  });

  it("end at their deadline, and tell the handler", async () => {
    await open();
    const answer = await client.call("/test.Echo/Hold", {
      chunks: [frame(bytes())],
      headers: { "grpc-timeout": "30m" },
    });
    expect(answer).toMatchObject({ grpcStatus: 4, grpcMessage: "context deadline exceeded" });
    expect(seen.events).toEqual(["cancelled"]);
    seen.calls[0]?.reply(bytes(1)); // too late, and harmless
  });

  it("tell the handler once when the caller gives up", async () => {
    await open();
    await client.call("/test.Echo/Hold", { chunks: [frame(bytes())], timeoutMs: 30 });
    await until(() => seen.events.length > 0);
    expect(seen.events).toEqual(["cancelled"]);
    seen.calls[0]?.reply(bytes(1));
    expect((await client.call("/test.Echo/Echo", { chunks: [frame(bytes(1))] })).grpcStatus).toBe(0);
  });

  it("whose body stops arriving are ended, and others go on", async () => {
    await open({ requestArrivalMs: 90 });
    const slow = client.call("/test.Echo/Echo", { chunks: [frame(bytes(1), 0, 50_000)], end: false });
    const silent = client.call("/test.Echo/Echo", { end: false });
    await until(() => server.unfinishedBytes > 0);
    expect((await client.call("/test.Echo/Echo", { chunks: [frame(bytes(1))] })).grpcStatus).toBe(0);
    expect(await slow).toMatchObject({ grpcStatus: 4, timedOut: false });
    expect(await silent).toMatchObject({ grpcStatus: 4, timedOut: false });
    expect(server.unfinishedBytes).toBe(0);
  });

  it("share a budget for what has not arrived, and give it back on a reset", async () => {
    await open({ unfinishedBytesMax: 250_000 });
    const part = frame(new Uint8Array(60_000), 0, 100_000);
    const held = [1, 2, 3, 4, 5, 6].map(() =>
      client.call("/test.Echo/Echo", { chunks: [part], end: false, timeoutMs: 100 }),
    );
    const answers = await Promise.all(held);
    const refusedCount = answers.filter((one) => one.grpcStatus === 8).length;
    expect(refusedCount).toBeGreaterThan(0);
    expect(refusedCount).toBeLessThan(6);
    await until(() => server.unfinishedBytes === 0);
  });
});

describe("a caller that asks and does not read", () => {
  it("is refused more, alone, until it reads", async () => {
    await open({ unreadBytesMax: 3_000_000 });
    const lazy = new GrpcClient(address);
    const held = Array.from({ length: 4 }, () => {
      const stream = lazy.session.request({
        ":method": "POST",
        ":path": "/test.Echo/Large",
        "content-type": "application/grpc",
      });
      stream.on("error", () => undefined);
      stream.pause();
      stream.end(frame(bytes()));
      return stream;
    });
    await Promise.all(held.map((stream) => new Promise((resolve) => stream.once("response", resolve))));
    expect(await lazy.call("/test.Echo/Echo", { chunks: [frame(bytes(1))] })).toMatchObject({ grpcStatus: 8 });
    expect(await client.call("/test.Echo/Large", { chunks: [frame(bytes())] })).toMatchObject({ grpcStatus: 0 });
    const read = held.map(
      (stream) =>
        new Promise<void>((resolve) => {
          if (stream.closed)
            resolve(); // the fourth: refused, and so ended already
          else stream.once("close", resolve);
        }),
    );
    for (const stream of held) stream.resume();
    await Promise.all(read);
    expect(await lazy.call("/test.Echo/Echo", { chunks: [frame(bytes(1))] })).toMatchObject({ grpcStatus: 0 });
    lazy.close();
  });
});

describe("streams", () => {
  it("carry messages both ways until the caller half-closes", async () => {
    await open();
    const body = Buffer.concat([frame(bytes(1)), frame(bytes(2, 2)), frame(bytes())]);
    const answer = await client.call("/test.Echo/Chat", { chunks: [body.subarray(0, 8), body.subarray(8)] });
    expect(answer).toMatchObject({ grpcStatus: 0, trailersOnly: false });
    expect(answer.messages.map((one) => [...one])).toEqual([[1], [2, 2], []]);
    expect(seen.events).toEqual(["message 1", "message 2", "message 0", "half-close"]);
  });

  it("end without a message in one HEADERS frame", async () => {
    await open();
    expect(await client.call("/test.Echo/Chat")).toMatchObject({ grpcStatus: 0, trailersOnly: true, messages: [] });
  });

  it("of answers take one request", async () => {
    await open();
    const three = await client.call("/test.Echo/Count", { chunks: [frame(bytes(3))] });
    expect(three.messages.map((one) => [...one])).toEqual([[0], [1], [2]]);
    const nine = await client.call("/test.Echo/Count", { chunks: [frame(bytes(9))] });
    expect(nine).toMatchObject({ grpcStatus: 11, grpcMessage: "nine" });
    expect(nine.messages).toHaveLength(9);
    expect(await client.call("/test.Echo/Count")).toMatchObject({ grpcStatus: 2, grpcMessage: "EOF" });
  });

  it("refuse a bad flag, a cut message and an oversized one after what came before", async () => {
    await open();
    const good = frame(bytes(1));
    const flag = await client.call("/test.Echo/Chat", { chunks: [Buffer.concat([good, frame(bytes(1), 3)])] });
    expect(flag).toMatchObject({ grpcStatus: 13, grpcMessage: "grpc: received unexpected payload format 3" });
    expect(flag.messages).toHaveLength(1);
    const cut = await client.call("/test.Echo/Chat", { chunks: [good, bytes(0, 0)] });
    expect(cut).toMatchObject({ grpcStatus: 13, grpcMessage: "unexpected EOF" });
    const large = await client.call("/test.Echo/Chat", { chunks: [good, frame(bytes(), 0, LIMIT + 1)], end: false });
    expect(large).toMatchObject({ grpcStatus: 8 });
    expect(seen.events.filter((one) => one === "cancel")).toHaveLength(3);
  });

  it("tell the handler once when the caller resets", async () => {
    await open();
    await client.call("/test.Echo/Listen", { chunks: [frame(bytes(1))], end: false, resetAfter: 1 });
    await until(() => seen.events.includes("cancel"));
    expect(seen.streams[0]?.send(bytes(1))).toBe(false);
    await client.call("/test.Echo/Echo", { chunks: [frame(bytes(1))] });
    expect(seen.events).toEqual(["cancel"]);
  });

  it("end at their deadline", async () => {
    await open();
    const headers = { "grpc-timeout": "30m" };
    const answer = await client.call("/test.Echo/Chat", { chunks: [frame(bytes(1))], end: false, headers });
    expect(answer).toMatchObject({ grpcStatus: 4, grpcMessage: "context deadline exceeded" });
    expect(seen.events).toEqual(["message 1", "cancel"]);
  });

  it("say when a slow reader is full, hold no more than they were given, and say when it reads again", async () => {
    await open();
    const raw = client.session.request({
      ":method": "POST",
      ":path": "/test.Echo/Chat",
      "content-type": "application/grpc",
    });
    raw.on("error", () => undefined);
    raw.pause();
    raw.write(frame(bytes(1)));
    await until(() => seen.streams.length === 1 && seen.events.length === 1);
    const call = seen.streams[0] as StreamCall;
    let sent = 0;
    while (call.send(new Uint8Array(10_000))) {
      sent++;
      if (sent > 1_000) throw new Error("the stream never said it was full");
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(sent).toBeLessThan(60); // the stream's window and one buffer, not the pace of the sender
    expect(seen.events).not.toContain("drain");
    raw.resume();
    await until(() => seen.events.includes("drain"));
    raw.close();
  });

  it("pause a caller: nothing is handed on, and its window closes", async () => {
    await open();
    const raw = client.session.request({
      ":method": "POST",
      ":path": "/test.Echo/Chat",
      "content-type": "application/grpc",
    });
    raw.on("error", () => undefined);
    raw.resume();
    raw.write(frame(bytes(1)));
    await until(() => seen.streams.length === 1 && seen.events.length === 1);
    const call = seen.streams[0] as StreamCall;
    call.pause();
    const block = frame(new Uint8Array(10_000));
    let accepted = 0;
    for (let i = 0; i < 100; i++) {
      raw.write(block, () => {
        accepted++;
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(seen.events).toEqual(["message 1"]);
    expect(accepted).toBeLessThan(40);
    call.resume();
    await until(() => seen.events.filter((one) => one.startsWith("message")).length === 101);
    raw.end();
    await until(() => seen.events.includes("half-close"));
  });
});

describe("connections", () => {
  it("that send no SETTINGS are closed", async () => {
    await open({ handshakeMs: 50 });
    const raw = connect(Number(address.split(":")[1]), "127.0.0.1");
    raw.on("error", () => undefined);
    raw.resume();
    raw.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    await new Promise<void>((resolve) => raw.once("close", () => resolve()));
    await until(() => server.connections <= 1);
  });

  it("that do not answer a ping are closed", async () => {
    await open({ keepaliveMs: 40, keepaliveTimeoutMs: 40 });
    await client.call("/test.Echo/Echo", { chunks: [frame(bytes(1))] });
    const socket = lastSocket as Socket;
    const raw = connect(Number(address.split(":")[1]), "127.0.0.1");
    raw.on("error", () => undefined);
    const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    raw.write(Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), settings]));
    raw.resume(); // reads, and answers nothing
    await new Promise<void>((resolve) => raw.once("close", () => resolve()));
    expect(socket.destroyed).toBe(false); // the client that answers stays
    expect(seen.observed.map((one) => one.type)).toContain("door-connection-silent");
  });

  it("that flood pings are closed", async () => {
    await open();
    await client.call("/test.Echo/Echo", { chunks: [frame(bytes(1))] });
    const closed = new Promise<void>((resolve) => client.session.once("close", () => resolve()));
    for (let i = 0; i < 300; i++) {
      if (client.session.destroyed) break;
      client.session.ping(() => undefined);
      if (i % 8 === 7) await new Promise((resolve) => setImmediate(resolve));
    }
    await closed;
    expect(seen.observed.map((one) => one.type)).toContain("door-ping-flood");
  });

  it("that open and reset streams without end are closed, their calls are cancelled, and others go on", async () => {
    await open();
    const attacker = connect(Number(address.split(":")[1]), "127.0.0.1");
    let closed = false;
    attacker.on("error", () => undefined);
    attacker.on("close", () => {
      closed = true;
    });
    attacker.resume();
    attacker.write(Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), http2Frame(4, 0, 0, [])]));
    // POST, http and :authority by the static table, then two literals (RFC 7541, sections 6.1 and 6.2).
    const fields = [...literal(":path", "/test.Echo/Hold"), ...literal("content-type", "application/grpc")];
    const headers = [0x83, 0x86, 0x41, 1, 0x61, ...fields];
    let reset = 0;
    for (let id = 1; !closed && reset < 5_000; ) {
      const round = Array.from({ length: 50 }, () => {
        id += 2;
        return id;
      });
      const openings = round.flatMap((one) => [
        http2Frame(1, 4, one, headers),
        http2Frame(0, 0, one, [0, 0, 0, 0, 1, 9]),
      ]);
      attacker.write(Buffer.concat(openings));
      if (reset % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 2)); // half of them reach a handler first
      attacker.write(Buffer.concat(round.map((one) => http2Frame(3, 0, one, [0, 0, 0, 8]))));
      await new Promise((resolve) => setTimeout(resolve, 2));
      reset += round.length;
    }
    await until(() => closed);
    expect(reset).toBeLessThan(2_000);
    expect(seen.calls.length).toBeGreaterThan(0);
    await until(() => seen.events.length === seen.calls.length);
    expect((await client.call("/test.Echo/Echo", { chunks: [frame(bytes(1))] })).grpcStatus).toBe(0);
  });

  it("close when told: streams end with 14, unary calls under way finish", async () => {
    await open();
    const chat = client.call("/test.Echo/Chat", { chunks: [frame(bytes(1))], end: false });
    const held = client.call("/test.Echo/Hold", { chunks: [frame(bytes(1))] });
    await until(() => seen.streams.length === 1 && seen.calls.length === 1);
    const closed = server.close(1_000);
    expect(await chat).toMatchObject({ grpcStatus: 14, grpcMessage: "etcdserver: server stopped" });
    seen.calls[0]?.reply(bytes(5));
    expect(await held).toMatchObject({ grpcStatus: 0 });
    await closed;
    expect(server.connections).toBe(0);
  });
});

describe("a failed assertion in a handler", () => {
  it("is not turned into an answer", async () => {
    const { handlerFailure } = await import("./handler-failure.ts");
    const failure = new AssertionError("T1: broken");
    expect(() => handlerFailure({ observe: () => undefined }, "/x", failure)).toThrow(failure);
    await open();
  });
});
