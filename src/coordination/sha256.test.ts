import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Sha256 } from "./sha256.ts";

test("Sha256 equals the host's, however the input is cut", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 8 }), (parts) => {
      const ours = new Sha256();
      const theirs = createHash("sha256");
      for (const part of parts) {
        ours.update(part);
        theirs.update(part);
      }
      expect(Buffer.from(ours.digest()).toString("hex")).toBe(theirs.digest("hex"));
    }),
    { numRuns: 200 },
  );
});
