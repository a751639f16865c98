/** The client against real HTTP/2 servers on loopback that answer well, badly, late or not at all. */
import http2 from "node:http2";
import { type AddressInfo, createServer, type Server } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { GrpcClient } from "./client.ts";
import type { GrpcMethod } from "./connection.ts";
import { frameMessage } from "./framing.ts";
import { grpcCode } from "../../doors/grpc/status.ts";
import { GrpcError } from "./status.ts";

const text = {
  encode: (value: string): Uint8Array => new TextEncoder().encode(value),
  decode: (bytes: Uint8Array): string => new TextDecoder().decode(bytes),
};
const read: GrpcMethod<string, string> = { path: "/test.Echo/Read", request: text, response: text, repeatable: true };
const write: GrpcMethod<string, string> = { ...read, path: "/test.Echo/Write", repeatable: false };

type Handler = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void;

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function listen(server: Server | http2.Http2Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => server.close());
  const { port } = server.address() as AddressInfo; // a TCP server's address is never a pipe's name
  return `http://127.0.0.1:${port}`;
}

async function serve(handler: Handler): Promise<string> {
  const server = http2.createServer();
  server.on("session", (session) => closers.push(() => session.destroy()));
  server.on("stream", (stream, headers) => {
    stream.on("error", () => undefined);
    handler(stream, headers);
  });
  return await listen(server);
}

const answer =
  (messages: readonly string[], status = "0", message = ""): Handler =>
  (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": status, "grpc-message": message }));
    for (const one of messages) stream.write(frameMessage(text.encode(one)));
    stream.end();
  };

const refuse =
  (status: number, message: string): Handler =>
  (stream) => {
    const headers = {
      ":status": 200,
      "content-type": "application/grpc",
      "grpc-status": String(status),
      "grpc-message": message,
    };
    stream.respond(headers, { endStream: true });
  };

function connect(...endpoints: readonly string[]): GrpcClient {
  const client = new GrpcClient(endpoints, { timeoutMs: 1_000 });
  closers.push(() => client.close());
  return client;
}

async function failureOf(call: Promise<unknown>): Promise<GrpcError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof GrpcError) return error;
    throw error;
  }
  throw new Error("the call succeeded");
}

const DEAD = "http://127.0.0.1:1";

describe("one endpoint", () => {
  test("answers a unary call", async () => {
    const endpoint = await serve(answer(["hello"]));
    expect(await connect(endpoint).unary(read, "x")).toBe("hello");
  });

  test("sends the deadline along", async () => {
    let timeout: unknown;
    const endpoint = await serve((stream, headers) => {
      timeout = headers["grpc-timeout"];
      answer(["ok"])(stream, headers);
    });
    await connect(endpoint).unary(read, "x");
    expect(timeout).toMatch(/^\d{1,4}m$/);
  });

  test("a status is an error with its decoded message", async () => {
    const endpoint = await serve(refuse(5, "not%20found"));
    const failure = await failureOf(connect(endpoint).unary(read, "x"));
    expect([failure.code, failure.message, failure.progress]).toEqual([5, "not found", "answered"]);
  });

  test("nobody there is not-sent", async () => {
    const failure = await failureOf(connect(DEAD).unary(write, "x"));
    expect([failure.code, failure.progress, failure.message]).toEqual([14, "not-sent", "connection refused"]);
  });

  test("a port that accepts and says nothing is not-sent, within the deadline", async () => {
    const mute = createServer((socket) => void closers.push(() => socket.destroy()));
    const failure = await failureOf(connect(await listen(mute)).unary(write, "x", { timeoutMs: 150 }));
    expect([failure.code, failure.progress]).toEqual([14, "not-sent"]);
  });

  test("a port that speaks HTTP/1.1 is not-sent", async () => {
    const old = createServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    const failure = await failureOf(connect(await listen(old)).unary(write, "x"));
    expect(failure.progress).toBe("not-sent");
  });

  test("silence ends with DEADLINE_EXCEEDED", async () => {
    const endpoint = await serve(() => undefined);
    const failure = await failureOf(connect(endpoint).unary(write, "x", { timeoutMs: 100 }));
    expect([failure.code, failure.progress]).toEqual([grpcCode.deadlineExceeded, "lost"]);
  });

  test("an HTTP error and a foreign content type are refusals", async () => {
    const missing = await serve((stream) => stream.respond({ ":status": 404 }, { endStream: true }));
    expect((await failureOf(connect(missing).unary(read, "x"))).code).toBe(grpcCode.unimplemented);
    const page = await serve((stream) => {
      stream.respond({ ":status": 200, "content-type": "text/html" });
      stream.end("<p>");
    });
    expect((await failureOf(connect(page).unary(read, "x"))).message).toContain("does not speak gRPC");
  });

  test("an answer that breaks off, in a message or without a status, is lost", async () => {
    const cut = await serve((stream) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
      stream.write(Buffer.from([0, 0, 0, 0, 9, 1]));
      setTimeout(() => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR), 10);
    });
    expect((await failureOf(connect(cut).unary(write, "x"))).progress).toBe("lost");
    const noStatus = await serve((stream) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
      stream.end(frameMessage(text.encode("x")));
    });
    expect((await failureOf(connect(noStatus).stream(write).then(collect))).progress).toBe("lost");
  });

  test("a refused stream is not-sent", async () => {
    const endpoint = await serve((stream) => stream.close(http2.constants.NGHTTP2_REFUSED_STREAM));
    expect((await failureOf(connect(endpoint).unary(write, "x"))).progress).toBe("not-sent");
  });

  test("no message with status 0 is an error", async () => {
    const endpoint = await serve(answer([]));
    expect((await failureOf(connect(endpoint).unary(read, "x"))).code).toBe(grpcCode.internal);
  });
});

describe("a stream", () => {
  test("delivers every message before its end, also to a slow consumer", async () => {
    const sent = Array.from({ length: 500 }, (_, i) => `message ${i}`);
    const endpoint = await serve(answer(sent));
    const stream = await connect(endpoint).stream(read);
    const found: string[] = [];
    for await (const message of stream) {
      if (found.length % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      found.push(message);
    }
    expect(found).toEqual(sent);
  });

  test("a status behind messages comes after them", async () => {
    const endpoint = await serve(answer(["a", "b"], "9", "enough"));
    const found: string[] = [];
    const failure = await failureOf(
      connect(endpoint)
        .stream(read)
        .then(async (stream) => {
          for await (const message of stream) found.push(message);
        }),
    );
    expect(found).toEqual(["a", "b"]);
    expect([failure.code, failure.message]).toEqual([9, "enough"]);
  });

  test("leaving the loop and aborting both end the call at the server", async () => {
    let closed = 0;
    const endpoint = await serve((stream) => {
      stream.on("close", () => closed++);
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
      stream.write(frameMessage(text.encode("first")));
    });
    for await (const message of await connect(endpoint).stream(read)) {
      expect(message).toBe("first");
      break;
    }
    const stop = new AbortController();
    const stream = await connect(endpoint).stream(read, { signal: stop.signal });
    setTimeout(() => stop.abort(), 20);
    expect(await collect(stream)).toEqual(["first"]);
    await expect.poll(() => closed).toBe(2);
  });
});

describe("several endpoints", () => {
  test("a dead one is passed over, and the one that answered stays the first choice", async () => {
    let calls = 0;
    const endpoint = await serve((stream, headers) => {
      calls++;
      answer(["ok"])(stream, headers);
    });
    const client = connect(DEAD, endpoint);
    await client.unary(write, "x");
    await client.unary(write, "y");
    expect(calls).toBe(2);
    expect(client.endpoint).toBe(endpoint);
  });

  test("F1: a write that may have happened is not sent again, a read is", async () => {
    let writes = 0;
    const breaks = await serve((stream) => {
      writes++;
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
      setTimeout(() => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR), 5);
    });
    let answered = 0;
    const good = await serve((stream, headers) => {
      answered++;
      answer(["ok"])(stream, headers);
    });
    const failure = await failureOf(connect(breaks, good).unary(write, "x"));
    expect([failure.progress, writes, answered]).toEqual(["lost", 1, 0]);
    expect(await connect(breaks, good).unary(read, "x")).toBe("ok");
    expect([writes, answered]).toEqual([2, 1]);
  });

  test("F1: a refusal that promises that nothing was done moves a write on, another does not", async () => {
    const leaderless = await serve(refuse(14, "etcdserver: no leader"));
    const timedOut = await serve(refuse(14, "etcdserver: request timed out"));
    const good = await serve(answer(["ok"]));
    expect(await connect(leaderless, good).unary(write, "x")).toBe("ok");
    expect((await failureOf(connect(timedOut, good).unary(write, "x"))).message).toBe("etcdserver: request timed out");
  });

  test("F2: a cluster without a leader is asked until the deadline, then its own words are the error", async () => {
    let asked = 0;
    const leaderless = await serve((stream, headers) => {
      asked++;
      refuse(14, "etcdserver: no leader")(stream, headers);
    });
    const start = performance.now();
    const failure = await failureOf(connect(DEAD, leaderless).unary(write, "x", { timeoutMs: 450 }));
    expect(failure.message).toMatch(/no leader|connection refused/);
    expect(asked).toBeGreaterThan(2);
    expect(performance.now() - start).toBeLessThan(1_500);
  });
});

async function collect(stream: AsyncIterable<string>): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const message of stream) found.push(message);
  return found;
}
