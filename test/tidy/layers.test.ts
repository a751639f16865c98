/**
 * The layer fence: that the compiler's projects follow the table of layers, and that the fence holds, by planting imports
 * that must not compile. What may be imported inside a folder is the linter's business (cycles).
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { layerOf, projects, worldly } from "./lib/layers.ts";
import { PlantedTree } from "./lib/planted-tree.ts";

const all = projects();

describe("the compiler's projects", () => {
  it("exist", () => {
    expect(all.map((project) => project.folder)).toEqual(expect.arrayContaining(["base", "ports", "group", "host"]));
  });

  it.each(all)("$folder references only lower layers", ({ folder, references }) => {
    const own = layerOf(folder);
    expect(own, `${folder} is not in the table of layers`).toBeDefined();
    const wrong = references.filter((target) => !((layerOf(target) ?? Number.POSITIVE_INFINITY) < (own ?? 0)));
    expect(wrong).toEqual([]);
  });

  it.each(all)("$folder has Node's types only if it touches the world", ({ folder, types }) => {
    expect(types).toEqual(worldly.has(folder) ? ["node"] : []);
  });

  it.each(all)("$folder compiles its own files and no others", ({ folder, include }) => {
    const allowed =
      folder === "base" || worldly.has(folder)
        ? ["./**/*.ts"]
        : ["./**/*.ts", expect.stringMatching(/src\/base\/globals\.d\.ts$/)];
    expect(include).toEqual(allowed);
  });
});

/** What must not resolve where the types of Node and of browsers are kept out. */
const worldlyLines: Readonly<Record<string, string>> = {
  "node-fs": 'import { readFileSync } from "node:fs";\nexport const planted: unknown = readFileSync;\n',
  process: "export const planted: unknown = process.pid;\n",
  timer: "export const planted: unknown = setTimeout(() => undefined, 1);\n",
  fetch: 'export const planted: unknown = fetch("x");\n',
  console: 'export const planted: unknown = console.log("x");\n',
  buffer: "export const planted: unknown = Buffer.alloc(1);\n",
  document: "export const planted: unknown = document.title;\n",
};

/** What must resolve there: pure, and the same on every host. */
const pureLines =
  "export const planted: unknown = [new TextEncoder(), new AbortController().signal, queueMicrotask];\n";

describe("the layer fence", () => {
  const tree = new PlantedTree();
  let errors: readonly string[] = [];
  const errorsOf = (path: string): readonly string[] => errors.filter((line) => line.startsWith(`${path}(`));
  const name = (folder: string): string => folder.replaceAll("/", "-");

  // The compiler lets a project see what its references see: the fence is the closure.
  const visible = (folder: string): ReadonlySet<string> => {
    const direct = all.find((project) => project.folder === folder)?.references ?? [];
    return new Set(direct.flatMap((to) => [to, ...visible(to)]));
  };
  const upward = all.flatMap((from) => {
    const seen = visible(from.folder);
    return all
      .filter((to) => to.folder !== from.folder && !seen.has(to.folder))
      .map((to) => ({ from: from.folder, to: to.folder }));
  });
  const downward = all.flatMap((from) => from.references.map((to) => ({ from: from.folder, to })));
  const pure = all.filter((project) => !worldly.has(project.folder)).map((project) => project.folder);

  const plantImport = ({ from, to }: { readonly from: string; readonly to: string }): string => {
    const path = `src/${from}/to-${name(to)}.ts`;
    const up = "../".repeat(from.split("/").length);
    tree.write(path, `import { home } from "${up}${to}/home.ts";\nexport const planted: number = home;\n`);
    return path;
  };

  beforeAll(() => {
    tree.copy("tsconfig.base.json");
    tree.copy("src/base/globals.d.ts");
    tree.write("package.json", '{ "type": "module" }\n');
    tree.write(
      "tsconfig.json",
      JSON.stringify({ files: [], references: all.map(({ folder }) => ({ path: `src/${folder}` })) }),
    );
    for (const { folder } of all) {
      tree.copy(`src/${folder}/tsconfig.json`);
      tree.write(`src/${folder}/home.ts`, "export const home = 1;\n");
    }
    upward.forEach(plantImport);
    downward.forEach(plantImport);
    for (const folder of pure) {
      tree.write(`src/${folder}/pure.ts`, pureLines);
      for (const [kind, text] of Object.entries(worldlyLines)) tree.write(`src/${folder}/world-${kind}.ts`, text);
    }
    const run = tree.run("tsc", ["-b", "--pretty", "false"]);
    expect(run.status).not.toBe(0);
    errors = run.output.split("\n");
  });
  afterAll(() => tree.close());

  it.each(upward)("$from cannot import $to", ({ from, to }) => {
    expect(errorsOf(`src/${from}/to-${name(to)}.ts`)).toEqual([expect.stringContaining("error TS6307")]);
  });

  it.each(downward)("$from can import $to", ({ from, to }) => {
    expect(errorsOf(`src/${from}/to-${name(to)}.ts`)).toEqual([]);
  });

  it.each(pure)("%s cannot reach the world, but has what is pure", (folder) => {
    for (const kind of Object.keys(worldlyLines)) {
      const found = errorsOf(`src/${folder}/world-${kind}.ts`);
      expect(found, kind).not.toEqual([]);
      expect(found[0], kind).toMatch(/error TS(2304|2580|2584|2591|2307|2503|2581)/);
    }
    expect(errorsOf(`src/${folder}/pure.ts`)).toEqual([]);
  });
});
