/**
 * Who can reach whom, and how fast: one directed link per pair of nodes. Faults write it, the network reads it.
 * Cuts are counted, so partitions may overlap: a link is whole again when the last of them has healed.
 */
import { assert } from "../base/assert.ts";
import type { Prng } from "../base/prng.ts";
import { exponential } from "./world.ts";

export interface LinkOptions {
  /** The delay of a frame: this least time, plus an exponential draw with this mean, plus its bytes over the bandwidth. */
  readonly delayLeastMs: number;
  readonly delayMeanMs: number;
  readonly bytesPerMs: number;
  /** Chance that a segment is lost and sent again by TCP, which shows as a delay. */
  readonly lossChance: number;
  /** Linux's least retransmission timeout (RFC 6298 with TCP_RTO_MIN = 200 ms). */
  readonly retransmitMs: number;
}

export const defaultLink: LinkOptions = {
  delayLeastMs: 0.1,
  delayMeanMs: 0.3,
  bytesPerMs: 125_000,
  lossChance: 0,
  retransmitMs: 200,
};

const LOOPBACK_DELAY_MS = 0.02;
const NODES_MAX = 0x1_0000;

interface Link {
  cuts: number;
  clogUntilMs: number;
  /** When the last byte handed in so far will have left. */
  freeAtMs: number;
}

export class Topology {
  readonly #prng: Prng;
  readonly #options: LinkOptions;
  readonly #links = new Map<number, Link>();
  #onHealed: (from: number, to: number) => void = () => undefined;

  constructor(prng: Prng, options: LinkOptions) {
    this.#prng = prng;
    this.#options = options;
  }

  onHealed(listener: (from: number, to: number) => void): void {
    this.#onHealed = listener;
  }

  isCut(from: number, to: number): boolean {
    return (this.#links.get(from * NODES_MAX + to)?.cuts ?? 0) > 0;
  }

  cut(from: number, to: number): void {
    assert(from !== to, "a node reaches itself");
    this.#link(from, to).cuts++;
  }

  heal(from: number, to: number): void {
    const link = this.#link(from, to);
    assert(link.cuts > 0, "only a cut link heals", { from, to });
    if (--link.cuts === 0) this.#onHealed(from, to);
  }

  /** Nothing passes until `untilMs` of virtual time; then all of it does, in order. */
  clog(from: number, to: number, untilMs: number): void {
    const link = this.#link(from, to);
    link.clogUntilMs = Math.max(link.clogUntilMs, untilMs);
  }

  /** Ends every cut and clog. */
  healAll(): void {
    for (const [key, link] of this.#links) {
      link.clogUntilMs = 0;
      if (link.cuts === 0) continue;
      link.cuts = 0;
      this.#onHealed(Math.floor(key / NODES_MAX), key % NODES_MAX);
    }
  }

  /** How long `bytes` sent now take, in milliseconds. */
  delayMs(from: number, to: number, bytes: number, nowMs: number): number {
    if (from === to) return LOOPBACK_DELAY_MS;
    const options = this.#options;
    const link = this.#link(from, to);
    link.freeAtMs = Math.max(link.freeAtMs, nowMs) + bytes / options.bytesPerMs;
    let at = Math.max(link.freeAtMs, link.clogUntilMs) + options.delayLeastMs;
    at += exponential(this.#prng, options.delayMeanMs);
    let timeout = options.retransmitMs;
    while (this.#prng.chance(options.lossChance)) {
      at += timeout;
      timeout = Math.min(timeout * 2, 5_000);
    }
    return at - nowMs;
  }

  #link(from: number, to: number): Link {
    const key = from * NODES_MAX + to;
    let link = this.#links.get(key);
    if (link === undefined) {
      link = { cuts: 0, clogUntilMs: 0, freeAtMs: 0 };
      this.#links.set(key, link);
    }
    return link;
  }
}
