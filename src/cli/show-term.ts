import { term } from "../base/ids.ts";
import { ballotText } from "../consensus/paxos/ballot.ts";

/** A term as people read it: with Paxos it is a ballot, `era.round.node`. */
export function showTerm(value: number, consensus: string): string {
  return consensus === "paxos" ? ballotText(term(value)) : String(value);
}
