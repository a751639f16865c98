/**
 * The command line against a real cluster: what it prints, and every exit code that a cluster can provoke. Every test runs
 * against our own node and against etcd, because the commands are made for both, and because etcd says what is right.
 * Needs etcd and etcdctl (Debian: etcd-server, etcd-client).
 */
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startAlthing } from "../../src/cli/testing/real-althing.ts";
import { hasEtcd, type RealServer, startEtcd } from "../../src/cli/testing/real-etcd.ts";
import { type CliResult, jsonLines, type RunningCli, runCli, startCli } from "../../src/cli/testing/run-cli.ts";

if (!hasEtcd)
  console.error(
    "SKIPPED: etcd is not installed, so the command line is tried on our own node only (Debian: apt-get install etcd-server)",
  );

const makes: readonly { readonly make: string; readonly open: () => Promise<RealServer> }[] = [
  { make: "althing", open: startAlthing },
  ...(hasEtcd ? [{ make: "etcd", open: startEtcd }] : []),
];

describe.each(makes)("against $make", ({ make, open }) => {
  /** Cases that need what only etcd has, or does; they are not registered for our own cluster. */
  const onEtcd = make === "etcd" ? test : undefined;
  let server: RealServer;
  const env = (): Record<string, string> => ({ ALTHING_ENDPOINTS: server.endpoint });
  const run = (...args: readonly string[]): Promise<CliResult> => runCli(args, { env: env() });
  const start = (...args: readonly string[]): RunningCli => startCli(args, { env: env() });
  const json = async (...args: readonly string[]): Promise<Readonly<Record<string, unknown>>> => {
    const result = await run(...args, "--json");
    const [line] = jsonLines(result.stdout);
    if (line === undefined) throw new Error(`no JSON from ${args.join(" ")}: ${result.stderr}`);
    return line;
  };

  beforeAll(async () => {
    server = await open();
  });
  afterAll(async () => {
    await server?.close();
  });

  test("put, get and del: values as they are, a table for a range, counts", async () => {
    expect(await run("kv", "put", "one/a", "first")).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^revision \d+\n$/),
    });
    await run("kv", "put", "one/b", "second");
    expect(await run("kv", "get", "one/a")).toEqual({ code: 0, stdout: "first\n", stderr: "" });
    const table = await run("kv", "get", "one/", "--prefix");
    expect(table.stdout.split("\n").map((line) => line.split(/ +/).slice(0, 3).join("|").replace(/\d+$/, "N"))).toEqual(
      ["KEY|VALUE|REVISION", "one/a|first|N", "one/b|second|N", ""],
    );
    expect((await run("kv", "get", "one/", "--prefix", "--keys-only", "--descend")).stdout).toBe("one/b\none/a\n");
    expect((await run("kv", "get", "one/a", "one/b", "--count-only")).stdout).toBe("1\n");
    expect(await json("kv", "get", "one/", "--prefix", "--limit", "1")).toMatchObject({
      count: 2,
      more: true,
      kvs: [{ key: "one/a", value: "first", version: 1 }],
    });
    expect(await json("kv", "put", "one/a", "third", "--prev")).toMatchObject({ previous: { value: "first" } });
    expect((await run("kv", "del", "one/", "--prefix")).stdout).toBe("2 deleted\n");
    expect((await run("kv", "del", "one/", "--prefix")).stdout).toBe("0 deleted\n");
  });

  test("a value comes from stdin byte by byte and goes to a pipe the same way", async () => {
    const put = await runCli(["kv", "put", "stdin"], { env: env(), input: "line one\nline two" });
    expect(put.code).toBe(0);
    expect((await run("kv", "get", "stdin")).stdout).toBe("line one\nline two\n");
  });

  test("exit 4: a key that does not exist", async () => {
    expect(await run("kv", "get", "nowhere")).toEqual({
      code: 4,
      stdout: "",
      stderr: "error: Cannot find the key nowhere\n",
    });
    const failed = await run("kv", "get", "nowhere", "--json");
    expect(jsonLines(failed.stderr)).toEqual([
      { error: { message: "Cannot find the key nowhere", code: "NOT_FOUND", exit: 4 } },
    ]);
  });

  test("exit 5: a conditional put that comes too late", async () => {
    const { revision } = await json("kv", "put", "guarded", "1", "--create");
    expect((await run("kv", "put", "guarded", "2", "--create")).code).toBe(5);
    expect((await run("kv", "put", "guarded", "2", "--if-rev", String(revision))).code).toBe(0);
    expect((await run("kv", "put", "guarded", "3", "--if-rev", String(revision))).code).toBe(5);
    expect((await run("kv", "get", "guarded")).stdout).toBe("2\n");
  });

  test("txn takes one of two ways", async () => {
    await run("kv", "put", "txn/a", "1");
    const good = await runCli(["kv", "txn"], {
      env: env(),
      input: 'value("txn/a") = "1"\n\nput txn/b yes\nget txn/a\n\nput txn/b no\n',
    });
    expect(good.stdout.split("\n")[0]).toBe("success");
    const bad = await runCli(["kv", "txn", "--json"], {
      env: env(),
      input: 'value("txn/a") = "2"\n\nput txn/b no\n\nget txn/b\n',
    });
    expect(jsonLines(bad.stdout)).toMatchObject([
      { succeeded: false, responses: [{ type: "get", kvs: [{ value: "yes" }] }] },
    ]);
  });

  test("watch prints each change once, from a revision, and with the value before", async () => {
    const { revision } = await json("kv", "put", "watched/a", "1");
    const watching = start(
      "kv",
      "watch",
      "watched/",
      "--prefix",
      "--rev",
      String(revision),
      "--prev",
      "--count",
      "3",
      "--json",
    );
    await watching.waitFor('"value":"1"');
    await run("kv", "put", "watched/a", "2");
    await run("kv", "del", "watched/a");
    const { code, stdout } = await watching.done;
    expect(code).toBe(0);
    expect(jsonLines(stdout)).toMatchObject([
      { type: "put", key: "watched/a", value: "1" },
      { type: "put", value: "2", previous: { value: "1" } },
      { type: "delete", key: "watched/a", previous: { value: "2" } },
    ]);
  });

  test("exit 130: Ctrl-C ends a watch", async () => {
    const watching = start("kv", "watch", "quiet");
    await expect.poll(() => watching.stderr(), { timeout: 5_000 }).toContain("Watching");
    watching.child.kill("SIGINT");
    expect((await watching.done).code).toBe(130);
  });

  test("exit 5: history that was compacted", async () => {
    const { revision } = await json("kv", "put", "compacted", "1");
    const compacted = Number((await json("kv", "put", "compacted", "2"))["revision"]);
    expect((await run("kv", "compact", String(compacted))).code).toBe(0);
    expect((await run("kv", "get", "compacted", "--rev", String(revision))).code).toBe(5);
    const watching = await run("kv", "watch", "compacted", "--rev", String(revision));
    expect(watching.code).toBe(5);
    expect(watching.stderr).toContain(`--rev ${compacted}`);
  });

  test("leases are granted, kept, shown, listed and revoked with their keys", async () => {
    const id = (await run("kv", "lease", "grant", "60")).stdout.trim();
    expect(id).toMatch(/^[0-9a-f]+$/);
    await run("kv", "put", "leased", "x", "--lease", id);
    expect(await json("kv", "lease", "keep-alive", id, "--once")).toEqual({ id, ttl: 60 });
    expect(await json("kv", "lease", "ttl", id, "--keys")).toMatchObject({ grantedTtl: 60, keys: ["leased"] });
    expect((await run("kv", "lease", "list")).stdout.split("\n")).toContain(id);
    expect((await run("kv", "lease", "revoke", id)).code).toBe(0);
    for (const args of [
      ["kv", "get", "leased"],
      ["kv", "lease", "ttl", id],
      ["kv", "lease", "revoke", id],
      ["kv", "lease", "keep-alive", id, "--once"],
    ]) {
      expect([args, (await run(...args)).code]).toEqual([args, 4]);
    }
  });

  test("a lock is held while a command runs, passed on, and the command's exit code is ours", async () => {
    const first = start("kv", "lock", "door", "--json");
    await first.waitFor('"locked"');
    const second = start("kv", "lock", "door", "--", "sh", "-c", 'echo "in $ALTHING_LOCK_NAME"; exit 9');
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(second.stdout()).toBe("");
    first.child.kill("SIGINT");
    expect((await first.done).code).toBe(130);
    const { code, stdout } = await second.done;
    expect([code, stdout.includes("in door")]).toEqual([9, true]);
    expect((await run("kv", "get", "door", "--prefix", "--count-only")).stdout).toBe("0\n");
  });

  test("an election has one winner at a time, and listeners hear of each", async () => {
    const listening = start("kv", "elect", "king", "--listen", "--count", "2");
    const first = start("kv", "elect", "king", "arthur", "--json");
    await first.waitFor('"elected"');
    await listening.waitFor("arthur");
    const second = start("kv", "elect", "king", "mordred", "--json");
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(second.stdout()).toBe("");
    first.child.kill("SIGINT");
    await second.waitFor('"elected"');
    expect((await listening.done).stdout).toBe("arthur\nmordred\n");
    second.child.kill("SIGINT");
    expect((await second.done).code).toBe(130);
  });

  test("members and status are tables; status says that all is well", async () => {
    const members = await json("member", "list");
    expect(members["members"]).toMatchObject([{ name: "real", learner: false, clientUrls: [server.endpoint] }]);
    const status = await run("status");
    expect(status.code).toBe(0);
    expect(status.stdout).toMatch(/real +leader +127\.0\.0\.1:\d+ +3\.\d+\.\d+/);
    expect(await json("status")).toMatchObject({
      healthy: true,
      problems: [],
      members: [{ role: "leader", health: "ok", lag: 0 }],
    });
  });

  test("exit 3: status and writes after a member was added that does not run; it names what to do", async () => {
    const added = await run("member", "add", "second", "--peer", "127.0.0.1:1", "--learner");
    expect(added.code).toBe(0);
    const id = added.stdout.trim();
    const status = await run("status");
    expect(status.code).toBe(3);
    expect(status.stderr).toContain(`member remove ${id}`);
    expect((await run("member", "promote", id)).code).toBe(5);
    expect((await run("member", "update", id, "--peer", "127.0.0.1:2")).code).toBe(0);
    expect((await run("member", "remove", id)).code).toBe(0);
    expect((await run("member", "remove", id)).code).toBe(4);
    expect((await run("status")).code).toBe(0);
  });

  onEtcd?.("exit 6: a cluster that demands a user", async () => {
    const guarded = await startEtcd();
    try {
      for (const args of ["user add root:secret", "user grant-role root root", "auth enable"]) {
        const done = spawnSync("etcdctl", ["--endpoints", guarded.endpoint, ...args.split(" ")]);
        expect([args, done.status]).toEqual([args, 0]);
      }
      const refused = await runCli(["kv", "get", "x"], { env: { ALTHING_ENDPOINTS: guarded.endpoint } });
      expect([refused.code, refused.stdout]).toEqual([6, ""]);
      expect(refused.stderr).toContain("it demands a user");
    } finally {
      await guarded.close();
    }
  });

  test("exit 7: an endpoint that is paused, and one where nobody listens", async () => {
    server.signal("SIGSTOP");
    try {
      const paused = await run("kv", "put", "x", "y", "--timeout", "400ms");
      expect(paused.code).toBe(7); // its kernel accepts the connection, but nothing was sent on it
    } finally {
      server.signal("SIGCONT");
    }
    const nobody = await run("kv", "get", "x", "--endpoints", "127.0.0.1:1");
    expect(nobody).toMatchObject({ code: 7, stdout: "" });
    expect(nobody.stderr).toMatch(/^error: Cannot reach http:\/\/127\.0\.0\.1:1: connection refused\. Next: .*\n$/);
  });

  // Our own cluster takes a new member as a learner first, so that adding one that is absent loses no majority.
  onEtcd?.(
    "exit 8: a cluster that lost its majority does not answer in time, and status says so with exit 3",
    async () => {
      const lonely = await open();
      try {
        const there = { env: { ALTHING_ENDPOINTS: lonely.endpoint } };
        expect((await runCli(["member", "add", "absent", "--peer", "127.0.0.1:1"], there)).code).toBe(0);
        const put = await runCli(["kv", "put", "x", "y", "--timeout", "700ms"], there);
        expect(put.code).toBe(8);
        expect(put.stderr).toContain("a write may still happen");
        const status = await runCli(["status"], there);
        expect(status.code).toBe(3);
        expect(status.stderr).toContain("1 of 2 voters answer, 2 are needed");
      } finally {
        await lonely.close();
      }
    },
  );

  test("a dead endpoint before a living one is passed over", async () => {
    const result = await run("kv", "put", "over", "1", "--endpoints", `127.0.0.1:1,${server.endpoint}`);
    expect([result.code, result.stderr]).toEqual([0, ""]);
  });

  test("no escape codes in a pipe, colours when they are asked for", async () => {
    const plain = await run("status");
    expect(plain.stdout + plain.stderr).not.toContain("\u001b");
    const colourful = await runCli(["status"], { env: { ...env(), FORCE_COLOR: "1" } });
    expect(colourful.stdout).toContain("\u001b[");
    const refused = await runCli(["status"], { env: { ...env(), NO_COLOR: "1" } });
    expect(refused.stdout).not.toContain("\u001b");
  });

  test("a reader that has seen enough ends the command quietly", async () => {
    for (let i = 0; i < 3; i++) await run("kv", "put", `many/${i}`, "x".repeat(100_000));
    const reading = start("kv", "get", "many/", "--prefix", "--json");
    reading.child.stdout?.destroy();
    const { code, stderr } = await reading.done;
    expect([code, stderr]).toEqual([0, ""]);
  });

  test("the version in --version is the package's", async () => {
    const manifest: unknown = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8"));
    expect(await run("--version")).toMatchObject({ code: 0, stdout: `${(manifest as { version: string }).version}\n` });
  });
});
