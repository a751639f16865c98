/** Bugs of the log: what an answer claims, what is counted, what is cut, what a snapshot replaces. */
import type { Mutant } from "./mutant.ts";

const leading = "src/consensus/raft/leading.ts";
const following = "src/consensus/raft/following.ts";
const durability = "src/consensus/raft/durability.ts";
const replica = "src/consensus/raft/replica.ts";
const log = "src/consensus/raft/log.ts";
const recovery = "src/consensus/raft/recovery.ts";

export const raftLog: readonly Mutant[] = [
  {
    name: "earlier-term-committed-by-counting",
    engine: "raft",
    invariant: "raft R3",
    edits: [
      {
        file: leading,
        find: "if (index <= commit || log.termAt(logIndex(index)) !== term) return; // R3",
        replace: "if (index <= commit) return;",
      },
      {
        file: leading,
        find: 'assert(log.termAt(this.#replica.commit) === term, "R3: only the own term is counted");',
        replace: "void term;",
      },
    ],
    why: "an entry of an earlier term on a majority of disks can still be replaced (paper, figure 8)",
  },
  {
    name: "own-copy-counted-before-durable",
    engine: "raft",
    invariant: "raft R2",
    edits: [
      {
        file: leading,
        find: "voter === id ? durability.index :",
        replace: "voter === id && durability ? log.lastIndex :",
      },
    ],
    why: "a leader counts an entry that its own disk may lose",
  },
  {
    name: "entry-acknowledged-before-durable",
    engine: "raft",
    invariant: "raft R2",
    edits: [
      {
        file: following,
        find: 'replica.effects.sendAfterDurable(to, {\n      type: "append-response",',
        replace: 'replica.effects.release(to, {\n      type: "append-response",',
      },
    ],
    why: "a follower acknowledges what a crash takes away",
  },
  {
    name: "term-shown-before-durable",
    engine: "raft",
    invariant: "raft R2",
    edits: [
      {
        file: following,
        find: "if (replica.durability.voteOpen || effects.writesVote) effects.sendAfterDurable(from, message);",
        replace: "if (replica.term < 0) effects.sendAfterDurable(from, message);",
      },
    ],
    why: "the answer to a heartbeat shows a term that a crash takes back, and with it the promise to older leaders",
  },
  {
    name: "messages-overtake-open-writes",
    engine: "raft",
    invariant: "raft D1",
    edits: [
      {
        file: durability,
        find: "const newest = this.#open.at(-1);\n    if (newest === undefined) return false;",
        replace: "const newest = this.#open[0];\n    if (newest === undefined) return false;",
      },
    ],
    why: "a message that waits for the newest write leaves after the oldest",
  },
  {
    name: "late-write-vouches-for-a-new-entry",
    engine: "raft",
    invariant: "raft D2",
    edits: [
      {
        file: durability,
        find: "for (const ticket of this.#open) if (ticket.last > last) ticket.last = last;",
        replace: "void this.#open;",
      },
    ],
    why: "the completion of a write that was cut off counts for what stands at its index now (the ABA race)",
  },
  {
    name: "cut-entry-stays-durable",
    engine: "raft",
    invariant: "raft D2",
    edits: [{ file: durability, find: "if (this.#index > last) this.#index = last;", replace: "" }],
    why: "the durable index does not fall when the log is cut",
  },
  {
    name: "applied-above-durable",
    engine: "raft",
    invariant: "raft R8",
    edits: [
      {
        file: replica,
        find: "const upTo = logIndex(Math.min(this.#commit, this.durability.index));",
        replace: "const upTo = this.#commit;",
      },
    ],
    why: "entries are applied that a crash of this node takes out of its log",
  },
  {
    name: "append-cuts-what-follows",
    engine: "raft",
    invariant: "raft R4",
    edits: [
      {
        file: following,
        find: "const match = logIndex(previousIndex + entries.length);",
        replace:
          "const match = logIndex(previousIndex + entries.length);\n    if (log.lastIndex > match && match >= replica.commit) replica.cut(logIndex(match + 1));",
      },
    ],
    why: "an old append that comes late cuts off entries that were acknowledged since",
  },
  {
    name: "conflict-found-by-index-only",
    engine: "raft",
    invariant: "raft L2",
    edits: [
      {
        file: following,
        find: "if (log.termAt(previousIndex) !== previousTerm) {",
        replace: "if (previousIndex > log.lastIndex || previousTerm < 0) {",
      },
      {
        file: log,
        find: 'assert(entry.chain === chainHash(this.lastChain, entry.term, entry.bodyCrc), "L2: the chain holds", {',
        replace: 'assert(entry.chain === entry.chain, "L2: the chain holds", {',
      },
    ],
    why: "entries are put on top of another log, and no chain hash tells",
  },
  {
    name: "cut-below-the-commit-index",
    engine: "raft",
    invariant: "raft R4",
    edits: [
      {
        file: replica,
        find: 'assert(from > this.#commit, "R4: a committed entry is never cut", { index: from, commit: this.#commit });',
        replace: "if (this.#commit >= from) this.#commit = logIndex(from - 1);",
      },
      {
        file: following,
        find: "if (held !== undefined && held.term === entry.term) {",
        replace: "if (held !== undefined && held.term === entry.term && entry.index % 7 !== 0) {",
      },
    ],
    why: "a repeated entry cuts the log and the commit index goes back with it",
  },
  {
    name: "heartbeat-tells-the-whole-commit-index",
    engine: "raft",
    invariant: "raft R4",
    edits: [
      {
        file: "src/consensus/raft/sending.ts",
        find: "const known = logIndex(Math.min(commit, p.match));",
        replace: "const known = logIndex(Math.max(commit, 0 * p.match));",
      },
    ],
    why: "a heartbeat commits what the follower was never compared at",
  },
  {
    name: "acknowledgement-of-an-older-term-counted",
    engine: "raft",
    invariant: "raft R3",
    edits: [
      {
        file: leading,
        find: "if (isStranger || message.term < replica.term) return undefined;",
        replace: "if (isStranger) return undefined;",
      },
    ],
    why: "what a follower held of another leader's log counts for this one's",
  },
  {
    name: "repaired-too-early",
    engine: "raft",
    invariant: "raft R7",
    edits: [
      {
        file: following,
        find: "if (damagedUpTo === undefined || match < leaderCommit || match < damagedUpTo) return;",
        replace: "if (damagedUpTo === undefined || match < 0 || leaderCommit < 0) return;",
      },
      {
        file: replica,
        find: "assert(this.#damagedUpTo !== undefined && upTo >= this.#damagedUpTo,",
        replace: "assert(this.#damagedUpTo !== undefined,",
      },
    ],
    why: "a damaged node votes again before it has got back what it acknowledged",
  },
  {
    name: "damaged-node-never-repaired",
    engine: "raft",
    invariant: "raft R7",
    edits: [{ file: following, find: "this.#replica.repaired(match);", replace: "void match;" }],
    why: "a node that has got everything back never votes again",
  },
  {
    name: "recovery-takes-a-broken-chain",
    engine: "raft",
    invariant: "raft L2",
    edits: [
      {
        file: recovery,
        find: "if (!isNext || entry.chain !== chainHash(log.lastChain, entry.term, entry.bodyCrc)) {",
        replace: "if (!isNext) {",
      },
      {
        file: log,
        find: 'assert(entry.chain === chainHash(this.lastChain, entry.term, entry.bodyCrc), "L2: the chain holds", {',
        replace: 'assert(entry.chain === entry.chain, "L2: the chain holds", {',
      },
    ],
    why: "the rest of a log that a snapshot replaced is taken for its continuation",
  },
  {
    name: "snapshot-keeps-another-suffix",
    engine: "raft",
    invariant: "raft R4",
    edits: [
      {
        file: following,
        find: "if (log.chainAt(start.index) === start.chain) {",
        replace: "if (log.chainAt(start.index) !== undefined) {",
      },
      {
        file: log,
        find: 'assert(this.chainAt(start.index) === start.chain, "a trim point lies on this log", { index: start.index });',
        replace: "",
      },
    ],
    why: "behind a snapshot stands what was appended to another log",
  },
  {
    name: "snapshot-drops-an-acknowledged-suffix",
    engine: "raft",
    invariant: "raft R4",
    edits: [
      {
        file: following,
        find: "if (log.chainAt(start.index) === start.chain) {",
        replace: "if (start.index < 0) {",
      },
    ],
    why: "entries above a snapshot that were acknowledged are thrown away with those below",
  },
  {
    name: "snapshot-start-not-recorded",
    engine: "raft",
    invariant: "raft R4",
    edits: [{ file: following, find: "this.#persistStart(start);", replace: "void this.#persistStart;" }],
    why: "after a restart the log that the snapshot replaced is there again",
  },
  {
    name: "hole-in-the-log-filled-by-nobody",
    engine: "raft",
    invariant: "raft R4",
    edits: [
      {
        file: "src/consensus/raft/progress.ts",
        find: "this.#next = logIndex(Math.max(Math.min(refused, candidate + 1), this.#match + 1));",
        replace: "this.#next = logIndex(Math.max(refused + 1, this.#match + 1));",
      },
    ],
    why: "a refusal does not move the leader back, so a follower that lags never catches up",
  },
  {
    name: "no-check-quorum",
    engine: "raft",
    invariant: "election E2",
    edits: [
      {
        file: leading,
        find: "if (!this.#isConnected(state)) {",
        replace: "if (!this.#isConnected(state) && dueMs < 0) {",
      },
    ],
    why: "a leader that hears nobody keeps those who hear it waiting",
  },
];
