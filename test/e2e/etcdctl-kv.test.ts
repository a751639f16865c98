/**
 * etcdctl's key-value commands, unmodified, on a three-node Althing: put, get, del, txn and compaction print and exit as they
 * do on a three-node etcd, on the leader and on both followers.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Etcdctl, etcdctlVersion } from "./lib/etcdctl.ts";
import type { Shell } from "./lib/etcdctl-twin.ts";
import { TwinClusters } from "./lib/etcdctl-twin.ts";

const places = [
  { place: 0, node: "the leader" },
  { place: 1, node: "a follower" },
  { place: 2, node: "the other follower" },
];

async function puts({ run, key }: Script): Promise<void> {
  await run(["put", key("a"), "1"]);
  await run(["put", key("a"), "2", "--prev-kv"]);
  await run(["put", key("a"), "3", "--prev-kv", "-w", "json"]);
  await run(["put", key("new"), "1", "--prev-kv"]);
  await run(["put", key("new"), "2", "--prev-kv", "-w", "fields"]);
  await run(["put", key("empty"), ""]);
  await run(["put", key("stdin")], { stdin: "two\nlines without an end" });
  await run(["put", key("spaces and ünïcode"), "värde ✓"]);
  await run(["put", key("dashes"), "--", "--not-a-flag"]);
  await run(["put", key("a"), "--ignore-value"]);
  await run(["put", key("a"), "4", "--ignore-lease"]);
  await run(["put", key("none"), "--ignore-value"], { code: 1 });
  await run(["put", key("none"), "x", "--ignore-lease"], { code: 1 });
  await run(["put", key("a"), "x", "--lease=7fff"], { code: 1 });
  await run(["put", key("a"), "x", "--lease=nothex"], { code: 128 });
  await run(["put", key("a"), "x", "--ignore-value"], { code: 128 });
  await run(["put"], { code: 128 });
  await run(["put", "", "x"], { code: 1 });
  await run(["put", key("large"), "-w", "json"], { stdin: "x".repeat(1_000_000) });
  await run(["put", key("larger")], { stdin: "x".repeat(1_600_000), code: 1 });
  await run(["get", key("large"), "--keys-only", "-w", "json"]);
}

async function gets({ run, key, shell }: Script): Promise<void> {
  const p = shell.prefix;
  for (const [name, value] of Object.entries({ a: "4", b: "2", c: "3", "d/1": "1", "d/2": "9", "d/3": "5" })) {
    await run(["put", key(`g/${name}`), value]);
  }
  await run(["put", key("g/b"), "8"]);
  await run(["get", key("g/a")]);
  await run(["get", key("g/none")]);
  await run(["get", key("g/a"), "-w", "json"]);
  await run(["get", key("g/a"), "-w", "fields"]);
  await run(["get", key("g/a"), "-w", "simple"]);
  await run(["get", key("g/none"), "-w", "json"]);
  await run(["get", key("g/none"), "-w", "fields"]);
  await run(["get", key("g/a"), "-w", "table"], { code: 4 });
  await run(["get", key("g/a"), "-w", "xml"], { code: 4 });
  await run(["get", key("g/a"), key("g/c")]);
  await run(["get", key("g/c"), key("g/a")]);
  await run(["get", key("g/"), "--prefix"]);
  await run(["get", key("g/"), "--prefix", "--keys-only"]);
  await run(["get", key("g/"), "--prefix", "--print-value-only"]);
  await run(["get", key("g/"), "--prefix", "--limit=2"]);
  await run(["get", key("g/"), "--prefix", "--limit=2", "-w", "json"]);
  await run(["get", key("g/"), "--prefix", "--limit=2", "-w", "fields"]);
  await run(["get", key("g/"), "--prefix", "--limit=-1"]);
  for (const target of ["CREATE", "KEY", "MODIFY", "VALUE", "VERSION"]) {
    for (const order of ["ASCEND", "DESCEND"]) {
      await run(["get", key("g/"), "--prefix", "--keys-only", `--sort-by=${target}`, `--order=${order}`, "--limit=4"]);
    }
  }
  await run(["get", key("g/"), "--prefix", "--sort-by=VALUE"]);
  await run(["get", key("g/c"), "--from-key", "--limit=3"]);
  await run(["get", "", "--from-key", "--limit=1", "-w", "json"]);
  await run(["get", "", "--prefix", "--keys-only", "-w", "json"]);
  await run(["get", key("g/"), "--prefix", "--consistency=s"]);
  await run(["get", key("g/"), "--prefix", "--consistency=l", "--hex"]);
  await run(["get", key("g/a"), "--print-value-only", "--hex"]);
  await run(["get", key("g/a"), "--rev=999999"], { code: 1 });
  await run(["get", key("g/a"), "--rev=-1"]);
  await run(["get", key("g/a"), "--rev=x"], { code: 1 });
  await run(["get", key("g/a"), "--prefix", "--from-key"], { code: 128 });
  await run(["get", key("g/a"), key("g/c"), "--prefix"], { code: 128 });
  await run(["get", key("g/a"), "--order=SIDEWAYS"], { code: 4 });
  await run(["get", key("g/a"), "--sort-by=COLOUR"], { code: 4 });
  await run(["get", key("g/a"), "--consistency=q"], { code: 4 });
  await run(["get", ""], { code: 1 });
  await run(["get"], { code: 128 });
  await run(["get", `${p}none/`, "--prefix", "-w", "json"]);
}

async function deletes({ run, key }: Script): Promise<void> {
  for (const name of ["a", "b", "c", "d", "e", "f"]) await run(["put", key(`x/${name}`), name]);
  await run(["del", key("x/a")]);
  await run(["del", key("x/a")]);
  await run(["del", key("x/b"), "--prev-kv"]);
  await run(["del", key("x/c"), "--prev-kv", "-w", "json"]);
  await run(["del", key("x/c"), "--prev-kv", "-w", "json"]);
  await run(["del", key("x/d"), key("x/e"), "-w", "fields"]);
  await run(["del", key("x/"), "--prefix", "--prev-kv"]);
  await run(["put", key("~/a"), "1"]);
  await run(["put", key("~/b"), "1"]);
  await run(["get", key("~/a"), "--from-key", "--keys-only", "--limit=2"]);
  await run(["del", key("~/a"), key("~/c"), "--prev-kv", "-w", "fields"]);
  await run(["del", "\u007f", "--from-key"]); // above every key of this script
  await run(["del", key("x/"), "--prefix", "--from-key"], { code: 128 });
  await run(["del", ""], { code: 1 });
  await run(["del"], { code: 128 });
}

async function transactions({ run, shell, key }: Script): Promise<void> {
  const t = key("t/");
  await run(["put", `${t}a`, "1"]);
  const txn = (stdin: string, more: readonly string[] = [], code = 0): Promise<unknown> =>
    run(["txn", ...more], { stdin, code });
  const then = `put ${t}b yes\nget ${t}b\nget ${t} --prefix --keys-only\ndel ${t}none\n`;
  await txn(`value("${t}a") = "1"\n\n${then}\nput ${t}b no\n\n`);
  await txn(`value("${t}a") = "2"\n\n${then}\nput ${t}b no\nget ${t}b\n\n`);
  await txn(`mod("${t}a") > "0"\ncreate("${t}a") < "999999"\nver("${t}a") = "1"\n\nget ${t}a\n\n\n`, ["-w", "json"]);
  // No comparison of a lease: etcdctl 3.4.23 panics on its own parse of one.
  await txn(`value("${t}a") != "2"\n\ndel ${t}b --prev-kv\nput ${t}c 1 --prev-kv\n\n\n`);
  await txn(`create("${t}none") = "0"\n\nput ${t}once 1\n\nget ${t}once\n\n`);
  await txn(`create("${t}once") = "0"\n\nput ${t}once 2\n\nget ${t}once\n\n`);
  await txn(`\nput ${t}q "two words"\nput ${t}r 'it is "so"'\nget ${t}q ${t}s\n\n\n`);
  await txn(`\n\n\n`);
  await txn(`\n\n\n`, ["-w", "json"]);
  await txn(`value("${t}a") = "1"\n\nget ${t}a\n\n\n`, ["-w", "fields"]);
  await txn(`\nput ${t}twice 1\nput ${t}twice 2\n\n\n`, [], 1);
  await txn(`\nput ${t}over 1\ndel ${t} --prefix\n\n\n`, [], 1);
  await txn(`\nput ${t}leased 1 --lease=7fff\n\n\n`, [], 1);
  await txn(`\n${Array.from({ length: 129 }, (_, i) => `put ${t}many${i} 1\n`).join("")}\n\n`, [], 1);
  await txn(`\n${Array.from({ length: 128 }, (_, i) => `put ${t}many${i} 1\n`).join("")}\n\n`, ["-w", "json"]);
  await txn(`colour("a") = "1"\n\n\n\n`, [], 3);
  await txn(`\nfly away\n\n\n`, [], 3);
  await run(["txn", "argument"], { code: 128 });

  const interactive = shell.start(["txn", "--interactive"]);
  for (const line of [`value("${t}a") = "1"`, "", `put ${t}i 1`, `get ${t}i`, "", `get ${t}a`, ""]) {
    interactive.write(`${line}\n`);
  }
  interactive.endInput();
  await shell.end(interactive, ["txn", "--interactive"], { interrupt: false });
}

async function compactions({ run, key }: Script): Promise<void> {
  const header = async (): Promise<number> => {
    const { stdout } = await run(["get", key("k"), "-w", "json"]);
    const revision = /"revision":(\d+)/.exec(stdout)?.[1];
    return Number(revision);
  };
  for (const value of ["1", "2", "3"]) await run(["put", key("k"), value]);
  await run(["del", key("k")]);
  await run(["put", key("k"), "5"]);
  const last = await header();
  for (let revision = last - 5; revision <= last; revision++) {
    await run(["get", key("k"), `--rev=${revision}`, "-w", "json"]);
  }
  await run(["get", key(""), "--prefix", `--rev=${last - 3}`, "--keys-only"]);
  await run(["compaction", String(last - 2)]);
  await run(["get", key("k"), `--rev=${last - 3}`], { code: 1 });
  await run(["get", key("k"), `--rev=${last - 2}`]);
  await run(["get", key("k"), `--rev=${last}`]);
  await run(["compaction", String(last - 2)], { code: 1 });
  await run(["compaction", String(last + 1)], { code: 1 });
  await run(["compaction", String(last - 1), "--physical"]);
  await run(["compaction", "0"], { code: 1 });
  await run(["compaction", "-1"], { code: 1 });
  await run(["compaction", "x"], { code: 1 });
  await run(["compaction"], { code: 128 });
  await run(["watch", key("k"), `--rev=${last - 3}`], { code: 5 });
  await run(["get", key("k"), `--rev=${last - 1}`, "--print-value-only"]);
}

interface Script {
  readonly shell: Shell;
  readonly run: Shell["run"];
  readonly key: (name: string) => string;
}

describe(`etcdctl ${etcdctlVersion()} on Althing as on etcd`, () => {
  let clusters: TwinClusters;
  beforeAll(async () => {
    clusters = await TwinClusters.start();
  });
  afterAll(async () => {
    await clusters?.close();
  });

  const scripts = { puts, gets, deletes, transactions, compactions };
  for (const [name, script] of Object.entries(scripts)) {
    describe.each(places)("$node", ({ place }) => {
      it(name, async () => {
        await clusters.compare(place, (shell) =>
          script({ shell, run: (args, options) => shell.run(args, options), key: (key) => `${shell.prefix}${key}` }),
        );
      });
    });
  }

  it("every node holds the same store at the end, as etcd's nodes do", async () => {
    for (const cluster of [clusters.etcd, clusters.althing]) {
      const hashes = await Promise.all(
        cluster.nodes.map(async ({ endpoint }) => {
          const { stdout, code } = await runHashKv(endpoint);
          expect(code).toBe(0);
          return stdout.split(", ")[1];
        }),
      );
      expect(new Set(hashes).size, cluster.name).toBe(1);
    }
  });
});

async function runHashKv(endpoint: string): Promise<{ readonly stdout: string; readonly code: number }> {
  return await new Etcdctl(endpoint).run(["endpoint", "hashkv"]);
}
