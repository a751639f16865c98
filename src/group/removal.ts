/**
 * Whether this node still belongs to the group.
 * A member that is removed seldom sees its removal committed: the leader ceases to send to it before. Left alone it would
 * stand for election for ever. So whoever hears the consensus engine of a node that is no member tells it so.
 * Owns    telling others, believing it, and resting: the engine of a removed node that still takes itself for a voter gets no
 *         ticks, so that it never stands (others need them: in Paxos they may be who tells the new voters). It still listens, and a later configuration that has it again ends the rest. (An etcd member that learns of its removal
 *         exits; here the data folder may be added again, and an embedding program must not be stopped.)
 *
 * D1. Nobody is told so but by a committed configuration that is not joint, as of an index that the teller has committed.
 * D2. It is believed unless our own log goes further: if it lacks the entry at that index, then nothing in it can make us a
 *     member, and no majority would elect us with it (Ongaro & Ousterhout 2014, section 5.4.1), so nobody needs us to stand.
 */
import type { LogIndex, NodeId, Term } from "../base/ids.ts";
import { type Configuration, isJoint, isVoter, replicas } from "../consensus/contract/configuration.ts";
import type { CoreStatus } from "../consensus/contract/core.ts";
import type { PeerFrame } from "./frames.ts";
import type { Pump } from "./pump.ts";

const ASK_EVERY_MS = 1_000;

export class Removal {
  readonly #pump: Pump;
  /** Called when this node learns that it is a member no more, or one again. */
  readonly #changed: () => void;
  /** Everyone of either half of the configuration in force. */
  #insiders: ReadonlySet<NodeId> = new Set();
  /** Set while this node knows itself removed: as of this index. */
  #asOf: LogIndex | undefined;
  /** The engine of some other node was heard since the last check. */
  #heard = false;
  #quietSinceMs: number;
  #askAtMs = 0;

  constructor(pump: Pump, changed: () => void) {
    this.#pump = pump;
    this.#changed = changed;
    this.#quietSinceMs = pump.ports.clock.monotonicMs();
  }

  /** The index as of which this node is known to be no member; undefined while it may be one. */
  get asOf(): LogIndex | undefined {
    return this.#asOf;
  }

  follow(configuration: Configuration): void {
    this.#insiders = new Set(replicas(configuration));
    this.#restOrNot(configuration);
    this.#checkReturn();
  }

  /** Another node's engine was heard. */
  heard(from: NodeId): void {
    this.#heard = true;
    if (!this.#insiders.has(from)) this.asked(from);
  }

  /** Another node asks, or should ask, whether it is a member. Those who are get no answer: the leader speaks to them. */
  asked(from: NodeId): void {
    const { core } = this.#pump;
    const status = core.status();
    if (!isSettled(status) || this.#asOf !== undefined || holds(status.configuration, from)) return; // D1
    const at = core.startAt(status.commit);
    if (at !== undefined) this.#pump.send(from, { type: "not-member", index: at.index, term: at.term });
  }

  /** D2. */
  told({ index, term }: { readonly index: LogIndex; readonly term: Term }): void {
    if (this.#asOf !== undefined) return;
    const { core, nodeId, ports, settings } = this.#pump;
    const status = core.status();
    const isHeld = index <= status.commit || core.startAt(index)?.term === term;
    if (isHeld && (status.configurationIndex > index || holds(status.configuration, nodeId))) return;
    this.#asOf = index;
    this.#restOrNot(status.configuration);
    ports.observer.observe({
      type: "removed-from-group",
      level: "warn",
      group: settings.group,
      asOf: index,
      why: "this node is not a member of the group any more and does not take part; stop it, or add it again",
    });
    this.#changed();
  }

  /** From time to time. One whose own log ends with its removal asks whether that is the last word. */
  check(nowMs: number): void {
    if (this.#heard) {
      this.#heard = false;
      this.#quietSinceMs = nowMs;
    }
    this.#checkReturn();
    const patienceMs = 2 * this.#pump.settings.timings.electionMs;
    if (this.#asOf !== undefined || nowMs < this.#askAtMs || nowMs - this.#quietSinceMs < patienceMs) return;
    const status = this.#pump.core.status();
    if (!isSettled(status) || holds(status.configuration, this.#pump.nodeId)) return;
    this.#askAtMs = nowMs + ASK_EVERY_MS;
    const question: PeerFrame = { type: "member-query" };
    for (const { id } of status.configuration.members) this.#pump.send(id, question);
  }

  #restOrNot(configuration: Configuration): void {
    if (this.#asOf === undefined) return;
    if (isVoter(configuration, this.#pump.nodeId)) this.#pump.rest();
    else this.#pump.wake();
  }

  #checkReturn(): void {
    if (this.#asOf === undefined) return;
    const { core, nodeId, ports, settings } = this.#pump;
    const { configuration, configurationIndex } = core.status();
    if (configurationIndex <= this.#asOf || !holds(configuration, nodeId)) return;
    this.#asOf = undefined;
    ports.observer.observe({
      type: "returned-to-group",
      level: "info",
      group: settings.group,
      index: configurationIndex,
    });
    this.#pump.wake();
    this.#changed();
  }
}

function holds(configuration: Configuration, id: NodeId): boolean {
  return configuration.outgoing.includes(id) || configuration.members.some((m) => m.id === id);
}

/** The configuration in force is committed, alone, and not that of a node that waits to be added. */
function isSettled({ configuration, configurationIndex, commit }: CoreStatus): boolean {
  return configurationIndex <= commit && configuration.members.length > 0 && !isJoint(configuration);
}
