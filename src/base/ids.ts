/**
 * Branded identifiers. Two numbers of different meaning do not mix: a `term(7)` where a `LogIndex` is wanted does not
 * compile. Each constructor checks its value, so a damaged byte that survived a checksum still stops here.
 * All are safe integers; `bigint` appears only on wires whose protocol has 64-bit ids.
 */
import { assert } from "./assert.ts";

declare const brand: unique symbol;
type Brand<Name extends string> = number & { readonly [brand]: Name };

/** A member of the cluster, from 1. Never reused: a removed member's id is not given out again. */
export type NodeId = Brand<"NodeId">;
/** A replicated group. Group 1 is the meta group. */
export type GroupId = Brand<"GroupId">;
/** A Raft term, from 0. At most one leader a term (Ongaro & Ousterhout 2014, section 5.1). */
export type Term = Brand<"Term">;
/** A position in a group's log, from 1; 0 stands before the first entry. */
export type LogIndex = Brand<"LogIndex">;
/** The random id of one data folder: a wiped disk that returns under its old node id has another one. 48 bits. */
export type Incarnation = Brand<"Incarnation">;
/** A client session of a group: numbered by a counter in the replicated state, from 1, so it is never reused; 0: nobody's. */
export type SessionId = Brand<"SessionId">;

function checked(value: number, least: number, what: string): number {
  assert(Number.isSafeInteger(value) && value >= least, `not a ${what}`, { value });
  return value;
}

// The casts below are the brands' only constructors.
export const nodeId = (value: number): NodeId => checked(value, 1, "node id") as NodeId;
export const groupId = (value: number): GroupId => checked(value, 1, "group id") as GroupId;
export const term = (value: number): Term => checked(value, 0, "term") as Term;
export const logIndex = (value: number): LogIndex => checked(value, 0, "log index") as LogIndex;
export const incarnation = (value: number): Incarnation => checked(value, 1, "incarnation") as Incarnation;
/**
 * Whether a data folder took the place of one that was lost: an odd number says so, wherever it is seen. Such a folder has
 * promised things that it does not know, and counts for nothing before a configuration names it.
 */
export const isReplacement = (folder: number): boolean => folder % 2 === 1;
export const sessionId = (value: number): SessionId => checked(value, 0, "session id") as SessionId;

/** The group that holds the cluster's own state. */
export const META_GROUP: GroupId = groupId(1);
