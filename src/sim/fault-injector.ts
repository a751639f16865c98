/**
 * Carries a schedule of faults out on a running world, each fault at its time, and ends what lasts. What the governor does
 * not allow, or what makes no sense at that moment (a crash of a node that is down), is skipped and the trace says so.
 */
import type { Prng } from "../base/prng.ts";
import type { Fault } from "./faults.ts";
import type { Governor } from "./governor.ts";
import type { KillMode, Machine } from "./machine.ts";
import { hashText } from "./rolling-hash.ts";
import type { SimNetwork } from "./sim-network.ts";
import { EventKind, type World } from "./world.ts";

export interface InjectorParts {
  readonly world: World;
  readonly network: SimNetwork;
  readonly governor: Governor;
  readonly prng: Prng;
  machine(node: number): Machine;
  /** Ends the node's life and starts it again after `downMs`; `whileDown` is called in between. */
  crash(node: number, mode: KillMode, downMs: number, why: string, whileDown?: () => void): void;
  /** How long a node that stops by itself stays down the next time. */
  downAfterStop(node: number, downMs: number): void;
  tell(event: { readonly type: string; readonly [field: string]: unknown }): void;
}

export class FaultInjector {
  readonly #parts: InjectorParts;
  #stopped = false;

  constructor(parts: InjectorParts) {
    this.#parts = parts;
  }

  /** Schedules all faults, counted from now. */
  start(faults: readonly Fault[]): void {
    for (const fault of faults) if (!isFromBirth(fault)) this.#at(fault.atMs, fault.type, () => this.#inject(fault));
  }

  /** Carries out what must stand before the first node begins. Called before `start`. */
  prepare(faults: readonly Fault[]): void {
    for (const fault of faults) if (isFromBirth(fault)) this.#inject(fault);
  }

  /** No fault begins any more, and all that last end now. Nodes that are down come back on their own. */
  stop(): void {
    this.#stopped = true;
  }

  #at(delayMs: number, what: string, run: () => void): void {
    this.#parts.world.schedule(undefined, delayMs, EventKind.fault, hashText(what), () => {
      if (!this.#stopped) run();
    });
  }

  #inject(fault: Fault): void {
    const done = this.#apply(fault);
    this.#parts.tell({ ...fault, type: done ? `fault-${fault.type}` : "fault-skipped", fault: fault.type });
  }

  /** False if the fault was not carried out. */
  #apply(fault: Fault): boolean {
    const { network, governor, world } = this.#parts;
    switch (fault.type) {
      case "crash":
        if (!this.#parts.machine(fault.node).isUp) return false;
        this.#parts.crash(fault.node, fault.mode, fault.downMs, "fault");
        return true;
      case "pause":
        return this.#pause(fault.node, fault.forMs);
      case "partition":
        if (fault.cuts.length === 0) return false;
        for (const [from, to] of fault.cuts) network.topology.cut(from, to);
        this.#at(fault.forMs, "heal", () => {
          for (const [from, to] of fault.cuts) network.topology.heal(from, to);
          this.#parts.tell({ type: "fault-ended", fault: fault.type, shape: fault.shape });
        });
        return true;
      case "clog":
        network.topology.clog(fault.from, fault.to, world.nowMs + fault.forMs);
        return true;
      case "reset":
        network.resetBetween(fault.a, fault.b);
        return true;
      case "clock-jump":
        this.#parts.machine(fault.node).clock.wallOffsetMs += fault.byMs;
        return true;
      case "slow-disk":
        this.#parts.machine(fault.node).disk.slowDown(fault.factor);
        this.#at(fault.forMs, "disk-well", () => this.#parts.machine(fault.node).disk.slowDown(1));
        return true;
      case "stalled-disk":
        this.#parts.machine(fault.node).disk.stallUntil(world.nowMs + fault.forMs);
        return true;
      case "sync-error":
        if (!this.#parts.machine(fault.node).isUp) return false;
        this.#parts.downAfterStop(fault.node, fault.downMs);
        this.#parts.machine(fault.node).disk.failSyncs(1);
        return true;
      case "full-disk":
        this.#parts.machine(fault.node).disk.limitFree(fault.freeBytes);
        this.#at(fault.forMs, "disk-room", () => this.#parts.machine(fault.node).disk.limitFree(undefined));
        return true;
      case "rot":
        if (!this.#parts.machine(fault.node).isUp || !governor.mayDamage(fault.node)) return false;
        this.#parts.crash(fault.node, "power", fault.downMs, "fault: rot", () => this.#rot(fault.node, fault.prefix));
        return true;
      case "wipe":
        if (!this.#parts.machine(fault.node).isUp || !governor.mayDamage(fault.node)) return false;
        governor.damage(fault.node);
        this.#parts.crash(fault.node, "power", fault.downMs, "fault: lost disk", () =>
          this.#parts.machine(fault.node).disk.wipe(),
        );
        return true;
      case "lost-folder":
        return this.#loseFolder(fault.node, fault.folder, fault.downMs);
      case "kill-at-write": {
        const { node, mode, downMs, when, write } = fault;
        const kill = (): void => this.#parts.crash(node, mode, downMs, `fault: ${when} write ${write}`);
        return this.#parts.machine(node).disk.killAt({ changesLeft: write, when, kill });
      }
    }
  }

  #pause(node: number, forMs: number): boolean {
    const machine = this.#parts.machine(node);
    const { process } = machine;
    if (process === undefined || process.paused) return false;
    machine.pause();
    this.#at(forMs, "resume", () => {
      if (machine.process === process) machine.resume();
      this.#parts.tell({ type: "fault-ended", fault: "pause", node });
    });
    return true;
  }

  #loseFolder(node: number, folder: string, downMs: number): boolean {
    const machine = this.#parts.machine(node);
    const { governor } = this.#parts;
    if (!machine.isUp || !governor.mayDamage(node) || !machine.disk.hasFolder(folder)) return false;
    governor.damage(node);
    this.#parts.crash(node, "power", downMs, `fault: lost folder ${folder}`, () => machine.disk.loseFolder(folder));
    return true;
  }

  #rot(node: number, prefix: string): void {
    const machine = this.#parts.machine(node);
    const { governor } = this.#parts;
    if (!governor.mayDamage(node)) return;
    const where = machine.disk.rot(prefix, this.#parts.prng);
    if (where === undefined) return;
    machine.disk.dropCaches(); // the machine is down: what it reads next comes from the platter
    governor.damage(node);
    this.#parts.tell({ type: "rotted", node, ...where });
  }
}

/** The kill points that count a node's changes from its first life on. */
function isFromBirth(fault: Fault): boolean {
  return fault.type === "kill-at-write" && fault.atMs === 0;
}
