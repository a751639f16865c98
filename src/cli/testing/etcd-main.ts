/** `dev` and `demo` with etcd in every node: `node etcd-main.ts dev --json …`. For tests. */
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { runDemo } from "../commands/demo.ts";
import { runDev } from "../commands/dev.ts";
import { runCommand } from "../context.ts";
import type { NodeCommand } from "../dev/node-process.ts";
import { type ClusterPlan, nodeFlags } from "../dev/plan.ts";
import type { ProfileNode } from "../profile.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "boolean", default: false },
    dir: { type: "string", default: ".althing" },
    port: { type: "string" },
    nodes: { type: "string" },
    records: { type: "string", default: "500" },
    kills: { type: "string", default: "1" },
  },
});
const script = fileURLToPath(new URL("./etcd-node.ts", import.meta.url));
const commandFor =
  (plan: ClusterPlan) =>
  (node: ProfileNode): NodeCommand => ({ file: process.execPath, args: [script, ...nodeFlags(plan, node).slice(1)] });

if (positionals[0] === "demo") {
  const options = { json: values.json, kills: Number(values.kills), seconds: 60, records: Number(values.records) };
  await runCommand("one-shot", options, (context) => runDemo(context, options, commandFor));
} else {
  const options = {
    json: values.json,
    dir: values.dir,
    ...(values.port === undefined ? {} : { port: Number(values.port) }),
    ...(values.nodes === undefined ? {} : { nodes: Number(values.nodes) }),
  };
  await runCommand("server", options, (context) => runDev(context, options, commandFor));
}
