/**
 * The nodes under test: starts them on their machines, keeps them running, and starts again what crashed or stopped. What
 * a node is, the factory decides; in Althing's own runs it is the production composition of `node/`.
 *
 * L1. A node that was told DISK_FAILED by a sync stops within `STOP_GRACE_MS`, or the run fails.
 * L2. A node never fails to start, except for reasons that its faults explain (`startMayFail`).
 */
import { AssertionError, assert } from "../base/assert.ts";
import { AlthingError, type ErrorCode, hasCode } from "../base/errors.ts";
import type { Prng } from "../base/prng.ts";
import type { Ports } from "../ports/ports.ts";
import type { Governor } from "./governor.ts";
import type { KillMode, Machine } from "./machine.ts";
import type { SimProcess } from "./sim-process.ts";
import { EventKind, type World } from "./world.ts";

export interface SimNode {
  /** Stops in an orderly way. */
  close(): Promise<void>;
  /** Settles when the node has stopped by itself, as it must after a failed sync. Without it the simulator stops it. */
  readonly stopped?: Promise<unknown>;
}

export interface NodeFactory<TNode extends SimNode> {
  /** Starts node `node` (from 1) in its world. `restarts` counts the earlier lives of the machine. */
  start(ports: Ports, node: number, restarts: number): Promise<TNode>;
}

export interface Running<TNode> {
  readonly process: SimProcess;
  readonly instance: TNode;
}

export interface ClusterParts<TNode extends SimNode> {
  readonly world: World;
  readonly factory: NodeFactory<TNode>;
  readonly machines: readonly Machine[];
  readonly governor: Governor;
  readonly prng: Prng;
  readonly startMayFail: (error: AlthingError, node: number) => boolean;
  readonly tell: (node: number, event: { readonly type: string; readonly [field: string]: unknown }) => void;
}

export const STOP_GRACE_MS = 2_000;
const RESTART_MS = 200;

const startFailures: ReadonlySet<ErrorCode> = new Set([
  "DISK_FAILED",
  "DISK_FULL",
  "UNREACHABLE",
  "TIMEOUT",
  "GROUP_NO_LEADER",
  "CLOSED",
]);

/** The default of L2: the disk was broken or full, or the others could not be reached. */
export function startMayFail(error: AlthingError): boolean {
  return startFailures.has(error.code);
}

export class SimCluster<TNode extends SimNode> {
  readonly #parts: ClusterParts<TNode>;
  readonly #running = new Map<number, Running<TNode>>();
  readonly #downMs = new Map<number, number>();
  #restarting = true;
  #closing = false;

  constructor(parts: ClusterParts<TNode>) {
    this.#parts = parts;
    for (const machine of parts.machines) {
      machine.disk.onSyncFailed((process) => this.#expectStop(machine, process));
    }
  }

  get size(): number {
    return this.#parts.machines.length;
  }

  machine(node: number): Machine {
    const machine = this.#parts.machines[node - 1];
    assert(machine !== undefined, "no such node", { node });
    return machine;
  }

  /** The node, once its start has finished and until its life ends. */
  running(node: number): Running<TNode> | undefined {
    return this.#running.get(node);
  }

  /** All nodes that have started, by number. */
  instances(): readonly TNode[] {
    return [...this.#running].sort(([a], [b]) => a - b).map(([, running]) => running.instance);
  }

  get allRunning(): boolean {
    return this.#running.size === this.size;
  }

  /** Starts every node that is down. */
  startAll(): void {
    for (const machine of this.#parts.machines) if (!machine.isUp) this.#boot(machine.node);
  }

  downAfterStop(node: number, downMs: number): void {
    this.#downMs.set(node, downMs);
  }

  /** Ends a life and begins the next one after `downMs`. */
  crash(node: number, mode: KillMode, downMs: number, why: string, whileDown?: () => void): void {
    const machine = this.machine(node);
    if (!machine.isUp) return;
    machine.kill(mode, why);
    this.#running.delete(node);
    this.#parts.tell(node, { type: "killed", mode, why });
    whileDown?.();
    this.#parts.world.schedule(undefined, downMs, EventKind.boot, node, () => {
      if (!machine.isUp && this.#restarting) this.#boot(node);
    });
  }

  /** Closes all nodes in an orderly way; resolves when the last has closed. Nothing is started any more. */
  async closeAll(): Promise<void> {
    this.#restarting = false;
    this.#closing = true;
    const closes: Promise<void>[] = [];
    for (const [, { process, instance }] of [...this.#running].sort(([a], [b]) => a - b)) {
      closes.push(
        new Promise((resolve, reject) => {
          this.#parts.world.schedule(process, 0, EventKind.boot, 1, () => {
            instance.close().then(resolve, reject);
          });
        }),
      );
    }
    await Promise.all(closes);
  }

  #boot(node: number): void {
    const machine = this.machine(node);
    const { process, ports } = machine.boot();
    this.#parts.tell(node, { type: "booted", life: process.life });
    this.#parts.world.schedule(process, 0, EventKind.boot, node, () => {
      this.#parts.factory.start(ports, node, process.life).then(
        (instance) => this.#started(machine, process, instance),
        (error: unknown) => this.#notStarted(machine, process, error),
      );
    });
  }

  #started(machine: Machine, process: SimProcess, instance: TNode): void {
    if (!process.alive) return;
    this.#running.set(machine.node, { process, instance });
    this.#parts.tell(machine.node, { type: "started", life: process.life });
    const stopped = (why: unknown): void => this.#stoppedItself(machine, process, why);
    instance.stopped?.then(stopped, stopped);
  }

  #stoppedItself(machine: Machine, process: SimProcess, why: unknown): void {
    if (why instanceof AssertionError) this.#parts.world.fail(why, machine.node);
    if (!process.alive || machine.process !== process || this.#closing) return;
    this.#end(machine, `stopped by itself: ${why instanceof Error ? why.message : "no reason given"}`);
  }

  #notStarted(machine: Machine, process: SimProcess, error: unknown): void {
    if (!process.alive) return;
    const { world, governor } = this.#parts;
    const { node } = machine;
    const damaged = governor.damaged.has(node) && hasCode(error, "DATA_CORRUPT");
    const explained = error instanceof AlthingError && this.#parts.startMayFail(error, node);
    if (!damaged && !explained) {
      world.fail(error, node); // L2
      return;
    }
    this.#end(machine, `did not start: ${error instanceof Error ? error.message : "unknown"}`);
    if (damaged) machine.disk.wipe(); // what an operator does with a folder that is beyond repair
  }

  #end(machine: Machine, why: string): void {
    const downMs = this.#downMs.get(machine.node) ?? RESTART_MS;
    this.#downMs.delete(machine.node);
    this.crash(machine.node, this.#parts.prng.chance(0.5) ? "power" : "process", downMs, why);
  }

  /** L1. A node without `stopped` cannot show that it has stopped, so it is ended here. */
  #expectStop(machine: Machine, process: SimProcess): void {
    this.#parts.tell(machine.node, { type: "sync-failed" });
    const check = (): void => {
      if (machine.process !== process) return;
      if (process.paused) {
        this.#parts.world.schedule(undefined, STOP_GRACE_MS, EventKind.kernel, 0, check, true);
        return;
      }
      const running = this.#running.get(machine.node);
      if (running?.instance.stopped === undefined || this.#closing) this.#end(machine, "a sync failed");
      else {
        const error = new AssertionError("L1: the node went on after a failed sync", { node: machine.node });
        this.#parts.world.fail(error, machine.node);
      }
    };
    this.#parts.world.schedule(undefined, STOP_GRACE_MS, EventKind.kernel, 0, check);
  }
}
