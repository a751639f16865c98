/**
 * Clients that do harm, each in its own way, against one public port. Each opens what it needs, and `close` ends it. None of
 * them fails when the node shuts the door on it: that is what a node may do.
 */
import { type ClientHttp2Session, connect as connectHttp2, constants } from "node:http2";
import { connect, type Socket } from "node:net";
import { Prng } from "../../../../src/base/prng.ts";
import { frame } from "../grpc-connection.ts";

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
/** RFC 9113 section 6.5: an empty SETTINGS frame. */
const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);

export interface BadClients {
  /** How many connections of it the node has not closed. */
  readonly open: number;
  close(): void;
}

class Sockets implements BadClients {
  readonly #sockets = new Set<Socket>();
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #port: number;

  constructor(port: number) {
    this.#port = port;
  }

  get open(): number {
    return this.#sockets.size;
  }

  dial(greeting?: Uint8Array): Socket {
    const socket = connect({ port: this.#port, host: "127.0.0.1", allowHalfOpen: true });
    this.#sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("end", () => socket.destroy());
    if (greeting !== undefined) socket.write(greeting);
    return socket;
  }

  every(ms: number, act: () => void): void {
    this.#timers.push(setInterval(act, ms));
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** Connections that say nothing. */
export function idle(port: number, count: number): BadClients {
  const sockets = new Sockets(port);
  for (let i = 0; i < count; i++) sockets.dial().resume();
  return sockets;
}

/** Requests whose headers come one byte at a time, and one whose body does. */
export function slowloris(port: number, count: number): BadClients {
  const sockets = new Sockets(port);
  const heads = [
    "POST /v3/kv/put HTTP/1.1\r\nHost: a\r\nX-Slow: ",
    "POST /v3/kv/put HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{",
    "PRI",
  ];
  const open = Array.from({ length: count }, (_, i) =>
    sockets.dial(Buffer.from(heads[i % heads.length] ?? "")).resume(),
  );
  sockets.every(200, () => {
    for (const socket of open) if (!socket.destroyed) socket.write("a");
  });
  return sockets;
}

/** Half-open: their own side ended, or they never read what they asked for. */
export function halfOpen(port: number, count: number): BadClients {
  const sockets = new Sockets(port);
  for (let i = 0; i < count; i++) {
    switch (i % 4) {
      case 0:
        sockets.dial(PREFACE).resume().end();
        break;
      case 1:
        sockets.dial(Buffer.concat([PREFACE, SETTINGS])).pause();
        break;
      case 2:
        sockets.dial(Buffer.from("GET /_althing/metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20))).pause();
        break;
      default:
        sockets.dial(Buffer.from([0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f])).pause(); // PostgreSQL's SSLRequest
    }
  }
  return sockets;
}

/** Noise, by itself and behind each greeting that the port knows. */
export function garbage(port: number, count: number, seed: number): BadClients {
  const prng = new Prng(seed);
  const sockets = new Sockets(port);
  const greetings = [
    Buffer.alloc(0),
    PREFACE,
    Buffer.concat([PREFACE, SETTINGS]),
    Buffer.from("POST /v3/kv/put HTTP/1.1\r\n"),
    Buffer.from([0, 0, 0, 8]),
    Buffer.from([0x7f, 0xff, 0xff, 0xff]),
    Buffer.from([0x16, 3, 1]),
  ];
  for (let i = 0; i < count; i++) {
    const noise = Buffer.from(Array.from({ length: prng.between(1, 4_096) }, () => prng.below(256)));
    sockets.dial(Buffer.concat([greetings[i % greetings.length] ?? noise, noise])).resume();
  }
  return sockets;
}

class Sessions implements BadClients {
  readonly #sessions = new Set<ClientHttp2Session>();
  readonly #port: number;

  constructor(port: number) {
    this.#port = port;
  }

  get open(): number {
    return this.#sessions.size;
  }

  dial(): ClientHttp2Session {
    const session = connectHttp2(`http://127.0.0.1:${this.#port}`);
    this.#sessions.add(session);
    session.setMaxListeners(0);
    session.on("error", () => undefined);
    session.on("close", () => this.#sessions.delete(session));
    return session;
  }

  close(): void {
    for (const session of this.#sessions) session.destroy();
  }
}

const CALL = {
  ":method": "POST",
  ":path": "/etcdserverpb.KV/Range",
  "content-type": "application/grpc",
  te: "trailers",
};

/** Streams that are opened and cancelled at once (CVE-2023-44487). */
export function rapidReset(port: number, sessions: number, streams: number): BadClients {
  const clients = new Sessions(port);
  for (let i = 0; i < sessions; i++) {
    const session = clients.dial();
    session.once("connect", () => {
      const burst = (left: number): void => {
        for (let n = 0; n < 100 && n < left; n++) {
          if (session.destroyed || session.closed) return;
          const stream = session.request(CALL);
          stream.on("error", () => undefined);
          stream.close(constants.NGHTTP2_CANCEL);
        }
        if (left > 100) setImmediate(() => burst(left - 100));
      };
      burst(streams);
    });
  }
  return clients;
}

/** Messages that announce or bring more than any request may have, and bodies that never end. */
export function oversized(port: number, count: number): BadClients {
  const clients = new Sessions(port);
  const chunk = Buffer.alloc(256 * 1024, 0x61);
  for (let i = 0; i < count; i++) {
    const stream = clients.dial().request({ ...CALL, ":path": "/etcdserverpb.KV/Put" });
    stream.on("error", () => undefined);
    stream.resume();
    const whole = frame(Buffer.alloc(8 * 1024 * 1024, 0x62));
    if (i % 2 === 0) stream.end(whole);
    else {
      stream.write(Buffer.from([0, 0x7f, 0xff, 0xff, 0xff])); // 2 GiB are to come
      const more = (): void => {
        while (!stream.destroyed && stream.writable && stream.write(chunk));
        stream.once("drain", more);
      };
      more();
    }
  }
  return clients;
}
