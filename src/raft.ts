/**
 * `althing/raft`: replicate a state machine of your own.
 *
 * ```ts
 * import { replicate } from "althing/raft";
 * await using node = await replicate({ id: 1, dir: "data-1", peers, machine: new Counter() });
 * const outcome = await node.group.propose(command);
 * ```
 */
import { openNodePorts } from "./host/node-ports.ts";
import { openReplicatedNode, type ReplicatedNode, type ReplicateOptions } from "./node/replicated-node.ts";
import { silentObserver } from "./ports/observer.ts";

export { AlthingError, type ErrorCode } from "./base/errors.ts";
export { ByteReader, ByteWriter, fromUtf8, utf8 } from "./base/bytes.ts";
export type { CallOptions, GroupHandle, GroupStatus } from "./group/handle.ts";
export type { Outcome, ReadLevel } from "./group/outcome.ts";
export type { ApplyPoint, Codec, MachineSnapshot, StateMachine } from "./group/state-machine.ts";
export { type PeerOptions, ReplicatedNode, type ReplicateOptions } from "./node/replicated-node.ts";
export type { ObservedEvent, Observer } from "./ports/observer.ts";

/**
 * Starts this node of a replicated group. Resolves when its files are open and it listens, not when a leader is elected:
 * `propose` and linearizable `read` wait for that. Fails with AlthingError: CONFIG_INVALID, DATA_LOCKED, DATA_FOREIGN,
 * DATA_NEWER, DATA_CORRUPT, ADDRESS_IN_USE, DISK_FULL, DISK_FAILED.
 */
export async function replicate<Result, Query, Answer>(
  options: ReplicateOptions<Result, Query, Answer>,
): Promise<ReplicatedNode<Result, Query, Answer>> {
  const ports = await openNodePorts({ folder: options.dir, observer: options.observer ?? silentObserver });
  return openReplicatedNode(ports, options, { consensus: "raft" });
}
