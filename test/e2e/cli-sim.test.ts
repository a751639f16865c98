/** `althing sim`: seeds pass and repeat themselves, and a run that breaks the promise is caught and can be replayed. */
import { describe, expect, test } from "vitest";
import { jsonLines, runCli } from "../../src/cli/testing/run-cli.ts";

describe("sim", () => {
  test("seeds pass, each under faults of its own, and the same seed gives the same hash again", async () => {
    const first = await runCli(["sim", "--seed", "11", "--seeds", "3", "--seconds", "10", "--json"]);
    expect(first.code, first.stderr + first.stdout.slice(0, 2_000)).toBe(0);
    const runs = jsonLines(first.stdout);
    expect(runs.map((run) => [run["seed"], run["ok"]])).toEqual([
      [11, true],
      [12, true],
      [13, true],
    ]);
    expect(new Set(runs.map((run) => run["hash"])).size).toBe(3);
    for (const run of runs) expect(Number(run["operations"])).toBeGreaterThan(20);
    const again = await runCli(["sim", "--seed", "12", "--seconds", "10", "--twice", "--json"]);
    expect(jsonLines(again.stdout)).toMatchObject([{ ok: true, hash: runs[1]?.["hash"] }]);
  });

  test("stale reads break linearizability: exit 1, the reason, the trace, and a command that shows it again", async () => {
    const failed = await runCli(["sim", "--seed", "3", "--seconds", "20", "--stale-reads"]);
    expect(failed.code).toBe(1);
    expect(failed.stdout).toMatch(
      /^✗ seed 3: failed at .* not linearizable at key [abc]: client \d .*"get".* fits nowhere/,
    );
    const replay = /^Replay: .*?(sim --seed .*)$/m.exec(failed.stdout)?.[1];
    expect(replay).toBe("sim --seed 3 --seconds 20 --stale-reads");
    const again = await runCli((replay ?? "").split(" "));
    expect(again.stdout.split("\n")[0]).toBe(failed.stdout.split("\n")[0]);
    const json = await runCli([...(replay ?? "").split(" "), "--json"]);
    expect(json.code).toBe(1);
    const [report] = jsonLines(json.stdout);
    expect(report).toMatchObject({ seed: 3, ok: false, replay: expect.stringContaining("--stale-reads") });
    const trace = report?.["trace"];
    expect(Array.isArray(trace) ? trace.length : 0).toBeGreaterThan(10);
  });
});
