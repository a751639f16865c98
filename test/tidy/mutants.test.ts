/**
 * The mutants do not rot: what each replaces is still there, once; what it makes can still be read; the invariant that it
 * breaks is still stated. That they are found is `npm run mutants`' business.
 */
import { stripTypeScriptTypes } from "node:module";
import { describe, expect, it } from "vitest";
import { mutants } from "../mutants/catalogue.ts";
import { edited, invariantFolders, type Mutant, mutatedFiles } from "../mutants/mutant.ts";

import { type Problems, repositoryTree, type Tree } from "./lib/tree.ts";

const repository = repositoryTree();

/** Mutants that cannot be made any more, one line each. */
function rotten(tree: Tree, of: readonly Mutant[]): Problems {
  return of.flatMap((mutant) => {
    try {
      const files = mutatedFiles(mutant, (file) => tree.get(file) ?? "");
      for (const text of files.values()) stripTypeScriptTypes(text);
      return [];
    } catch (error) {
      return [`${mutant.name}: ${error instanceof Error ? error.message : String(error)}`];
    }
  });
}

/** Mutants whose invariant no header of its folder states. */
function unstated(tree: Tree, of: readonly Mutant[]): Problems {
  return of.flatMap(({ name, invariant }) => {
    const [word = "", number = ""] = invariant.split(" ");
    const folder = invariantFolders.get(word);
    const isStated = [...tree].some(
      ([path, text]) =>
        folder !== undefined &&
        path.startsWith(`${folder}/`) &&
        !path.endsWith(".test.ts") &&
        text.includes(`\n * ${number}. `),
    );
    return isStated ? [] : [`${name}: nothing states ${invariant}`];
  });
}

describe("the mutants", () => {
  it("can all be made", () => expect(rotten(repository, mutants)).toEqual([]));
  it("break invariants that headers state", () => expect(unstated(repository, mutants)).toEqual([]));
  it("have a name each", () => expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length));
  it.each(["raft", "paxos", "host", "wal"])("are at least 25 of %s", (engine) => {
    expect(mutants.filter((mutant) => mutant.engine === engine).length).toBeGreaterThanOrEqual(25);
  });
});

describe("rotten()", () => {
  const mutant = (find: string, replace: string): Mutant => ({
    name: "m",
    engine: "raft",
    invariant: "raft R1",
    edits: [{ file: "a.ts", find, replace }],
    why: "",
  });
  const tree: Tree = new Map([["a.ts", "const a = 1;\nconst b = 1;\n"]]);

  it("finds a text that is gone, one that is there twice, and what cannot be read any more", () => {
    const planted = [
      mutant("c = 1", "c = 2"),
      mutant("= 1", "= 2"),
      mutant("a = 1", "a = ;"),
      mutant("a = 1", "a = 2"),
    ];
    expect(rotten(tree, planted)).toEqual([
      expect.stringContaining("does not contain"),
      expect.stringContaining("twice"),
      expect.stringMatching(/^m: /),
    ]);
  });
  it("takes one edit after the other", () => {
    expect(edited("a b a", { file: "a.ts", find: "b", replace: "c" })).toBe("a c a");
  });
});

describe("unstated()", () => {
  it("finds an invariant that no header states", () => {
    const tree: Tree = new Map([["src/consensus/raft/a.ts", "/**\n * R1. One leader.\n */\n"]]);
    const of = (invariant: string): Mutant => ({ name: "m", engine: "raft", invariant, edits: [], why: "" });
    expect(unstated(tree, [of("raft R1"), of("raft R9"), of("moon R1")])).toHaveLength(2);
  });
});
