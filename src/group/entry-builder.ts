/**
 * Parts of commands on their way to the leader's log.
 * Owns    where a part goes (to the leader, wherever it is), and joining the parts of one turn, this node's and those that
 *         others forwarded, into entries.
 * Leaves  numbering, repeating and answering commands to `proposer.ts` of the node they came from.
 */
import { assert } from "../base/assert.ts";
import { BytesError, concatBytes, EMPTY_BYTES } from "../base/bytes.ts";
import type { NodeId } from "../base/ids.ts";
import { decodeParts } from "./batch.ts";
import type { Pump } from "./pump.ts";

const ENTRY_BYTES_MAX = 4 * 1024 * 1024;

const refusedReasons = ["not-leader", "overloaded"] as const;
type ForwardRefusal = (typeof refusedReasons)[number];

interface WaitingPart {
  /** Undefined: this node's own. */
  readonly from: NodeId | undefined;
  readonly part: Uint8Array;
}

export interface EntryBuilderPort {
  /**
   * M2 of `membership.ts`: before the voters are bound no command may enter the log. And an engine may have to end something
   * first. Both end with another configuration, upon which there is a turn.
   */
  mayPropose(): boolean;
  /** This node's own parts were not taken: they are to be sent again. */
  resend(): void;
}

export class EntryBuilder {
  readonly #pump: Pump;
  readonly #port: EntryBuilderPort;
  #parts: WaitingPart[] = [];

  constructor(pump: Pump, port: EntryBuilderPort) {
    this.#pump = pump;
    this.#port = port;
  }

  get isEmpty(): boolean {
    return this.#parts.length === 0;
  }

  /** Takes a part of this node; at the leader it waits for the end of the turn. False: there is no way to the leader now. */
  route(part: Uint8Array): boolean {
    const { leader } = this.#pump;
    if (leader === undefined) return false;
    if (leader !== this.#pump.nodeId) return this.#pump.send(leader, { type: "forward", part });
    this.#parts.push({ from: undefined, part });
    return true;
  }

  /** Takes a part of another node. */
  forwarded(from: NodeId, part: Uint8Array): void {
    if (!this.#pump.isLeader) this.#refuse([{ from, part }], "not-leader");
    else if (!isReadable(part)) {
      // In the log it would stop every replica, again and again.
      const { ports, settings } = this.#pump;
      ports.observer.observe({ type: "part-unreadable", level: "warn", group: settings.group, from });
    } else {
      this.#parts.push({ from, part });
      this.#pump.turn();
    }
  }

  /** Proposes what has gathered. */
  proposeAll(): void {
    if (!this.#port.mayPropose()) return;
    while (this.#parts.length > 0) {
      const taken: WaitingPart[] = [];
      let bytes = 0;
      for (const waiting of this.#parts) {
        if (taken.length > 0 && bytes + waiting.part.length > ENTRY_BYTES_MAX) break;
        taken.push(waiting);
        bytes += waiting.part.length;
      }
      this.#parts.splice(0, taken.length);
      const body = taken.length === 1 ? (taken[0]?.part ?? EMPTY_BYTES) : concatBytes(taken.map((t) => t.part));
      const waiting = taken.flatMap((t) => t.from ?? []);
      const bodyCrc = this.#pump.ports.kernels.crc32(body);
      const outcome = this.#pump.step({ type: "propose", body, bodyCrc, waiting });
      assert(outcome !== undefined, "a proposal has an outcome");
      if (outcome.type === "refused")
        this.#refuse(taken, outcome.reason === "overloaded" ? "overloaded" : "not-leader");
    }
  }

  /** This node does not lead any more: what has gathered goes back. */
  refuseAll(): void {
    for (const part of this.#parts.splice(0)) this.#refuse([part], "not-leader");
  }

  #refuse(parts: readonly WaitingPart[], reason: ForwardRefusal): void {
    for (const { from } of parts) {
      if (from === undefined) this.#port.resend();
      else this.#pump.send(from, { type: "forward-refused", reason: refusedReasons.indexOf(reason) });
    }
  }
}

function isReadable(part: Uint8Array): boolean {
  try {
    for (const _ of decodeParts(part)) continue;
    return true;
  } catch (error) {
    if (error instanceof BytesError) return false;
    throw error;
  }
}
