/** `@grpc/grpc-js`, the client below `etcd3`, against our gRPC: sizes, streams both ways, deadlines, cancellation. */

import { createServer, type Server } from "node:net";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { GrpcServer } from "./grpc-server.ts";
import type { Services, StreamCall } from "./method.ts";
import { grpcStatus, OK } from "./status.ts";

const LIMIT = 2_000_000;
const asIs = (bytes: Buffer): Buffer => bytes;

let events: string[];
let server: GrpcServer;
let listener: Server;
let client: Client;

/** Echoes each message, and pauses its caller while the caller does not read. */
function echo(call: StreamCall): ReturnType<Extract<Services[string][string], { type: "bidi" }>["open"]> {
  return {
    message: (bytes) => {
      if (!call.send(Uint8Array.from(bytes))) call.pause();
    },
    halfClose: () => call.end(OK),
    drain: () => call.resume(),
    cancel: () => events.push("cancel"),
  };
}

const services: Services = {
  "test.Echo": {
    Echo: { type: "unary", handle: (request, call) => call.reply(Uint8Array.from(request)) },
    Later: {
      type: "unary",
      handle: (request, call) => {
        const copy = Uint8Array.from(request);
        setTimeout(() => call.reply(copy), 2);
      },
    },
    Hold: { type: "unary", handle: (_, call) => call.onCancel(() => events.push("cancel")) },
    Chat: { type: "bidi", open: echo },
    /** Goes on after the caller has said all, as a watch does: grpc-js half-closes before it resets. */
    Listen: { type: "bidi", open: (call) => ({ ...echo(call), halfClose: () => undefined }) },
    Count: {
      type: "server-stream",
      open: (request, call) => {
        let next = 0;
        const wanted = Buffer.from(request).readUInt32BE(0);
        const send = (): void => {
          while (next < wanted) if (!call.send(Buffer.alloc(5_000, next++ & 0xff))) return;
          call.end(next === wanted ? OK : grpcStatus(13, "too many"));
        };
        send();
        return { drain: send, cancel: () => events.push("cancel") };
      },
    },
  },
};

beforeEach(async () => {
  events = [];
  server = new GrpcServer({
    services,
    observer: { observe: () => undefined },
    messageBytesMax: LIMIT,
    streamsPerConnectionMax: 100,
    unfinishedBytesMax: 64_000_000,
  });
  listener = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => server.take(socket));
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const bound = listener.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : 0;
  client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
  });
});

afterEach(async () => {
  client.close();
  listener.close();
  await server.close(0);
});

function pattern(bytes: number, seed: number): Buffer {
  const made = Buffer.alloc(bytes);
  for (let i = 0; i < bytes; i++) made[i] = (i * (seed + 1) + (i >>> 9)) & 0xff;
  return made;
}

function unary(method: string, message: Buffer, deadlineMs?: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
    const done = (error: ServiceError | null, value?: Buffer): void => {
      if (error === null && value !== undefined) resolve(value);
      else reject(error ?? new Error("Cannot tell the answer: there is neither a message nor an error"));
    };
    client.makeUnaryRequest(`/test.Echo/${method}`, asIs, asIs, message, new Metadata(), options, done);
  });
}

describe("unary calls", () => {
  it("carry messages of 0 bytes to 1.9 MB, one after another and side by side", async () => {
    const sizes = [0, 1, 4, 5, 100, 8_191, 8_192, 8_193, 16_379, 16_384, 65_535, 65_536, 262_144, 1_000_000, 1_900_000];
    for (const size of sizes) {
      const message = pattern(size, size);
      expect((await unary("Echo", message)).equals(message), `${size} bytes`).toBe(true);
    }
    const messages = sizes.flatMap((size) => [pattern(size, size + 1), pattern(size >>> 1, size + 2)]);
    const answers = await Promise.all(messages.map((message, i) => unary(i % 2 === 0 ? "Echo" : "Later", message)));
    answers.forEach((answer, i) => expect(answer.equals(messages[i] ?? Buffer.alloc(0))).toBe(true));
    expect(server.unfinishedBytes).toBe(0);
  });

  it("over the limit are refused by their length, and the connection goes on", async () => {
    await expect(unary("Echo", Buffer.alloc(LIMIT + 1))).rejects.toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    expect(await unary("Echo", Buffer.from("x"))).toHaveLength(1);
    expect(server.unfinishedBytes).toBe(0);
  });

  it("more at once than the connection has streams all get their answer", async () => {
    const answers = await Promise.all(Array.from({ length: 400 }, (_, i) => unary("Later", Buffer.from(String(i)))));
    expect(answers.map(String)).toEqual(Array.from({ length: 400 }, (_, i) => String(i)));
  });

  it("end at their deadline, and the handler is told", async () => {
    await expect(unary("Hold", Buffer.from("x"), 60)).rejects.toMatchObject({ code: status.DEADLINE_EXCEEDED });
    await expect.poll(() => events).toEqual(["cancel"]);
  });

  it("that are cancelled tell the handler once", async () => {
    const error = await new Promise<ServiceError | null>((resolve) => {
      const call = client.makeUnaryRequest("/test.Echo/Hold", asIs, asIs, Buffer.from("x"), (failure) =>
        resolve(failure),
      );
      setTimeout(() => call.cancel(), 30);
    });
    expect(error?.code).toBe(status.CANCELLED);
    await expect.poll(() => events).toEqual(["cancel"]);
    expect((await unary("Echo", Buffer.from("y"))).toString()).toBe("y");
  });

  it("of an unknown method, and with text that needs encoding, get their status", async () => {
    await expect(unary("Nothing", Buffer.from("x"))).rejects.toMatchObject({ code: status.UNIMPLEMENTED });
  });
});

describe("streams", () => {
  it("carry messages of all sizes both ways, with pauses on either side", async () => {
    const sizes = [1, 5_000, 100_000, 3, 1_900_000, 0, 70_000, 16_384, 700_000, 9];
    const sent = sizes.map((size, i) => pattern(size, i));
    const got: Buffer[] = [];
    const call = client.makeBidiStreamRequest("/test.Echo/Chat", asIs, asIs);
    call.on("data", (message: Buffer) => {
      got.push(message);
      call.pause();
      setTimeout(() => call.resume(), got.length % 3);
    });
    let code: number | undefined;
    call.on("status", (end: { code: number }) => {
      code = end.code;
    });
    // The status may be told before the last messages are.
    const ended = new Promise<void>((resolve, reject) => {
      call.on("end", resolve);
      call.on("error", reject);
    });
    for (const message of sent) {
      if (!call.write(message)) await new Promise((resolve) => call.once("drain", resolve));
    }
    call.end();
    await ended;
    expect(code).toBe(status.OK);
    expect(got).toHaveLength(sent.length);
    got.forEach((message, i) => expect(message.equals(sent[i] ?? Buffer.alloc(0)), `message ${i}`).toBe(true));
    expect(events).toEqual([]);
  });

  it("of a thousand small messages on twenty streams at once keep their order", async () => {
    await Promise.all(
      Array.from({ length: 20 }, async (_, stream) => {
        const call = client.makeBidiStreamRequest("/test.Echo/Chat", asIs, asIs);
        const got: string[] = [];
        call.on("data", (message: Buffer) => got.push(message.toString()));
        const ended = new Promise((resolve) => call.on("status", resolve));
        for (let i = 0; i < 1_000; i++) call.write(Buffer.from(`${stream}:${i}`));
        call.end();
        await ended;
        expect(got).toEqual(Array.from({ length: 1_000 }, (__, i) => `${stream}:${i}`));
      }),
    );
  });

  it("of the server reach a slow reader whole", async () => {
    const wanted = Buffer.alloc(4);
    wanted.writeUInt32BE(600);
    const call = client.makeServerStreamRequest("/test.Echo/Count", asIs, asIs, wanted);
    let got = 0;
    call.on("data", (message: Buffer) => {
      expect(message.equals(Buffer.alloc(5_000, got++ & 0xff))).toBe(true);
      if (got % 50 !== 0) return;
      call.pause();
      setTimeout(() => call.resume(), 2);
    });
    await new Promise((resolve) => call.on("end", resolve));
    expect(got).toBe(600);
  });

  it("that are cancelled, or reach their deadline, tell the handler once", async () => {
    const cancelled = client.makeBidiStreamRequest("/test.Echo/Listen", asIs, asIs);
    cancelled.on("error", () => undefined);
    cancelled.once("data", () => cancelled.cancel());
    cancelled.write(Buffer.from("x"));
    await expect.poll(() => events).toEqual(["cancel"]);
    const late = client.makeBidiStreamRequest("/test.Echo/Listen", asIs, asIs, new Metadata(), {
      deadline: Date.now() + 50,
    });
    const code = new Promise<number>((resolve) => {
      late.on("error", (error: ServiceError) => resolve(error.code));
    });
    late.on("data", () => undefined);
    late.write(Buffer.from("x"));
    expect(await code).toBe(status.DEADLINE_EXCEEDED);
    await expect.poll(() => events).toEqual(["cancel", "cancel"]);
  });
});
