/** One real etcd on loopback, in a temporary folder. For tests; the Debian package is `etcd-server`. */
import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { maintenance } from "../etcd/api.ts";
import { freePorts } from "../dev/port-check.ts";
import { GrpcClient } from "../grpc/client.ts";
import { pause } from "../pause.ts";

export const hasEtcd: boolean = spawnSync("etcd", ["--version"]).status === 0;

/** A server under test, whatever its make. */
export interface RealServer {
  readonly endpoint: string;
  /** `SIGSTOP` and `SIGCONT` too. */
  signal(name: NodeJS.Signals): void;
  close(): Promise<void>;
}

export async function startEtcd(): Promise<RealServer> {
  const folder = await mkdtemp(path.join(os.tmpdir(), "althing-etcd-"));
  const port = await freePorts(1);
  const [client, peer] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${port + 1}`];
  const child = spawn(
    "etcd",
    ["--data-dir", folder, "--name", "real", "--initial-cluster", `real=${peer}`].concat(
      ["--listen-client-urls", client, "--advertise-client-urls", client],
      ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
    ),
    { stdio: "ignore" },
  );
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const probe = new GrpcClient([client], { timeoutMs: 1_000 });
  for (let tries = 0; ; tries++) {
    try {
      const status = await probe.unary(maintenance.status, {});
      if (status.leader !== 0n) break;
    } catch (error) {
      if (tries > 100) throw error;
    }
    await pause(50);
  }
  probe.close();
  return {
    endpoint: client,
    signal: (name) => void child.kill(name),
    close: async () => {
      child.kill("SIGKILL");
      await exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}
