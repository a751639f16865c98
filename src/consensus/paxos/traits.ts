/**
 * How a member may differ from the usual one: other quorums than majorities (Howard, Malkhi & Spiegelman 2016, section 3), or no
 * part in leading.
 */
import { incomingVoters } from "../contract/configuration.ts";
import { quorumSystem } from "../quorum/quorum-system.ts";
import type { QuorumsOf } from "./replica.ts";

export interface PaxosTraits {
  /** Which quorums a configuration has. Majorities, unless said otherwise; the same on every node of a group. */
  readonly quorumsOf: QuorumsOf;
  /** A witness: it accepts and promises, but never stands, so that its state machine may be no more than a log. */
  readonly acceptorOnly: boolean;
}

export const majorities: PaxosTraits = {
  quorumsOf: (configuration) => quorumSystem({ type: "majority" }, incomingVoters(configuration)),
  acceptorOnly: false,
};
