/**
 * What the layers above see of a replicated group on this node. Every node has the same handle, leader or not: proposals
 * and read confirmations travel to the leader by themselves.
 */
import type { AlthingError } from "../base/errors.ts";
import type { LogIndex, NodeId, Term } from "../base/ids.ts";
import type { ConsensusEngine } from "../config/node-config.ts";
import type { Member } from "../consensus/contract/configuration.ts";
import type { CoreStatus } from "../consensus/contract/core.ts";
import type { Outcome, ReadLevel } from "./outcome.ts";

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Default: the group's `callTimeoutMs`. */
  readonly timeoutMs?: number;
  /** For writes that free space or tell of its lack: taken below the reserve of the disk too. */
  readonly urgent?: boolean;
}

export interface GroupHandle<Result, Query, Answer> {
  /**
   * Proposes one command. Commands of one handle are applied in the order of these calls, each exactly once, whatever
   * leaders come and go. The result is that of this node's own replica: once it is here, local reads see the write.
   */
  propose(command: Uint8Array, options?: CallOptions): Promise<Outcome<Result>>;
  /** The same without a promise, for doors that carry many small commands. `done` is called once, never synchronously. */
  submit(command: Uint8Array, done: (outcome: Outcome<Result>) => void, options?: CallOptions): void;
  /** Reads the local replica at the given level. Throws AlthingError GROUP_NO_LEADER, TIMEOUT, ABORTED, CLOSED. */
  read(query: Query, options: CallOptions & { readonly level: ReadLevel }): Promise<Answer>;
  /**
   * Calls `ready` when a local read has the given level: then `query` what you like within the same turn. For doors: many
   * reads share one confirmation. `error` is undefined on success.
   */
  whenReadable(level: ReadLevel, ready: (error: AlthingError | undefined) => void, options?: CallOptions): void;
  /** Reads the local replica as it stands, without any confirmation. */
  query(query: Query): Answer;

  readonly nodeId: NodeId;
  readonly leader: NodeId | undefined;
  readonly isLeader: boolean;
  /** True once this node leads *and* has applied an entry of its own term: it knows all that was ever committed. */
  readonly isReadyLeader: boolean;
  readonly term: Term;
  readonly applied: LogIndex;
  readonly members: readonly Member[];
  status(): GroupStatus;
  /** Called on every change of role, leader or readiness. Returns the way to stop listening. */
  onChange(listener: () => void): () => void;

  /** Replaces the set of members; resolves when the new set is committed, and decides alone. */
  changeMembers(change: (members: readonly Member[]) => readonly Member[], options?: CallOptions): Promise<void>;
  transferLeader(to: NodeId, options?: CallOptions): Promise<void>;
  /** Asks the leader's node a question of the layer above and brings back its bytes (see `onAsk`). */
  askLeader(question: Uint8Array, options?: CallOptions): Promise<Uint8Array>;
  /** Asks any node. */
  ask(node: NodeId, question: Uint8Array, options?: CallOptions): Promise<Uint8Array>;
  /** Answers `askLeader` and `ask` of other nodes (and this one's own). One listener. A rejection reaches the asker. */
  onAsk(answer: (question: Uint8Array, from: NodeId) => Promise<Uint8Array>): void;
  /** A consistent copy of the state as bytes that `restore` of a machine of the same kind accepts. */
  exportSnapshot(): { readonly index: LogIndex; readonly chunks: AsyncIterable<Uint8Array>; close(): void };
  /** Makes everything applied so far durable in the machine's own store and shortens the log. */
  checkpoint(): Promise<void>;
}

export interface GroupStatus extends CoreStatus {
  readonly consensus: ConsensusEngine;
  readonly nodeId: NodeId;
  readonly applied: LogIndex;
  readonly checkpoint: LogIndex;
  readonly sessions: number;
  readonly pendingCommands: number;
  readonly pendingBytes: number;
  readonly diskFull: boolean;
  /** True while acknowledged entries are missing here, or their damaged records have not yet left the disk. */
  readonly damaged: boolean;
  /** Why connections with other nodes fail at the handshake just now: another cluster, another engine. */
  readonly refusals: readonly string[];
  /** Set once this node knows that it is not a member any more: as of this index. */
  readonly removedAsOf?: LogIndex;
}
