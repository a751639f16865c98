/**
 * What people ask of the group itself: other members, another leader.
 * Owns    bringing the wish to the leader and repeating it there, and carrying it out as the leader.
 * Leaves  what a valid wish is, and its bytes, to `membership.ts`; joint consensus to the core.
 */
import { assert } from "../base/assert.ts";
import { EMPTY_BYTES } from "../base/bytes.ts";
import { AlthingError } from "../base/errors.ts";
import { type NodeId, nodeId } from "../base/ids.ts";
import {
  type Configuration,
  encodeConfiguration,
  incomingVoters,
  isJoint,
  type Member,
} from "../consensus/contract/configuration.ts";
import type { StepOutcome } from "../consensus/contract/core.ts";
import { sleep } from "../ports/clock.ts";
import type { CallOptions } from "./handle.ts";
import { decodeControl, encodeChange, encodeTransfer, refusal } from "./membership.ts";
import { passOver } from "./pass-over.ts";
import type { Pump } from "./pump.ts";
import type { AskOptions } from "./questions.ts";

const POLL_MS = 10;

type Ask = (to: NodeId | undefined, question: Uint8Array, options: AskOptions) => Promise<Uint8Array>;

export class Control {
  readonly #pump: Pump;
  readonly #ask: Ask;

  constructor(pump: Pump, ask: Ask) {
    this.#pump = pump;
    this.#ask = ask;
  }

  async changeMembers(
    change: (members: readonly Member[]) => readonly Member[],
    options: CallOptions = {},
  ): Promise<void> {
    await this.#settle(options, { repeatable: false }, () => {
      const { configuration } = this.#pump.core.status();
      return encodeChange(this.#checksum(configuration), change(configuration.members));
    });
  }

  async transferLeader(to: NodeId, options: CallOptions = {}): Promise<void> {
    await this.#settle(options, { repeatable: true }, () => encodeTransfer(to));
  }

  /**
   * Asks the leader until it agrees, the reason to refuse is final, or the time is over. What may have happened is asked
   * for again only if twice is as good as once: a change of members made from the outcome of itself is another change.
   */
  async #settle(
    options: CallOptions,
    kind: { readonly repeatable: boolean },
    question: () => Uint8Array,
  ): Promise<void> {
    const { ports, settings } = this.#pump;
    const { clock } = ports;
    const deadlineMs = clock.monotonicMs() + (options.timeoutMs ?? settings.timings.callTimeoutMs);
    for (;;) {
      options.signal?.throwIfAborted();
      try {
        await this.#ask(this.#pump.leader, question(), { control: true, deadlineMs, signal: options.signal });
        return;
      } catch (error) {
        const retry = error instanceof AlthingError ? error.retry : "never";
        const again = retry === "safe" || (retry === "unsafe" && kind.repeatable);
        if (!again || clock.monotonicMs() >= deadlineMs || this.#pump.closed) throw error;
      }
      await sleep(clock, settings.timings.heartbeatMs);
    }
  }

  // ---------------------------------------------------------------- at the leader

  /** Carries out a wish that came here. Throws `BytesError` on what cannot be read. */
  work(question: Uint8Array): Promise<Uint8Array> {
    const wish = decodeControl(question);
    if (wish.type === "transfer") return this.#transfer(nodeId(wish.to));
    if (wish.base !== this.#checksum(this.#pump.core.status().configuration)) {
      throw new AlthingError("NOT_LEADER", "Cannot change the members: they have changed meanwhile");
    }
    return this.#change(wish.members);
  }

  async #change(members: readonly Member[]): Promise<Uint8Array> {
    const outcome = this.#pump.step({ type: "change", members });
    assert(outcome !== undefined, "a change has an outcome");
    if (outcome.type === "refused") throw mapRefusal(outcome, "change the members");
    const { ports, settings, core } = this.#pump;
    const { term } = core;
    const wanted = membersText(members);
    const deadlineMs = ports.clock.monotonicMs() + settings.timings.callTimeoutMs;
    for (;;) {
      const { commit, configuration, configurationIndex } = core.status();
      const isCommitted = commit >= outcome.index;
      // Another leader may have put something else into its place.
      const isOurs = isCommitted && membersText(core.startAt(outcome.index)?.configuration.members ?? []) === wanted;
      if (isOurs && commit >= configurationIndex && !isJoint(configuration)) return EMPTY_BYTES;
      const isLost = isCommitted ? !isOurs : core.term !== term;
      if (isLost || ports.clock.monotonicMs() >= deadlineMs || this.#pump.closed) {
        throw new AlthingError(
          "OUTCOME_UNKNOWN",
          "Cannot say whether the members changed: it was not settled in time; ask for the list",
        );
      }
      await sleep(ports.clock, POLL_MS);
    }
  }

  async #transfer(to: NodeId): Promise<Uint8Array> {
    if (to === this.#pump.nodeId && this.#pump.isLeader) return EMPTY_BYTES;
    const outcome = this.#pump.step({ type: "transfer", to });
    assert(outcome !== undefined, "a transfer has an outcome");
    if (outcome.type === "refused") throw mapRefusal(outcome, "move the leadership");
    const { ports, settings } = this.#pump;
    const deadlineMs = ports.clock.monotonicMs() + 2 * settings.timings.electionMs;
    while (ports.clock.monotonicMs() < deadlineMs && !this.#pump.closed) {
      if (this.#pump.leader === to) return EMPTY_BYTES;
      await sleep(ports.clock, POLL_MS);
    }
    throw new AlthingError("TIMEOUT", `Cannot move the leadership to node ${to}: it did not take over in time`);
  }

  /** A leader that leaves on purpose gives its place away first, so that nobody waits for an election timeout. */
  async handOver(): Promise<void> {
    const { configuration, peers } = this.#pump.core.status();
    const heirs = incomingVoters(configuration).filter(
      (id) => id !== this.#pump.nodeId && this.#pump.settings.peers.isConnected(id),
    );
    const matches = new Map(peers.map((p) => [p.peer, p.match]));
    heirs.sort((a, b) => (matches.get(b) ?? 0) - (matches.get(a) ?? 0));
    const [heir] = heirs;
    if (heir !== undefined) await this.#transfer(heir).catch(passOver);
  }

  #checksum(configuration: Configuration): number {
    return this.#pump.ports.kernels.crc32(encodeConfiguration(configuration));
  }
}

/** Equal for equal sets of members. */
function membersText(members: readonly Member[]): string {
  return encodeConfiguration({ members: [...members].sort((a, b) => a.id - b.id), outgoing: [] }).join();
}

/** Reasons that pass by themselves are told as retryable codes. */
function mapRefusal(outcome: Extract<StepOutcome, { type: "refused" }>, what: string): AlthingError {
  const { error, retry } = refusal(outcome, what);
  return retry ? new AlthingError("NOT_LEADER", error.message) : error;
}
