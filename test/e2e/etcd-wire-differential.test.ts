/**
 * The same bytes to Debian's etcd and to our door: gRPC status and message must be the same. What differs on purpose is
 * listed with both answers and the reason, so that a change on either side shows. Here the protocol is compared, not the
 * data model: behind our door stands a store in memory.
 */
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { defaultLimits } from "../../src/config/limits.ts";
import { type Door, openDoor } from "../../src/doors/door.ts";
import { type EtcdProcess, startEtcd } from "../../src/doors/testing/etcd-process.ts";
import { frame, GrpcClient, type RawAnswer, type RawCall } from "../../src/doors/testing/grpc-client.ts";
import { memoryEtcd } from "../../src/doors/testing/memory-etcd.ts";
import { silentObserver } from "../../src/ports/observer.ts";

let etcd: EtcdProcess;
let door: Door;

beforeAll(async () => {
  etcd = await startEtcd();
  door = await openDoor({
    address: "127.0.0.1:0",
    coordination: memoryEtcd(),
    limits: defaultLimits,
    observer: silentObserver,
    metrics: async () => ({ contentType: "text/plain", text: "" }),
    health: { livez: () => [], readyz: () => [] },
    version: { etcdServer: "3.4.23", etcdCluster: "3.4.0", althing: "0" },
  });
});

afterAll(async () => {
  await door?.close({ graceMs: 0 });
  await etcd?.stop();
});

const bytes = (...list: number[]): Uint8Array => Uint8Array.from(list);
const PUT = "/etcdserverpb.KV/Put";
const KEEP_ALIVE = "/etcdserverpb.Lease/LeaseKeepAlive";
const put = bytes(0x0a, 1, 0x61, 0x12, 1, 0x62);
const cut = bytes(0x0a, 9, 1);

/** What of an answer must be equal. */
function essence(answer: RawAnswer): object {
  const { httpStatus, contentType, grpcStatus, grpcMessage, trailersOnly, rstCode, timedOut } = answer;
  // etcd sends an empty grpc-message with OK, we send none: both mean the same.
  return { httpStatus, contentType, grpcStatus, grpcMessage: grpcMessage ?? "", trailersOnly, rstCode, timedOut };
}

async function both(path: string, call: RawCall): Promise<readonly [RawAnswer, RawAnswer]> {
  const clients = [new GrpcClient(etcd.address), new GrpcClient(door.address)] as const;
  try {
    return [await clients[0].call(path, call), await clients[1].call(path, call)];
  } finally {
    for (const client of clients) client.close();
  }
}

const equal: Readonly<Record<string, readonly [string, RawCall?]>> = {
  "a put": [PUT, { chunks: [frame(put)] }],
  "a put byte by byte": [PUT, { chunks: [...frame(put)].map((one) => bytes(one)) }],
  "a put that is not half-closed": [PUT, { chunks: [frame(put)], end: false }],
  "two messages on a unary call": [PUT, { chunks: [frame(put), frame(put)] }],
  "an empty message": [PUT, { chunks: [frame(bytes())] }],
  "an empty key": [PUT, { chunks: [frame(bytes(0x12, 1, 0x62))] }],
  "an unknown service": ["/x.Y/Z", { chunks: [frame(put)] }],
  "a service with a slash": ["/a/b/c", { chunks: [frame(put)] }],
  "an unknown method": ["/etcdserverpb.KV/Nope", { chunks: [frame(put)] }],
  "a method to percent-encode": ['/etcdserverpb.KV/N%C3%A9"\\x', { chunks: [frame(put)] }],
  "a path without a method": ["/foo", { chunks: [frame(put)] }],
  "the root path": ["/", { chunks: [frame(put)] }],
  "no message": [PUT],
  "a cut prefix": [PUT, { chunks: [bytes(0, 0, 0)] }],
  "a cut message": [PUT, { chunks: [frame(put, 0, 20)] }],
  "a bad flag": [PUT, { chunks: [frame(put, 2)] }],
  "a compressed flag without an encoding": [PUT, { chunks: [frame(put, 1)] }],
  "a compressed flag with identity": [PUT, { chunks: [frame(put, 1)], headers: { "grpc-encoding": "identity" } }],
  "the identity encoding": [PUT, { chunks: [frame(put)], headers: { "grpc-encoding": "identity" } }],
  "an unknown encoding": [PUT, { chunks: [frame(put)], headers: { "grpc-encoding": "snappy" } }],
  "a declared length far over the limit": [PUT, { chunks: [frame(put, 0, 0x7fff_ffff)], end: false }],
  "a message one byte over the limit": [PUT, { chunks: [frame(new Uint8Array(2_097_153))] }],
  "a content subtype": [PUT, { chunks: [frame(put)], headers: { "content-type": "application/grpc+proto" } }],
  "no te header": [PUT, { chunks: [frame(put)], headers: { te: undefined } }],
  "an unknown binary header": [PUT, { chunks: [frame(put)], headers: { "x-bin": "!!" } }],
  authentication: ["/etcdserverpb.Auth/Authenticate", { chunks: [frame(bytes())] }],
  "enabling authentication": ["/etcdserverpb.Auth/AuthEnable", { chunks: [frame(bytes())] }],
  "disabling authentication": ["/etcdserverpb.Auth/AuthDisable", { chunks: [frame(bytes())] }],
  "no users": ["/etcdserverpb.Auth/UserList", { chunks: [frame(bytes())] }],
  "no such user": ["/etcdserverpb.Auth/UserGet", { chunks: [frame(bytes())] }],
  "no such role": ["/etcdserverpb.Auth/RoleGet", { chunks: [frame(bytes())] }],
  "a method of a later version": ["/etcdserverpb.Maintenance/Downgrade", { chunks: [frame(bytes())] }],
  "the health service": ["/grpc.health.v1.Health/Check", { chunks: [frame(bytes())] }],
  "the health of an unknown service": ["/grpc.health.v1.Health/Check", { chunks: [frame(bytes(0x0a, 1, 0x78))] }],
  "a keep-alive": [KEEP_ALIVE, { chunks: [frame(bytes(8, 99))] }],
  "a keep-alive without a message": [KEEP_ALIVE],
  "a cut prefix on a stream": [KEEP_ALIVE, { chunks: [bytes(0, 0, 1)] }],
  "a cut message after a good one": [KEEP_ALIVE, { chunks: [frame(bytes(8, 99)), bytes(0, 0)] }],
  "a bad flag on a stream": [KEEP_ALIVE, { chunks: [frame(bytes(8, 99), 3)] }],
  "a watch that asks for nothing": ["/etcdserverpb.Watch/Watch", { timeoutMs: 150 }],
};

/** The text behind the prefix is that of the decoder, and ours words it another way. */
const equalPrefix: Readonly<Record<string, readonly [string, RawCall, string]>> = {
  "a field that is cut": [PUT, { chunks: [frame(cut)] }, "grpc: error unmarshalling request: "],
  "a bad wire type": [PUT, { chunks: [frame(bytes(0x0f, 9, 1))] }, "grpc: error unmarshalling request: "],
  "a field number 0": [PUT, { chunks: [frame(bytes(0, 9, 1))] }, "grpc: error unmarshalling request: "],
  "a field of another type": [PUT, { chunks: [frame(bytes(8, 9))] }, "grpc: error unmarshalling request: "],
  "a malformed watch": [
    "/etcdserverpb.Watch/Watch",
    { chunks: [frame(cut)] },
    "grpc: failed to unmarshal the received message ",
  ],
  "a malformed keep-alive": [KEEP_ALIVE, { chunks: [frame(cut)] }, "grpc: failed to unmarshal the received message "],
};

describe("the same bytes to etcd and to the door", () => {
  for (const [what, [path, call = {}]] of Object.entries(equal)) {
    it(`give the same answer: ${what}`, async () => {
      const [theirs, ours] = await both(path, call);
      expect(essence(ours)).toEqual(essence(theirs));
    });
  }

  for (const [what, [path, call, prefix]] of Object.entries(equalPrefix)) {
    it(`give the same code and the same first words: ${what}`, async () => {
      const answers = await both(path, call);
      for (const answer of answers)
        expect(answer).toMatchObject({ httpStatus: 200, grpcStatus: 13, trailersOnly: true });
      for (const answer of answers) expect(answer.grpcMessage?.startsWith(prefix)).toBe(true);
    });
  }
});

describe("the same JSON to etcd's gateway and to ours", () => {
  interface Reply {
    readonly status: number;
    readonly contentType: string | null;
    readonly body: string;
  }
  const post = async (address: string, path: string, body: string, method = "POST"): Promise<Reply> => {
    const response = await fetch(`http://${address}${path}`, method === "GET" ? { method } : { method, body });
    return { status: response.status, contentType: response.headers.get("content-type"), body: await response.text() };
  };
  const cases: readonly (readonly [string, string, string?])[] = [
    ["/v3/kv/range", '{"key":"!!"}'],
    ["/v3/kv/range", '{"key":"YQ"}'],
    ["/v3/kv/range", ""],
    ["/v3/kv/range", "null"],
    ["/v3/kv/range", '{"key":null}'],
    ["/v3/kv/range", '{"unknown":"YQ=="}'],
    ["/v3/kv/range", "{"],
    ["/v3/kv/range", '{"key":"YQ==","revision":"99999"}'],
    ["/v3/kv/put", "{}"],
    ["/v3/kv/put", "{} trailing"],
    ["/v3beta/kv/put", "{}"],
    ["/v3alpha/kv/put", "{}"],
    ["/v3/kv/nope", "{}"],
    ["/v3/", "", "GET"],
    ["/v3/kv/range", "", "GET"],
    ["/v3/kv/range", "{}", "PUT"],
    ["/v3/lease/revoke", '{"ID":7}'],
    ["/v3/auth/authenticate", '{"name":"a"}'],
    ["/v3/auth/enable", "{}"],
    ["/v3/auth/user/get", "{}"],
    ["/v3/maintenance/downgrade", "{}"],
    ["/version", "", "POST"],
    ["/health", "", "GET"],
  ];
  for (const [path, body, method] of cases) {
    it(`give the same answer: ${method ?? "POST"} ${path} ${body}`, async () => {
      const theirs = await post(etcd.address, path, body, method);
      const ours = await post(door.address, path, body, method);
      // A page that is not there says more here; /health is JSON and says so.
      if (theirs.body === "404 page not found\n") expect(ours.status).toBe(404);
      else if (path === "/health") expect({ ...ours, contentType: "" }).toEqual({ ...theirs, contentType: "" });
      else expect(ours).toEqual(theirs);
    });
  }

  it("give the same code where the words are the decoder's own", async () => {
    for (const body of [
      '{"key":5}',
      "[]",
      '"x"',
      '{"limit":"x"}',
      '{"limit":1.5}',
      '{"limit":1e3}',
      '{"serializable":"true"}',
      '{"sort_order":"UP"}',
    ]) {
      const [theirs, ours] = [
        await post(etcd.address, "/v3/kv/range", body),
        await post(door.address, "/v3/kv/range", body),
      ];
      expect([ours.status, (JSON.parse(ours.body) as { code: number }).code], body).toEqual([400, 3]);
      expect([theirs.status, (JSON.parse(theirs.body) as { code: number }).code], body).toEqual([400, 3]);
    }
  });
});

describe("where the door differs from etcd on purpose", () => {
  it("a foreign content type: HTTP's 415 with a text, as the gRPC specification says; etcd resets the stream", async () => {
    for (const type of ["application/json", "application/grpcx", undefined]) {
      const [theirs, ours] = await both(PUT, { chunks: [frame(put)], headers: { "content-type": type } });
      expect(theirs).toMatchObject({ httpStatus: undefined, rstCode: 1 });
      expect(ours).toMatchObject({ httpStatus: 415, rstCode: 0 });
    }
  });

  it("another method than POST: 405; etcd takes PUT for POST and leaves GET without an answer", async () => {
    const [theirs, ours] = await both(PUT, { headers: { ":method": "GET" }, timeoutMs: 300 });
    expect(theirs.timedOut).toBe(true);
    expect(ours.httpStatus).toBe(405);
  });

  it("gzip: read here; etcd 3.4 has it not built in", async () => {
    const call = { chunks: [frame(gzipSync(put), 1)], headers: { "grpc-encoding": "gzip" } };
    const [theirs, ours] = await both(PUT, call);
    expect(theirs).toMatchObject({ grpcStatus: 12 });
    expect(ours).toMatchObject({ grpcStatus: 0 });
  });

  it("a malformed grpc-timeout: a status here, a reset there", async () => {
    const [theirs, ours] = await both(PUT, { chunks: [frame(put)], headers: { "grpc-timeout": "5x" } });
    expect(theirs).toMatchObject({ httpStatus: undefined, rstCode: 1 });
    expect(ours).toMatchObject({ grpcStatus: 13 });
  });

  it("no time left: always DEADLINE_EXCEEDED here; etcd's code depends on which part of it looks first", async () => {
    const [theirs, ours] = await both(PUT, { chunks: [frame(put)], headers: { "grpc-timeout": "0n" } });
    for (const answer of [theirs, ours]) expect(answer.grpcMessage).toBe("context deadline exceeded");
    expect([2, 4]).toContain(theirs.grpcStatus);
    expect(ours.grpcStatus).toBe(4);
  });

  it("AuthStatus of etcd 3.5: answered here", async () => {
    const [theirs, ours] = await both("/etcdserverpb.Auth/AuthStatus", { chunks: [frame(bytes())] });
    expect(theirs).toMatchObject({ grpcStatus: 12 });
    expect(ours).toMatchObject({ grpcStatus: 0 });
  });
});
