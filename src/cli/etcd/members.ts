/** Members of a cluster, as rows of a table and as JSON. */
import type { Member } from "../../coordination/messages.ts";
import { splitAddress } from "../address.ts";
import { CliFailure } from "../failure.ts";
import { showId } from "../parse.ts";
import type { Cell, Column } from "../table.ts";

export const memberColumns: readonly Column[] = [
  { title: "ID" },
  { title: "NAME" },
  { title: "KIND" },
  { title: "CLIENTS", shrink: true },
  { title: "PEERS", shrink: true },
];

export function memberRow(member: Member): readonly Cell[] {
  const name = member.name === "" ? "(not started)" : member.name;
  const kind = member.isLearner ? "learner" : "voter";
  return [showId(member.id), name, kind, member.clientUrls.join(","), member.peerUrls.join(",")];
}

export function memberJson(member: Member): Readonly<Record<string, unknown>> {
  return {
    id: showId(member.id),
    name: member.name,
    learner: member.isLearner,
    clientUrls: member.clientUrls,
    peerUrls: member.peerUrls,
  };
}

/** `host:port` or a URL, as the URL that the protocol wants. */
export function peerUrl(text: string): string {
  const bare = text.replace(/^https?:\/\//, "");
  if (splitAddress(bare) === undefined) {
    throw new CliFailure("usage", `Cannot use the peer address ${text}: it is not host:port`);
  }
  return text.includes("://") ? text : `http://${text}`;
}
