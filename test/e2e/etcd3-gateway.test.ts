/**
 * etcd v3's JSON gateway with `fetch`, on every node of a three-node Althing and of a three-node etcd: the same requests in the
 * same order, the same status codes and bodies, except for ids, terms and times.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TwinClusters } from "./lib/etcdctl-twin.ts";

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** A body without what two clusters cannot have in common; what the ids are called is left to `ids`. */
function plain(text: string, ids: Map<string, string>): unknown {
  if (!text.startsWith("{")) return text;
  const parsed: unknown = JSON.parse(text);
  return JSON.parse(
    JSON.stringify(parsed, (key: string, value: unknown) => {
      if (key === "member_id" || key === "cluster_id" || key === "raft_term") return `<${key}>`;
      if (key === "TTL" && typeof value === "string" && value !== "-1") return "<left>";
      if (key === "hash" && typeof value === "number") return "<hash>";
      // The codecs of our door know the values of an enum, not its name in the protocol.
      if (typeof value === "string" && value.startsWith("unknown value")) return value.replace(/ for .*/, "");
      if (typeof value === "string" && /^\d{14,20}$/.test(value)) {
        if (!ids.has(value)) ids.set(value, `<id ${ids.size + 1}>`);
        return ids.get(value);
      }
      return value;
    }),
  ) as unknown;
}

class Gateway {
  readonly #origin: string;
  readonly #ids = new Map<string, string>();
  readonly answers: { readonly path: string; readonly answer: Answer }[] = [];

  constructor(endpoint: string) {
    this.#origin = `http://${endpoint}`;
  }

  /** Posts JSON, records the answer, and gives its body as it came. */
  async post(path: string, request: unknown): Promise<Readonly<Record<string, unknown>>> {
    const response = await fetch(`${this.#origin}${path}`, {
      method: "POST",
      body: typeof request === "string" ? request : JSON.stringify(request),
      signal: AbortSignal.timeout(10_000),
    });
    const text = await response.text();
    this.answers.push({ path, answer: { status: response.status, body: plain(text, this.#ids) } });
    return text.startsWith("{") ? (JSON.parse(text) as Readonly<Record<string, unknown>>) : {}; // the gateway's own JSON
  }

  /** Posts, records `count` messages of the streamed answer, and hangs up. `onMessage` hears each as it comes. */
  async stream(
    path: string,
    request: unknown,
    count: number,
    onMessage: (n: number) => Promise<unknown>,
  ): Promise<void> {
    const hangUp = new AbortController();
    const response = await fetch(`${this.#origin}${path}`, {
      method: "POST",
      body: JSON.stringify(request),
      signal: AbortSignal.any([hangUp.signal, AbortSignal.timeout(15_000)]),
    });
    let rest = "";
    let got = 0;
    const decoder = new TextDecoder();
    try {
      // The cast: fetch's stream is typed without what its chunks are.
      for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
        rest += decoder.decode(chunk, { stream: true });
        for (let end = rest.indexOf("\n"); end !== -1 && got < count; end = rest.indexOf("\n")) {
          const line = rest.slice(0, end);
          rest = rest.slice(end + 1);
          this.answers.push({ path, answer: { status: response.status, body: plain(line, this.#ids) } });
          await onMessage(++got);
        }
        if (got >= count) break;
      }
    } finally {
      hangUp.abort();
    }
    expect(got, `messages of ${path}`).toBe(count);
  }
}

async function script(gateway: Gateway, prefix: string): Promise<void> {
  const key = (name: string): string => base64(`${prefix}${name}`);
  const post = gateway.post.bind(gateway);
  const all = { key: base64(prefix), range_end: base64(prefix.replace("/", "0")) };
  await post("/v3/kv/put", { key: key("a"), value: base64("1") });
  await post("/v3/kv/put", { key: key("a"), value: base64("2"), prev_kv: true });
  await post("/v3/kv/put", { key: key("b"), value: "" });
  await post("/v3/kv/put", { key: key("none"), ignore_value: true });
  await post("/v3/kv/put", { key: key("a"), lease: "77" });
  await post("/v3/kv/put", {});
  await post("/v3/kv/put", "");
  await post("/v3/kv/put", "{");
  await post("/v3/kv/put", { key: "not base64!" });
  await post("/v3/kv/put", { colour: "green" });
  await post("/v3/kv/range", { key: key("a") });
  await post("/v3/kv/range", { key: key("nothing") });
  await post("/v3/kv/range", { ...all, limit: 1 });
  await post("/v3/kv/range", { ...all, limit: "1", sort_order: "DESCEND", sort_target: "MOD" });
  await post("/v3/kv/range", { ...all, keys_only: true });
  await post("/v3/kv/range", { ...all, count_only: true });
  await post("/v3/kv/range", { ...all, serializable: true });
  await post("/v3/kv/range", { ...all, revision: 99_999 });
  await post("/v3/kv/range", { ...all, sort_order: "SIDEWAYS" });
  await post("/v3/kv/txn", {
    compare: [{ key: key("a"), target: "VALUE", result: "EQUAL", value: base64("2") }],
    success: [
      { request_put: { key: key("c"), value: base64("yes"), prev_kv: true } },
      { request_range: { key: key("c") } },
      { request_delete_range: { key: key("b"), prev_kv: true } },
    ],
    failure: [{ request_put: { key: key("c"), value: base64("no") } }],
  });
  await post("/v3/kv/txn", {
    compare: [{ key: key("a"), target: "VERSION", result: "GREATER", version: "9" }],
    success: [{ request_put: { key: key("c") } }],
    failure: [{ request_range: { key: key("c") } }],
  });
  await post("/v3/kv/txn", { success: [{ request_put: { key: key("d") } }, { request_put: { key: key("d") } }] });
  await post("/v3/kv/deleterange", { key: key("c"), prev_kv: true });
  await post("/v3/kv/deleterange", { key: key("c") });

  const { ID } = await post("/v3/lease/grant", { TTL: 600 });
  await post("/v3/kv/put", { key: key("leased"), value: base64("x"), lease: ID });
  await post("/v3/kv/range", { key: key("leased") });
  await post("/v3/lease/timetolive", { ID, keys: true });
  await post("/v3/lease/leases", {});
  await gateway.stream("/v3/lease/keepalive", { ID }, 1, async () => undefined);
  await post("/v3/lease/revoke", { ID });
  await post("/v3/lease/revoke", { ID });
  await post("/v3/lease/timetolive", { ID });
  await post("/v3/kv/range", { key: key("leased") });

  await gateway.stream("/v3/watch", { create_request: { key: key("w"), prev_kv: true } }, 4, async (n) => {
    const value = base64(String(n));
    if (n === 1 || n === 2) await post("/v3/kv/put", { key: key("w"), value });
    if (n === 3) await post("/v3/kv/deleterange", { key: key("w") });
  });
  await post("/v3/maintenance/hash", {});
  await post("/v3/maintenance/alarm", {});
  await post("/v3/kv/none", {});
  await post("/v3/none", {});
}

describe("the JSON gateway of every node, as etcd's", () => {
  let clusters: TwinClusters;
  beforeAll(async () => {
    clusters = await TwinClusters.start();
  });
  afterAll(async () => {
    await clusters?.close();
  });

  it.each([0, 1, 2])("at place %i of leader and followers", async (place) => {
    const [theirs, ours] = await Promise.all(
      [clusters.etcd, clusters.althing].map(async (cluster) => {
        const leader = await cluster.ready();
        const node = [leader, ...cluster.nodes.filter((one) => one !== leader)][place];
        const gateway = new Gateway(node?.endpoint ?? "");
        await script(gateway, `${place}/`);
        return gateway;
      }),
    );
    for (const [i, answer] of (theirs?.answers ?? []).entries()) expect.soft(ours?.answers[i]).toEqual(answer);
    expect(ours?.answers.length).toBe(theirs?.answers.length);
    expect(theirs?.answers.length).toBeGreaterThan(40);
  });
});
