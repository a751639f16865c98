/** LMDB under the suite that every engine passes; its own ways are in lmdb-engine.test.ts and lmdb-damage.test.ts. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "vitest";
import { engineCases } from "../storage/engine/testing/engine-conformance.ts";
import { lmdbOpener } from "./lmdb-engine.ts";

describe("LmdbEngine keeps the contract of an engine", () => {
  for (const { name, run } of engineCases) {
    it(name, async () => {
      const folder = mkdtempSync(join(tmpdir(), "althing-lmdb-"));
      try {
        await run(lmdbOpener(folder));
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
  }
});
