/**
 * Questions to this node's side of the group, asked here or by other nodes.
 * Owns    who answers: the group itself (control: members, leadership) or the layer above.
 * Leaves  ids and deadlines of questions on the wire to `asks.ts`.
 */
import { AlthingError } from "../base/errors.ts";
import type { NodeId } from "../base/ids.ts";
import { Asks } from "./asks.ts";
import { closedError } from "./closed-error.ts";
import type { PeerFrame } from "./frames.ts";
import type { CallOptions } from "./handle.ts";
import type { Pump } from "./pump.ts";

export type Answerer = (question: Uint8Array, from: NodeId) => Promise<Uint8Array>;

export interface AskOptions {
  /** For the group itself. */
  readonly control: boolean;
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
}

export class Questions {
  readonly #pump: Pump;
  readonly #asks: Asks;
  readonly #control: (question: Uint8Array) => Promise<Uint8Array>;
  #answer: Answerer | undefined;

  constructor(pump: Pump, control: (question: Uint8Array) => Promise<Uint8Array>) {
    this.#pump = pump;
    this.#asks = new Asks((to, frame) => pump.send(to, frame));
    this.#control = control;
  }

  onAsk(answer: Answerer): void {
    this.#answer = answer;
  }

  /** A question to the layer above on another node, or on this one. */
  ask(to: NodeId | undefined, question: Uint8Array, options: CallOptions = {}): Promise<Uint8Array> {
    const { ports, settings } = this.#pump;
    const deadlineMs = ports.clock.monotonicMs() + (options.timeoutMs ?? settings.timings.callTimeoutMs);
    return this.askNode(to, question, { control: false, deadlineMs, signal: options.signal });
  }

  askNode(to: NodeId | undefined, question: Uint8Array, options: AskOptions): Promise<Uint8Array> {
    if (this.#pump.closed) return Promise.reject(closedError());
    if (to === undefined)
      return Promise.reject(new AlthingError("GROUP_NO_LEADER", "Cannot ask the leader: none is known"));
    if (to === this.#pump.nodeId) return this.#work(to, question, options.control);
    return this.#asks.ask(to, question, options);
  }

  /** Another node asks. */
  asked(from: NodeId, frame: Extract<PeerFrame, { type: "ask" }>): void {
    this.#asks.reply(from, frame.id, this.#work(from, frame.question.slice(), frame.control));
  }

  answered(frame: Extract<PeerFrame, { type: "answer" }>): void {
    this.#asks.answered(frame);
  }

  lost(peer: NodeId): void {
    this.#asks.lost(peer);
  }

  expire(nowMs: number): void {
    this.#asks.expire(nowMs);
  }

  close(): void {
    this.#asks.close();
  }

  async #work(from: NodeId, question: Uint8Array, control: boolean): Promise<Uint8Array> {
    if (control) return this.#control(question);
    if (this.#answer === undefined)
      throw new AlthingError("REQUEST_INVALID", "Cannot answer: this node takes no questions");
    return this.#answer(question, from);
  }
}
