/** Bugs of elections: what a vote binds, who may ask for one, what is enough (bug classes of votes, wiped disks, quorums). */
import type { Mutant } from "./mutant.ts";

const election = "src/consensus/raft/election.ts";
const replica = "src/consensus/raft/replica.ts";
const recovery = "src/consensus/raft/recovery.ts";
const shared = "src/consensus/contract/election.ts";
const quorum = "src/consensus/quorum/quorum.ts";

export const raftElections: readonly Mutant[] = [
  {
    name: "vote-told-before-durable",
    engine: "raft",
    invariant: "raft R2",
    edits: [
      {
        file: election,
        find: 'replica.effects.sendAfterDurable(to, { type: "vote-response"',
        replace: 'replica.effects.release(to, { type: "vote-response"',
      },
    ],
    why: "a voter that crashes forgets the vote that it told, and gives another in the same term",
  },
  {
    name: "vote-not-recorded",
    engine: "raft",
    invariant: "raft R1",
    edits: [
      {
        file: replica,
        find: "this.#isBlank = false;\n    this.#persistVote();",
        replace: "this.#isBlank = false;\n    if (candidate === this.id) this.#persistVote();",
      },
    ],
    why: "the durable vote is skipped for everybody but oneself",
  },
  {
    name: "candidacy-told-before-durable",
    engine: "raft",
    invariant: "raft R1",
    edits: [
      {
        file: election,
        find: "replica.effects.sendAfterDurable(peer, this.#request(peer, replica.term, { pre: false, transfer })); // R1",
        replace: "replica.effects.release(peer, this.#request(peer, replica.term, { pre: false, transfer }));",
      },
    ],
    why: "a candidate that crashes may vote for another in the term in which it asked for votes",
  },
  {
    name: "own-vote-counted-before-durable",
    engine: "raft",
    invariant: "raft R1",
    edits: [
      {
        file: replica,
        find: 'this.enter({ type: "candidate", votes: new Map(),',
        replace: 'this.enter({ type: "candidate", votes: new Map([[this.id, true]]),',
      },
      {
        file: election,
        find: "replica.becomeCandidate(why);",
        replace:
          'replica.becomeCandidate(why);\n    if (replica.state.type === "candidate") this.#tally(replica.state);',
      },
    ],
    why: "a leader is made with a vote that its own disk may lose",
  },
  {
    name: "two-votes-a-term",
    engine: "raft",
    invariant: "raft R1",
    edits: [
      {
        file: election,
        find: "const isFree = replica.votedFor === undefined || replica.votedFor === from; // R1",
        replace: "const isFree = from > 0;",
      },
      {
        file: replica,
        find: "if (this.#votedFor === undefined) this.#castVote(candidate);",
        replace:
          "if (this.#votedFor !== candidate) {\n      this.#votedFor = undefined;\n      this.#castVote(candidate);\n    }",
      },
    ],
    why: "a voter gives its vote to everyone who asks",
  },
  {
    name: "vote-for-shorter-log",
    engine: "raft",
    invariant: "raft R1",
    edits: [
      {
        file: election,
        find: "request.lastTerm > lastTerm || (request.lastTerm === lastTerm && request.lastIndex >= lastIndex)",
        replace: "request.lastTerm >= lastTerm && lastIndex >= 0",
      },
    ],
    why: "a leader of the right last term misses entries that are committed",
  },
  {
    name: "vote-for-longer-instead-of-newer-log",
    engine: "raft",
    invariant: "raft R1",
    edits: [
      {
        file: election,
        find: "request.lastTerm > lastTerm || (request.lastTerm === lastTerm && request.lastIndex >= lastIndex)",
        replace: "lastTerm >= 0 && request.lastIndex >= lastIndex",
      },
    ],
    why: "many uncommitted entries of an old term outweigh a committed one of a newer term (paper, 5.4.1)",
  },
  {
    name: "vote-forgotten-at-restart",
    engine: "raft",
    invariant: "raft R1",
    edits: [
      {
        file: recovery,
        find: "newest = { ...vote, isBlank: newest.isBlank && vote.isBlank };",
        replace: "newest = { ...vote, votedFor: undefined, isBlank: newest.isBlank && vote.isBlank };",
      },
    ],
    why: "the term is read back, the vote in it is not",
  },
  {
    name: "lost-vote-forgotten",
    engine: "raft",
    invariant: "raft R1",
    edits: [
      {
        file: recovery,
        find: "if (lostVoteTerm === undefined || lostVoteTerm < newest.term) return",
        replace: "if (lostVoteTerm === undefined || lostVoteTerm >= 0) return",
      },
    ],
    why: "a vote whose record cannot be read any more is taken for one that was never given",
  },
  {
    name: "lost-vote-free-again",
    engine: "raft",
    invariant: "raft R1",
    edits: [
      {
        file: recovery,
        find: 'return { term: lostVoteTerm, votedFor: "unreadable", isBlank: false, isUnwritten: true };',
        replace: "return { term: lostVoteTerm, votedFor: undefined, isBlank: false, isUnwritten: true };",
      },
    ],
    why: "the term of a lost vote is kept, but the vote is given again",
  },
  {
    name: "damaged-node-votes",
    engine: "raft",
    invariant: "raft R7",
    edits: [
      {
        file: election,
        find: "if (replica.isDamaged || replica.isUnbound) return false; // R7",
        replace: "if (replica.isUnbound) return false;",
      },
      {
        file: replica,
        find: 'assert(this.#damagedUpTo === undefined, "R7: a damaged node does not vote", { upTo: this.#damagedUpTo });',
        replace: "",
      },
    ],
    why: "a node that lost acknowledged entries helps to elect a leader without them",
  },
  {
    name: "damaged-node-stands",
    engine: "raft",
    invariant: "election E1",
    edits: [
      {
        file: shared,
        find: "return node.isNeeded && !node.isDamaged && !node.isUnbound && !node.isStalled;",
        replace: "return node.isNeeded && !node.isUnbound && !node.isStalled;",
      },
    ],
    why: "a node that lost acknowledged entries becomes the leader",
  },
  {
    name: "wiped-founder-votes",
    engine: "host",
    invariant: "raft R9",
    edits: [
      {
        file: election,
        find: "if (replica.isBlank && request.lastIndex > 0 && !this.#isKnownBy(request)) return false; // R9",
        replace: "",
      },
      {
        file: "src/group/group.ts",
        find: "mayPropose: () => !this.#members.isUnbound &&",
        replace: "mayPropose: () => this.#members.list.length >= 0 &&",
      },
    ],
    why: "a founder whose disk was wiped votes against what it acknowledged",
  },
  {
    name: "stranger-vote-counted",
    engine: "host",
    invariant: "group N1",
    edits: [
      {
        file: "src/consensus/raft/raft.ts",
        find: "if (!isStranger) this.#election.voteResponse(from, message);",
        replace: "if (from > 0) this.#election.voteResponse(from, message);",
      },
    ],
    why: "the vote of a new data folder under an old id counts as that of the old one",
  },
  {
    name: "no-pre-vote",
    engine: "raft",
    invariant: "election E2",
    edits: [
      {
        file: election,
        find: 'this.#standPre(state.type === "follower" ? "election timeout" : "no majority in time");',
        replace: 'this.#stand("election timeout", false);',
      },
    ],
    why: "a node that is cut off raises its term again and again, and ends the leadership when it comes back",
  },
  {
    name: "live-leader-disturbed",
    engine: "raft",
    invariant: "election E3",
    edits: [
      {
        file: shared,
        find: "return view.isLeader || ((view.knowsLeader || this.#leasesOn) && this.#heardRecently(nowMs));",
        replace: "return view.isLeader;",
      },
    ],
    why: "who hears a leader helps to replace it, while that leader answers reads under its lease",
  },
  {
    name: "lease-forgotten-at-restart",
    engine: "raft",
    invariant: "election E3",
    edits: [
      {
        file: shared,
        find: "this.#heardMs = timing.leaseMs > 0 ? nowMs : Number.NEGATIVE_INFINITY;",
        replace: "this.#heardMs = Math.min(nowMs, Number.NEGATIVE_INFINITY);",
      },
    ],
    why: "a voter that starts again elects a new leader while the old one may still hold a lease",
  },
  {
    name: "lease-ignored-when-a-link-breaks",
    engine: "raft",
    invariant: "election E3",
    edits: [
      {
        file: shared,
        find: "view.isLeader || ((view.knowsLeader || this.#leasesOn) && this.#heardRecently(nowMs));",
        replace: "view.isLeader || (view.knowsLeader && this.#heardRecently(nowMs));",
      },
      { file: shared, find: "return !this.#leasesOn;", replace: "return this.#timing.leaseMs >= 0;" },
    ],
    why: "a lost connection is taken for the end of the lease that stands on it",
  },
  {
    name: "majority-of-an-even-number-halved",
    engine: "raft",
    invariant: "quorum Q1",
    edits: [
      { file: quorum, find: "return Math.floor(count / 2) + 1;", replace: "return Math.floor((count + 1) / 2);" },
    ],
    why: "two of four are enough, so two halves decide apart",
  },
  {
    name: "majority-less-one",
    engine: "raft",
    invariant: "quorum Q1",
    edits: [
      {
        file: quorum,
        find: "return Math.floor(count / 2) + 1;",
        replace: "return Math.max(1, Math.floor(count / 2));",
      },
    ],
    why: "one of three decides",
  },
  {
    name: "joint-vote-as-union",
    engine: "raft",
    invariant: "quorum Q1",
    edits: [
      {
        file: quorum,
        find: "const incoming = voteResult(voters.incoming, vote);\n  const outgoing = voteResult(voters.outgoing, vote);",
        replace:
          "const incoming = voteResult([...voters.incoming, ...voters.outgoing], vote);\n  const outgoing = incoming;",
      },
    ],
    why: "in a joint configuration a majority of both halves together decides, although it may be none of one of them",
  },
  {
    name: "joint-vote-by-the-new-half",
    engine: "raft",
    invariant: "quorum Q1",
    edits: [
      {
        file: quorum,
        find: "const outgoing = voteResult(voters.outgoing, vote);",
        replace: "const outgoing = voters.outgoing.length >= 0 ? incoming : incoming;",
      },
    ],
    why: "in a joint configuration the old half is not asked for votes",
  },
];
