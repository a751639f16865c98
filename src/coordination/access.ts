/**
 * The replicated store as the services use it: the group's outcomes in etcd's words, response headers, and the deadline of
 * one call over all its steps.
 */
import { assert, unreachable } from "../base/assert.ts";
import { AlthingError } from "../base/errors.ts";
import type { CallOptions, GroupHandle } from "../group/handle.ts";
import type { Outcome, ReadLevel } from "../group/outcome.ts";
import type { Clock } from "../ports/clock.ts";
import type { Observer } from "../ports/observer.ts";
import type { Random } from "../ports/random.ts";
import { EtcdError } from "./etcd-error.ts";
import type { ResponseHeader } from "./messages.ts";
import type { Store, StoreAnswer, StoreQuery } from "./store.ts";
import type { StoreResult } from "./store-result.ts";

export type CoordinationHandle = GroupHandle<StoreResult, StoreQuery, StoreAnswer>;
/** What a command results in when it was carried out. */
export type StoreSuccess = Exclude<StoreResult, { readonly type: "error" }>;

export interface AccessOptions {
  readonly handle: CoordinationHandle;
  /** The very machine that `handle` replicates. */
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: Observer;
  readonly clusterId: bigint;
  /** A command over this is refused. */
  readonly requestBytesMax: number;
  /** How fresh a read is that does not say `serializable`. */
  readonly readLevel: Extract<ReadLevel, "linearizable" | "lease">;
}

export class Access {
  readonly handle: CoordinationHandle;
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: Observer;
  readonly #clusterId: bigint;
  readonly #requestBytesMax: number;
  readonly #readLevel: ReadLevel;

  constructor(options: AccessOptions) {
    this.handle = options.handle;
    this.store = options.store;
    this.clock = options.clock;
    this.random = options.random;
    this.observer = options.observer;
    this.#clusterId = options.clusterId;
    this.#requestBytesMax = options.requestBytesMax;
    this.#readLevel = options.readLevel;
  }

  header(revision: number): ResponseHeader {
    const { handle } = this;
    return { clusterId: this.#clusterId, memberId: BigInt(handle.nodeId), revision, raftTerm: handle.term };
  }

  /** The header of an answer that names no change of its own. */
  headerNow(): ResponseHeader {
    return this.header(this.store.publishedRevision);
  }

  /** Carries out a command. Throws EtcdError. */
  propose(command: Uint8Array, options?: CallOptions): Promise<StoreSuccess> {
    return new Promise((resolve, reject) => {
      this.submit(command, (error, result) => (error === undefined ? resolve(result) : reject(error)), options);
    });
  }

  /** The same for many small commands; `done` is called once, never synchronously, with either. */
  submit(
    command: Uint8Array,
    done: (...end: [error: EtcdError, result: undefined] | [error: undefined, result: StoreSuccess]) => void,
    options?: CallOptions,
  ): void {
    if (command.length > this.#requestBytesMax) {
      this.clock.afterTurn(() => done(new EtcdError("REQUEST_TOO_LARGE"), undefined));
      return;
    }
    if (this.store.damage !== undefined) {
      this.clock.afterTurn(() => done(new EtcdError("CORRUPT", { cause: this.store.damage }), undefined));
      return;
    }
    this.handle.submit(
      command,
      (outcome) => {
        if (outcome.type !== "committed") done(failureOf(outcome), undefined);
        else if (outcome.result.type === "error") done(new EtcdError(outcome.result.error), undefined);
        else done(undefined, outcome.result);
      },
      options,
    );
  }

  /** Calls `ready` when the local store is fresh enough; read it within the same turn. */
  whenReadable(serializable: boolean, ready: (error: EtcdError | undefined) => void, options?: CallOptions): void {
    const level = serializable ? "stale" : this.#readLevel;
    this.handle.whenReadable(
      level,
      (error) => {
        const failure = error ?? this.store.damage;
        ready(failure === undefined ? undefined : etcdErrorOf(failure));
      },
      options,
    );
  }

  /**
   * Takes something out of the local store in the very turn in which that is fresh enough, and whole: a snapshot may begin
   * to replace it right after. Throws EtcdError.
   */
  read<T>(serializable: boolean, take: () => T, options?: CallOptions): Promise<T> {
    return new Promise((resolve, reject) => {
      this.whenReadable(
        serializable,
        (error) => {
          if (error !== undefined) return reject(error);
          try {
            resolve(take());
          } catch (failure) {
            reject(failure instanceof AlthingError ? etcdErrorOf(failure) : failure);
          }
        },
        options,
      );
    });
  }

  /** The same of whatever this node has, as soon as that is a whole state: at once, as a rule. */
  async readOwn<T>(take: () => T, options?: CallOptions): Promise<T> {
    if (!this.store.isWhole) return await this.read(true, take, options);
    try {
      return take();
    } catch (failure) {
      throw failure instanceof AlthingError ? etcdErrorOf(failure) : failure;
    }
  }

  /** The same as a promise, for those who read nothing of the store: others may run between its resolution and the caller. */
  confirm(options?: CallOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      this.whenReadable(false, (error) => (error === undefined ? resolve() : reject(error)), options);
    });
  }

  /**
   * Runs a call of several steps under one deadline: `signal` aborts when the caller gives up or its time is over. What
   * the steps throw then becomes CANCELLED or TIMEOUT.
   */
  async within<T>(options: CallOptions, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { signal, timeoutMs } = options;
    const controller = new AbortController();
    let late = false;
    const onAbort = (): void => controller.abort(new EtcdError("CANCELLED"));
    if (signal?.aborted === true) throw new EtcdError("CANCELLED");
    signal?.addEventListener("abort", onAbort, { once: true });
    const timer =
      timeoutMs === undefined
        ? undefined
        : this.clock.timer(timeoutMs, () => {
            late = true;
            controller.abort(new EtcdError("TIMEOUT"));
          });
    try {
      return await run(controller.signal);
    } catch (cause) {
      if (!controller.signal.aborted) throw cause;
      throw new EtcdError(late ? "TIMEOUT" : "CANCELLED", { cause });
    } finally {
      timer?.cancel();
      signal?.removeEventListener("abort", onAbort);
    }
  }
}

/** The result of a command as what it must be; another one is a bug of the store. */
export function resultOf<T extends StoreSuccess["type"]>(
  result: StoreSuccess,
  type: T,
): Extract<StoreSuccess, { readonly type: T }> {
  assert(isResult(result, type), "a command is answered with its own result", { wanted: type, got: result.type });
  return result;
}

function isResult<T extends StoreSuccess["type"]>(
  result: StoreSuccess,
  type: T,
): result is Extract<StoreSuccess, { readonly type: T }> {
  return result.type === type;
}

/** A proposal that was not, or may not have been, carried out. */
export function failureOf(outcome: Exclude<Outcome<StoreResult>, { readonly type: "committed" }>): EtcdError {
  switch (outcome.reason) {
    case "no-leader":
      return new EtcdError("NO_LEADER");
    case "overloaded":
      return new EtcdError("TOO_MANY_REQUESTS");
    case "too-large":
      return new EtcdError("REQUEST_TOO_LARGE");
    case "disk-full":
      return new EtcdError("NO_SPACE");
    case "closed":
      return new EtcdError("STOPPED");
    case "timeout":
      return new EtcdError("TIMEOUT");
    case "aborted":
      return new EtcdError("CANCELLED");
    case "session-expired":
    case "result-lost":
      return new EtcdError("TIMEOUT_CONNECTION_LOST"); // it may have happened: etcd's words for that
    default:
      return unreachable(outcome);
  }
}

/** What a read or an ask failed with. An error that is etcd's already stays as it is; a bug is passed on. */
export function etcdErrorOf(error: unknown): EtcdError {
  if (error instanceof EtcdError) return error;
  if (!(error instanceof AlthingError)) throw error;
  switch (error.code) {
    case "GROUP_NO_LEADER":
    case "NOT_LEADER":
    case "UNREACHABLE":
      return new EtcdError("NO_LEADER", { cause: error });
    case "GROUP_OVERLOADED":
      return new EtcdError("TOO_MANY_REQUESTS", { cause: error });
    case "ABORTED":
      return new EtcdError("CANCELLED", { cause: error });
    case "CLOSED":
      return new EtcdError("STOPPED", { cause: error });
    case "GROUP_DAMAGED":
    case "DATA_CORRUPT":
      return new EtcdError("CORRUPT", { cause: error });
    default:
      return new EtcdError("TIMEOUT", { cause: error });
  }
}
