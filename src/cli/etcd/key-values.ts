/** One key with its value, as a row of a table and as JSON. */
import type { KeyValue } from "../../coordination/messages.ts";
import { showId } from "../parse.ts";
import type { Cell, Column } from "../table.ts";
import { jsonBytes, showBytesOf } from "./text.ts";

export const keyValueColumns: readonly Column[] = [
  { title: "KEY", shrink: true },
  { title: "VALUE", shrink: true },
  { title: "REVISION", align: "right" },
  { title: "VERSION", align: "right" },
  { title: "LEASE" },
];

export function keyValueRow(found: KeyValue): readonly Cell[] {
  return [
    showBytesOf(found.key),
    showBytesOf(found.value),
    String(found.modRevision),
    String(found.version),
    found.lease === 0n ? "" : showId(found.lease),
  ];
}

/** Revisions are those of the modification and of the creation; `lease` is hexadecimal and left out when there is none. */
export function keyValueJson(found: KeyValue): Readonly<Record<string, unknown>> {
  return {
    ...jsonBytes("key", found.key),
    ...jsonBytes("value", found.value),
    createRevision: found.createRevision,
    modRevision: found.modRevision,
    version: found.version,
    ...(found.lease === 0n ? {} : { lease: showId(found.lease) }),
  };
}
