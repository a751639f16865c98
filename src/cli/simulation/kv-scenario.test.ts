/**
 * The standard simulated run, and what `althing sim` does with it beyond passing (that stands in test/e2e/cli-sim.test.ts):
 * kills at every write, shrinking, replay by positions, the files it writes.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { consensusEngines } from "../../config/node-config.ts";
import { killAtEveryWrite } from "../../sim/kill-points.ts";
import { runScenario } from "../../sim/scenario-run.ts";
import { type SimOptions, sim } from "../commands/sim.ts";
import type { CommandContext } from "../context.ts";
import { Output } from "../output.ts";
import { kvRun, nodeHost } from "./kv-scenario.ts";

const folder = mkdtempSync(join(tmpdir(), "sim-command-"));
afterAll(() => rmSync(folder, { recursive: true }));

const options: SimOptions = { seed: 3, seeds: 1, nodes: 3, seconds: 5, json: true };

async function run(more: Partial<SimOptions>): Promise<{ readonly exit: string; readonly reports: readonly Report[] }> {
  let text = "";
  const sink = { write: (data: string | Uint8Array) => (text += String(data)) };
  const context: CommandContext = {
    output: new Output({ json: true, quiet: true, env: {}, stdout: sink, stderr: sink }),
    env: {},
    signal: new AbortController().signal,
    client: () => Promise.reject(new Error("no cluster")),
  };
  const exit = await sim(context, { ...options, ...more });
  const reports = text.trimEnd().split("\n");
  return { exit, reports: reports.map((line) => JSON.parse(line) as Report) }; // the command's own lines
}

interface Report {
  readonly ok: boolean;
  readonly hash?: string;
  readonly message?: string;
  readonly replay?: string;
  readonly faults?: unknown;
}

describe.each(consensusEngines)("kvRun() on %s", (consensus) => {
  it("survives the loss of the log's folder alone, and of the state's", async () => {
    for (const lost of ["wal", "meta"]) {
      const faults = [{ type: "lost-folder", atMs: 1_500, node: 2, folder: lost, downMs: 300 }] as const;
      const plan = () => ({
        ...kvRun({ seed: 5, nodes: 3, durationMs: 3_000, staleReads: false, consensus }).scenario,
        faults,
      });
      const { trace } = await runScenario(nodeHost, plan, { seed: 5, shrink: false });
      expect(trace.counts.get("fault-lost-folder"), lost).toBe(1);
    }
  });

  it("survives a kill at a sample of all changes of a node's disk, from the very first on", async () => {
    const plan = () => kvRun({ seed: 1, nodes: 3, durationMs: 1_000, staleReads: false, consensus }).scenario;
    let kills = 0;
    const { runs, writes } = await killAtEveryWrite(nodeHost, plan, {
      seed: 1,
      step: 19,
      passed: (_, { trace }) => {
        kills += trace.counts.get("killed") ?? 0;
      },
    });
    expect(writes).toBeGreaterThan(50);
    expect(kills).toBe(runs);
  });
});

describe("althing sim", () => {
  it.each(consensusEngines)("passes on %s, a seed repeats itself, and the engines' runs differ", async (consensus) => {
    const first = await run({ seed: 11, seconds: 8, consensus, twice: true });
    expect(first.exit).toBe("success");
    const [other] = consensusEngines.filter((engine) => engine !== consensus);
    const second = await run({ seed: 11, seconds: 8, ...(other === undefined ? {} : { consensus: other }) });
    expect(second.reports[0]?.hash).not.toBe(first.reports[0]?.hash);
  });

  it("names the engine in the replay", async () => {
    const { reports } = await run({ staleReads: true, seconds: 10, consensus: "paxos" });
    expect(reports[0]?.message).toMatch(/not linearizable/);
    expect(reports[0]?.replay).toMatch(/ --consensus paxos --stale-reads$/);
  });

  it("shrinks a failure when asked to, and its replay fails again in the same way", async () => {
    const first = await run({ staleReads: true, shrink: true, seconds: 10 });
    expect(first.exit).toBe("failure");
    const [report] = first.reports;
    expect(report?.message).toMatch(/not linearizable/);
    const faults = /--faults (\S+)$/.exec(report?.replay ?? "")?.[1];
    expect(faults).toBeDefined();
    const again = await run({ staleReads: true, seconds: 10, faults: faults ?? "" });
    expect(again.reports[0]?.message).toBe(report?.message);
    expect(again.reports[0]?.faults).toEqual(report?.faults);
  });

  it("writes the trace and the diagram, and the run stays the same", async () => {
    const files = { trace: join(folder, "run.jsonl"), diagram: join(folder, "run.mmd") };
    const plain = await run({});
    const traced = await run(files);
    expect(plain.exit).toBe("success");
    expect(traced.reports[0]?.hash).toBe(plain.reports[0]?.hash);
    const lines = readFileSync(files.trace, "utf8").trimEnd().split("\n");
    const types = new Set(lines.map((line) => (JSON.parse(line) as { readonly type: string }).type)); // our own lines
    for (const type of ["message", "call", "answer", "booted", "role"]) expect([...types]).toContain(type);
    expect(readFileSync(files.diagram, "utf8")).toMatch(/^sequenceDiagram\n {2}participant c1\n/);
    await run({ diagram: join(folder, "run.txt") });
    expect(readFileSync(join(folder, "run.txt"), "utf8")).toMatch(/ms {2}.*append/);
  });

  it("refuses positions that are none, positions for several seeds, and a place where it cannot write", async () => {
    await expect(run({ faults: "x" })).rejects.toThrow(/--faults is "none" or positions/);
    await expect(run({ faults: "1", seeds: 2 })).rejects.toThrow(/Cannot choose faults of several seeds/);
    await expect(run({ seconds: 1, trace: join(folder, "no", "where") })).rejects.toThrow(/Cannot write .*where/);
    expect(existsSync(join(folder, "no"))).toBe(false);
  });
});
