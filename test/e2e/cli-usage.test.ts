/** What needs no cluster: help, wrong usage, the doctor. Each wrong use is one line with cause and next step, exit code 2. */
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import os from "node:os";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { CLI, jsonLines, runCli } from "../../src/cli/testing/run-cli.ts";

describe("--help", () => {
  test("lists the commands and the exit codes on stdout", async () => {
    const { code, stdout, stderr } = await runCli(["--help"]);
    expect([code, stderr]).toEqual([0, ""]);
    for (const word of ["dev", "node", "status", "doctor", "member", "backup", "restore", "kv", "demo", "sim"])
      expect(stdout).toMatch(new RegExp(`^  ${word}\\b`, "m"));
    for (const exit of [0, 1, 2, 3, 4, 5, 6, 7, 8, 130]) expect(stdout).toMatch(new RegExp(`^ +${exit}  \\w`, "m"));
  });

  // What it costs is measured in milliseconds on a quiet machine; what it loads can be tested on any.
  test("loads commander and a handful of small files, neither a storage engine nor a protocol nor any command", () => {
    const probe = `
      import { registerHooks } from "node:module";
      registerHooks({ load: (url, context, next) => { if (!url.startsWith("node:")) console.error(url); return next(url, context); } });
      process.argv = [process.argv[0], ${JSON.stringify(CLI)}, "--help"];
      await import(${JSON.stringify(CLI)});
    `;
    const { stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", probe], { encoding: "utf8" });
    const loaded = stderr.split("\n").filter((line) => line.startsWith("file:"));
    expect(loaded.length).toBeGreaterThan(3);
    expect(loaded.length).toBeLessThan(25);
    expect(
      loaded.filter((url) => /lmdb|pino|prom-client|valibot|grpc|\/commands\/|coordination|\/node\/|\/sim\//.test(url)),
    ).toEqual([]);
  });

  test.each([["kv"], ["member"], ["kv", "lease"]])(
    "%s %s without a command prints its help on stderr, exit 2",
    async (...args) => {
      const { code, stdout, stderr } = await runCli(args.filter((word) => word !== undefined));
      expect([code, stdout]).toEqual([2, ""]);
      expect(stderr).toContain("Usage: althing");
    },
  );
});

describe("help", () => {
  test.each([[[]], [["kv"]], [["kv", "get"]], [["member", "add"]]])("help %j is its --help", async (words) => {
    const asked = await runCli(["help", ...words]);
    expect(asked.code).toBe(0);
    expect(asked).toEqual(await runCli([...words, "--help"]));
  });

  test.each([
    [["kv", "help"], ["kv"]],
    [
      ["kv", "help", "get"],
      ["kv", "get"],
    ],
    [
      ["kv", "lease", "help"],
      ["kv", "lease"],
    ],
  ])("%j is the help of %j", async (words, meant) => {
    expect(await runCli(words)).toEqual(await runCli([...meant, "--help"]));
  });

  test("is an ordinary word where no command can stand", async () => {
    const { code, stderr } = await runCli(["kv", "get", "help", "--endpoints", "127.0.0.1:1"]);
    expect([code, stderr]).toEqual([7, expect.stringContaining("connection refused")]);
  });
});

describe("wrong usage", () => {
  test.each<[name: string, args: readonly string[], message: RegExp, input?: string]>([
    [
      "an unknown flag",
      ["dev", "--nods", "3"],
      /unknown option '--nods' \(Did you mean --nodes\?\)\. Next: npm run -s althing -- dev --help$/,
    ],
    [
      "an unknown command",
      ["stauts"],
      /unknown command 'stauts' \(Did you mean status\?\)\. Next: npm run -s althing -- --help$/,
    ],
    [
      "an unknown command of a group",
      ["kv", "gett", "a"],
      /unknown command 'gett' \(Did you mean get\?\)\. Next: npm run -s althing -- kv --help$/,
    ],
    ["a missing argument", ["kv", "get"], /missing required argument 'key'/],
    ["one argument too many", ["kv", "get", "a", "b", "c"], /too many arguments/],
    ["a number out of range", ["dev", "--nodes", "99"], /--nodes <count>.* whole number from 1 to 9/],
    ["an unknown engine", ["dev", "--consensus", "zab"], /--consensus <engine>.*zab.*Allowed choices are raft/],
    [
      "a number below its range",
      ["kv", "lease", "grant", "0"],
      /whole number from 1\. Next: npm run -s althing -- kv lease grant/,
    ],
    ["help for what is no command", ["help", "stauts"], /unknown command 'stauts' \(Did you mean status\?\)/],
    ["a bad duration", ["status", "--timeout", "soon"], /duration like 500ms/],
    ["a bad endpoint", ["status", "--endpoints", "ftp://a"], /Cannot use the endpoint ftp:\/\/a of --endpoints/],
    ["an end and a prefix at once", ["kv", "get", "a", "b", "--prefix"], /exclude each other/],
    ["an empty key", ["kv", "get", ""], /empty key/],
    ["an office without a value", ["kv", "elect", "e"], /without a value to proclaim/],
    ["a bad lease id", ["kv", "lease", "ttl", "xyz"], /hexadecimal/],
    ["a bad peer address", ["member", "add", "n", "--peer", "nowhere"], /it is not host:port/],
    ["a broken transaction", ["kv", "txn"], /Cannot read the transaction/, "nonsense"],
    ["a missing configuration file", ["node", "--config", "/nowhere/a.json"], /the file does not exist/],
    ["a node address that is none", ["node", "--listen", "7400"], /listen: must be host:port/],
    ["first members that are none", ["node", "--initial-cluster", "a,b"], /"a" is not ID=HOST:PEERPORT/],
  ])("%s", async (_, args, message, input = "") => {
    const { code, stdout, stderr } = await runCli(args, { input });
    expect(stderr.trimEnd()).toMatch(message);
    expect([code, stdout, stderr.split("\n").length]).toEqual([2, "", 2]);
  });

  test("an unknown key of a configuration file is named with the nearest known one", async () => {
    const folder = await mkdtemp(path.join(os.tmpdir(), "althing-usage-"));
    try {
      const file = path.join(folder, "node.json");
      await writeFile(file, JSON.stringify({ id: 1, limits: { sesionsMax: 1 } }));
      const { code, stderr } = await runCli(["node", "--config", file]);
      expect([code, stderr]).toEqual([
        2,
        `error: Cannot use the configuration: ${file}: unknown key limits.sesionsMax (did you mean sessionsMax?)\n`,
      ]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("with --json the error is one JSON object, wherever the flag stands", async () => {
    for (const args of [
      ["--json", "kv", "gett"],
      ["kv", "gett", "--json"],
    ]) {
      const { code, stdout, stderr } = await runCli(args);
      expect([code, stdout]).toEqual([2, ""]);
      expect(jsonLines(stderr)).toMatchObject([
        { error: { code: "USAGE", next: "npm run -s althing -- kv --help", exit: 2 } },
      ]);
    }
  });
});

describe("doctor", () => {
  test("finds a healthy machine healthy, and a held port worth a warning that names the holder", async () => {
    const folder = await mkdtemp(path.join(os.tmpdir(), "althing-doctor-test-"));
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    try {
      const { code, stdout } = await runCli(["doctor", "--dir", folder, "--port", String(port), "--json"]);
      const [report] = jsonLines(stdout);
      const checks = report?.["checks"] as readonly {
        readonly name: string;
        readonly result: string;
        readonly text: string;
      }[]; // as documented
      expect(checks.map((check) => check.name)).toEqual([
        "node",
        "engine",
        "data folder",
        "disk space",
        "disk sync",
        "port",
        "open files",
        "memory",
        "clock",
      ]);
      const held = checks.find((check) => check.name === "port");
      expect(held).toMatchObject({ result: "warn", text: expect.stringContaining(`(pid ${process.pid})`) });
      expect([code, report?.["healthy"]]).toEqual([0, checks.every((check) => check.result !== "fail")]);
    } finally {
      server.close();
      await rm(folder, { recursive: true });
    }
  });

  test("exit 3: a data folder that cannot be one", async () => {
    const folder = await mkdtemp(path.join(os.tmpdir(), "althing-doctor-test-"));
    try {
      await writeFile(path.join(folder, "cluster.json"), "not json");
      const { code, stdout } = await runCli(["doctor", "--dir", folder]);
      expect(code).toBe(3);
      expect(stdout).toMatch(/^FAIL {2}data folder.*it is not JSON.*Next: /m);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
