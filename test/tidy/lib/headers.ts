/** Module headers: every module says what it is; a protocol's module names its source; a cited invariant exists. */
import type { Problems, Tree } from "./tree.ts";

/** Folders of published algorithms: there the header says which paper, thesis or specification the code follows. */
const published = /^src\/(consensus\/(raft|quorum|paxos)|ring|txn)\//;
/** A year, a section, an RFC: what a citation cannot do without. */
const citation = /\b(19|20)\d\d\b|\bRFC \d+|\bsections?\b|§|\bthesis\b/i;

const isModule = (path: string): boolean => /^src\/.*\.ts$/.test(path) && !/(\.test|\.d)\.ts$/.test(path);

/** Modules of `src/` without a doc comment on the module or on its first declaration. */
export function missingHeaders(tree: Tree): Problems {
  const problems: string[] = [];
  for (const [path, text] of tree) {
    if (isModule(path) && firstDocComment(text) === undefined) {
      problems.push(`${path}: no comment at the head says what the module owns`);
    }
  }
  return problems;
}

/** Modules of published algorithms whose comments name no source. */
export function missingSources(tree: Tree): Problems {
  const problems: string[] = [];
  for (const [path, text] of tree) {
    if (!isModule(path) || !published.test(path) || path.includes("/testing/")) continue;
    if (!docComments(text).some((comment) => citation.test(comment))) {
      problems.push(`${path}: names no source (paper and section, thesis, or RFC)`);
    }
  }
  return problems;
}

/** Asserts that cite an invariant (`"T2: …"`) which no header in their folder states (`T2.` or `T2 `). */
export function unknownInvariants(tree: Tree): Problems {
  const problems: string[] = [];
  const stated = new Map<string, Set<string>>();
  for (const [path, text] of tree) {
    if (!isModule(path)) continue;
    const folder = folderOf(path);
    const own = stated.get(folder) ?? new Set<string>();
    stated.set(folder, own);
    for (const comment of docComments(text)) {
      for (const match of comment.matchAll(/^\s*\*\s+(?:- )?([A-Z]{1,2}\d{1,2})[.:\s]/gm)) own.add(match[1] ?? "");
    }
  }
  for (const [path, text] of tree) {
    if (!isModule(path)) continue;
    for (const match of text.matchAll(/["'`]([A-Z]{1,2}\d{1,2}): /g)) {
      const cited = match[1] ?? "";
      if (stated.get(folderOf(path))?.has(cited) !== true) {
        problems.push(`${path}: cites invariant ${cited}, which no header in its folder states`);
      }
    }
  }
  return problems;
}

const folderOf = (path: string): string => path.slice(0, path.lastIndexOf("/"));

function docComments(text: string): readonly string[] {
  return [...text.matchAll(/\/\*\*[\s\S]*?\*\//g)].map((match) => match[0]);
}

/** The doc comment at the head, or else the one before the first declaration, after the imports. */
function firstDocComment(text: string): string | undefined {
  const head = text.replace(/^#!.*\n/, "").trimStart();
  const declarations = head.replace(/^(import\b[^;]*;\s*|\/\/.*\n\s*)*/, "");
  if (head.startsWith("/**") || declarations.startsWith("/**")) return docComments(text)[0];
  return undefined;
}
