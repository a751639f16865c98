/**
 * `althing backup` and `althing restore`: a snapshot taken under load becomes a cluster with the same keys, revisions, history
 * and leases; what is damaged, foreign or in the way is refused.
 */
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { kv, lease } from "../../src/cli/etcd/api.ts";
import { GrpcClient } from "../../src/cli/grpc/client.ts";
import { hasEtcd } from "../../src/cli/testing/real-etcd.ts";
import { type CliResult, jsonLines, runCli } from "../../src/cli/testing/run-cli.ts";
import { althingSpec } from "./lib/althing-spec.ts";
import { Cluster, ClusterNode, type ClusterSpec } from "./lib/cluster.ts";
import { Etcdctl } from "./lib/etcdctl.ts";
import { etcdSpec } from "./lib/etcd-spec.ts";
import { freePorts } from "./lib/free-ports.ts";
import { type Acknowledged, Load } from "./lib/load.ts";
import { NodeProcess } from "./lib/node-process.ts";
import { sleep, until } from "./lib/until.ts";

const LEASE = 0x77n;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Every key with its value, revisions, version and lease, as of a revision. */
async function state(endpoint: string, revision: number): Promise<readonly unknown[]> {
  const client = new GrpcClient([`http://${endpoint}`], { timeoutMs: 5_000 });
  try {
    const all = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0), revision };
    const { kvs, more } = await client.unary(kv.range, all);
    expect(more).toBe(false);
    return kvs.map((pair) => ({
      ...pair,
      key: Buffer.from(pair.key).toString(),
      value: Buffer.from(pair.value).toString(),
    }));
  } finally {
    client.close();
  }
}

async function put(endpoint: string, key: string, value: string): Promise<number> {
  const client = new GrpcClient([`http://${endpoint}`], { timeoutMs: 10_000 });
  try {
    const { header } = await client.unary(kv.put, { key: bytes(key), value: bytes(value) });
    return header?.revision ?? 0;
  } finally {
    client.close();
  }
}

/** The nodes of a restored cluster, each in the folder that was made for it. */
function restoredSpec(folder: string, cluster: string): ClusterSpec {
  const spec = althingSpec();
  return {
    ...spec,
    command(self, all, peerAddress) {
      const plain = spec.command(self, all, peerAddress);
      return { ...plain, args: [...plain.args, "--cluster", cluster, "--dir", path.join(folder, `node-${self.id}`)] };
    },
  };
}

const initialCluster = (ports: readonly number[]): string =>
  [0, 1, 2].map((i) => `${i + 1}=127.0.0.1:${ports[2 * i + 1]}@127.0.0.1:${ports[2 * i]}`).join(",");

const json = (result: CliResult): Readonly<Record<string, unknown>> => {
  expect(result.code, result.stderr).toBe(0);
  return jsonLines(result.stdout)[0] ?? {};
};

describe("a snapshot taken under load", () => {
  let folder = "";
  let original: Cluster;
  /** Acknowledged before the snapshot was asked for. */
  let acknowledged: readonly Acknowledged[] = [];
  let saved: Readonly<Record<string, unknown>> = {};
  const file = (name: string): string => path.join(folder, name);
  const althing = (...args: readonly string[]): Promise<CliResult> => runCli([...args, "--json"], { cwd: folder });

  beforeAll(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), "althing-backup-"));
    original = await Cluster.start(althingSpec(), { ports: await freePorts(6) });
    const [first = ""] = original.endpoints;
    const client = new GrpcClient([`http://${first}`], { timeoutMs: 5_000 });
    await client.unary(lease.grant, { id: LEASE, ttl: 3_600 });
    await client.unary(kv.put, { key: bytes("leased"), value: bytes("x"), lease: LEASE });
    for (let i = 0; i < 20; i++) await client.unary(kv.put, { key: bytes("often"), value: bytes(String(i)) });
    await client.unary(kv.put, { key: bytes("gone"), value: bytes("soon") });
    await client.unary(kv.deleteRange, { key: bytes("gone") });
    client.close();
    const load = Load.start({ endpoints: original.endpoints, clients: 6, registers: 5, seed: 11 });
    await until("some writes", 20_000, () => (load.epoch.acknowledged.length > 100 ? true : undefined));
    acknowledged = [...load.epoch.acknowledged];
    saved = json(await althing("backup", "ours.db", "--endpoints", original.endpoints.join(",")));
    const theirs = await new Etcdctl(original.node(2).endpoint).run(["snapshot", "save", file("theirs.db")]);
    expect(theirs.code).toBe(0);
    await load.stop();
  });
  afterAll(async () => {
    await original.close();
    await rm(folder, { recursive: true, force: true });
  });

  test("holds what was acknowledged, and its check says what it holds", async () => {
    expect(json(await althing("restore", "ours.db", "--check"))).toEqual({ ...saved, endpoint: undefined });
    expect(saved["leases"]).toBe(1);
    expect(Number(saved["revision"])).toBeGreaterThan(acknowledged.length);
    expect(json(await althing("restore", "theirs.db", "--check"))["revision"]).toBeGreaterThanOrEqual(
      Number(saved["revision"]),
    );
    expect(await readdir(folder)).toEqual(["ours.db", "theirs.db"]);
  });

  test.each(["ours.db", "theirs.db"])(
    "%s becomes a cluster with the same keys, revisions and history",
    async (name) => {
      const ports = await freePorts(6);
      const target = file(`from-${name}`);
      const made = json(await althing("restore", name, "--dir", target, "--initial-cluster", initialCluster(ports)));
      const revision = Number(made["revision"]);
      await using cluster = await Cluster.start(restoredSpec(target, String(made["cluster"])), { ports });
      for (const at of [revision, revision - 50, 15]) {
        const expected = await state(original.node(1).endpoint, at);
        expect(expected.length).toBeGreaterThan(0);
        for (const { endpoint } of cluster.nodes) expect(await state(endpoint, at)).toEqual(expected);
      }
      const restored = new Map(
        (await state(cluster.node(1).endpoint, revision)).map((pair) => {
          const { key, value } = pair as Acknowledged; // as `state` makes them
          return [key, value];
        }),
      );
      expect(acknowledged.filter(({ key, value }) => restored.get(key) !== value)).toEqual([]);

      // It goes on: the next revision, the lease with its key, and one node less.
      expect(await put(cluster.node(2).endpoint, "after", "restore")).toBe(revision + 1);
      const client = new GrpcClient([`http://${cluster.node(3).endpoint}`], { timeoutMs: 5_000 });
      try {
        await cluster.node(1).process.kill();
        await client.unary(lease.revoke, { id: LEASE }, { timeoutMs: 10_000 });
        expect((await client.unary(kv.range, { key: bytes("leased") })).kvs).toEqual([]);
        expect((await client.unary(kv.range, { key: bytes("after") })).kvs).toHaveLength(1);
      } finally {
        client.close();
      }
      cluster.node(1).process.start();
      await cluster.ready();
      await expect.poll(() => state(cluster.node(1).endpoint, 0)).toEqual(await state(cluster.node(3).endpoint, 0));
    },
  );

  test("a folder of a second restore is another member: it elects nobody, and comes back as a learner", async () => {
    const ports = await freePorts(6);
    const flags = ["--cluster", "twice", "--initial-cluster", initialCluster(ports)];
    json(await althing("restore", "ours.db", "--dir", "first", ...flags));
    json(await althing("restore", "ours.db", "--dir", "second", ...flags));
    const spec = restoredSpec(file("first"), "twice");
    await using pair = await Cluster.start(spec, { ports: ports.slice(0, 4) }); // the third never runs with them
    const revision = await put(pair.node(1).endpoint, "kept", "by 1 and 2");
    await pair.node(1).process.kill();
    await pair.node(2).process.kill();
    await rm(file("first/node-2"), { recursive: true });
    await cp(file("second/node-2"), file("first/node-2"), { recursive: true });

    // Each of them holds the snapshot and nothing else: together they would be a majority that has lost the write.
    const [host, clientPort = 0, peerPort = 0] = ["127.0.0.1", ports[4], ports[5]];
    const plan = { id: 3, folder, host, clientPort, peerPort };
    const address = (to: { readonly peerPort: number }): string => `${host}:${to.peerPort}`;
    const all = [...pair.nodes.map((node) => node.plan), plan];
    const third = new ClusterNode(plan, new NodeProcess(spec.command(plan, all, address), file("node-3.log")));
    try {
      pair.node(2).process.start();
      third.process.start();
      const both = [pair.node(2), third];
      await until("both nodes", 10_000, async () => {
        const states = await Promise.all(both.map((node) => node.status()));
        return states.every((one) => one !== undefined) ? true : undefined;
      });
      await sleep(3_000); // several election timeouts
      for (const node of both) expect((await node.status())?.leader).toBe(0n);

      pair.node(1).process.start();
      await pair.ready();
      for (const { endpoint } of both) {
        await expect
          .poll(() => state(endpoint, 0), { timeout: 10_000 })
          .toEqual(await state(pair.node(1).endpoint, revision));
      }
      expect(await put(pair.node(2).endpoint, "next", "x")).toBe(revision + 1);
    } finally {
      await third.process.kill();
      await rm(file("node-3.log"), { force: true });
    }
  });

  test("without --initial-cluster it is a cluster for dev, which finds its name in the folder", async () => {
    const made = json(await althing("restore", "ours.db", "--dir", "local", "--nodes", "1", "--port", "29400"));
    expect(made["nodes"]).toMatchObject([{ id: 1, peer: "127.0.0.1:29401", dir: file("local/node-1") }]);
    const profile = JSON.parse(await readFile(file("local/cluster.json"), "utf8")) as Record<string, unknown>; // ours
    expect(profile["cluster"]).toBe(made["cluster"]);
    const named = await althing("node", "--dir", "local/node-1", "--listen", "127.0.0.1:29400");
    expect(named.code).toBe(5); // of cluster "althing": refused
    expect(named.stderr).toContain(String(made["cluster"]));
  });

  test("a damaged file, a cut one and one of something else are refused, and nothing is made", async () => {
    const whole = await readFile(file("ours.db"));
    const flipped = Buffer.from(whole);
    flipped[whole.length >> 1] = (flipped[whole.length >> 1] ?? 0) ^ 1;
    await writeFile(file("flipped.db"), flipped);
    await writeFile(file("cut.db"), whole.subarray(0, whole.length - 700));
    await writeFile(file("text.db"), "hello, I am no snapshot at all");
    for (const name of ["flipped.db", "cut.db", "text.db"]) {
      const { code, stdout, stderr } = await runCli(["restore", name, "--dir", "nothing"], { cwd: folder });
      expect([code, stdout], name).toEqual([1, ""]);
      expect(stderr).toMatch(new RegExp(`^error: Cannot restore ${name}: .*\\. Next: take another backup\n$`));
      await rm(file(name));
    }
    const missing = await runCli(["restore", "nowhere.db", "--dir", "nothing"], { cwd: folder });
    expect([missing.code, missing.stderr]).toEqual([4, "error: Cannot read nowhere.db: the file does not exist\n"]);
    expect((await readdir(folder)).filter((name) => name.startsWith("nothing"))).toEqual([]);
  });

  test("a folder with something in it, an existing backup and contradicting flags are refused", async () => {
    await mkdir(file("held"), { recursive: true });
    await writeFile(file("held/mine"), "");
    const held = await runCli(["restore", "ours.db", "--dir", "held"], { cwd: folder });
    expect([held.code, held.stderr]).toEqual([5, expect.stringContaining("the folder is not empty")]);
    expect(await readdir(file("held"))).toEqual(["mine"]);

    const before = await readFile(file("ours.db"));
    const again = await runCli(["backup", "ours.db", "--endpoints", original.node(1).endpoint], { cwd: folder });
    expect([again.code, again.stderr]).toEqual([5, expect.stringContaining("--force")]);
    expect(Buffer.compare(await readFile(file("ours.db")), before)).toBe(0);

    const list = ["restore", "ours.db", "--dir", "x", "--initial-cluster"];
    for (const [args, why] of [
      [[...list, "1=a:1", "--nodes", "3"], /--nodes and --port are for a local cluster/],
      [[...list, "1=a:1,1=b:1"], /names an id twice/],
      [[...list, "1=a:1,2=a:1"], /names a peer address twice/],
      [[...list, "1:a"], /is not ID=HOST:PEERPORT/],
      [[...list, ""], /is empty/],
    ] as const) {
      const { code, stderr } = await runCli(args, { cwd: folder });
      expect([code, stderr], args.join(" ")).toEqual([2, expect.stringMatching(why)]);
    }
  });

  test("a backup of a cluster that is not there leaves no file", async () => {
    const [port = 0] = await freePorts(1);
    const { code } = await runCli(["backup", "no.db", "--endpoints", `127.0.0.1:${port}`], { cwd: folder });
    expect(code).toBe(7);
    expect((await readdir(folder)).filter((name) => name.startsWith("no.db"))).toEqual([]);
  });

  const onEtcd = hasEtcd ? test : undefined;
  onEtcd?.("a snapshot of etcd's own is refused by both commands", async () => {
    await using etcd = await Cluster.start(etcdSpec, { ports: await freePorts(2) });
    expect((await new Etcdctl(etcd.node(1).endpoint).run(["snapshot", "save", file("etcd.db")])).code).toBe(0);
    const restored = await runCli(["restore", "etcd.db", "--dir", "nothing"], { cwd: folder });
    expect([restored.code, restored.stderr]).toEqual([5, expect.stringContaining("a snapshot of etcd's own")]);
    const backup = await runCli(["backup", "no.db", "--endpoints", etcd.node(1).endpoint], { cwd: folder });
    expect(backup.code).toBe(5);
    expect(backup.stderr).toContain("etcd's own");
    expect((await readdir(folder)).filter((name) => /^(no\.db|nothing)/.test(name))).toEqual([]);
  });
});
