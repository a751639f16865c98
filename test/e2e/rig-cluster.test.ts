/**
 * The cluster helpers, seen to work on etcd: what a fault is meant to do, it does, and what a client is told is true. The
 * tests of Althing stand on these helpers; a fault that silently does nothing would make them all pass.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Cluster } from "./lib/cluster.ts";
import { etcdSpec } from "./lib/etcd-spec.ts";
import { freePorts } from "./lib/free-ports.ts";
import { KvClient } from "./lib/kv-client.ts";
import { Load, lostWrites } from "./lib/load.ts";
import { NetNamespaces } from "./lib/net-namespaces.ts";
import { sleep, until } from "./lib/until.ts";

/** A call to a node that answers, or an error that says what it did instead. */
async function leaderOf(cluster: Cluster): ReturnType<Cluster["ready"]> {
  return await until("a leader", 10_000, () => cluster.leader());
}

describe("a cluster of real processes", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await Cluster.start(etcdSpec, { ports: await freePorts(6) });
  });
  afterAll(async () => {
    await cluster.close();
  });

  it("answers put, get, list, compare-and-put and delete with etcd's results", async () => {
    const kv = new KvClient(cluster.node(1).endpoint);
    expect(await kv.put("t/a", "1")).toEqual({ type: "done", value: expect.any(BigInt) });
    expect(await kv.compareAndPut("t/a", "1", "2")).toEqual({ type: "done", value: true });
    expect(await kv.compareAndPut("t/a", "1", "3")).toEqual({ type: "done", value: false });
    expect(await kv.compareAndPut("t/b", undefined, "new")).toEqual({ type: "done", value: true });
    expect(await kv.compareAndPut("t/b", undefined, "newer")).toEqual({ type: "done", value: false });
    const listed = await kv.list("t/");
    const pairs =
      listed.type === "done" ? listed.value.map((pair) => [pair.key, Buffer.from(pair.value).toString()]) : [];
    expect(pairs).toEqual([
      ["t/a", "2"],
      ["t/b", "new"],
    ]);
    expect(await kv.delete("t/a")).toEqual({ type: "done", value: true });
    expect(await kv.delete("t/a")).toEqual({ type: "done", value: false });
    expect(await kv.get("t/a")).toEqual({ type: "done", value: undefined });
    kv.close();
  });

  it("tells a refused call from an unsent one and both from one with an unknown outcome", async () => {
    const [closedPort = 0] = await freePorts(1);
    const nobody = new KvClient(`127.0.0.1:${closedPort}`);
    expect(await nobody.put("a", "1")).toMatchObject({
      type: "failed",
      reason: expect.stringContaining("ECONNREFUSED"),
    });
    nobody.close();

    const node = cluster.node(2);
    const kv = new KvClient(node.endpoint, { timeoutMs: 200 });
    expect(await kv.put("", "x")).toEqual({
      type: "failed",
      reason: "grpc-status 3: etcdserver: key is not provided",
    });
    node.process.pause();
    expect(await kv.put("a", "1")).toEqual({ type: "unknown", reason: "no answer in 200 ms" });
    node.process.resume();
    await cluster.ready();
    kv.close();
  });

  it("kills the leader under load, elects another, restarts it, and loses nothing", async () => {
    const load = Load.start({ endpoints: cluster.endpoints, clients: 4, registers: 3, seed: 1, timeoutMs: 1_000 });
    await sleep(200);
    const before = load.epoch.acknowledged.length;
    const leader = await leaderOf(cluster);
    await leader.process.kill();
    expect(leader.process.running).toBe(false);
    const next = await until("another leader", 10_000, async () => {
      const found = await cluster.leader();
      return found === undefined || found === leader ? undefined : found;
    });
    leader.process.start();
    await cluster.ready();
    await until("writes after the election", 5_000, () =>
      load.epoch.acknowledged.length > before + 20 ? true : undefined,
    );
    await load.stop();

    expect(next).not.toBe(leader);
    expect(load.epoch.judge().type).toBe("ok");
    expect(before).toBeGreaterThan(10);
    expect(load.epoch.counts.done).toBeGreaterThan(100);
    for (const node of cluster.nodes) {
      const kv = new KvClient(node.endpoint);
      expect(await lostWrites(kv, "journal/", load.epoch.acknowledged, { serializable: false })).toEqual([]);
      kv.close();
    }
  });

  it("finds a lost write, when there is one", async () => {
    const kv = new KvClient(cluster.node(3).endpoint);
    await kv.put("journal/x/1", "there");
    await kv.put("journal/x/2", "other");
    const acknowledged = [
      { key: "journal/x/1", value: "there" },
      { key: "journal/x/2", value: "written" },
      { key: "journal/x/3", value: "written" },
    ];
    expect(await lostWrites(kv, "journal/", acknowledged, { serializable: false })).toEqual([
      "journal/x/2",
      "journal/x/3",
    ]);
    kv.close();
  });
});

if (NetNamespaces.available()) testNamespaces();
else process.stderr.write("Not run: tests in network namespaces, which need root, iproute2 and nftables\n");

function testNamespaces(): void {
  describe("a cluster in network namespaces", () => {
    it("moves leadership away from a leader that is cut off, which then answers no linearizable read", async () => {
      using hosts = NetNamespaces.open(3);
      await using cluster = await Cluster.start(etcdSpec, { ports: [2379, 2380, 2379, 2380, 2379, 2380], hosts });
      const leader = await leaderOf(cluster);
      hosts.isolate(leader.plan.id);
      const next = await until("another leader", 10_000, async () => {
        const found = await cluster.leader();
        return found === undefined || found === leader ? undefined : found;
      });
      const cutOff = new KvClient(leader.endpoint, { timeoutMs: 500 });
      expect(await cutOff.get("a")).toMatchObject({ type: "unknown" });
      const kv = new KvClient(next.endpoint);
      expect(await kv.put("a", "1")).toMatchObject({ type: "done" });
      hosts.heal();
      const healed = await until("the healed node's answer", 10_000, async () => {
        const read = await cutOff.get("a");
        return read.type === "done" ? read.value : undefined;
      });
      expect(Buffer.from(healed.value).toString()).toBe("1");
      cutOff.close();
      kv.close();
    });
  });
}
