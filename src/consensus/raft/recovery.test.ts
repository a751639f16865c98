/** Vote records and what a replica makes of them at its start; above all, that a lost vote still binds. */
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BytesError } from "../../base/bytes.ts";
import { type LogIndex, logIndex, nodeId, term } from "../../base/ids.ts";
import type { Configuration } from "../contract/configuration.ts";
import type { LogStart } from "../contract/core.ts";
import { chainHash, type LogRecord, RecordKind } from "../contract/record.ts";
import { type RecoveredState, recoverState } from "./recovery.ts";
import { decodeVote, encodeVote, type VotedFor } from "./vote-record.ts";

fc.configureGlobal({ seed: 2014 }); // the same cases in every run

const configuration: Configuration = {
  members: [1, 2, 3].map((id) => ({
    id: nodeId(id),
    incarnation: 1,
    role: "voter",
    promote: false,
    name: `n${id}`,
    address: `n${id}:1`,
    clientUrls: [],
  })),
  outgoing: [],
};
const beginning: LogStart = { index: logIndex(0), term: term(0), chain: 0, configuration };

const vote = (inTerm: number, votedFor?: VotedFor, isBlank = false): LogRecord =>
  encodeVote({ term: term(inTerm), votedFor, isBlank }, crc32);

/** Entries of the given terms, from index 1. */
function log(...terms: readonly number[]): LogRecord[] {
  let chain = 0;
  return terms.map((t, i) => {
    const body = new Uint8Array([i]);
    const bodyCrc = crc32(body);
    chain = chainHash(chain, t, bodyCrc);
    return { kind: RecordKind.command, index: logIndex(i + 1), term: term(t), chain, body, bodyCrc };
  });
}

function recover(
  records: readonly LogRecord[],
  options: { readonly lostVoteTerm?: number; readonly damagedUpTo?: LogIndex; readonly start?: LogStart } = {},
): RecoveredState {
  return recoverState(nodeId(1), {
    start: options.start ?? beginning,
    records,
    damagedUpTo: options.damagedUpTo,
    lostVoteTerm: options.lostVoteTerm === undefined ? undefined : term(options.lostVoteTerm),
  });
}

describe("encodeVote() and decodeVote()", () => {
  const votes = fc.record({
    term: fc.maxSafeNat().map(term),
    votedFor: fc.oneof(
      fc.constantFrom("unreadable" as const, undefined),
      fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }).map(nodeId),
    ),
    isBlank: fc.boolean(),
  });

  test("give back every vote", () => {
    fc.assert(
      fc.property(votes, (v) => {
        expect(decodeVote(encodeVote(v, crc32))).toEqual(v);
      }),
    );
  });

  test("a record without flags is of one who was not blank; more bytes are another format", () => {
    const record = vote(3, nodeId(2));
    expect(decodeVote({ ...record, body: new Uint8Array([2]) })).toEqual({ term: 3, votedFor: 2, isBlank: false });
    expect(() => decodeVote({ ...record, body: new Uint8Array([2, 0, 0]) })).toThrow(BytesError);
  });
});

describe("R1: recoverState()", () => {
  test("takes the newest vote", () => {
    const state = recover([vote(1, nodeId(3)), vote(2), vote(2, nodeId(2))]);
    expect(state).toMatchObject({ term: 2, votedFor: 2, isVoteUnwritten: false });
  });

  test.each([
    ["of a newer term", [vote(1, nodeId(3))], 4],
    ["of the term of the newest readable one", [vote(4)], 4],
    ["when no other is left", [], 4],
  ])("is bound by a lost vote %s, and writes that down", (_, records, lostVoteTerm) => {
    const damagedUpTo = logIndex(0);
    const state = recover(records, { lostVoteTerm, damagedUpTo });
    expect(state).toMatchObject({ term: 4, votedFor: "unreadable", isBlank: false, isVoteUnwritten: true });
  });

  test("a lost vote below the newest readable one changes nothing", () => {
    const state = recover([vote(5, nodeId(2))], { lostVoteTerm: 4 });
    expect(state).toMatchObject({ term: 5, votedFor: 2, isVoteUnwritten: false });
  });

  test("what was written down of a lost vote is still bound at the next start", () => {
    expect(recover([vote(1), vote(4, "unreadable")])).toMatchObject({ term: 4, votedFor: "unreadable" });
  });

  test("entries of a term whose vote is lost: nobody gets that term's vote", () => {
    const state = recover([vote(1, nodeId(2)), ...log(1, 3)], { damagedUpTo: logIndex(2) });
    expect(state).toMatchObject({ term: 3, votedFor: "unreadable", isVoteUnwritten: true });
  });

  test("a checkpoint that overtook the term on its way to the disk leaves the vote free: it was never told", () => {
    const start: LogStart = { index: logIndex(7), term: term(3), chain: 9, configuration };
    expect(recover([vote(1, nodeId(2))], { start })).toMatchObject({
      term: 3,
      votedFor: undefined,
      isVoteUnwritten: true,
    });
  });

  test("entries without their term, and nothing reported as damaged: a bug, not a state to go on from", () => {
    expect(() => recover([vote(1), ...log(1, 3)])).toThrow("R1");
  });
});

describe("R9: recoverState() is blank", () => {
  test("only without entries, and without a vote by one who was not", () => {
    expect(recover([]).isBlank).toBe(true);
    expect(recover([vote(2, undefined, true)]).isBlank).toBe(true);
    expect(recover([vote(2, nodeId(1))]).isBlank).toBe(false);
    expect(recover([vote(1, nodeId(1)), vote(2, undefined, true)]).isBlank).toBe(false);
    expect(recover([vote(1, undefined, true), ...log(1)]).isBlank).toBe(false);
  });
});
