/** What a snapshot holds, for people and for programs. */
import type { SnapshotSummary } from "../../coordination/snapshot-file.ts";
import { showBytes } from "../parse.ts";

export function summaryText({ revision, keys, changes, leases, bytes }: SnapshotSummary): string {
  return `revision ${revision} (${count(keys, "key")}, ${count(changes, "change")}, ${count(leases, "lease")}, ${showBytes(bytes)})`;
}

export function summaryJson(summary: SnapshotSummary): Readonly<Record<string, unknown>> {
  const { revision, compactRevision, keys, changes, leases, bytes, digest } = summary;
  return {
    revision,
    compactRevision: compactRevision < 0 ? undefined : compactRevision,
    keys,
    changes,
    leases,
    bytes,
    sha256: Buffer.from(digest).toString("hex"),
  };
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
