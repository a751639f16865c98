/** Bugs of the host of a core (`src/group`): sessions, results, reads, checkpoints, snapshots, peers, the disk's word. */
import type { Mutant } from "./mutant.ts";

const sessions = "src/group/sessions.ts";
const replica = "src/group/replica.ts";
const pump = "src/group/pump.ts";
const proposer = "src/group/proposer.ts";
const checkpoints = "src/group/checkpoints.ts";
const snapshots = "src/group/snapshots.ts";
const peers = "src/group/peers.ts";

export const groupMutants: readonly Mutant[] = [
  {
    name: "sessions-not-in-the-snapshot",
    engine: "host",
    invariant: "group A1",
    edits: [
      { file: replica, find: "this.sessions.restore(input.bytes(), this.machine.results);", replace: "input.bytes();" },
    ],
    why: "a replica that started from a checkpoint does not know which commands were executed",
  },
  {
    name: "session-use-not-in-the-snapshot",
    engine: "host",
    invariant: "group S3",
    edits: [
      {
        file: sessions,
        find: "const usedAt = logIndex(input.varint());",
        replace: "const usedAt = logIndex(0 * input.varint());",
      },
    ],
    why: "a replica that started from a checkpoint evicts another session than the others",
  },
  {
    name: "repeated-command-executed-again",
    engine: "host",
    invariant: "group S1",
    edits: [
      {
        file: sessions,
        find: 'if (sequence <= session.last) return "repeated";',
        replace: 'if (sequence < session.last) return "repeated";\n    if (sequence === session.last) return "next";',
      },
    ],
    why: "a command that was sent again is executed again",
  },
  {
    name: "gap-executed",
    engine: "host",
    invariant: "group S1",
    edits: [
      {
        file: sessions,
        find: 'return sequence === session.last + 1 ? "next" : "gap";',
        replace: 'session.last = sequence - 1;\n    return "next";',
      },
    ],
    why: "commands that come before those that were lost on the way are executed, and the lost ones never",
  },
  {
    name: "batch-goes-on-after-a-gap",
    engine: "host",
    invariant: "group S1",
    edits: [
      {
        file: replica,
        find: "this.#listener.outOfSequence(session, this.sessions.last(session) + 1); // S1\n          break;",
        replace: "break;",
      },
    ],
    why: "nobody learns that commands are missing, and the client waits for ever",
  },
  {
    name: "evicted-session-begins-again",
    engine: "host",
    invariant: "group S3",
    edits: [
      {
        file: proposer,
        find: 'this.#abandonSent("session-expired");\n    this.#session = { type: "none" };',
        replace: 'this.resend();\n    this.#base = 1;\n    this.#sentBelow = 1;\n    this.#session = { type: "none" };',
      },
    ],
    why: "commands of a session that ended are sent again under a new one",
  },
  {
    name: "rejected-after-a-resend",
    engine: "host",
    invariant: "group P2",
    edits: [
      {
        file: proposer,
        find: "if (position >= this.#head + this.#everSent()) {",
        replace: "if (position >= this.#head + this.#sent) {",
      },
    ],
    why: "a command that left once and waits to be sent again is said to be rejected, and is executed",
  },
  {
    name: "answers-of-a-snapshot-passed-over",
    engine: "host",
    invariant: "group S2",
    edits: [
      {
        file: proposer,
        find: "while (this.#base <= executedUpTo && this.pendingCommands > 0) {",
        replace: "while (this.#base <= executedUpTo && this.pendingCommands < 0) {",
      },
    ],
    why: "results that came with a snapshot are not told, and the line never moves again",
  },
  {
    name: "answered-with-another-result",
    engine: "host",
    invariant: "group S2",
    edits: [
      {
        file: sessions,
        find: "return { value: session.results[sequence - session.resultsFrom] as Result };",
        replace: "return { value: session.results[0] as Result };",
      },
    ],
    why: "after a snapshot a command is answered with the result of an earlier one",
  },
  {
    name: "durable-told-before-the-sync",
    engine: "host",
    invariant: "group H1",
    edits: [
      {
        file: pump,
        find: "this.settings.wal\n      .flush()\n      .then(",
        replace:
          "this.settings.wal.flush().catch((error: unknown) => this.failed(error));\n    Promise.resolve().then(",
      },
    ],
    why: "the core is told that its records are durable while they are being written",
  },
  {
    name: "durable-told-for-later-records",
    engine: "host",
    invariant: "group H1",
    edits: [
      {
        file: pump,
        find: 'this.#flushedTicket = ticket;\n          if (this.#closed) return;\n          this.step({ type: "durable", ticket });',
        replace:
          'this.#flushedTicket = ticket;\n          if (this.#closed) return;\n          this.step({ type: "durable", ticket: this.#lastTicket });',
      },
    ],
    why: "one sync vouches for what was appended while it ran",
  },
  {
    name: "failed-sync-counts-as-done",
    engine: "host",
    invariant: "group H3",
    edits: [
      {
        file: pump,
        find: "(error: unknown) => this.failed(error),\n      )",
        replace:
          '() => {\n          this.#flushing = false;\n          this.#flushedTicket = ticket;\n          this.step({ type: "durable", ticket });\n        },\n      )',
      },
      {
        file: "src/group/disk-watchdog.ts",
        find: "wal.flush().catch((error: unknown) => this.#pump.failed(error));",
        replace: "",
      },
    ],
    why: "after an fsync that failed the node goes on as if it had succeeded",
  },
  {
    name: "log-trimmed-before-the-checkpoint",
    engine: "host",
    invariant: "group H2",
    edits: [
      {
        file: checkpoints,
        find: "await this.#durable.checkpoint(this.#port.encodeMeta(start));\n    this.#last = start.index;",
        replace:
          "const meta = this.#port.encodeMeta(start);\n    this.#trim(start.index);\n    await this.#durable.checkpoint(meta);\n    this.#last = start.index;",
      },
    ],
    why: "entries are dropped while the checkpoint that replaces them is still being written",
  },
  {
    name: "checkpoint-not-synced",
    engine: "host",
    invariant: "group H2",
    edits: [
      {
        file: "src/group/checkpoint-file.ts",
        find: "await writer.end();\n        await file.sync();",
        replace: "await writer.end();",
      },
    ],
    why: "the name of the new checkpoint is durable before its bytes are",
  },
  {
    name: "checkpoint-name-not-synced",
    engine: "host",
    invariant: "group H2",
    edits: [
      {
        file: "src/group/checkpoint-file.ts",
        find: "await disk.syncDirectory(this.#folder);\n    } finally {",
        replace: "} finally {",
      },
    ],
    why: "a crash brings the old checkpoint back, and the log begins behind the new one",
  },
  {
    name: "checkpoint-written-in-place",
    engine: "host",
    invariant: "group H2",
    edits: [
      {
        file: "src/group/checkpoint-file.ts",
        find: "const aside = `${this.#folder}/checkpoint.new`;",
        replace: "const aside = `${this.#folder}/checkpoint`;",
      },
    ],
    why: "a crash while a checkpoint is written destroys the one before it",
  },
  {
    name: "snapshot-not-durable-before-the-log-goes",
    engine: "host",
    invariant: "group H2",
    edits: [
      {
        file: snapshots,
        find: "await checkpoints.writeWithPatience(snapshot.meta); // before the WAL forgets what it replaces",
        replace: "",
      },
    ],
    why: "the log begins behind a state that only memory holds",
  },
  {
    name: "snapshot-chunks-in-any-order",
    engine: "host",
    invariant: "group X1",
    edits: [
      {
        file: "src/group/snapshot-transfer.ts",
        find: "if (chunk.offset !== incoming.offset || this.#ports.kernels.crc32(chunk.bytes) !== chunk.crc) {",
        replace: "if (this.#ports.kernels.crc32(chunk.bytes) !== chunk.crc) {",
      },
    ],
    why: "chunks that are repeated or lost make another state",
  },
  {
    name: "snapshot-installed-unfinished",
    engine: "host",
    invariant: "group X1",
    edits: [
      {
        file: "src/group/snapshot-transfer.ts",
        find: "if (!chunk.last) {\n      this.#progress",
        replace: "if (!chunk.last && incoming.offset < 300) {\n      this.#progress",
      },
    ],
    why: "a snapshot is installed before its last chunk has come",
  },
  {
    name: "overtaken-snapshot-installed",
    engine: "host",
    invariant: "group X2",
    edits: [
      {
        file: snapshots,
        find: "if (snapshot.start.index <= core.commit) {",
        replace: "if (snapshot.start.index < 0) {",
      },
    ],
    why: "the state goes back to a snapshot that entries have overtaken",
  },
  {
    name: "applied-during-an-installation",
    engine: "host",
    invariant: "group X1",
    edits: [{ file: "src/group/applier.ts", find: "this.#isWhole = false;", replace: "void this.#isWhole;" }],
    why: "entries are applied to a state that is being replaced",
  },
  {
    name: "read-before-applied",
    engine: "host",
    invariant: "group G1",
    edits: [
      {
        file: "src/group/read-gate.ts",
        find: "} else if (index <= applied) {",
        replace: "} else if (index >= 0 * applied) {",
      },
    ],
    why: "a read is answered from a replica that has not applied up to the read index",
  },
  {
    name: "read-joins-a-request-under-way",
    engine: "host",
    invariant: "group G1",
    edits: [
      {
        file: "src/group/read-gate.ts",
        find: "add(reader: Reader): void {\n    this.#waiting.push(reader);",
        replace:
          "add(reader: Reader): void {\n    const [context, round] = [...this.#rounds].at(-1) ?? [];\n    if (context !== undefined && round !== undefined) {\n      this.#rounds.set(context, { ...round, readers: [...round.readers, reader] });\n      return;\n    }\n    this.#waiting.push(reader);",
      },
    ],
    why: "a read rides on a request that was sent before it came",
  },
  {
    name: "lease-not-checked-when-the-answer-leaves",
    engine: "host",
    invariant: "raft R5",
    edits: [
      {
        file: "src/group/reads.ts",
        find: "return core.leaseHolds(ports.clock.monotonicMs()) && this.#state.applied >= core.commit && this.#state.isWhole;",
        replace: "return core.leaseHolds(ports.clock.monotonicMs()) && this.#state.isWhole;",
      },
    ],
    why: "under a lease the state is shown before what is committed is applied",
  },
  {
    name: "read-by-whoever-is-asked",
    engine: "host",
    invariant: "raft R5",
    edits: [
      {
        file: "src/group/reads.ts",
        find: 'if (this.#pump.isLeader) this.#askCore(from, context);\n    else this.#pump.send(from, { type: "read-grant", context, index: logIndex(0) });',
        replace:
          'if (this.#pump.isLeader) this.#askCore(from, context);\n    else this.#pump.send(from, { type: "read-grant", context, index: this.#state.applied });',
      },
    ],
    why: "a node that does not lead any more grants reads of what it has",
  },
  {
    name: "stranger-not-marked",
    engine: "host",
    invariant: "group N1",
    edits: [
      {
        file: peers,
        find: "const isStranger = expected !== from.incarnation && (expected !== 0 || isReplacement(from.incarnation));",
        replace: "const isStranger = expected < 0 && isReplacement(from.incarnation);",
      },
    ],
    why: "votes and acknowledgements of a new data folder under an old id count",
  },
  {
    name: "wiped-member-stays-a-voter",
    engine: "host",
    invariant: "group M1",
    edits: [
      {
        file: "src/group/membership.ts",
        find: 'changed = true;\n      return { ...m, incarnation: met, role: "learner", promote: true }; // M1',
        replace: "changed = true;\n      return { ...m, incarnation: met };",
      },
    ],
    why: "a member that lost everything votes before it has caught up",
  },
  {
    name: "commands-before-the-voters-are-bound",
    engine: "host",
    invariant: "group M2",
    edits: [
      {
        file: "src/group/group.ts",
        find: "mayPropose: () => !this.#members.isUnbound &&",
        replace: "mayPropose: () => this.#members.list.length >= 0 &&",
      },
    ],
    why: "a founder acknowledges, is wiped, and votes as if it were the same",
  },
  {
    name: "older-life-still-heard",
    engine: "host",
    invariant: "group N2",
    edits: [
      { file: peers, find: "if (peer.life === life) return;", replace: "if (peer.life !== life || life > 0) return;" },
    ],
    why: "what a process said before it lost something counts after it has started again",
  },
  {
    name: "lost-record-not-reported",
    engine: "host",
    invariant: "raft R7",
    edits: [
      {
        file: "src/group/recovery.ts",
        find: "return hole ? logIndex(newest + unknown) : undefined;",
        replace: "return hole && newest < 0 ? logIndex(newest + unknown) : undefined;",
      },
    ],
    why: "a log that lost its end, or its vote, passes for a whole one",
  },
];
