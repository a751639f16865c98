/**
 * From the members that are wanted to the configuration of a stop entry: it ends the era, and the next one begins with the new
 * members. Paxos needs no joint configuration: a slot is decided by the voters of its era only.
 *
 * Every change is a stop entry, also one that leaves the voters alone (a learner, an address). A change in the stream could
 * outlive its leader in a slot that nobody else saw, and be chosen after a later leader's change in a lower slot: it would
 * undo what it knows nothing of. Of two stop entries of one era only one is ever chosen (P10), so each is made from the
 * configuration that it replaces.
 *
 * Source  Lamport 2001, section 3 (the set of servers is part of the state); eras: Lamport, Malkhi & Zhou 2010, section 3.
 *
 * A voter is a data folder and not only an id: binding one to its folder ends an era too. So whoever has accepted anything of
 * what comes after it knows the binding durably, and gives no promise to a wiped disk under the old id.
 */
import type { Configuration, Member } from "../contract/configuration.ts";
import { NODE_MAX } from "./ballot.ts";

/** Undefined if the wanted members are no valid set: no voter, an id twice, or an id beyond what a ballot can name. */
export function planChange(now: Configuration, wanted: readonly Member[]): Configuration | undefined {
  const members = [...wanted].sort((a, b) => a.id - b.id);
  if (new Set(members.map((m) => m.id)).size !== members.length) return undefined;
  if (!members.some((m) => m.role === "voter") || members.some((m) => m.id > NODE_MAX)) return undefined;
  return { ...now, members, outgoing: [] };
}
