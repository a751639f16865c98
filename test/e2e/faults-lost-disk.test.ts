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

const logLines = (node: ClusterNode): readonly string[] => node.process.logTail(100_000).split("\n");

/** The sets of voters that came into force on the node, from a line of its log on. */
function votersSince(node: ClusterNode, line: number): readonly (readonly unknown[])[] {
  return logLines(node)
    .slice(line)
    .filter((text) => text.includes('"event":"configuration"') && text.includes('"committed":true'))
    .map((text) => (JSON.parse(text) as { readonly voters: readonly unknown[] }).voters); // our own log line
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
    const mark = logLines(leader).length;
    acknowledged.push(...(await writeMany(kv, "wiped/", 50, { from: 300 })));
    victim.process.start();
    // The leader takes its vote away, and gives it back when it has caught up.
    const isBack = await until("the vote taken away and given back", LIMIT_MS, () => {
      const sets = votersSince(leader, mark);
      const without = sets.findIndex((voters) => !voters.includes(victim.plan.id));
      return without >= 0 && sets.slice(without).some((voters) => voters.length === 3) ? true : undefined;
    });
    expect(isBack).toBe(true);
    const after = await until("the members", LIMIT_MS, async () => {
      const members = await admin.members();
      const isWhole = members.type === "done" && members.value.every((member) => !member.isLearner);
      return isWhole ? members.value : undefined;
    });
    expect(after.map((member) => member.name).sort()).toEqual(["node-1", "node-2", "node-3"]);
    await expectWhole(cluster, "wiped/", acknowledged);
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
    await expectWhole(cluster, "vote/", acknowledged); // from now on each node knows whose data folder is whose
    await lagging.process.kill();
    acknowledged.push(...(await writeMany(kv, "vote/late-", 20))); // on the leader and on the victim, nowhere else
    kv.close();
    await Promise.all([leader.process.kill(), victim.process.kill()]);
    wipe(victim);
    lagging.process.start();
    victim.process.start();
    const poor = [lagging, victim].map((node) => new KvClient(node.endpoint, { timeoutMs: 500 }));
    const end = performance.now() + 3_000; // some elections
    while (performance.now() < end) {
      for (const one of poor) expect((await one.put("vote/between", "1")).type).not.toBe("done");
      await sleep(100);
    }
    for (const one of poor) one.close();
    leader.process.start();
    await expectWhole(cluster, "vote/", acknowledged);
  });
});
