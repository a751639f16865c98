/**
 * A local cluster: one process per node, started, watched, killed and restarted. It draws nothing and reads no keys:
 * `commands/dev.ts` and `demo/` do, from the events told here.
 *
 * C1. A node has at most one process at a time.
 * C2. Closing ends every process, also one that was started while closing began.
 */
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { Deferred } from "../../base/deferred.ts";
import { CliFailure } from "../failure.ts";
import type { ProfileNode } from "../profile.ts";
import type { NodeEvent } from "./node-events.ts";
import { type NodeCommand, type NodeExit, NodeProcess } from "./node-process.ts";
import { type ClusterPlan, folderOf } from "./plan.ts";

export type ClusterEvent =
  | { readonly type: "node-started"; readonly id: number; readonly pid: number }
  | { readonly type: "node-ready"; readonly id: number; readonly pid: number; readonly port: number }
  | { readonly type: "node-exited"; readonly id: number; readonly expected: boolean; readonly exit: NodeExit }
  | { readonly type: "leader-changed"; readonly leader: number; readonly term: number };

export interface DevClusterOptions {
  readonly plan: ClusterPlan;
  /** How one node is run. */
  readonly command: (node: ProfileNode) => NodeCommand;
  readonly onEvent: (event: ClusterEvent) => void;
  /** Milliseconds a node may take to drain before it is killed. */
  readonly graceMs?: number;
}

/** One node's life. The process lives in the phases that have one. */
type NodeState =
  | { readonly type: "stopped" }
  | { readonly type: "spawning" }
  | { readonly type: "starting" | "ready"; readonly process: NodeProcess; readonly ready: Deferred<void> }
  | { readonly type: "ending"; readonly process: NodeProcess };

export interface NodeView {
  readonly node: ProfileNode;
  readonly state: "stopped" | "starting" | "ready" | "ending";
  readonly pid: number | undefined;
}

const GRACE_MS = 10_000;

export class DevCluster {
  readonly plan: ClusterPlan;
  readonly #command: (node: ProfileNode) => NodeCommand;
  readonly #onEvent: (event: ClusterEvent) => void;
  readonly #graceMs: number;
  readonly #states = new Map<number, NodeState>();
  /** The newest leader any node told of. */
  #leader: { readonly id: number; readonly term: number } = { id: 0, term: 0 };
  /** Resolved and replaced at each change of the leader; rejected for good when the cluster closes. */
  #leaderChange = new Deferred<void>();
  #closing = false;

  constructor(options: DevClusterOptions) {
    this.plan = options.plan;
    this.#command = options.command;
    this.#onEvent = options.onEvent;
    this.#graceMs = options.graceMs ?? GRACE_MS;
    for (const node of options.plan.nodes) this.#states.set(node.id, { type: "stopped" });
  }

  /** 0: none known. */
  get leader(): number {
    return this.#leader.id;
  }

  get term(): number {
    return this.#leader.term;
  }

  nodes(): readonly NodeView[] {
    return this.plan.nodes.map((node) => {
      const state = this.#state(node.id);
      const pid = "process" in state ? state.process.pid : undefined;
      return { node, state: state.type === "spawning" ? "starting" : state.type, pid };
    });
  }

  logFile(id: number): string {
    return path.join(this.plan.folder, `node-${id}.log`);
  }

  /** Starts every node and resolves when all listen and one leads. If a node fails to start, the others are stopped. */
  async start(): Promise<void> {
    await mkdir(this.plan.folder, { recursive: true });
    const starts = this.plan.nodes.map((node) => this.startNode(node.id));
    try {
      await Promise.all(starts);
      await this.awaitLeader();
    } catch (error) {
      await Promise.allSettled([this.close(), ...starts]);
      throw error;
    }
  }

  /** Resolves with the leader's id once one is known; fails when the cluster closes. */
  async awaitLeader(): Promise<number> {
    while (this.#leader.id === 0) await this.#leaderChange.promise;
    return this.#leader.id;
  }

  /** Starts one node that is not running; resolves when it listens, fails when it ends before that. */
  async startNode(id: number): Promise<void> {
    const node = this.#node(id);
    if (this.#closing) throw new CliFailure("failure", `Cannot start node ${id}: the cluster is closing`);
    if (this.#state(id).type !== "stopped") {
      throw new CliFailure("conflict", `Cannot start node ${id}: it is running`);
    }
    this.#states.set(id, { type: "spawning" });
    const ready = new Deferred<void>();
    let process: NodeProcess;
    try {
      await mkdir(folderOf(this.plan, node), { recursive: true });
      process = await NodeProcess.spawn(this.#command(node), {
        logFile: this.logFile(id),
        onEvent: (event) => this.#onNodeEvent(node, event),
      });
    } catch (error) {
      this.#states.set(id, { type: "stopped" });
      throw error;
    }
    this.#states.set(id, { type: "starting", process, ready });
    this.#onEvent({ type: "node-started", id, pid: process.pid });
    void process.exited.then((exit) => this.#onExit(node, exit, ready));
    if (this.#closing) process.kill("SIGKILL"); // C2
    await ready.promise;
  }

  /** kill -9. Resolves when the process is gone; false if the node had none. */
  async kill(id: number): Promise<boolean> {
    const state = this.#state(id);
    if (!("process" in state)) return false;
    this.#states.set(id, { type: "ending", process: state.process });
    state.process.kill("SIGKILL");
    await state.process.exited;
    return true;
  }

  /** Drains and ends every node. A second call while the first is under way kills what still runs. */
  async close(): Promise<void> {
    const again = this.#closing;
    this.#closing = true;
    this.#leaderChange.reject(new CliFailure("interrupted", "Cannot go on: the cluster is closing"));
    const ends: Promise<unknown>[] = [];
    for (const [id, state] of this.#states) {
      if (!("process" in state)) continue;
      this.#states.set(id, { type: "ending", process: state.process });
      if (again) state.process.kill("SIGKILL");
      ends.push(again ? state.process.exited : state.process.stop(this.#graceMs));
    }
    await Promise.all(ends);
  }

  #onNodeEvent(node: ProfileNode, event: NodeEvent): void {
    switch (event.event) {
      case "ready": {
        const state = this.#state(node.id);
        if (state.type !== "starting") return;
        this.#states.set(node.id, { ...state, type: "ready" });
        this.#onEvent({ type: "node-ready", id: node.id, pid: state.process.pid, port: node.port });
        state.ready.resolve();
        return;
      }
      case "leader-changed":
        this.#onLeader(event.leader, event.term);
        return;
      case "draining":
      case "failed": // told again, with the exit, by #onExit
        return;
    }
  }

  /** Nodes learn of a leader at different times; a view of an older term is old news. */
  #onLeader(leader: number, term: number): void {
    if (term < this.#leader.term || (term === this.#leader.term && (leader === 0 || leader === this.#leader.id)))
      return;
    const changed = leader !== this.#leader.id;
    this.#leader = { id: leader, term };
    if (changed) this.#announceLeader();
  }

  #announceLeader(): void {
    const { id, term } = this.#leader;
    if (!this.#closing) {
      this.#leaderChange.resolve();
      this.#leaderChange = new Deferred<void>();
    }
    this.#onEvent({ type: "leader-changed", leader: id, term });
  }

  #onExit(node: ProfileNode, exit: NodeExit, ready: Deferred<void>): void {
    const expected = this.#state(node.id).type === "ending";
    this.#states.set(node.id, { type: "stopped" });
    this.#onEvent({ type: "node-exited", id: node.id, expected, exit });
    if (this.#leader.id === node.id) {
      this.#leader = { id: 0, term: this.#leader.term };
      this.#announceLeader();
    }
    const how =
      exit.why ?? (exit.signal === null ? `it ended with code ${exit.code}` : `it was ended by ${exit.signal}`);
    ready.reject(
      new CliFailure("failure", exit.why ?? `Cannot start node ${node.id}: ${how}`, {
        next: exit.next ?? `read ${this.logFile(node.id)}`,
      }),
    );
  }

  #node(id: number): ProfileNode {
    const node = this.plan.nodes.find((candidate) => candidate.id === id);
    if (node === undefined)
      throw new CliFailure("notFound", `Cannot find node ${id}: the cluster has ${this.plan.nodes.length}`);
    return node;
  }

  #state(id: number): NodeState {
    return this.#states.get(id) ?? { type: "stopped" };
  }
}
