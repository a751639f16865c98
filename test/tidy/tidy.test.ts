/**
 * The repository's own order, checked. Each check runs over the repository, and over a small planted tree in which it must
 * find the fault: a check that cannot fail proves nothing. Formatting, types and lint are checked by their own tools.
 */
import { describe, expect, it } from "vitest";
import { errorsPage, errorsPagePath } from "../../scripts/lib/errors-page.ts";
import { errors } from "../../src/base/errors.ts";
import { missingHeaders, missingSources, unknownInvariants } from "./lib/headers.ts";
import { brokenLinks } from "./lib/links.ts";
import { deadModules } from "./lib/reach.ts";
import { existsInRepository, repositoryTree, type Tree } from "./lib/tree.ts";
import { bannedWords } from "./lib/words.ts";

const repository = repositoryTree();
const tree = (files: Readonly<Record<string, string>>): Tree => new Map(Object.entries(files));
const nowhere = (): boolean => false;

describe("missingHeaders()", () => {
  it("finds none in the repository", () => expect(missingHeaders(repository)).toEqual([]));
  it("finds a module that does not say what it is", () => {
    const planted = tree({
      "src/base/a.ts": "export const a = 1;\n",
      "src/base/b.ts": 'import { a } from "./a.ts";\n\n/** Twice a. */\nexport const b = 2 * a;\n',
      "src/base/c.ts": '#!/usr/bin/env node\n/** Starts. */\nimport { a } from "./a.ts";\nexport const c = a;\n',
    });
    expect(missingHeaders(planted)).toEqual([expect.stringMatching(/^src\/base\/a\.ts/)]);
  });
});

describe("missingSources()", () => {
  it("finds none in the repository", () => expect(missingSources(repository)).toEqual([]));
  it("finds a protocol module without a source", () => {
    const planted = tree({
      "src/consensus/raft/log.ts": "/** The log. */\nexport const log = [];\n",
      "src/consensus/raft/vote.ts":
        "/** Votes. Source: Ongaro & Ousterhout 2014, section 5.2. */\nexport const vote = 1;\n",
      "src/host/timer.ts": "/** Timers. */\nexport const timer = 1;\n",
    });
    expect(missingSources(planted)).toEqual([expect.stringMatching(/^src\/consensus\/raft\/log\.ts/)]);
  });
});

describe("unknownInvariants()", () => {
  it("finds none in the repository", () => expect(unknownInvariants(repository)).toEqual([]));
  it("finds an assert that cites what no header states", () => {
    const planted = tree({
      "src/txn/a.ts":
        '/**\n * T1. A vote is final.\n */\nassert(ok, "T1: a vote is final");\nassert(ok, "T9: unheard of");\n',
    });
    expect(unknownInvariants(planted)).toEqual([expect.stringContaining("T9")]);
  });
});

describe("bannedWords()", () => {
  it("finds none in the repository", () => expect(bannedWords(repository)).toEqual([]));
  it.each([
    ["an unfinished place", "src/a.ts", `// ${"FIX"}ME later`],
    ["a test that is switched off or alone", "src/a.test.ts", `${"it"}.${"only"}("x", () => {});`],
    ["a test that is switched off or alone", "src/a.test.ts", `${"describe"}.${"skip"}("x", () => {});`],
    ["a test that is switched off or alone", "src/a.test.ts", `${"it"}.concurrent.${"skip"}("x", () => {});`],
    ["a lint rule switched off without a reason (-- why)", "src/a.ts", `// oxlint-${"disable"}-next-line no-cycle`],
    ["a path of one machine", "docs/a.md", `see /${"work"}/main/x`],
    ["a path of one machine", "bench/results/a.json", `{"dir":"/${"root"}/x"}`],
    ["the host of a package registry", "package-lock.json", `"resolved": "https://registry.${"npmjs"}.org/x"`],
  ])("finds %s in %s: %s", (what, path, line) => {
    expect(bannedWords(tree({ [path]: `first\n${line}\n` }))).toEqual([`${path}:2: ${what}`]);
  });
  it("lets an ordinary line pass", () => {
    expect(
      bannedWords(
        tree({
          "src/a.ts": `import { a } from "./network/rooted/a.ts"; // oxlint-${"disable"}-line no-cycle -- rooted, skipped, only\n`,
        }),
      ),
    ).toEqual([]);
  });
});

describe("brokenLinks()", () => {
  it("finds none in the repository", () => expect(brokenLinks(repository, existsInRepository)).toEqual([]));
  it("finds links to a missing file, to a missing heading, and out of the repository", () => {
    const planted = tree({
      "README.md":
        "# Top\n\n[a](docs/A.md) [b](docs/A.md#the-part) [c](gone.md) [d](docs/A.md#no) [e](#top) `[f](code.md)` [g](https://e.org/x)\n",
      "docs/A.md": "# A\n\n## The part!\n\n[up](../README.md) [out](../../x.md)\n\n```\n[code](never.md)\n```\n",
    });
    expect(brokenLinks(planted, nowhere)).toEqual([
      "README.md: link gone.md leads nowhere",
      "README.md: link docs/A.md#no has no such heading",
      "docs/A.md: link ../../x.md leaves the repository",
    ]);
  });
});

describe("deadModules()", () => {
  it("finds none in the repository", () => expect(deadModules(repository)).toEqual([]));
  it("finds a module that only its test imports, and a helper that nothing imports", () => {
    const planted = tree({
      "package.json": '{"scripts":{"check":"node scripts/check.ts"}}',
      "src/althing.ts": 'export { a } from "./base/a.ts";\n',
      "src/cli/main.ts":
        'const lazy = await import("./late.ts");\nnew Worker(new URL("./worker.ts", import.meta.url));\n',
      "src/cli/late.ts": "",
      "src/cli/worker.ts": "",
      "src/base/a.ts": "",
      "src/base/dead.ts": "",
      "src/base/dead.test.ts": 'import { dead } from "./dead.ts";\n',
      "src/base/testing/used.ts": "",
      "src/base/used.test.ts": 'import { used } from "./testing/used.ts";\n',
      "scripts/check.ts": 'import { x } from "./lib/x.ts";\n',
      "scripts/lib/x.ts": "",
      "scripts/lib/lost.ts": "",
    });
    expect(deadModules(planted)).toEqual([
      "src/base/dead.ts: nothing reaches it from the published entries or the command line",
      "scripts/lib/lost.ts: nothing reaches it",
    ]);
  });
});

describe("docs/reference/errors.md", () => {
  it("is what the table of errors makes it", () => {
    expect(repository.get(errorsPagePath), "run: node scripts/generate-errors.ts").toBe(errorsPage());
  });
  it("has each code once", () => {
    const page = repository.get(errorsPagePath) ?? "";
    for (const code of Object.keys(errors)) expect(page.split(`| \`${code}\` |`)).toHaveLength(2);
  });
});
