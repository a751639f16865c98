/**
 * `althing/paxos`: replicate a state machine of your own on Multi-Paxos, choose what a quorum is, or take single-decree Paxos
 * by itself, as three machines without clock and network.
 *
 * ```ts
 * import { replicate } from "althing/paxos";
 * await using node = await replicate({ id: 1, dir: "data-1", peers, machine: new Counter() });
 * const outcome = await node.group.propose(command);
 * ```
 *
 * When to choose which engine: `docs/guide/paxos.md`.
 */
import { AlthingError } from "./base/errors.ts";
import { type NodeId, nodeId } from "./base/ids.ts";
import { incomingVoters } from "./consensus/contract/configuration.ts";
import { type Ballot, ballotOf } from "./consensus/paxos/ballot.ts";
import { paxosWith } from "./consensus/paxos/recover.ts";
import { type QuorumSpec, type QuorumSystem, quorumSystem } from "./consensus/quorum/quorum-system.ts";
import { openNodePorts } from "./host/node-ports.ts";
import { openReplicatedNode, type ReplicatedNode, type ReplicateOptions } from "./node/replicated-node.ts";
import { silentObserver } from "./ports/observer.ts";

export { AlthingError, type ErrorCode } from "./base/errors.ts";
export { ByteReader, ByteWriter, fromUtf8, utf8 } from "./base/bytes.ts";
export { type NodeId, nodeId } from "./base/ids.ts";
export { type Ballot, ballotText } from "./consensus/paxos/ballot.ts";
export { Acceptor, type AcceptorAnswer, Learner, Proposer } from "./consensus/paxos/single-decree.ts";
export { type QuorumSpec, type QuorumSystem, type QuorumVerdict } from "./consensus/quorum/quorum-system.ts";
export type { CallOptions, GroupHandle, GroupStatus } from "./group/handle.ts";
export type { Outcome, ReadLevel } from "./group/outcome.ts";
export type { ApplyPoint, Codec, MachineSnapshot, StateMachine } from "./group/state-machine.ts";
export { type PeerOptions, ReplicatedNode, type ReplicateOptions } from "./node/replicated-node.ts";
export type { ObservedEvent, Observer } from "./ports/observer.ts";

export interface PaxosOptions<Result, Query, Answer> extends ReplicateOptions<Result, Query, Answer> {
  /**
   * Which quorums a set of voters has; the same on every node. Called with each set that is to come into force; one for which
   * it gives no safe system stays out. Default: majorities.
   */
  readonly quorums?: (voters: readonly NodeId[]) => QuorumSpec;
  /** This node promises and accepts, and never leads. */
  readonly acceptorOnly?: boolean;
}

/**
 * Starts this node of a replicated group. Resolves when its files are open and it listens, not when a leader is elected:
 * `propose` and linearizable `read` wait for that. Fails with AlthingError: CONFIG_INVALID (also for quorums of the founders
 * that could miss each other: the message names two that do), DATA_LOCKED, DATA_FOREIGN, DATA_NEWER, DATA_CORRUPT,
 * ADDRESS_IN_USE, DISK_FULL, DISK_FAILED.
 */
export async function replicate<Result, Query, Answer>(
  options: PaxosOptions<Result, Query, Answer>,
): Promise<ReplicatedNode<Result, Query, Answer>> {
  const { quorums = () => ({ type: "majority" }) as const, acceptorOnly = false } = options;
  const founders = options.peers?.map((peer) => nodeId(peer.id));
  if (founders !== undefined && founders.length > 0) demandSafe(quorums(founders), founders);
  const core = paxosWith({
    acceptorOnly,
    quorumsOf: (configuration) => {
      const voters = incomingVoters(configuration);
      return quorumSystem(quorums(voters), voters);
    },
  });
  const ports = await openNodePorts({ folder: options.dir, observer: options.observer ?? silentObserver });
  return openReplicatedNode(ports, options, { consensus: "paxos", core });
}

function demandSafe(spec: QuorumSpec, voters: readonly NodeId[]): QuorumSystem {
  const verdict = quorumSystem(spec, voters);
  if (verdict.type === "system") return verdict.system;
  throw new AlthingError("CONFIG_INVALID", `Cannot use the quorums: ${verdict.fault.why}`, {
    details: { ...verdict.fault },
  });
}

/** The ballot of a proposer's attempt: attempts from 1, nodes from 1; no two are equal, and later attempts are above. */
export function ballot(attempt: number, node: number): Ballot {
  return ballotOf({ era: 0, round: attempt, node: nodeId(node) });
}

export interface SingleDecreeQuorums {
  readonly isPhase1: (has: (id: NodeId) => boolean) => boolean;
  readonly isPhase2: (has: (id: NodeId) => boolean) => boolean;
}

/**
 * What is enough to choose one value, for `Proposer` and `Learner`: majorities, unless said otherwise. Fails with
 * CONFIG_INVALID if two quorums could miss each other.
 */
export function quorumsOf(nodes: readonly number[], spec: QuorumSpec = { type: "majority" }): SingleDecreeQuorums {
  const system = demandSafe(
    spec,
    nodes.map((node) => nodeId(node)),
  );
  const maskOf = (has: (id: NodeId) => boolean): number =>
    system.voters.reduce((mask, id, i) => (has(id) ? mask | (1 << i) : mask), 0);
  return { isPhase1: (has) => system.isPhase1(maskOf(has)), isPhase2: (has) => system.isPhase2(maskOf(has)) };
}
