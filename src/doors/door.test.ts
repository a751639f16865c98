/** The whole door on one port: gRPC, JSON gateway, health, metrics, origins, closing. The store behind it is in memory. */
import { connect as connectHttp2 } from "node:http2";
import { type IncomingHttpHeaders, request as httpRequest } from "node:http";
import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AlthingError, type ErrorCode, errors } from "../base/errors.ts";
import { defaultLimits } from "../config/limits.ts";
import * as m from "../coordination/messages.ts";
import { silentObserver } from "../ports/observer.ts";
import { type Door, type DoorOptions, openDoor } from "./door.ts";
import { frame, GrpcClient, splitFrames } from "./testing/grpc-client.ts";
import { type MemoryEtcd, memoryEtcd } from "./testing/memory-etcd.ts";

let store: MemoryEtcd;
let door: Door;
let reasons: string[];

async function open(options: Partial<DoorOptions> = {}): Promise<void> {
  door = await openDoor({
    address: "127.0.0.1:0",
    coordination: store,
    limits: { ...defaultLimits, requestBytesMax: 100_000, pendingBytesMax: 4_000_000 },
    observer: silentObserver,
    metrics: async () => ({ contentType: "text/plain; version=0.0.4", text: "althing_up 1\n" }),
    health: { livez: () => [], readyz: () => reasons },
    version: { etcdServer: "3.4.23", etcdCluster: "3.4.0", althing: "0.1.0" },
    ...options,
  });
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

function call(
  method: string,
  path: string,
  body = "",
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const [host, port] = door.address.split(":");
    const request = httpRequest({ host, port, method, path, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text: Buffer.concat(chunks).toString(),
        }),
      );
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end(body);
  });
}

const b64 = (text: string): string => Buffer.from(text).toString("base64");
const port = (): number => Number(door.address.split(":")[1]);

beforeEach(async () => {
  store = memoryEtcd();
  reasons = [];
  await open();
});

afterEach(async () => {
  await door.close({ graceMs: 0 });
});

describe("the JSON gateway", () => {
  it("puts and reads, under /v3 and /v3beta", async () => {
    const put = await call("POST", "/v3/kv/put", JSON.stringify({ key: b64("a"), value: b64("1") }));
    expect(put).toMatchObject({ status: 200, headers: { "content-type": "application/json" } });
    expect(put.text).toBe('{"header":{"cluster_id":"1","member_id":"2","revision":"2","raft_term":"3"}}');
    const range = await call("POST", "/v3beta/kv/range", JSON.stringify({ key: b64("a") }));
    expect(parsed(range.text)).toMatchObject({
      kvs: [{ key: "YQ==", value: "MQ==", mod_revision: "2" }],
      count: "1",
    });
  });

  it("serves every path of etcd 3.4 that it can", async () => {
    const paths: Readonly<Record<string, number>> = {
      "kv/deleterange": 200,
      "kv/txn": 200,
      "kv/compaction": 200,
      "lease/grant": 200,
      "lease/revoke": 404,
      "kv/lease/revoke": 404,
      "lease/timetolive": 200,
      "kv/lease/timetolive": 200,
      "lease/leases": 200,
      "kv/lease/leases": 200,
      "cluster/member/list": 200,
      "cluster/member/add": 200,
      "cluster/member/remove": 200,
      "cluster/member/update": 200,
      "cluster/member/promote": 200,
      "maintenance/status": 200,
      "maintenance/alarm": 200,
      "maintenance/hash": 200,
      "maintenance/defragment": 200,
      "maintenance/transfer-leadership": 200,
      "lock/unlock": 200,
      "election/leader": 500,
      "election/proclaim": 200,
      "election/resign": 200,
      "election/campaign": 200,
      "auth/status": 200,
      "auth/disable": 200,
      "auth/authenticate": 412,
      "auth/enable": 412,
      "auth/user/add": 501,
      "auth/user/list": 200,
      "auth/role/get": 412,
    };
    for (const [path, status] of Object.entries(paths)) {
      expect([path, (await call("POST", `/v3/${path}`, "{}")).status]).toEqual([path, status]);
    }
  });

  it("prints ids of 64 bits and alarms as etcd does", async () => {
    const members = parsed((await call("POST", "/v3/cluster/member/list", "{}")).text);
    expect(members.members).toEqual([
      { ID: "9223372036854775813", name: "n1", peerURLs: ["http://a:1"], clientURLs: ["http://a:2"] },
    ]);
    const alarm = parsed((await call("POST", "/v3/maintenance/alarm", '{"action":"GET"}')).text);
    expect(alarm).toEqual({ alarms: [{ memberID: "2", alarm: "NOSPACE" }] });
  });

  it("says what is wrong: JSON, types, codes, methods, paths", async () => {
    const cases: readonly (readonly [string, string, string, number, unknown])[] = [
      ["POST", "/v3/kv/put", "{}", 400, { message: "etcdserver: key is not provided", code: 3 }],
      ["POST", "/v3/kv/range", "", 400, { error: "etcdserver: key is not provided", code: 3 }],
      ["POST", "/v3/kv/range", '{"key":"!!"}', 400, { message: "illegal base64 data at input byte 0", code: 3 }],
      ["POST", "/v3/kv/range", "{", 400, { code: 3 }],
      ["POST", "/v3/kv/range", '{"key":"YQ==","revision":"99"}', 400, { code: 11 }],
      ["POST", "/v3/auth/authenticate", "{}", 412, { message: "etcdserver: authentication is not enabled", code: 9 }],
    ];
    for (const [method, path, body, status, json] of cases) {
      const answer = await call(method, path, body);
      expect(answer.status, body).toBe(status);
      expect(parsed(answer.text)).toMatchObject(json as object);
    }
    expect(await call("GET", "/v3/kv/range")).toMatchObject({ status: 405, headers: { allow: "POST" } });
    expect((await call("POST", "/v3/kv/nope", "{}")).status).toBe(404);
    expect((await call("POST", "/v3alpha/kv/put", "{}")).status).toBe(404);
  });

  it("refuses a body over the limit by its declared length and by what comes", async () => {
    const large = JSON.stringify({ key: b64("a"), value: "A".repeat(2_000_000) });
    expect((await call("POST", "/v3/kv/put", large)).status).toBe(429);
    expect((await call("POST", "/v3/kv/put", large, { "transfer-encoding": "chunked" })).status).toBe(429);
    expect((await call("POST", "/v3/kv/put", JSON.stringify({ key: b64("a") }))).status).toBe(200);
  });

  it("streams answers as lines, and keeps their order", async () => {
    const alive = await call("POST", "/v3/lease/keepalive", '{"ID":7}{"ID":8}');
    const lines = alive.text.trimEnd().split("\n");
    expect(lines.map((line) => parsed(line).result)).toMatchObject([{ ID: "7", TTL: "100" }, { ID: "8" }]);
    const observe = await call("POST", "/v3/election/observe", '{"name":"YQ=="}');
    expect(observe.text.trimEnd().split("\n")).toHaveLength(2);
    const snapshot = await call("POST", "/v3/maintenance/snapshot", "{}");
    expect(
      snapshot.text
        .trimEnd()
        .split("\n")
        .map((line) => parsed(line).result["remaining_bytes"]),
    ).toEqual(["100000", "50000", undefined]);
  });

  it("answers a stream that fails at once with a status, and one that fails later with a last line", async () => {
    expect(await call("POST", "/v3/lease/keepalive", "[]")).toMatchObject({ status: 500 }); // as etcd has it
    const late = await call("POST", "/v3/lease/keepalive", '{"ID":7}{"ID":');
    const lines = late.text.trimEnd().split("\n");
    expect(late.status).toBe(200);
    expect(parsed(lines[1] ?? "")).toMatchObject({ error: { grpc_code: 2, http_code: 500 } });
  });

  it("streams a watch until the caller leaves", async () => {
    const lines: string[] = [];
    const [host, portText] = door.address.split(":");
    const request = httpRequest(
      { host, port: portText, method: "POST", path: "/v3/watch", agent: false },
      (response) => {
        response.on("data", (chunk: Buffer) => lines.push(...chunk.toString().trimEnd().split("\n")));
        response.on("error", () => undefined);
      },
    );
    request.on("error", () => undefined);
    request.end(JSON.stringify({ create_request: { key: b64("w") } }));
    await until(() => lines.length === 1);
    await call("POST", "/v3/kv/put", JSON.stringify({ key: b64("w"), value: b64("1") }));
    await until(() => lines.length === 2);
    expect(parsed(lines[0] ?? "").result["created"]).toBe(true);
    expect(parsed(lines[1] ?? "").result["events"]).toMatchObject([{ kv: { key: b64("w"), value: b64("1") } }]);
    expect(store.watches.open).toBe(1);
    request.destroy();
    await until(() => store.watches.open === 0);
  });
});

describe("gRPC", () => {
  let client: GrpcClient;
  beforeEach(() => {
    client = new GrpcClient(door.address);
  });
  afterEach(() => client.close());

  const ask = async <Out, In, Reply>(
    path: string,
    request: { encode(value: In): Uint8Array; decode(bytes: Uint8Array): Out },
    value: In,
    response: { decode(bytes: Uint8Array): Reply },
  ): Promise<Reply> => {
    const answer = await client.call(path, { chunks: [frame(request.encode(value))] });
    expect(answer).toMatchObject({ grpcStatus: 0 });
    return response.decode(answer.messages[0] ?? new Uint8Array(0));
  };

  it("puts, reads and transacts", async () => {
    const key = Buffer.from("k");
    const put = await ask("/etcdserverpb.KV/Put", m.PutRequest, { key, value: Buffer.from("v") }, m.PutResponse);
    expect(put.header).toEqual({ clusterId: 1n, memberId: 2n, revision: 2, raftTerm: 3 });
    const range = await ask("/etcdserverpb.KV/Range", m.RangeRequest, { key }, m.RangeResponse);
    expect(Buffer.from(range.kvs[0]?.value ?? []).toString()).toBe("v");
    const txn = await ask(
      "/etcdserverpb.KV/Txn",
      m.TxnRequest,
      { success: [{ request: { type: "requestRange", value: { key } } }] },
      m.TxnResponse,
    );
    expect(txn.responses[0]?.response).toMatchObject({ type: "responseRange", value: { count: 1 } });
  });

  it("gives etcd's codes and words", async () => {
    const malformed = Uint8Array.of(0x0a, 9, 1);
    for (const path of ["/etcdserverpb.KV/Put", "/etcdserverpb.KV/Range", "/etcdserverpb.KV/Txn"]) {
      const answer = await client.call(path, { chunks: [frame(malformed)] });
      expect(answer.grpcStatus).toBe(13);
      expect(answer.grpcMessage).toMatch(/^grpc: error unmarshalling request: /);
    }
    const watch = await client.call("/etcdserverpb.Watch/Watch", { chunks: [frame(malformed)] });
    expect(watch.grpcMessage).toMatch(/^grpc: failed to unmarshal the received message /);
    const many = m.TxnRequest.encode({ success: Array.from({ length: 129 }, () => ({})) });
    expect(await client.call("/etcdserverpb.KV/Txn", { chunks: [frame(many)] })).toMatchObject({
      grpcStatus: 3,
      grpcMessage: "etcdserver: too many operations in txn request",
    });
    const empty = await client.call("/etcdserverpb.KV/Put", { chunks: [frame(new Uint8Array(0))] });
    expect(empty).toMatchObject({ grpcStatus: 3, grpcMessage: "etcdserver: key is not provided" });
    const over = await client.call("/etcdserverpb.KV/Put", { chunks: [frame(new Uint8Array(0), 0, 1 << 30)] });
    expect(over).toMatchObject({
      grpcStatus: 8,
      grpcMessage: `grpc: received message larger than max (${1 << 30} vs. ${100_000 + 524_288})`,
    });
  });

  it("translates every operating error into a code and a text", async () => {
    const request = { chunks: [frame(m.PutRequest.encode({ key: Buffer.from("k") }))] };
    for (const code of Object.keys(errors) as ErrorCode[]) {
      store.failNext(new AlthingError(code, `Cannot test: ${code}`));
      const answer = await client.call("/etcdserverpb.KV/Put", request);
      expect(answer.grpcStatus, code).toBeGreaterThan(0);
      expect(answer.grpcMessage?.length, code).toBeGreaterThan(5);
    }
    store.failNext(new AlthingError("GROUP_NO_LEADER", "Cannot write: x"));
    expect(await client.call("/etcdserverpb.KV/Put", request)).toMatchObject({
      grpcStatus: 14,
      grpcMessage: "etcdserver: no leader",
    });
  });

  it("ends a wait when the caller gives it up", async () => {
    const request = m.LockRequest.encode({ name: Buffer.from("held") });
    const answer = await client.call("/v3lockpb.Lock/Lock", { chunks: [frame(request)], timeoutMs: 50 });
    expect(answer.timedOut).toBe(true);
    await until(() => store.watches.pauses === -1);
  });

  it("streams a snapshot whole", async () => {
    const answer = await client.call("/etcdserverpb.Maintenance/Snapshot", { chunks: [frame(new Uint8Array(0))] });
    const parts = answer.messages.map((one) => m.SnapshotResponse.decode(one));
    expect(parts.map((one) => [one.remainingBytes, one.blob.length, one.blob[0]])).toEqual([
      [100_000, 50_000, 3],
      [50_000, 50_000, 2],
      [0, 50_000, 1],
    ]);
  });

  it("watches: a half-closed caller still listens; a slow one pauses the store and loses nothing", async () => {
    const http2 = connectHttp2(`http://${door.address}`);
    http2.on("error", () => undefined);
    const stream = http2.request({
      ":method": "POST",
      ":path": "/etcdserverpb.Watch/Watch",
      "content-type": "application/grpc",
    });
    stream.on("error", () => undefined);
    stream.end(
      frame(m.WatchRequest.encode({ requestUnion: { type: "createRequest", value: { key: Buffer.from("w") } } })),
    );
    await until(() => store.watches.open === 1);
    stream.pause();
    const value = new Uint8Array(10_000);
    for (let i = 0; i < 100; i++) {
      await store.put(m.PutRequest.make({ key: Buffer.from("w"), value }));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(store.watches.pauses).toBeGreaterThan(0);
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.resume();
    const revisions = (): readonly number[] =>
      splitFrames(Buffer.concat(chunks)).flatMap((one) =>
        m.WatchResponse.decode(one).events.map((event) => event.kv?.modRevision ?? 0),
      );
    await until(() => revisions().length === 100);
    expect(revisions()).toEqual(Array.from({ length: 100 }, (_, i) => i + 2));
    stream.close();
    await until(() => store.watches.open === 0);
    http2.destroy();
  });

  it("takes no more requests of a watcher that does not read the answers", async () => {
    const http2 = connectHttp2(`http://${door.address}`);
    http2.on("error", () => undefined);
    const stream = http2.request({
      ":method": "POST",
      ":path": "/etcdserverpb.Watch/Watch",
      "content-type": "application/grpc",
    });
    stream.on("error", () => undefined);
    stream.pause();
    const one = frame(m.WatchRequest.encode({ requestUnion: { type: "progressRequest", value: {} } }));
    const many = Buffer.concat(Array.from({ length: 1_000 }, () => one));
    let taken = 0;
    for (let i = 0; i < 300; i++) stream.write(many, () => taken++);
    await new Promise((resolve) => setTimeout(resolve, 200));
    const before = taken;
    expect(before).toBeLessThan(100); // 300 000 requests, of which a window or two have left
    stream.resume();
    await until(() => taken > before + 20);
    stream.close();
    http2.destroy();
  });

  it("answers the standard health service", async () => {
    const check = async (): Promise<readonly number[]> => {
      const answer = await client.call("/grpc.health.v1.Health/Check", { chunks: [frame(new Uint8Array(0))] });
      return [...(answer.messages[0] ?? [])];
    };
    expect(await check()).toEqual([8, 1]);
    reasons = ["no leader is known"];
    expect(await check()).toEqual([8, 2]);
    const unknown = await client.call("/grpc.health.v1.Health/Check", {
      chunks: [frame(Uint8Array.of(0x0a, 1, 0x78))],
    });
    expect(unknown).toMatchObject({ grpcStatus: 5, grpcMessage: "unknown service" });
  });
});

describe("HTTP", () => {
  it("tells health, with reasons", async () => {
    expect(await call("GET", "/_althing/livez")).toMatchObject({ status: 200, text: "live\n" });
    expect(await call("GET", "/_althing/readyz")).toMatchObject({ status: 200 });
    expect(await call("GET", "/health")).toMatchObject({ status: 200, text: '{"health":"true"}' });
    reasons = ["no leader is known"];
    expect(await call("GET", "/_althing/readyz")).toMatchObject({
      status: 503,
      text: "not ready:\n- no leader is known\n",
    });
    expect((await call("GET", "/health")).status).toBe(503);
    expect((await call("GET", "/_althing/livez")).status).toBe(200);
  });

  it("serves metrics and versions, and points the lost somewhere", async () => {
    expect(await call("GET", "/_althing/metrics")).toMatchObject({
      status: 200,
      text: "althing_up 1\n",
      headers: { "content-type": "text/plain; version=0.0.4" },
    });
    expect(parsed((await call("GET", "/version?x=1")).text)).toMatchObject({
      etcdserver: "3.4.23",
      etcdcluster: "3.4.0",
    });
    expect((await call("POST", "/version")).status).toBe(405);
    const lost = await call("GET", "/nope");
    expect(lost.status).toBe(404);
    expect(lost.text).toContain("/v3/kv/put");
  });

  it("refuses web pages of other origins and names that only point here", async () => {
    const put = JSON.stringify({ key: b64("a") });
    const evil = await call("POST", "/v3/kv/put", put, { origin: "http://evil.example" });
    expect(evil.status).toBe(403);
    expect((await call("GET", "/version", "", { host: "evil.example" })).status).toBe(403);
    expect(
      (await call("GET", "/version", "", { host: "evil.example:7400", origin: "http://evil.example:7400" })).status,
    ).toBe(403);
    expect((await call("POST", "/v3/kv/put", put, { origin: `http://${door.address}` })).status).toBe(200);
    for (const host of [`localhost:${port()}`, "[::1]:80", "127.0.0.1", "a.localhost"]) {
      expect((await call("GET", "/version", "", { host })).status).toBe(200);
    }
  });

  it("closes a connection that sends its headers too slowly", async () => {
    await door.close({ graceMs: 0 });
    await open({ timings: { headersMs: 80 } });
    const socket = connect(port(), "127.0.0.1");
    socket.on("error", () => undefined);
    let text = "";
    socket.on("data", (chunk) => (text += chunk.toString()));
    socket.write("GET /version HTTP/1.1\r\n");
    const drip = setInterval(() => socket.write("x: y\r\n"), 10);
    await new Promise<void>((resolve) => socket.once("close", () => resolve()));
    clearInterval(drip);
    expect(text).toMatch(/^HTTP\/1\.1 408 /);
  });

  it("refuses headers over 16 KiB", async () => {
    expect((await call("GET", "/version", "", { "x-large": "y".repeat(20_000) })).status).toBe(431);
  });
});

describe("openDoor()", () => {
  it("refuses an address beyond loopback without an explicit yes, and names the next step", async () => {
    const unsafe = open({ address: "0.0.0.0:0" });
    await expect(unsafe).rejects.toMatchObject({ code: "ADDRESS_UNSAFE" });
    await expect(unsafe).rejects.toThrow(/--insecure/);
    const before = door;
    await open({ address: "0.0.0.0:0", insecure: true });
    expect((await call("GET", "/version", "", { host: "node1.example" })).status).toBe(200);
    await before.close({ graceMs: 0 });
  });

  it("closes with calls under way, streams open and strangers on the line, in its grace", async () => {
    const stranger = connect(port(), "127.0.0.1");
    stranger.on("error", () => undefined);
    const client = new GrpcClient(door.address);
    const chunks = [frame(m.WatchRequest.encode({}))];
    const watch = client.call("/etcdserverpb.Watch/Watch", { chunks, end: false, timeoutMs: 3_000 });
    const lock = client.call("/v3lockpb.Lock/Lock", {
      chunks: [frame(m.LockRequest.encode({ name: Buffer.from("held") }))],
      timeoutMs: 3_000,
    });
    await until(() => store.watches.open === 1);
    const started = performance.now();
    await door.close({ graceMs: 100 });
    expect(performance.now() - started).toBeLessThan(1_000);
    expect(await watch).toMatchObject({ grpcStatus: 14, grpcMessage: "etcdserver: server stopped" });
    expect((await lock).grpcStatus).toBeUndefined();
    expect(door.connections).toBe(0);
    await expect(call("GET", "/version")).rejects.toThrow(/ECONNREFUSED/);
    await door.close();
  });
});

interface Parsed {
  readonly result: Readonly<Record<string, unknown>>;
  readonly members?: unknown;
}

/** What the door printed; each test looks at what it named. */
function parsed(text: string): Parsed {
  return JSON.parse(text) as Parsed;
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; !condition(); i++) {
    if (i > 400) throw new Error("the condition did not come true in 2 s");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
