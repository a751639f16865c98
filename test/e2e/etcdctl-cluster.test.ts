/**
 * etcdctl's commands about the cluster itself, unmodified, on a three-node Althing: members, endpoints, alarms, snapshots,
 * defragmenting, moving the leader, users. As on a three-node etcd, except where `lib/etcdctl-differences.ts` says why not.
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Etcdctl, etcdctlVersion } from "./lib/etcdctl.ts";
import { type Shell, TwinClusters } from "./lib/etcdctl-twin.ts";
import { sleep } from "./lib/until.ts";

const places = [
  { place: 0, node: "the leader" },
  { place: 1, node: "a follower" },
  { place: 2, node: "the other follower" },
];

async function endpoints(shell: Shell): Promise<void> {
  await shell.run(["put", `${shell.prefix}e`, "x".repeat(10_000)]);
  const all = { endpoints: shell.endpoints };
  await shell.run(["endpoint", "status"]);
  for (const format of ["json", "fields", "simple", "table"]) {
    await shell.run(["endpoint", "status", "-w", format], { ...all, read: withoutUse });
    await shell.run(["endpoint", "hashkv", "-w", format], all);
    await shell.run(["endpoint", "health", "-w", format], { ...all, unordered: true });
  }
  await shell.run(["endpoint", "health", "--cluster"], { unordered: true });
  const urls = shell.endpoints.map((endpoint) => `http://${endpoint}`); // such a client sends a URL as `:authority`
  await shell.run(["endpoint", "status", "--cluster"], { unordered: true });
  await shell.run(["endpoint", "hashkv", "--cluster"], { unordered: true });
  await shell.run(["endpoint", "status"], { endpoints: urls });
  await shell.run(["get", "none"], { endpoints: urls });
  await shell.run(["endpoint", "hashkv", "--rev=1"]);
  await shell.run(["endpoint", "hashkv", "--rev=999999"], { code: 1 });
}

/** A write is in the log and in memory first: until the first flush nothing of our file is in use, and a zero is left out. */
function withoutUse(stdout: string): string {
  return stdout.replaceAll(/,"dbSizeInUse":<size>/g, "");
}

async function members(shell: Shell): Promise<void> {
  const sinceReady = performance.now() - ready;
  await sleep(Math.max(0, ETCD_HEALTH_MS - sinceReady));
  const extra = `http://127.0.0.1:1${shell.prefix[0]}`; // of this run: etcd remembers for good whom it has removed
  const listed = await shell.run(["member", "list"], { unordered: true });
  const taken = /started, node-1, (http:[^,]+)/.exec(listed.stdout)?.[1] ?? "";
  await shell.run(["member", "list", "-w", "fields"], { unordered: true });
  await shell.run(["member", "list", "-w", "table"], { unordered: true });
  await shell.run(["member", "list", "-w", "json"], { unordered: true });
  await shell.run(["member", "add"], { code: 128 });
  await shell.run(["member", "add", "x"], { code: 128 });
  await shell.run(["member", "add", "x", "--peer-urls=nonsense"], { code: 1 });
  await shell.run(["member", "remove", "dead"], { code: 1 });
  await shell.run(["member", "remove", "zz"], { code: 128 });
  await shell.run(["member", "remove"], { code: 128 });
  await shell.run(["member", "promote", "dead"], { code: 1 });
  await shell.run(["member", "update", "dead", "--peer-urls=http://127.0.0.1:1"], { code: 1 });
  await shell.run(["member", "update", "dead"], { code: 128 });

  const added = await shell.run(["member", "add", "extra", `--peer-urls=${extra}1`, "--learner"], {
    read: (stdout) => stdout.replace(/(?<=ETCD_INITIAL_CLUSTER=").*(?=")/, (all) => all.split(",").sort().join(",")),
  });
  const id = /Member +([0-9a-f]+) added/.exec(added.stdout)?.[1] ?? "";
  await shell.run(["member", "list"], { unordered: true });
  await shell.run(["member", "promote", id], { code: 1, shown: "member promote ID" });
  await shell.run(["member", "add", "again", `--peer-urls=${taken}`, "--learner"], {
    code: 1,
    shown: "member add again --peer-urls=TAKEN",
  });
  await shell.run(["member", "add", "second", `--peer-urls=${extra}2`, "--learner"], {
    differs: "more than one learner",
  });
  if (shell.make === "althing") await removeUnstarted(shell, `${extra}2`);
  await shell.run(["member", "update", id, `--peer-urls=${extra}3`], { shown: "member update ID" });
  await shell.run(["member", "list"], { unordered: true, differs: "a learner that was updated" });
  await shell.run(["member", "remove", id], { shown: "member remove ID" });
  await shell.run(["member", "remove", id], { code: 1, shown: "member remove ID" });
  await shell.run(["member", "list"], { unordered: true });
}

/** etcd changes its members only when it has been connected to them for five seconds: "unhealthy cluster" before. */
const ETCD_HEALTH_MS = 5_500;
let ready = 0;

async function removeUnstarted(shell: Shell, address: string): Promise<void> {
  const { stdout } = await shell.ctl.run(["member", "list"]);
  const line = stdout.split("\n").find((one) => one.includes(address));
  const removed = await shell.ctl.run(["member", "remove", line?.split(",")[0] ?? ""]);
  expect(removed.code, removed.stderr).toBe(0);
}

async function maintenance(shell: Shell): Promise<void> {
  await shell.run(["put", `${shell.prefix}m`, "x".repeat(10_000)]);
  await shell.run(["alarm", "list"]);
  await shell.run(["alarm", "disarm"]);
  await shell.run(["defrag"]);
  await shell.run(["defrag"], { endpoints: shell.endpoints });
  await shell.run(["move-leader", "dead"], { endpoints: shell.endpoints, code: 1 });
  await shell.run(["move-leader", "zz"], { endpoints: shell.endpoints, code: 128 });
  await shell.run(["move-leader"], { endpoints: shell.endpoints, code: 128 });
  const folder = mkdtempSync(join(tmpdir(), "althing-etcdctl-"));
  try {
    const file = join(folder, "snapshot");
    const read = (stdout: string): string => stdout.replaceAll(folder, "<folder>");
    const saved = await shell.ctl.run(["snapshot", "save", file]);
    expect(saved.code, saved.stderr).toBe(0);
    expect(read(saved.stdout)).toBe("Snapshot saved at <folder>/snapshot\n");
    expect(statSync(file).size).toBeGreaterThan(10_000);
    const status = await shell.ctl.run(["snapshot", "status", file]);
    shell.record(["snapshot", "status", "FILE"], status, { differs: "what a snapshot holds" });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function users(shell: Shell): Promise<void> {
  await shell.run(["user", "list"]);
  await shell.run(["role", "list"]);
  await shell.run(["user", "get", "nobody"], { code: 1 });
  await shell.run(["role", "get", "nothing"], { code: 1 });
  await shell.run(["user", "delete", "nobody"], { code: 1 });
  await shell.run(["role", "delete", "nothing"], { code: 1 });
  await shell.run(["auth", "disable"]);
  await shell.run(["auth", "enable"], { code: 1 });
  await shell.run(["get", "none", "--user=nobody:password"]);
  await shell.run(["user", "add", "someone:password"], { differs: "users and roles" });
  await shell.run(["role", "add", "something"], { differs: "users and roles" });
  if (shell.make === "etcd") {
    await shell.ctl.run(["user", "delete", "someone"]);
    await shell.ctl.run(["role", "delete", "something"]);
  }
}

describe(`etcdctl ${etcdctlVersion()} on Althing as on etcd`, () => {
  let clusters: TwinClusters;
  beforeAll(async () => {
    clusters = await TwinClusters.start();
    ready = performance.now();
  });
  afterAll(async () => {
    await clusters?.close();
  });

  const scripts = { endpoints, maintenance, users, members };
  for (const [name, script] of Object.entries(scripts)) {
    describe.each(places)("$node", ({ place }) => {
      it(name, async () => {
        await clusters.compare(place, script);
      });
    });
  }

  it("moves the leader where it is told to, and says so", async () => {
    const told = await Promise.all(
      [clusters.etcd, clusters.althing].map(async (cluster) => {
        const leader = await cluster.ready();
        const target = cluster.nodes.find((node) => node !== leader);
        const [from, to] = await Promise.all([leader.status(2_000), target?.status(2_000)]);
        const id = to?.memberId.toString(16) ?? "";
        const elsewhere = await new Etcdctl(target?.endpoint ?? "").run(["move-leader", id]);
        expect(elsewhere).toMatchObject({ code: 128, stderr: expect.stringContaining("no leader endpoint given") });
        const moved = await new Etcdctl(cluster.endpoints.join(",")).run(["move-leader", id]);
        expect(await cluster.ready()).toBe(target);
        return moved.stdout
          .replace(`from ${from?.memberId.toString(16)} `, "from the leader ")
          .replace(` to ${id}`, " to the target");
      }),
    );
    expect(told).toEqual(Array.from({ length: 2 }, () => "Leadership transferred from the leader to the target\n"));
  });
});
