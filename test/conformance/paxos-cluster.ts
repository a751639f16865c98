/**
 * A cluster of Paxos cores with a host's duties done by hand, and an observer that trusts no core: virtual time, frames that
 * are lost, doubled and overtaken, disks that lose what was not synced, snapshots.
 *
 * What it checks after every step:
 *   C1. One value a slot: whatever a phase-2 quorum of its era's voters has on disk under one ballot is the same in all
 *       ballots, and is what every replica hands up there, with the same chain, and as its term the highest origin so far.
 *   C2. Entries are handed up in order, without gaps, once in a life, and only what this disk holds.
 *   C3. An acknowledgement or a promise leaves only when this disk holds what it claims; durable promises never go back.
 *   C4. One leader a ballot; a ballot is led in one life only.
 *   C5. A granted read covers everything that was known to be chosen anywhere when it was asked.
 *   C6. A refused proposal is never chosen, an accepted one at its place or never, in no earlier term. Neither commit indexes nor
 *       the terms along the log ever fall.
 */
import { crc32 } from "node:zlib";
import { assert } from "../../src/base/assert.ts";
import { fromUtf8, utf8 } from "../../src/base/bytes.ts";
import { type LogIndex, logIndex, type NodeId, term } from "../../src/base/ids.ts";
import { type Configuration, EMPTY_CONFIGURATION, incomingVoters } from "../../src/consensus/contract/configuration.ts";
import type {
  ConsensusCore,
  CoreEvent,
  CoreFactory,
  CoreOptions,
  Effects,
  Input,
  LogStart,
  StepOutcome,
} from "../../src/consensus/contract/core.ts";
import { chainHash, isSlot, isSticky, type LogRecord, RecordKind } from "../../src/consensus/contract/record.ts";
import { ballotText, eraOf, isSettled } from "../../src/consensus/paxos/ballot.ts";
import { decodePaxosMessage } from "../../src/consensus/paxos/messages.ts";
import { readAccepted } from "../../src/consensus/paxos/value.ts";
import { type QuorumSystem, quorumSystem } from "../../src/consensus/quorum/quorum-system.ts";

export interface Machine {
  readonly id: NodeId;
  core: ConsensusCore | undefined;
  life: number;
  disk: LogRecord[];
  open: { readonly ticket: number; readonly records: readonly LogRecord[] }[];
  checkpoint: LogStart;
  applied: number;
  damagedUpTo: LogIndex | undefined;
  /** Slots ever synced here, with the ballots: what may have been acknowledged. */
  readonly held: Map<number, Set<number>>;
  promised: number;
  commit: number;
  readonly reads: Map<number, number>;
  nextTicket: number;
}

export interface Flight {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly frame: Uint8Array;
}

interface Chosen {
  readonly term: number;
  readonly chain: number;
  readonly text: string;
}

export interface PaxosClusterOptions {
  readonly factory: CoreFactory;
  readonly founders: Configuration;
  readonly quorumsOf?: (configuration: Configuration) => QuorumSystem;
  readonly tunables: Omit<CoreOptions, "id" | "random" | "crc32" | "priority">;
  readonly random: () => number;
  readonly observe?: (line: string) => void;
}

export class PaxosCluster {
  nowMs = 0;
  readonly machines: Map<NodeId, Machine> = new Map();
  flights: Flight[] = [];
  transfers: { readonly from: NodeId; readonly life: number; readonly to: NodeId; readonly start: LogStart }[] = [];
  readonly cut: Set<string> = new Set();
  readonly counts: Record<string, number> = {};
  readonly #options: PaxosClusterOptions;
  /** C1: what a quorum of disks holds, by slot; and what is handed up. */
  readonly #truth = new Map<number, number>();
  readonly #log: Chosen[] = [];
  readonly #votersOfEra = new Map<number, QuorumSystem>();
  readonly #leaders = new Map<number, string>();
  readonly #accepted = new Map<string, { readonly index: number; readonly term: number }>();
  readonly #refused = new Set<string>();
  #contexts = 0;

  constructor(options: PaxosClusterOptions) {
    this.#options = options;
    this.#votersOfEra.set(0, this.#quorums(options.founders));
    for (const { id } of options.founders.members) this.add(id, options.founders);
  }

  #quorums(configuration: Configuration): QuorumSystem {
    if (this.#options.quorumsOf !== undefined) return this.#options.quorumsOf(configuration);
    const verdict = quorumSystem({ type: "majority" }, incomingVoters(configuration));
    assert(verdict.type === "system", "a majority");
    return verdict.system;
  }

  get ids(): readonly NodeId[] {
    return [...this.machines.keys()].sort((a, b) => a - b);
  }

  get alive(): readonly NodeId[] {
    return this.ids.filter((id) => this.machine(id).core !== undefined);
  }

  get leader(): NodeId | undefined {
    let best: NodeId | undefined;
    for (const id of this.alive) {
      if (this.core(id).role !== "leader") continue;
      if (best === undefined || this.core(id).term > this.core(best).term) best = id;
    }
    return best;
  }

  get committed(): number {
    return this.#log.length;
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

  count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  // ---- machines ----

  add(id: NodeId, configuration: Configuration = EMPTY_CONFIGURATION): void {
    this.machines.set(id, {
      id,
      core: undefined,
      life: 0,
      disk: [],
      open: [],
      checkpoint: { index: logIndex(0), term: term(0), chain: 0, configuration },
      applied: 0,
      damagedUpTo: undefined,
      held: new Map(),
      promised: 0,
      commit: 0,
      reads: new Map(),
      nextTicket: 1,
    });
    this.start(id);
  }

  start(id: NodeId): void {
    const machine = this.machine(id);
    machine.life++;
    machine.applied = machine.checkpoint.index;
    machine.reads.clear();
    machine.nextTicket = 1;
    machine.core = this.#options.factory(
      { ...this.#options.tunables, id, random: this.#options.random, priority: 0, crc32 },
      { start: machine.checkpoint, records: [...machine.disk], damagedUpTo: machine.damagedUpTo },
      this.nowMs,
    );
    machine.commit = machine.core.commit;
    assert(machine.core.role !== "leader", "C4: nobody leads from the first breath", { id });
    assert(machine.core.term >= machine.promised, "C3: a promise was forgotten", { id, term: machine.core.term });
  }

  crash(id: NodeId, keep: number): void {
    const machine = this.machine(id);
    this.#write(machine, machine.open.flatMap((w) => w.records).slice(0, keep));
    machine.open = [];
    machine.core = undefined;
    this.transfers = this.transfers.filter((t) => t.from !== id);
    for (let at = this.transfers.length - 1; at >= 0; at--) {
      if (this.transfers[at]?.to === id) this.finishTransfer(at, false);
    }
    this.count("crashes");
  }

  /** Makes a synced slot of a stopped machine unreadable. False: it has none. */
  damage(id: NodeId, pick: (count: number) => number): boolean {
    const machine = this.machine(id);
    const slots = [...machine.held.keys()].filter((slot) => slot > machine.checkpoint.index);
    if (slots.length === 0) return false;
    const slot = slots[pick(slots.length)];
    machine.disk = machine.disk.filter((r) => r.index !== slot || isSticky(r.kind));
    machine.damagedUpTo = logIndex(Math.max(...slots, machine.damagedUpTo ?? 0));
    this.count("damages");
    return true;
  }

  /** As a WAL does that recycles segments. */
  recycle(id: NodeId): void {
    const machine = this.machine(id);
    const newest = new Map<string, LogRecord>();
    for (const record of machine.disk) {
      if (!isSticky(record.kind) && record.index <= machine.checkpoint.index) continue;
      const key = isSticky(record.kind) ? `kind ${record.kind}` : `slot ${record.index}`;
      newest.delete(key);
      newest.set(key, record);
    }
    machine.disk = [...newest.values()];
  }

  sync(id: NodeId): void {
    const machine = this.machine(id);
    const write = machine.open.shift();
    if (write === undefined) return;
    this.#write(machine, write.records);
    if (machine.core !== undefined) this.input(id, { type: "durable", ticket: write.ticket });
  }

  #write(machine: Machine, records: readonly LogRecord[]): void {
    for (const record of records) {
      machine.disk.push(record);
      if (record.kind === RecordKind.promise) {
        assert(record.term >= machine.promised, "C3: a promise goes back", { id: machine.id });
        machine.promised = record.term;
      } else if (isSlot(record.kind)) {
        assert(crc32(record.body) === record.bodyCrc, "a body changed on its way", { index: record.index });
        const held = machine.held.get(record.index);
        if (held === undefined) machine.held.set(record.index, new Set([record.term]));
        else held.add(record.term);
        this.#witness(record);
      }
    }
  }

  /** C1: does a phase-2 quorum of the era's voters hold this slot under this ballot? */
  #witness(record: LogRecord): void {
    const { origin } = readAccepted(record);
    const known = this.#truth.get(record.index);
    if (isSettled(record.term)) {
      assert(known === undefined || known === origin, "C1: filed as chosen what is not", { index: record.index });
      return;
    }
    const system = this.#votersOfEra.get(eraOf(record.term));
    if (system === undefined) return;
    let mask = 0;
    for (const [i, id] of system.voters.entries()) {
      if (this.machines.get(id)?.held.get(record.index)?.has(record.term) === true) mask |= 1 << i;
    }
    if (!system.isPhase2(mask)) return;
    assert(known === undefined || known === origin, "C1: two values chosen in one slot", {
      index: record.index,
      ballot: ballotText(record.term),
      origins: [known, origin],
    });
    this.#truth.set(record.index, origin);
  }

  // ---- inputs ----

  input(id: NodeId, input: Input): StepOutcome | undefined {
    const machine = this.machine(id);
    const core = this.core(id);
    const effects = core.step(input, this.nowMs);
    this.#perform(machine, core, effects);
    assert(core.commit >= machine.commit, "C6: a commit index went back", { id });
    machine.commit = core.commit;
    if (core.role === "leader") {
      const life = `${id}/${machine.life}`;
      const known = this.#leaders.get(core.term);
      assert(known === undefined || known === life, "C4: two leaders of one ballot", { known, life, term: core.term });
      if (known === undefined) {
        this.count("leaders");
        this.count(`leads ${id}`);
      }
      this.#leaders.set(core.term, life);
    }
    if (machine.damagedUpTo !== undefined && !core.status().damaged && machine.open.length === 0) {
      machine.damagedUpTo = undefined;
    }
    return effects.outcome;
  }

  propose(id: NodeId, text: string): StepOutcome {
    const body = utf8(text);
    const outcome = this.input(id, { type: "propose", body, bodyCrc: crc32(body) });
    assert(outcome !== undefined, "a proposal has an outcome");
    if (outcome.type === "refused") this.#refused.add(text);
    else this.#accepted.set(text, outcome);
    return outcome;
  }

  read(id: NodeId): void {
    const context = ++this.#contexts;
    const known = this.alive.map((other) => this.core(other).commit as number);
    this.machine(id).reads.set(context, Math.max(this.committed, ...known));
    this.input(id, { type: "read", context });
  }

  checkpoint(id: NodeId, kept: number): void {
    const machine = this.machine(id);
    const core = this.core(id);
    const start = core.startAt(logIndex(machine.applied));
    assert(start !== undefined, "what is applied lies in the log", { id, applied: machine.applied });
    machine.checkpoint = start;
    const at = core.startAt(logIndex(Math.max(core.status().first - 1, start.index - kept)));
    assert(at !== undefined, "a trim point lies in the log", { id });
    this.input(id, { type: "trim", start: at });
    this.count("trims");
  }

  finishTransfer(at: number, ok: boolean): void {
    const [transfer] = this.transfers.splice(at, 1);
    if (transfer === undefined) return;
    const { from, to, start } = transfer;
    const receiver = this.machine(to);
    const arrives = ok && receiver.core !== undefined;
    if (arrives && start.index > receiver.applied) {
      assert(this.#log[start.index - 1]?.chain === start.chain, "C1: a snapshot of another log", { start });
      receiver.checkpoint = start;
      receiver.applied = start.index;
      this.count("installs");
      this.input(to, { type: "installed", start });
    }
    const sender = this.machine(from);
    if (sender.core !== undefined && sender.life === transfer.life) {
      this.input(from, { type: "snapshot-sent", peer: to, index: start.index, ok: arrives });
    }
  }

  deliver(flight: Flight, keep = false): void {
    if (!keep) this.lose(flight);
    if (this.machines.get(flight.to)?.core === undefined) return;
    this.input(flight.to, { type: "message", from: flight.from, frame: flight.frame });
  }

  lose(flight: Flight): void {
    const at = this.flights.indexOf(flight);
    if (at >= 0) this.flights.splice(at, 1);
  }

  tickDue(id: NodeId): boolean {
    if (this.core(id).deadlineMs > this.nowMs) return false;
    this.input(id, { type: "tick" });
    return true;
  }

  /** Everything due happens in order for a while: disks are quick, frames arrive at once. */
  run(ms: number): void {
    const endMs = this.nowMs + ms;
    for (;;) {
      let busy = true;
      while (busy) {
        busy = false;
        for (const id of this.ids) {
          while (this.machine(id).open.length > 0) {
            this.sync(id);
            busy = true;
          }
        }
        const flight = this.flights[0];
        if (flight !== undefined) {
          this.deliver(flight);
          busy = true;
        }
        if (this.transfers.length > 0) {
          this.finishTransfer(0, true);
          busy = true;
        }
        for (const id of this.alive) if (this.tickDue(id)) busy = true;
      }
      const next = Math.min(...this.alive.map((id) => this.core(id).deadlineMs));
      if (!(next <= endMs)) break;
      this.nowMs = Math.max(this.nowMs, next);
    }
    this.nowMs = endMs;
  }

  // ---- effects ----

  #perform(machine: Machine, core: ConsensusCore, effects: Effects): void {
    const { id } = machine;
    if (effects.persist !== undefined) {
      const { ticket, records } = effects.persist;
      assert(ticket === machine.nextTicket++, "tickets rise by one", { id, ticket });
      machine.open.push({ ticket, records });
    }
    for (const { to, frame } of effects.send) {
      assert(to !== id, "nobody writes to himself", { id });
      this.#check(machine, frame);
      this.#options.observe?.(`${this.nowMs} ${id}>${to} ${JSON.stringify(decodePaxosMessage(frame))}`);
      if (!this.cut.has(`${id}>${to}`)) this.flights.push({ from: id, to, frame });
    }
    for (const event of effects.events) this.#event(machine, core, event);
    for (const record of effects.committed) this.#commit(machine, record);
    for (const { context, index } of effects.reads) {
      const least = machine.reads.get(context);
      assert(least !== undefined, "C5: a grant nobody waits for", { id, context });
      machine.reads.delete(context);
      if (index === undefined) continue;
      assert(index >= least, "C5: a stale read was granted", { id, index, least });
      this.count("reads");
    }
  }

  /** C3. */
  #check(machine: Machine, frame: Uint8Array): void {
    const message = decodePaxosMessage(frame);
    if (message.type === "promise" || message.type === "prepare") {
      assert(machine.promised >= message.ballot, "C3: sent before it was promised durably", { id: machine.id });
    }
    if (message.type !== "accepted") return;
    for (const [first, last] of message.ranges) {
      for (let slot = first as number; slot <= last; slot++) {
        const held = machine.held.has(slot) || slot <= machine.checkpoint.index;
        assert(held, "C3: acknowledged before durable", { id: machine.id, slot });
      }
    }
  }

  #event(machine: Machine, core: ConsensusCore, event: CoreEvent): void {
    const { id } = machine;
    this.#options.observe?.(`${this.nowMs} ${id} ${JSON.stringify(event)}`);
    this.count(event.type);
    if (event.type !== "need-snapshot") return;
    if (this.transfers.some((t) => t.from === id && t.to === event.peer)) return;
    const start = core.startAt(logIndex(machine.applied));
    assert(start !== undefined, "what is applied lies in the log", { id });
    this.transfers.push({ from: id, life: machine.life, to: event.peer, start });
  }

  #commit(machine: Machine, record: LogRecord): void {
    const { id } = machine;
    const { index } = record;
    if (index <= machine.applied) return; // a snapshot has overtaken it
    assert(index === machine.applied + 1, "C2: handed up out of order", { id, index, applied: machine.applied });
    const onDisk = machine.held.has(index);
    assert(onDisk, "C2: handed up before durable", { id, index });
    machine.applied = index;
    const text = record.kind === RecordKind.command ? fromUtf8(record.body) : "";
    const known = this.#log[index - 1];
    if (known !== undefined) {
      assert(known.chain === record.chain && known.term === record.term && known.text === text, "C1: replicas differ", {
        id,
        index,
        terms: [known.term, record.term],
      });
      return;
    }
    assert(index === this.#log.length + 1, "C2: the log has no gaps", { index });
    const origin = this.#truth.get(index);
    const truth = origin === undefined ? undefined : Math.max(origin, this.#log.at(-1)?.term ?? 0);
    assert(truth === record.term, "C1: handed up what no quorum of disks holds", {
      id,
      index,
      truth,
      term: record.term,
    });
    assert(
      record.chain === chainHash(this.#log.at(-1)?.chain ?? 0, record.term, record.bodyCrc),
      "C1: the chain breaks",
      { index },
    );
    this.#log.push({ term: record.term, chain: record.chain, text });
    if (record.kind === RecordKind.configuration && !this.#votersOfEra.has(eraOf(record.term))) {
      const start = this.core(id).startAt(index);
      assert(start !== undefined, "an entry just handed up lies in the log", { index });
      this.#votersOfEra.set(eraOf(record.term), this.#quorums(start.configuration));
      this.count("eras");
    }
    if (text === "") return;
    this.count("commits");
    assert(!this.#refused.has(text), "C6: a refused proposal was chosen", { text });
    const place = this.#accepted.get(text);
    // Found again behind entries of a later leader, it has a later term than it was accepted with.
    assert(place?.index === index && place.term <= record.term, "C6: chosen elsewhere than accepted", { text, place });
  }
}
