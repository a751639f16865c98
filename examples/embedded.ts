// A node inside your program: durable, and open to every etcd client.
// Run it:  node examples/embedded.ts
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { start } from "../src/althing.ts"; // in your project: "althing"

const dir = await mkdtemp(join(tmpdir(), "embedded-"));
{
  await using node = await start({ dir });
  await node.kv.put("greeting", "hello");
  console.log("greeting:", await node.kv.get("greeting"));
  console.log(`etcdctl --endpoints=${node.address} get greeting`);
}
{
  await using node = await start({ dir }); // the same files, later
  console.log("after a restart:", await node.kv.get("greeting"));
}
await rm(dir, { recursive: true });
