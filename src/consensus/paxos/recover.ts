/** Paxos (Lamport 2001, section 3) as a `CoreFactory`: what a host gives its group to run on. */
import type { CoreFactory, CoreOptions, Recovered } from "../contract/core.ts";
import { Paxos } from "./paxos.ts";
import { majorities, type PaxosTraits } from "./traits.ts";

/** Builds a core from what the disk holds. See `CoreFactory`. */
export function recoverPaxos(options: CoreOptions, recovered: Recovered, nowMs: number): Paxos {
  return new Paxos(options, recovered, nowMs, majorities);
}

/** A factory for groups with other quorums, or for a member that only accepts. */
export function paxosWith(traits: Partial<PaxosTraits>): CoreFactory {
  return (options, recovered, nowMs) => new Paxos(options, recovered, nowMs, { ...majorities, ...traits });
}
