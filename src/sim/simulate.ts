/**
 * One simulated run from beginning to end: start the cluster, load it while faults happen, end the faults, demand that it
 * comes back and serves, check what the clients saw, close. Fails with a `SimulationFailure` that names the seed.
 *
 * R1. The same scenario and seed give the same run: hash, events, results (`checkReplay` proves it for a seed).
 * R2. An assertion, an unhandled rejection or an observed event of level `error` on any node fails the run.
 * R3. Once the faults have ended, the cluster is whole and serves again within `healWithinMs` of virtual time.
 */
import { AssertionError, assert } from "../base/assert.ts";
import type { AlthingError } from "../base/errors.ts";
import type { Kernels } from "../ports/kernels.ts";
import type { ObservedEvent } from "../ports/observer.ts";
import { FaultInjector } from "./fault-injector.ts";
import { positionsText } from "./fault-positions.ts";
import { drawFaults, type Fault, type FaultPlan, faultKinds } from "./faults.ts";
import { Governor } from "./governor.ts";
import { Machine } from "./machine.ts";
import { hashText } from "./rolling-hash.ts";
import { type ClientOptions, SimClient } from "./sim-client.ts";
import { type NodeFactory, SimCluster, type SimNode, startMayFail } from "./sim-cluster.ts";
import { type DiskOptions, SimDisk } from "./sim-disk.ts";
import { simKernels } from "./sim-kernels.ts";
import { type NetworkOptions, SimNetwork } from "./sim-network.ts";
import { SimProcess } from "./sim-process.ts";
import { drawClock, drawDisk, drawNetwork } from "./swarm.ts";
import { type FailedRun, type ReplayKey, SimulationFailure, Trace } from "./trace.ts";
import { EventKind, type SimHost, World } from "./world.ts";

/** What one run consists of, but for its seed: who runs, what clients do, what goes wrong, what must hold. */
export interface SimulationPlan<TNode extends SimNode> {
  readonly factory: NodeFactory<TNode>;
  /** How many nodes. Default 3. */
  readonly nodes?: number;
  /** How long clients run under faults, in virtual milliseconds. */
  readonly durationMs: number;
  /** How many clients run at once. Default 0. */
  readonly clients?: number;
  /** One client's whole life: loops until `client.stopping`. A rejection fails the run. */
  readonly client?: (client: SimClient<TNode>) => Promise<void>;
  readonly clientOptions?: Partial<ClientOptions>;
  /** `"none"`, a schedule, or what differs from the default plan, from which the seed draws a schedule. */
  readonly faults?: "none" | readonly Fault[] | Partial<FaultPlan>;
  /** Default: drawn from the seed. What is given here stands. `datagram: undefined` turns datagram mode off. */
  readonly network?: Partial<NetworkOptions>;
  readonly disk?: Partial<DiskOptions>;
  /** Pure work; native kernels with equal results make runs faster. */
  readonly kernels?: Kernels;
  /** Does the cluster serve? Asked before the load begins, and again after the faults have ended. Default: all have started. */
  readonly isReady?: (nodes: readonly TNode[]) => boolean;
  readonly readyWithinMs?: number;
  readonly healWithinMs?: number;
  /** Whether a node's data are whole again after damage: lets the governor harm another one. Default: never. */
  readonly isRepaired?: (node: number, instance: TNode) => boolean;
  /** Called when the load has ended and before the nodes close. Throws on a violation. */
  readonly check?: (run: { readonly nodes: readonly TNode[]; readonly trace: Trace }) => void | Promise<void>;
  readonly observe?: (node: number, event: ObservedEvent, timeMs: number) => void;
  /** Observed events of level `error` that this run explains. Default: those of a node whose disk returned errors. */
  readonly tolerates?: (event: ObservedEvent, node: number) => boolean;
  readonly startMayFail?: (error: AlthingError, node: number) => boolean;
  /** Which faults of the schedule happen, by their positions from 0; the others are left out. Default: all. */
  readonly keepFaults?: readonly number[];
  /** Shown in the replay command after the seed. */
  readonly replayOptions?: string;
  /** The whole replay command, for runs that are not `althing sim`. */
  readonly replay?: (key: ReplayKey) => string;
  /** How many of the newest events the trace keeps. Default 2,000. */
  readonly traceEntriesMax?: number;
  /** Also trace what travels: messages between nodes, calls of clients and their answers. Does not change the run. */
  readonly traceMessages?: boolean;
  /** A few words for a message in the trace; undefined leaves the message out. Default: its size. */
  readonly describeFrame?: (frame: Uint8Array) => string | undefined;
}

/** A plan with its seed, and the real host under it. */
export interface Scenario<TNode extends SimNode> extends SimulationPlan<TNode> {
  readonly seed: number;
  readonly host: SimHost;
}

export interface SimulationResult {
  readonly seed: number;
  readonly hash: string;
  readonly events: number;
  readonly virtualMs: number;
  /** The schedule of the run. Given as `faults`, with the same seed, it is the same run again. */
  readonly faults: readonly Fault[];
  /** Changes of each node's disk by the time the faults ended, node 1 first: what `kill-at-write` counts. */
  readonly writes: readonly number[];
  readonly trace: Trace;
}

const READY_WITHIN_MS = 30_000;
const HEAL_WITHIN_MS = 30_000;
const CLIENTS_END_WITHIN_MS = 60_000;
const CLOSE_WITHIN_MS = 30_000;
const REPAIR_POLL_MS = 250;
/** Clients live on a machine of their own, beyond all nodes. */
const CLIENT_NODE = 0xffff;

export const defaultFaultPlan: Omit<FaultPlan, "nodes" | "durationMs"> = {
  meanGapMs: 2_000,
  electionMs: 1_000,
  rotPrefix: "",
  folders: [],
  kinds: faultKinds,
  swarm: true,
};

/** Runs a scenario once. Throws `SimulationFailure`. */
export function runSimulation<TNode extends SimNode>(scenario: Scenario<TNode>): Promise<SimulationResult> {
  return new Simulation(scenario).run();
}

/**
 * Runs a scenario twice and fails unless both runs are the same run (R1). `make` is called for each run, because clients
 * and checks keep state of their own.
 */
export async function checkReplay<TNode extends SimNode>(make: () => Scenario<TNode>): Promise<SimulationResult> {
  const first = await runSimulation(make());
  const second = await runSimulation(make());
  assert(
    first.hash === second.hash && first.events === second.events,
    "R1: the same seed gives the same run, else something reads a clock, a random number or the world outside the ports",
    { seed: first.seed, first: first.hash, second: second.hash, events: [first.events, second.events] },
  );
  return second;
}

class Simulation<TNode extends SimNode> {
  readonly #scenario: Scenario<TNode>;
  readonly #world: World;
  readonly #network: SimNetwork;
  readonly #trace: Trace;
  readonly #machines: Machine[] = [];
  readonly #governor: Governor;
  readonly #cluster: SimCluster<TNode>;
  readonly #injector: FaultInjector;
  readonly #faults: readonly Fault[];
  readonly #control = { stopping: false, progressed: 0, progress: (): void => undefined };
  #clientsLeft = 0;
  #writes: readonly number[] = [];

  constructor(scenario: Scenario<TNode>) {
    this.#scenario = scenario;
    const nodes = scenario.nodes ?? 3;
    this.#trace = new Trace(scenario.traceEntriesMax);
    const world = new World(scenario.seed, scenario.host);
    this.#world = world;
    // The order of these forks is part of what a seed means.
    const swarm = world.prng.fork();
    this.#network = new SimNetwork(world, { ...drawNetwork(swarm), ...scenario.network });
    this.#governor = new Governor(nodes);
    for (let node = 1; node <= nodes; node++) {
      const prng = world.prng.fork();
      const machine = new Machine(node, {
        world,
        network: this.#network,
        disk: new SimDisk(world, prng.fork(), { ...drawDisk(swarm), ...scenario.disk }),
        clock: drawClock(swarm),
        kernels: scenario.kernels ?? simKernels,
        prng,
        observe: (from, event) => this.#observe(from, event),
      });
      this.#machines.push(machine);
    }
    this.#cluster = new SimCluster({
      world,
      factory: scenario.factory,
      machines: this.#machines,
      governor: this.#governor,
      prng: world.prng.fork(),
      startMayFail: scenario.startMayFail ?? startMayFail,
      tell: (node, event) => this.#trace.record(world.nowMs, node, event),
    });
    this.#faults = this.#drawFaults(nodes);
    this.#injector = new FaultInjector({
      world,
      network: this.#network,
      governor: this.#governor,
      prng: world.prng.fork(),
      machine: (node) => this.#cluster.machine(node),
      crash: (node, mode, downMs, why, whileDown) => this.#cluster.crash(node, mode, downMs, why, whileDown),
      downAfterStop: (node, downMs) => this.#cluster.downAfterStop(node, downMs),
      tell: (event) => this.#trace.record(world.nowMs, 0, event),
    });
    this.#control.progress = () => {
      this.#control.progressed++;
    };
    if (scenario.traceMessages === true) this.#traceMessages();
    world.onFail((error, node) => {
      this.#trace.record(world.nowMs, node ?? 0, { type: "failed", level: "error", error: describe(error) });
    });
  }

  async run(): Promise<SimulationResult> {
    const world = this.#world;
    try {
      await this.#start();
      await this.#load();
      await this.#heal();
      await this.#finish();
    } catch (error) {
      throw new SimulationFailure(describe(error), {
        seed: world.seed,
        timeMs: world.nowMs,
        node: world.failure?.node,
        trace: this.#trace,
        hash: world.hash,
        events: world.eventCount,
        faults: this.#faults,
        ...this.#replay(),
        cause: error,
      });
    }
    return {
      seed: world.seed,
      hash: world.hash,
      events: world.eventCount,
      virtualMs: world.nowMs,
      faults: this.#faults,
      writes: this.#writes,
      trace: this.#trace,
    };
  }

  #replay(): Pick<FailedRun, "keepFaults" | "replay"> {
    const { keepFaults, replay, replayOptions = "" } = this.#scenario;
    const options = replayOptions === "" ? "" : ` ${replayOptions}`;
    const command = ({ seed, keepFaults: keep }: ReplayKey): string =>
      `npx althing sim --seed ${seed}${options}${keep === undefined ? "" : ` --faults ${positionsText(keep)}`}`;
    return { replay: replay ?? command, ...(keepFaults === undefined ? {} : { keepFaults }) };
  }

  async #start(): Promise<void> {
    this.#injector.prepare(this.#faults);
    this.#cluster.startAll();
    const within = this.#scenario.readyWithinMs ?? READY_WITHIN_MS;
    await this.#until("the cluster to be ready", within, () => this.#isReady());
  }

  async #load(): Promise<void> {
    this.#injector.start(this.#faults);
    this.#startClients();
    this.#pollRepairs();
    await this.#world.run({ untilMs: this.#world.nowMs + this.#scenario.durationMs });
  }

  /** Faults off, everyone up: now liveness is owed (R3). */
  async #heal(): Promise<void> {
    this.#injector.stop();
    this.#writes = this.#machines.map(({ disk }) => disk.changeCount);
    this.#network.calm();
    this.#network.topology.healAll();
    for (const machine of this.#machines) {
      machine.disk.calm();
      machine.resume();
    }
    this.#cluster.startAll();
    this.#trace.record(this.#world.nowMs, 0, { type: "healing" });
    const before = this.#control.progressed;
    const within = this.#scenario.healWithinMs ?? HEAL_WITHIN_MS;
    const began = this.#world.nowMs;
    await this.#until("the cluster to come back", within, () => this.#isReady());
    const owed = before > 0 && this.#clientsLeft > 0;
    const left = Math.max(1, within - (this.#world.nowMs - began));
    if (owed) await this.#until("a client to succeed again", left, () => this.#control.progressed > before);
    this.#trace.record(this.#world.nowMs, 0, { type: "healed" });
  }

  async #finish(): Promise<void> {
    this.#control.stopping = true;
    await this.#until("the clients to end", CLIENTS_END_WITHIN_MS, () => this.#clientsLeft === 0);
    await this.#scenario.check?.({ nodes: this.#cluster.instances(), trace: this.#trace });
    let closed = false;
    this.#cluster.closeAll().then(
      () => {
        closed = true;
      },
      (error: unknown) => this.#world.fail(error, undefined),
    );
    await this.#until("the nodes to close", CLOSE_WITHIN_MS, () => closed);
  }

  async #until(what: string, withinMs: number, until: () => boolean): Promise<void> {
    const reason = await this.#world.run({ untilMs: this.#world.nowMs + withinMs, until });
    assert(reason === "condition" || until(), `R3: waited ${withinMs} ms for ${what}`);
  }

  #isReady(): boolean {
    if (!this.#cluster.allRunning) return false;
    return this.#scenario.isReady?.(this.#cluster.instances()) ?? true;
  }

  #startClients(): void {
    const { client } = this.#scenario;
    if (client === undefined) return;
    const process = new SimProcess(CLIENT_NODE, 0);
    const options = { network: { meanMs: 0.2 }, timeoutMs: 5_000, ...this.#scenario.clientOptions };
    for (let number = 1; number <= (this.#scenario.clients ?? 0); number++) {
      const context = new SimClient<TNode>(number, {
        world: this.#world,
        cluster: this.#cluster,
        process,
        random: this.#world.prng.fork(),
        options,
        control: this.#control,
        ...(this.#scenario.traceMessages === true
          ? { tell: (event: ObservedEvent) => this.#trace.record(this.#world.nowMs, 0, event) }
          : {}),
      });
      this.#clientsLeft++;
      this.#world.schedule(process, 0, EventKind.call, number, () => {
        client(context).then(
          () => {
            this.#clientsLeft--;
          },
          (error: unknown) => this.#world.fail(error, undefined),
        );
      });
    }
  }

  /** Tells the governor of nodes whose damage has been repaired. */
  #pollRepairs(): void {
    const { isRepaired } = this.#scenario;
    if (isRepaired === undefined) return;
    const poll = (): void => {
      for (const node of [...this.#governor.damaged]) {
        const running = this.#cluster.running(node);
        if (running !== undefined && isRepaired(node, running.instance)) this.#governor.repaired(node);
      }
      if (!this.#control.stopping) this.#world.schedule(undefined, REPAIR_POLL_MS, EventKind.kernel, 0, poll);
    };
    poll();
  }

  #drawFaults(nodes: number): readonly Fault[] {
    const prng = this.#world.prng.fork();
    const { faults, durationMs, keepFaults } = this.#scenario;
    if (faults === "none") return [];
    const schedule = isSchedule(faults)
      ? faults
      : drawFaults(prng, { ...defaultFaultPlan, nodes, durationMs, ...faults });
    return keepFaults === undefined ? schedule : schedule.filter((_, position) => keepFaults.includes(position));
  }

  #traceMessages(): void {
    const { describeFrame } = this.#scenario;
    this.#network.onDelivered((from, to, frames, sentMs) => {
      for (const frame of frames) {
        const what = describeFrame === undefined ? `${frame.length} bytes` : describeFrame(frame);
        if (what === undefined) continue;
        this.#trace.record(this.#world.nowMs, to, { type: "message", from, to, what, sentMs });
      }
    });
  }

  #observe(node: number, event: ObservedEvent): void {
    const world = this.#world;
    this.#trace.record(world.nowMs, node, event);
    world.note(node, hashText(event.type));
    this.#scenario.observe?.(node, event, world.nowMs);
    if (event.level !== "error" || this.#tolerates(event, node)) return;
    world.fail(new AssertionError("R2: the node reported an error", event), node);
  }

  #tolerates(event: ObservedEvent, node: number): boolean {
    const { tolerates } = this.#scenario;
    if (tolerates !== undefined) return tolerates(event, node);
    return this.#cluster.machine(node).disk.faultCount > 0;
  }
}

function isSchedule(faults: readonly Fault[] | Partial<FaultPlan> | undefined): faults is readonly Fault[] {
  return Array.isArray(faults);
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? `${error.name}: ${error.message}`) : String(error);
}
