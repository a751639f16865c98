/**
 * Golden scenarios: every file of `raft/` is replayed and its traces compared line by line. The language is described in
 * `script.ts`; the safety observer (`safety.ts`) watches each run, so a script fails also where no trace shows it.
 *
 * `UPDATE_SCENARIOS=1 vitest run test/scenario` writes the traces as they are now; read the difference before it lands.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { recoverRaft } from "../../src/consensus/raft/raft.ts";
import { raftLens } from "./raft-lens.ts";
import { parseScript, replay } from "./script.ts";

const folder = join(dirname(fileURLToPath(import.meta.url)), "raft");
const files = readdirSync(folder)
  .filter((name) => name.endsWith(".txt"))
  .sort();

describe("raft scenarios", () => {
  test("there are some", () => {
    expect(files.length).toBeGreaterThan(30);
  });

  test.each(files)("%s", (name) => {
    const path = join(folder, name);
    const text = readFileSync(path, "utf8");
    const now = replay(text, { factory: recoverRaft, lens: raftLens });
    if (process.env["UPDATE_SCENARIOS"] === "1") writeFileSync(path, now);
    else expect(now).toBe(text);
    const blocks = parseScript(text);
    expect(blocks[0]?.comment.length, "a scenario begins with what it shows").toBeGreaterThan(0);
  });
});
