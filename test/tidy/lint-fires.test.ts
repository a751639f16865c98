/**
 * Each lint rule that we rely on is seen to fail: a fault is planted for it, and the linter, run with the repository's own
 * settings, must name that rule in that file. The innocent twins must pass, so that no rule fires on everything.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PlantedTree } from "./lib/planted-tree.ts";

interface Plant {
  readonly rule: string;
  readonly path: string;
  readonly text: string;
}

const dangling = `async function work(): Promise<number> {
  return await Promise.resolve(1);
}
`;

const faults: readonly Plant[] = [
  {
    rule: "typescript(no-floating-promises)",
    path: "src/host/floating.ts",
    text: `${dangling}export function start(): void {\n  work();\n}\n`,
  },
  {
    rule: "typescript(no-misused-promises)",
    path: "src/host/misused.ts",
    text: `${dangling}export function start(): string {\n  return work() ? "yes" : "no";\n}\n`,
  },
  {
    rule: "typescript(no-misused-promises)",
    path: "src/host/void-return.ts",
    text: `${dangling}export function start(): void {\n  [1].forEach(async () => {\n    await work();\n  });\n}\n`,
  },
  {
    rule: "typescript(await-thenable)",
    path: "src/host/await-value.ts",
    text: "export async function start(): Promise<number> {\n  return await 7;\n}\n",
  },
  {
    rule: "typescript(return-await)",
    path: "src/host/return-in-try.ts",
    text: `${dangling}export async function start(): Promise<number> {\n  try {\n    return work();\n  } catch {\n    return 0;\n  }\n}\n`,
  },
  {
    rule: "typescript(switch-exhaustiveness-check)",
    path: "src/base/open-switch.ts",
    text: 'export function size(kind: "a" | "b"): number {\n  let result = 0;\n  switch (kind) {\n    case "a":\n      result = 1;\n  }\n  return result;\n}\n',
  },
  {
    rule: "typescript(no-explicit-any)",
    path: "src/base/any.ts",
    text: "export function read(value: any): number {\n  return Number(value);\n}\n",
  },
  {
    rule: "typescript(no-unsafe-assignment)",
    path: "src/base/unsafe-assignment.ts",
    text: "export function read(text: string): unknown {\n  const value = JSON.parse(text);\n  return value as unknown;\n}\n",
  },
  {
    rule: "typescript(no-unsafe-member-access)",
    path: "src/base/unsafe-member.ts",
    text: "export function read(text: string): unknown {\n  return JSON.parse(text).field as unknown;\n}\n",
  },
  {
    rule: "typescript(no-unsafe-call)",
    path: "src/base/unsafe-call.ts",
    text: "export function read(text: string): unknown {\n  return JSON.parse(text)() as unknown;\n}\n",
  },
  {
    rule: "typescript(no-unsafe-argument)",
    path: "src/base/unsafe-argument.ts",
    text: "export function read(text: string): number {\n  return Math.abs(JSON.parse(text));\n}\n",
  },
  {
    rule: "typescript(no-unsafe-return)",
    path: "src/base/unsafe-return.ts",
    text: "export function read(text: string): number {\n  return JSON.parse(text);\n}\n",
  },
  {
    rule: "typescript(no-non-null-assertion)",
    path: "src/base/non-null.ts",
    text: "export function first(list: readonly number[]): number {\n  return list[0]!;\n}\n",
  },
  {
    rule: "typescript(strict-boolean-expressions)",
    path: "src/base/loose-string.ts",
    text: 'export function named(name: string): string {\n  return name ? name : "none";\n}\n',
  },
  {
    rule: "typescript(strict-boolean-expressions)",
    path: "src/base/loose-number.ts",
    text: 'export function counted(count: number | undefined): string {\n  return count ? "some" : "none";\n}\n',
  },
  {
    rule: "typescript(only-throw-error)",
    path: "src/base/throw-text.ts",
    text: 'export function fail(): never {\n  throw "text";\n}\n',
  },
  {
    rule: "typescript(prefer-promise-reject-errors)",
    path: "src/base/reject-text.ts",
    text: 'export async function fail(): Promise<void> {\n  await Promise.reject("text");\n}\n',
  },
  {
    rule: "typescript(no-namespace)",
    path: "src/base/namespace.ts",
    text: "export namespace Old {\n  export const one = 1;\n}\n",
  },
  {
    rule: "import(no-cycle)",
    path: "src/base/cycle-a.ts",
    text: 'import type { B } from "./cycle-b.ts";\nexport interface A {\n  readonly b: B;\n}\n',
  },
  {
    rule: "import(no-default-export)",
    path: "src/base/default-export.ts",
    text: "export default function one(): number {\n  return 1;\n}\n",
  },
  {
    rule: "althing(no-reexport)",
    path: "src/base/barrel.ts",
    text: 'export * from "./innocent.ts";\n',
  },
  {
    rule: "althing(no-reexport)",
    path: "src/base/barrel-named.ts",
    text: 'export { innocent } from "./innocent.ts";\n',
  },
  {
    rule: "althing(transaction-sync-block-body)",
    path: "src/host/transaction.ts",
    text: 'declare const db: { transactionSync<T>(work: () => T): T; put(key: string): Promise<boolean> };\nexport function save(): Promise<boolean> {\n  return db.transactionSync(() => db.put("k"));\n}\n',
  },
  {
    rule: "althing(transaction-sync-block-body)",
    path: "src/host/transaction-async.ts",
    text: 'declare const db: { transactionSync<T>(work: () => T): T; put(key: string): Promise<boolean> };\nexport async function save(): Promise<void> {\n  await db.transactionSync(async () => {\n    await db.put("k");\n  });\n}\n',
  },
  {
    rule: "eslint(no-restricted-globals)",
    path: "src/consensus/raft/date.ts",
    text: "export const now = (): number => Date.now();\n",
  },
  {
    rule: "eslint(no-restricted-globals)",
    path: "src/group/new-date.ts",
    text: "export const now = (): number => new Date().getTime();\n",
  },
  {
    rule: "eslint(no-restricted-globals)",
    path: "src/storage/wal/performance.ts",
    text: "export const now = (): number => performance.now();\n",
  },
  {
    rule: "eslint(no-restricted-globals)",
    path: "src/sim/global-performance.ts",
    text: "export const now = (): number => globalThis.performance.now();\n",
  },
  {
    rule: "eslint(no-restricted-globals)",
    path: "src/coordination/intl.ts",
    text: "export const order = new Intl.Collator().compare;\n",
  },
  {
    rule: "eslint(no-restricted-globals)",
    path: "src/node/weak-ref.ts",
    text: "export const held = new WeakRef({});\n",
  },
  {
    rule: "eslint(no-restricted-globals)",
    path: "src/node/registry.ts",
    text: "export const registry = new FinalizationRegistry(() => undefined);\n",
  },
  {
    rule: "eslint(no-restricted-globals)",
    path: "src/config/timer.ts",
    text: "export const later = (work: () => void): unknown => setTimeout(work, 1);\n",
  },
  {
    rule: "eslint(no-restricted-properties)",
    path: "src/ports/random.ts",
    text: "export const draw = (): number => Math.random();\n",
  },
  {
    rule: "eslint(no-restricted-properties)",
    path: "src/base/locale.ts",
    text: "export const order = (a: string, b: string): number => a.localeCompare(b);\n",
  },
  {
    rule: "eslint(no-restricted-properties)",
    path: "src/base/to-locale.ts",
    text: "export const show = (value: number): string => value.toLocaleString();\n",
  },
];

/** What must pass: the allowed form of what is refused above, and what the files above import. */
const innocents: readonly Omit<Plant, "rule">[] = [
  { path: "src/base/innocent.ts", text: "export const innocent = 1;\n" },
  {
    path: "src/base/cycle-b.ts",
    text: 'import type { A } from "./cycle-a.ts";\nexport interface B {\n  readonly a: A;\n}\n',
  },
  { path: "src/althing.ts", text: 'export { innocent } from "./base/innocent.ts";\n' },
  {
    path: "src/host/innocent-clock.ts",
    text: 'export const now = (): number => Date.now() + performance.now() + Math.random();\nexport const show = (): string => new Date().toLocaleString("en");\n',
  },
  {
    path: "src/host/innocent-transaction.ts",
    text: 'declare const db: { transactionSync<T>(work: () => T): T; putSync(key: string): void };\nexport function save(): void {\n  db.transactionSync(() => {\n    db.putSync("k");\n  });\n}\n',
  },
  {
    path: "src/base/innocent-switch.ts",
    text: 'export function size(kind: "a" | "b"): number {\n  switch (kind) {\n    case "a":\n      return 1;\n    case "b":\n      return 2;\n  }\n}\n',
  },
  { path: "vite.config.ts", text: "export default { root: 1 };\n" },
];

interface Finding {
  readonly code: string;
  readonly filename: string;
}

describe("the linter, with this repository's settings", () => {
  const tree = new PlantedTree();
  const found = new Map<string, Set<string>>();

  beforeAll(() => {
    for (const path of [".oxlintrc.json", "scripts/lint/rules.ts", "tsconfig.base.json"]) tree.copy(path);
    tree.write("package.json", '{ "type": "module" }\n');
    tree.write(
      "tsconfig.json",
      JSON.stringify({
        extends: "./tsconfig.base.json",
        compilerOptions: { types: ["node"] },
        include: ["**/*.ts"],
      }),
    );
    for (const plant of [...faults, ...innocents]) tree.write(plant.path, plant.text);

    const run = tree.run("oxlint", ["-f", "json", "src", "vite.config.ts"]);
    const report = JSON.parse(run.output) as { readonly diagnostics: readonly Finding[] }; // the linter's own format
    for (const finding of report.diagnostics) {
      const codes = found.get(finding.filename) ?? new Set<string>();
      found.set(finding.filename, codes.add(finding.code));
    }
  });
  afterAll(() => tree.close());

  it.each(faults)("$rule fires in $path", ({ rule, path }) => {
    expect([...(found.get(path) ?? [])]).toContain(rule);
  });

  // cycle-b.ts is the other half of a planted cycle
  it.each(innocents.filter(({ path }) => path !== "src/base/cycle-b.ts"))("nothing fires in $path", ({ path }) => {
    expect([...(found.get(path) ?? [])]).toEqual([]);
  });
});
