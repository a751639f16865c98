/**
 * A founder leaves for good: its id is used up, a node that is added afterwards is another one, and what the old one still
 * has on its disk counts for nothing. Members are changed with the unmodified etcdctl.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { althingJoin, althingSpec } from "./lib/althing-spec.ts";
import { Cluster, ClusterNode, type NodePlan } from "./lib/cluster.ts";
import { Etcdctl } from "./lib/etcdctl.ts";
import { AdminClient, type Member } from "./lib/faults/admin-client.ts";
import { expectHolds, writeMany } from "./lib/faults/verify.ts";
import { freePorts } from "./lib/free-ports.ts";
import { KvClient } from "./lib/kv-client.ts";
import { NodeProcess } from "./lib/node-process.ts";
import { sleep, until } from "./lib/until.ts";

const LIMIT_MS = 20_000;

async function added(ctl: Etcdctl, name: string, peerPort: number): Promise<bigint> {
  const result = await ctl.run(["member", "add", name, `--peer-urls=http://127.0.0.1:${peerPort}`]);
  expect(result.code, result.stderr).toBe(0);
  return BigInt(`0x${/Member +([0-9a-f]+) added/.exec(result.stdout)?.[1] ?? "0"}`);
}

async function remove(ctl: Etcdctl, id: bigint): Promise<void> {
  const result = await ctl.run(["member", "remove", id.toString(16)]);
  expect(result.code, result.stderr).toBe(0);
}

async function membersThat(admin: AdminClient, are: (members: readonly Member[]) => boolean): Promise<void> {
  let last = "";
  await until("the members", LIMIT_MS, async () => {
    const members = await admin.members();
    if (members.type !== "done") return undefined;
    last = members.value.map((one) => `${one.id}${one.isLearner ? " (learner)" : ""}`).join(", ");
    return are(members.value) ? true : undefined;
  }).catch((error: unknown) => {
    throw new Error(`The members are ${last}`, { cause: error });
  });
}

const isVoters =
  (...ids: readonly bigint[]) =>
  (members: readonly Member[]): boolean =>
    members.map((one) => one.id).join() === ids.join() && members.every((one) => !one.isLearner);

it("a founder that was removed: its id is never given out again, and its place is taken by an empty node", async () => {
  await using cluster = await Cluster.start(althingSpec(), { ports: await freePorts(6) });
  await cluster.ready();
  const founder = cluster.node(3); // with the highest id: the next one a careless count would give out
  const stayers = [cluster.node(1), cluster.node(2)];
  const endpoints = stayers.map((node) => node.endpoint);
  const ctl = new Etcdctl(endpoints.join(","));
  const admin = new AdminClient(endpoints[0] ?? "");
  const kv = new KvClient(endpoints[0] ?? "");
  const [clientPort = 0, peerPort = 0] = await freePorts(2);
  let newcomer: ClusterNode | undefined;
  try {
    const acknowledged = [...(await writeMany(kv, "founder/", 200, { valueBytes: 200 }))];
    await membersThat(admin, isVoters(1n, 2n, 3n));
    await remove(ctl, 3n);
    await membersThat(admin, isVoters(1n, 2n));
    acknowledged.push(...(await writeMany(kv, "founder/", 50, { from: 200 })));

    const id = await added(ctl, "node-4", peerPort);
    expect(id).toBe(4n);
    const folder = join(cluster.folder, "node-4");
    mkdirSync(folder);
    const plan: NodePlan = { id: Number(id), folder, host: "127.0.0.1", clientPort, peerPort };
    newcomer = new ClusterNode(plan, new NodeProcess(althingJoin(plan), join(cluster.folder, "node-4.log")));
    newcomer.process.start();
    await membersThat(admin, isVoters(1n, 2n, 4n)); // a learner first, a voter by itself when it has caught up
    await expectHolds(newcomer, "founder/", acknowledged);

    // It counts: with one of the founders down, the other one and the newcomer are a majority.
    await stayers[1]?.process.kill();
    acknowledged.push(
      ...(await until("writes by the new majority", LIMIT_MS, () =>
        writeMany(kv, "founder/", 20, { from: 250 }).catch(() => undefined),
      )),
    );
    stayers[1]?.process.start();

    // The one that left comes back with its old flags and its old disk: nobody listens to it.
    await founder.process.kill();
    founder.process.start();
    const before = await until("a status", LIMIT_MS, async () => (await newcomer?.status())?.raftTerm);
    await sleep(3_000); // some elections, if it could call one
    acknowledged.push(...(await writeMany(kv, "founder/", 20, { from: 270 })));
    await membersThat(admin, isVoters(1n, 2n, 4n));
    const after = await until("a status", LIMIT_MS, async () => (await newcomer?.status())?.raftTerm);
    expect(after - before).toBeLessThanOrEqual(1n); // the restarted stayer may have cost one
    const stranger = new KvClient(founder.endpoint, { timeoutMs: 1_000 });
    expect((await stranger.put("founder/000000", "not for it to say")).type).not.toBe("done");
    stranger.close();
    for (const node of [...stayers, newcomer]) await expectHolds(node, "founder/", acknowledged);

    // Neither the founder's id nor the newcomer's comes again, also after a restart of all that know them.
    await remove(ctl, id);
    await newcomer.process.kill();
    await membersThat(admin, isVoters(1n, 2n));
    for (const node of stayers) await node.process.kill();
    for (const node of stayers) node.process.start();
    const next = await until("the next id", LIMIT_MS, () => added(ctl, "node-5", peerPort).catch(() => undefined));
    expect(next).toBeGreaterThanOrEqual(5n); // an attempt that got no answer may have used one up
  } finally {
    await newcomer?.process.kill();
    admin.close();
    kv.close();
  }
});
