/** A node whose data folder is gone: it comes back as another disk, learns everything, and may vote only then. */
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { althingSpec } from "./lib/althing-spec.ts";
import { Cluster, type ClusterNode } from "./lib/cluster.ts";
import { AdminClient } from "./lib/faults/admin-client.ts";
import { expectWhole, writeMany } from "./lib/faults/verify.ts";
import { freePorts } from "./lib/free-ports.ts";
import { KvClient } from "./lib/kv-client.ts";
import { sleep, until } from "./lib/until.ts";

const LIMIT_MS = 15_000;

function wipe(node: ClusterNode): void {
  const data = join(node.plan.folder, "data");
  expect(existsSync(data)).toBe(true);
  rmSync(data, { recursive: true });
}

describe("a node whose data folder was deleted while it was down", () => {
  it("joins again under the same flags, first as a learner, and ends as a voter with all data", async () => {
    await using cluster = await Cluster.start(althingSpec(), { ports: await freePorts(6) });
    const leader = await cluster.ready();
    const victim = cluster.nodes.find((node) => node !== leader);
    if (victim === undefined) throw new Error("Cannot test: a follower is needed");
    const kv = new KvClient(leader.endpoint);
    const admin = new AdminClient(leader.endpoint);
    const acknowledged = [...(await writeMany(kv, "wiped/", 300, { valueBytes: 256 }))];
    const before = await until("the members", LIMIT_MS, async () => {
      const members = await admin.members();
      return members.type === "done" ? members.value : undefined;
    });
    expect(before.map((member) => member.isLearner)).toEqual([false, false, false]);

    await victim.process.kill();
    wipe(victim);
    acknowledged.push(...(await writeMany(kv, "wiped/", 50, { from: 300 })));
    victim.process.start();
    let wasLearner = false;
    const after = await until(
      "three voters, with the data on each",
      LIMIT_MS,
      async () => {
        const [members, own] = await Promise.all([admin.members(), victim.status()]);
        if (members.type !== "done") return undefined;
        wasLearner ||= members.value.some((member) => member.isLearner);
        const isWhole = members.value.length === 3 && members.value.every((member) => !member.isLearner);
        return isWhole && own !== undefined && own.leader !== 0n ? members.value : undefined;
      },
      2,
    );
    expect(after.map((member) => member.name).sort()).toEqual(["node-1", "node-2", "node-3"]);
    await expectWhole(cluster, "wiped/", acknowledged);
    expect([wasLearner, /"(promoted|learner|incarnation)/.test(leader.process.logTail(500))]).toContain(true);
    kv.close();
    admin.close();
  });

  it("does not vote away what it no longer has: with a lagging node it forms no majority", async () => {
    await using cluster = await Cluster.start(althingSpec(), { ports: await freePorts(6) });
    const leader = await cluster.ready();
    const [lagging, victim] = cluster.nodes.filter((node) => node !== leader);
    if (lagging === undefined || victim === undefined) throw new Error("Cannot test: three nodes are needed");
    const kv = new KvClient(leader.endpoint);
    const acknowledged = [...(await writeMany(kv, "vote/early-", 20))];
    await lagging.process.kill();
    acknowledged.push(...(await writeMany(kv, "vote/late-", 20))); // on the leader and on the victim, nowhere else
    kv.close();
    await Promise.all([leader.process.kill(), victim.process.kill()]);
    wipe(victim);
    lagging.process.start();
    victim.process.start();
    const poor = [lagging, victim].map((node) => new KvClient(node.endpoint, { timeoutMs: 500 }));
    const end = performance.now() + 4_000; // several elections
    while (performance.now() < end) {
      for (const one of poor) expect((await one.put("vote/between", "1")).type).not.toBe("done");
      await sleep(100);
    }
    for (const one of poor) one.close();
    leader.process.start();
    await expectWhole(cluster, "vote/", acknowledged);
  });
});
