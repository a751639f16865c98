/**
 * A workload client: an async function that lives in virtual time, calls nodes, and learns of each call whether it was
 * answered, refused, or nobody knows. Clients are never crashed; their view of the cluster is what gets checked.
 */
import { AssertionError } from "../base/assert.ts";
import type { Prng } from "../base/prng.ts";
import type { ObservedEvent } from "../ports/observer.ts";
import type { SimCluster, SimNode } from "./sim-cluster.ts";
import type { SimProcess } from "./sim-process.ts";
import { EventKind, exponential, type World } from "./world.ts";

export type CallResult<T> =
  | { readonly type: "answer"; readonly value: T }
  /** The node's code threw or rejected; whether the call had an effect, the error must say. */
  | { readonly type: "error"; readonly error: unknown }
  /** The call surely never reached the node's code. */
  | { readonly type: "refused" }
  /** Sent, and no answer: the node died or the time is over. */
  | { readonly type: "unknown"; readonly why: "died" | "timeout" };

export interface ClientOptions {
  readonly network: { readonly meanMs: number };
  readonly timeoutMs: number;
}

export class SimClient<TNode extends SimNode> {
  /** From 1. */
  readonly number: number;
  /** The client's own randomness. */
  readonly random: Prng;
  readonly #world: World;
  readonly #cluster: SimCluster<TNode>;
  readonly #process: SimProcess;
  readonly #options: ClientOptions;
  readonly #control: { readonly stopping: boolean; readonly progress: () => void };
  readonly #tell: ((event: ObservedEvent) => void) | undefined;

  constructor(
    number: number,
    parts: {
      readonly world: World;
      readonly cluster: SimCluster<TNode>;
      readonly process: SimProcess;
      readonly random: Prng;
      readonly options: ClientOptions;
      readonly control: { readonly stopping: boolean; readonly progress: () => void };
      /** Told of calls and answers, for traces. */
      readonly tell?: (event: ObservedEvent) => void;
    },
  ) {
    this.number = number;
    this.random = parts.random;
    this.#world = parts.world;
    this.#cluster = parts.cluster;
    this.#process = parts.process;
    this.#options = parts.options;
    this.#control = parts.control;
    this.#tell = parts.tell;
  }

  /** True once the run wants to end: loops stop here. */
  get stopping(): boolean {
    return this.#control.stopping;
  }

  /** Virtual milliseconds since the world began. */
  get nowMs(): number {
    return this.#world.nowMs;
  }

  /** How many nodes the cluster has; they are numbered from 1. */
  get nodes(): number {
    return this.#cluster.size;
  }

  anyNode(): number {
    return this.random.between(1, this.nodes);
  }

  /** Says that an operation succeeded. After the faults have ended, a client that ever did must do so again. */
  progress(): void {
    this.#control.progress();
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#world.schedule(this.#process, delayMs, EventKind.timer, this.number, resolve);
    });
  }

  /**
   * Runs `run` on a node, inside that node's process: held while it is paused, lost if it dies. The request and its answer
   * travel for a moment each. `timeoutMs` is virtual; `what` names the call in a trace.
   */
  call<T>(
    node: number,
    run: (instance: TNode) => Promise<T>,
    options: { readonly timeoutMs?: number; readonly what?: string } = {},
  ): Promise<CallResult<T>> {
    this.#tell?.({ type: "call", client: this.number, to: node, what: options.what ?? "call" });
    return new Promise((resolve) => {
      const world = this.#world;
      let settled = false;
      let forget = (): void => undefined;
      const settle = (result: CallResult<T>, delayMs: number): void => {
        if (settled) return;
        settled = true;
        timeout.run = undefined;
        forget();
        world.schedule(this.#process, delayMs, EventKind.answer, this.number, () => {
          this.#tell?.({ type: "answer", client: this.number, from: node, what: answerText(result) });
          resolve(result);
        });
      };
      const timeoutMs = options.timeoutMs ?? this.#options.timeoutMs;
      const timeout = world.schedule(this.#process, timeoutMs, EventKind.timer, this.number, () =>
        settle({ type: "unknown", why: "timeout" }, 0),
      );
      const arrive = (): void => {
        const target = this.#cluster.running(node);
        if (target === undefined) {
          settle({ type: "refused" }, this.#travelMs());
          return;
        }
        let ran = false;
        forget = target.process.onDeath(() =>
          settle(ran ? { type: "unknown", why: "died" } : { type: "refused" }, this.#travelMs()),
        );
        world.schedule(target.process, 0, EventKind.call, this.number, () => {
          if (settled) return; // the caller has given up: as if the request had come too late
          ran = true;
          run(target.instance).then(
            (value) => settle({ type: "answer", value }, this.#travelMs()),
            (error: unknown) => {
              if (error instanceof AssertionError) world.fail(error, node);
              settle({ type: "error", error }, this.#travelMs());
            },
          );
        });
      };
      world.schedule(undefined, this.#travelMs(), EventKind.kernel, this.number, arrive, true);
    });
  }

  #travelMs(): number {
    return 0.05 + exponential(this.random, this.#options.network.meanMs);
  }
}

const ANSWER_CHARACTERS_MAX = 40;

function answerText(result: CallResult<unknown>): string {
  switch (result.type) {
    case "answer": {
      const text = result.value === undefined ? "done" : textOf(result.value);
      return text.length > ANSWER_CHARACTERS_MAX ? `${text.slice(0, ANSWER_CHARACTERS_MAX)}…` : text;
    }
    case "error":
      return `error: ${result.error instanceof Error ? result.error.message : String(result.error)}`;
    case "refused":
      return "refused";
    case "unknown":
      return `unknown (${result.why})`;
  }
}

function textOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}
