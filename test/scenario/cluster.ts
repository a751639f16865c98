/**
 * A cluster of consensus cores with a host's duties done by hand: virtual time, links that can be cut, held, doubled and
 * reordered, disks that finish when told and lose what was not synced, snapshots, and the safety observer after every step.
 * Owns    the duties 1–6 of `consensus/contract/core.ts`, for the whole cluster, in one thread and without a promise.
 * Leaves  what happens when to its callers: the script runner (`script.ts`) and the random runs (`test/conformance`).
 *
 * C1. A core gets inputs one at a time, at times that never go back on its own clock.
 * C2. Records reach the disk in the order in which steps returned them. A crash keeps a prefix of what was open.
 * C3. Frames are never altered: each is checked against its checksum as it left.
 * C4. A command is applied only after its effects' records were handed to the disk.
 */
import { crc32 } from "node:zlib";
import { assert } from "../../src/base/assert.ts";
import { fromUtf8, utf8 } from "../../src/base/bytes.ts";
import { type LogIndex, logIndex, type NodeId, type Term, term } from "../../src/base/ids.ts";
import {
  type Configuration,
  EMPTY_CONFIGURATION,
  findMember,
  type Member,
} from "../../src/consensus/contract/configuration.ts";
import type {
  ConsensusCore,
  CoreEvent,
  CoreFactory,
  CoreOptions,
  Effects,
  Input,
  LogStart,
  ReadGrant,
  Role,
  StepOutcome,
} from "../../src/consensus/contract/core.ts";
import { isSticky, type LogRecord, RecordKind } from "../../src/consensus/contract/record.ts";
import { type Lens, type Safety, SafetyObserver } from "./safety.ts";

export type Tunables = Omit<CoreOptions, "id" | "incarnation" | "random" | "crc32" | "priority">;

export const defaultTunables: Tunables = {
  heartbeatMs: 50,
  electionMs: 500,
  leaseMs: 0,
  uncommittedEntriesMax: 1_000,
  uncommittedBytesMax: 1_000_000,
  inflightMessagesMax: 64,
  inflightBytesMax: 100_000,
  messageBytesMax: 10_000,
};

export interface ClusterOptions {
  readonly factory: CoreFactory;
  readonly lens: Lens | undefined;
  /** In force at index 0 of every founding member. */
  readonly founders: Configuration;
  readonly tunables?: Partial<Tunables>;
  /** The source of a node's randomness, uniform in [0, 1). */
  readonly random: (id: NodeId) => () => number;
  readonly priority?: (id: NodeId) => number;
  /** A node's clock: what it shows at cluster time 0, and how fast it runs. */
  readonly clock?: (id: NodeId) => { readonly offsetMs: number; readonly rate: number };
  readonly latencyMs?: number;
  readonly observe?: (fact: Fact) => void;
}

/** What happened, for traces. */
export type Fact =
  | { readonly type: "event"; readonly id: NodeId; readonly before: Role; readonly event: CoreEvent }
  | {
      readonly type: "sent";
      readonly id: NodeId;
      readonly to: NodeId;
      readonly frame: Uint8Array;
      readonly fate: "flies" | "lost";
    }
  | { readonly type: "delivered"; readonly id: NodeId; readonly from: NodeId; readonly frame: Uint8Array }
  | { readonly type: "wrote"; readonly id: NodeId; readonly ticket: number; readonly records: readonly LogRecord[] }
  | { readonly type: "synced"; readonly id: NodeId; readonly ticket: number }
  | { readonly type: "applied"; readonly id: NodeId; readonly records: readonly LogRecord[] }
  | { readonly type: "read"; readonly id: NodeId; readonly grant: ReadGrant }
  | { readonly type: "outcome"; readonly id: NodeId; readonly input: Input; readonly outcome: StepOutcome }
  | {
      readonly type: "snapshot";
      readonly id: NodeId;
      readonly peer: NodeId;
      readonly start: LogStart;
      readonly phase: "begins" | "installed" | "useless" | "failed";
    };

export interface Flight {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly frame: Uint8Array;
  readonly checksum: number;
  dueMs: number;
}

/** A snapshot on its way. */
export interface Transfer {
  readonly from: NodeId;
  readonly fromLife: number;
  readonly to: NodeId;
  readonly start: LogStart;
  dueMs: number;
}

interface OpenWrite {
  readonly ticket: number;
  readonly records: readonly LogRecord[];
  dueMs: number;
}

/** A machine: what survives a crash, and the life that does not. */
export interface Machine {
  readonly id: NodeId;
  /** Which data folder stands behind the id. */
  /** Even: these folders lose all or nothing, and so do not know what they lost. */
  incarnation: number;
  core: ConsensusCore | undefined;
  life: number;
  /** What the WAL would hand back, oldest first. */
  disk: LogRecord[];
  open: OpenWrite[];
  /** The state machine's durable checkpoint. */
  checkpoint: LogStart;
  applied: LogIndex;
  damagedUpTo: LogIndex | undefined;
  /** The term of a vote that was durable and cannot be read any more. */
  lostVoteTerm: Term | undefined;
  /** Set while the disk finishes nothing. */
  diskHeld: boolean;
  offsetMs: number;
  rate: number;
  clockMs: number;
}

const linkKey = (from: NodeId, to: NodeId): string => `${from}>${to}`;

/** Raft's vote, or the promise of a Paxos acceptor. */
export const isVote = (kind: RecordKind): boolean => kind === RecordKind.vote || kind === RecordKind.promise;

function toDisk(machine: Machine, records: readonly LogRecord[]): void {
  machine.disk.push(...records);
  if (records.some((r) => isVote(r.kind))) machine.lostVoteTerm = undefined; // a newer one says all
}

export class Cluster {
  nowMs = 0;
  readonly machines: Map<NodeId, Machine> = new Map();
  readonly safety: Safety;
  flights: Flight[] = [];
  transfers: Transfer[] = [];
  /** Snapshots leave and arrive by themselves; false: they wait for `finishTransfer`. */
  snapshotsHeld = false;
  diskMs = 0;
  /** Processes that are stopped: their frames and completions wait, their ticks are missed. */
  readonly paused: Set<NodeId> = new Set();
  /** Changed by runs that want jitter: the delay of the next frame, or undefined to lose it. */
  delay: (from: NodeId, to: NodeId) => number | undefined;
  readonly #options: ClusterOptions;
  readonly #tunables: Tunables;
  readonly #cut = new Set<string>();
  readonly #held = new Set<string>();
  #reads = 0;
  #marks = 0;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.#tunables = { ...defaultTunables, ...options.tunables };
    this.safety = options.lens?.watch?.(crc32) ?? new SafetyObserver({ lens: options.lens, crc32 });
    this.delay = () => options.latencyMs ?? 1;
    for (const member of options.founders.members) this.add(member.id, options.founders);
  }

  get ids(): readonly NodeId[] {
    return [...this.machines.keys()].sort((a, b) => a - b);
  }

  get alive(): readonly NodeId[] {
    return this.ids.filter((id) => this.machine(id).core !== undefined);
  }

  /** The live leader of the newest term. */
  get leader(): NodeId | undefined {
    let found: NodeId | undefined;
    for (const id of this.alive) {
      const core = this.core(id);
      if (core.role === "leader" && (found === undefined || core.term > this.core(found).term)) found = id;
    }
    return found;
  }

  machine(id: NodeId): Machine {
    const machine = this.machines.get(id);
    assert(machine !== undefined, "a machine of this cluster", { id });
    return machine;
  }

  core(id: NodeId): ConsensusCore {
    const { core } = this.machine(id);
    assert(core !== undefined, "a machine that runs", { id });
    return core;
  }

  // ---- machines ---------------------------------------------------------------------------------------------------

  /** A new machine with an empty disk. Without `configuration` it knows nobody and waits to be found. */
  add(id: NodeId, configuration: Configuration = EMPTY_CONFIGURATION): void {
    assert(!this.machines.has(id), "ids are not reused", { id });
    const clock = this.#options.clock?.(id) ?? { offsetMs: 0, rate: 1 };
    this.machines.set(id, {
      id,
      incarnation: 2,
      core: undefined,
      life: 0,
      disk: [],
      open: [],
      checkpoint: { index: logIndex(0), term: term(0), chain: 0, configuration },
      applied: logIndex(0),
      damagedUpTo: undefined,
      lostVoteTerm: undefined,
      diskHeld: false,
      offsetMs: clock.offsetMs,
      rate: clock.rate,
      clockMs: clock.offsetMs,
    });
    this.start(id);
  }

  /** Builds the core from what the disk holds, as a host does after a crash. */
  start(id: NodeId): void {
    const machine = this.machine(id);
    assert(machine.core === undefined, "a machine that is down", { id });
    machine.life++;
    const start = machine.checkpoint;
    const { readable, damagedUpTo } = this.safety.readDisk(machine.disk, start);
    machine.damagedUpTo ??= damagedUpTo;
    const random = this.#options.random(id);
    const priority = this.#options.priority?.(id) ?? 0;
    const core = this.#options.factory(
      { ...this.#tunables, id, incarnation: machine.incarnation, random, priority, crc32 },
      {
        start,
        records: [...machine.disk],
        damagedUpTo: machine.damagedUpTo,
        lostVoteTerm: machine.lostVoteTerm,
      },
      this.#clock(machine),
    );
    machine.applied = machine.checkpoint.index;
    machine.core = core;
    const { incarnation } = machine;
    this.safety.started(id, { start, readable, damagedUpTo: machine.damagedUpTo ?? 0, incarnation }, core.status());
    this.safety.appliedFrom(id, machine.applied);
  }

  /** Kills the process. Of the records not yet synced the first `keep` reached the disk all the same. */
  crash(id: NodeId, keep = 0): void {
    const machine = this.machine(id);
    this.core(id);
    const survived = machine.open.flatMap((write) => write.records).slice(0, keep);
    toDisk(machine, survived);
    machine.open = [];
    machine.core = undefined;
    this.safety.crashed(id, survived);
    for (const transfer of [...this.transfers]) {
      if (transfer.from === id) this.#drop(this.transfers, transfer);
      else if (transfer.to === id) this.finishTransfer(transfer, false);
    }
  }

  /**
   * Makes the durable entry at `index` of a stopped machine unreadable. Everything above it stays on disk but no longer
   * connects, which is what the host tells the core.
   */
  damage(id: NodeId, index: LogIndex): void {
    const machine = this.machine(id);
    assert(machine.core === undefined, "only a stopped machine is damaged", { id });
    const last = this.safety.durableLast(id);
    assert(index > machine.checkpoint.index && index <= last, "an entry above the checkpoint", { id, index, last });
    // Every copy of the position goes, and with it the older records that a reader would otherwise fall back to.
    machine.disk = machine.disk.filter((record) => isSticky(record.kind) || record.index !== index);
    machine.damagedUpTo = logIndex(Math.max(last, machine.damagedUpTo ?? 0));
  }

  /**
   * Makes the newest vote on a stopped machine unreadable; its header, and so its term, can still be read. Older votes are
   * still there, as in a log.
   */
  damageVote(id: NodeId): void {
    const machine = this.machine(id);
    assert(machine.core === undefined, "only a stopped machine is damaged", { id });
    const at = machine.disk.findLastIndex((record) => isVote(record.kind));
    const vote = machine.disk[at];
    assert(vote !== undefined, "a vote on the disk", { id });
    machine.disk.splice(at, 1);
    machine.lostVoteTerm = vote.term;
    machine.damagedUpTo ??= logIndex(this.safety.durableLast(id)); // a sticky record is damage like any other
  }

  /** A stopped machine loses its disk and comes back as a stranger under its old id. */
  wipe(id: NodeId): void {
    const machine = this.machine(id);
    assert(machine.core === undefined, "only a stopped machine is wiped", { id });
    machine.incarnation += 2;
    machine.disk = [];
    machine.checkpoint = { index: logIndex(0), term: term(0), chain: 0, configuration: EMPTY_CONFIGURATION };
    machine.damagedUpTo = undefined;
    machine.lostVoteTerm = undefined;
    this.safety.wiped(id);
    this.start(id);
  }

  // ---- inputs -----------------------------------------------------------------------------------------------------

  /** Hands one input to a running core and carries out the effects. Returns the core's answer, if the input has one. */
  input(id: NodeId, input: Input): StepOutcome | undefined {
    const machine = this.machine(id);
    const core = this.core(id);
    const now = this.#clock(machine);
    const before = core.status();
    const effects = core.step(input, now);
    this.#perform(machine, core, before.role, input, effects);
    this.safety.stepped(id, before, core.status());
    if (core.leaseHolds(now)) this.safety.leaseShown(id, core.commit);
    return effects.outcome;
  }

  propose(id: NodeId, text: string): StepOutcome {
    const body = utf8(text);
    return this.#answered(this.input(id, { type: "propose", body, bodyCrc: crc32(body) }));
  }

  /** Asks for a read index; the context is new for the whole cluster. */
  read(id: NodeId, context: number = ++this.#reads): number {
    this.safety.asked(id, context);
    this.input(id, { type: "read", context });
    return context;
  }

  change(id: NodeId, members: readonly Member[]): StepOutcome {
    if (this.safety.changing === undefined) return this.#answered(this.input(id, { type: "change", members }));
    const mark = String(++this.#marks);
    const base = this.core(id).status().configuration;
    const least = Math.min(...members.map((m) => m.id));
    const marked = members.map((m) => (m.id === least ? { ...m, address: `${m.address.split("#")[0]}#${mark}` } : m));
    const outcome = this.#answered(this.input(id, { type: "change", members: marked }));
    if (outcome.type === "accepted") this.safety.changing(mark, base);
    return outcome;
  }

  transfer(id: NodeId, to: NodeId): StepOutcome {
    return this.#answered(this.input(id, { type: "transfer", to }));
  }

  tick(id: NodeId): void {
    this.input(id, { type: "tick" });
  }

  /** Cluster time at which the core of `id` wants its next tick; Infinity if it wants none or is down. */
  wakeMs(id: NodeId): number {
    const { core, offsetMs, rate } = this.machine(id);
    if (core === undefined) return Number.POSITIVE_INFINITY;
    return Math.max(this.nowMs, (core.deadlineMs - offsetMs) / rate);
  }

  // ---- disks ------------------------------------------------------------------------------------------------------

  /** Finishes the oldest open write of a running machine. */
  sync(id: NodeId): void {
    const machine = this.machine(id);
    const write = machine.open.shift();
    if (write === undefined) return;
    toDisk(machine, write.records);
    this.safety.synced(id, write.ticket);
    this.#options.observe?.({ type: "synced", id, ticket: write.ticket });
    if (machine.core !== undefined) {
      this.input(id, { type: "durable", ticket: write.ticket });
      const repairedTo = machine.damagedUpTo;
      if (repairedTo !== undefined && machine.open.length === 0 && !this.core(id).status().damaged)
        machine.damagedUpTo = undefined;
    }
  }

  /** Makes what is applied durable, and lets the core forget all of it but the last `kept` entries. */
  checkpoint(id: NodeId, kept = 0): void {
    const machine = this.machine(id);
    const core = this.core(id);
    const start = core.startAt(machine.applied);
    assert(start !== undefined, "what is applied lies in the log or at its start", { id, applied: machine.applied });
    assert(start.chain === this.safety.committedChain(start.index), "I3: a checkpoint of what is not committed", {
      start,
    });
    machine.checkpoint = start;
    const at = core.startAt(logIndex(Math.max(core.status().first - 1, start.index - kept)));
    assert(at !== undefined, "a trim point lies in the log", { id });
    if (at.index >= core.status().first) this.input(id, { type: "trim", start: at });
  }

  /** Rewrites the disk as a WAL does that recycles segments: sticky records once, no entries below a checkpoint. */
  recycle(id: NodeId): void {
    const machine = this.machine(id);
    const newest = new Map<number, LogRecord>();
    for (const record of machine.disk) if (isSticky(record.kind)) newest.set(record.kind, record);
    const start = Math.max(newest.get(RecordKind.start)?.index ?? 0, machine.checkpoint.index);
    machine.disk = [...newest.values(), ...machine.disk.filter((r) => !isSticky(r.kind) && r.index > start)];
  }

  // ---- network ----------------------------------------------------------------------------------------------------

  cut(from: NodeId, to: NodeId): void {
    this.#cut.add(linkKey(from, to));
  }

  /** Frames on the link pile up until `release`. */
  hold(from: NodeId, to: NodeId): void {
    this.#held.add(linkKey(from, to));
  }

  release(from: NodeId, to: NodeId): void {
    this.#held.delete(linkKey(from, to));
    for (const flight of this.flights) {
      if (flight.from === from && flight.to === to) flight.dueMs = Math.max(flight.dueMs, this.nowMs);
    }
  }

  heal(): void {
    this.#cut.clear();
    for (const key of this.#held) {
      for (const flight of this.flights) if (linkKey(flight.from, flight.to) === key) flight.dueMs = this.nowMs;
    }
    this.#held.clear();
  }

  isCut(from: NodeId, to: NodeId): boolean {
    return this.#cut.has(linkKey(from, to));
  }

  isHeld(from: NodeId, to: NodeId): boolean {
    return this.#held.has(linkKey(from, to));
  }

  /** Hands a frame over now; it stays in flight when `keep` is set, so that it can arrive again. */
  deliver(flight: Flight, keep = false): void {
    if (!keep) this.#drop(this.flights, flight);
    assert(crc32(flight.frame) === flight.checksum, "C3: a frame was changed after it was sent", {
      from: flight.from,
      to: flight.to,
    });
    if (this.machines.get(flight.to)?.core === undefined) return;
    this.#options.observe?.({ type: "delivered", id: flight.to, from: flight.from, frame: flight.frame });
    const { from, to, frame } = flight;
    this.input(to, { type: "message", from, frame, isStranger: this.#isStranger(to, from) });
  }

  lose(flight: Flight): void {
    this.#drop(this.flights, flight);
  }

  /** Ends a snapshot's transfer: the receiver installs it, unless it failed or is of no use any more. */
  finishTransfer(transfer: Transfer, ok: boolean): void {
    this.#drop(this.transfers, transfer);
    const { from, to, start } = transfer;
    const receiver = this.machine(to);
    const arrives = ok && receiver.core !== undefined;
    if (!arrives) this.#options.observe?.({ type: "snapshot", id: from, peer: to, start, phase: "failed" });
    else if (start.index <= receiver.applied) {
      this.#options.observe?.({ type: "snapshot", id: from, peer: to, start, phase: "useless" });
    } else {
      // The host replaces the state in one durable write, then tells the core; a crash in between is a restart from there.
      this.safety.installing(to, start);
      receiver.checkpoint = start;
      receiver.applied = start.index;
      this.#options.observe?.({ type: "snapshot", id: from, peer: to, start, phase: "installed" });
      this.input(to, { type: "installed", start });
    }
    const sender = this.machine(from);
    if (sender.core !== undefined && sender.life === transfer.fromLife) {
      this.input(from, { type: "snapshot-sent", peer: to, index: start.index, ok: arrives });
    }
  }

  // ---- time -------------------------------------------------------------------------------------------------------

  /** Lets time pass, with disks, links, snapshots and ticks doing what is due, one thing at a time. */
  run(ms: number): void {
    const endMs = this.nowMs + ms;
    while (this.#next(endMs));
    this.nowMs = endMs;
  }

  /** The process goes on: what waited in its sockets comes first, then the tick that it missed. */
  resume(id: NodeId): void {
    this.paused.delete(id);
    const waiting = this.flights.filter((f) => f.to === id && f.dueMs <= this.nowMs && !this.isHeld(f.from, id));
    for (const flight of waiting) this.deliver(flight);
    this.tick(id);
  }

  /** Runs until `done`, at most `ms`; false if it never came. */
  runUntil(done: () => boolean, ms: number): boolean {
    const endMs = this.nowMs + ms;
    while (!done()) {
      if (!this.#next(endMs)) {
        this.nowMs = endMs;
        return done();
      }
    }
    return true;
  }

  /** The earliest thing due; at one time disks come first, then frames in the order sent, then snapshots, then ticks. */
  #next(endMs: number): boolean {
    let atMs = Number.POSITIVE_INFINITY;
    let act: (() => void) | undefined;
    const offer = (dueMs: number, what: () => void): void => {
      if (dueMs >= atMs) return;
      atMs = dueMs;
      act = what;
    };
    for (const [id, machine] of this.machines) {
      const write = machine.open[0];
      if (write !== undefined && !machine.diskHeld && !this.paused.has(id))
        offer(Math.max(write.dueMs, this.nowMs), () => this.sync(id));
    }
    for (const flight of this.flights) {
      if (this.#held.has(linkKey(flight.from, flight.to)) || this.paused.has(flight.to)) continue;
      offer(Math.max(flight.dueMs, this.nowMs), () => this.deliver(flight));
    }
    if (!this.snapshotsHeld) {
      for (const transfer of this.transfers) {
        const ok = !this.isCut(transfer.from, transfer.to);
        offer(Math.max(transfer.dueMs, this.nowMs), () => this.finishTransfer(transfer, ok));
      }
    }
    for (const id of this.machines.keys()) if (!this.paused.has(id)) offer(this.wakeMs(id), () => this.#wake(id));
    if (act === undefined || atMs > endMs) return false;
    this.nowMs = atMs;
    act();
    return true;
  }

  #wake(id: NodeId): void {
    const core = this.core(id);
    const machine = this.machine(id);
    machine.clockMs = Math.max(machine.clockMs, core.deadlineMs);
    const { deadlineMs } = core;
    this.tick(id);
    if (machine.core === undefined) return;
    assert(this.core(id).deadlineMs > deadlineMs, "a tick at its deadline moves the deadline", { id, deadlineMs });
  }

  // ---- effects ----------------------------------------------------------------------------------------------------

  #perform(machine: Machine, core: ConsensusCore, roleBefore: Role, input: Input, effects: Effects): void {
    const { id } = machine;
    const observe = this.#options.observe;
    let role = roleBefore;
    for (const event of effects.events) {
      observe?.({ type: "event", id, before: role, event });
      if (event.type === "role") role = event.role;
    }
    if (effects.outcome !== undefined) observe?.({ type: "outcome", id, input, outcome: effects.outcome });
    if (effects.persist !== undefined) {
      const { ticket, records } = effects.persist;
      assert(records.length > 0, "an empty write", { id, ticket });
      machine.open.push({ ticket, records, dueMs: this.nowMs + this.diskMs });
      observe?.({ type: "wrote", id, ticket, records });
      this.safety.persisted(id, ticket, records);
    }
    if (input.type === "propose" && effects.outcome !== undefined) {
      this.safety.proposed(id, fromUtf8(input.body), effects.outcome);
    }
    for (const { to, frame } of effects.send) this.#send(id, to, frame);
    this.#apply(machine, effects.committed);
    for (const grant of effects.reads) {
      this.safety.granted(id, grant.context, grant.index);
      observe?.({ type: "read", id, grant });
    }
    for (const event of effects.events)
      if (event.type === "need-snapshot") this.#sendSnapshot(machine, core, event.peer);
  }

  #send(id: NodeId, to: NodeId, frame: Uint8Array): void {
    assert(to !== id, "nobody writes to himself", { id });
    this.safety.sent(id, to, frame);
    const delayMs = this.isCut(id, to) ? undefined : this.delay(id, to);
    this.#options.observe?.({ type: "sent", id, to, frame, fate: delayMs === undefined ? "lost" : "flies" });
    if (delayMs === undefined) return;
    this.flights.push({ from: id, to, frame, checksum: crc32(frame), dueMs: this.nowMs + delayMs });
  }

  #apply(machine: Machine, records: readonly LogRecord[]): void {
    if (records.length === 0) return;
    this.safety.committing(machine.id, records, (record) => fromUtf8(record.body));
    const fresh = records.filter((record) => record.index > machine.applied);
    for (const record of fresh) {
      this.safety.applied(machine.id, record);
      machine.applied = record.index;
    }
    if (fresh.length > 0) this.#options.observe?.({ type: "applied", id: machine.id, records: fresh });
  }

  /** Sends the state as it stands, at the index it has reached. */
  #sendSnapshot(machine: Machine, core: ConsensusCore, peer: NodeId): void {
    if (this.transfers.some((t) => t.from === machine.id && t.to === peer)) return;
    const start = core.startAt(machine.applied);
    assert(start !== undefined, "what is applied lies in the log or at its start", { id: machine.id });
    this.#options.observe?.({ type: "snapshot", id: machine.id, peer, start, phase: "begins" });
    this.transfers.push({ from: machine.id, fromLife: machine.life, to: peer, start, dueMs: this.nowMs + 5 });
  }

  // ---- leaves -----------------------------------------------------------------------------------------------------

  #clock(machine: Machine): number {
    machine.clockMs = Math.max(machine.clockMs, machine.offsetMs + this.nowMs * machine.rate);
    return machine.clockMs;
  }

  /** What a host learns from a connection's greeting: is this the data folder that the configuration names? */
  #isStranger(at: NodeId, id: NodeId): boolean {
    const bound = findMember(this.core(at).status().configuration, id)?.incarnation ?? 0;
    return bound !== 0 && bound !== this.machine(id).incarnation;
  }

  #answered(outcome: StepOutcome | undefined): StepOutcome {
    assert(outcome !== undefined, "a proposal, change or transfer is answered at once");
    return outcome;
  }

  #drop<T>(list: T[], item: T): void {
    const at = list.indexOf(item);
    assert(at >= 0, "still under way");
    list.splice(at, 1);
  }
}
