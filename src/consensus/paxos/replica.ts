/**
 * The acceptor and the learner of one node, over all slots: the part of Multi-Paxos that every node has, whoever leads.
 * Source  Lamport 2001, sections 2.2, 2.3 and 3. Damage: Alagappan et al. 2018, "PAR".
 * Owns    the promise, what is accepted, what is known to be chosen, and catching up with it from any replica.
 * Leaves  who leads to `paxos.ts`, proposing to `leadership.ts`, phase 1 of a candidate to `candidacy.ts`.
 *
 * P1. `single-decree.ts`'s rule guards prepare and accept alike, for all slots at once; promise and acceptance are durable
 *     before the answer leaves.
 * P4. A slot is known to be chosen if this node accepted it under the very ballot whose leader says so, or if a replica that
 *     knows it told the value. An acceptance under an older ballot may have lost, whatever the watermark says.
 * P5. An acceptor serves only ballots of the era that it has reached: in a later one it first learns what began it. So the
 *     voters of an era can always finish it, even if nobody else who knows its end is left.
 * P6. An acceptor that lost acknowledged slots gives no promise and acknowledges nothing until all that it can have
 *     acknowledged is known to be chosen. A promise that is lost binds as one that can be read, when its ballot is known;
 *     else the acceptor stays mute.
 * P7. Chosen entries are handed up in order, each once, when this node's own disk holds them.
 * P8. A founder that holds nothing and has promised nothing may be one whose disk was wiped: it answers only candidates that
 *     hold nothing either; and whoever holds something does not help such a one to stand: by its own promise to itself it
 *     would seem whole, and answer others as if it had never held anything.
 */
import { assert } from "../../base/assert.ts";
import { type LogIndex, logIndex, type NodeId } from "../../base/ids.ts";
import {
  type Configuration,
  findMember,
  incomingVoters,
  isUnboundReplacement,
  isVoter,
} from "../contract/configuration.ts";
import type { CoreOptions, LogStart, Recovered } from "../contract/core.ts";
import { isSlot, type LogRecord, RecordKind } from "../contract/record.ts";
import type { QuorumSystem, QuorumVerdict } from "../quorum/quorum-system.ts";
import { type Ballot, eraOf, isSettled, NO_BALLOT, settledBallot } from "./ballot.ts";
import { PaxosLog } from "./log.ts";
import type { AskChosen, ChosenValue, PaxosAccept, Report, TellChosen } from "./messages.ts";
import { Outbox } from "./outbox.ts";
import { mayAnswer } from "./single-decree.ts";
import {
  acceptedRecord,
  chosenRecord,
  digestOf,
  promiseRecord,
  readAccepted,
  readPromise,
  sameValue,
  slotEra,
  type SlotValue,
  startRecord,
  ValueTag,
} from "./value.ts";

/** Larger values are reported as digests and fetched only if nobody near has them. */
const SMALL_VALUE_BYTES = 512;
const HELD_MAX = 256;
/** The chosen watermark is written along with other records now and then: it only saves a restart some questions. */
const CHOSEN_RECORD_EVERY = 32;
const NONE: readonly never[] = [];

/** The quorums of a configuration, or why it has none that are safe. */
export type QuorumsOf = (configuration: Configuration) => QuorumVerdict;

export class Replica {
  readonly options: CoreOptions;
  readonly id: NodeId;
  readonly log: PaxosLog;
  readonly out: Outbox = new Outbox();
  nowMs: number;
  readonly #quorumsOf: QuorumsOf;
  #promised: Ballot = NO_BALLOT;
  #isBlank: boolean;
  #damagedUpTo: LogIndex | undefined;
  #promiseLost: boolean;
  /** There is a record of it: one goes ahead of the first slot, so that slots without a promise mean that it was lost. */
  #keepsPromise: boolean;
  #emitted: LogIndex;
  #recordedChosen: LogIndex;
  #quorums: { readonly configuration: Configuration; readonly system: QuorumSystem } | undefined;
  /** The question under way to a replica that knows more. */
  #asked: { readonly peer: NodeId; readonly after: LogIndex; readonly atMs: number } | undefined;
  /** The slots ahead of the chosen ones in which values are kept: beyond, catching up is cheaper than holding. */
  readonly #window: number;

  constructor(options: CoreOptions, recovered: Recovered, nowMs: number, quorumsOf: QuorumsOf) {
    this.options = options;
    this.id = options.id;
    this.nowMs = nowMs;
    this.#quorumsOf = quorumsOf;
    const { start } = recovered;
    this.log = new PaxosLog(start);
    this.#damagedUpTo = recovered.damagedUpTo;
    this.#emitted = start.index;
    this.#window = 2 * options.uncommittedEntriesMax + 1_024;
    const promise = this.#recover(recovered);
    const lost = recovered.lostVoteTerm;
    this.#promised = promise?.promised ?? NO_BALLOT;
    this.#keepsPromise = promise !== undefined;
    const isOwed = recovered.damagedUpTo !== undefined || this.log.last > start.index;
    this.#promiseLost = promise === undefined && lost === undefined && isOwed;
    this.#isBlank =
      start.index === 0 &&
      this.log.last === 0 &&
      isVoter(start.configuration, options.id) &&
      (promise === undefined || promise.isBlank);
    this.#recordedChosen = this.log.chosen;
    if (lost !== undefined && lost >= this.#promised) this.#keepPromise(lost); // again, before the damaged record may go
    this.#checkRepaired();
  }

  get promised(): Ballot {
    return this.#promised;
  }

  get isBlank(): boolean {
    return this.#isBlank;
  }

  get isEmpty(): boolean {
    return this.log.last === 0;
  }

  /** P6. */
  get isDamaged(): boolean {
    return this.#damagedUpTo !== undefined || this.#promiseLost;
  }

  get configuration(): Configuration {
    return this.log.configuration;
  }

  /** P6: says nothing as an acceptor. */
  get isMute(): boolean {
    return this.isDamaged || this.isUnbound;
  }

  get isUnbound(): boolean {
    return isUnboundReplacement(this.log.configuration, this.id, this.options.incarnation ?? 0);
  }

  /** Whether this data folder has a vote; a wiped disk under a voter's id has none. */
  get isVoter(): boolean {
    const own = this.options.incarnation ?? 0;
    const member = findMember(this.log.configuration, this.id);
    return member?.role === "voter" && (own === 0 || member.incarnation === 0 || member.incarnation === own);
  }

  /** Of the configuration in force. */
  get quorums(): QuorumSystem {
    const { configuration } = this.log;
    if (this.#quorums?.configuration !== configuration) {
      const verdict = this.#quorumsOf(configuration);
      assert(verdict.type === "system", "a configuration in force has quorums that meet", verdict);
      this.#quorums = { configuration, system: verdict.system };
    }
    return this.#quorums.system;
  }

  /** Why a configuration must not come into force. */
  objectionTo(configuration: Configuration): string | undefined {
    const verdict = this.#quorumsOf(configuration);
    return verdict.type === "system" ? undefined : verdict.fault.why;
  }

  get otherVoters(): readonly NodeId[] {
    return incomingVoters(this.log.configuration).filter((id) => id !== this.id);
  }

  maskOf(has: (id: NodeId) => boolean): number {
    const { voters } = this.quorums;
    let mask = 0;
    for (let i = 0; i < voters.length; i++) {
      const id = voters[i];
      if (id !== undefined && has(id)) mask |= 1 << i;
    }
    return mask;
  }

  // ---------------------------------------------------------------- the acceptor

  /** P1. */
  mayAnswer(ballot: Ballot): boolean {
    return mayAnswer(this.#promised, ballot);
  }

  /** Promises `ballot`: its record is handed out with this step. A blank replica that promises is blank no more. */
  promise(ballot: Ballot): void {
    assert(this.mayAnswer(ballot), "P1: a promise never goes back", { ballot, promised: this.#promised });
    assert(!this.isMute, "P6: a damaged acceptor promises nothing");
    if (ballot === this.#promised) return;
    this.#isBlank = false;
    this.#keepPromise(ballot);
  }

  /** A ballot that has a leader already: nobody below it is served any more. Says nothing to anybody. */
  follow(ballot: Ballot): void {
    if (ballot > this.#promised) this.#keepPromise(ballot);
  }

  /** With a ballot of a new era goes what ended the last one: else a restart could be bound by an era it does not know. */
  #keepPromise(ballot: Ballot): void {
    if (this.#promiseLost) {
      this.#promised = ballot; // but not on disk: the next start would take it for the one that is lost, and answer
      return;
    }
    if (eraOf(ballot) > eraOf(this.#promised)) this.#recordChosen();
    this.#promised = ballot;
    this.#keepsPromise = true;
    this.out.persist(promiseRecord(ballot, this.#isBlank, this.options.crc32));
  }

  /** Accepts what it can; returns the range to acknowledge, or undefined. The caller has checked the ballot. */
  accept(message: PaxosAccept): readonly [LogIndex, LogIndex] | undefined {
    const { ballot, first, values } = message;
    assert(ballot === this.#promised, "P1: accepted under the promised ballot", { ballot, promised: this.#promised });
    let last: LogIndex = logIndex(first - 1);
    for (let i = 0; i < values.length; i++) {
      const value = values[i];
      const index = logIndex(first + i);
      if (value === undefined || index > this.log.chosen + this.#window) break;
      if (slotEra(value) !== eraOf(ballot)) break; // no leader sends that
      if (!this.#acceptOne(index, ballot, value)) break;
      last = index;
    }
    if (last < first || this.isMute) return undefined;
    return [first, last];
  }

  /**
   * False: another value was chosen here. The message is late, from a leader that lost the slot; whoever took over from it
   * may never have been heard here, only what it chose, so the promise does not tell.
   */
  #acceptOne(index: LogIndex, ballot: Ballot, value: SlotValue): boolean {
    const held = this.log.slot(index);
    const isSame = held === undefined || sameValue(held.value, value);
    const isKept = held !== undefined && held.ballot >= ballot && eraOf(held.ballot) === eraOf(ballot);
    assert(isSame || held.ballot !== ballot, "P3: one value a ballot", { index, ballot });
    if (index <= this.log.chosen || isKept) return isSame;
    this.file(index, ballot, value);
    return true;
  }

  /** Puts a value into a slot and hands out its record. */
  file(index: LogIndex, ballot: Ballot, value: SlotValue): void {
    this.#isBlank = false;
    if (!this.#keepsPromise) this.#keepPromise(this.#promised);
    this.log.put(index, ballot, value, this.out.ticket);
    this.out.persist(acceptedRecord(index, ballot, value));
  }

  /** What phase 1 wants to know of the slots above `chosen`. */
  *reports(withValues: boolean): Iterable<Report> {
    for (let i = this.log.chosen + 1; i <= this.log.last; i++) {
      const index = logIndex(i);
      const slot = this.log.slot(index);
      if (slot === undefined) continue;
      const { ballot, value } = slot;
      const near = withValues || value.body.length <= SMALL_VALUE_BYTES;
      yield { index, ballot, digest: digestOf(value), value: near ? value : undefined };
    }
  }

  // ---------------------------------------------------------------- the learner

  /** P4: what was accepted under `ballot` is chosen up to `upTo`, says its leader. */
  settleUpTo(ballot: Ballot, upTo: LogIndex): void {
    while (this.log.chosen < upTo && this.log.slot(logIndex(this.log.chosen + 1))?.ballot === ballot) this.settleNext();
    this.#settleFiled();
  }

  settleNext(): void {
    const slot = this.log.choose();
    if (slot.value.tag === ValueTag.stop) {
      const { configuration, configurationIndex: index } = this.log;
      this.out.event({ type: "configuration", configuration, index, committed: true });
    }
    this.#checkRepaired();
  }

  /** P6. */
  #checkRepaired(): void {
    if (this.#damagedUpTo === undefined || this.log.chosen < this.#damagedUpTo) return;
    this.out.event({ type: "repaired", upTo: this.#damagedUpTo });
    this.#damagedUpTo = undefined;
  }

  /** `peer` knows of chosen slots that we do not: ask it, unless a question is under way. */
  noteChosen(peer: NodeId, chosen: LogIndex): void {
    if (chosen <= this.log.chosen) return;
    const asked = this.#asked;
    if (asked !== undefined && this.nowMs - asked.atMs < this.options.heartbeatMs) return;
    this.#asked = { peer, after: this.log.chosen, atMs: this.nowMs };
    const held: { index: LogIndex; digest: ReturnType<typeof digestOf> }[] = [];
    for (let i = this.log.chosen + 1; i <= this.log.last && held.length < HELD_MAX; i++) {
      const slot = this.log.slot(logIndex(i));
      if (slot !== undefined) held.push({ index: logIndex(i), digest: digestOf(slot.value) });
    }
    this.out.send(peer, { type: "ask-chosen", after: this.log.chosen, held });
  }

  /** Says how far this replica knows the log, to voters that may know less. */
  announce(): void {
    const { chosen, start } = this.log;
    for (const peer of this.otherVoters) {
      this.out.send(peer, { type: "tell-chosen", after: chosen, start: start.index, chosen, values: [] });
    }
  }

  /** Answers any replica. False: what it needs first is trimmed here, so that it needs a snapshot. */
  tellChosen(to: NodeId, message: AskChosen): boolean {
    const { after } = message;
    const { start, chosen } = this.log;
    const values: ChosenValue[] = [];
    if (after >= start.index) {
      let bytes = 0;
      let at = 0;
      for (let i = after + 1; i <= chosen; i++) {
        const slot = this.log.slot(logIndex(i));
        assert(slot !== undefined, "L1: chosen slots are held", { index: i });
        while ((message.held[at]?.index ?? i) < i) at++;
        const held = message.held[at];
        if (held?.index === i && sameValue(held.digest, slot.value)) {
          values.push({ type: "held", digest: digestOf(slot.value) });
          bytes += 16;
        } else {
          bytes += slot.value.body.length + 16;
          if (values.length > 0 && bytes > this.options.messageBytesMax) break;
          values.push({ type: "value", value: slot.value });
        }
        if (bytes > this.options.messageBytesMax) break;
      }
    }
    this.out.send(to, { type: "tell-chosen", after, start: start.index, chosen, values });
    return after >= start.index;
  }

  /** Chosen values from a replica that knows them; asks on if there are more. */
  learn(from: NodeId, message: TellChosen): void {
    const before = this.log.chosen;
    for (let i = 0; i < message.values.length; i++) {
      const told = message.values[i];
      const index = logIndex(message.after + 1 + i);
      if (told === undefined || index > this.log.chosen + 1) break;
      const slot = this.log.slot(index);
      const digest = told.type === "held" ? told.digest : told.value;
      const isHeld = slot !== undefined && sameValue(slot.value, digest);
      if (index <= this.log.chosen) {
        assert(slot === undefined || isHeld, "P3: a chosen slot has one value", { index, from });
        continue;
      }
      if (slotEra(told.type === "held" ? told.digest : told.value) !== this.log.era) break; // not of this group
      if (!isHeld) {
        if (told.type === "held") break; // replaced since we asked
        this.file(index, settledBallot(this.log.era), told.value);
      }
      this.settleNext();
    }
    if (this.log.chosen > before) this.#asked = undefined;
    else if (message.after < message.start) return; // trimmed there: a snapshot is to come
    this.noteChosen(from, message.chosen);
  }

  // ---------------------------------------------------------------- handing up

  /** How far this disk holds what is known to be chosen: as much as may be built on, for example that it can vote. */
  get durableChosen(): LogIndex {
    let index = this.#emitted;
    while (index < this.log.chosen && (this.log.slot(logIndex(index + 1))?.ticket ?? 0) <= this.out.completed) {
      index = logIndex(index + 1);
    }
    return index;
  }

  /** P7. */
  takeCommitted(): readonly LogRecord[] {
    let index = this.#emitted + 1;
    if (index > this.log.chosen) return NONE;
    const entries: LogRecord[] = [];
    for (; index <= this.log.chosen; index++) {
      const slot = this.log.slot(logIndex(index));
      assert(slot !== undefined, "L1: chosen slots are held", { index });
      if (slot.ticket > this.out.completed) break;
      entries.push(this.log.entry(logIndex(index)));
    }
    this.#emitted = logIndex(index - 1);
    return entries.length === 0 ? NONE : entries;
  }

  /** Rides along with what is written anyway. */
  noteChosenRecord(): void {
    if (this.out.hasRecords && this.log.chosen - this.#recordedChosen >= CHOSEN_RECORD_EVERY) this.#recordChosen();
  }

  #recordChosen(): void {
    if (this.log.chosen <= this.#recordedChosen) return;
    this.#recordedChosen = this.log.chosen;
    this.out.persist(chosenRecord(this.log.chosen, this.options.crc32));
  }

  /** Everything up to `start` is in a checkpoint: from now on a log without that checkpoint is one with a hole. */
  trim(start: LogStart): void {
    if (start.index <= this.log.start.index) return;
    this.log.trim(start);
    this.out.persist(startRecord(start, this.options.crc32));
  }

  /** Returns true if the snapshot moved the log. */
  installed(start: LogStart): boolean {
    if (start.index <= this.log.chosen) {
      const here = this.log.startAt(start.index);
      assert(here === undefined || here.chain === start.chain, "P3: chosen logs are equal", { index: start.index });
      this.#emitted = logIndex(Math.max(this.#emitted, start.index)); // the state has it, even if our disk was slower
      return false;
    }
    const { configuration } = this.log;
    this.log.install(start);
    this.out.persist(startRecord(start, this.options.crc32));
    this.#isBlank = false;
    this.#emitted = start.index;
    this.#asked = undefined;
    if (start.configuration !== configuration) {
      const { index } = start;
      this.out.event({ type: "configuration", configuration: start.configuration, index, committed: true });
    }
    this.#settleFiled();
    this.#checkRepaired();
    return true;
  }

  // ---------------------------------------------------------------- start

  #recover(recovered: Recovered): ReturnType<typeof readPromise> | undefined {
    let promise: ReturnType<typeof readPromise> | undefined;
    let chosen: LogIndex = recovered.start.index;
    const newest = new Map<LogIndex, LogRecord>();
    for (const record of recovered.records) {
      if (record.kind === RecordKind.promise) {
        const read = readPromise(record);
        if (promise === undefined || read.promised >= promise.promised) promise = read;
      } else if (record.kind === RecordKind.chosen) {
        if (record.index > chosen) chosen = record.index;
      } else if (isSlot(record.kind)) {
        if (record.index > recovered.start.index) newest.set(record.index, record);
      } else {
        const isOurs = record.kind === RecordKind.start; // its checkpoint is here, or the host has reported a hole
        assert(isOurs, "the records are those of a Paxos group", { kind: record.kind, index: record.index });
      }
    }
    for (const index of [...newest.keys()].sort((a, b) => a - b)) {
      const record = newest.get(index);
      if (record !== undefined) this.log.put(index, record.term, readAccepted(record), 0);
    }
    // Where records are missing, a slot's newest may be one of them, and what is read of it was never chosen: then only what
    // was filed as chosen is believed. The rest is asked for again, by digest.
    const believed = recovered.damagedUpTo === undefined ? chosen : recovered.start.index;
    while (this.log.chosen < believed && this.log.slot(logIndex(this.log.chosen + 1)) !== undefined) this.log.choose();
    this.#settleFiled();
    assert(this.log.chosen >= chosen || recovered.damagedUpTo !== undefined, "a hole is reported as damage", {
      chosen,
      held: this.log.chosen,
    });
    return promise;
  }

  /** A value under the settled ballot of its era was known to be chosen when it was filed. */
  #settleFiled(): void {
    for (;;) {
      const slot = this.log.slot(logIndex(this.log.chosen + 1));
      if (slot === undefined || !isSettled(slot.ballot) || eraOf(slot.ballot) !== this.log.era) return;
      this.settleNext();
    }
  }
}
