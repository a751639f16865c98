/** What `docs/` says of limits, metrics, commands and invariants is what the code has. Each check is seen to fail. */
import { Command } from "commander";
import { describe, expect, it } from "vitest";
import {
  invariantsOf,
  invariantsPage,
  invariantsPagePath,
  modulesWithInvariants,
  testsOf,
  witnesses,
} from "../../scripts/lib/invariants-page.ts";
import { createProgram } from "../../src/cli/program.ts";
import { defaultLimits, defaultTimings } from "../../src/config/limits.ts";
import { counters, gauges, histograms } from "../../src/host/metrics.ts";
import { section, undocumentedCommands, undocumentedDefaults, undocumentedMetrics } from "./lib/documented.ts";
import { existsInRepository, repositoryTree } from "./lib/tree.ts";

const repository = repositoryTree();
const operate = repository.get("docs/guide/operate.md") ?? "";

describe("undocumentedDefaults()", () => {
  it("finds none among the limits", () => {
    expect(undocumentedDefaults(section(operate, "Limits"), { ...defaultLimits })).toEqual([]);
  });
  it("finds none among the timings", () => {
    expect(undocumentedDefaults(section(operate, "Timings"), { ...defaultTimings })).toEqual([]);
  });
  it("finds a name that is missing, one that is gone, and a default that has changed", () => {
    const page = "| Name | Default |\n|---|---|\n| `a`, `b` | 5, 2 MiB |\n| `c` | 0 (off) |\n| `gone` | 1 |\n";
    expect(undocumentedDefaults(page, { a: 5, b: 3 * 2 ** 20, c: 0, d: 1 })).toEqual([
      "b is 3145728, the page says 2 MiB",
      "d is not there",
      "gone does not exist",
    ]);
  });
});

describe("undocumentedMetrics()", () => {
  const catalogue = new Map<string, string>();
  for (const { name } of Object.values(counters)) catalogue.set(name, "counter");
  for (const { name } of Object.values(gauges)) catalogue.set(name, "gauge");
  for (const { name } of Object.values(histograms)) catalogue.set(name, "histogram");

  it("finds none", () => expect(undocumentedMetrics(section(operate, "Metrics"), catalogue)).toEqual([]));
  it("finds a metric that is missing, one that is gone, and one of another type", () => {
    const page = "| Metric | Type |\n|---|---|\n| `x_a_one`, `…_two` | gauge, counter |\n| `x_b_old` | gauge |\n";
    const metrics = new Map([
      ["x_a_one", "gauge"],
      ["x_a_two", "gauge"],
      ["x_b_new", "gauge"],
    ]);
    expect(undocumentedMetrics(page, metrics)).toEqual([
      "x_a_two is a gauge, the page says counter",
      "x_b_old does not exist",
      "x_b_new is not there",
    ]);
  });
});

describe("undocumentedCommands()", () => {
  it("finds none", () => {
    const page = repository.get("docs/reference/cli.md") ?? "";
    const node = section(operate, "Configuration");
    expect(undocumentedCommands(page, createProgram(), { node })).toEqual([]);
  });
  it("finds commands and flags that are missing, flags that are gone, and a default that has changed", () => {
    const program = new Command("althing");
    program.command("run").option("--fast").option("--count <n>", "how many", "3").option("--json");
    program.command("stop").option("--now");
    const group = program.command("set");
    group.command("one").option("--as <name>");
    group.command("two");
    const page = [
      "### `althing run`",
      "| `--count N` | 5 |",
      "`--slow`",
      "### `althing set`",
      "| `one NAME [--as NAME]` | |",
      "```",
      "althing set one --not-a-flag-of-ours",
      "```",
    ].join("\n");
    expect(undocumentedCommands(page, program)).toEqual([
      "run: --fast is not there",
      "run: the default of --count is 3, the page says another",
      "stop is not there",
      "set two is not there",
      "`althing run: --slow does not exist",
    ]);
  });
});

describe("docs/reference/invariants.md", () => {
  it("is what the headers make it", () => {
    expect(repository.get(invariantsPagePath), "run: node scripts/generate-invariants.ts").toBe(
      invariantsPage(repository),
    );
  });
  it("names at least one test for each invariant", () => {
    const alone: string[] = [];
    for (const [module, invariants] of modulesWithInvariants(repository)) {
      for (const { number } of invariants) {
        if (testsOf(module, number, repository).length === 0) alone.push(`${module} ${number}`);
      }
    }
    expect(alone, "name a test in scripts/lib/invariants-page.ts").toEqual([]);
  });
  it("names tests and modules that exist", () => {
    const gone = Object.entries(witnesses).flatMap(([place, tests]) => [
      ...tests.filter((test) => !existsInRepository(test)),
      ...(existsInRepository(`src/${place.split(" ")[0] ?? ""}`) ? [] : [place]),
    ]);
    expect(gone).toEqual([]);
  });
  it("reads an invariant of several lines, and none in plain comments", () => {
    const text = [
      "/**",
      " * A module.",
      " *",
      " * A1. The first, which",
      " *     goes on.",
      " * A2. The second.",
      " * Not a part of it.",
      " */",
      "// A3. no",
      "/** B1. Of a class. */",
    ].join("\n");
    expect(invariantsOf(text)).toEqual([
      { number: "A1", text: "The first, which goes on." },
      { number: "A2", text: "The second." },
    ]);
  });
});
