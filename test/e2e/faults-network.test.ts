/**
 * A leader that does not know that it is none: cut off, half cut off, paused. No client may read from it what is no longer
 * true, nor be told that a write is done which the others never saw. The random rounds stand in `torture.test.ts`; here
 * each case is made on purpose, and asked at its worst moment.
 */
import { describe, expect, it } from "vitest";
import { althingSpec } from "./lib/althing-spec.ts";
import { Cluster, type ClusterNode } from "./lib/cluster.ts";
import { namespaces } from "./lib/faults/machine.ts";
import { describeWithNeeds, isLong } from "./lib/faults/needs.ts";
import { expectEqualDigests } from "./lib/faults/verify.ts";
import { freePorts } from "./lib/free-ports.ts";
import { KvClient } from "./lib/kv-client.ts";
import { NetNamespaces } from "./lib/net-namespaces.ts";
import { sleep, until } from "./lib/until.ts";

/** Default: 500 ms to 1 s. */
const ELECTION_MAX_MS = 1_000;
/** On a machine that does other things too. */
const SLACK_MS = 4_000;
const PAUSES = isLong ? 10 : 1;

/** Nodes on hosts of their own. A proxy on a link would not do: a node's address is one for all, whoever dials it. */
class Rig {
  readonly hosts: NetNamespaces;
  readonly cluster: Cluster;

  private constructor(hosts: NetNamespaces, cluster: Cluster) {
    this.hosts = hosts;
    this.cluster = cluster;
  }

  static async open(): Promise<Rig> {
    const hosts = NetNamespaces.open(3);
    try {
      const ports = [7400, 7401, 7400, 7401, 7400, 7401];
      return new Rig(hosts, await Cluster.start(althingSpec(), { ports, hosts }));
    } catch (error) {
      hosts.close();
      throw error;
    }
  }

  async leaderAndOthers(): Promise<{ readonly leader: ClusterNode; readonly others: readonly ClusterNode[] }> {
    const leader = await this.cluster.ready();
    return { leader, others: this.cluster.nodes.filter((node) => node !== leader) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster.close();
    this.hosts.close();
  }
}

/** Writes through any of the nodes until one write is done. */
async function putThrough(nodes: readonly ClusterNode[], key: string, value: string, limitMs: number): Promise<void> {
  const clients = nodes.map((node) => new KvClient(node.endpoint, { timeoutMs: 1_000 }));
  let last = "";
  try {
    await until(`a write of ${value}`, limitMs, async () => {
      for (const kv of clients) {
        const outcome = await kv.put(key, value);
        if (outcome.type === "done") return true;
        last = outcome.reason;
      }
      return undefined;
    });
  } catch (error) {
    throw new Error(`${String(error)}: ${last}`, { cause: error });
  } finally {
    for (const kv of clients) kv.close();
  }
}

async function termOf(node: ClusterNode): Promise<bigint> {
  return await until("a status", SLACK_MS, async () => (await node.status())?.raftTerm);
}

/** Is the node still sure that it leads? */
async function isSure(node: ClusterNode): Promise<boolean> {
  const status = await node.status(1_000);
  return status !== undefined && status.leader === status.memberId;
}

describeWithNeeds("a leader that is cut off", [namespaces], () => {
  it("answers no linearizable read and no write, steps down, and is one with the others when healed", async () => {
    await using rig = await Rig.open();
    const { leader, others } = await rig.leaderAndOthers();
    const old = new KvClient(leader.endpoint, { timeoutMs: 2_000 });
    expect(await old.put("r", "old")).toMatchObject({ type: "done" });

    rig.hosts.isolate(leader.plan.id);
    const lonely = old.put("w", "never");
    const early = Array.from({ length: 20 }, () => old.get("r")); // while it may still think that it leads
    await putThrough(others, "r", "new", ELECTION_MAX_MS * 2 + SLACK_MS);
    const late = Array.from({ length: 20 }, () => old.get("r"));
    expect((await lonely).type).not.toBe("done");
    for (const read of await Promise.all(early)) expect(read.type).not.toBe("done"); // nobody confirms its leadership
    for (const read of await Promise.all(late)) expect(read.type).not.toBe("done");
    expect(await isSure(leader)).toBe(false);
    // What the node itself holds, it still tells those who ask for no more than that.
    expect(await old.get("r", { serializable: true })).toMatchObject({ type: "done" });

    rig.hosts.heal();
    await rig.cluster.ready();
    const healed = await until("an answer", SLACK_MS, async () => {
      const read = await old.get("r");
      return read.type === "done" ? Buffer.from(read.value?.value ?? "").toString() : undefined;
    });
    expect(healed).toBe("new");
    await expectEqualDigests(rig.cluster);
    old.close();
  });

  const oneWay: readonly (readonly [name: string, canSpeak: boolean])[] = [
    ["speaks and does not hear: it steps down", true],
    ...(isLong ? ([["hears and is not heard: the others elect another", false]] as const) : []),
  ];
  it.each(oneWay)("%s; writes go on, no read is stale", async (_, canSpeak) => {
    await using rig = await Rig.open();
    const { leader, others } = await rig.leaderAndOthers();
    const old = new KvClient(leader.endpoint, { timeoutMs: 1_500 });
    expect(await old.put("r", "old")).toMatchObject({ type: "done" });
    for (const other of others) {
      if (canSpeak) rig.hosts.cutOneWay(other.plan.id, leader.plan.id);
      else rig.hosts.cutOneWay(leader.plan.id, other.plan.id);
    }
    const since = performance.now();
    await until("the leader to step down", ELECTION_MAX_MS * 2 + SLACK_MS, async () =>
      (await isSure(leader)) ? undefined : true,
    );
    await putThrough(others, "r", "new", ELECTION_MAX_MS * 2 + SLACK_MS);
    expect(performance.now() - since).toBeLessThan(2 * (ELECTION_MAX_MS * 2 + SLACK_MS));
    for (const read of await Promise.all(Array.from({ length: 10 }, () => old.get("r")))) {
      if (read.type === "done") expect(Buffer.from(read.value?.value ?? "").toString()).toBe("new");
    }
    rig.hosts.heal();
    await rig.cluster.ready();
    await expectEqualDigests(rig.cluster);
    old.close();
  });

  it("loses the link to one follower only: leadership does not go back and forth, and writes go on", async () => {
    await using rig = await Rig.open();
    const { leader, others } = await rig.leaderAndOthers();
    const [cut, linked] = others;
    if (cut === undefined || linked === undefined) throw new Error("Cannot test: three nodes are needed");
    const before = await termOf(leader);
    rig.hosts.cut(leader.plan.id, cut.plan.id);
    const kv = new KvClient(linked.endpoint, { timeoutMs: 1_000 });
    const gaps: number[] = [];
    const end = performance.now() + (isLong ? 10_000 : 2_000);
    for (let last = performance.now(), serial = 0; performance.now() < end; serial++) {
      if ((await kv.put("r", String(serial))).type === "done") {
        gaps.push(performance.now() - last);
        last = performance.now();
      }
      await sleep(10);
    }
    expect(gaps.length).toBeGreaterThan(20);
    expect(Math.max(...gaps)).toBeLessThan(ELECTION_MAX_MS * 2 + SLACK_MS);
    // At most one change, to the node that both can reach.
    expect((await termOf(linked)) - before).toBeLessThanOrEqual(1n);
    rig.hosts.heal();
    await rig.cluster.ready();
    await expectEqualDigests(rig.cluster);
    kv.close();
  });
});

describe("a leader that is paused longer than any timeout", () => {
  it(`answers no read from before the pause, ${PAUSES} times`, async () => {
    await using cluster = await Cluster.start(althingSpec(), { ports: await freePorts(6) });
    for (let round = 1; round <= PAUSES; round++) {
      const leader = await cluster.ready();
      const others = cluster.nodes.filter((node) => node !== leader);
      const old = new KvClient(leader.endpoint, { timeoutMs: 10_000 });
      expect(await old.put("r", `old ${round}`)).toMatchObject({ type: "done" });
      expect(await old.get("r")).toMatchObject({ type: "done" }); // the connection is open

      leader.process.pause();
      const paused = performance.now();
      await putThrough(others, "r", `new ${round}`, ELECTION_MAX_MS * 2 + SLACK_MS);
      await sleep(Math.max(0, 3_000 - (performance.now() - paused)));
      // These begin after the new write has ended, and lie in the socket when the old leader wakes up and still leads.
      const asked = Array.from({ length: 30 }, () => old.get("r"));
      const swap = old.compareAndPut("r", `old ${round}`, "stale");
      await sleep(50);
      leader.process.resume();
      for (let i = 0; i < 20; i++) {
        asked.push(old.get("r"));
        await sleep(5);
      }
      const reads = await Promise.all(asked);
      const values = reads.flatMap((read) =>
        read.type === "done" ? [Buffer.from(read.value?.value ?? "").toString()] : [],
      );
      expect(values.filter((value) => value !== `new ${round}`)).toEqual([]);
      const swapped = await swap;
      if (swapped.type === "done") expect(swapped.value).toBe(false);
      await cluster.ready();
      const after = await old.get("r");
      if (after.type === "done") expect(Buffer.from(after.value?.value ?? "").toString()).toBe(`new ${round}`);
      old.close();
    }
    await expectEqualDigests(cluster);
  });
});
