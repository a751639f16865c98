/**
 * Rot on one node's disk: bits flipped in its log and in its engine, files cut short. With peers, the node comes back and
 * every replica is the same again; alone, it says that it cannot, instead of going on without what it had acknowledged.
 * The same faults without processes, at every byte, stand beside the log (`src/storage/wal/wal-rot.test.ts`).
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type CliResult, startCli } from "../../src/cli/testing/run-cli.ts";
import { althingSpec, tortureSpec } from "./lib/althing-spec.ts";
import { Cluster, type ClusterNode } from "./lib/cluster.ts";
import { expectHolds, expectWhole, writeMany } from "./lib/faults/verify.ts";
import { cutIn, findRecords, flipBit, flipRecord, offsetsOf, recordWith, tearAfter } from "./lib/faults/wal-bytes.ts";
import { freePorts } from "./lib/free-ports.ts";
import { GrpcConnection } from "./lib/grpc-connection.ts";
import { KvClient } from "./lib/kv-client.ts";
import type { Acknowledged } from "./lib/load.ts";
import { decodeMessage, numberOf } from "./lib/protobuf-lite.ts";
import { sleep, until } from "./lib/until.ts";

const dataOf = (node: ClusterNode): string => join(node.plan.folder, "data");
const engineOf = (node: ClusterNode): string => join(dataOf(node), "meta", "engine", "data.mdb");
/** The log notes a while after a batch that it was durable; before that, nothing proves that the batch ever was. */
const NOTE_MS = 500;

describe("rot on one node of three", () => {
  let cluster: Cluster;
  let victim: ClusterNode;
  let kv: KvClient;
  const acknowledged: Acknowledged[] = [];
  let round = 0;

  beforeAll(async () => {
    cluster = await Cluster.start(althingSpec(), { ports: await freePorts(6) });
  });
  afterAll(async () => {
    kv?.close();
    await cluster?.close();
  });

  /** A follower, killed when it has everything. */
  beforeEach(async () => {
    const leader = await cluster.ready();
    const followers = cluster.nodes.filter((node) => node !== leader);
    round++;
    victim = followers[round % followers.length] ?? leader;
    kv?.close();
    kv = new KvClient(leader.endpoint);
    acknowledged.push(...(await writeMany(kv, `rot/${round}-`, 60)));
    await expectHolds(victim, "rot/", acknowledged);
    await sleep(NOTE_MS);
    await victim.process.kill();
  });

  async function comesBack(): Promise<void> {
    victim.process.start();
    acknowledged.push(...(await writeMany(kv, `rot/${round}-later-`, 10)));
    await cluster.ready();
    await expectWhole(cluster, "rot/", acknowledged);
    // Twice, because what is repaired must be repaired on the disk as well.
    await victim.process.kill();
    victim.process.start();
    await cluster.ready();
    await expectWhole(cluster, "rot/", acknowledged);
  }

  it("the bodies of an early entry and a late one: both are repaired from a peer", async () => {
    flipRecord(recordWith(dataOf(victim), `value-of-000007-`), "body");
    flipRecord(recordWith(dataOf(victim), `value-of-000050-`), "body");
    await comesBack();
    expect(victim.process.logTail(1_000)).toContain('"event":"log-damaged"');
  });

  it("an entry's header: nobody can tell what was there, so the node comes back as a newcomer", async () => {
    flipRecord(recordWith(dataOf(victim), `value-of-000050-`), "header");
    await comesBack();
    expect(victim.process.logTail(1_000)).toContain('"event":"log-lost"');
  });

  it("the last entry, and a run of bytes over several records", async () => {
    const records = findRecords(dataOf(victim));
    const last = records.at(-1);
    const middle = records.slice(-12, -8);
    if (last === undefined || middle.length < 4) throw new Error("Cannot test: the log holds too few records");
    flipRecord(last, "body");
    for (const record of middle) flipRecord(record, "header");
    await comesBack();
  });

  it("the last segment is cut in the middle of a record", async () => {
    cutIn(recordWith(dataOf(victim), `value-of-000040-`));
    await comesBack();
  });

  it("the engine's file has flipped bits, in values and in its first pages: it is built anew from a peer", async () => {
    // An orderly end writes a checkpoint, so that the values are in the engine and the log behind them may go.
    victim.process.start();
    await cluster.ready();
    await expectHolds(victim, "rot/", acknowledged);
    await victim.process.stop();
    const file = engineOf(victim);
    const places = offsetsOf(file, "value-of-0000");
    expect(places.length).toBeGreaterThan(60);
    for (let i = 0; i < places.length; i += 20) flipBit(file, (places[i] ?? 0) + 3);
    for (const page of [2, 3]) flipBit(file, page * 4096 + 10);
    victim.process.start();
    await cluster.ready();
    await expectWhole(cluster, "rot/", acknowledged);
    expect(victim.process.logTail(400)).toContain("engine-discarded");
  });
});

describe("rot in a store while its node runs", () => {
  const VALUES = 60;
  let cluster: Cluster;
  let kv: KvClient;
  const acknowledged: Acknowledged[] = [];

  beforeAll(async () => {
    cluster = await Cluster.start(tortureSpec(), { ports: await freePorts(6) }); // small limits: values leave memory soon
  });
  afterAll(async () => {
    kv?.close();
    await cluster?.close();
  });

  /** Members that raised CORRUPT, as the node says. */
  async function corrupt(node: ClusterNode): Promise<readonly bigint[] | undefined> {
    const connection = new GrpcConnection(node.endpoint);
    try {
      const result = await connection.unary("/etcdserverpb.Maintenance/Alarm", new Uint8Array(0), { timeoutMs: 1_000 });
      if (result.type !== "answered" || result.status !== 0) return undefined;
      const alarms = decodeMessage(result.body).filter(({ field }) => field === 2);
      const parsed = alarms.map(({ bytes }) => decodeMessage(bytes));
      return parsed.filter((alarm) => numberOf(alarm, 2) === 2n).map((alarm) => numberOf(alarm, 1));
    } finally {
      connection.close();
    }
  }

  /** Lets the values of a round rot on the victim's disk, once they are there and nowhere else. */
  async function rotAt(victim: ClusterNode, round: string): Promise<string> {
    const file = engineOf(victim);
    const places = await until("values in the engine", 10_000, async () => {
      const found = offsetsOf(file, `${round}-value-of-`);
      return found.length >= VALUES / 2 ? found : undefined;
    });
    await sleep(500); // a checkpoint that was under way is over
    for (const at of places) flipBit(file, at + 3);
    const [first = 0] = offsetsOf(file, "-value-of-");
    expect(places).not.toContain(first);
    return `rot/${round}/000003`;
  }

  it.each(["follower", "leader"])(
    "of the %s: it stops and says so, the others serve, and it comes back whole",
    async (role) => {
      const leader = await cluster.ready();
      const victim = role === "leader" ? leader : cluster.nodes.find((node) => node !== leader);
      const others = cluster.nodes.filter((node) => node !== victim);
      const [other] = others;
      if (victim === undefined || other === undefined) throw new Error("Cannot test: three nodes are needed");
      kv?.close();
      kv = new KvClient(other.endpoint);
      for (let i = 0; i < VALUES; i++) {
        const pair = {
          key: `rot/${role}/${String(i).padStart(6, "0")}`,
          value: `${role}-value-of-${i}-`.padEnd(2_000, "abcdefgh"),
        };
        expect((await kv.put(pair.key, pair.value)).type).toBe("done");
        acknowledged.push(pair);
      }
      await expectHolds(victim, "rot/", acknowledged);
      await victim.process.kill(); // what it has read stays in its memory
      victim.process.start();
      await cluster.ready();
      const key = await rotAt(victim, role);

      const reader = new KvClient(victim.endpoint, { timeoutMs: 2_000 });
      const read = await reader.get(key, { serializable: true });
      reader.close();
      expect(read).toMatchObject({ type: "unknown", reason: "grpc-status 15: etcdserver: corrupt cluster" });
      await until("the end of the node", 10_000, async () => (victim.process.running ? undefined : true));
      const log = victim.process.logTail(400);
      const lines = log.split("\n").filter((line) => line.includes('"event":"store-damaged"'));
      expect(lines.length).toBe(1);
      expect(lines[0]).toMatch(/"level":"error".*revision \d+\.0 of the store: a value fails its checksum/);
      expect(log).toMatch(
        /"error":.*Cannot go on: the store is damaged .*started again, the node takes a copy of the store from its peers/,
      );

      for (const node of others) {
        const one = new KvClient(node.endpoint);
        const got = await until("an answer", 10_000, async () => {
          const answer = await one.get(key);
          return answer.type === "done" ? answer : undefined;
        });
        one.close();
        expect(Buffer.from(got.value?.value ?? "").toString()).toMatch(new RegExp(`^${role}-value-of-3-`));
        expect(await corrupt(node)).toEqual([BigInt(victim.plan.id)]);
      }
      acknowledged.push(...(await writeMany(kv, `rot/${role}-later-`, 10)));

      victim.process.start();
      await cluster.ready();
      await expectWhole(cluster, "rot/", acknowledged);
      expect(victim.process.logTail(4_000)).toMatch(/"event":"engine-discarded".*found damaged while the node ran/);
      await until("no alarm", 10_000, async () => ((await corrupt(victim))?.length === 0 ? true : undefined));
    },
  );
});

describe("the tail of one of two holders rots while the third node lags", () => {
  it("the two that are left wait for the other holder, instead of agreeing on less", async () => {
    await using cluster = await Cluster.start(althingSpec(), { ports: await freePorts(6) });
    const leader = await cluster.ready();
    const [lagging, holder] = cluster.nodes.filter((node) => node !== leader);
    if (lagging === undefined || holder === undefined) throw new Error("Cannot test: three nodes are needed");
    const kv = new KvClient(leader.endpoint);
    const acknowledged = [...(await writeMany(kv, "tail/early-", 20))];
    await expectWhole(cluster, "tail/", acknowledged);
    await lagging.process.kill();
    acknowledged.push(...(await writeMany(kv, "tail/late-", 20)));
    await sleep(NOTE_MS);
    await Promise.all([leader.process.kill(), holder.process.kill()]);
    kv.close();

    for (const record of findRecords(dataOf(holder)).slice(-3)) flipRecord(record, "body");
    holder.process.start();
    lagging.process.start();
    const poor = new KvClient(lagging.endpoint, { timeoutMs: 1_000 });
    const end = performance.now() + 3_000; // some elections
    while (performance.now() < end) {
      expect((await poor.put("tail/between", "1")).type).not.toBe("done");
      const read = await poor.get(acknowledged.at(-1)?.key ?? "");
      if (read.type === "done") expect(read.value).toBeDefined();
      await sleep(100);
    }
    poor.close();
    leader.process.start();
    await cluster.ready();
    await expectWhole(cluster, "tail/", acknowledged);
  });
});

describe("rot on a node that is alone", () => {
  let folder: string;
  let ports: readonly number[];

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "althing-rot-"));
    ports = await freePorts(2);
    return () => rmSync(folder, { recursive: true, force: true });
  });

  /** Starts the node, and resolves with its end, which must come by itself. */
  async function refusal(): Promise<CliResult> {
    const running = startCli(flags());
    const timer = setTimeout(() => running.child.kill("SIGKILL"), 15_000);
    const result = await running.done;
    clearTimeout(timer);
    return result;
  }

  const flags = (): readonly string[] => {
    const [client = 0, peer = 0] = ports;
    return ["node", "--dir", folder, "--listen", `127.0.0.1:${client}`, "--peer-listen", `127.0.0.1:${peer}`];
  };

  async function fill(end: "SIGKILL" | "SIGTERM"): Promise<void> {
    const running = startCli([...flags(), "--json"]);
    const kv = new KvClient(`127.0.0.1:${ports[0] ?? 0}`);
    try {
      await running.waitFor('"ready"');
      await until("a leader", 10_000, async () => ((await kv.put("up", "1")).type === "done" ? true : undefined));
      await writeMany(kv, "alone/", 40);
      await sleep(NOTE_MS);
    } finally {
      kv.close();
      running.child.kill(end);
      await running.done;
    }
  }

  it("in its log: one line that names the cause, exit code 3 (unhealthy)", async () => {
    await fill("SIGKILL");
    flipRecord(recordWith(folder, "value-of-000010-"), "body");
    const { code, stderr } = await refusal();
    const errors = stderr.split("\n").filter((line) => line.startsWith("error: "));
    expect(errors).toEqual([expect.stringMatching(/^error: Cannot open group .*damaged.*no other copy; restore/)]);
    expect(code).toBe(3);
  });

  it("in its engine: one line that names the cause, exit code 1", async () => {
    await fill("SIGTERM");
    const file = join(folder, "meta", "engine", "data.mdb");
    const [place] = offsetsOf(file, "value-of-000010-");
    expect(place).toBeDefined();
    for (const at of offsetsOf(file, "value-of-000010-")) flipBit(file, at + 3);
    const { code, stderr } = await refusal();
    const errors = stderr.split("\n").filter((line) => line.startsWith("error: "));
    expect(errors).toEqual([expect.stringMatching(/^error: Cannot .*(checksum|damaged)/)]);
    expect(code).toBe(1);
  });

  it("in its engine while it runs: it ends with the cause, does not start again, and its files stay as they are", async () => {
    await fill("SIGTERM");
    const running = startCli([...flags(), "--json"]);
    const kv = new KvClient(`127.0.0.1:${ports[0] ?? 0}`);
    const file = join(folder, "meta", "engine", "data.mdb");
    try {
      await running.waitFor('"ready"');
      await until("an answer", 10_000, async () => ((await kv.get("up")).type === "done" ? true : undefined));
      for (const at of offsetsOf(file, "value-of-000010-")) flipBit(file, at + 3);
      const read = await kv.get("alone/000010");
      expect(read).toMatchObject({ reason: "grpc-status 15: etcdserver: corrupt cluster" });
      const { code, stderr } = await running.done;
      expect(stderr).toMatch(
        /"error":.*Cannot go on: .*checksum\); there is no other copy of the store: restore from a backup/,
      );
      expect(code).toBe(1);
    } finally {
      kv.close();
      running.child.kill("SIGKILL");
      await running.done;
    }
    const before = readFileSync(file);
    const { code, stderr } = await refusal();
    expect(stderr).toMatch(/error: Cannot open the store .*found damaged while the node ran .*restore from a backup/);
    expect(code).toBe(1);
    expect(readFileSync(file).equals(before)).toBe(true);
  });

  it("a torn tail, which nobody was told of, is no damage: the node starts and has all that was acknowledged", async () => {
    await fill("SIGKILL");
    const last = findRecords(folder).at(-1);
    if (last === undefined) throw new Error("Cannot test: the log is empty");
    tearAfter(last);
    const running = startCli([...flags(), "--json"]);
    const kv = new KvClient(`127.0.0.1:${ports[0] ?? 0}`);
    try {
      await running.waitFor('"ready"');
      const got = await until("an answer", 10_000, async () => {
        const listed = await kv.list("alone/");
        return listed.type === "done" ? listed.value : undefined;
      });
      expect(got.length).toBe(40);
    } finally {
      kv.close();
      running.child.kill("SIGKILL");
      await running.done;
    }
  });
});
