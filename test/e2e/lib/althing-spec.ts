/** Althing as a test cluster: each node is started as `althing node`, as in production, so that one can be killed alone. */

import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { nodeV8Flags } from "../../../src/cli/v8-flags.ts";
import type { ClusterSpec } from "./cluster.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");
const source = join(root, "src", "cli", "main.ts");
const built = join(root, "dist", "cli", "main.js");

/** The command line as it is run: from source, or with `preferBuilt` from `dist/` if it is there. */
function althingProgram(options: { readonly preferBuilt: boolean }): string {
  return options.preferBuilt && existsSync(built) ? built : source;
}

/** A spec that runs the program from source or from `dist/`, with more flags for every node if given. */
export function althingSpec(
  options: { readonly preferBuilt?: boolean; readonly flags?: readonly string[] } = {},
): ClusterSpec {
  const program = althingProgram({ preferBuilt: options.preferBuilt ?? false });
  return {
    name: "althing",
    command(self, all, peerAddress) {
      const members = all.map((to) => `${to.id}=${to === self ? `${to.host}:${to.peerPort}` : peerAddress(to)}`);
      const flags: Readonly<Record<string, string>> = {
        id: String(self.id),
        name: `node-${self.id}`,
        dir: join(self.folder, "data"),
        listen: `${self.host}:${self.clientPort}`,
        "peer-listen": `${self.host}:${self.peerPort}`,
        "initial-cluster": members.join(","),
      };
      const beyondLoopback = self.host.startsWith("127.") ? [] : ["--insecure"];
      const args = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value]);
      return {
        file: process.execPath,
        args: [
          ...nodeV8Flags,
          program,
          "node",
          "--json",
          "--exit-with-parent",
          ...args,
          ...beyondLoopback,
          ...(options.flags ?? []),
        ],
      };
    },
    version() {
      const parsed = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly version: string }; // our own file
      return parsed.version;
    },
  };
}
