/**
 * One seed, one workload and one schedule of faults, on Raft and on Paxos: both histories are linearizable, and both end in the
 * same state on every node.
 *
 * Four clients, each with a key of its own to write and all keys to read; a write that is not answered is sent again, and an
 * entry that was executed is not executed twice (as sessions do in `group/`). So the last value of a key is the same in
 * whatever order the engines put the clients' commands, and any difference is a command lost, doubled or overtaken.
 */
import { describe, expect, test } from "vitest";
import { type NodeId, nodeId } from "../../src/base/ids.ts";
import { Prng } from "../../src/base/prng.ts";
import { RecordKind } from "../../src/consensus/contract/record.ts";
import { recoverPaxos } from "../../src/consensus/paxos/recover.ts";
import { recoverRaft } from "../../src/consensus/raft/raft.ts";
import { History } from "../../src/sim/checkers/history.ts";
import { checkLinearizability } from "../../src/sim/checkers/linearizability.ts";
import { type RegisterInput, type RegisterOutput, registerModel } from "../../src/sim/checkers/models.ts";
import { Cluster, type Fact } from "../scenario/cluster.ts";
import { paxosLens } from "../scenario/paxos-lens.ts";
import { raftLens } from "../scenario/raft-lens.ts";
import type { Engine } from "../scenario/script.ts";
import { fuzzMember } from "./core-fuzz.ts";

const raft: Engine = { factory: recoverRaft, lens: raftLens };
const paxos: Engine = { factory: recoverPaxos, lens: paxosLens };

const CLIENTS = 4;
const WRITES = 15;
const NODES = 5;
const PATIENCE_MS = 300;
const THINK_MS = 150;
const FAULTS_MS = 6_000;
const LIMIT_MS = 60_000;

type Keys = ReadonlyMap<string, string>;

/** The state that a node has after what it applied. */
class Registers {
  readonly values = new Map<string, string>();
  readonly #done = new Map<string, number>();

  /** `client.number=value#attempt`; a number that was executed is not executed again. */
  apply(text: string): void {
    const [, client = "", number = "", value = ""] = /^(\d+)\.(\d+)=(\w+)#/.exec(text) ?? [];
    if ((this.#done.get(client) ?? 0) >= Number(number)) return;
    this.#done.set(client, Number(number));
    this.values.set(`k${client}`, value);
  }
}

interface Call {
  readonly id: number;
  readonly sentMs: number;
  /** A write is done when its number was executed anywhere, a read when its index is known. */
  readonly number?: number;
  readonly key?: string;
  readonly context?: number;
  readonly attempt: number;
}

class Run {
  readonly history = new History<RegisterInput, RegisterOutput>();
  readonly #cluster: Cluster;
  readonly #prng: Prng;
  readonly #log: string[] = [];
  readonly #calls: (Call | undefined)[] = Array.from({ length: CLIENTS }, () => undefined);
  readonly #written = Array.from({ length: CLIENTS }, () => 0);
  readonly #reading = Array.from({ length: CLIENTS }, () => false);
  readonly #dueMs = Array.from({ length: CLIENTS }, (_, i) => 100 * i);
  readonly #executed = Array.from({ length: CLIENTS }, () => 0);
  readonly #granted = new Map<number, number | undefined>();

  constructor(engine: Engine, seed: number) {
    this.#prng = new Prng(seed);
    const draws = new Prng(seed + 1_000_000);
    this.#cluster = new Cluster({
      factory: engine.factory,
      lens: engine.lens,
      founders: { members: Array.from({ length: NODES }, (_, i) => fuzzMember(nodeId(i + 1))), outgoing: [] },
      random: () => () => draws.unit(),
      tunables: { electionMs: 100, heartbeatMs: 10 },
      observe: (fact) => this.#observe(fact),
    });
  }

  /** Runs to its end; returns the state of every node. */
  run(): readonly Keys[] {
    const cluster = this.#cluster;
    let faultMs = 200;
    while (this.#written.some((n) => n < WRITES) || this.#calls.some((c) => c !== undefined)) {
      if (cluster.nowMs > LIMIT_MS) throw new Error("Cannot end the run: clients wait for answers");
      if (cluster.nowMs >= faultMs) {
        if (faultMs < FAULTS_MS) this.#fault();
        else this.#heal();
        faultMs += 150;
      }
      for (let client = 0; client < CLIENTS; client++) this.#act(client);
      cluster.run(5);
    }
    this.#heal();
    cluster.run(2_000);
    return cluster.ids.map((id) => {
      const state = new Registers();
      for (const text of this.#log.slice(0, cluster.machine(id).applied)) state.apply(text);
      expect(cluster.machine(id).applied).toBe(this.#log.length);
      return state.values;
    });
  }

  #observe(fact: Fact): void {
    if (fact.type === "read") this.#granted.set(fact.grant.context, fact.grant.index);
    if (fact.type !== "applied") return;
    for (const record of fact.records) {
      const text = record.kind === RecordKind.command ? Buffer.from(record.body).toString() : "";
      this.#log[record.index - 1] ??= text;
      const [, client, number] = /^(\d+)\.(\d+)=/.exec(text) ?? [];
      if (client === undefined) continue;
      this.#executed[Number(client)] = Math.max(this.#executed[Number(client)] ?? 0, Number(number));
    }
  }

  #act(client: number): void {
    const call = this.#calls[client];
    if (call === undefined) return this.#next(client);
    if (call.number !== undefined) {
      if ((this.#executed[client] ?? 0) >= call.number) {
        this.history.end(call.id, { type: "written" });
        this.#calls[client] = undefined;
      } else if (this.#cluster.nowMs - call.sentMs > PATIENCE_MS) this.#write(client, call.number, call);
      return;
    }
    const { context = 0, key = "" } = call;
    if (this.#granted.has(context)) {
      const index = this.#granted.get(context);
      if (index === undefined) this.#read(client, key, call);
      else if (index <= this.#log.length) {
        const state = new Registers();
        for (const text of this.#log.slice(0, index)) state.apply(text);
        this.history.end(call.id, { type: "read", value: state.values.get(key) });
        this.#calls[client] = undefined;
      }
    } else if (this.#cluster.nowMs - call.sentMs > PATIENCE_MS) this.#read(client, key, call);
  }

  #next(client: number): void {
    if (this.#cluster.nowMs < (this.#dueMs[client] ?? 0)) return;
    this.#dueMs[client] = this.#cluster.nowMs + THINK_MS;
    if (this.#reading[client] !== true && (this.#written[client] ?? 0) < WRITES) {
      const number = (this.#written[client] ?? 0) + 1;
      this.#written[client] = number;
      this.#reading[client] = true;
      this.#write(client, number, undefined);
    } else if (this.#reading[client] === true) {
      this.#reading[client] = false;
      this.#read(client, `k${((this.#written[client] ?? 0) + client) % CLIENTS}`, undefined);
    }
  }

  #write(client: number, number: number, before: Call | undefined): void {
    const value = `v${client}x${number}`;
    const id = before?.id ?? this.history.begin(client, { type: "write", key: `k${client}`, value });
    const attempt = (before?.attempt ?? 0) + 1;
    this.#calls[client] = { id, sentMs: this.#cluster.nowMs, number, attempt };
    const to = this.#target(client + attempt);
    if (to !== undefined) this.#cluster.propose(to, `${client}.${number}=${value}#${attempt}`);
  }

  #read(client: number, key: string, before: Call | undefined): void {
    const id = before?.id ?? this.history.begin(client, { type: "read", key });
    const to = this.#target(client);
    const context = to === undefined ? 0 : this.#cluster.read(to);
    this.#calls[client] = { id, sentMs: this.#cluster.nowMs, key, context, attempt: (before?.attempt ?? 0) + 1 };
  }

  /** Mostly the leader; now and then one that only believes to be it. */
  #target(salt: number): NodeId | undefined {
    const leaders = this.#cluster.alive.filter((id) => this.#cluster.core(id).role === "leader");
    return leaders[salt % Math.max(1, leaders.length)];
  }

  /** Decided by the seed alone, not by what the engine did. */
  #fault(): void {
    const cluster = this.#cluster;
    const prng = this.#prng;
    const id = nodeId(prng.between(1, NODES));
    const other = nodeId(prng.between(1, NODES));
    const dice = prng.below(6);
    const keep = prng.below(3);
    switch (dice) {
      case 0: {
        if (cluster.alive.length > 3 && cluster.machine(id).core !== undefined) cluster.crash(id, keep);
        return;
      }
      case 1:
        for (const peer of cluster.ids) {
          if (peer === id) continue;
          cluster.cut(id, peer);
          cluster.cut(peer, id);
        }
        return;
      case 2:
        if (id !== other) cluster.cut(id, other);
        return;
      case 3: {
        const machine = cluster.machine(id);
        if (machine.core !== undefined) cluster.checkpoint(id, 3);
        return;
      }
      default:
        this.#heal();
    }
  }

  #heal(): void {
    this.#cluster.heal();
    for (const id of this.#cluster.ids) if (this.#cluster.machine(id).core === undefined) this.#cluster.start(id);
  }
}

const [from = 1, count = 10] = (process.env["ALTHING_FUZZ_SEEDS"] ?? "").split(":").filter(Boolean).map(Number);

describe("Raft and Paxos, the same seeds", () => {
  const seeds = Array.from({ length: count }, (_, i) => from + i);

  test.each(seeds)("seed %i: both linearizable, the same end", (seed) => {
    const ends = [raft, paxos].map((engine) => {
      const run = new Run(engine, seed);
      const states = run.run();
      const verdict = checkLinearizability(registerModel, run.history.operations());
      expect(verdict.type).toBe("ok");
      for (const state of states) expect(Object.fromEntries(state)).toEqual(Object.fromEntries(states[0] ?? []));
      return states[0];
    });
    const [one, two] = ends.map((state) => Object.fromEntries(state ?? []));
    expect(two).toEqual(one);
    const last = Array.from({ length: CLIENTS }, (_, i) => [`k${i}`, `v${i}x${WRITES}`]);
    expect(one).toEqual(Object.fromEntries(last));
  });
});
