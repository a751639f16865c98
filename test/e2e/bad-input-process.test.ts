/**
 * `althing node` started wrongly: each case ends by itself with one line that names the cause and the next step, the
 * documented exit code, and not a byte of the data folder changed. What the flags alone can get wrong stands in
 * `cli-usage.test.ts`; here a real data folder and real ports are met.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CliResult, type RunningCli, startCli } from "../../src/cli/testing/run-cli.ts";
import { folderDigest } from "./lib/faults/folder-digest.ts";
import { freePorts } from "./lib/free-ports.ts";
import { KvClient } from "./lib/kv-client.ts";
import { sleep, until } from "./lib/until.ts";

const LIMIT_MS = 20_000;
/** A while after its last write the log notes that it was durable; then the first process writes nothing more. */
const QUIET_MS = 700;

let folder: string;
let data: string;
let ports: readonly number[];

function flags(change: Readonly<Record<string, string>> = {}): readonly string[] {
  const [client = 0, peer = 0] = ports;
  const all = { dir: data, listen: `127.0.0.1:${client}`, "peer-listen": `127.0.0.1:${peer}`, ...change };
  return ["node", ...Object.entries(all).flatMap(([flag, value]) => [`--${flag}`, value])];
}

/** The end of a node that must not run. */
async function refused(args: readonly string[]): Promise<CliResult> {
  const running = startCli(args, { input: "", cwd: folder });
  const timer = setTimeout(() => running.child.kill("SIGKILL"), LIMIT_MS);
  const result = await running.done;
  clearTimeout(timer);
  return result;
}

async function expectRefusal(args: readonly string[], exit: number, line: RegExp): Promise<void> {
  const before = folderDigest(data);
  const { code, stdout, stderr } = await refused(args);
  const said = stderr.split("\n").filter((text) => text !== "" && !text.startsWith("{")); // the log is JSON
  expect(said).toEqual([expect.stringMatching(line)]);
  expect([code, stdout]).toEqual([exit, ""]);
  expect(folderDigest(data)).toEqual(before);
}

async function withServing(use: (running: RunningCli, kv: KvClient) => Promise<void>): Promise<void> {
  const running = startCli([...flags(), "--json"]);
  const kv = new KvClient(`127.0.0.1:${ports[0] ?? 0}`);
  try {
    await running.waitFor('"ready"');
    await until("a write", LIMIT_MS, async () => ((await kv.put("k", "kept")).type === "done" ? true : undefined));
    await use(running, kv);
  } finally {
    kv.close();
    running.child.kill("SIGTERM");
    await running.done;
  }
}

function listenOn(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

/** The data folder of a node that has run and was stopped. */
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "althing-bad-"));
  data = join(folder, "data");
  ports = await freePorts(2);
  await withServing(async () => undefined);
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe("a data folder that is not this node's to use", () => {
  it("a second process on it: exit 5, names the holder; the first goes on", async () => {
    await withServing(async (running, kv) => {
      await sleep(QUIET_MS);
      const [client = 0, peer = 0] = await freePorts(2);
      const other = flags({ listen: `127.0.0.1:${client}`, "peer-listen": `127.0.0.1:${peer}` });
      const line = new RegExp(`^error: Cannot lock .*process ${running.child.pid ?? 0} on .* holds it.*Next: `);
      await expectRefusal(other, 5, line);
      expect(await kv.put("k", "kept")).toMatchObject({ type: "done" });
    });
  });

  it("of a newer format: exit 5", async () => {
    const file = join(data, "identity");
    const before = readFileSync(file, "utf8");
    const newer = before.replace('"format": 1', '"format": 99');
    expect(newer).not.toBe(before);
    writeFileSync(file, newer);
    try {
      await expectRefusal(flags(), 5, /^error: Cannot use the data folder: format 99 .*newer version.*Next: /);
    } finally {
      writeFileSync(file, before);
    }
  });

  it.each<[name: string, text: (before: string) => string]>([
    ["not JSON", (before) => before.slice(0, 20)],
    ["empty", () => ""],
    ["without a field", () => '{"format": 1}'],
  ])("with an identity that is %s: exit 1", async (_, text) => {
    const file = join(data, "identity");
    const before = readFileSync(file, "utf8");
    writeFileSync(file, text(before));
    try {
      await expectRefusal(flags(), 1, /^error: Cannot read the data folder: its identity file/);
    } finally {
      writeFileSync(file, before);
    }
  });

  it("of another node, and of another cluster: exit 5", async () => {
    const line = /^error: Cannot use the data folder: it belongs to node 1 of cluster "althing".*Next: /;
    await expectRefusal(flags({ id: "2" }), 5, line);
    const config = join(folder, "other-cluster.json");
    writeFileSync(config, JSON.stringify({ cluster: "another" }));
    await expectRefusal(flags({ config }), 5, line);
  });

  it("that is a file, or cannot be made: one line, no stack", async () => {
    const file = join(folder, "a-file");
    writeFileSync(file, "x");
    await expectRefusal(flags({ dir: file }), 2, /^error: Cannot use the folder .*EEXIST/);
    await expectRefusal(flags({ dir: join(file, "below") }), 2, /^error: Cannot use the folder .*ENOTDIR/);
    expect(readFileSync(file, "utf8")).toBe("x");
  });
});

describe("an address that is not this node's to use", () => {
  it.each<[name: string, index: number]>([
    ["the public port is in use", 0],
    ["the peer port is in use", 1],
  ])("%s: exit 5, names the address", async (_, index) => {
    const port = ports[index] ?? 0;
    const holder = await listenOn(port);
    try {
      const line = new RegExp(`^error: Cannot listen on 127\\.0\\.0\\.1:${port}: .*(choose another|Next: )`);
      const { code, stdout, stderr } = await refused(flags());
      const said = stderr.split("\n").filter((text) => text !== "" && !text.startsWith("{"));
      expect(said).toEqual([expect.stringMatching(line)]);
      expect([code, stdout]).toEqual([5, ""]);
    } finally {
      holder.close();
    }
  });

  it("beyond loopback without --insecure: exit 2, before anything is written", async () => {
    const empty = join(folder, "empty");
    mkdirSync(empty);
    const [client = 0, peer = 0] = ports;
    for (const change of [{ listen: `0.0.0.0:${client}` }, { "peer-listen": `0.0.0.0:${peer}` }]) {
      const { code, stdout, stderr } = await refused(flags({ dir: join(empty, "data"), ...change }));
      const said = stderr.split("\n").filter((text) => text !== "" && !text.startsWith("{"));
      expect([change, said]).toEqual([change, [expect.stringMatching(/^error: Cannot .*0\.0\.0\.0.*--insecure/)]]);
      expect([code, stdout]).toEqual([2, ""]);
    }
    expect(folderDigest(empty)).toEqual([]);
  });
});

describe("a configuration that cannot be", () => {
  it("an unknown flag: exit 2, with the nearest known one", async () => {
    const line =
      /^error: .*unknown option '--lisen' \(Did you mean --listen\?\)\. Next: .*(?:althing|althing --) node --help$/;
    await expectRefusal([...flags(), "--lisen", "127.0.0.1:1"], 2, line);
  });

  it.each<[name: string, content: string, line: RegExp]>([
    ["an unknown key", '{"lisen": "127.0.0.1:1"}', /unknown key lisen \(did you mean listen\?\)/],
    ["a wrong type", '{"id": "one"}', /: id: .*number/],
    ["a bad limit", '{"limits": {"requestBytesMax": -1}}', /limits\.requestBytesMax/],
    ["an election timeout below the heartbeat", '{"timings": {"electionMs": 10}}', /electionMs/],
    ["no JSON", "{", /it is not JSON/],
    ["a list", "[]", /a list is no configuration/],
  ])("a file with %s: exit 2, names file and key", async (_, content, line) => {
    const config = join(folder, "bad.json");
    writeFileSync(config, content);
    await expectRefusal(flags({ config }), 2, line);
  });
});

it("after all of that the folder still holds what it held", async () => {
  const running = startCli([...flags(), "--json"]);
  const kv = new KvClient(`127.0.0.1:${ports[0] ?? 0}`);
  try {
    await running.waitFor('"ready"');
    const found = await until("an answer", LIMIT_MS, async () => {
      const read = await kv.get("k");
      return read.type === "done" ? Buffer.from(read.value?.value ?? "").toString() : undefined;
    });
    expect(found).toBe("kept");
  } finally {
    kv.close();
    running.child.kill("SIGTERM");
    await running.done;
  }
});
