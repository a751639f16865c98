/**
 * The npm client `etcd3`, unmodified, on a three-node Althing, given all three hosts: values, ranges, transactions, leases,
 * watches, locks, elections and software transactions under contention. What it does while nodes are killed stands in
 * `etcd3-failover.test.ts`.
 */
import {
  Etcd3,
  type EtcdError,
  EtcdLeaseInvalidError,
  EtcdLockFailedError,
  type IKeyValue,
  type Isolation,
} from "etcd3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { althingSpec } from "./lib/althing-spec.ts";
import { Cluster } from "./lib/cluster.ts";
import { freePorts } from "./lib/free-ports.ts";
import { sleep, until } from "./lib/until.ts";

const text = ({ key, value }: IKeyValue): string => `${key.toString()}=${value.toString()}`;

describe("etcd3 with every host of a cluster", () => {
  let cluster: Cluster;
  const clients: Etcd3[] = [];
  const open = (hosts: readonly string[] = cluster.endpoints): Etcd3 => {
    const client = new Etcd3({ hosts: [...hosts] });
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

  it("puts and gets text, numbers, JSON and bytes", async () => {
    const client = open();
    expect(await client.get("kinds/none")).toBeNull();
    await client.put("kinds/text").value("värde ✓");
    await client.put("kinds/number").value(42);
    await client.put("kinds/json").value(JSON.stringify({ a: [1, 2] }));
    const bytes = Buffer.from([0, 255, 10, 128]);
    await client.put("kinds/bytes").value(bytes);
    expect(await client.get("kinds/text")).toBe("värde ✓");
    expect(await client.get("kinds/number").number()).toBe(42);
    expect(await client.get("kinds/json").json()).toEqual({ a: [1, 2] });
    expect(await client.get("kinds/bytes").buffer()).toEqual(bytes);
    expect(await client.get("kinds/text").exists()).toBe(true);
    const previous = await client.put("kinds/text").value("later").getPrevious();
    expect(previous).toMatchObject({ value: Buffer.from("värde ✓"), version: "1" });
    const touched = await client.put("kinds/text").touch();
    const raw = await client.get("kinds/text").exec();
    expect(raw.kvs[0]).toMatchObject({ version: "3", mod_revision: touched.header.revision });
  });

  it("gets and deletes ranges, sorted, limited, counted, at an old revision", async () => {
    const client = open();
    for (const [key, value] of Object.entries({ a: "3", b: "1", c: "2" }))
      await client.put(`range/${key}`).value(value);
    const all = client.getAll().prefix("range/");
    expect(await all.strings()).toEqual({ "range/a": "3", "range/b": "1", "range/c": "2" });
    expect(await client.getAll().prefix("range/").sort("Value", "Descend").keys()).toEqual([
      "range/a",
      "range/c",
      "range/b",
    ]);
    const limited = await client.getAll().prefix("range/").limit(2).exec();
    expect(limited).toMatchObject({ count: "3", more: true });
    expect(await client.getAll().inRange({ start: "range/b", end: "range/d" }).count()).toBe(2);
    const before = (await client.get("range/a").exec()).header.revision;
    await client.put("range/a").value("new");
    expect(await client.get("range/a").revision(before).string()).toBe("3");
    expect((await client.delete().key("range/a").getPrevious())[0]?.value.toString()).toBe("new");
    expect(await client.delete().prefix("range/").exec()).toMatchObject({ deleted: "2" });
    expect(await client.delete().prefix("range/").exec()).toMatchObject({ deleted: "0" });
  });

  it("commits one branch of a transaction or the other", async () => {
    const client = open();
    const claim = (owner: string): Promise<boolean> =>
      client
        .if("txn/owner", "Create", "==", 0)
        .then(client.put("txn/owner").value(owner))
        .else(client.get("txn/owner"))
        .commit()
        .then((result) => result.succeeded);
    const claims = await Promise.all(["one", "two", "three"].map(claim));
    expect(claims.filter(Boolean)).toHaveLength(1);
    const owner = await client.get("txn/owner");
    expect(owner).toBe(["one", "two", "three"][claims.indexOf(true)]);
    const lost = await client
      .if("txn/owner", "Value", "==", "somebody else")
      .and("txn/owner", "Version", "==", 1)
      .then(client.delete().key("txn/owner"))
      .else(client.get("txn/owner"), client.put("txn/seen").value("1"))
      .commit();
    expect(lost.succeeded).toBe(false);
    expect(lost.responses[0]?.response_range?.kvs[0]?.value.toString()).toBe(owner);
    expect(await client.get("txn/seen")).toBe("1");
  });

  it("answers from each host what was acknowledged by another", async () => {
    const each = cluster.endpoints.map((endpoint) => open([endpoint]));
    for (const [i, writer] of each.entries()) {
      for (let round = 0; round < 5; round++) {
        await writer.put("each").value(`${i}.${round}`);
        const read = await Promise.all(each.map((reader) => reader.get("each").string()));
        expect(read).toEqual(each.map(() => `${i}.${round}`));
      }
    }
  });

  it("keeps a lease alive, and lets it go when it is revoked or no longer renewed", async () => {
    const client = open();
    const lease = client.lease(2);
    let lost: EtcdError | undefined;
    let kept = 0;
    lease.on("lost", (error) => {
      lost = error;
    });
    lease.on("keepaliveSucceeded", () => kept++);
    await lease.put("lease/a").value("1");
    const gone = client.lease(2, { autoKeepAlive: false });
    await gone.put("lease/b").value("1");
    const watcher = await client.watch().key("lease/b").create();
    const expired = new Promise<IKeyValue>((resolve) => watcher.on("delete", resolve));
    await expired;
    await watcher.cancel();
    expect(await client.get("lease/b")).toBeNull();
    await sleep(1_500); // past the two seconds of the lease that is renewed
    expect(await client.get("lease/a")).toBe("1");
    expect(kept).toBeGreaterThanOrEqual(2);
    expect(lost).toBeUndefined();
    await lease.revoke();
    expect(await client.get("lease/a")).toBeNull();
    await expect(gone.put("lease/c").value("1")).rejects.toBeInstanceOf(EtcdLeaseInvalidError);
  });

  it("tells a lease's holder that it was revoked behind its back", async () => {
    const client = open();
    const lease = client.lease(2);
    const lost = new Promise<EtcdError>((resolve) => lease.on("lost", resolve));
    const id = await lease.grant();
    await client.leaseClient.leaseRevoke({ ID: id });
    expect(await lost).toBeInstanceOf(EtcdLeaseInvalidError);
  });

  it("watches a key, a prefix and history on one stream, every event once and in order", async () => {
    const client = open();
    const first = (await client.put("watch/a").value("0")).header.revision;
    const seen: string[] = [];
    const history: string[] = [];
    // From a revision on, because a watch from "now" begins where its node is, on etcd too, and a follower may be a little behind.
    const next = String(Number(first) + 1);
    const prefix = await client.watch().prefix("watch/").startRevision(next).withPreviousKV().create();
    prefix.on("put", (kv, previous) => seen.push(`${text(kv)} was ${String(previous?.value ?? "")}`));
    prefix.on("delete", (kv, previous) => seen.push(`${String(kv.key)} gone, was ${String(previous?.value ?? "")}`));
    const puts = await client.watch().prefix("watch/").only("put").startRevision(first).create();
    puts.on("put", (kv) => history.push(text(kv)));
    await client.put("watch/a").value("1");
    await client.put("watch/b").value("2");
    await client.delete().prefix("watch/");
    await client.put("watch/a").value("3");
    await until("every event", 5_000, () => (seen.length >= 5 && history.length >= 4 ? true : undefined));
    expect(seen).toEqual([
      "watch/a=1 was 0",
      "watch/b=2 was ",
      "watch/a gone, was 1",
      "watch/b gone, was 2",
      "watch/a=3 was ",
    ]);
    expect(history).toEqual(["watch/a=0", "watch/a=1", "watch/b=2", "watch/a=3"]);
    await prefix.cancel();
    await client.put("watch/a").value("4");
    await until("the watch that is left", 5_000, () => (history.length >= 5 ? true : undefined));
    expect(seen).toHaveLength(5);
    await puts.cancel();
  });

  it("gives a lock to one holder at a time", async () => {
    const holders = cluster.endpoints.map((endpoint) => open([endpoint]));
    const [one, two] = holders;
    if (one === undefined || two === undefined) throw new Error("Cannot open two clients");
    const held = await one.lock("lock/a").ttl(5).acquire();
    await expect(two.lock("lock/a").ttl(5).acquire()).rejects.toBeInstanceOf(EtcdLockFailedError);
    await held.release();
    let inside = 0;
    let entered = 0;
    const enter = async (client: Etcd3): Promise<void> => {
      for (;;) {
        try {
          await client.lock("lock/a").do(async () => {
            expect(++inside).toBe(1);
            entered++;
            await sleep(5);
            inside--;
          });
          return;
        } catch (error) {
          if (!(error instanceof EtcdLockFailedError)) throw error;
          await sleep(5);
        }
      }
    };
    await Promise.all(holders.flatMap((client) => [enter(client), enter(client)]));
    expect(entered).toBe(6);
  });

  it("elects one leader, tells its observers, and elects the next when it resigns", async () => {
    const [a, b, c] = cluster.endpoints.map((endpoint) => open([endpoint]));
    if (a === undefined || b === undefined || c === undefined) throw new Error("Cannot open three clients");
    const observer = await c.election("chair", 5).observe();
    const changes: (string | undefined)[] = [];
    observer.on("change", (value) => changes.push(value));
    const first = a.election("chair", 5).campaign("anna");
    await first.wait();
    const second = b.election("chair", 5).campaign("björn");
    let elected = false;
    second.on("elected", () => {
      elected = true;
    });
    await until("the observer's first leader", 5_000, () => (observer.leader() === "anna" ? true : undefined));
    await first.proclaim("anna still");
    await until("the proclamation", 5_000, () => (observer.leader() === "anna still" ? true : undefined));
    expect(elected).toBe(false);
    await first.resign();
    await until("the second leader", 5_000, () => (observer.leader() === "björn" ? true : undefined));
    await until("the candidate's own event", 5_000, () => (elected ? true : undefined));
    expect(await c.election("chair", 5).leader()).toBe("björn");
    await second.resign();
    await until("no leader", 5_000, () => (observer.leader() === undefined ? true : undefined));
    expect(changes.filter((value) => value !== undefined)).toEqual(["anna", "anna still", "björn"]);
    await observer.cancel();
  });

  it.each([
    ["serializable snapshot", 0],
    ["repeatable reads", 2],
  ] satisfies readonly (readonly [string, Isolation])[])(
    "counts right with software transactions under contention (%s)",
    async (name, isolation) => {
      const counters = cluster.endpoints.flatMap((endpoint) => [open([endpoint]), open([endpoint])]);
      const key = `stm/${name}`;
      const rounds = 8;
      let attempts = 0;
      await Promise.all(
        counters.map(async (client) => {
          for (let round = 0; round < rounds; round++) {
            await client.stm({ isolation, retries: 1_000 }).transact(async (tx) => {
              attempts++;
              const count = (await tx.get(key).number()) ?? 0;
              await tx.put(key).value(count + 1);
            });
          }
        }),
      );
      expect(await open().get(key).number()).toBe(counters.length * rounds);
      expect(attempts).toBeGreaterThan(counters.length * rounds); // there was contention
    },
  );
});
