/**
 * A pre-vote: whether this node would be promised a ballot, asked before one is used up and a live leader disturbed.
 * Source  Ongaro 2014, section 9.6; Ng et al. 2023, section 4: only a quorum-connected node stands.
 */
import type { NodeId } from "../../base/ids.ts";
import type { CanvassReply } from "./messages.ts";
import type { Replica } from "./replica.ts";

export class Canvass {
  readonly #replica: Replica;
  readonly #attempt: number;
  readonly #granted = new Set<NodeId>();

  /** Asks all voters. `attempt` tells the answers from those to earlier canvasses. */
  constructor(replica: Replica, attempt: number) {
    this.#replica = replica;
    this.#attempt = attempt;
    this.#granted.add(replica.id);
    const { log, isBlank, otherVoters, out } = replica;
    for (const peer of otherVoters) {
      out.send(peer, { type: "canvass", attempt, era: log.era, chosen: log.chosen, isBlank });
    }
  }

  answered(from: NodeId, reply: CanvassReply): void {
    if (reply.attempt === this.#attempt && reply.granted) this.#granted.add(from);
  }

  /** E2: enough to take over, and enough to choose afterwards. */
  get isWon(): boolean {
    const { quorums } = this.#replica;
    const mask = this.#replica.maskOf((id) => this.#granted.has(id));
    return quorums.isPhase1(mask) && quorums.isPhase2(mask);
  }
}
