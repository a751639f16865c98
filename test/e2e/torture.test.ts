/**
 * Faults on real processes under load, scaled down from `torture.ts`: every kind once that this machine can make, as far as
 * the time goes. What each kind must do at its worst moment stands in the `faults-*.test.ts`.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { tortureSpec } from "./lib/althing-spec.ts";
import { etcdSpec } from "./lib/etcd-spec.ts";
import { isLong, whenLong } from "./lib/faults/needs.ts";
import { Epoch } from "./lib/load.ts";
import { allFaults, missingFor } from "./lib/torture-faults.ts";
import { summary } from "./lib/torture-report.ts";
import { torture } from "./lib/torture-run.ts";
import { until } from "./lib/until.ts";

const LIMIT_MS = isLong ? 600_000 : 45_000;

describe("Althing under faults", () => {
  it(
    "loses nothing that it acknowledged, and all histories are linearizable",
    async () => {
      const faults = allFaults.filter((fault) => {
        const missing = missingFor(fault);
        if (missing.length > 0) process.stderr.write(`NOT RUN: ${fault} needs ${missing.join(" and ")}\n`);
        return missing.length === 0;
      });
      const report = await torture({
        spec: tortureSpec(),
        seed: isLong ? Math.floor(Math.random() * 2 ** 32) : 1,
        rounds: isLong ? 4 * faults.length : faults.length,
        endMs: performance.now() + LIMIT_MS,
        faults,
      });
      process.stderr.write(summary(report));
      expect(report.rounds.length).toBeGreaterThanOrEqual(Math.min(faults.length, 3));
      for (const round of report.rounds) expect(round.done, round.fault).toBeGreaterThan(20);
      expect(report.acknowledged).toBeGreaterThan(10 * report.rounds.length);
    },
    LIMIT_MS + 75_000,
  );
});

describe("the rig", () => {
  it("does not accept a stale read", () => {
    const epoch = new Epoch(1);
    const { history } = epoch;
    history.end(history.begin(1, { type: "write", key: "r", value: "old" }), { type: "written" });
    history.end(history.begin(1, { type: "write", key: "r", value: "new" }), { type: "written" });
    expect(epoch.judge().type).toBe("ok");
    history.end(history.begin(2, { type: "read", key: "r" }), { type: "read", value: "old" });
    expect(epoch.judge().type).toBe("violation");
  });

  it("keeps data and logs of a run that failed, and says where and how to repeat it", async () => {
    const run = torture({ spec: tortureSpec(), seed: 7, rounds: 1, faults: [] });
    const failed = await run.then(() => "it held", String);
    expect(failed).toContain("Repeat: npm run torture -- --rounds 1 --seed 7");
    const folder = /^Kept: (\S+)/m.exec(failed)?.[1] ?? "";
    try {
      expect(readdirSync(folder)).toEqual(expect.arrayContaining(["failure.txt", "node-1", "node-1.log"]));
      expect(existsSync(join(folder, "node-1", "data"))).toBe(true);
      expect(readFileSync(join(folder, "failure.txt"), "utf8")).toContain("there is no fault to make");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("takes everything down when it is interrupted", async () => {
    const scratch = mkdtempSync(join(tmpdir(), "althing-interrupted-"));
    const wanted = (["cut-one-link", "fill-disk", "pause-two"] as const).filter((one) => missingFor(one).length === 0);
    const args = [fileURLToPath(new URL("torture.ts", import.meta.url)), "--seed", "1", "--faults", wanted.join(",")];
    const child = spawn(process.execPath, args, {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, TMPDIR: scratch },
    });
    try {
      let said = "";
      child.stderr.on("data", (chunk: Buffer) => {
        said += chunk.toString();
      });
      const code = new Promise<number | null>((resolve) => child.once("exit", resolve));
      await until("the first round", 60_000, () => (said.includes("round 1 ") ? true : undefined));
      expect(processesBelow(scratch)).toHaveLength(3);
      child.kill("SIGINT");
      expect(await code).toBe(130);
      expect(readdirSync(scratch).filter((name) => name.startsWith("althing"))).toEqual([]);
      await until("the end of the nodes", 5_000, () => (processesBelow(scratch).length === 0 ? true : undefined));
      expect(readFileSync("/proc/self/mounts", "utf8")).not.toContain(scratch);
      expect(spawnSync("ip", ["netns", "list"], { encoding: "utf8" }).stdout ?? "").not.toContain(
        `al${(child.pid ?? 0) % 100_000}n`,
      );
    } finally {
      child.kill("SIGKILL");
      rmSync(scratch, { recursive: true, force: true });
    }
  });

  whenLong(() => {
    it("runs its rounds on another system with the same result", async () => {
      const report = await torture({ spec: etcdSpec, seed: 1, rounds: 1, faults: ["kill-leader"] });
      expect(report.rounds).toHaveLength(1);
      expect(report.acknowledged).toBeGreaterThan(20);
    });
  });
});

/** Processes whose command line names something below `folder`. */
function processesBelow(folder: string): readonly string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(`${folder}/`);
    } catch {
      return false; // it has ended meanwhile
    }
  });
}
