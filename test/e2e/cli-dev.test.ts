/**
 * `althing dev` and `althing demo` with real processes: what they say, what dies with whom, what is kept. Once with our own
 * nodes, and once with a real etcd behind the flags and words of `althing node`, so that a fault of the supervisor can be
 * told from a fault of the nodes.
 */
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { freePorts } from "../../src/cli/dev/port-check.ts";
import { hasEtcd } from "../../src/cli/testing/real-etcd.ts";
import { CLI, jsonLines, type RunningCli, runCli, startCli } from "../../src/cli/testing/run-cli.ts";

const hasSetpriv = spawnSync("setpriv", ["--version"]).status === 0;
const canRunEtcd = hasEtcd && hasSetpriv;
if (!canRunEtcd)
  console.error("SKIPPED: `dev` is tried with our own nodes only; with etcd it needs etcd-server and util-linux");

const etcdMain = fileURLToPath(new URL("../../src/cli/testing/etcd-main.ts", import.meta.url));
const makes = [{ make: "althing", script: CLI }, ...(canRunEtcd ? [{ make: "etcd", script: etcdMain }] : [])];

describe.each(makes)("dev with nodes of $make", ({ make, script }) => {
  /** Cases that only our own nodes can pass; they are not registered for etcd's. */
  const onAlthing = make === "althing" ? test : undefined;
  let folder = "";
  let port = 0;
  const running: RunningCli[] = [];

  const dev = (...args: readonly string[]): RunningCli => {
    const started = startCli(["dev", "--json", "--dir", folder, "--port", String(port), ...args], { script });
    running.push(started);
    return started;
  };
  const say = (to: RunningCli, line: string): void => void to.child.stdin?.write(`${line}\n`);
  const events = (of: RunningCli): readonly Readonly<Record<string, unknown>>[] => jsonLines(of.stdout());
  const pids = (of: RunningCli): readonly number[] => {
    const ready = events(of)[0]?.["nodes"] as readonly { readonly pid: number }[]; // the documented shape of the ready line
    return ready.map((node) => node.pid);
  };

  beforeEach(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), "althing-dev-"));
    port = await freePorts(3);
  });
  afterEach(async () => {
    for (const one of running.splice(0)) {
      one.child.kill("SIGKILL");
      await one.done;
    }
    await expect.poll(() => alive(folder), { timeout: 10_000 }).toEqual([]);
    await rm(folder, { recursive: true, force: true });
  });

  test("starts, says ready first, survives the death of its leader, restarts it, and quits with exit 0", async () => {
    const cluster = dev();
    await cluster.waitFor('"event":"ready"');
    const [ready] = events(cluster);
    expect(ready).toMatchObject({
      event: "ready",
      dir: folder,
      nodes: [1, 2, 3].map((id) => ({ id, port: port + 10 * (id - 1), dir: path.join(folder, `node-${id}`) })),
    });
    await expect.poll(() => cluster.stderr(), { timeout: 5_000 }).toContain("etcdctl --endpoints=");
    const leader = Number(ready?.["leader"]);
    say(cluster, "kill");
    await cluster.waitFor(`"leader":0`);
    await expect
      .poll(() => events(cluster).some((event) => event["event"] === "leader-changed" && event["leader"] !== 0), {
        timeout: 10_000,
      })
      .toBe(true);
    expect(events(cluster)).toContainEqual(
      expect.objectContaining({ event: "node-exited", id: leader, expected: true, signal: "SIGKILL" }),
    );
    say(cluster, "restart");
    await cluster.waitFor('"event":"node-ready"');
    say(cluster, "quit");
    expect((await cluster.done).code).toBe(0);
    expect(events(cluster).at(-1)).toEqual({ event: "stopped" });
  });

  test("exit 3: status shows a killed member as unreachable, in a line without a stack", async () => {
    const cluster = dev();
    await cluster.waitFor('"event":"ready"');
    say(cluster, "kill 2");
    await cluster.waitFor('"event":"node-exited"');
    const { code, stdout, stderr } = await runCli(["status", "--endpoints", `127.0.0.1:${port}`]);
    expect(code).toBe(3);
    expect(stdout).toMatch(/node-2 .*connection refused$/m);
    expect(stdout.split("\n")).toHaveLength(5); // the titles, three members, the last line end
    expect(stderr).toContain("node-2 does not answer: connection refused. Next: start it, or npm run -s althing -- ");
    expect(stdout + stderr).not.toMatch(/Bug in althing|\bat .*\.ts/);
  });

  onAlthing?.("the command that member add prints starts the member, as it is printed", async () => {
    const cluster = dev();
    await cluster.waitFor('"event":"ready"');
    const endpoints = ["--endpoints", `127.0.0.1:${port}`];
    const added = await runCli(["member", "add", "fourth", "--peer", `127.0.0.1:${port + 31}`, ...endpoints]);
    expect(added.code).toBe(0);
    const printed = /^Start it now: npm run -s althing -- (node .*)$/m.exec(added.stderr)?.[1] ?? "";
    expect(printed).toContain(`--listen 127.0.0.1:${port + 30} `);
    // In another folder, so that what `--dir` names goes with the test.
    const fourth = startCli(printed.split(" "), { cwd: folder });
    running.push(fourth);
    const healthy = async (): Promise<readonly [number | null, boolean]> => {
      const { code, stdout } = await runCli(["status", ...endpoints]);
      return [code, /fourth +(follower|leader) .* ok$/m.test(stdout)];
    };
    await expect.poll(healthy, { timeout: 15_000, interval: 300 }).toEqual([0, true]);
    expect(jsonLines(fourth.stderr()).find((line) => line["event"] === "ready")).toMatchObject({
      level: "info",
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      address: `127.0.0.1:${port + 30}`,
    });
  });

  test("keeps the data; the profile is found from below, and only the same shape is taken up again", async () => {
    const first = dev();
    await first.waitFor('"event":"ready"');
    const profile: unknown = JSON.parse(await readFile(path.join(folder, "cluster.json"), "utf8"));
    expect(profile).toMatchObject({ version: 1, consensus: "raft", nodes: [{ id: 1 }, { id: 2 }, { id: 3 }] });
    const { endpoints } = profile as { endpoints: readonly string[] };
    const env = { ALTHING_ENDPOINTS: endpoints.join(",") };
    expect((await runCli(["kv", "put", "kept", "yes"], { env })).code).toBe(0);
    first.child.kill("SIGTERM");
    expect((await first.done).code).toBe(0);

    const other = startCli(["dev", "--json", "--dir", folder, "--nodes", "5"], { script });
    expect(await other.done).toMatchObject({ code: 5, stderr: expect.stringContaining("holds a cluster of 3") });
    const moved = startCli(["dev", "--json", "--dir", folder, "--port", String(port + 100)], { script });
    expect(await moved.done).toMatchObject({ code: 5, stderr: expect.stringContaining("know each other by ports") });

    const second = startCli(["dev", "--json", "--dir", folder], { script });
    running.push(second);
    await second.waitFor('"event":"ready"');
    expect((await runCli(["kv", "get", "kept"], { env })).stdout).toBe("yes\n");
    second.child.kill("SIGINT");
    expect((await second.done).code).toBe(0);
  });

  test("exit 5: the folder is in use, a port is in use; each is one line with who and what next", async () => {
    const first = dev();
    await first.waitFor('"event":"ready"');
    const again = await startCli(["dev", "--dir", folder], { script }).done;
    expect(again).toMatchObject({ code: 5, stdout: "" });
    expect(again.stderr).toMatch(
      new RegExp(`^error: Cannot start a cluster in .*: process ${first.child.pid} .* Next: .*--dir\\n$`),
    );
    const elsewhere = await mkdtemp(path.join(os.tmpdir(), "althing-dev-"));
    try {
      const taken = await startCli(["dev", "--dir", elsewhere, "--port", String(port)], { script }).done;
      expect(taken).toMatchObject({ code: 5, stdout: "" });
      expect(taken.stderr).toMatch(
        new RegExp(
          `^error: Cannot listen on 127\\.0\\.0\\.1:${port}: \\S+ \\(pid \\d+\\) holds the port\\. Next: .*dev --port \\d+ --dir ${elsewhere}\\n$`,
        ),
      );
    } finally {
      await rm(elsewhere, { recursive: true });
    }
  });

  test("a node that cannot start ends the others, and the reason and the next step are said", async () => {
    if (make === "althing") {
      await mkdir(path.join(folder, "node-2"));
      const foreign = { format: 1, nodeId: 9, cluster: "elsewhere", incarnation: 1, joined: true };
      await writeFile(path.join(folder, "node-2", "identity"), JSON.stringify(foreign));
    }
    const env: Readonly<Record<string, string>> = make === "etcd" ? { PATH: "/nowhere" } : {};
    const blocked = startCli(["dev", "--dir", folder, "--port", String(port)], { script, env });
    running.push(blocked);
    const { code, stderr } = await blocked.done;
    expect(code).toBe(1);
    const expected =
      make === "althing"
        ? /error: .*belongs to node 9.* Next: /
        : /error: Cannot start node \d: .* Next: read .*node-\d\.log/;
    expect(stderr).toMatch(expected);
  });

  test("when the supervisor is killed with -9 its nodes end by themselves", async () => {
    const cluster = dev();
    await cluster.waitFor('"event":"ready"');
    const nodes = pids(cluster);
    expect(nodes.every(isAlive)).toBe(true);
    cluster.child.kill("SIGKILL");
    await cluster.done;
    await expect.poll(() => nodes.filter(isAlive), { timeout: 15_000 }).toEqual([]);
  });

  test("demo loads records, kills the leader, verifies every write on every node, and exits 0", async () => {
    const demo = startCli(["demo", "--json", "--kills", "1", "--records", "300"], { script });
    running.push(demo);
    const { code, stdout, stderr } = await demo.done;
    const result = jsonLines(stdout).at(-1);
    expect([code, result?.["event"]], stderr).toEqual([0, "result"]);
    expect(result).toMatchObject({
      records: 300,
      lost: 0,
      wrongReads: 0,
      kills: [{ clusterGapMs: expect.any(Number) }],
    });
    expect(Number(result?.["acknowledged"])).toBeGreaterThan(300);
    const nodes = result?.["nodes"] as readonly { readonly found: number }[]; // as documented
    expect(nodes.map((node) => node.found)).toEqual(Array(3).fill(result?.["acknowledged"]));
    expect(stdout).not.toContain("\u001b");
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Command lines of living processes that name the folder. */
function alive(folder: string): readonly string[] {
  const { stdout } = spawnSync("ps", ["-eo", "args"], { encoding: "utf8" });
  return stdout.split("\n").filter((line) => line.includes(folder) && !line.startsWith("ps "));
}
