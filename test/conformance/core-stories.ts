/**
 * Random runs that are made of stories instead of single steps: a few moves that bring a cluster of cores to where its
 * rules matter, each with its details drawn from the seed. `core-fuzz.ts` tries everything everywhere; what takes ten steps
 * in a row it seldom meets. After each move the same observer looks, and in the end the cluster must serve again.
 *
 *   rogue     a leader goes on alone and gathers entries that nobody else has; the others elect another, which commits, and
 *             perhaps forgets its log; then they meet
 *   usurper   a voter loses the leader, or is given its place; before or while it stands, the leader loses everybody
 *   split     while members change, old and new ones lose each other, and both sides try to go on
 *   rotten    a follower loses a record that it acknowledged, hears old frames again, and is asked for its vote
 *   relay     leaders follow each other quickly, each with a few of the others
 *
 * Source  Ongaro 2014, chapters 3, 4 and 6: each story is one of its figures or warnings, and what may go wrong around it.
 */
import { assert } from "../../src/base/assert.ts";
import { logIndex, type NodeId, nodeId } from "../../src/base/ids.ts";
import { Prng } from "../../src/base/prng.ts";
import { findMember, incomingVoters, isVoter } from "../../src/consensus/contract/configuration.ts";
import type { CoreFactory } from "../../src/consensus/contract/core.ts";
import { Cluster, type Flight } from "../scenario/cluster.ts";
import type { Lens } from "../scenario/safety.ts";
import { fuzzMember } from "./core-fuzz.ts";

export interface StoriesOptions {
  readonly factory: CoreFactory;
  readonly lens: Lens;
  readonly seed: number;
  readonly nodes: number;
  readonly leaseMs?: number;
}

const ELECTION_MS = 100;
const HEARTBEAT_MS = 10;
const NODES_MAX = 7;
const STORIES = 5;
const ARCHIVE_MAX = 250;
/** Elections, repairs, snapshots and joint changes each take a few election timeouts at most. */
const PROGRESS_MS = 60 * ELECTION_MS;

/** Runs one seed to its end. Throws on the first broken promise. */
export function tellStories(options: StoriesOptions): void {
  new Stories(options).run();
}

class Stories {
  readonly #options: StoriesOptions;
  readonly #prng: Prng;
  readonly #cluster: Cluster;
  readonly #archive: Flight[] = [];
  #proposals = 0;

  constructor(options: StoriesOptions) {
    this.#options = options;
    const prng = new Prng(options.seed);
    this.#prng = prng;
    const draws = prng.fork();
    const ids = Array.from({ length: options.nodes }, (_, i) => nodeId(i + 1));
    this.#cluster = new Cluster({
      factory: options.factory,
      lens: options.lens,
      founders: { members: ids.map((id) => fuzzMember(id)), outgoing: [] },
      random: () => () => draws.unit(),
      tunables: {
        heartbeatMs: HEARTBEAT_MS,
        electionMs: ELECTION_MS,
        leaseMs: options.leaseMs ?? 0,
        uncommittedEntriesMax: 64,
        inflightMessagesMax: prng.pick([1, 2, 16]),
        messageBytesMax: prng.pick([1, 8, 1_000]),
      },
    });
    this.#cluster.delay = () => (prng.chance(0.1) ? prng.below(1.5 * ELECTION_MS) : 1);
  }

  run(): void {
    let story = 0;
    let name = "";
    try {
      for (; story < STORIES; story++) {
        const next = this.#next();
        name = next.name;
        next.tell();
      }
      name = "the end";
      this.#end();
    } catch (error) {
      const { seed, nodes, leaseMs = 0 } = this.#options;
      throw new Error(`Cannot pass seed ${seed} (${nodes} nodes, lease ${leaseMs}): ${name}, story ${story + 1}`, {
        cause: error,
      });
    }
  }

  #next(): { readonly name: string; readonly tell: () => void } {
    const stories = {
      rogue: () => this.#rogue(),
      usurper: () => this.#usurper(),
      split: () => this.#split(),
      rotten: () => this.#rotten(),
      relay: () => this.#relay(),
    };
    // A lease is what a usurper meets.
    if ((this.#options.leaseMs ?? 0) > 0 && this.#prng.chance(0.5)) return { name: "usurper", tell: stories.usurper };
    const [name, tell] = this.#prng.pick(Object.entries(stories));
    return { name, tell };
  }

  // ---------------------------------------------------------------- stories

  #rogue(): void {
    const prng = this.#prng;
    const leader = this.#leader();
    if (leader === undefined) return;
    this.#propose(leader, prng.below(3));
    this.#run(prng.below(20));
    // It may take few along: too few to commit, or just enough for what comes late.
    const along = this.#alive.filter((id) => id !== leader && prng.chance(0.2));
    this.#part([leader, ...along]);
    this.#propose(leader, prng.between(1, 14));
    this.#run(prng.between(2, 3 * ELECTION_MS));
    const next = this.#cluster.leader;
    if (next !== undefined && next !== leader) {
      this.#propose(next, prng.below(4));
      this.#run(prng.below(30));
      if (prng.chance(0.5)) this.#checkpointAll();
    }
    this.#disturb(leader);
    if (prng.chance(0.5)) {
      // They meet first one by one.
      for (const id of prng.shuffle([...this.#alive]).slice(0, prng.between(1, 2))) this.#join(leader, id);
      this.#run(prng.below(40));
      this.#disturb(leader);
    }
    this.#cluster.heal();
    if (prng.chance(0.3)) this.#forget(leader);
    this.#run(prng.below(2 * ELECTION_MS));
  }

  #usurper(): void {
    const prng = this.#prng;
    const leader = this.#leader();
    const other = prng.pick(this.#cluster.ids);
    if (leader === undefined || other === leader) return;
    this.#replay(leader, prng.below(8));
    if (prng.chance(0.3)) {
      // It is asked to give its place away, and may learn of nothing that follows.
      const comesLate = prng.chance(0.4);
      if (comesLate) this.#cluster.hold(leader, other);
      this.#cluster.transfer(leader, other);
      this.#run(comesLate ? prng.between(ELECTION_MS, 1.4 * ELECTION_MS) : prng.below(4));
    } else {
      this.#cluster.cut(leader, other);
      if (prng.chance(0.8)) this.#cluster.cut(other, leader);
      this.#run(prng.between(ELECTION_MS / 2, 2 * ELECTION_MS));
    }
    if (this.#cluster.machine(leader).core === undefined) return;
    this.#part([leader]);
    const isPaused = prng.chance(0.3);
    if (isPaused) this.#cluster.paused.add(leader);
    if (prng.chance((this.#options.leaseMs ?? 0) > 0 ? 0.5 : 0.3)) this.#crashSome(leader);
    if (prng.chance(0.3)) {
      for (const id of this.#alive) {
        if (id !== leader) this.#cluster.input(id, { type: "peer-lost", peer: leader });
      }
    }
    if (prng.chance(0.3)) this.#replay(other, prng.between(1, 8));
    const readChance = prng.pick([0.1, 0.5, 1]);
    for (let left = prng.between(10, 60); left > 0; left--) {
      this.#run(prng.below(6));
      const { leader: newest } = this.#cluster;
      if (newest !== undefined && prng.chance(0.5)) this.#propose(newest, 1);
      if (!isPaused && prng.chance(readChance)) this.#readAt(leader);
    }
    if (isPaused) {
      this.#cluster.paused.delete(leader);
      if (prng.chance(0.5)) this.#readAt(leader); // before anything tells it that time has passed
      this.#cluster.resume(leader);
      this.#readAt(leader);
      this.#run(prng.below(20));
    }
    if (prng.chance(0.7)) this.#cluster.heal();
    this.#run(prng.below(ELECTION_MS));
  }

  #split(): void {
    const prng = this.#prng;
    const leader = this.#leader();
    if (leader === undefined) return;
    const { configuration } = this.#cluster.core(leader).status();
    const before = configuration.members.map(({ id }) => id);
    const wanted = Array.from({ length: NODES_MAX }, (_, i) => nodeId(i + 1)).filter((id) =>
      findMember(configuration, id) === undefined ? prng.chance(0.5) : prng.chance(0.6),
    );
    const members = wanted.map((id) => {
      const role = prng.chance(0.8) ? "voter" : "learner";
      return fuzzMember(id, role, role === "learner" && prng.chance(0.3));
    });
    this.#propose(leader, prng.below(4)); // what is under way when the change begins
    if (this.#cluster.change(leader, members).type !== "accepted") return this.#run(prng.below(ELECTION_MS));
    if (prng.chance(0.3)) {
      // Somebody wants another change before this one is done.
      this.#run(prng.below(4));
      const fewer = members.filter(({ role }) => role === "voter").slice(0, prng.between(1, 3));
      if (fewer.length > 0 && this.#leaders.includes(leader)) this.#cluster.change(leader, fewer);
    }
    for (const id of wanted) if (!this.#cluster.machines.has(id)) this.#cluster.add(id);
    const added = wanted.filter((id) => !before.includes(id));
    // One side has those that come, and perhaps the leader and one more; the other side those that were there.
    const side = [...added, ...before.filter((id) => (id === leader ? prng.chance(0.7) : prng.chance(0.25)))];
    if (prng.chance(0.5)) this.#run(prng.below(12)); // how far the news gets
    this.#part(side);
    for (let left = prng.between(1, 4); left > 0; left--) {
      this.#run(prng.below(2 * ELECTION_MS));
      for (const id of this.#leaders) this.#propose(id, prng.below(3));
      if (prng.chance(0.4)) this.#disturb(leader);
      if (prng.chance(0.2)) this.#part(this.#cluster.ids.filter(() => prng.chance(0.5)));
    }
    this.#run(prng.below(20));
    this.#cluster.heal();
    this.#run(prng.below(3 * ELECTION_MS));
  }

  #rotten(): void {
    const prng = this.#prng;
    const { leader, ids } = this.#cluster;
    const mayDamage = ids.every((id) => this.#cluster.machine(id).damagedUpTo === undefined);
    if (leader === undefined || !mayDamage || this.#voters(leader) < 3) return void this.#leader();
    const [victim, late] = prng.shuffle(this.#alive.filter((id) => id !== leader));
    if (victim === undefined) return;
    if (late !== undefined) this.#part([late]);
    this.#propose(leader, prng.between(1, 8));
    this.#run(prng.between(1, 15));
    this.#propose(leader, prng.below(4));
    this.#run(prng.between(1, 15));
    if (this.#cluster.machine(victim).core === undefined) return;
    this.#cluster.crash(victim, 0);
    const first = this.#cluster.machine(victim).checkpoint.index + 1;
    const last = this.#cluster.safety.durableLast(victim);
    if (first <= last) this.#cluster.damage(victim, logIndex(prng.between(first, last)));
    this.#cluster.start(victim);
    if (prng.chance(0.6)) this.#part([leader]); // what it sent may still come
    this.#replay(victim, prng.between(1, 8));
    this.#run(prng.below(10));
    this.#part([leader]);
    this.#run(prng.between(ELECTION_MS, 4 * ELECTION_MS));
    for (const id of this.#leaders) this.#propose(id, prng.below(3));
    this.#run(prng.below(20));
    this.#cluster.heal();
    this.#run(prng.below(2 * ELECTION_MS));
  }

  #relay(): void {
    const prng = this.#prng;
    for (let left = prng.between(2, 5); left > 0; left--) {
      const leader = this.#leader();
      if (leader === undefined) return;
      const friends = this.#alive.filter((id) => id !== leader && prng.chance(0.4));
      this.#part([leader, ...friends]);
      this.#propose(leader, prng.between(1, 4));
      this.#replay(leader, prng.below(8)); // answers to what it said as an earlier leader
      this.#run(prng.below(12));
      this.#disturb(leader);
      this.#cluster.heal();
      if (prng.chance(0.4)) this.#part(this.#cluster.ids.filter(() => prng.chance(0.3)));
      this.#run(prng.below(2 * ELECTION_MS));
      this.#cluster.heal();
      this.#replay(prng.pick(this.#cluster.ids), prng.below(6));
    }
  }

  // ---------------------------------------------------------------- the end

  #end(): void {
    const cluster = this.#cluster;
    cluster.heal();
    cluster.delay = () => 1;
    for (const id of cluster.ids) {
      if (cluster.paused.has(id)) cluster.resume(id);
      cluster.machine(id).diskHeld = false;
      if (cluster.machine(id).core === undefined) cluster.start(id);
    }
    const isServing = (): boolean => {
      const { leader } = cluster;
      if (leader === undefined) return false;
      const { commit, last } = cluster.core(leader).status();
      return commit === last && commit > before;
    };
    const before = cluster.safety.committed;
    for (let waitedMs = 0; waitedMs < PROGRESS_MS && !isServing(); waitedMs += HEARTBEAT_MS) {
      if (cluster.leader !== undefined && cluster.safety.committed <= before) this.#propose(cluster.leader, 1);
      cluster.run(HEARTBEAT_MS);
    }
    assert(isServing() || this.#isExcused(), "no progress after healing", {
      leader: cluster.leader,
      cores: cluster.ids.map((id) => {
        const { role, term, commit, last, damaged, configuration } = cluster.core(id).status();
        return {
          id,
          role,
          term,
          commit,
          last,
          damaged,
          of: incomingVoters(configuration),
          and: configuration.outgoing,
        };
      }),
    });
    cluster.run(ELECTION_MS);
    for (const id of this.#leaders) {
      const { configuration, commit, configurationIndex } = cluster.core(id).status();
      const isOut = configurationIndex <= commit && !isVoter(configuration, id);
      assert(!isOut, "who is no voter any more leads no more", { id, configuration });
    }
  }

  /** A damaged voter, or one that has nothing yet, may be one too many; its owner has to help. `core-fuzz.ts` counts such. */
  #isExcused(): boolean {
    return this.#cluster.ids.some((id) => {
      const { damaged, last } = this.#cluster.core(id).status();
      return damaged || last === 0;
    });
  }

  // ---------------------------------------------------------------- moves

  get #alive(): readonly NodeId[] {
    return this.#cluster.alive;
  }

  get #leaders(): readonly NodeId[] {
    return this.#alive.filter((id) => this.#cluster.core(id).role === "leader");
  }

  #voters(id: NodeId): number {
    return incomingVoters(this.#cluster.core(id).status().configuration).length;
  }

  /** Time passes, some of it in pieces; now and then a frame is kept, to come again. */
  #run(ms: number): void {
    const cluster = this.#cluster;
    const prng = this.#prng;
    for (let leftMs = ms; leftMs >= 0; leftMs -= 8) {
      for (const flight of cluster.flights) {
        if (!prng.chance(0.05)) continue;
        if (this.#archive.length >= ARCHIVE_MAX) this.#archive.splice(prng.below(ARCHIVE_MAX), 1);
        this.#archive.push(flight);
      }
      cluster.run(Math.min(8, leftMs));
    }
    if (prng.chance(0.2)) this.#replay(prng.pick(cluster.ids), 1);
  }

  /** Frames of long ago come to a node once more. */
  #replay(to: NodeId, count: number): void {
    const kept = this.#archive.filter((flight) => flight.to === to);
    if (kept.length === 0) return;
    const from = this.#prng.below(kept.length);
    for (const flight of kept.slice(from, from + count)) this.#cluster.deliver(flight, true);
  }

  /** The leader, after as long as it takes to have one. */
  #leader(): NodeId | undefined {
    const cluster = this.#cluster;
    for (const id of cluster.ids) if (cluster.machine(id).core === undefined) cluster.start(id);
    if (cluster.leader === undefined) cluster.heal();
    for (let i = 0; i < 40 && cluster.leader === undefined; i++) this.#run(ELECTION_MS / 4);
    return cluster.leader;
  }

  #propose(id: NodeId, count: number): void {
    for (let left = count; left > 0; left--) {
      if (this.#cluster.machine(id).core === undefined) return;
      this.#cluster.propose(id, `p${++this.#proposals}`);
    }
  }

  #readAt(id: NodeId): void {
    if (this.#cluster.machine(id).core !== undefined) this.#cluster.read(id);
  }

  /** Only these talk to each other, and the others among themselves. */
  #part(side: readonly NodeId[]): void {
    const cluster = this.#cluster;
    cluster.heal();
    for (const a of cluster.ids) {
      for (const b of cluster.ids) if (a !== b && side.includes(a) !== side.includes(b)) cluster.cut(a, b);
    }
    // What is under way may be lost with the link, or come late.
    if (this.#prng.chance(0.5)) {
      for (const flight of [...cluster.flights]) if (cluster.isCut(flight.from, flight.to)) cluster.lose(flight);
    }
  }

  /** Two nodes talk to each other again. */
  #join(a: NodeId, b: NodeId): void {
    if (a === b) return;
    const cluster = this.#cluster;
    const cuts = cluster.ids.flatMap((x) =>
      cluster.ids
        .filter((y) => cluster.isCut(x, y) && !(x === a && y === b) && !(x === b && y === a))
        .map((y) => [x, y] as const),
    );
    cluster.heal();
    for (const [x, y] of cuts) cluster.cut(x, y);
  }

  #checkpointAll(): void {
    for (const id of this.#alive) {
      if (this.#prng.chance(0.7)) this.#cluster.checkpoint(id, this.#prng.pick([0, 0, 2]));
    }
  }

  /** A crash, or a disk that finishes nothing until a crash, or nothing. */
  #disturb(id: NodeId): void {
    const cluster = this.#cluster;
    const machine = cluster.machine(id);
    const prng = this.#prng;
    if (machine.core === undefined) return;
    const dice = prng.unit();
    if (dice < 0.35) {
      cluster.crash(id, prng.below(1 + machine.open.reduce((sum, write) => sum + write.records.length, 0)));
      if (prng.chance(0.3)) cluster.recycle(id);
      cluster.start(id);
    } else if (dice < 0.5) {
      machine.diskHeld = true;
      this.#run(prng.below(30));
      machine.diskHeld = false;
      if (machine.core === undefined) return;
      cluster.crash(id, 0);
      cluster.start(id);
    }
  }

  /** Hears of everything and writes nothing of it down, until it crashes. */
  #forget(id: NodeId): void {
    const machine = this.#cluster.machine(id);
    machine.diskHeld = true;
    this.#run(this.#prng.below(ELECTION_MS));
    machine.diskHeld = false;
    if (machine.core !== undefined) this.#cluster.crash(id, 0);
    this.#cluster.start(id);
  }

  #crashSome(but: NodeId): void {
    for (const id of this.#alive) {
      if (id === but || this.#prng.chance(0.4)) continue;
      this.#cluster.crash(id, 0);
      this.#cluster.start(id);
    }
  }
}
