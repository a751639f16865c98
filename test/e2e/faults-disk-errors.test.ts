/**
 * A disk that fails or is full under one node of a running cluster: a failed sync stops the node, a full disk only stops
 * writes. Whatever happens, nothing that was acknowledged is lost, and what was a passing state passes by itself.
 * Simulated disks meet the same faults at every byte; here the kernel makes them.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { althingSpec } from "./lib/althing-spec.ts";
import { Cluster, type ClusterNode } from "./lib/cluster.ts";
import { AdminClient } from "./lib/faults/admin-client.ts";
import { loopDevices, root, strace } from "./lib/faults/machine.ts";
import { describeWithNeeds, isLong, whenLong } from "./lib/faults/needs.ts";
import { SmallDisk } from "./lib/faults/small-disk.ts";
import { TamperedProcess } from "./lib/faults/syscall-faults.ts";
import { expectWhole, writeMany } from "./lib/faults/verify.ts";
import { freePorts } from "./lib/free-ports.ts";
import { KvClient } from "./lib/kv-client.ts";
import { type Acknowledged, Load } from "./lib/load.ts";
import { sleep, until } from "./lib/until.ts";

const MIB = 1024 * 1024;
const LIMIT_MS = 15_000;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "althing-disk-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function loadOn(cluster: Cluster): Load {
  const { endpoints } = cluster;
  return Load.start({ endpoints, clients: 4, registers: 3, seed: 1, timeoutMs: 1_000, pauseMs: 2 });
}

async function writesGoOn(load: Load): Promise<void> {
  const before = load.epoch.acknowledged.length;
  await until("writes to go on", LIMIT_MS, () => (load.epoch.acknowledged.length > before + 10 ? true : undefined));
}

async function roles(cluster: Cluster): Promise<{ readonly leader: ClusterNode; readonly follower: ClusterNode }> {
  const leader = await cluster.ready();
  const follower = cluster.nodes.find((node) => node !== leader);
  if (follower === undefined) throw new Error("Cannot test: a follower is needed");
  return { leader, follower };
}

describeWithNeeds("a sync that fails", [root, strace], () => {
  it.each<"leader" | "follower">(isLong ? ["leader", "follower"] : ["leader"])(
    "on the %s: the node says so and ends with exit code 1, the others go on, and it starts again",
    async (role) => {
      await using cluster = await Cluster.start(althingSpec(), { ports: await freePorts(6) });
      const victim = (await roles(cluster))[role];
      const load = loadOn(cluster);
      try {
        await writesGoOn(load);
        const fault = { calls: "fdatasync", inject: "fdatasync:error=EIO" };
        const tampered = await TamperedProcess.attach(victim.process.pid, fault, join(folder, "strace"));
        expect(await tampered.exitCode(LIMIT_MS)).toBe(1);
        expect(tampered.met).toBeGreaterThan(0);
        expect(victim.process.running).toBe(false);
        const said = victim.process.logTail(60).split("\n");
        expect(said.filter((line) => line.includes('"event":"failed"'))).toEqual([
          expect.stringMatching(/"message":"Cannot sync .*EIO.*"code":"DISK_FAILED"/),
        ]);
        await writesGoOn(load);
        victim.process.start();
        await cluster.ready();
        await writesGoOn(load);
      } finally {
        await load.stop();
      }
      expect(load.epoch.judge().type).toBe("ok");
      await expectWhole(cluster, load.epoch.journal, load.epoch.acknowledged);
    },
  );

  it("a sync that hangs for two seconds on the leader: it gives the leadership away and writes go on", async () => {
    await using cluster = await Cluster.start(althingSpec(), { ports: await freePorts(6) });
    const { leader } = await roles(cluster);
    const load = loadOn(cluster);
    try {
      await writesGoOn(load);
      const fault = { calls: "fdatasync", inject: "fdatasync:delay_enter=2000000" };
      const tampered = await TamperedProcess.attach(leader.process.pid, fault, join(folder, "strace"));
      await until("another leader", LIMIT_MS, async () => {
        const found = await cluster.leader();
        return found === undefined || found === leader ? undefined : true;
      });
      await writesGoOn(load);
      await tampered.detach();
      expect(leader.process.running).toBe(true);
      await cluster.ready();
      await writesGoOn(load);
    } finally {
      await load.stop();
    }
    expect(load.epoch.judge().type).toBe("ok");
    await expectWhole(cluster, load.epoch.journal, load.epoch.acknowledged);
  });
});

describeWithNeeds("a full disk", [root, loopDevices], () => {
  const DISK_BYTES = 96 * MIB;

  /** Three nodes, each on a disk of its own; `fill` is done to one of them when its role is known. */
  async function onSmallDisks(
    act: (cluster: Cluster, diskOf: (node: ClusterNode) => SmallDisk) => Promise<void>,
  ): Promise<void> {
    const disks: SmallDisk[] = [];
    try {
      for (const id of [1, 2, 3]) disks.push(SmallDisk.open(join(folder, `node-${id}`), DISK_BYTES));
      const config = join(folder, "althing.json");
      writeFileSync(config, JSON.stringify({ limits: { diskReserveBytes: 16 * MIB }, walSegmentBytes: 4 * MIB }));
      const spec = althingSpec({ flags: ["--config", config] });
      await using cluster = await Cluster.start(spec, { ports: await freePorts(6), folder });
      await act(cluster, (node) => {
        const disk = disks[node.plan.id - 1];
        if (disk === undefined) throw new Error(`Cannot find the disk of node ${node.plan.id}`);
        return disk;
      });
    } finally {
      for (const disk of disks) disk.close();
    }
  }

  const fills: readonly (readonly [role: "leader" | "follower", how: string, leaveBytes: number])[] = [
    ["leader", "to the last byte", 0],
    ["follower", "to the last byte", 0],
    ...(isLong ? ([["leader", "below the reserve", 8 * MIB]] as const) : []),
  ];
  it.each(fills)(
    "of the %s, %s: writes are refused as etcd does, reads go on; with space again, so do writes",
    async (role, _, leave) => {
      await onSmallDisks(async (cluster, diskOf) => {
        const victim = (await roles(cluster))[role];
        const kv = new KvClient(victim.endpoint, { timeoutMs: 2_000 });
        const admin = new AdminClient(victim.endpoint);
        const acknowledged: Acknowledged[] = [...(await writeMany(kv, "full/", 100, { valueBytes: 512 }))];

        diskOf(victim).fill(leave);
        await until("the refusal", LIMIT_MS, async () => {
          const key = `full/late-${acknowledged.length}`;
          const outcome = await kv.put(key, "x".repeat(512));
          if (outcome.type === "done") acknowledged.push({ key, value: "x".repeat(512) });
          return outcome.type === "failed" && outcome.reason.includes("etcdserver: mvcc: database space exceeded")
            ? true
            : undefined;
        });
        // A leader without space refuses by itself; only where it can still write does the alarm stand in the store.
        const expected = role === "follower" ? 1 : 0;
        await until("the alarm", LIMIT_MS, async () => {
          const alarms = await admin.noSpace();
          return alarms.type === "done" && alarms.value.length >= expected ? alarms.value : undefined;
        });
        for (let i = 0; i < 5; i++) {
          expect(await kv.put("full/refused", "x")).toMatchObject({
            type: "failed",
            reason: expect.stringMatching(/space/),
          });
          expect(await kv.get(acknowledged[0]?.key ?? "")).toMatchObject({ type: "done", value: { version: 1n } });
          await sleep(50);
        }
        // Deleting is what makes space, so it goes on, as in etcd.
        if (role === "follower") expect(await kv.delete("full/nothing-is-here")).toMatchObject({ type: "done" });
        expect(victim.process.running).toBe(true);

        diskOf(victim).free();
        await until("a write after space was freed", LIMIT_MS, async () =>
          (await kv.put("full/again", "x")).type === "done" ? true : undefined,
        );
        const cleared = await until("no alarm", LIMIT_MS, async () => {
          const alarms = await admin.noSpace();
          return alarms.type === "done" && alarms.value.length === 0 ? true : undefined;
        });
        expect(cleared).toBe(true);
        acknowledged.push(...(await writeMany(kv, "full/after-", 50)));
        await expectWhole(cluster, "full/", acknowledged);
        kv.close();
        admin.close();
      });
    },
  );

  whenLong(() => {
    it("of every node, and the nodes are killed meanwhile: they start on full disks, and nothing is lost", async () => {
      await onSmallDisks(async (cluster, diskOf) => {
        const leader = await cluster.ready();
        const kv = new KvClient(leader.endpoint, { timeoutMs: 2_000 });
        const acknowledged = [...(await writeMany(kv, "full/", 100, { valueBytes: 512 }))];
        for (const node of cluster.nodes) diskOf(node).fill();
        await sleep(500);
        await Promise.all(cluster.nodes.map((node) => node.process.kill()));
        for (const node of cluster.nodes) node.process.start();
        await cluster.ready();
        expect(await kv.get(acknowledged[0]?.key ?? "")).toMatchObject({ type: "done", value: { version: 1n } });
        for (const node of cluster.nodes) diskOf(node).free();
        await until("a write after space was freed", LIMIT_MS, async () =>
          (await kv.put("full/again", "x")).type === "done" ? true : undefined,
        );
        await expectWhole(cluster, "full/", acknowledged);
        kv.close();
      });
    });
  });
});
