/** One real Althing node on loopback, in a temporary folder, started as a user would. For tests. */
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { freePorts } from "../dev/port-check.ts";
import type { RealServer } from "./real-etcd.ts";
import { startCli } from "./run-cli.ts";

export async function startAlthing(): Promise<RealServer> {
  const folder = await mkdtemp(path.join(os.tmpdir(), "althing-real-"));
  const port = await freePorts(1);
  const listen = `127.0.0.1:${port}`;
  const node = startCli(["node", "--json", "--name", "real", "--dir", folder, "--listen", listen]);
  await node.waitFor('"event":"ready"');
  await node.waitFor('"leader":1');
  return {
    endpoint: `http://${listen}`,
    signal: (name) => void node.child.kill(name),
    close: async () => {
      node.child.kill("SIGKILL");
      await node.done;
      await rm(folder, { recursive: true, force: true });
    },
  };
}
