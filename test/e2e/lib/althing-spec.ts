/** Althing as a test cluster: each node is started as `althing node`, as in production, so that one can be killed alone. */

import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { nodeV8Flags } from "../../../src/cli/v8-flags.ts";
import type { ClusterSpec, NodePlan } from "./cluster.ts";
import type { NodeCommand } from "./node-process.ts";

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
      const members = all.map((to) => {
        const peer = to === self ? `${to.host}:${to.peerPort}` : peerAddress(to);
        return `${to.id}=${peer}@${to.host}:${to.clientPort}`;
      });
      return nodeCommand(program, self, ["--initial-cluster", members.join(","), ...(options.flags ?? [])]);
    },
    version() {
      const parsed = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly version: string }; // our own file
      return parsed.version;
    },
  };
}

/** How a node is started that was added to a running cluster as `plan.id`. Its folder is to be empty. */
export function althingJoin(plan: NodePlan): NodeCommand {
  return nodeCommand(althingProgram({ preferBuilt: false }), plan, ["--join"]);
}

function nodeCommand(program: string, self: NodePlan, more: readonly string[]): NodeCommand {
  const flags: Readonly<Record<string, string>> = {
    id: String(self.id),
    name: `node-${self.id}`,
    dir: join(self.folder, "data"),
    listen: `${self.host}:${self.clientPort}`,
    "peer-listen": `${self.host}:${self.peerPort}`,
  };
  const beyondLoopback = self.host.startsWith("127.") ? [] : ["--insecure"];
  const args = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value]);
  return {
    file: process.execPath,
    args: [...nodeV8Flags, program, "node", "--json", "--exit-with-parent", ...args, ...beyondLoopback, ...more],
  };
}

/**
 * A cluster for torture: checkpoints, shortened logs, new segments and snapshots for those that lag come every second, not
 * every half a minute, so that faults meet them; and the nodes log everything.
 */
export function tortureSpec(): ClusterSpec {
  return althingSpec({ flags: ["--config", fileURLToPath(new URL("torture-node.json", import.meta.url))] });
}
