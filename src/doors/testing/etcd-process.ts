/** Debian's etcd as an oracle: one node on loopback, its data in a temporary folder, gone at the end. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface EtcdProcess {
  /** `host:port` of the client port. */
  readonly address: string;
  stop(): Promise<void>;
}

/** Starts etcd and waits until it answers. Fails if it is not installed (Debian: etcd-server). */
export async function startEtcd(): Promise<EtcdProcess> {
  const folder = await mkdtemp(join(tmpdir(), "althing-etcd-oracle-"));
  const [client, peer] = [await freePort(), await freePort()];
  const clientUrl = `http://127.0.0.1:${client}`;
  const peerUrl = `http://127.0.0.1:${peer}`;
  const child = spawn(
    "etcd",
    [
      ...["--data-dir", folder, "--name", "oracle", "--log-level", "error", "--unsafe-no-fsync"],
      ...["--listen-client-urls", clientUrl, "--advertise-client-urls", clientUrl],
      ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
      ...["--initial-cluster", `oracle=${peerUrl}`],
    ],
    { stdio: "ignore" },
  );
  let failure: Error | undefined;
  child.once("error", (error) => {
    failure = new Error(`Cannot start etcd: ${error.message}; on Debian, install etcd-server`, { cause: error });
  });
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    await rm(folder, { recursive: true, force: true });
  };
  for (let i = 0; i < 200; i++) {
    if (failure !== undefined) throw failure;
    if (await isHealthy(clientUrl)) return { address: `127.0.0.1:${client}`, stop };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await stop();
  throw new Error("Cannot start etcd: it did not answer within 10 s");
}

async function isHealthy(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/health`);
    return (await response.text()).includes('"true"');
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("Cannot find a free port");
  return address.port;
}
