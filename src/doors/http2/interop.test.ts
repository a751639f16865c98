/** Clients that we did not write: `node:http2` with large bodies both ways; h2load, nghttp and curl where they are installed. */
import { execFile, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { type ClientHttp2Session, connect, constants, type IncomingHttpHeaders } from "node:http2";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Http2Rig } from "../testing/http2-rig.ts";

const run = promisify(execFile);

/** Is the program there? Its tests are registered only then. */
function isInstalled(program: string): boolean {
  return spawnSync(program, ["--version"]).status === 0;
}

let rig: Http2Rig;
let sessions: ClientHttp2Session[];

beforeEach(async () => {
  sessions = [];
  rig = await Http2Rig.open();
});

afterEach(async () => {
  for (const session of sessions) session.destroy();
  await rig.close();
});

function open(settings: Parameters<typeof connect>[1] = {}): ClientHttp2Session {
  const session = connect(`http://127.0.0.1:${rig.port}`, settings);
  session.on("error", () => undefined);
  sessions.push(session);
  return session;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Answer {
  readonly bytes: number;
  readonly hash: string;
  readonly trailer: unknown;
}

/** Sends a body in pieces, reads with pauses now and then. */
async function exchange(session: ClientHttp2Session, path: string, body: Buffer, seed: number): Promise<Answer> {
  const stream = session.request({ ":method": "POST", ":path": path });
  const hash = createHash("sha256");
  let bytes = 0;
  let chunks = 0;
  let trailer: unknown;
  stream.on("trailers", (fields: IncomingHttpHeaders) => {
    trailer = fields["grpc-status"];
  });
  stream.on("data", (chunk: Buffer) => {
    hash.update(chunk);
    bytes += chunk.length;
    if (++chunks % (3 + (seed % 5)) !== 0) return;
    stream.pause();
    setTimeout(() => stream.resume(), seed % 3);
  });
  const closed = new Promise<void>((resolve, reject) => {
    stream.on("close", resolve);
    stream.on("error", reject);
  });
  const step = 1 + ((seed * 7_919) % 40_000);
  for (let at = 0; at < body.length; at += step) {
    if (!stream.write(body.subarray(at, at + step))) await new Promise((resolve) => stream.once("drain", resolve));
    if (seed % 4 === 0) await turn();
  }
  stream.end();
  await closed;
  return { bytes, hash: hash.digest("hex"), trailer };
}

describe("node:http2", () => {
  it("sends and gets large bodies on many streams at once, with pauses, and both windows are kept", async () => {
    const connections = [
      open(),
      open({ settings: { initialWindowSize: 1_000 } }),
      open({ settings: { maxFrameSize: 65_536 } }),
    ];
    const calls = Array.from({ length: 45 }, async (_, seed) => {
      const body = Buffer.alloc((seed * 104_729) % 400_000);
      for (let i = 0; i < body.length; i++) body[i] = (i * (seed + 3) + (i >> 8)) & 0xff;
      const session = connections[seed % 3];
      if (session === undefined) throw new Error("Cannot call: there is no session");
      const answer = await exchange(session, seed % 5 === 0 ? "/whole" : "/echo", body, seed);
      expect(answer, `call ${seed}`).toEqual({
        bytes: body.length,
        hash: createHash("sha256").update(body).digest("hex"),
        trailer: "0",
      });
    });
    await Promise.all(calls);
    expect([rig.openStreams, rig.queuedBytes]).toEqual([0, 0]);
  });

  it("many small calls one after another and side by side", async () => {
    const session = open();
    for (let round = 0; round < 20; round++) {
      const calls = Array.from({ length: 50 }, (_, i) => exchange(session, "/whole", Buffer.from(`${round} ${i}`), 1));
      for (const [i, answer] of (await Promise.all(calls)).entries()) {
        expect(answer.hash).toBe(createHash("sha256").update(`${round} ${i}`).digest("hex"));
      }
    }
    expect(rig.openStreams).toBe(0);
  });

  it("resets in the middle, and the others do not notice", async () => {
    const session = open();
    const large = Buffer.alloc(200_000, "r");
    const calls = Array.from({ length: 30 }, async (_, i) => {
      if (i % 3 !== 0) return (await exchange(session, "/echo", large, i)).bytes;
      const stream = session.request({ ":method": "POST", ":path": "/bytes/500000" });
      stream.on("error", () => undefined);
      stream.once("data", () => stream.close(constants.NGHTTP2_CANCEL));
      await new Promise((resolve) => stream.on("close", resolve));
      return large.length;
    });
    expect(await Promise.all(calls)).toEqual(Array.from({ length: 30 }, () => large.length));
    await expect.poll(() => rig.openStreams).toBe(0);
    expect(rig.queuedBytes).toBe(0);
  });

  it("is told to go, and finishes what it has", async () => {
    const session = open();
    const stream = session.request({ ":method": "POST", ":path": "/whole" });
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.write("before ");
    await expect.poll(() => rig.openStreams).toBe(1);
    const goaway = new Promise((resolve) => session.on("goaway", resolve));
    rig.connections[0]?.drain();
    expect(await goaway).toBe(constants.NGHTTP2_NO_ERROR);
    stream.end("after");
    await new Promise((resolve) => stream.on("close", resolve));
    expect(Buffer.concat(chunks).toString()).toBe("before after");
  });

  it("pings, and changes its settings", async () => {
    const session = open();
    await new Promise((resolve) => session.once("connect", resolve));
    const pings = Array.from({ length: 8 }, (_, i) => {
      const payload = Buffer.alloc(8, i);
      return new Promise<boolean>((resolve) => {
        session.ping(payload, (error, _ms, echoed) =>
          resolve(error === null && payload.equals(Buffer.from(echoed.buffer, echoed.byteOffset, 8))),
        );
      });
    });
    await new Promise<void>((resolve) => session.settings({ initialWindowSize: 5 }, () => resolve()));
    expect(await Promise.all(pings)).toEqual(pings.map(() => true));
    expect((await exchange(session, "/echo", Buffer.from("through a narrow window"), 1)).bytes).toBe(23);
  });
});

if (isInstalled("h2load")) {
  describe("h2load", () => {
    it("finds every answer whole", async () => {
      const url = `http://127.0.0.1:${rig.port}/bytes/300`;
      const { stdout } = await run("h2load", ["-n", "3000", "-c", "4", "-m", "30", url], { timeout: 15_000 });
      expect(stdout).toContain("3000 done, 3000 succeeded, 0 failed, 0 errored, 0 timeout");
      expect(stdout).toContain("status codes: 3000 2xx");
      await expect.poll(() => rig.openStreams).toBe(0);
    });
  });
}

if (isInstalled("nghttp")) {
  describe("nghttp", () => {
    async function nghttp(...args: readonly string[]): Promise<string> {
      const url = `http://127.0.0.1:${rig.port}/bytes/90000`;
      const { stdout } = await run("nghttp", ["-v", "-n", "-H", ":method: POST", ...args, url], {
        timeout: 15_000,
        maxBuffer: 4_000_000,
      });
      expect(stdout).not.toContain("_ERROR(0x01)");
      return stdout;
    }

    it("sends padding and priorities, opens small windows, and gets the whole answer", async () => {
      const stdout = await nghttp("-b", "200", "-w", "10", "-W", "11");
      expect(stdout).toContain("recv (stream_id=13) :status: 200");
      expect(stdout).toContain("recv (stream_id=13) grpc-status: 0");
      const lengths = [...stdout.matchAll(/recv DATA frame <length=([0-9]+)/g)].map((match) => Number(match[1]));
      expect(lengths.reduce((sum, one) => sum + one, 0)).toBe(90_000);
      expect(Math.max(...lengths)).toBeLessThan(1_024); // -w 10: a window of 2^10 - 1
    });

    it("sends more than a frame of header fields in CONTINUATION frames, and is told that it is too much", async () => {
      expect(await nghttp("--continuation")).toContain("recv (stream_id=13) :status: 431");
    });
  });
}

if (isInstalled("curl")) {
  describe("curl", () => {
    it("posts a body and gets it back", async () => {
      const args = [
        "-s",
        "--http2-prior-knowledge",
        "--data-binary",
        "hello over curl",
        "-w",
        " %{http_version} %{http_code}",
      ];
      const { stdout } = await run("curl", [...args, `http://127.0.0.1:${rig.port}/whole`], { timeout: 15_000 });
      expect(stdout).toBe("hello over curl 2 200");
    });
  });
}
