/**
 * One project a kind of test; `vitest run` runs all, `vitest run --project unit` one. `unit`, `scenario` and `tidy` are fast
 * and deterministic; `sim` runs seeds of the simulator; `e2e` starts real processes, one file at a time.
 */
import { defineConfig } from "vitest/config";

/** The tests of the test rig itself, against etcd: with ALTHING_LONG=1, as the long fault runs. */
const rig = process.env["ALTHING_LONG"] === "1" ? [] : ["test/e2e/rig-*.test.ts"];

const shared = { environment: "node", exclude: ["**/node_modules/**", "dist/**"], hookTimeout: 60_000 };

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...shared,
          name: "unit",
          include: ["src/**/*.test.ts", "bench/**/*.test.ts", "scripts/**/*.test.ts"],
          testTimeout: 20_000,
        },
      },
      {
        test: {
          ...shared,
          name: "scenario",
          include: ["test/{paper,scenario,conformance}/**/*.test.ts"],
          testTimeout: 20_000,
        },
      },
      { test: { ...shared, name: "tidy", include: ["test/tidy/**/*.test.ts"], testTimeout: 20_000 } },
      { test: { ...shared, name: "sim", include: ["test/sim/**/*.test.ts"], testTimeout: 120_000 } },
      {
        test: {
          ...shared,
          name: "e2e",
          include: ["test/e2e/**/*.test.ts", "examples/**/*.test.ts"],
          exclude: [...shared.exclude, ...rig],
          testTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
