/**
 * From the members that are wanted to the configuration to append.
 * Source  Ongaro 2014, section 4.3: a change of voters goes through a joint configuration, always; one that leaves the
 *         voters alone (a learner, an address, an incarnation) changes no quorum and needs none.
 */
import type { NodeId } from "../../base/ids.ts";
import { type Configuration, incomingVoters, type Member } from "../contract/configuration.ts";

/** Undefined if the wanted members are no valid set: no voter, or an id twice. */
export function planChange(now: Configuration, wanted: readonly Member[]): Configuration | undefined {
  const members = [...wanted].sort((a, b) => a.id - b.id);
  if (new Set(members.map((m) => m.id)).size !== members.length) return undefined;
  if (!members.some((m) => m.role === "voter")) return undefined;
  const before = incomingVoters(now);
  const after = incomingVoters({ members, outgoing: [] });
  return { members, outgoing: sameIds(before, after) ? [] : before };
}

function sameIds(a: readonly NodeId[], b: readonly NodeId[]): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i]);
}
