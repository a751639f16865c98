/**
 * What a group replicates. Implementations must be deterministic: `apply` may depend on the state, the command and the
 * point, on nothing else. An exception from `apply` stops the node: a command that cannot be carried out has a *result*
 * that says so.
 */
import type { LogIndex, SessionId, Term } from "../base/ids.ts";

export interface ApplyPoint {
  readonly index: LogIndex;
  readonly term: Term;
  /** The session that proposed the command, and the command's number in it. */
  readonly session: SessionId;
  readonly sequence: number;
}

/** Turns values into bytes and back; `decode(encode(v))` equals `v`. */
export interface Codec<T> {
  encode(value: T): Uint8Array;
  decode(bytes: Uint8Array): T;
}

/** A frozen state, read chunk by chunk while the machine goes on. */
export interface MachineSnapshot {
  /** Chunks of at most 256 KiB. Reads may await. Two calls on equal states give equal bytes. */
  chunks(): AsyncIterable<Uint8Array>;
  close(): void;
}

export interface StateMachine<Result, Query, Answer> {
  /** Carries out one committed command. Called in log order, each command once. */
  apply(command: Uint8Array, point: ApplyPoint): Result;
  /** Called after the last command of a log entry: the place to publish what the entry changed. */
  entryApplied?(index: LogIndex): void;
  /** Reads the state as it stands. */
  query(query: Query): Answer;
  /** Results are kept per session until the client has them, also through snapshots. */
  readonly results: Codec<Result>;
  snapshot(): MachineSnapshot;
  /** Replaces the whole state by a snapshot's chunks. If it fails half-way the state is undefined and the node stops. */
  restore(chunks: AsyncIterable<Uint8Array>): Promise<void>;
  /**
   * Machines that keep their state on disk themselves. Without it the group writes `snapshot()` to a file of its own.
   */
  readonly durable?: DurableState;
}

export interface DurableState {
  /** The `meta` of the last checkpoint, after which the state stands exactly; undefined for an empty folder. */
  load(): Promise<Uint8Array | undefined>;
  /**
   * Makes the state as of this call durable, together with `meta`, in one atomic write. Commands applied while the write
   * is under way belong to the next checkpoint.
   */
  checkpoint(meta: Uint8Array): Promise<void>;
  /** Bytes held in memory only since the last checkpoint. */
  dirtyBytes(): number;
}
