/**
 * Which modules are reached from where people start: the published entries and the command line for `src/`; tests,
 * configurations, benchmarks, examples and the commands of package.json for everything else. A module that only its own test imports is dead.
 */
import { posix } from "node:path";
import type { Problems, Tree } from "./tree.ts";

/** Modules that nothing reaches. */
export function deadModules(tree: Tree): Problems {
  const modules = new Map([...tree].filter(([path]) => path.endsWith(".ts") && !path.endsWith(".d.ts")));
  const started = [...tree]
    .filter(([path]) => path === "package.json" || path === ".oxlintrc.json" || path === ".ci/run")
    .map(([, text]) => text)
    .join("\n");

  const isTest = (path: string): boolean => path.endsWith(".test.ts");
  const isProduct = (path: string): boolean => path.startsWith("src/") && !isTest(path) && !path.includes("/testing/");
  const productStarts = [...modules.keys()].filter(
    (path) => /^src\/([^/]+|cli\/main)\.ts$/.test(path) && !isTest(path),
  );
  const toolStarts = [...modules].filter(
    ([path, text]) =>
      isTest(path) ||
      (!path.startsWith("src/") &&
        (/(^|\/)[^/]+\.config\.ts$/.test(path) ||
          path.startsWith("examples/") ||
          /^bench\/[^/]+\.ts$/.test(path) ||
          text.includes("import.meta.main") ||
          started.includes(path))),
  );

  const fromProduct = reach(modules, productStarts);
  const fromAll = reach(modules, [...productStarts, ...toolStarts.map(([path]) => path)]);
  return [...modules.keys()]
    .filter((path) => !(isProduct(path) ? fromProduct : fromAll).has(path))
    .map(
      (path) =>
        `${path}: nothing reaches it${isProduct(path) ? " from the published entries or the command line" : ""}`,
    );
}

function reach(modules: Tree, starts: readonly string[]): ReadonlySet<string> {
  const seen = new Set(starts);
  const queue = [...starts];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    for (const next of importsOf(path, modules.get(path) ?? "")) {
      if (modules.has(next) && !seen.has(next)) {
        seen.add(next);
        queue.push(next);
      }
    }
  }
  return seen;
}

/**
 * Relative modules that a module names: static, re-exporting and dynamic imports, and for workers and children
 * `new URL("./x.ts", …)` and `moduleBeside(import.meta.url, "x")`.
 */
function importsOf(path: string, text: string): readonly string[] {
  const beside = [...text.matchAll(/moduleBeside\(import\.meta\.url, "([^"]+)"\)/g)].map((match) =>
    posix.join(posix.dirname(path), `${match[1] ?? ""}.ts`),
  );
  const named = [
    ...text.matchAll(/(?:\bfrom|\bimport|\bimport\(|new URL\(|resolve\()\s*["'](\.\.?\/[^"']+\.ts)["']/g),
  ].map((match) => posix.normalize(posix.join(posix.dirname(path), match[1] ?? "")));
  return [...named, ...beside];
}
