/** Debian's etcd as a test cluster, with its own defaults: the yardstick, and the proof that a helper works. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import type { ClusterSpec } from "./cluster.ts";

export const etcdSpec: ClusterSpec = {
  name: "etcd",
  command(self, all, peerAddress) {
    const client = `http://${self.host}:${self.clientPort}`;
    const peer = `http://${self.host}:${self.peerPort}`;
    const members = all.map((to) => `n${to.id}=http://${to === self ? `${to.host}:${to.peerPort}` : peerAddress(to)}`);
    const flags: Readonly<Record<string, string>> = {
      name: `n${self.id}`,
      "data-dir": join(self.folder, "data"),
      "listen-client-urls": client,
      "advertise-client-urls": client,
      "listen-peer-urls": peer,
      "initial-advertise-peer-urls": peer,
      "initial-cluster": members.join(","),
      "initial-cluster-state": "new",
      "initial-cluster-token": "althing-e2e",
      "log-level": "error",
      logger: "zap",
    };
    return { file: "etcd", args: Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`) };
  },
  version() {
    const done = spawnSync("etcd", ["--version"], { encoding: "utf8" });
    return /etcd Version: (\S+)/.exec(done.stdout)?.[1] ?? "unknown";
  },
};
