/**
 * Runs Debian's etcd as one node of a local cluster: takes the flags of `althing node`, starts etcd with what they mean, and
 * says the same on stdout. So the supervisor, the keys and the tour are tested with real processes of another make.
 *
 * `setpriv --pdeathsig` (util-linux) ends etcd when this process is killed with -9: together they die like one node.
 */
import { spawn } from "node:child_process";
import path from "node:path";
import { parseArgs } from "node:util";
import { cluster as clusterCalls, maintenance } from "../etcd/api.ts";
import { GrpcClient } from "../grpc/client.ts";
import { pause } from "../pause.ts";

const { values } = parseArgs({
  strict: false,
  options: {
    id: { type: "string", default: "1" },
    name: { type: "string", default: "node-1" },
    dir: { type: "string", default: "." },
    listen: { type: "string", default: "" },
    "peer-listen": { type: "string", default: "" },
    "initial-cluster": { type: "string", default: "" },
  },
});
const id = Number(values["id"]);
const url = `http://${values["listen"]}`;
const peerUrl = `http://${values["peer-listen"]}`;
const members = String(values["initial-cluster"])
  .split(",")
  .map((part) => part.split("="));
const cluster = members.map(([member, address]) => `node-${member}=http://${address}`).join(",");
const ids = new Map<bigint, number>();

const etcd = spawn(
  "setpriv",
  ["--pdeathsig", "KILL", "etcd"].concat(
    ["--name", String(values["name"]), "--data-dir", path.join(String(values["dir"]), "etcd")],
    ["--listen-client-urls", url, "--advertise-client-urls", url],
    ["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
    ["--initial-cluster", cluster, "--heartbeat-interval", "50", "--election-timeout", "500"],
  ),
  { stdio: ["ignore", "ignore", "inherit"] },
);
const say = (event: Readonly<Record<string, unknown>>): void => void process.stdout.write(`${JSON.stringify(event)}\n`);

let ending = false;
const end = (): void => {
  if (!ending) say({ event: "draining" });
  ending = true;
  etcd.kill("SIGTERM");
};
process.on("SIGTERM", end);
process.stdin.on("end", end).on("error", end).resume();
etcd.on("exit", (code) => {
  if (!ending) say({ event: "failed", message: `Cannot go on: etcd ended with code ${code}` });
  process.exit(ending ? 0 : 1);
});

const client = new GrpcClient([url], { timeoutMs: 500 });
let ready = false;
let told = "";
while (!ending) {
  try {
    const status = await client.unary(maintenance.status, {});
    if (!ready) {
      ready = true;
      say({ event: "ready", id, pid: process.pid, address: values["listen"], peerAddress: values["peer-listen"] });
    }
    const leader = status.leader === 0n ? 0 : await leaderNumber(status.leader);
    if (leader !== undefined && `${leader}@${status.raftTerm}` !== told) {
      told = `${leader}@${status.raftTerm}`;
      say({ event: "leader-changed", leader, term: status.raftTerm });
    }
  } catch {
    // not up yet, or going down
  }
  await pause(50);
}

/** etcd draws member ids; the list of members tells which node each is. */
async function leaderNumber(leader: bigint): Promise<number | undefined> {
  if (!ids.has(leader)) {
    const list = await client.unary(clusterCalls.memberList, {});
    for (const member of list.members) {
      const found = /^node-(\d+)$/.exec(member.name);
      if (found !== null) ids.set(member.id, Number(found[1]));
    }
  }
  return ids.get(leader);
}
