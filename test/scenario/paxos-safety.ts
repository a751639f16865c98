/**
 * The safety observer for Paxos: it follows every disk of a cluster, knows of each slot who ever held what under which ballot,
 * and so what is chosen, before any core does. It stops the run at the first step that breaks a promise. It trusts nothing
 * that a core says of itself; what it knows of eras it reads from the chosen stop entries.
 *
 * O1. One value a slot and ballot, one chosen value a slot, whatever the ballots; it belongs to the era that its slot is in,
 *     and nothing is chosen above a stop entry in its era.
 * O2. Promises never go back: neither over a crash, nor by accepting under a lower ballot than was once durably promised,
 *     even if the record of that promise was damaged since.
 * O3. A chosen value is visible to every phase-1 quorum of its era: in any such set of sound voters the highest ballot in the
 *     slot carries it, or somebody's checkpoint covers the slot.
 * O4. What is handed up is what was chosen, in order, once a life, from the own disk; chain and term follow from it alone.
 * O5. Frames claim only what the sender's disk holds: promises and prepares a durable ballot, acknowledgements each slot under
 *     that very ballot (or known as chosen), promises every slot that was accepted above their watermark.
 * O6. Nobody is told that something is chosen which is not: watermarks, values to learners, commit indexes.
 * O7. One leader a ballot, in one life, by a phase-1 quorum of durable promises; without one only under the opening ballot
 *     that the chosen stop entry names.
 * O8. A granted read covers all that any core knew to be chosen when it was asked.
 * O9. Refused proposals are never chosen; accepted ones at their place or never. Terms and commit indexes never fall.
 * O10. A chosen configuration was made from the one that it replaces (each carries its maker's mark, see `markOf`).
 *
 * Source  Lamport 2001, section 2.2 (P1, P2); Howard et al. 2016, section 3 (which quorums must meet).
 */
import { assert } from "../../src/base/assert.ts";
import { type NodeId, type Term, term } from "../../src/base/ids.ts";
import { type Configuration, decodeConfiguration, findMember } from "../../src/consensus/contract/configuration.ts";
import type { CoreStatus, LogStart, StepOutcome } from "../../src/consensus/contract/core.ts";
import { chainHash, isSlot, type LogRecord, RecordKind } from "../../src/consensus/contract/record.ts";
import { ballotText, eraOf, isSettled, nodeOf, roundOf } from "../../src/consensus/paxos/ballot.ts";
import { decodePaxosMessage, type PaxosMessage } from "../../src/consensus/paxos/messages.ts";
import type { QuorumsOf } from "../../src/consensus/paxos/replica.ts";
import { majorities } from "../../src/consensus/paxos/traits.ts";
import { kindOf, readAccepted, type SlotValue, ValueTag } from "../../src/consensus/paxos/value.ts";
import type { QuorumSystem } from "../../src/consensus/quorum/quorum-system.ts";
import type { ReadDisk, Safety, StartOfLife } from "./safety.ts";

interface Held {
  readonly ballot: Term;
  readonly key: string;
}

interface Watched {
  life: number;
  alive: boolean;
  incarnation: number;
  /** What the disk would give back now, by slot. */
  disk: Map<number, Held>;
  /** Ballots under which each slot was ever durably accepted. */
  ever: Map<number, Set<number>>;
  readonly open: { readonly ticket: number; readonly records: readonly LogRecord[] }[];
  nextTicket: number;
  promised: number;
  term: number;
  commit: number;
  applied: number;
  /** Covered by a durable checkpoint. */
  start: number;
  damagedUpTo: number;
  /** Repaired in memory; its disk is, when this ticket is done. */
  repairTicket: number | undefined;
  /** What it said in this step that a damaged acceptor must not say. */
  claims: string[];
  handed: number;
  reads: Map<number, number>;
  /** Parts of promises that left, until all are there: the slots that they report. */
  readonly parts: Map<string, { left: number; readonly slots: Set<number> }>;
}

interface Era {
  readonly system: QuorumSystem;
  readonly configuration: Configuration;
}

interface Chosen {
  readonly value: SlotValue;
  readonly key: string;
  readonly era: number;
}

interface Placed {
  readonly term: number;
  readonly chain: number;
}

const keyOf = (value: SlotValue): string =>
  `${value.tag} ${ballotText(value.origin)} ${Buffer.from(value.body).toString("latin1")}`;

/** Who made a configuration, if its maker left a mark: `change` of `cluster.ts` writes one into the first member's address. */
export const markOf = (configuration: Configuration): string | undefined =>
  configuration.members[0]?.address.split("#")[1];

export class PaxosSafety implements Safety {
  readonly #quorumsOf: QuorumsOf;
  readonly #crc32: (bytes: Uint8Array) => number;
  readonly #nodes = new Map<NodeId, Watched>();
  readonly #eras = new Map<number, Era>();
  readonly #oneValue = new Map<string, string>();
  readonly #chosen = new Map<number, Chosen>();
  /** The chosen log without gaps, as it must be handed up: index − 1. */
  readonly #log: Placed[] = [];
  #era = 0;
  #configuration: Configuration | undefined;
  #opening = new Map<number, number>();
  readonly #leaders = new Map<number, string>();
  readonly #refused = new Set<string>();
  readonly #accepted = new Map<string, { readonly index: number; readonly term: number }>();
  readonly #bases = new Map<string, string | undefined>();
  #known = 0;

  constructor(crc32: (bytes: Uint8Array) => number, quorumsOf: QuorumsOf = majorities.quorumsOf) {
    this.#crc32 = crc32;
    this.#quorumsOf = quorumsOf;
  }

  // ---- what a cluster asks ----------------------------------------------------------------------------------------

  /** The highest index that any core ever showed as committed. */
  get committed(): number {
    return this.#known;
  }

  committedChain(index: number): number | undefined {
    return index === 0 ? 0 : this.#log[index - 1]?.chain;
  }

  durableLast(id: NodeId): number {
    const node = this.#node(id);
    return Math.max(node.start, ...node.disk.keys());
  }

  openReads(id: NodeId): readonly number[] {
    return [...this.#node(id).reads.keys()];
  }

  /** Slots stand for themselves: holes are no damage, and the newest record of a slot counts. */
  readDisk(disk: readonly LogRecord[], start: LogStart): ReadDisk {
    const newest = new Map<number, LogRecord>();
    for (const record of disk) if (isSlot(record.kind) && record.index > start.index) newest.set(record.index, record);
    return { readable: [...newest.values()], damagedUpTo: undefined };
  }

  // ---- machines ---------------------------------------------------------------------------------------------------

  started(id: NodeId, life: StartOfLife, status: CoreStatus): void {
    const { start, readable, damagedUpTo } = life;
    if (start.index === 0 && start.configuration.members.length > 0) this.#found(start.configuration);
    let node = this.#nodes.get(id);
    if (node === undefined) {
      node = {
        life: 0,
        alive: true,
        incarnation: life.incarnation,
        disk: new Map(),
        ever: new Map(),
        open: [],
        nextTicket: -1,
        promised: 0,
        term: 0,
        commit: 0,
        applied: 0,
        start: 0,
        damagedUpTo: 0,
        repairTicket: undefined,
        claims: [],
        handed: 0,
        reads: new Map(),
        parts: new Map(),
      };
      this.#nodes.set(id, node);
    }
    node.life++;
    node.incarnation = life.incarnation;
    node.alive = true;
    node.open.length = 0;
    node.nextTicket = -1;
    node.reads = new Map();
    node.parts.clear();
    node.start = Math.max(node.start, start.index);
    node.handed = start.index;
    const before = node.disk;
    node.damagedUpTo = damagedUpTo;
    node.repairTicket = undefined;
    node.claims = [];
    node.disk = new Map(readable.map((r) => [r.index as number, { ballot: r.term, key: keyOf(readAccepted(r)) }]));
    for (const slot of before.keys()) {
      const isThere = node.disk.has(slot) || slot <= start.index;
      assert(isThere || damagedUpTo >= slot, "O2: a disk lost what it held", { id, slot });
    }
    assert(status.term >= node.promised, "O2: a restart forgot a promise", {
      id,
      term: ballotText(status.term),
      promised: ballotText(term(node.promised)),
    });
    assert(status.commit >= start.index && status.commit <= this.#log.length, "O6: starts with what is not chosen", {
      id,
      commit: status.commit,
      start: start.index,
    });
    assert(status.role !== "leader", "O7: a node leads from its first breath", { id });
    node.term = status.term;
    node.commit = status.commit;
    for (const slot of this.#chosen.keys()) this.#visible(slot);
  }

  crashed(id: NodeId, survived: readonly LogRecord[]): void {
    const node = this.#node(id);
    this.#write(id, node, survived);
    node.alive = false;
    node.open.length = 0;
  }

  wiped(id: NodeId): void {
    const node = this.#node(id);
    node.disk = new Map();
    node.promised = 0;
    node.start = 0;
  }

  persisted(id: NodeId, ticket: number, records: readonly LogRecord[]): void {
    const node = this.#node(id);
    assert(node.nextTicket === -1 || ticket === node.nextTicket, "tickets rise by one", { id, ticket });
    node.nextTicket = ticket + 1;
    node.open.push({ ticket, records });
  }

  synced(id: NodeId, ticket: number): void {
    const node = this.#node(id);
    while (node.open[0] !== undefined && node.open[0].ticket <= ticket) {
      const done = node.open.shift();
      if (done !== undefined) this.#write(id, node, done.records);
    }
    if (node.repairTicket !== undefined && ticket >= node.repairTicket) {
      node.damagedUpTo = 0;
      node.repairTicket = undefined;
    }
  }

  installing(id: NodeId, start: LogStart): void {
    const node = this.#node(id);
    assert(this.committedChain(start.index) === start.chain, "O4: a snapshot of what is not chosen", { id, start });
    assert(start.index > node.applied, "a snapshot goes forward", { id, start, applied: node.applied });
    node.applied = start.index;
    node.handed = Math.max(node.handed, start.index);
    node.start = Math.max(node.start, start.index);
  }

  appliedFrom(id: NodeId, index: number): void {
    this.#node(id).applied = index;
  }

  // ---- disks ------------------------------------------------------------------------------------------------------

  #write(id: NodeId, node: Watched, records: readonly LogRecord[]): void {
    for (const record of records) {
      if (record.kind === RecordKind.promise) {
        assert(record.term >= node.promised, "O2: a promise goes back", {
          id,
          now: ballotText(record.term),
          before: ballotText(term(node.promised)),
        });
        node.promised = record.term;
      } else if (record.kind === RecordKind.chosen) {
        assert(record.index <= this.#log.length, "O6: notes as chosen what is not", { id, index: record.index });
      } else if (record.kind === RecordKind.start) {
        node.start = Math.max(node.start, Math.min(record.index, node.applied));
      } else {
        assert(isSlot(record.kind), "records of Paxos", { id, kind: record.kind });
        this.#accept(id, node, record);
      }
    }
  }

  #accept(id: NodeId, node: Watched, record: LogRecord): void {
    const { index: slot, term: ballot } = record;
    const value = readAccepted(record);
    const key = keyOf(value);
    assert(this.#crc32(record.body) === record.bodyCrc, "a body changed on its way", { id, slot });
    node.disk.set(slot, { ballot, key });
    const chosen = this.#chosen.get(slot);
    if (isSettled(ballot)) {
      assert(chosen?.key === key, "O6: filed as chosen what is not", { id, slot, key, chosen: chosen?.key });
      this.#visible(slot);
      return;
    }
    assert(ballot >= node.promised, "O2: accepted below a promise", {
      id,
      slot,
      ballot: ballotText(ballot),
      promised: node.promised,
    });
    const place = `${slot}@${ballot}`;
    const known = this.#oneValue.get(place);
    assert(known === undefined || known === key, "O1: two values under one ballot", { id, place, key, known });
    this.#oneValue.set(place, key);
    const era = this.#eras.get(eraOf(ballot));
    assert(era !== undefined, "O1: accepted in an era that nobody began", { id, ballot: ballotText(ballot) });
    if (this.#counts(era, id)) {
      const ever = node.ever.get(slot);
      if (ever === undefined) node.ever.set(slot, new Set([ballot]));
      else ever.add(ballot);
    }
    if (era.system.isPhase2(maskOf(era, (voter) => this.#nodes.get(voter)?.ever.get(slot)?.has(ballot) === true))) {
      this.#choose(slot, { value, key, era: eraOf(ballot) });
    }
    this.#visible(slot);
  }

  /** Is this the data folder that the configuration of the era names? */
  #counts(era: Era, id: NodeId): boolean {
    const bound = findMember(era.configuration, id)?.incarnation ?? 0;
    return bound === 0 || bound === this.#nodes.get(id)?.incarnation;
  }

  #choose(slot: number, chosen: Chosen): void {
    const known = this.#chosen.get(slot);
    if (known !== undefined) {
      assert(known.key === chosen.key, "O1: two values chosen in one slot", {
        slot,
        known: known.key,
        now: chosen.key,
      });
      return;
    }
    this.#chosen.set(slot, chosen);
    for (let next = this.#chosen.get(this.#log.length + 1); next !== undefined; ) {
      this.#place(next);
      next = this.#chosen.get(this.#log.length + 1);
    }
  }

  /** The chosen log grows by one. */
  #place(next: Chosen): void {
    const { value } = next;
    const index = this.#log.length + 1;
    assert(next.era === this.#era, "O1: chosen in another era than its slot's", {
      index,
      era: next.era,
      is: this.#era,
    });
    const before = this.#log.at(-1) ?? { term: 0, chain: 0 };
    const term = Math.max(before.term, value.origin);
    this.#log.push({ term, chain: chainHash(before.chain, term, value.bodyCrc) });
    if (value.tag !== ValueTag.stop) return;
    const configuration = decodeConfiguration(value.body);
    this.#checkBase(index, configuration);
    this.#configuration = configuration;
    this.#era++;
    this.#opening.set(this.#era, value.origin);
    this.#begin(configuration);
  }

  /** O10. */
  #checkBase(index: number, configuration: Configuration): void {
    const before = this.#configuration;
    const mark = markOf(configuration);
    if (before === undefined || mark === undefined) return;
    if (this.#bases.has(mark) && mark !== markOf(before)) {
      assert(this.#bases.get(mark) === textOf(before), "O10: a configuration undoes the one before it", {
        index,
        mark,
        made: this.#bases.get(mark),
        replaces: textOf(before),
      });
    }
  }

  /** Someone was asked for a change that carries `mark`, and holds `base` for what it replaces. */
  changing(mark: string, base: Configuration): void {
    this.#bases.set(mark, textOf(base));
  }

  #found(configuration: Configuration): void {
    if (this.#eras.has(0)) return;
    this.#configuration = configuration;
    this.#begin(configuration);
  }

  #begin(configuration: Configuration): void {
    const verdict = this.#quorumsOf(configuration);
    assert(verdict.type === "system", "a configuration in force has quorums that meet", { configuration });
    this.#eras.set(this.#era, { system: verdict.system, configuration });
  }

  /** O3. */
  #visible(slot: number): void {
    const chosen = this.#chosen.get(slot);
    if (chosen === undefined || chosen.era !== this.#era) return;
    const era = this.#eras.get(chosen.era);
    if (era === undefined) return;
    const { voters } = era.system;
    const sound = maskOf(era, (id) => {
      const node = this.#nodes.get(id);
      return node !== undefined && node.damagedUpTo === 0 && this.#counts(era, id);
    });
    const covered = maskOf(era, (id) => (this.#nodes.get(id)?.start ?? 0) >= slot);
    const reports = voters.map((id) => {
      const held = this.#nodes.get(id)?.disk.get(slot);
      return held !== undefined && eraOf(held.ballot) === chosen.era ? held : undefined;
    });
    for (let mask = 1; mask < 1 << voters.length; mask++) {
      if ((mask & sound) !== mask || (mask & covered) !== 0 || !era.system.isPhase1(mask)) continue;
      let best: Held | undefined;
      for (const [i, held] of reports.entries()) {
        if ((mask & (1 << i)) !== 0 && held !== undefined && held.ballot > (best?.ballot ?? -1)) best = held;
      }
      assert(best?.key === chosen.key, "O3: a phase-1 quorum would not see what was chosen", {
        slot,
        chosen: chosen.key,
        seen: best?.key,
        quorum: voters.filter((_, i) => (mask & (1 << i)) !== 0),
      });
    }
  }

  // ---- frames -----------------------------------------------------------------------------------------------------

  sent(id: NodeId, to: NodeId, frame: Uint8Array): void {
    const node = this.#node(id);
    const message = decodePaxosMessage(frame);
    switch (message.type) {
      case "prepare":
        assert(node.promised >= message.ballot, "O5: asks for a ballot before it is durable", { id });
        assert(nodeOf(message.ballot) === id, "O7: asks under another's ballot", { id });
        return;
      case "promise":
        return this.#promiseSent(id, node, to, message);
      case "accepted":
        return this.#acceptedSent(id, node, message);
      case "beat-reply":
        if (!message.isMute) node.claims.push("confirms a round");
        this.#toldChosen(id, message.chosen);
        return;
      case "accept":
      case "beat":
        assert(this.#leaders.get(message.ballot)?.startsWith(`n${id}/`) ?? true, "O7: another's ballot", { id });
        this.#toldChosen(id, message.chosen);
        return;
      case "tell-chosen":
        this.#toldChosen(id, message.chosen);
        for (const [i, told] of message.values.entries()) {
          const slot = message.after + 1 + i;
          const { tag, origin, bodyCrc } = told.type === "held" ? told.digest : told.value;
          const truth = this.#chosen.get(slot)?.value;
          const isTrue = truth?.tag === tag && truth.origin === origin && truth.bodyCrc === bodyCrc;
          assert(isTrue, "O6: teaches what is not chosen", { id, slot });
        }
        return;
      case "canvass":
      case "canvass-reply":
      case "refusal":
        this.#toldChosen(id, message.chosen);
        return;
      case "ask-chosen":
      case "ask-accepted":
      case "tell-accepted":
      case "stand-now":
        return; // they claim nothing
    }
  }

  #toldChosen(id: NodeId, chosen: number): void {
    assert(chosen <= this.#log.length, "O6: a watermark above what is chosen", { id, chosen, is: this.#log.length });
  }

  #promiseSent(id: NodeId, node: Watched, to: NodeId, message: Extract<PaxosMessage, { type: "promise" }>): void {
    const { ballot, chosen, part, parts, reports } = message;
    this.#toldChosen(id, chosen);
    assert(node.promised >= ballot, "O5: a promise left before it was durable", { id });
    node.claims.push("promises");
    const name = `${to} ${ballot} ${chosen} ${parts}`;
    let whole = node.parts.get(name);
    if (whole === undefined || part === 0) node.parts.set(name, (whole = { left: parts, slots: new Set() }));
    whole.left--;
    for (const { index } of reports) whole.slots.add(index);
    if (whole.left > 0) return;
    for (const [slot, held] of node.disk) {
      // Accepted since, under a higher ballot: the promise was made before.
      if (slot <= chosen || held.ballot > ballot) continue;
      assert(whole.slots.has(slot), "O5: a promise says nothing of an accepted slot", { id, slot });
    }
  }

  #acceptedSent(id: NodeId, node: Watched, message: Extract<PaxosMessage, { type: "accepted" }>): void {
    const { ballot } = message;
    this.#toldChosen(id, message.chosen);
    node.claims.push("acknowledges");
    for (const [first, last] of message.ranges) {
      for (let slot = first as number; slot <= last; slot++) {
        const asked = this.#oneValue.get(`${slot}@${ballot}`);
        const held = node.disk.get(slot);
        const isHeld = node.ever.get(slot)?.has(ballot) === true || (held?.ballot === ballot && held.key === asked);
        const chosen = this.#chosen.get(slot);
        // Trimmed: it is chosen, and cannot be compared any more. An old leader may count it and gains nothing: somebody else of
        // any quorum of its has promised the ballot that the slot was chosen under, and before that held nothing or its value.
        const isTrimmed = node.start >= slot;
        const isKnown =
          chosen !== undefined && held?.key === chosen.key && (asked === undefined || asked === chosen.key);
        assert(isHeld || isTrimmed || isKnown, "O5: acknowledged before durable", {
          id,
          slot,
          ballot: ballotText(ballot),
          held,
          asked,
          chosen: chosen?.key,
        });
      }
    }
  }

  // ---- cores ------------------------------------------------------------------------------------------------------

  stepped(id: NodeId, before: CoreStatus, after: CoreStatus): void {
    const node = this.#node(id);
    assert(after.term >= node.term, "O9: a term went back", {
      id,
      before: ballotText(before.term),
      after: ballotText(after.term),
    });
    assert(after.commit >= node.commit, "O9: a commit index went back", {
      id,
      before: node.commit,
      after: after.commit,
    });
    assert(after.commit <= this.#log.length, "O6: commits what is not chosen", {
      id,
      commit: after.commit,
      chosen: this.#log.length,
    });
    node.term = after.term;
    node.commit = after.commit;
    if (!after.damaged && node.damagedUpTo > 0 && node.repairTicket === undefined) {
      assert(after.commit >= node.damagedUpTo, "O5: repaired before it knows what it may have acknowledged", { id });
      if (node.open.length === 0) node.damagedUpTo = 0;
      else node.repairTicket ??= node.nextTicket - 1;
    }
    assert(!after.damaged || node.claims.length === 0, "O5: a damaged acceptor speaks", { id, claims: node.claims });
    node.claims = [];
    this.#known = Math.max(this.#known, after.commit);
    if (after.role === "leader") this.#leads(id, node, after);
  }

  #leads(id: NodeId, node: Watched, status: CoreStatus): void {
    const ballot = status.term;
    const life = `n${id}/${node.life}`;
    const known = this.#leaders.get(ballot);
    assert(known === undefined || known === life, "O7: two leaders of one ballot", { known, life, ballot });
    if (known !== undefined) return;
    this.#leaders.set(ballot, life);
    assert(nodeOf(ballot) === id, "O7: leads another's ballot", { id, ballot: ballotText(ballot) });
    if (roundOf(ballot) === 0) {
      const opening = this.#opening.get(eraOf(ballot));
      assert(opening === ballot, "O7: leads a new era that another's stop entry began", { id, ballot, opening });
      return;
    }
    const era = this.#eras.get(eraOf(ballot));
    assert(era !== undefined, "O7: leads an era that nobody began", { id, ballot: ballotText(ballot) });
    const mask = maskOf(
      era,
      (voter) => this.#counts(era, voter) && (this.#nodes.get(voter)?.promised ?? 0) >= (ballot as number),
    );
    assert(era.system.isPhase1(mask), "O7: leads without a quorum of durable promises", {
      id,
      ballot: ballotText(ballot),
      mask,
    });
  }

  leaseShown(): void {
    assert(false, "Paxos has no leases");
  }

  proposed(_id: NodeId, body: string, outcome: StepOutcome): void {
    assert(!this.#refused.has(body) && !this.#accepted.has(body), "the run proposes each body once", { body });
    if (outcome.type === "refused") this.#refused.add(body);
    else this.#accepted.set(body, outcome);
  }

  asked(id: NodeId, context: number): void {
    this.#node(id).reads.set(context, this.#known);
  }

  granted(id: NodeId, context: number, index: number | undefined): void {
    const node = this.#node(id);
    const least = node.reads.get(context);
    assert(least !== undefined, "O8: a grant nobody waits for", { id, context });
    node.reads.delete(context);
    assert(index === undefined || index >= least, "O8: a stale read was granted", { id, context, index, least });
  }

  committing(id: NodeId, records: readonly LogRecord[], body: (record: LogRecord) => string): void {
    const node = this.#node(id);
    assert(node.alive, "the dead do not commit", { id });
    for (const record of records) {
      const { index } = record;
      assert(index === node.handed + 1, "O4: handed up out of order", { id, index, after: node.handed });
      node.handed = index;
      const chosen = this.#chosen.get(index);
      const placed = this.#log[index - 1];
      assert(chosen !== undefined && placed !== undefined, "O4: handed up what is not chosen", { id, index });
      assert(record.term === placed.term && record.chain === placed.chain, "O4: handed up with another term or chain", {
        id,
        index,
        term: ballotText(record.term),
      });
      const isSame = record.kind === kindOf(chosen.value.tag) && Buffer.compare(record.body, chosen.value.body) === 0;
      assert(isSame, "O4: handed up another value than was chosen", { id, index });
      const onDisk = node.disk.get(index)?.key === chosen.key || node.start >= index;
      assert(onDisk, "O4: handed up before the own disk holds it", { id, index });
      if (record.kind !== RecordKind.command) continue;
      const text = body(record);
      assert(!this.#refused.has(text), "O9: a refused proposal was chosen", { id, index });
      const place = this.#accepted.get(text);
      assert(place?.index === index, "O9: chosen elsewhere than accepted", { id, index, place });
    }
  }

  applied(id: NodeId, record: LogRecord): void {
    const node = this.#node(id);
    assert(record.index === node.applied + 1, "O4: applied out of order", { id, index: record.index });
    node.applied = record.index;
  }

  #node(id: NodeId): Watched {
    const node = this.#nodes.get(id);
    assert(node !== undefined, "a node that was started", { id });
    return node;
  }
}

function maskOf(era: Era, has: (id: NodeId) => boolean): number {
  let mask = 0;
  for (const [i, id] of era.system.voters.entries()) if (has(id)) mask |= 1 << i;
  return mask;
}

const textOf = ({ members }: Configuration): string =>
  members.map((m) => `${m.id}:${m.role}:${m.promote}:${m.incarnation}:${m.address}`).join(" ");
