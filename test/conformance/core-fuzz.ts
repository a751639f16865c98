/**
 * One random run of a cluster of cores, from one seed: first anything may happen at any step (frames lost, doubled,
 * overtaken and held back; crashes at any point, also between a write and its completion; late ticks and clocks that drift;
 * changes of members, transfers, snapshots, trims, stalled disks, damaged records), with the safety observer after every
 * step; then everything heals, and the cluster must make progress within a bound.
 *
 * F1. Faults stay within what the contract promises to survive: disks lose only what was not synced, except that one
 *     machine at a time may have one damaged record, an entry or a vote, and says so.
 * F2. Everything random comes from the seed, the cores' own draws too: a seed replays step by step.
 */
import { assert } from "../../src/base/assert.ts";
import { logIndex, type NodeId, nodeId } from "../../src/base/ids.ts";
import { Prng } from "../../src/base/prng.ts";
import {
  findMember,
  incomingVoters,
  type Member,
  type MemberRole,
} from "../../src/consensus/contract/configuration.ts";
import type { CoreFactory } from "../../src/consensus/contract/core.ts";
import { hasQuorum } from "../../src/consensus/quorum/quorum.ts";
import { Cluster, type Fact, type Flight, isVote } from "../scenario/cluster.ts";
import type { Lens } from "../scenario/safety.ts";

export interface FuzzOptions {
  readonly factory: CoreFactory;
  readonly lens: Lens | undefined;
  readonly seed: number;
  readonly nodes: number;
  readonly steps: number;
  readonly leaseMs?: number;
  /** Frames come back long after, reads are asked of deposed leaders, everybody drops a leader at once, learners come and go. */
  readonly storm?: boolean;
  /** Off where quorums belong to one set of voters, and where a damaged voter may be one too many. */
  readonly changes?: boolean;
  readonly damages?: boolean;
  /** Told of everything that happens: a line that tells runs apart, and the fact itself. */
  readonly observe?: (line: string, fact: Fact) => void;
}

/** What a run met, so that a suite can show that the rare paths were taken. */
export interface FuzzTally {
  leaders: number;
  commits: number;
  crashes: number;
  tornWrites: number;
  changes: number;
  transfers: number;
  installs: number;
  truncations: number;
  reads: number;
  damages: number;
  lostVotes: number;
  repairs: number;
  resignations: number;
  /** Runs that rightly ended without a leader, because a damaged voter is not replaced by itself. */
  blocked: number;
}

export const emptyTally = (): FuzzTally => ({
  leaders: 0,
  commits: 0,
  crashes: 0,
  tornWrites: 0,
  changes: 0,
  transfers: 0,
  installs: 0,
  truncations: 0,
  reads: 0,
  damages: 0,
  lostVotes: 0,
  repairs: 0,
  resignations: 0,
  blocked: 0,
});

const ELECTION_MS = 100;
const HEARTBEAT_MS = 10;
const NODES_MAX = 7;
const FLIGHTS_MAX = 60;
const ARCHIVE_MAX = 40;
/** After healing: elections, repairs, joint changes and snapshots each take a few election timeouts at most. */
const PROGRESS_MS = 40 * ELECTION_MS;

export const fuzzMember = (id: NodeId, role: MemberRole = "voter", promote = false): Member => ({
  id,
  incarnation: 0,
  role,
  promote,
  name: `n${id}`,
  address: `n${id}:1`,
  clientUrls: [],
});

/** Runs one seed to its end. Throws on the first broken promise. */
export function fuzz(options: FuzzOptions, tally: FuzzTally = emptyTally()): void {
  new FuzzRun(options, tally).run();
}

class FuzzRun {
  readonly #options: FuzzOptions;
  readonly #prng: Prng;
  readonly #tally: FuzzTally;
  readonly #cluster: Cluster;
  readonly #stalled = new Set<NodeId>();
  /** How eager each kind of trouble is in this run: some runs are calm in one respect and wild in another. */
  readonly #loss: number;
  readonly #crash: number;
  readonly #lag: number;
  readonly #churn: number;
  readonly #splits: number;
  readonly #hurry: number;
  readonly #rush: number;
  readonly #calm: number;
  #proposals = 0;
  /** Frames that come back in a storm. */
  readonly #archive: Flight[] = [];

  constructor(options: FuzzOptions, tally: FuzzTally) {
    this.#options = options;
    this.#tally = tally;
    const prng = new Prng(options.seed);
    this.#prng = prng;
    this.#loss = prng.pick([0, 0.02, 0.1, 0.3]);
    this.#crash = prng.pick([0, 0.01, 0.03, 0.08]);
    this.#lag = prng.pick([0.05, 0.3, 0.8]);
    this.#churn = prng.pick([0, 0.03, 0.12]);
    this.#splits = prng.pick([0, 0.03, 0.1]);
    this.#hurry = prng.pick([0, 0.2, 0.5]);
    this.#rush = prng.pick([0, 0.05, 0.2]);
    this.#calm = prng.pick([0.01, 0.04, 0.1]);
    const ids = Array.from({ length: options.nodes }, (_, i) => nodeId(i + 1));
    const draws = new Map<NodeId, Prng>();
    const drift = prng.pick([0, 0, 0.02]);
    this.#cluster = new Cluster({
      factory: options.factory,
      lens: options.lens,
      founders: { members: ids.map((id) => fuzzMember(id)), outgoing: [] },
      random: (id) => {
        let draw = draws.get(id);
        if (draw === undefined) draws.set(id, (draw = prng.fork()));
        const own = draw;
        return () => own.unit();
      },
      clock: () => ({ offsetMs: prng.below(10_000), rate: 1 + drift * (prng.unit() * 2 - 1) }),
      tunables: {
        heartbeatMs: HEARTBEAT_MS,
        electionMs: ELECTION_MS,
        leaseMs: options.leaseMs ?? 0,
        uncommittedEntriesMax: prng.pick([4, 64]),
        inflightMessagesMax: prng.pick([1, 2, 16]),
        messageBytesMax: prng.pick([1, 8, 1_000]),
      },
      observe: (fact) => this.#observe(fact),
    });
    this.#cluster.snapshotsHeld = true;
  }

  run(): void {
    let step = 0;
    try {
      for (; step < this.#options.steps; step++) this.#act();
      this.#heal();
    } catch (error) {
      const { seed, nodes, steps, leaseMs } = this.#options;
      const where = step < steps ? `step ${step}` : "after healing";
      throw new Error(`Cannot pass seed ${seed} (${nodes} nodes, ${steps} steps, lease ${leaseMs ?? 0}): ${where}`, {
        cause: error,
      });
    }
  }

  #act(): void {
    const prng = this.#prng;
    const cluster = this.#cluster;
    if (prng.chance(this.#crash)) this.#crashOrRestart();
    if (prng.chance(this.#churn)) this.#operate();
    if (prng.chance(this.#splits)) this.#partition();
    if (this.#options.storm === true) this.#storm();
    // Between the storms everything due happens in order for a while: so leaders are made that the next storm can undo.
    if (prng.chance(this.#calm)) cluster.run(prng.below(ELECTION_MS * 2));
    if (cluster.transfers.length > 0 && prng.chance(0.05)) {
      cluster.finishTransfer(prng.pick(cluster.transfers), prng.chance(0.8));
    }
    while (cluster.flights.length > FLIGHTS_MAX) cluster.lose(prng.pick(cluster.flights));
    const dice = prng.unit();
    if (dice < 0.4) this.#deliver();
    else if (dice < 0.6) this.#sync();
    else if (dice < 0.88) this.#wait();
    else if (dice < 0.96) this.#propose();
    else this.#read();
  }

  /** What a frame of long ago says must not count any more. */
  #storm(): void {
    const prng = this.#prng;
    const { flights } = this.#cluster;
    if (prng.chance(0.1) && flights.length > 0) {
      if (this.#archive.length === ARCHIVE_MAX) this.#archive.splice(prng.below(ARCHIVE_MAX), 1);
      this.#archive.push(prng.pick(flights));
    }
    if (prng.chance(0.1) && this.#archive.length > 0) this.#cluster.deliver(prng.pick(this.#archive), true);
    if (prng.chance(0.01)) {
      const lost = this.#cluster.leader ?? prng.pick(this.#cluster.ids);
      for (const id of this.#cluster.alive) {
        if (id !== lost && prng.chance(0.7)) this.#cluster.input(id, { type: "peer-lost", peer: lost });
      }
    }
  }

  /** A handful of frames. Mostly in order, as one connection would; with lag, anything overtakes anything. */
  #deliver(): void {
    const { flights } = this.#cluster;
    if (flights.length === 0) return this.#wait();
    for (let left = this.#prng.between(1, 6); left > 0; left--) {
      const flight = this.#prng.chance(this.#lag) ? flights[this.#prng.below(flights.length)] : flights[0];
      if (flight === undefined) return;
      if (this.#prng.chance(this.#loss)) this.#cluster.lose(flight);
      else this.#cluster.deliver(flight, this.#prng.chance(0.05));
    }
  }

  #sync(): void {
    for (const id of this.#cluster.alive) {
      if (this.#cluster.machine(id).open.length > 0 && this.#prng.chance(0.4)) this.#cluster.sync(id);
    }
  }

  /** A little time passes, or as much as somebody needs to lose patience with a leader that is still there. */
  #wait(): void {
    const prng = this.#prng;
    const { alive, nowMs } = this.#cluster;
    if (alive.length > 0 && prng.chance(this.#hurry)) {
      const eager = prng.pick(alive);
      const wakeMs = this.#cluster.wakeMs(eager);
      // What would have calmed it down is late; everybody else goes on as usual.
      for (const flight of [...this.#cluster.flights]) {
        if (flight.to === eager && prng.chance(0.5)) this.#cluster.lose(flight);
      }
      if (Number.isFinite(wakeMs)) return this.#pass(Math.max(0, wakeMs - nowMs));
    }
    if (prng.chance(this.#rush)) return this.#pass(prng.below(ELECTION_MS));
    this.#pass(prng.chance(this.#lag) ? prng.below(HEARTBEAT_MS * 2) : prng.below(3));
  }

  /** Time passes; whoever is due ticks, but some come late. */
  #pass(ms: number): void {
    const cluster = this.#cluster;
    cluster.nowMs += ms;
    for (const id of cluster.alive) {
      if (cluster.wakeMs(id) <= cluster.nowMs && this.#prng.chance(0.9)) cluster.tick(id);
    }
  }

  #someone(): NodeId | undefined {
    const { alive, leader } = this.#cluster;
    if (leader !== undefined && this.#prng.chance(0.7)) return leader;
    return alive.length > 0 ? this.#prng.pick(alive) : undefined;
  }

  #propose(): void {
    const id = this.#someone();
    if (id !== undefined) this.#cluster.propose(id, `p${++this.#proposals}`);
  }

  #read(): void {
    const leaders = this.#cluster.alive.filter((other) => this.#cluster.core(other).role === "leader");
    // In a storm also of one that does not know yet that it was replaced.
    const id = this.#options.storm === true && leaders.length > 0 ? this.#prng.pick(leaders) : this.#someone();
    if (id !== undefined) this.#cluster.read(id);
  }

  #crashOrRestart(): void {
    const cluster = this.#cluster;
    const prng = this.#prng;
    const down = cluster.ids.filter((id) => cluster.machine(id).core === undefined);
    if (down.length > 0 && prng.chance(0.6)) {
      cluster.start(prng.pick(down));
      return;
    }
    const { alive } = cluster;
    if (alive.length === 0) return;
    // Prefer a machine whose disk is busy: the moment between a write and its completion.
    const busy = alive.filter((id) => cluster.machine(id).open.length > 0);
    const id = busy.length > 0 && prng.chance(0.7) ? prng.pick(busy) : prng.pick(alive);
    const open = cluster.machine(id).open.reduce((sum, write) => sum + write.records.length, 0);
    const keep = prng.below(open + 1);
    if (keep < open) this.#tally.tornWrites++;
    cluster.crash(id, keep);
    this.#stalled.delete(id);
    this.#tally.crashes++;
    if (prng.chance(0.3)) cluster.recycle(id);
    if (prng.chance(0.15) && this.#options.damages !== false) this.#damage(id);
  }

  #damage(id: NodeId): void {
    const cluster = this.#cluster;
    if (cluster.ids.some((other) => cluster.machine(other).damagedUpTo !== undefined)) return; // F1
    if (this.#options.nodes < 3) return;
    const votes = this.#options.lens !== undefined && cluster.machine(id).disk.some((r) => isVote(r.kind));
    if (votes && this.#prng.chance(0.3)) {
      cluster.damageVote(id);
      this.#tally.lostVotes++;
      return;
    }
    const first = cluster.machine(id).checkpoint.index + 1;
    const last = cluster.safety.durableLast(id);
    if (last < first) return;
    cluster.damage(id, logIndex(this.#prng.between(first, last)));
    this.#tally.damages++;
  }

  #partition(): void {
    const cluster = this.#cluster;
    const prng = this.#prng;
    if (prng.chance(0.5)) {
      cluster.heal();
      return;
    }
    const { ids } = cluster;
    if (ids.length < 2) return;
    switch (prng.below(4)) {
      case 0: {
        // Two sides.
        const side = new Set(ids.filter(() => prng.chance(0.5)));
        for (const a of ids) for (const b of ids) if (side.has(a) !== side.has(b)) cluster.cut(a, b);
        return;
      }
      case 1: {
        // The leader and perhaps a friend against the rest.
        const { leader } = cluster;
        if (leader === undefined) return;
        const side = new Set([leader, ...(prng.chance(0.5) ? [prng.pick(ids)] : [])]);
        for (const a of ids) for (const b of ids) if (side.has(a) !== side.has(b)) cluster.cut(a, b);
        return;
      }
      case 2: {
        // One direction of one link.
        const [a, b] = prng.shuffle([...ids]);
        if (a !== undefined && b !== undefined) cluster.cut(a, b);
        return;
      }
      default: {
        // A bridge: one node hears all, the others only it.
        const bridge = prng.pick(ids);
        for (const a of ids) for (const b of ids) if (a !== b && a !== bridge && b !== bridge) cluster.cut(a, b);
      }
    }
  }

  /** What an operator or a host does now and then. */
  #operate(): void {
    const cluster = this.#cluster;
    const prng = this.#prng;
    const { leader, alive } = cluster;
    const someone = alive.length > 0 ? prng.pick(alive) : undefined;
    switch (prng.below(6)) {
      case 0:
        if (leader !== undefined && this.#options.changes !== false) this.#change(leader);
        return;
      case 1: {
        const to = prng.pick(cluster.ids);
        if (leader !== undefined && cluster.transfer(leader, to).type === "accepted") this.#tally.transfers++;
        return;
      }
      case 2:
      case 3:
        if (someone !== undefined) cluster.checkpoint(someone, prng.pick([0, 0, 2, 5]));
        return;
      case 4:
        if (someone !== undefined) this.#stall(someone, !this.#stalled.has(someone));
        return;
      default:
        if (someone !== undefined) cluster.input(someone, { type: "peer-lost", peer: prng.pick(cluster.ids) });
    }
  }

  #stall(id: NodeId, stalled: boolean): void {
    if (stalled) this.#stalled.add(id);
    else this.#stalled.delete(id);
    this.#cluster.input(id, { type: "disk", stalled });
  }

  #change(leader: NodeId): void {
    const prng = this.#prng;
    const before = this.#cluster.core(leader).status().configuration;
    const keepsVoters = this.#options.storm === true && prng.chance(0.5);
    const ids = Array.from({ length: NODES_MAX }, (_, i) => nodeId(i + 1)).filter((id) =>
      findMember(before, id) === undefined
        ? prng.chance(0.3)
        : prng.chance(0.8) || (keepsVoters && findMember(before, id)?.role === "voter"),
    );
    const members = ids.map((id) => {
      const now = findMember(before, id);
      if (keepsVoters && now !== undefined) return { ...now, address: `n${id}:1` };
      if (keepsVoters) return fuzzMember(id, "learner", prng.chance(0.5));
      const role: MemberRole = prng.chance(0.75) ? "voter" : "learner";
      return fuzzMember(id, role, role === "learner" && prng.chance(0.5));
    });
    if (this.#cluster.change(leader, members).type !== "accepted") return;
    this.#tally.changes++;
    for (const id of ids) if (!this.#cluster.machines.has(id)) this.#cluster.add(id);
  }

  /** All faults end. Then: a leader, every member at the same index, a write and a read done, nothing left waiting. */
  #heal(): void {
    const cluster = this.#cluster;
    cluster.heal();
    cluster.snapshotsHeld = false;
    for (const id of cluster.ids) if (cluster.machine(id).core === undefined) cluster.start(id);
    for (const id of [...this.#stalled]) this.#stall(id, false);
    let written: string | undefined;
    let read: { readonly id: NodeId; readonly context: number } | undefined;
    const done = (): boolean => {
      const { leader } = cluster;
      if (leader === undefined) return false;
      if (written === undefined) {
        const text = `p${++this.#proposals}`;
        if (cluster.propose(leader, text).type !== "accepted") return false;
        written = text;
        read = { id: leader, context: cluster.read(leader) };
        return false;
      }
      const status = cluster.core(leader).status();
      // A member that lost a record votes again when its log has reached that index again: writes go on until it has.
      if (status.configuration.members.some(({ id }) => cluster.core(id).status().damaged)) {
        cluster.propose(leader, `p${++this.#proposals}`);
        return false;
      }
      if (status.commit !== status.last || status.configuration.outgoing.length > 0) return false;
      return status.configuration.members.every(({ id }) => {
        const other = cluster.core(id).status();
        return cluster.machine(id).applied === status.last && !other.damaged && other.leader === leader;
      });
    };
    // Checked once a heartbeat: `done` itself acts, and a refused proposal must not be repeated at every event.
    let waitedMs = 0;
    while (!done() && waitedMs < PROGRESS_MS) {
      cluster.run(HEARTBEAT_MS);
      waitedMs += HEARTBEAT_MS;
    }
    if (waitedMs >= PROGRESS_MS && !done()) {
      // Where one damaged voter is one too many, waiting for its owner is right: half of two, or one half of a joint pair.
      const excused = cluster.leader === undefined && this.#damageBlocks();
      assert(excused, "no progress after healing", this.#picture());
      this.#tally.blocked++;
      return;
    }
    cluster.run(ELECTION_MS);
    for (const id of cluster.alive) {
      const open = cluster.safety.openReads(id);
      assert(open.length === 0, "a read was never answered", { id, open, read });
    }
  }

  #damageBlocks(): boolean {
    const cluster = this.#cluster;
    // A founder that holds nothing votes for nobody who does (R9 of the core): beside a damaged one, that is one too many.
    const sound = (id: NodeId): boolean => {
      if (!cluster.machines.has(id)) return false;
      const { damaged, last } = cluster.core(id).status();
      return !damaged && last > 0;
    };
    return cluster.ids.some((id) => {
      const { configuration } = cluster.core(id).status();
      return !hasQuorum({ incoming: incomingVoters(configuration), outgoing: configuration.outgoing }, sound);
    });
  }

  #picture(): unknown {
    const cluster = this.#cluster;
    return cluster.ids.map((id) => {
      const { role, term, commit, first, last, damaged, leader, configuration, peers } = cluster.core(id).status();
      const { applied } = cluster.machine(id);
      const voters = incomingVoters(configuration);
      const { outgoing } = configuration;
      return { id, role, term, leader, commit, first, last, applied, damaged, voters, outgoing, peers };
    });
  }

  #observe(fact: Fact): void {
    const tally = this.#tally;
    if (fact.type === "event") {
      if (fact.event.type === "role" && fact.event.role === "leader") tally.leaders++;
      if (fact.event.type === "role" && fact.before === "leader") tally.resignations++;
      if (fact.event.type === "truncated") tally.truncations++;
      if (fact.event.type === "repaired") tally.repairs++;
    } else if (fact.type === "applied") tally.commits += fact.records.length;
    else if (fact.type === "read" && fact.grant.index !== undefined) tally.reads++;
    else if (fact.type === "snapshot" && fact.phase === "installed") tally.installs++;
    this.#options.observe?.(`${this.#cluster.nowMs} ${JSON.stringify(fact)}`, fact);
  }
}
