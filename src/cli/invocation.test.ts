import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cloneInvocation, installedInvocation, shellWord } from "./invocation.ts";

describe("cloneInvocation()", () => {
  let folder = "";
  const at = (...parts: readonly string[]): string => path.join(folder, ...parts);
  beforeAll(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), "althing-invocation-"));
    await mkdir(at("clone", "src"), { recursive: true });
    await mkdir(at("app"));
    await Promise.all([writeFile(at("clone", "package.json"), "{}"), writeFile(at("app", "package.json"), "{}")]);
  });
  afterAll(() => rm(folder, { recursive: true }));

  test("npm's script, in the clone and below", () => {
    expect(cloneInvocation(at("clone"), at("clone"))).toBe("npm run -s althing --");
    expect(cloneInvocation(at("clone"), at("clone", "src"))).toBe("npm run -s althing --");
  });

  test("names the clone to npm from outside, also from another package", () => {
    expect(cloneInvocation(at("clone"), folder)).toBe(`npm --prefix ${at("clone")} run -s althing --`);
    expect(cloneInvocation(at("clone"), at("app"))).toBe(`npm --prefix ${at("clone")} run -s althing --`);
    expect(cloneInvocation("/my clone", folder)).toContain("--prefix '/my clone' ");
  });
});

describe("installedInvocation()", () => {
  test("althing where the shell finds it, else npx", () => {
    const PATH = ["/usr/bin", "/opt/bin"].join(path.delimiter);
    expect(installedInvocation("/opt/bin/althing", { PATH })).toBe("althing");
    expect(installedInvocation("/app/node_modules/.bin/althing", { PATH })).toBe("npx althing");
    expect(installedInvocation("/opt/bin/althing", { PATH, npm_command: "exec" })).toBe("npx althing");
    expect(installedInvocation("/opt/bin/main.js", { PATH })).toBe("npx althing");
    expect(installedInvocation(undefined, { PATH })).toBe("npx althing");
  });
});

test("shellWord() leaves plain words alone and quotes the rest", () => {
  expect(["a-b_1", "127.0.0.1:7400", "a b", "it's", ""].map(shellWord)).toEqual([
    "a-b_1",
    "127.0.0.1:7400",
    "'a b'",
    "'it'\\''s'",
    "''",
  ]);
});
