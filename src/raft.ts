/**
 * `althing/raft`: replicate a state machine of your own.
 *
 * ```ts
 * import { replicate } from "althing/raft";
 * await using node = await replicate({ id: 1, dir: "data-1", peers, machine: new Counter() });
 * const outcome = await node.group.propose(command);
 * ```
 */
import type { Member } from "./consensus/contract/configuration.ts";
import type { GroupHandle } from "./group/handle.ts";
import { defaultLimits, defaultTimings, type Limits, type Timings } from "./config/limits.ts";
import { type InitialMember, nodeDefaults } from "./config/node-config.ts";
import type { StateMachine } from "./group/state-machine.ts";
import { groupId, nodeId } from "./base/ids.ts";
import { Foundation } from "./node/foundation.ts";
import { openNodePorts } from "./host/node-ports.ts";
import { type Observer, silentObserver } from "./ports/observer.ts";

export { AlthingError, type ErrorCode } from "./base/errors.ts";
export { ByteReader, ByteWriter, fromUtf8, utf8 } from "./base/bytes.ts";
export type { CallOptions, GroupHandle, GroupStatus } from "./group/handle.ts";
export type { Outcome, ReadLevel } from "./group/outcome.ts";
export type { ApplyPoint, Codec, MachineSnapshot, StateMachine } from "./group/state-machine.ts";
export type { ObservedEvent, Observer } from "./ports/observer.ts";

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
    return this.group.changeMembers((members) => [...members, newMember(peer)]);
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
 * Starts this node of a replicated group. Resolves when its files are open and it listens, not when a leader is elected:
 * `propose` and linearizable `read` wait for that. Fails with AlthingError: CONFIG_INVALID, DATA_LOCKED, DATA_FOREIGN,
 * DATA_NEWER, DATA_CORRUPT, ADDRESS_IN_USE, DISK_FULL, DISK_FAILED.
 */
export async function replicate<Result, Query, Answer>(
  options: ReplicateOptions<Result, Query, Answer>,
): Promise<ReplicatedNode<Result, Query, Answer>> {
  const observer = options.observer ?? silentObserver;
  const ports = await openNodePorts({ folder: options.dir, observer });
  const mine = options.peers?.find((p) => p.id === options.id)?.address;
  const foundation = await Foundation.open(ports, {
    ...nodeDefaults,
    id: options.id,
    name: `node-${options.id}`,
    cluster: options.cluster ?? nodeDefaults.cluster,
    peerListen: options.listen ?? mine ?? "127.0.0.1:0",
    clientUrls: [],
    initialMembers: options.peers?.map(toInitial),
    limits: { ...defaultLimits, ...options.limits },
    timings: { ...defaultTimings, ...options.timings },
  });
  try {
    const group = await foundation.openGroup(groupId(1), { folder: "group", machine: options.machine });
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

function newMember(peer: PeerOptions): Member {
  return { ...toInitial(peer), id: nodeId(peer.id), incarnation: 0, role: "learner", promote: true };
}
