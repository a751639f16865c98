/**
 * Golden scenarios: every file of `raft/` and `paxos/` is replayed and its traces compared line by line. The language is described in
 * `script.ts`; a safety observer (`safety.ts`, `paxos-safety.ts`) watches each run, so a script fails also where no trace shows it.
 *
 * `UPDATE_SCENARIOS=1 vitest run test/scenario` writes the traces as they are now; read the difference before it lands.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { recoverPaxos } from "../../src/consensus/paxos/recover.ts";
import { recoverRaft } from "../../src/consensus/raft/raft.ts";
import { paxosLens } from "./paxos-lens.ts";
import { raftLens } from "./raft-lens.ts";
import { type Engine, parseScript, replay } from "./script.ts";

const here = dirname(fileURLToPath(import.meta.url));
const engines: readonly { readonly name: string; readonly engine: Engine; readonly least: number }[] = [
  { name: "raft", engine: { factory: recoverRaft, lens: raftLens }, least: 30 },
  { name: "paxos", engine: { factory: recoverPaxos, lens: paxosLens }, least: 20 },
];

describe.each(engines)("$name scenarios", ({ name: folder, engine, least }) => {
  const files = readdirSync(join(here, folder))
    .filter((name) => name.endsWith(".txt"))
    .sort();

  test("there are some", () => {
    expect(files.length).toBeGreaterThan(least);
  });

  test.each(files)("%s", (name) => {
    const path = join(here, folder, name);
    const text = readFileSync(path, "utf8");
    const now = replay(text, engine);
    if (process.env["UPDATE_SCENARIOS"] === "1") writeFileSync(path, now);
    else expect(now).toBe(text);
    const blocks = parseScript(text);
    expect(blocks[0]?.comment.length, "a scenario begins with what it shows").toBeGreaterThan(0);
  });
});
