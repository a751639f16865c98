/** Bugs of changes of members: from when a configuration counts, what is enough meanwhile, who counts. */
import type { Mutant } from "./mutant.ts";

const membership = "src/consensus/raft/membership.ts";
const configuration = "src/consensus/contract/configuration.ts";

export const raftMembers: readonly Mutant[] = [
  {
    name: "configuration-counts-from-commit",
    engine: "raft",
    invariant: "raft R6",
    edits: [
      {
        file: "src/consensus/raft/replica.ts",
        find: "return this.log.configuration;",
        replace: "return this.log.configurationAt(this.#commit);",
      },
    ],
    why: "nodes decide by a configuration that another may have left already (thesis, 4.1)",
  },
  {
    name: "joint-left-before-committed",
    engine: "raft",
    invariant: "raft R6",
    edits: [
      {
        file: membership,
        find: "committed(state: Leader): void {\n    if (this.#isOpen) return;",
        replace: "committed(state: Leader): void {",
      },
      {
        file: membership,
        find: 'assert(!this.#isOpen, "R6: one change at a time", { index: this.#replica.log.configurationIndex });',
        replace: "",
      },
    ],
    why: "the new half decides alone while the old one does not know of it",
  },
  {
    name: "change-during-a-change",
    engine: "raft",
    invariant: "raft R6",
    edits: [
      {
        file: membership,
        find: "if (isJoint(configuration) || this.#isOpen) {\n      effects.refuse",
        replace: "if (commit < 0) {\n      effects.refuse",
      },
      {
        file: membership,
        find: 'assert(!this.#isOpen, "R6: one change at a time", { index: this.#replica.log.configurationIndex });',
        replace: "",
      },
    ],
    why: "a second change forgets the half that the first one still has to ask",
  },
  {
    name: "configuration-not-rolled-back",
    engine: "raft",
    invariant: "raft R6",
    edits: [
      {
        file: "src/consensus/raft/log.ts",
        find: "while ((this.#configurations.at(-1)?.index ?? 0) >= from) this.#configurations.pop();",
        replace: "",
      },
    ],
    why: "a configuration whose entry was cut off stays in force",
  },
  {
    name: "change-without-joint-consensus",
    engine: "raft",
    invariant: "raft R6",
    edits: [
      {
        file: "src/consensus/raft/change.ts",
        find: "return { members, outgoing: sameIds(before, after) ? [] : before };",
        replace: "return { members, outgoing: sameIds(before, after) ? before.slice(0, 0) : [] };",
      },
    ],
    why: "two sets of voters without a common one decide side by side",
  },
  {
    name: "commit-by-the-new-half",
    engine: "raft",
    invariant: "quorum Q1",
    edits: [
      {
        file: "src/consensus/quorum/quorum.ts",
        find: "return Math.min(committedIndex(voters.incoming, match), committedIndex(voters.outgoing, match));",
        replace: "return committedIndex(voters.incoming, match);",
      },
    ],
    why: "in a joint configuration copies of the new half are enough",
  },
  {
    name: "commit-by-the-old-half",
    engine: "raft",
    invariant: "quorum Q1",
    edits: [
      {
        file: "src/consensus/quorum/quorum.ts",
        find: "return Math.min(committedIndex(voters.incoming, match), committedIndex(voters.outgoing, match));",
        replace: "return committedIndex(voters.outgoing.length > 0 ? voters.outgoing : voters.incoming, match);",
      },
    ],
    why: "in a joint configuration copies of the old half are enough",
  },
  {
    name: "learner-counted-in-a-commit",
    engine: "raft",
    invariant: "quorum Q1",
    edits: [
      {
        file: "src/consensus/raft/leading.ts",
        find: "const index = jointCommittedIndex(voters, match);",
        replace:
          "const incoming = this.#replica.configuration.members.map((m) => m.id);\n    const index = jointCommittedIndex({ incoming, outgoing: voters.outgoing }, match);",
      },
    ],
    why: "copies at nodes that have no vote make an entry committed",
  },
  {
    name: "old-half-not-sent-to",
    engine: "raft",
    invariant: "raft R6",
    edits: [
      {
        file: configuration,
        find: "const ids = new Set<NodeId>(configuration.outgoing);",
        replace: "const ids = new Set<NodeId>(configuration.outgoing.slice(0, 0));",
      },
    ],
    why: "voters that are being left must decide and get nothing to decide on",
  },
  {
    name: "removed-leader-stays",
    engine: "raft",
    invariant: "raft R6",
    edits: [
      {
        file: membership,
        find: 'else if (!isVoter(configuration, id)) this.#handover.resign(state, "no longer a voter");',
        replace: "else void [isVoter, id];",
      },
    ],
    why: "a leader that removed itself goes on leading a group that it is no member of",
  },
  {
    name: "learner-never-promoted",
    engine: "raft",
    invariant: "raft R6",
    edits: [
      {
        file: membership,
        find: "if (nowMs - round.startedMs < options.electionMs) return true;",
        replace: "if (nowMs - round.startedMs < 0 * options.electionMs) return true;",
      },
    ],
    why: "a learner that has caught up and is to vote never does",
  },
];
