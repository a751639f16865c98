/**
 * A node that replicates one state machine of the embedding program, on either engine: what `althing/raft` and
 * `althing/paxos` give out.
 */
import { groupId, nodeId } from "../base/ids.ts";
import { defaultLimits, defaultTimings, type Limits, type Timings } from "../config/limits.ts";
import { type ConsensusEngine, type InitialMember, nodeDefaults } from "../config/node-config.ts";
import type { Member } from "../consensus/contract/configuration.ts";
import type { CoreFactory } from "../consensus/contract/core.ts";
import type { GroupHandle } from "../group/handle.ts";
import type { StateMachine } from "../group/state-machine.ts";
import type { Observer } from "../ports/observer.ts";
import type { Ports } from "../ports/ports.ts";
import { Foundation } from "./foundation.ts";

export interface PeerOptions {
  /** From 1, unique, never reused. */
  readonly id: number;
  /** `host:port` where the node listens for the others. */
  readonly address: string;
}

export interface ReplicateOptions<Result, Query, Answer> {
  readonly id: number;
  /** The node's own folder; one process at a time. */
  readonly dir: string;
  /** All founding members, this one included; the same list on each. Undefined: wait until a member adds this node. */
  readonly peers: readonly PeerOptions[] | undefined;
  /** Where to listen; default: this node's address in `peers`. */
  readonly listen?: string;
  readonly machine: StateMachine<Result, Query, Answer>;
  /** Keeps nodes of different clusters apart. Default `althing`. */
  readonly cluster?: string;
  readonly limits?: Partial<Limits>;
  readonly timings?: Partial<Timings>;
  readonly observer?: Observer;
}

/** Which engine the group runs on; `core`: an unusual one of that kind. */
export interface EngineChoice {
  readonly consensus: ConsensusEngine;
  readonly core?: CoreFactory;
}

/** A node of a cluster that replicates one state machine. */
export class ReplicatedNode<Result, Query, Answer> {
  readonly group: GroupHandle<Result, Query, Answer>;
  /** Resolves with the reason if the node cannot go on (a failed disk). */
  readonly failed: Promise<unknown>;
  readonly #close: () => Promise<void>;

  constructor(group: GroupHandle<Result, Query, Answer>, failed: Promise<unknown>, close: () => Promise<void>) {
    this.group = group;
    this.failed = failed;
    this.#close = close;
  }

  /** Adds a node as a learner that becomes a voter by itself once it has caught up. */
  addMember(peer: PeerOptions): Promise<void> {
    return this.group.changeMembers((members) => [...members, newMember(peer, true)]);
  }

  /** Adds a node that follows and never votes: a replica for reading. */
  addLearner(peer: PeerOptions): Promise<void> {
    return this.group.changeMembers((members) => [...members, newMember(peer, false)]);
  }

  removeMember(id: number): Promise<void> {
    return this.group.changeMembers((members) => members.filter((m) => m.id !== id));
  }

  close(): Promise<void> {
    return this.#close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#close();
  }
}

/**
 * Starts this node of a replicated group. Resolves when its files are open and it listens, not when a leader is elected.
 * Fails with AlthingError: CONFIG_INVALID, DATA_LOCKED, DATA_FOREIGN, DATA_NEWER, DATA_CORRUPT, ADDRESS_IN_USE, DISK_FULL,
 * DISK_FAILED.
 */
export async function openReplicatedNode<Result, Query, Answer>(
  ports: Ports,
  options: ReplicateOptions<Result, Query, Answer>,
  engine: EngineChoice,
): Promise<ReplicatedNode<Result, Query, Answer>> {
  const mine = options.peers?.find((p) => p.id === options.id)?.address;
  const foundation = await Foundation.open(ports, {
    ...nodeDefaults,
    id: options.id,
    name: `node-${options.id}`,
    cluster: options.cluster ?? nodeDefaults.cluster,
    consensus: engine.consensus,
    peerListen: options.listen ?? mine ?? "127.0.0.1:0",
    clientUrls: [],
    initialMembers: options.peers?.map(toInitial),
    limits: { ...defaultLimits, ...options.limits },
    timings: { ...defaultTimings, ...options.timings },
  });
  try {
    const { core } = engine;
    const { machine } = options;
    const group = await foundation.openGroup(groupId(1), {
      folder: "group",
      machine,
      ...(core === undefined ? {} : { core }),
    });
    return new ReplicatedNode(group, foundation.failed, async () => {
      await group.close();
      await foundation.close();
    });
  } catch (error) {
    await foundation.close();
    throw error;
  }
}

function toInitial(peer: PeerOptions): InitialMember {
  return { id: peer.id, name: `node-${peer.id}`, address: peer.address, clientUrls: [] };
}

function newMember(peer: PeerOptions, promote: boolean): Member {
  return { ...toInitial(peer), id: nodeId(peer.id), incarnation: 0, role: "learner", promote };
}
