/**
 * The same real cluster on each consensus engine, with the unmodified etcdctl: write, read, watch, lease, lock, members, the
 * leadership moved and killed. And what happens where engines do not match. More of etcdctl: `etcdctl-*.test.ts`, on Raft.
 */
import { cpSync, existsSync, mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { consensusEngines } from "../../src/config/node-config.ts";
import { althingJoin, althingSpec } from "./lib/althing-spec.ts";
import { Cluster, type ClusterNode, type ClusterSpec } from "./lib/cluster.ts";
import { Etcdctl } from "./lib/etcdctl.ts";
import { freePorts } from "./lib/free-ports.ts";
import { type NodeCommand, NodeProcess } from "./lib/node-process.ts";
import { sleep, until } from "./lib/until.ts";

const LIMIT_MS = 20_000;
const specOf = (engine: string): ClusterSpec => althingSpec({ flags: ["--consensus", engine] });

class Shell {
  readonly #ctl: Etcdctl;

  constructor(nodes: readonly ClusterNode[]) {
    this.#ctl = new Etcdctl(nodes.map((node) => node.endpoint).join(","));
  }

  start(...args: readonly string[]): ReturnType<Etcdctl["start"]> {
    return this.#ctl.start(args);
  }

  /** Runs to the end, which must be a good one; returns the lines of stdout. */
  async run(...args: readonly string[]): Promise<readonly string[]> {
    const { code, stdout, stderr } = await this.#ctl.run(args);
    expect(code, `etcdctl ${args.join(" ")}: ${stderr}`).toBe(0);
    return stdout.trimEnd().split("\n");
  }
}

const logOf = (node: ClusterNode): string => {
  const file = join(node.plan.folder, "..", `node-${node.plan.id}.log`);
  return existsSync(file) ? readFileSync(file, "utf8") : "";
};

describe.each(consensusEngines)("a cluster on %s", (engine) => {
  it("serves etcdctl, and goes on when its leader is killed", async () => {
    await using cluster = await Cluster.start(specOf(engine), { ports: await freePorts(6) });
    const shell = new Shell(cluster.nodes);
    const watching = shell.start("watch", "colour");
    await sleep(300);
    await shell.run("put", "colour", "red");
    expect(await shell.run("get", "colour")).toEqual(["colour", "red"]);
    expect(await watching.lines(3)).toEqual(["PUT", "colour", "red"]);

    const lease = /lease ([0-9a-f]+) granted/.exec((await shell.run("lease", "grant", "2")).join("\n"))?.[1] ?? "";
    await shell.run("put", "short", "lived", `--lease=${lease}`);
    expect(await shell.run("get", "short")).toEqual(["short", "lived"]);

    const lock = shell.start("lock", "door");
    await lock.lines(1);
    const second = shell.start("lock", "door");
    await sleep(500);
    expect(second.stdout).toBe("");
    await lock.interrupt();
    await second.lines(1);
    await second.interrupt();

    const leader = await cluster.ready();
    const follower = cluster.nodes.find((node) => node !== leader);
    const target = follower?.plan.id ?? 0;
    const own = new Etcdctl(leader.endpoint);
    const moved = await own.run(["move-leader", target.toString(16)]);
    expect(moved.code, moved.stderr).toBe(0);
    expect((await cluster.ready()).plan.id).toBe(target);

    await cluster.node(target).process.kill();
    const left = new Shell(cluster.nodes.filter((node) => node.plan.id !== target));
    await until("a write without the killed leader", LIMIT_MS, async () => {
      const done = await left.run("put", "colour", "blue").catch(() => undefined);
      return done === undefined ? undefined : true;
    });
    await until("the end of the lease", LIMIT_MS, async () => {
      const lines = await left.run("get", "short");
      return lines.includes("short") ? undefined : true;
    });
    cluster.node(target).process.start();
    await cluster.ready();
    expect(await shell.run("get", "colour")).toEqual(["colour", "blue"]);
    expect((await watching.lines(6)).slice(3)).toEqual(["PUT", "colour", "blue"]);
    await watching.close();
  });

  it("takes a member in, which votes once it has caught up, and lets it go", async () => {
    await using cluster = await Cluster.start(specOf(engine), { ports: await freePorts(6) });
    const shell = new Shell(cluster.nodes);
    await shell.run("put", "before", "it came");
    const [clientPort = 0, peerPort = 0] = await freePorts(2);
    const added = await shell.run("member", "add", "four", `--peer-urls=http://127.0.0.1:${peerPort}`);
    const id = /Member +([0-9a-f]+) added/.exec(added.join("\n"))?.[1] ?? "";
    const folder = join(cluster.folder, "node-4");
    const plan = { id: Number(`0x${id}`), folder, host: "127.0.0.1", clientPort, peerPort };
    const join4: NodeCommand = althingJoin(plan);
    const process4 = new NodeProcess({ ...join4, args: [...join4.args, "--consensus", engine] }, `${folder}.log`);
    try {
      process4.start();
      await until("the new member", LIMIT_MS, async () => {
        const lines = await shell.run("member", "list");
        return lines.some((line) => line.startsWith(id) && /, started, .*, false$/.test(line)) ? true : undefined;
      });
      const four = new Etcdctl(`127.0.0.1:${clientPort}`);
      const read = await four.run(["get", "before"]);
      expect(read.stdout, read.stderr).toBe("before\nit came\n");
      await shell.run("member", "remove", id);
      expect((await shell.run("member", "list")).length).toBe(3);
      await shell.run("put", "after", "it left");
    } finally {
      await process4.kill();
    }
  });
});

describe("engines that do not match", () => {
  it("nodes refuse each other, and say so in the log and in the status", async () => {
    await using cluster = await Cluster.start(specOf("paxos"), { ports: await freePorts(6) });
    const [one, , three] = cluster.nodes;
    if (one === undefined || three === undefined) throw new Error("three nodes");
    await three.process.kill();
    const folder = mkdtempSync(join(cluster.folder, "node-3-"));
    const plans = cluster.nodes.map((node) => node.plan);
    const command = specOf("raft").command({ ...three.plan, folder }, plans, (to) => `${to.host}:${to.peerPort}`);
    const other = new NodeProcess(command, `${folder}.log`);
    const ctl = new Etcdctl(one.endpoint);
    try {
      other.start();
      await until("the status of node 1", LIMIT_MS, async () => {
        const { stdout } = await ctl.run(["endpoint", "status"]);
        return stdout.includes("node 3 runs raft, and node 1 runs paxos") ? true : undefined;
      });
      expect((await ctl.run(["put", "a", "b"])).stdout).toBe("OK\n");
      const told = logOf(one)
        .split("\n")
        .filter((line) => line.includes("node 3 runs raft, and node 1 runs paxos"));
      expect(told.length).toBe(1); // however often it dials
    } finally {
      await other.kill();
    }
  });

  it.each([
    ["raft", "paxos"],
    ["paxos", "raft"],
  ] as const)("a folder of %s is not opened by %s, and stays as it is", async (first, second) => {
    const ports = await freePorts(2);
    await using cluster = await Cluster.start(specOf(first), { ports });
    const node = cluster.node(1);
    const ctl = new Etcdctl(node.endpoint);
    expect((await ctl.run(["put", "a", "b"])).stdout).toBe("OK\n");
    await node.process.stop();
    const copy = join(cluster.folder, "copy");
    cpSync(join(node.plan.folder, "data"), copy, { recursive: true });
    const command = specOf(second).command(node.plan, [node.plan], () => "");
    const other = new NodeProcess(command, `${node.plan.folder}.log`);
    other.start();
    await until("the refusal", LIMIT_MS, () => (other.running ? undefined : true));
    expect(logOf(node)).toContain(`its log was written by ${first}, and this node is to run ${second}`);
    for (const file of ["identity", "wal/000000000001.wal"]) {
      const before = readFileSync(join(copy, file));
      expect(readFileSync(join(node.plan.folder, "data", file)).equals(before), file).toBe(true);
    }
    node.process.start();
    await cluster.ready();
    expect((await ctl.run(["get", "a"])).stdout).toBe("a\nb\n");
  });
});
