/**
 * The npm client `etcd3`, unmodified and with its own defaults, while the leader of a three-node Althing is killed with
 * `kill -9`, twice, and started again: nothing acknowledged is lost, a watch sees every event once and in order, a lease that
 * is kept alive stays, a lock has one holder, and a counter counts right.
 */
import { Etcd3, EtcdLockFailedError } from "etcd3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { althingSpec } from "./lib/althing-spec.ts";
import { Cluster, type ClusterNode } from "./lib/cluster.ts";
import { freePorts } from "./lib/free-ports.ts";
import { sleep, until } from "./lib/until.ts";

/** Work that goes on until `done`, also when a call fails: a client of a cluster tries again. */
class Persistent {
  readonly failures: string[] = [];

  async do<T>(work: () => Promise<T>): Promise<T> {
    const end = performance.now() + 30_000;
    for (;;) {
      try {
        return await work();
      } catch (error) {
        this.failures.push(String(error));
        if (performance.now() > end) throw error;
        await sleep(50);
      }
    }
  }
}

describe("etcd3 while leaders are killed", () => {
  let cluster: Cluster;
  const clients: Etcd3[] = [];
  /** Its hosts begin with the node given, so that each node has clients. */
  const open = (first = 0): Etcd3 => {
    const hosts = cluster.endpoints.map((_, i) => cluster.endpoints[(first + i) % cluster.endpoints.length] ?? "");
    const client = new Etcd3({ hosts });
    clients.push(client);
    return client;
  };

  beforeAll(async () => {
    cluster = await Cluster.start(althingSpec(), { ports: await freePorts(6) });
  });
  afterAll(async () => {
    for (const client of clients) client.close();
    await cluster?.close();
  });

  /** Kills the leader, waits for another, lets the rest work on, and starts the killed one again. */
  async function killLeader(): Promise<ClusterNode> {
    const leader = await until("a leader", 10_000, () => cluster.leader());
    await leader.process.kill();
    const next = await until("another leader", 10_000, async () => {
      const found = await cluster.leader();
      return found === leader ? undefined : found;
    });
    await sleep(500);
    leader.process.start();
    await cluster.ready();
    return next;
  }

  it("loses nothing that was acknowledged, and its watches see every event once and in order", async () => {
    const seen: { readonly key: string; readonly revision: number }[][] = [];
    for (let i = 0; i < 3; i++) {
      const events: { readonly key: string; readonly revision: number }[] = [];
      const watcher = await open(i).watch().prefix("journal/").create();
      watcher.on("put", (kv) => events.push({ key: kv.key.toString(), revision: Number(kv.mod_revision) }));
      seen.push(events);
    }
    const acknowledged: string[] = [];
    let over = false;
    const persistent = new Persistent();
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      const client = open(writer);
      for (let n = 0; !over; n++) {
        const key = `journal/${writer}/${n}`;
        await persistent.do(async () => {
          await client.put(key).value("x").exec();
          acknowledged.push(key);
        });
      }
    });
    const progress = async (): Promise<void> => {
      const before = acknowledged.length;
      await until("20 writes more", 20_000, () => (acknowledged.length >= before + 20 ? true : undefined));
    };
    await progress();
    await killLeader();
    await progress();
    await killLeader();
    await progress();
    over = true;
    await Promise.all(writers);

    for (const endpoint of cluster.endpoints) {
      const client = new Etcd3({ hosts: [endpoint] });
      clients.push(client);
      const { kvs } = await client.getAll().prefix("journal/").exec();
      const stored = new Map(kvs.map((kv) => [kv.key.toString(), Number(kv.mod_revision)]));
      expect(acknowledged.filter((key) => !stored.has(key))).toEqual([]);
      const last = Math.max(...stored.values());
      for (const events of seen) {
        await until("the last event", 30_000, () => ((events.at(-1)?.revision ?? 0) >= last ? true : undefined));
        // Nobody else writes, so the journal's revisions have no gap. (A key may have two: etcd3 tries a put again by itself.)
        expect(events.map((event) => event.revision)).toEqual(Array.from({ length: last - 1 }, (_, i) => i + 2));
        expect(new Map(events.map((event) => [event.key, event.revision]))).toEqual(stored);
      }
    }
  });

  it("keeps its leases, gives a lock to one holder at a time, and counts right", async () => {
    const holder = open();
    const lease = holder.lease(8);
    let lost: unknown;
    lease.on("lost", (error) => {
      lost = error;
    });
    await lease.put("held").value("here");

    let inside = 0;
    let insideMax = 0;
    let entered = 0;
    const persistent = new Persistent();
    const rounds = 30;
    const lockers = Array.from({ length: 3 }, async (_, i) => {
      const client = open(i);
      for (let round = 0; round < 10; round++) {
        await persistent.do(async () => {
          const lock = client.lock("mutex").ttl(20);
          await lock.acquire();
          insideMax = Math.max(insideMax, ++inside);
          entered++;
          await sleep(10);
          inside--;
          await lock.release().catch((error: unknown) => {
            // What is not released now goes with its lease; the next may wait for that.
            if (error instanceof EtcdLockFailedError) throw error;
          });
        });
      }
    });
    // The marker makes a transaction that is tried again do nothing if it was done the first time.
    const counters = Array.from({ length: 3 }, async (_, i) => {
      const client = open(i);
      for (let round = 0; round < rounds; round++) {
        await persistent.do(async () => {
          await client.stm({ retries: 1_000 }).transact(async (tx) => {
            const marker = `counted/${i}/${round}`;
            if ((await tx.get(marker).exists()) === true) return;
            const count = (await tx.get("counter").number()) ?? 0;
            await tx.put("counter").value(count + 1);
            await tx.put(marker).value("yes");
          });
        });
        await sleep(20);
      }
    });
    await sleep(200);
    await killLeader();
    await Promise.all([...lockers, ...counters]);

    const client = open(1);
    expect(await client.get("counter").number()).toBe(3 * rounds);
    expect(await client.getAll().prefix("counted/").count()).toBe(3 * rounds);
    expect(entered).toBe(30);
    expect(insideMax).toBe(1);
    expect(await client.get("held")).toBe("here");
    expect(lost).toBeUndefined();
    await lease.revoke();
    expect(await client.get("held")).toBeNull();
  });
});
