/**
 * From the records of the disk to the state of a replica.
 * Source  Ongaro & Ousterhout 2014, figure 2 (persistent state); Alagappan et al. 2018 ("PAR": damage is not a crash).
 * Owns    the order of records, and which of them still count.
 *
 * R1. A vote that was durable binds, also when its record cannot be read any more.
 */
import { assert } from "../../base/assert.ts";
import { type LogIndex, type NodeId, type Term, term } from "../../base/ids.ts";
import { isVoter } from "../contract/configuration.ts";
import type { Recovered } from "../contract/core.ts";
import { chainHash, type LogRecord, RecordKind } from "../contract/record.ts";
import { RaftLog } from "./log.ts";
import { decodeVote, type Vote, type VotedFor } from "./vote-record.ts";

export interface RecoveredState {
  readonly log: RaftLog;
  readonly term: Term;
  readonly votedFor: VotedFor;
  readonly isBlank: boolean;
  readonly damagedUpTo: LogIndex | undefined;
  /** The term or the vote is not what its newest readable record says: it is to be written again. */
  readonly isVoteUnwritten: boolean;
}

export function recoverState(self: NodeId, recovered: Recovered): RecoveredState {
  const { start, damagedUpTo } = recovered;
  const log = readLog(recovered);
  const vote = newestVote(recovered);
  const snapshotOnly = log.lastIndex === start.index; // a checkpoint may reach the disk before our term does
  assert(vote.term >= log.lastTerm || snapshotOnly || damagedUpTo !== undefined, "R1: the vote is as new as the log", {
    term: vote.term,
    last: log.lastTerm,
  });
  const isBehind = vote.term < log.lastTerm;
  // R1: entries of a term whose vote is missing: it was lost with what is damaged, and may have gone to somebody.
  const votedFor = isBehind ? (snapshotOnly ? undefined : "unreadable") : vote.votedFor;
  return {
    log,
    term: isBehind ? log.lastTerm : vote.term,
    votedFor,
    isBlank: start.index === 0 && isVoter(start.configuration, self) && vote.isBlank && log.lastIndex === 0,
    damagedUpTo,
    isVoteUnwritten: isBehind || vote.isUnwritten,
  };
}

/**
 * R1: what the node has promised. A vote that was lost binds as much as one that can be read: in its term nobody gets a vote
 * again, and no leader of an earlier term is followed.
 */
function newestVote({ records, lostVoteTerm }: Recovered): Vote & { readonly isUnwritten: boolean } {
  let newest: Vote = { term: term(0), votedFor: undefined, isBlank: true };
  for (const record of records) {
    if (record.kind !== RecordKind.vote) continue;
    const vote = decodeVote(record);
    newest = { ...vote, isBlank: newest.isBlank && vote.isBlank };
  }
  if (lostVoteTerm === undefined || lostVoteTerm < newest.term) return { ...newest, isUnwritten: false };
  return { term: lostVoteTerm, votedFor: "unreadable", isBlank: false, isUnwritten: true };
}

/** A later record replaces its index and all above, a `start` replaces the whole log. */
function readLog({ start, records, damagedUpTo }: Recovered): RaftLog {
  let entries: LogRecord[] = [];
  for (const record of records) {
    if (record.kind === RecordKind.vote) continue;
    if (record.kind === RecordKind.start) {
      entries = []; // what came before belongs to a log that a snapshot replaced
      continue;
    }
    while ((entries.at(-1)?.index ?? 0) >= record.index) entries.pop();
    entries.push(record);
  }
  const log = new RaftLog(start);
  for (const entry of entries) {
    if (entry.index <= start.index) continue;
    const isNext = entry.index === log.lastIndex + 1;
    if (!isNext || entry.chain !== chainHash(log.lastChain, entry.term, entry.bodyCrc)) {
      // Right after the start: the rest of a log that a snapshot replaced. Later: a hole, which the host reports as damage,
      // and R7 keeps us from voting until a leader has filled it.
      assert(damagedUpTo !== undefined || log.lastIndex === start.index, "R7: a hole is reported as damage", {
        index: entry.index,
        last: log.lastIndex,
      });
      break;
    }
    log.push(entry);
  }
  return log;
}
