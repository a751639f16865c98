/**
 * Keeps the faults of a run inside what the cluster promises to survive, so that a violation is a bug and not a fate.
 *
 * G1. At any time fewer than a quorum of the nodes have damaged or lost durable data that nobody repaired.
 * G2. Everything else (crashes, pauses, partitions, even of all nodes at once) may stop progress but must not break safety,
 *     and is not held back.
 *
 * A node counts as damaged until `repaired` says otherwise: the governor cannot see into it.
 */
import { assert } from "../base/assert.ts";

export class Governor {
  readonly #damageMax: number;
  readonly #damaged = new Set<number>();

  constructor(nodes: number) {
    this.#damageMax = (nodes - 1) >> 1;
  }

  get damaged(): ReadonlySet<number> {
    return this.#damaged;
  }

  /** May this node's durable data be harmed? A node that is harmed already may be harmed again. */
  mayDamage(node: number): boolean {
    return this.#damaged.has(node) || this.#damaged.size < this.#damageMax;
  }

  damage(node: number): void {
    assert(this.mayDamage(node), "G1: a quorum of the disks stays whole", { node, damaged: this.#damaged });
    this.#damaged.add(node);
  }

  /** All that the node once acknowledged is on its disk again. */
  repaired(node: number): void {
    this.#damaged.delete(node);
  }
}
