/** What npm would publish: the built files that package.json points at, all of them and nothing else. Needs `tsc -b` first. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "../../scripts/lib/repository.ts";
import { packageJson, publishedFiles, sourceOf } from "./lib/publish.ts";
import { existsInRepository } from "./lib/tree.ts";

describe("package.json", () => {
  it.each(publishedFiles())("%s has its source and is built (else run: tsc -b)", (built) => {
    expect(existsInRepository(sourceOf(built)), sourceOf(built)).toBe(true);
    expect(existsInRepository(built), built).toBe(true);
  });

  it("names commands that start with the line that makes them executable", () => {
    for (const target of Object.values(packageJson().bin)) {
      expect(readFileSync(join(root, target), "utf8")).toMatch(/^#!\/usr\/bin\/env (?:-S )?node(?: --[a-z0-9=-]+)*\n/);
    }
  });

  it("packs what it points at, and neither tests nor sources", () => {
    const done = spawnSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: root, encoding: "utf8" });
    // npm's own format; newer versions key the list by package name
    const report = JSON.parse(done.stdout) as Readonly<
      Record<string, { readonly files: readonly { readonly path: string }[] }>
    >;
    const packed = new Set(Object.values(report)[0]?.files.map((file) => file.path));
    for (const built of publishedFiles()) expect([...packed]).toContain(built);
    expect([...packed].filter((path) => /\.test\.|^src\/|^test\/|\/testing\/|tsbuildinfo/.test(path))).toEqual([]);
  });
});
