/** Bugs of Multi-Paxos: promises and acceptances, what phase 1 concludes, what phase 2 counts, eras, reads, learning. */
import type { Mutant } from "./mutant.ts";

const replica = "src/consensus/paxos/replica.ts";
const respondent = "src/consensus/paxos/respondent.ts";
const candidacy = "src/consensus/paxos/candidacy.ts";
const recovery = "src/consensus/paxos/recovery.ts";
const leadership = "src/consensus/paxos/leadership.ts";
const core = "src/consensus/paxos/paxos.ts";
const reads = "src/consensus/paxos/reads.ts";

const acceptor: readonly Mutant[] = [
  {
    name: "promise-told-before-durable",
    engine: "paxos",
    invariant: "paxos P1",
    edits: [
      { file: respondent, find: 'out.sendDurable(to, { type: "promise"', replace: 'out.send(to, { type: "promise"' },
    ],
    why: "an acceptor that crashes forgets what it promised, and accepts below it",
  },
  {
    name: "promise-not-recorded",
    engine: "paxos",
    invariant: "paxos P1",
    edits: [
      {
        file: replica,
        find: "this.out.persist(promiseRecord(ballot, this.#isBlank, this.options.crc32));",
        replace:
          "if (ballot % 1024 === this.id) this.out.persist(promiseRecord(ballot, this.#isBlank, this.options.crc32));",
      },
    ],
    why: "a promise to another is kept in memory only",
  },
  {
    name: "acceptance-told-before-durable",
    engine: "paxos",
    invariant: "paxos P1",
    edits: [
      {
        file: respondent,
        find: 'replica.out.sendDurable(from, { type: "accepted"',
        replace: 'replica.out.send(from, { type: "accepted"',
      },
    ],
    why: "an acceptor acknowledges a value that a crash takes away",
  },
  {
    name: "acceptance-not-recorded",
    engine: "paxos",
    invariant: "paxos P1",
    edits: [
      {
        file: replica,
        find: "this.out.persist(acceptedRecord(index, ballot, value));",
        replace: "if (index % 5 !== 0) this.out.persist(acceptedRecord(index, ballot, value));",
      },
    ],
    why: "what is accepted in some slots never reaches the disk",
  },
  {
    name: "promise-ignored-on-accept",
    engine: "paxos",
    invariant: "paxos P1",
    edits: [
      {
        file: respondent,
        find: "if (eraOf(ballot) < replica.log.era || !replica.mayAnswer(ballot)) {",
        replace: "if (eraOf(ballot) < replica.log.era) {",
      },
      {
        file: replica,
        find: 'assert(ballot === this.#promised, "P1: accepted under the promised ballot", { ballot, promised: this.#promised });',
        replace: "",
      },
    ],
    why: "an acceptor that promised a ballot accepts under a lower one",
  },
  {
    name: "promise-taken-back-for-a-lower-ballot",
    engine: "paxos",
    invariant: "paxos P1",
    edits: [
      {
        file: respondent,
        find: 'if (!replica.mayAnswer(ballot)) return this.#sendRefusal(from, ballot, "promised");\n    if (ballot > replica.promised) {',
        replace: "if (ballot !== replica.promised) {",
      },
      {
        file: replica,
        find: 'assert(this.mayAnswer(ballot), "P1: a promise never goes back", { ballot, promised: this.#promised });',
        replace: "",
      },
    ],
    why: "an acceptor that promised a ballot promises a lower one afterwards, and accepts under it",
  },
  {
    name: "promise-forgotten-at-restart",
    engine: "paxos",
    invariant: "paxos P1",
    edits: [
      {
        file: replica,
        find: "if (promise === undefined || read.promised >= promise.promised) promise = read;",
        replace: "if (promise === undefined || read.promised < promise.promised) promise = read;",
      },
    ],
    why: "after a restart the oldest promise binds, not the newest",
  },
  {
    name: "lost-promise-forgotten",
    engine: "paxos",
    invariant: "paxos P6",
    edits: [
      {
        file: replica,
        find: "if (lost !== undefined && lost >= this.#promised) this.#keepPromise(lost);",
        replace: "if (lost !== undefined && lost < 0) this.#keepPromise(lost);",
      },
    ],
    why: "a promise whose record cannot be read any more is taken for one that was never given",
  },
  {
    name: "damaged-acceptor-promises",
    engine: "paxos",
    invariant: "paxos P6",
    edits: [
      {
        file: respondent,
        find: 'if (replica.isMute) return this.#ignore(from, "prepare", "what was promised or accepted here is lost"); // P6',
        replace: "",
      },
      { file: replica, find: 'assert(!this.isMute, "P6: a damaged acceptor promises nothing");', replace: "" },
      { file: respondent, find: "!replica.isMute &&\n", replace: "" },
    ],
    why: "an acceptor that lost what it accepted reports that it has accepted nothing",
  },
  {
    name: "acceptor-repaired-too-early",
    engine: "paxos",
    invariant: "paxos P6",
    edits: [
      {
        file: replica,
        find: "if (this.#damagedUpTo === undefined || this.log.chosen < this.#damagedUpTo) return;",
        replace: "if (this.#damagedUpTo === undefined || this.log.chosen === this.log.start.index) return;",
      },
    ],
    why: "an acceptor speaks again before it has got back all that it may have accepted",
  },
  {
    name: "kept-value-acknowledged-for-another",
    engine: "paxos",
    invariant: "paxos P3",
    edits: [
      {
        file: replica,
        find: "if (index <= this.log.chosen || isKept) return isSame;",
        replace: "if (index <= this.log.chosen || held !== undefined) return true;",
      },
    ],
    why: "an acceptor acknowledges a new value and keeps the old one",
  },
  {
    name: "late-value-replaces-a-newer-one",
    engine: "paxos",
    invariant: "paxos P1",
    edits: [
      {
        file: "src/consensus/paxos/single-decree.ts",
        find: "asked >= promised;",
        replace: "asked + 2 * 1024 >= promised;",
      },
      {
        file: replica,
        find: 'assert(ballot === this.#promised, "P1: accepted under the promised ballot", { ballot, promised: this.#promised });',
        replace: "",
      },
    ],
    why: "a ballot a little below the promised one is served",
  },
];

const phase1: readonly Mutant[] = [
  {
    name: "prepare-told-before-durable",
    engine: "paxos",
    invariant: "paxos P13",
    edits: [
      {
        file: candidacy,
        find: "for (const peer of replica.otherVoters) replica.out.sendDurable(peer, this.#prepare(false));",
        replace: "for (const peer of replica.otherVoters) replica.out.send(peer, this.#prepare(false));",
      },
    ],
    why: "a candidate that crashes uses its ballot a second time",
  },
  {
    name: "own-promise-counted-before-durable",
    engine: "paxos",
    invariant: "paxos P3",
    edits: [{ file: candidacy, find: "if (replica.out.completed < this.#ticket) return WAIT;", replace: "" }],
    why: "a lone voter leads under a ballot that its disk may forget",
  },
  {
    name: "ballot-used-again",
    engine: "paxos",
    invariant: "paxos P13",
    edits: [
      {
        file: "src/consensus/paxos/ballot.ts",
        find: "const round = eraOf(seen) === era ? roundOf(seen) + 1 : 1;",
        replace:
          "const again = nodeOf(seen) === node && roundOf(seen) > 0 ? 0 : 1;\n  const round = eraOf(seen) === era ? roundOf(seen) + again : 1;",
      },
    ],
    why: "a proposer that starts again proposes other values under its old ballot",
  },
  {
    name: "phase-1-quorum-one-short",
    engine: "paxos",
    invariant: "paxos P3",
    edits: [
      {
        file: candidacy,
        find: "if (!replica.quorums.isPhase1(mask)) return WAIT;",
        replace: "if (!replica.quorums.isPhase1(mask | (mask + 1))) return WAIT;",
      },
    ],
    why: "a leader takes over from a set that may have missed what was chosen",
  },
  {
    name: "half-a-promise-counted",
    engine: "paxos",
    invariant: "paxos P2",
    edits: [
      {
        file: recovery,
        find: "return promised !== undefined && promised.arrived.size === promised.parts;",
        replace: "return promised !== undefined && promised.arrived.size > 0;",
      },
    ],
    why: "phase 1 concludes before all of an acceptor's reports have come",
  },
  {
    name: "promise-of-another-ballot-counted",
    engine: "paxos",
    invariant: "paxos P2",
    edits: [
      {
        file: candidacy,
        find: "if (message.ballot === this.ballot) this.#recovery.add(from, message);",
        replace: "if (message.ballot <= this.ballot) this.#recovery.add(from, message);",
      },
    ],
    why: "the promise to an earlier attempt counts, made before what came since",
  },
  {
    name: "value-of-the-lowest-ballot",
    engine: "paxos",
    invariant: "paxos P2",
    edits: [
      {
        file: "src/consensus/paxos/single-decree.ts",
        find: "if (best === undefined || report.ballot > best.ballot) best = report;",
        replace: "if (best === undefined || report.ballot < best.ballot) best = report;",
      },
    ],
    why: "a slot gets the value that lost instead of the one that was chosen",
  },
  {
    name: "value-of-the-first-answer",
    engine: "paxos",
    invariant: "paxos P2",
    edits: [
      {
        file: "src/consensus/paxos/single-decree.ts",
        find: "if (best === undefined || report.ballot > best.ballot) best = report;",
        replace: "best ??= report;",
      },
    ],
    why: "whoever answers first decides what a slot gets",
  },
  {
    name: "reports-passed-over",
    engine: "paxos",
    invariant: "paxos P2",
    edits: [
      {
        file: recovery,
        find: "for (const report of promised.reports) take({ ...report, by: id });",
        replace: "for (const report of promised.reports.slice(1)) take({ ...report, by: id });",
      },
    ],
    why: "the first slot that an acceptor reports is taken for free",
  },
  {
    name: "values-above-a-gap-dropped",
    engine: "paxos",
    invariant: "paxos P2",
    edits: [
      { file: recovery, find: "if (index > last) last = index;", replace: "if (index === last + 1) last = index;" },
    ],
    why: "a gap is taken for the end, although slots above it may be chosen",
  },
  {
    name: "trimmed-slots-taken-for-free",
    engine: "paxos",
    invariant: "paxos P9",
    edits: [
      {
        file: candidacy,
        find: 'if (start > log.chosen) return { type: "give-up", why: "what is missing here is trimmed elsewhere" };\n    if (chosen > log.chosen) {',
        replace: "if (start < 0 || chosen < 0) {",
      },
      {
        file: respondent,
        find: "eraOf(ballot) < replica.log.era || message.chosen < replica.log.start.index) {",
        replace: "eraOf(ballot) < replica.log.era) {",
      },
      {
        file: recovery,
        find: 'assert(this.furthest.chosen <= chosen, "P9: chosen slots are learned first", { chosen, far: this.furthest.chosen });',
        replace: "",
      },
    ],
    why: "slots that others know to be chosen are proposed anew",
  },
  {
    name: "stop-entry-dropped-for-older-values",
    engine: "paxos",
    invariant: "paxos P10",
    edits: [
      {
        file: recovery,
        find: "if (other.index <= stop.index || other.ballot < stop.ballot) continue;\n      assert(other.ballot > stop.ballot,",
        replace: "if (other.index <= stop.index) continue;\n      assert(other.ballot !== stop.ballot,",
      },
    ],
    why: "a change of members that was chosen is undone by leftovers above it",
  },
  {
    name: "values-of-another-era-counted",
    engine: "paxos",
    invariant: "paxos P10",
    edits: [
      {
        file: recovery,
        find: "if (report.index <= chosen || eraOf(report.ballot) !== era) return;",
        replace: "if (report.index <= chosen || eraOf(report.ballot) > era) return;",
      },
    ],
    why: "leftovers of an era that is over come back behind its end",
  },
];

const phase2: readonly Mutant[] = [
  {
    name: "own-acceptance-counted-before-durable",
    engine: "paxos",
    invariant: "paxos P3",
    edits: [
      {
        file: leadership,
        find: "replica.file(index, this.#ballot, value);",
        replace:
          "replica.file(index, this.#ballot, value);\n    if (this.#ownBit >= 0) this.#ring.mark(index, index, this.#ownBit);",
      },
    ],
    why: "a leader counts an acceptance that its own disk may lose",
  },
  {
    name: "phase-2-quorum-one-short",
    engine: "paxos",
    invariant: "paxos P3",
    edits: [
      {
        file: leadership,
        find: "replica.quorums.isPhase2(this.#ring.at(this.#ring.first))",
        replace: "replica.quorums.isPhase2(this.#ring.at(this.#ring.first) | (this.#ring.at(this.#ring.first) + 1))",
      },
    ],
    why: "a value counts as chosen with one acceptance too few",
  },
  {
    name: "acceptance-of-another-ballot-counted",
    engine: "paxos",
    invariant: "paxos P3",
    edits: [
      {
        file: core,
        find: "if (message.ballot !== state.leadership.ballot) return;",
        replace: "if (message.ballot > state.leadership.ballot) return;",
      },
    ],
    why: "acceptances under an earlier ballot of the same leader count for other values",
  },
  {
    name: "older-acceptance-taken-for-chosen",
    engine: "paxos",
    invariant: "paxos P4",
    edits: [
      {
        file: replica,
        find: "this.log.slot(logIndex(this.log.chosen + 1))?.ballot === ballot) this.settleNext();",
        replace: "this.log.slot(logIndex(this.log.chosen + 1)) !== undefined && ballot >= 0) this.settleNext();",
      },
    ],
    why: "a replica that accepted a value under an older ballot takes it for the one that was chosen",
  },
  {
    name: "slot-marked-for-its-neighbour",
    engine: "paxos",
    invariant: "paxos P3",
    edits: [
      {
        file: "src/consensus/paxos/ack-ring.ts",
        find: "const last = Math.min(to, this.#end - 1);",
        replace: "const last = Math.min(to + 1, this.#end - 1);",
      },
    ],
    why: "an acknowledgement counts for one slot more than it names",
  },
  {
    name: "ring-not-cleaned",
    engine: "paxos",
    invariant: "paxos P3",
    edits: [
      {
        file: "src/consensus/paxos/ack-ring.ts",
        find: "this.#masks[this.#end & (this.#masks.length - 1)] = 0;",
        replace: "",
      },
    ],
    why: "a new slot begins with the acknowledgements of the one that had its place before",
  },
  {
    name: "proposed-above-a-stop-entry",
    engine: "paxos",
    invariant: "paxos P10",
    edits: [
      { file: leadership, find: "else if (this.stops)\n", replace: "else if (this.#over)\n" },
      {
        file: leadership,
        find: 'assert(this.#stop === undefined, "P10: nothing is proposed above a stop entry", { last: this.#last });',
        replace: "",
      },
      {
        file: leadership,
        find: 'assert(this.#ring.first === this.#ring.end, "P10: nothing lies above a stop entry");',
        replace: "",
      },
    ],
    why: "values are chosen by voters of an era that has ended below them",
  },
  {
    name: "recovered-stop-entry-led-on",
    engine: "paxos",
    invariant: "paxos P10",
    edits: [{ file: leadership, find: "if (!isOwn) {", replace: "if (!isOwn && this.#last < 0) {" }],
    why: "several nodes begin the next era without a phase 1",
  },
  {
    name: "change-before-the-own-opening",
    engine: "paxos",
    invariant: "paxos P12",
    edits: [
      {
        file: "src/consensus/paxos/stewardship.ts",
        find: 'if (!leadership.isOpen) return "not-ready";',
        replace: "",
      },
      {
        file: "src/consensus/paxos/stewardship.ts",
        find: 'if (leadership.stops) return "change-pending";\n    return undefined;',
        replace: "return undefined;",
      },
    ],
    why: "a change is made from a configuration that is being replaced",
  },
  {
    name: "no-check-quorum-in-phase-2",
    engine: "paxos",
    invariant: "election E2",
    edits: [{ file: leadership, find: "if (!connected) {", replace: "if (!connected && nowMs < 0) {" }],
    why: "a leader that hears nobody keeps those who hear it waiting",
  },
  {
    name: "no-canvass",
    engine: "paxos",
    invariant: "election E2",
    edits: [
      {
        file: core,
        find: 'this.#canvass(state.type === "follower" ? "election timeout" : "no quorum in time");',
        replace: 'this.#stand("election timeout", false);',
      },
      {
        file: respondent,
        find: "if (this.#forbids(from) && !message.transfer) return",
        replace: "if (message.ballot < 0) return",
      },
    ],
    why: "a node that was cut off takes over from a live leader when it comes back",
  },
];

const learning: readonly Mutant[] = [
  {
    name: "handed-up-before-durable",
    engine: "paxos",
    invariant: "paxos P7",
    edits: [{ file: replica, find: "if (slot.ticket > this.out.completed) break;", replace: "" }],
    why: "chosen entries are applied that this node's own disk does not hold",
  },
  {
    name: "read-before-the-opening",
    engine: "paxos",
    invariant: "paxos P11",
    edits: [
      {
        file: leadership,
        find: "if (!this.isOpen) {\n      this.reads.hold(context);",
        replace: "if (this.#over) {\n      this.reads.hold(context);",
      },
    ],
    why: "a new leader answers before what phase 1 found is chosen",
  },
  {
    name: "read-of-a-leader-without-a-quorum",
    engine: "paxos",
    invariant: "paxos P11",
    edits: [
      {
        file: leadership,
        find: "(id) => id === replica.id || (this.peers.get(id)?.round ?? 0) >= round));",
        replace: "(id) => id === replica.id || this.peers.size >= 0 * round));",
      },
    ],
    why: "a leader that was replaced still answers",
  },
  {
    name: "read-confirmed-by-an-earlier-round",
    engine: "paxos",
    invariant: "paxos P11",
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
    name: "any-beat-confirms",
    engine: "paxos",
    invariant: "paxos P11",
    edits: [{ file: leadership, find: "peer.round = reply.round;", replace: "peer.round = this.reads.round;" }],
    why: "an old answer counts for the newest round",
  },
  {
    name: "snapshot-drops-accepted-slots",
    engine: "paxos",
    invariant: "paxos P9",
    edits: [
      {
        file: "src/consensus/paxos/log.ts",
        find: 'assert(start.index > this.#chosen, "a snapshot goes forward", { index: start.index, chosen: this.#chosen });\n    this.#slots.splice(0, start.index - this.#start.index);',
        replace:
          'assert(start.index > this.#chosen, "a snapshot goes forward", { index: start.index, chosen: this.#chosen });\n    this.#slots = [];',
      },
    ],
    why: "values above a snapshot that were accepted, and acknowledged, are forgotten",
  },
  {
    name: "told-value-filed-for-the-next-slot",
    engine: "paxos",
    invariant: "paxos P4",
    edits: [
      {
        file: replica,
        find: "const index = logIndex(message.after + 1 + i);\n      if (told === undefined",
        replace:
          "const index = logIndex(Math.max(message.after + 1 + i, this.log.chosen + 1));\n      if (told === undefined",
      },
    ],
    why: "an answer that comes twice is learned again, further on",
  },
];

export const paxosMutants: readonly Mutant[] = [...acceptor, ...phase1, ...phase2, ...learning];
