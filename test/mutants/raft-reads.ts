/** Bugs of reads: what confirms a read index, and how long a lease holds. */
import type { Mutant } from "./mutant.ts";

const reading = "src/consensus/raft/reading.ts";
const reads = "src/consensus/raft/reads.ts";

export const raftReads: readonly Mutant[] = [
  {
    name: "read-index-before-the-own-commit",
    engine: "raft",
    invariant: "raft R5",
    edits: [
      {
        file: reading,
        find: "if (commit < state.opening) {\n      state.reads.hold(context);",
        replace: "if (commit < 0) {\n      state.reads.hold(context);",
      },
      {
        file: reading,
        find: "grant.index === undefined || (state.opening <= grant.index && grant.index <= commit),",
        replace: "grant.index === undefined || grant.index <= commit,",
      },
    ],
    why: "a new leader does not know yet all that was committed before it",
  },
  {
    name: "read-without-a-quorum",
    engine: "raft",
    invariant: "raft R5",
    edits: [
      {
        file: reading,
        find: "return hasQuorum(voters, (voter) => voter === id || (state.progress.get(voter)?.round ?? 0) >= round);",
        replace: "return hasQuorum(voters, (voter) => voter === id || state.progress.size >= 0 * round);",
      },
    ],
    why: "a leader that was replaced still answers",
  },
  {
    name: "read-rides-on-a-round-under-way",
    engine: "raft",
    invariant: "raft Q1",
    edits: [
      {
        file: reads,
        find: "this.#pending.push({ context, index, round: this.#round + 1 });",
        replace: "this.#pending.push({ context, index, round: this.#round });",
      },
    ],
    why: "answers that came before the read confirm it",
  },
  {
    name: "old-answer-confirms-a-new-round",
    engine: "raft",
    invariant: "raft Q1",
    edits: [
      {
        file: reading,
        find: "if (round > p.round) {\n      p.round = round;",
        replace: "if (round >= 0) {\n      p.round = state.reads.round;",
      },
    ],
    why: "any answer counts for the newest round, whatever it was an answer to",
  },
  {
    name: "round-of-another-term-counts",
    engine: "raft",
    invariant: "raft Q1",
    edits: [
      {
        file: "src/consensus/raft/leading.ts",
        find: "const state = this.#leadershipFor(response, isStranger);\n    const p = state?.progress.get(from);\n    if (state === undefined || p === undefined) return;\n    const { nowMs, options } = this.#replica;",
        replace:
          'const state = this.#replica.state.type === "leader" && !isStranger ? this.#replica.state : undefined;\n    const p = state?.progress.get(from);\n    if (state === undefined || p === undefined) return;\n    const { nowMs, options } = this.#replica;',
      },
    ],
    why: "the answer to a heartbeat of another term confirms a read of this one",
  },
  {
    name: "reads-of-a-fallen-leader-forgotten",
    engine: "raft",
    invariant: "raft R5",
    edits: [
      {
        file: "src/consensus/raft/replica.ts",
        find: "for (const context of this.#state.reads.drain()) this.effects.grant({ context, index: undefined });",
        replace: "this.#state.reads.drain();",
      },
    ],
    why: "reads that waited at a leader that stepped down are never answered",
  },
  {
    name: "lease-kept-over-a-transfer",
    engine: "raft",
    invariant: "raft R5",
    edits: [
      {
        file: reading,
        find: 'if (options.leaseMs === 0 || state.type !== "leader" || state.transfer !== undefined || state.askedToStand)',
        replace: 'if (options.leaseMs === 0 || state.type !== "leader")',
      },
    ],
    why: "who was asked to stand does not wait for the lease to end",
  },
  {
    name: "lease-kept-over-a-given-up-transfer",
    engine: "raft",
    invariant: "raft R5",
    edits: [
      {
        file: reading,
        find: 'if (options.leaseMs === 0 || state.type !== "leader" || state.transfer !== undefined || state.askedToStand)',
        replace: 'if (options.leaseMs === 0 || state.type !== "leader" || state.transfer !== undefined)',
      },
    ],
    why: "a transfer that was given up may still arrive, and its receiver stands without waiting",
  },
  {
    name: "lease-kept-over-a-pause",
    engine: "raft",
    invariant: "raft R5",
    edits: [
      {
        file: reading,
        find: "return confirmedMs !== undefined && nowMs < confirmedMs + options.leaseMs;",
        replace: "return confirmedMs !== undefined && nowMs < nowMs + options.leaseMs;",
      },
    ],
    why: "a process that slept through its lease still answers",
  },
  {
    name: "lease-counted-from-the-answer",
    engine: "raft",
    invariant: "raft R5",
    edits: [
      {
        file: reading,
        find: "return confirmedMs !== undefined && nowMs < confirmedMs + options.leaseMs;",
        replace:
          "const heard = [...state.progress.values()].map((p) => p.lastHeardMs).sort((a, b) => b - a);\n    const heardMs = heard[(heard.length >> 1) - 1] ?? nowMs;\n    return confirmedMs !== undefined && nowMs < heardMs + options.leaseMs;",
      },
    ],
    why: "followers promised their silence when they were asked, not when their answer came",
  },
  {
    name: "lease-before-the-own-commit",
    engine: "raft",
    invariant: "raft R5",
    edits: [{ file: reading, find: "if (commit < state.opening) return false; // R5", replace: "void commit;" }],
    why: "a lease of a new leader shows a state that misses what was committed before it",
  },
];
