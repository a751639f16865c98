/**
 * The end of a proposal. Three different types, because they call for different things: take the result; send again; or
 * find out. `unknown` is an honest answer and is never turned into one of the others.
 */
import type { LogIndex, NodeId } from "../base/ids.ts";

export type Outcome<Result> =
  | { readonly type: "committed"; readonly index: LogIndex; readonly result: Result }
  /** Surely not executed, and it never will be. */
  | { readonly type: "rejected"; readonly reason: RejectReason; readonly leader: NodeId | undefined }
  /** It may or may not be executed, now or later. */
  | { readonly type: "unknown"; readonly reason: UnknownReason };

export type RejectReason = "no-leader" | "overloaded" | "too-large" | "disk-full" | "closed";
export type UnknownReason = "timeout" | "aborted" | "session-expired" | "closed" | "result-lost";

/**
 * - `linearizable`: sees every write acknowledged before the read began (ReadIndex; Ongaro 2014, section 6.4);
 * - `lease`: the same, from the leader's memory, as long as clocks drift less than the configured bound; opt-in;
 * - `session`: sees this handle's own writes;
 * - `stale`: whatever this node has applied.
 */
export type ReadLevel = "linearizable" | "lease" | "session" | "stale";
