/**
 * The simulated network: listeners, dialling, and what breaks connections. Machines outlive processes: a killed process
 * has its sockets closed by its kernel; a machine that loses power says nothing, and its peers hold half-open connections
 * until they write and the machine, up again, answers with a reset.
 *
 * Frames travel as a stream by default. Datagram mode drops, repeats and reorders single frames on top: the port promises
 * more than that, but the consensus contract promises cores less (`consensus/contract/core.ts`, duty 3), and this is where
 * cores are held to it. The first frames of a connection, its handshake, are always left alone.
 */
import { assert } from "../base/assert.ts";
import { Deferred } from "../base/deferred.ts";
import { AlthingError } from "../base/errors.ts";
import type { Prng } from "../base/prng.ts";
import type { Connection, Listener, Network } from "../ports/network.ts";
import { hashText } from "./rolling-hash.ts";
import { type Fabric, SimConnection } from "./sim-connection.ts";
import type { SimProcess } from "./sim-process.ts";
import { defaultLink, type LinkOptions, Topology } from "./topology.ts";
import { EventKind, type World } from "./world.ts";

export interface DatagramOptions {
  readonly dropChance: number;
  readonly duplicateChance: number;
  readonly reorderChance: number;
  /** Which frames may be treated so; default: all after the handshake. */
  readonly applies?: (frame: Uint8Array) => boolean;
}

export interface NetworkOptions {
  readonly link: LinkOptions;
  /** Chance per segment that the connection is reset in the middle of it. */
  readonly resetChance: number;
  /** Chance per segment that a byte is flipped: the transport's checksum finds it and the receiver closes. */
  readonly corruptChance: number;
  readonly datagram: DatagramOptions | undefined;
  /** Frames per direction that datagram mode leaves alone. */
  readonly reliableFrames: number;
  readonly windowBytes: number;
  /** A connection that waited longer than this for a cut link is reset when the link heals; shorter, it goes on. */
  readonly stalledMsMax: number;
}

export const calmNetwork: NetworkOptions = {
  link: defaultLink,
  resetChance: 0,
  corruptChance: 0,
  datagram: undefined,
  reliableFrames: 2,
  windowBytes: 512 * 1024,
  stalledMsMax: 3_000,
};

const DIAL_TIMEOUT_MS = 5_000;
const SYN_RETRY_MS = 1_000;
const FIRST_FREE_PORT = 49_152;

interface Listening {
  readonly process: SimProcess;
  readonly onConnection: (connection: Connection) => void;
}

export class SimNetwork {
  readonly topology: Topology;
  readonly #world: World;
  readonly #prng: Prng;
  readonly #fabric: Fabric;
  #options: NetworkOptions;
  readonly #listeners = new Map<string, Listening>();
  /** Which node an address belonged to last: a dial to a dead node must know whom it cannot reach. */
  readonly #owners = new Map<string, number>();
  readonly #ends = new Set<SimConnection>();
  /** Machines with power: their kernels answer. */
  readonly #up = new Set<number>();
  /** Ends that wrote to a peer which is gone, and wait for a reset. */
  readonly #orphans = new Set<SimConnection>();

  constructor(world: World, options: NetworkOptions) {
    this.#world = world;
    this.#options = options;
    this.#prng = world.prng.fork();
    this.topology = new Topology(world.prng.fork(), options.link);
    this.topology.onHealed((from, to) => this.#healed(from, to));
    this.#fabric = this.#makeFabric();
  }

  /** Ends random trouble; cuts and clogs are healed by `topology.healAll`. */
  calm(): void {
    this.#options = { ...this.#options, resetChance: 0, corruptChance: 0, datagram: undefined };
  }

  /** Calls back with what arrives, before it is handled. One listener, for traces. */
  onDelivered(listener: NonNullable<Fabric["delivered"]>): void {
    this.#fabric.delivered = listener;
  }

  /** The Network port of one process. */
  port(process: SimProcess): Network {
    return {
      listen: (address, onConnection) => this.#listen(process, address, onConnection),
      dial: (address, options = {}) => this.#dial(process, address, options),
    };
  }

  /** A machine has power again: it answers what is sent to connections that died with it. */
  powerOn(node: number): void {
    this.#up.add(node);
    for (const end of [...this.#orphans]) if (end.peerNode === node) this.#answerOrphan(end);
  }

  /** The process is dead; `silent`: the machine with it, so nobody hears of it. */
  processDied(process: SimProcess, silent: boolean): void {
    assert(!process.alive, "called for dead processes");
    if (silent) this.#up.delete(process.node);
    for (const [address, listening] of this.#listeners) {
      if (listening.process === process) this.#listeners.delete(address);
    }
    for (const end of [...this.#ends]) {
      if (end.process === process) end.abandon();
      else if (end.peerGone && end.isOpen && end.peerNode === process.node && !silent) this.#wroteToGone(end);
    }
  }

  /** Breaks every connection between two nodes. */
  resetBetween(a: number, b: number, reason = "reset by the network"): void {
    for (const end of [...this.#ends]) {
      if (end.process.node === a && end.peerNode === b && end.isOpen) end.reset(reason);
    }
  }

  async #listen(
    process: SimProcess,
    address: string,
    onConnection: (connection: Connection) => void,
  ): Promise<Listener> {
    const bound = this.#bind(address);
    const busy = this.#listeners.get(bound);
    if (busy?.process.alive === true) {
      throw new AlthingError("ADDRESS_IN_USE", `Cannot listen on ${bound}: the address is in use`);
    }
    const listening: Listening = { process, onConnection };
    if (process.alive) {
      this.#listeners.set(bound, listening);
      this.#owners.set(bound, process.node);
      this.#up.add(process.node);
    }
    return {
      address: bound,
      close: () => {
        if (this.#listeners.get(bound) === listening) this.#listeners.delete(bound);
        return Promise.resolve();
      },
    };
  }

  #bind(address: string): string {
    const colon = address.lastIndexOf(":");
    assert(colon > 0, "an address is host:port", { address });
    if (address.slice(colon + 1) !== "0") return address;
    const host = address.slice(0, colon);
    for (let port = FIRST_FREE_PORT; ; port++) {
      const candidate = `${host}:${port}`;
      if (this.#listeners.get(candidate)?.process.alive !== true) return candidate;
    }
  }

  #dial(
    process: SimProcess,
    address: string,
    options: { readonly signal?: AbortSignal; readonly timeoutMs?: number },
  ): Promise<Connection> {
    const result = new Deferred<Connection>();
    if (!process.alive) return result.promise;
    const { signal } = options;
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    const world = this.#world;
    const payload = hashText(address);
    const deadline = world.nowMs + (options.timeoutMs ?? DIAL_TIMEOUT_MS);
    let settled = false;
    const settle = (): boolean => {
      if (settled) return false;
      settled = true;
      signal?.removeEventListener("abort", onAbort);
      timeout.run = undefined;
      return true;
    };
    const fail = (why: string): void => {
      if (settle()) result.reject(new AlthingError("UNREACHABLE", `Cannot connect to ${address}: ${why}`));
    };
    const onAbort = (): void => {
      if (settle()) result.reject(signal?.reason);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    const timeout = world.schedule(process, deadline - world.nowMs, EventKind.connected, payload, () =>
      fail("timed out"),
    );
    const here = process.node;
    const attempt = (): void => {
      if (settled || !process.alive) return;
      const owner = this.#owners.get(address);
      if (owner === undefined) {
        world.schedule(process, 0.5, EventKind.connected, payload, () => fail("connection refused"));
        return;
      }
      const there = this.#listeners.get(address);
      const reachable =
        here === owner ||
        (this.#up.has(owner) && !this.topology.isCut(here, owner) && !this.topology.isCut(owner, here));
      if (!reachable) {
        world.schedule(undefined, SYN_RETRY_MS, EventKind.kernel, payload, attempt, true); // the SYN is lost
        return;
      }
      const back = this.topology.delayMs(owner, here, 0, world.nowMs);
      if (there?.process.alive !== true) {
        world.schedule(process, back, EventKind.connected, payload, () => fail("connection refused"));
        return;
      }
      const [near, far] = SimConnection.pair(this.#fabric, process, there.process);
      this.#ends.add(near);
      this.#ends.add(far);
      world.schedule(there.process, 0, EventKind.accept, payload, () => there.onConnection(far));
      world.schedule(process, back, EventKind.connected, payload, () => {
        if (settle()) result.resolve(near);
        else near.close();
      });
    };
    const owner = this.#owners.get(address) ?? here;
    world.schedule(
      undefined,
      this.topology.delayMs(here, owner, 0, world.nowMs),
      EventKind.kernel,
      payload,
      attempt,
      true,
    );
    return result.promise;
  }

  #makeFabric(): Fabric {
    const { topology } = this;
    return {
      world: this.#world,
      isCut: (from, to) => topology.isCut(from, to),
      delayMs: (from, to, bytes) => topology.delayMs(from, to, bytes, this.#world.nowMs),
      drawSegment: () => {
        const { resetChance, corruptChance } = this.#options;
        if (this.#prng.chance(resetChance)) return "reset";
        return this.#prng.chance(corruptChance) ? "corrupt" : "pass";
      },
      drawFrame: (frame) => this.#drawFrame(frame),
      windowBytes: this.#options.windowBytes,
      reliableFrames: this.#options.reliableFrames,
      below: (bound) => this.#prng.below(bound),
      wroteToGone: (end) => this.#wroteToGone(end),
      closed: (end) => {
        this.#ends.delete(end);
        this.#orphans.delete(end);
      },
    };
  }

  #drawFrame(frame: Uint8Array): "pass" | "drop" | "duplicate" | "reorder" {
    const { datagram } = this.#options;
    if (datagram === undefined) return "pass";
    let draw = this.#prng.unit();
    if (draw >= datagram.dropChance + datagram.duplicateChance + datagram.reorderChance) return "pass";
    if (datagram.applies?.(frame) === false) return "pass";
    if (draw < datagram.dropChance) return "drop";
    draw -= datagram.dropChance;
    return draw < datagram.duplicateChance ? "duplicate" : "reorder";
  }

  /** The end has bytes under way to a process that is gone: a reset comes, as soon as its machine can be reached. */
  #wroteToGone(end: SimConnection): void {
    this.#orphans.add(end);
    if (this.#up.has(end.peerNode)) this.#answerOrphan(end);
  }

  #answerOrphan(end: SimConnection): void {
    const here = end.process.node;
    const there = end.peerNode;
    if (this.topology.isCut(here, there) || this.topology.isCut(there, here)) return; // again when the link heals
    this.#orphans.delete(end);
    const { nowMs } = this.#world;
    end.break(
      "reset by peer",
      this.topology.delayMs(here, there, 0, nowMs) + this.topology.delayMs(there, here, 0, nowMs),
    );
  }

  #healed(from: number, to: number): void {
    for (const end of [...this.#ends]) {
      if (end.process.node !== to || end.peerNode !== from) continue;
      const since = end.stalledSinceMs;
      if (since === undefined) continue;
      if (this.#world.nowMs - since > this.#options.stalledMsMax) end.reset("timed out");
      else end.resumeStalled();
    }
    for (const end of [...this.#orphans]) {
      const here = end.process.node;
      if ((here === from && end.peerNode === to) || (here === to && end.peerNode === from)) {
        if (this.#up.has(end.peerNode)) this.#answerOrphan(end);
      }
    }
  }
}
