/**
 * One random run of a cluster of Paxos cores, from one seed: first anything may happen at any step, then everything heals
 * and the cluster must make progress within a bound. What must hold all the while: `paxos-cluster.ts`.
 */
import { assert } from "../../src/base/assert.ts";
import { type NodeId, nodeId } from "../../src/base/ids.ts";
import { Prng } from "../../src/base/prng.ts";
import type { Configuration } from "../../src/consensus/contract/configuration.ts";
import { findMember, incomingVoters, type MemberRole } from "../../src/consensus/contract/configuration.ts";
import type { CoreFactory } from "../../src/consensus/contract/core.ts";
import type { QuorumSystem } from "../../src/consensus/quorum/quorum-system.ts";
import { hasQuorum } from "../../src/consensus/quorum/quorum.ts";
import { fuzzMember } from "./core-fuzz.ts";
import { PaxosCluster } from "./paxos-cluster.ts";

export interface PaxosFuzzOptions {
  readonly factory: CoreFactory;
  readonly seed: number;
  readonly nodes: number;
  readonly steps: number;
  /** Members may change; off for runs whose quorums belong to one set of voters. */
  readonly changes?: boolean;
  /** Off where one damaged voter may be one too many. */
  readonly damages?: boolean;
  readonly quorumsOf?: (configuration: Configuration) => QuorumSystem;
  readonly observe?: (line: string) => void;
}

const ELECTION_MS = 100;
const HEARTBEAT_MS = 10;
const NODES_MAX = 7;
const FLIGHTS_MAX = 80;
const PROGRESS_MS = 60 * ELECTION_MS;

/** Runs one seed to its end; returns how often what happened. Throws on the first broken promise. */
export function paxosFuzz(options: PaxosFuzzOptions): Readonly<Record<string, number>> {
  return new PaxosRun(options).run();
}

class PaxosRun {
  readonly #options: PaxosFuzzOptions;
  readonly #prng: Prng;
  readonly #cluster: PaxosCluster;
  readonly #rates: Readonly<Record<"loss" | "crash" | "lag" | "churn" | "splits" | "rush" | "calm", number>>;
  readonly #stalled = new Set<NodeId>();
  #proposals = 0;

  constructor(options: PaxosFuzzOptions) {
    this.#options = options;
    const prng = new Prng(options.seed);
    this.#prng = prng;
    this.#rates = {
      loss: prng.pick([0, 0.02, 0.1, 0.3]),
      crash: prng.pick([0, 0.01, 0.03, 0.08]),
      lag: prng.pick([0.05, 0.3, 0.8]),
      churn: prng.pick([0, 0.03, 0.12]),
      splits: prng.pick([0, 0.03, 0.1]),
      rush: prng.pick([0, 0.05, 0.2]),
      calm: prng.pick([0.01, 0.04, 0.1]),
    };
    const draws = prng.fork();
    const ids = Array.from({ length: options.nodes }, (_, i) => nodeId(i + 1));
    this.#cluster = new PaxosCluster({
      factory: options.factory,
      founders: { members: ids.map((id) => fuzzMember(id)), outgoing: [] },
      random: () => draws.unit(),
      ...(options.quorumsOf === undefined ? {} : { quorumsOf: options.quorumsOf }),
      ...(options.observe === undefined ? {} : { observe: options.observe }),
      tunables: {
        heartbeatMs: HEARTBEAT_MS,
        electionMs: ELECTION_MS,
        leaseMs: 0,
        uncommittedEntriesMax: prng.pick([4, 64]),
        uncommittedBytesMax: 1_000_000,
        inflightMessagesMax: prng.pick([1, 2, 16]),
        inflightBytesMax: 100_000,
        messageBytesMax: prng.pick([1, 40, 1_000]),
      },
    });
  }

  run(): Readonly<Record<string, number>> {
    let step = 0;
    try {
      for (; step < this.#options.steps; step++) this.#act();
      this.#heal();
    } catch (error) {
      const { seed, nodes, steps } = this.#options;
      const where = step < steps ? `step ${step}` : "after healing";
      throw new Error(`Cannot pass seed ${seed} (${nodes} nodes, ${steps} steps): ${where}`, { cause: error });
    }
    return this.#cluster.counts;
  }

  #act(): void {
    const prng = this.#prng;
    const cluster = this.#cluster;
    if (prng.chance(this.#rates.crash)) this.#crashOrRestart();
    if (prng.chance(this.#rates.churn)) this.#operate();
    if (prng.chance(this.#rates.splits)) this.#partition();
    if (prng.chance(this.#rates.calm)) cluster.run(prng.below(ELECTION_MS * 2));
    if (cluster.transfers.length > 0 && prng.chance(0.05)) {
      cluster.finishTransfer(prng.below(cluster.transfers.length), prng.chance(0.8));
    }
    while (cluster.flights.length > FLIGHTS_MAX) cluster.lose(prng.pick(cluster.flights));
    const dice = prng.unit();
    if (dice < 0.4) this.#deliver();
    else if (dice < 0.6) this.#sync();
    else if (dice < 0.85) this.#pass(prng.chance(this.#rates.rush) ? prng.below(ELECTION_MS) : prng.below(6));
    else if (dice < 0.96) this.#propose();
    else this.#read();
  }

  #deliver(): void {
    const { flights } = this.#cluster;
    for (let left = this.#prng.between(1, 6); left > 0; left--) {
      const flight = this.#prng.chance(this.#rates.lag) ? flights[this.#prng.below(flights.length)] : flights[0];
      if (flight === undefined) return;
      if (this.#prng.chance(this.#rates.loss)) this.#cluster.lose(flight);
      else this.#cluster.deliver(flight, this.#prng.chance(0.05));
    }
  }

  #sync(): void {
    for (const id of this.#cluster.alive) if (this.#prng.chance(0.4)) this.#cluster.sync(id);
  }

  #pass(ms: number): void {
    this.#cluster.nowMs += ms;
    for (const id of this.#cluster.alive) if (this.#prng.chance(0.9)) this.#cluster.tickDue(id);
  }

  #someone(): NodeId | undefined {
    const { alive, leader } = this.#cluster;
    if (leader !== undefined && this.#prng.chance(0.8)) return leader;
    return alive.length > 0 ? this.#prng.pick(alive) : undefined;
  }

  #propose(): void {
    const id = this.#someone();
    // Some are too large for a promise to carry.
    const tail = this.#prng.chance(0.3) ? "x".repeat(600) : "";
    if (id !== undefined) this.#cluster.propose(id, `p${++this.#proposals}${tail}`);
  }

  #read(): void {
    // Also of one that does not know yet that it was replaced: the interesting case.
    const { alive } = this.#cluster;
    const leaders = alive.filter((id) => this.#cluster.core(id).role === "leader");
    const id = leaders.length > 0 ? this.#prng.pick(leaders) : this.#someone();
    if (id !== undefined) this.#cluster.read(id);
  }

  #crashOrRestart(): void {
    const cluster = this.#cluster;
    const prng = this.#prng;
    const down = cluster.ids.filter((id) => cluster.machine(id).core === undefined);
    if (down.length > 0 && prng.chance(0.6)) return cluster.start(prng.pick(down));
    const { alive } = cluster;
    if (alive.length === 0) return;
    const busy = alive.filter((id) => cluster.machine(id).open.length > 0);
    const id = busy.length > 0 && prng.chance(0.7) ? prng.pick(busy) : prng.pick(alive);
    const open = cluster.machine(id).open.reduce((sum, write) => sum + write.records.length, 0);
    cluster.crash(id, prng.below(open + 1));
    this.#stalled.delete(id);
    if (prng.chance(0.3)) cluster.recycle(id);
    const oneIsDamaged = cluster.ids.some((other) => cluster.machine(other).damagedUpTo !== undefined);
    if (prng.chance(0.15) && !oneIsDamaged && this.#options.nodes >= 3)
      cluster.damage(id, (count) => prng.below(count));
  }

  #partition(): void {
    const { cut, ids, leader } = this.#cluster;
    const prng = this.#prng;
    cut.clear();
    if (prng.chance(0.5) || ids.length < 2) return;
    const split = (side: ReadonlySet<NodeId>): void => {
      for (const a of ids) for (const b of ids) if (side.has(a) !== side.has(b)) cut.add(`${a}>${b}`);
    };
    switch (prng.below(4)) {
      case 0:
        return split(new Set(ids.filter(() => prng.chance(0.5))));
      case 1:
        return split(new Set(leader === undefined ? [] : [leader, ...(prng.chance(0.5) ? [prng.pick(ids)] : [])]));
      case 2: {
        const [a, b] = prng.shuffle([...ids]);
        cut.add(`${a}>${b}`);
        return;
      }
      default: {
        const bridge = prng.pick(ids);
        for (const a of ids) for (const b of ids) if (a !== b && a !== bridge && b !== bridge) cut.add(`${a}>${b}`);
      }
    }
  }

  #operate(): void {
    const cluster = this.#cluster;
    const prng = this.#prng;
    const { leader, alive } = cluster;
    const someone = alive.length > 0 ? prng.pick(alive) : undefined;
    switch (prng.below(6)) {
      case 0:
        if (leader !== undefined && this.#options.changes !== false) this.#change(leader);
        return;
      case 1:
        if (leader !== undefined) cluster.input(leader, { type: "transfer", to: prng.pick(cluster.ids) });
        return;
      case 2:
      case 3:
        if (someone !== undefined) cluster.checkpoint(someone, prng.pick([0, 0, 2, 5]));
        return;
      case 4:
        if (someone !== undefined) this.#stall(someone, !this.#stalled.has(someone));
        return;
      default: {
        // Everybody but the leader itself may think that it is gone.
        const lost = leader !== undefined && prng.chance(0.5) ? leader : prng.pick(cluster.ids);
        for (const id of alive) if (prng.chance(0.6)) cluster.input(id, { type: "peer-lost", peer: lost });
      }
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
    const ids = Array.from({ length: NODES_MAX }, (_, i) => nodeId(i + 1)).filter((id) =>
      findMember(before, id) === undefined ? prng.chance(0.3) : prng.chance(0.8),
    );
    const members = ids.map((id) => {
      const role: MemberRole = prng.chance(0.75) ? "voter" : "learner";
      return { ...fuzzMember(id, role, role === "learner" && prng.chance(0.5)), incarnation: 2 };
    });
    const outcome = this.#cluster.input(leader, { type: "change", members });
    if (outcome?.type !== "accepted") return;
    this.#cluster.count("changes");
    for (const id of ids) if (!this.#cluster.machines.has(id)) this.#cluster.add(id);
  }

  /** All faults end. Then: a leader, every member at the same index, a write and a read done, nothing left waiting. */
  #heal(): void {
    const cluster = this.#cluster;
    cluster.cut.clear();
    for (const id of cluster.ids) if (cluster.machine(id).core === undefined) cluster.start(id);
    for (const id of [...this.#stalled]) this.#stall(id, false);
    let written = false;
    const done = (): boolean => {
      const { leader } = cluster;
      if (leader === undefined) return false;
      const status = cluster.core(leader).status();
      const isDamaged = status.configuration.members.some(({ id }) => cluster.core(id).status().damaged);
      if (!written || isDamaged) {
        written = cluster.propose(leader, `p${++this.#proposals}`).type === "accepted" || written;
        if (written) cluster.read(leader);
        return false;
      }
      if (status.commit !== status.last) return false;
      return status.configuration.members.every(
        ({ id }) => cluster.machine(id).applied === status.last && cluster.core(id).leader === leader,
      );
    };
    let waitedMs = 0;
    for (; !done() && waitedMs < PROGRESS_MS; waitedMs += HEARTBEAT_MS) cluster.run(HEARTBEAT_MS);
    if (waitedMs >= PROGRESS_MS) {
      assert(cluster.leader === undefined && this.#isBlocked(), "no progress after healing", this.#picture());
      cluster.count("blocked");
      return;
    }
    cluster.run(ELECTION_MS);
    for (const id of cluster.alive) assert(cluster.machine(id).reads.size === 0, "a read was never answered", { id });
  }

  /** Half of two voters damaged, or a founder that holds nothing beside a damaged one: waiting for the owner is right. */
  #isBlocked(): boolean {
    const cluster = this.#cluster;
    const isSound = (id: NodeId): boolean => {
      const status = cluster.machines.has(id) ? cluster.core(id).status() : undefined;
      return status !== undefined && !status.damaged && status.last > 0;
    };
    return cluster.ids.some((id) => {
      const { configuration } = cluster.core(id).status();
      const incoming = incomingVoters(configuration);
      return incoming.length > 0 && !hasQuorum({ incoming, outgoing: [] }, isSound);
    });
  }

  #picture(): unknown {
    const cluster = this.#cluster;
    return cluster.ids.map((id) => {
      const { role, term, commit, first, last, damaged, leader, configuration, peers } = cluster.core(id).status();
      const { applied, damagedUpTo } = cluster.machine(id);
      const voters = incomingVoters(configuration);
      return { id, role, term, leader, commit, first, last, applied, damaged, damagedUpTo, voters, peers };
    });
  }
}
