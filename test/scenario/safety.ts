/**
 * The safety observer: it watches every core and every disk of a cluster from outside and stops the run at the first step
 * that breaks a promise. It trusts nothing a core says of itself that a disk can contradict.
 *
 * I1. Election safety. At most one leader a term; a node that led a term and restarted does not lead it again.
 * I2. Log matching. Two entries with the same index and term end the same log (equal chains); every chain follows from the
 *     one before it, and every body has its checksum.
 * I3. State machine safety. Once committed anywhere, the entry at an index never differs anywhere: applied prefixes are
 *     equal, in order, without gaps, and no node cuts off or rewrites what it holds of them.
 * I4. Leader completeness. Whoever leads a term holds everything that was committed in earlier terms.
 * I5. Durable vote. A node never votes for two candidates in one term, whatever crashes lie between.
 * I6. Nothing goes back. Terms never fall, over restarts not below what the disk holds; within one life the commit index
 *     never falls, nor does what a checkpoint covers.
 * I7. Durable before acknowledged. An index is committed only when a quorum has held it on disk; a term is led only when a
 *     quorum has the vote on disk; no message claims what its sender's disk does not hold, nor is such an entry applied.
 * I8. Fresh reads. A granted read, or a lease that holds, covers everything that was committed anywhere when it was asked.
 * I9. Honest outcomes. A refused proposal never commits; an accepted one commits at its index and term or never; tickets
 *     rise by one; each read is answered at most once.
 * I10. Own term only (engines that say so in their lens). A leader's commit index comes to rest only on an entry of its own
 *     term: earlier ones are committed with it, never by counting (figure 8 of the paper).
 *
 * Source  Ongaro & Ousterhout 2014, figure 3 (I1–I4) and section 5.6; Ongaro 2014, sections 3.8 (I5–I7) and 6.4 (I8).
 */
import { assert } from "../../src/base/assert.ts";
import type { LogIndex, NodeId } from "../../src/base/ids.ts";
import { type Configuration, incomingVoters } from "../../src/consensus/contract/configuration.ts";
import type { CoreStatus, LogStart, StepOutcome } from "../../src/consensus/contract/core.ts";
import { chainHash, isSticky, type LogRecord, RecordKind } from "../../src/consensus/contract/record.ts";
import { hasQuorum } from "../../src/consensus/quorum/quorum.ts";

/** What a frame claims about its sender's disk, in words that do not depend on the protocol's codec. */
export type Claim =
  | { readonly type: "holds"; readonly term: number; readonly index: number; readonly leader: NodeId }
  | { readonly type: "voted"; readonly term: number; readonly candidate: NodeId }
  | { readonly type: "term"; readonly term: number };

/** What a machine's disk gives back at a start. */
export interface ReadDisk {
  readonly readable: readonly LogRecord[];
  /** Where the disk itself shows that something is missing below. */
  readonly damagedUpTo: LogIndex | undefined;
}

export interface StartOfLife {
  readonly start: LogStart;
  readonly readable: readonly LogRecord[];
  readonly damagedUpTo: number;
  /** Of the data folder. */
  readonly incarnation: number;
}

/** What a cluster tells whoever watches it, and asks of him. Each engine family has its own: `SafetyObserver`, `PaxosSafety`. */
export interface Safety {
  readonly committed: number;
  committedChain(index: number): number | undefined;
  durableLast(id: NodeId): number;
  readDisk(disk: readonly LogRecord[], start: LogStart): ReadDisk;
  started(id: NodeId, life: StartOfLife, status: CoreStatus): void;
  crashed(id: NodeId, survived: readonly LogRecord[]): void;
  wiped(id: NodeId): void;
  persisted(id: NodeId, ticket: number, records: readonly LogRecord[]): void;
  synced(id: NodeId, ticket: number): void;
  installing(id: NodeId, start: LogStart): void;
  appliedFrom(id: NodeId, index: number): void;
  sent(id: NodeId, to: NodeId, frame: Uint8Array): void;
  proposed(id: NodeId, body: string, outcome: StepOutcome): void;
  /** A change of members was accepted; `mark` stands in its first member's address. Only of watchers that want marks. */
  changing?(mark: string, base: Configuration): void;
  asked(id: NodeId, context: number): void;
  granted(id: NodeId, context: number, index: number | undefined): void;
  openReads(id: NodeId): readonly number[];
  leaseShown(id: NodeId, commit: number): void;
  committing(id: NodeId, records: readonly LogRecord[], body: (record: LogRecord) => string): void;
  applied(id: NodeId, record: LogRecord): void;
  stepped(id: NodeId, before: CoreStatus, after: CoreStatus): void;
}

/** The observer's window into one engine: its frames and the bodies of its vote records. */
export interface Lens {
  /** Watches a cluster of this engine; without it `SafetyObserver` does, which knows logs without holes. */
  readonly watch?: (crc32: (bytes: Uint8Array) => number) => Safety;
  /** What must be durable at the sender when the frame leaves. */
  claims(frame: Uint8Array, link: { readonly from: NodeId; readonly to: NodeId }): readonly Claim[];
  /** Whom a vote record names; undefined: it only records the term; `unreadable`: a vote that it does not know any more. */
  votedFor(record: LogRecord): NodeId | "unreadable" | undefined;
  /** I10 holds for this engine. */
  readonly ownTermOnly: boolean;
  /** How a term reads in a trace; absent: as the number it is. */
  term?(term: number): string;
  /** One line for a trace. */
  describe(frame: Uint8Array): string;
}

interface Entry {
  readonly term: number;
  readonly chain: number;
}

/** A log as its records tell it: what is kept is what a WAL would hand back. */
class RecordedLog {
  start: { readonly index: number; readonly term: number; readonly chain: number } = { index: 0, term: 0, chain: 0 };
  readonly entries: Entry[] = [];

  static from(start: LogStart, records: readonly LogRecord[]): RecordedLog {
    const log = new RecordedLog();
    log.start = start;
    for (const record of records) log.put(record);
    return log;
  }

  get last(): number {
    return this.start.index + this.entries.length;
  }

  at(index: number): Entry | undefined {
    if (index === this.start.index) return this.start;
    return this.entries[index - this.start.index - 1];
  }

  put(record: LogRecord): void {
    this.entries.length = record.index - this.start.index - 1;
    this.entries.push({ term: record.term, chain: record.chain });
  }

  /** The log goes on after `start`: its matching suffix stays, anything else goes. */
  begin(start: LogStart): void {
    const here = this.at(start.index);
    if (here?.chain === start.chain) this.entries.splice(0, start.index - this.start.index);
    else this.entries.length = 0;
    this.start = start;
  }
}

interface Watched {
  life: number;
  alive: boolean;
  /** What the core has asked to keep, and what of it a disk holds. */
  memory: RecordedLog;
  durable: RecordedLog;
  readonly open: { readonly ticket: number; readonly records: readonly LogRecord[] }[];
  nextTicket: number;
  term: number;
  durableTerm: number;
  commit: number;
  applied: number;
  /** Votes by term: of this life, and those that reached the disk in any life. */
  votes: Map<number, NodeId>;
  readonly durableVotes: Map<number, NodeId>;
  readonly everDurable: Map<number, Set<number>>;
  /** Everything up to here was on disk as part of a checkpoint. */
  installed: number;
  reads: Map<number, number>;
  damagedUpTo: number;
}

export class SafetyObserver implements Safety {
  readonly #nodes = new Map<NodeId, Watched>();
  readonly #lens: Lens | undefined;
  readonly #leaders = new Map<number, { readonly id: NodeId; readonly life: number }>();
  #newestLeader: { readonly id: NodeId; readonly life: number; readonly term: number } | undefined;
  /** Chain by index and term, over every record ever written. */
  readonly #matching = new Map<string, number>();
  /** The one committed log: index − 1 → what stands there. */
  readonly #committed: Entry[] = [];
  readonly #refused = new Set<string>();
  readonly #accepted = new Map<string, { readonly index: number; readonly term: number }>();
  readonly #crc32: (bytes: Uint8Array) => number;

  constructor(options: { readonly lens: Lens | undefined; readonly crc32: (bytes: Uint8Array) => number }) {
    this.#lens = options.lens;
    this.#crc32 = options.crc32;
  }

  /** The largest index known to be committed by anyone. */
  get committed(): number {
    return this.#committed.length;
  }

  /** Chain of the committed log at an index from 1. */
  committedChain(index: number): number | undefined {
    return index === 0 ? 0 : this.#committed[index - 1]?.chain;
  }

  readDisk(disk: readonly LogRecord[], start: LogStart): ReadDisk {
    return readDisk(disk, start);
  }

  /** What a node's disk holds now. */
  durableLast(id: NodeId): number {
    return this.#node(id).durable.last;
  }

  /**
   * A core came to life after `start`, with the `readable` entries that go on from there without a break.
   * `damagedUpTo` above 0: entries up to there were held and cannot be read any more.
   */
  started(
    id: NodeId,
    life: { readonly start: LogStart; readonly readable: readonly LogRecord[]; readonly damagedUpTo: number },
    status: CoreStatus,
  ): void {
    const { start, readable, damagedUpTo } = life;
    let node = this.#nodes.get(id);
    if (node === undefined) {
      node = {
        life: 0,
        alive: true,
        memory: new RecordedLog(),
        durable: new RecordedLog(),
        open: [],
        nextTicket: -1,
        term: 0,
        durableTerm: 0,
        commit: 0,
        applied: 0,
        votes: new Map(),
        durableVotes: new Map(),
        everDurable: new Map(),
        installed: 0,
        reads: new Map(),
        damagedUpTo: 0,
      };
      this.#nodes.set(id, node);
    }
    node.life++;
    node.alive = true;
    node.open.length = 0;
    node.nextTicket = -1;
    node.votes = new Map(node.durableVotes);
    node.reads = new Map();
    node.damagedUpTo = damagedUpTo;
    node.durableTerm = Math.max(node.durableTerm, start.term);
    assert(status.term >= node.durableTerm, "I6: a restart forgot a durable term", {
      id,
      status,
      is: node.durableTerm,
    });
    node.term = status.term;
    assert(status.commit >= start.index, "I6: a restart forgot a checkpoint", { id, commit: status.commit, start });
    node.commit = status.commit;
    assert(status.role !== "leader", "I1: a node leads from its first breath", { id });
    // A checkpoint may reach the disk before the record of where the log begins: it says the same.
    if (start.index > node.durable.start.index) node.durable.begin(start);
    const read = RecordedLog.from(start, readable);
    const lost = node.durable.last - read.last;
    assert(lost <= 0 || damagedUpTo > 0, "I7: a disk lost what it held", {
      id,
      held: node.durable.last,
      read: read.last,
    });
    node.durable = read;
    node.memory = RecordedLog.from(start, readable);
    assert(status.last === read.last, "I7: a restarted log is what the disk holds", {
      id,
      last: status.last,
      disk: read.last,
    });
  }

  /** The process died; of the records handed over, those that `survived` were written all the same. */
  crashed(id: NodeId, survived: readonly LogRecord[]): void {
    const node = this.#node(id);
    node.alive = false;
    this.#write(id, node, survived);
    node.open.length = 0;
  }

  /** The disk is gone, and the data folder with its identity: what it promised, it promised as somebody else. */
  wiped(id: NodeId): void {
    const node = this.#node(id);
    node.durable = new RecordedLog();
    node.durableTerm = 0;
    node.durableVotes.clear();
    node.everDurable.clear();
    node.installed = 0;
  }

  /** The core asked to keep `records`. */
  persisted(id: NodeId, ticket: number, records: readonly LogRecord[]): void {
    const node = this.#node(id);
    assert(node.nextTicket === -1 || ticket === node.nextTicket, "I9: tickets rise by one", { id, ticket });
    node.nextTicket = ticket + 1;
    node.open.push({ ticket, records });
    const heldBefore = Math.min(this.committed, node.memory.last);
    const matchedBefore = this.#holdsCommitted(node.memory, heldBefore);
    for (const record of records) {
      if (record.kind === RecordKind.vote) this.#vote(id, node, record);
      else if (record.kind === RecordKind.start) this.#begin(id, node, record);
      else if (!isSticky(record.kind)) this.#append(id, node, record);
    }
    if (matchedBefore && heldBefore > node.memory.start.index && node.damagedUpTo < heldBefore) {
      assert(
        node.memory.last >= heldBefore && this.#holdsCommitted(node.memory, heldBefore),
        "I3: cut off what is committed",
        {
          id,
          heldBefore,
          last: node.memory.last,
        },
      );
    }
  }

  /** A ticket is on disk. */
  synced(id: NodeId, ticket: number): void {
    const node = this.#node(id);
    while (node.open[0] !== undefined && node.open[0].ticket <= ticket) {
      const done = node.open.shift();
      if (done !== undefined) this.#write(id, node, done.records);
    }
  }

  /** The state of a node was replaced by a durable snapshot that ends at `start`. */
  installing(id: NodeId, start: LogStart): void {
    const node = this.#node(id);
    assert(this.committedChain(start.index) === start.chain, "I3: a snapshot of what is not committed", { id, start });
    assert(start.index > node.applied, "a snapshot goes forward", { id, start, applied: node.applied });
    node.applied = start.index;
    node.installed = Math.max(node.installed, start.index);
  }

  /** A state machine begins again at the index of its checkpoint. */
  appliedFrom(id: NodeId, index: number): void {
    this.#node(id).applied = index;
  }

  sent(id: NodeId, to: NodeId, frame: Uint8Array): void {
    if (this.#lens === undefined) return;
    const node = this.#node(id);
    for (const claim of this.#lens.claims(frame, { from: id, to })) {
      switch (claim.type) {
        case "holds": {
          // The claim is about the log of that term's leader: same term at the index is not enough, same chain is.
          const leader = this.#leaders.get(claim.term);
          assert(leader?.id === claim.leader, "I7: acknowledged to someone who does not lead", { id, claim });
          const theirs = this.#nodes.get(claim.leader)?.memory.at(claim.index);
          const held = node.everDurable.get(claim.index);
          const covered = claim.index <= Math.max(node.durable.start.index, node.installed);
          assert(covered || held !== undefined, "I7: acknowledged before durable", {
            id,
            claim,
            last: node.durable.last,
          });
          if (theirs !== undefined && held !== undefined && !covered && this.#leadsStill(leader, claim.term)) {
            assert(held.has(theirs.chain), "I7: acknowledged another log", { id, claim });
          }
          break;
        }
        case "voted":
          assert(node.durableVotes.get(claim.term) === claim.candidate, "I7: a vote left before it was durable", {
            id,
            claim,
          });
          break;
        case "term":
          assert(node.durableTerm >= claim.term, "I7: a term was shown before it was durable", {
            id,
            claim,
            durable: node.durableTerm,
          });
          break;
      }
    }
  }

  proposed(id: NodeId, body: string, outcome: StepOutcome): void {
    assert(!this.#refused.has(body) && !this.#accepted.has(body), "the run proposes each body once", { body });
    if (outcome.type === "refused") {
      this.#refused.add(body);
      return;
    }
    this.#accepted.set(body, { index: outcome.index, term: outcome.term });
    const here = this.#node(id).memory.at(outcome.index);
    assert(here?.term === outcome.term, "I9: accepted at a place where it does not stand", { id, outcome });
  }

  asked(id: NodeId, context: number): void {
    this.#node(id).reads.set(context, this.committed);
  }

  granted(id: NodeId, context: number, index: number | undefined): void {
    const node = this.#node(id);
    const least = node.reads.get(context);
    assert(least !== undefined, "I9: a grant nobody waits for", { id, context });
    node.reads.delete(context);
    if (index === undefined) return;
    assert(index >= least, "I8: a stale read was granted", { id, context, index, least });
  }

  /** Reads asked of this life and not yet answered. */
  openReads(id: NodeId): readonly number[] {
    return [...this.#node(id).reads.keys()];
  }

  leaseShown(id: NodeId, commit: number): void {
    assert(commit >= this.committed, "I8: a lease holds over a stale state", { id, commit, committed: this.committed });
  }

  /** The core handed over committed entries. `body` tells commands apart. */
  committing(id: NodeId, records: readonly LogRecord[], body: (record: LogRecord) => string): void {
    const node = this.#node(id);
    assert(node.alive, "the dead do not commit", { id });
    for (const record of records) {
      this.#settle(id, record.index, record);
      if (record.kind !== RecordKind.command) continue;
      const text = body(record);
      assert(!this.#refused.has(text), "I9: a refused proposal was committed", { id, index: record.index });
      const place = this.#accepted.get(text);
      assert(place?.index === record.index && place.term === record.term, "I9: committed elsewhere than accepted", {
        id,
        place,
        index: record.index,
        term: record.term,
      });
    }
  }

  /** One committed entry reached the state machine of a node. */
  applied(id: NodeId, record: LogRecord): void {
    const node = this.#node(id);
    assert(record.index === node.applied + 1, "I3: applied out of order", {
      id,
      index: record.index,
      after: node.applied,
    });
    node.applied = record.index;
    const onDisk = node.everDurable.get(record.index)?.has(record.chain) === true || node.installed >= record.index;
    assert(onDisk, "I7: applied before durable", { id, index: record.index });
    assert(this.#crc32(record.body) === record.bodyCrc, "I2: a body changed on its way", { id, index: record.index });
  }

  /** After every step: the state a core shows, before and after. */
  stepped(id: NodeId, before: CoreStatus, after: CoreStatus): void {
    const node = this.#node(id);
    assert(after.term >= node.term, "I6: a term went back", { id, before: node.term, after: after.term });
    node.term = after.term;
    assert(after.commit >= node.commit, "I6: a commit index went back", {
      id,
      before: node.commit,
      after: after.commit,
    });
    assert(after.commit <= after.last, "a commit index lies in the log", {
      id,
      commit: after.commit,
      last: after.last,
    });
    assert(after.last === node.memory.last, "the log in memory is what was handed to the disk", {
      id,
      last: after.last,
      handed: node.memory.last,
    });
    this.#reached(id, node, after.commit);
    if (after.role === "leader") this.#leads(id, node, after);
    if (after.commit > node.commit && after.role === "leader") this.#committedByQuorum(id, node, before, after);
    node.commit = after.commit;
  }

  /** A commit index may run ahead of what is handed over, which waits for the node's own disk: it counts all the same. */
  #reached(id: NodeId, node: Watched, commit: number): void {
    for (let index = node.commit + 1; index <= commit; index++) {
      const entry = node.memory.at(index);
      if (entry !== undefined) this.#settle(id, index, entry);
      else assert(index <= this.committed, "I3: commits what it does not have", { id, index });
    }
  }

  #settle(id: NodeId, index: number, entry: Entry): void {
    assert(index <= this.committed + 1, "I3: committed with a gap", { id, index });
    const known = this.#committed[index - 1];
    if (known === undefined) {
      this.#committed.push({ chain: entry.chain, term: entry.term });
      return;
    }
    assert(known.chain === entry.chain, "I3: two entries committed at one index", {
      id,
      index,
      terms: [known.term, entry.term],
    });
  }

  #leads(id: NodeId, node: Watched, status: CoreStatus): void {
    const known = this.#leaders.get(status.term);
    if (known === undefined) {
      this.#leaders.set(status.term, { id, life: node.life });
      if (status.term > (this.#newestLeader?.term ?? 0))
        this.#newestLeader = { id, life: node.life, term: status.term };
      const votes = (voter: NodeId): boolean => this.#nodes.get(voter)?.durableVotes.get(status.term) === id;
      const voters = { incoming: incomingVoters(status.configuration), outgoing: status.configuration.outgoing };
      assert(this.#lens === undefined || hasQuorum(voters, votes), "I7: leads without a quorum of durable votes", {
        id,
        term: status.term,
      });
    } else {
      assert(known.id === id && known.life === node.life, "I1: two leaders of one term", {
        known,
        id,
        term: status.term,
      });
    }
    this.#complete();
  }

  /**
   * I4 for the newest leader there ever was; an older one may miss what its successors commit. It holds also what older
   * leaders find committed after its election, because the disks that count were there before it was elected.
   */
  #complete(): void {
    const leader = this.#newestLeader;
    const node = leader === undefined ? undefined : this.#nodes.get(leader.id);
    if (leader === undefined || node === undefined) return;
    if (!node.alive || node.life !== leader.life || node.term !== leader.term) return;
    assert(this.#holdsCommitted(node.memory, this.committed), "I4: a leader misses what is committed", {
      ...leader,
      last: node.memory.last,
      committed: this.committed,
    });
  }

  #committedByQuorum(id: NodeId, node: Watched, before: CoreStatus, after: CoreStatus): void {
    const chain = this.committedChain(after.commit);
    const at = node.memory.at(after.commit)?.term;
    assert(
      this.#lens?.ownTermOnly !== true || at === after.term,
      "I10: an entry of an earlier term was committed by counting",
      {
        id,
        term: after.term,
        index: after.commit,
        of: at,
      },
    );
    const has = (voter: NodeId): boolean => {
      const other = this.#nodes.get(voter);
      if (other === undefined) return false;
      return (
        other.installed >= after.commit ||
        (chain !== undefined && other.everDurable.get(after.commit)?.has(chain) === true)
      );
    };
    // A step may commit under one configuration and enter the next: either may have been the one that counted.
    const counted = [before, after].some((status) =>
      hasQuorum({ incoming: incomingVoters(status.configuration), outgoing: status.configuration.outgoing }, has),
    );
    assert(counted, "I7: committed without a quorum of disks", { id, term: node.term, commit: after.commit });
    this.#complete();
  }

  #holdsCommitted(log: RecordedLog, upTo: number): boolean {
    if (upTo <= log.start.index) return true;
    return log.at(upTo)?.chain === this.committedChain(upTo);
  }

  #leadsStill(leader: { readonly id: NodeId; readonly life: number } | undefined, term: number): boolean {
    if (leader === undefined) return false;
    const node = this.#nodes.get(leader.id);
    return node !== undefined && node.alive && node.life === leader.life && node.term === term;
  }

  #append(id: NodeId, node: Watched, record: LogRecord): void {
    const before = node.memory.at(record.index - 1);
    assert(before !== undefined, "I2: an entry without the one before it", { id, index: record.index });
    assert(record.chain === chainHash(before.chain, record.term, record.bodyCrc), "I2: a chain breaks", {
      id,
      index: record.index,
    });
    assert(record.term >= before.term, "I2: terms fall along a log", { id, index: record.index });
    const key = `${record.index}@${record.term}`;
    const known = this.#matching.get(key);
    if (known === undefined) this.#matching.set(key, record.chain);
    else assert(known === record.chain, "I2: same index and term, different logs", { id, at: key });
    node.memory.put(record);
  }

  #vote(id: NodeId, node: Watched, record: LogRecord): void {
    assert(record.term >= node.term, "I6: a term record goes back", { id, term: record.term, is: node.term });
    const candidate = this.#lens?.votedFor(record);
    if (candidate === undefined) {
      assert(!node.votes.has(record.term), "I5: a vote was forgotten", { id, term: record.term });
      return;
    }
    if (candidate === "unreadable") return; // it is still the vote that we saw
    const known = node.votes.get(record.term);
    assert(known === undefined || known === candidate, "I5: two votes in one term", {
      id,
      term: record.term,
      candidates: [known, candidate],
    });
    node.votes.set(record.term, candidate);
  }

  #begin(id: NodeId, node: Watched, record: LogRecord): void {
    const start = this.#startOf(record);
    assert(record.index <= this.committed, "I3: forgets what is not committed", { id, index: record.index });
    assert(record.index >= node.memory.start.index, "I6: a log start goes back", { id, index: record.index });
    assert(record.index <= node.applied, "I3: forgets what is not applied", { id, index: record.index });
    node.memory.begin(start);
  }

  #startOf(record: LogRecord): LogStart {
    const chain = this.committedChain(record.index);
    assert(chain !== undefined, "I3: a log starts after what is not committed", { index: record.index });
    return { index: record.index, term: record.term, chain, configuration: { members: [], outgoing: [] } };
  }

  #write(id: NodeId, node: Watched, records: readonly LogRecord[]): void {
    for (const record of records) {
      if (record.kind === RecordKind.vote) {
        node.durableTerm = Math.max(node.durableTerm, record.term);
        const candidate = this.#lens?.votedFor(record);
        if (candidate !== undefined && candidate !== "unreadable") {
          const known = node.durableVotes.get(record.term);
          assert(known === undefined || known === candidate, "I5: two durable votes in one term", {
            id,
            term: record.term,
          });
          node.durableVotes.set(record.term, candidate);
        }
      } else if (record.kind === RecordKind.start) {
        node.durable.begin(this.#startOf(record));
      } else if (!isSticky(record.kind)) {
        // A log that is being repaired may lie below a gap; the disk keeps what connects.
        if (node.durable.at(record.index - 1) === undefined) continue;
        node.durable.put(record);
        const held = node.everDurable.get(record.index);
        if (held === undefined) node.everDurable.set(record.index, new Set([record.chain]));
        else held.add(record.chain);
      }
    }
  }

  #node(id: NodeId): Watched {
    const node = this.#nodes.get(id);
    assert(node !== undefined, "a node that was started", { id });
    return node;
  }
}

/**
 * What a WAL's records say after `start`: the entries that go on from there, link by link, and, beyond a gap, the highest
 * index that may have been acknowledged.
 */
function readDisk(disk: readonly LogRecord[], start: LogStart): ReadDisk {
  let log: LogRecord[] = [];
  for (const record of disk) {
    if (record.kind === RecordKind.start) log = [];
    else if (!isSticky(record.kind)) {
      while ((log.at(-1)?.index ?? 0) >= record.index) log.pop();
      log.push(record);
    }
  }
  const above = log.filter((record) => record.index > start.index);
  const readable: LogRecord[] = [];
  let { index, chain } = start;
  for (const record of above) {
    if (record.index !== index + 1 || record.chain !== chainHash(chain, record.term, record.bodyCrc)) break;
    readable.push(record);
    index = record.index;
    chain = record.chain;
  }
  // Right after the start a break means the rest of a log that a snapshot replaced, unless an index is missing. What stands at
  // the start itself says nothing: the record of where the log begins may be lost, and entries follow all the same.
  const next = above[readable.length];
  const isHole = next !== undefined && (readable.length > 0 || next.index !== start.index + 1);
  return { readable, damagedUpTo: isHole ? above.at(-1)?.index : undefined };
}
