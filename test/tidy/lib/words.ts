/** Words that must not be in the repository: unfinished business, switched-off tests, places of one machine. */
import type { Problems, Tree } from "./tree.ts";

// Put together from parts, so that this file does not find itself.
const unfinished = new RegExp(`\\b${["FIX", "ME"].join("")}\\b|\\b${["XX", "X"].join("")}\\b`);
const switchedOff = new RegExp(
  `\\b(describe|it|test|bench)(\\.\\w+)*\\.(${["on", "ly"].join("")}|${["sk", "ip"].join("")}|${["to", "do"].join("")})\\b|^\\s*(x|f)(it|describe)\\(`,
);
const machinePath = new RegExp(
  `(?<![\\w.@])/(${["wo", "rk"].join("")}|${["ro", "ot"].join("")}|home/\\w+|Users/\\w+)/`,
);
const packageHost = new RegExp(["registry", "(npmjs|yarnpkg)", "(org|com)"].join("\\."), "i");
const reasonless = new RegExp(`(oxlint|eslint)-${["dis", "able"].join("")}(?!.* -- \\S)`);

interface Ban {
  readonly what: string;
  readonly pattern: RegExp;
  readonly where: RegExp;
}

const bans: readonly Ban[] = [
  { what: "an unfinished place", pattern: unfinished, where: /\.(ts|md)$/ },
  { what: "a test that is switched off or alone", pattern: switchedOff, where: /\.ts$/ },
  { what: "a lint rule switched off without a reason (-- why)", pattern: reasonless, where: /\.ts$/ },
  { what: "a path of one machine", pattern: machinePath, where: /./ },
  { what: "the host of a package registry", pattern: packageHost, where: /./ },
];

/** Lines that hold a banned word. */
export function bannedWords(tree: Tree): Problems {
  const problems: string[] = [];
  for (const [path, text] of tree) {
    for (const [index, line] of text.split("\n").entries()) {
      for (const ban of bans) {
        if (ban.where.test(path) && ban.pattern.test(line)) problems.push(`${path}:${index + 1}: ${ban.what}`);
      }
    }
  }
  return problems;
}
