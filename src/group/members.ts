/**
 * The group's set of members as this node follows it.
 * Owns    whom this node connects with, who came with another data folder, the duties of the leader's round, and telling
 *         the others this node's name.
 * Leaves  what the duties are (M1, M2) to `membership.ts`, connections to `peers.ts`.
 */
import { assert } from "../base/assert.ts";
import type { Incarnation, NodeId } from "../base/ids.ts";
import {
  type Configuration,
  decodeConfiguration,
  EMPTY_CONFIGURATION,
  type Member,
} from "../consensus/contract/configuration.ts";
import { type LogRecord, RecordKind } from "../consensus/contract/record.ts";
import type { CallOptions } from "./handle.ts";
import { passOver } from "./pass-over.ts";
import { isUnbound, type Stranger, tendMembers } from "./membership.ts";
import type { PeerAddress } from "./peer-address.ts";
import type { Pump } from "./pump.ts";
import type { MetaHead } from "./replica.ts";

const PUBLISH_RETRY_MS = 2_000;

export interface MembersPort {
  isReadyLeader(): boolean;
  changeMembers(change: (members: readonly Member[]) => readonly Member[], options: CallOptions): Promise<void>;
  /** The members are others now. */
  changed(configuration: Configuration): void;
}

export class Members {
  readonly #pump: Pump;
  readonly #port: MembersPort;
  /** What the connections follow. */
  #followed: Configuration = EMPTY_CONFIGURATION;
  /** Everyone that was a member since this node started. */
  readonly #known = new Map<NodeId, PeerAddress>();
  readonly #strangers = new Map<NodeId, Stranger>();
  #publishAtMs = 0;

  constructor(pump: Pump, port: MembersPort) {
    this.#pump = pump;
    this.#port = port;
  }

  /** M2: there are members, and none of them is bound to a data folder yet. */
  get isUnbound(): boolean {
    return isUnbound(this.#followed);
  }

  get list(): readonly Member[] {
    return this.#pump.core.status().configuration.members;
  }

  /** `head`: where the log begins; `records`: what was found of it at the start. */
  begin({ start, leaving }: MetaHead, records: readonly LogRecord[]): void {
    this.learn(start.configuration, leaving);
    for (const { kind, body } of records) {
      if (kind === RecordKind.configuration) this.#remember(decodeConfiguration(body));
    }
    this.follow(this.#pump.core.status().configuration);
  }

  /** The configuration in force may be another one. */
  follow(configuration: Configuration): void {
    if (configuration === this.#followed) return;
    this.#followed = configuration;
    const members = this.#remember(configuration);
    // Voters that are being left still decide, also among themselves: two of them may be what a majority of them needs.
    this.#pump.settings.peers.setPeers([...members, ...this.leaving(configuration)]);
    this.#port.changed(configuration);
  }

  /** Who is where, of a configuration that is or was in force. */
  learn(configuration: Configuration, leaving: readonly PeerAddress[]): void {
    for (const peer of leaving) this.#known.set(peer.id, peer);
    this.#remember(configuration);
  }

  /** The voters that a joint configuration leaves and names by id only: where they are, as far as earlier ones have told. */
  leaving({ members, outgoing }: Configuration): readonly PeerAddress[] {
    return outgoing.flatMap((id) => (members.some((m) => m.id === id) ? [] : (this.#known.get(id) ?? [])));
  }

  #remember(configuration: Configuration): PeerAddress[] {
    const members = configuration.members.map(({ id, address, incarnation }) => ({ id, address, incarnation }));
    for (const member of members) this.#known.set(member.id, member);
    return members;
  }

  /** Fresh evidence only: what was true of an earlier configuration may have been settled by another leader. */
  noteStranger(peer: NodeId, met: Incarnation | undefined): void {
    const insteadOf = this.#known.get(peer)?.incarnation ?? 0;
    if (met !== undefined && met !== insteadOf) this.#strangers.set(peer, { met, insteadOf });
  }

  /** The leader's duties. */
  tend(): void {
    if (!this.#port.isReadyLeader()) return;
    const { settings, core } = this.#pump;
    tendMembers(
      {
        nodeId: settings.nodeId,
        incarnation: settings.incarnation,
        isReadyLeader: true,
        configuration: () => {
          const { configuration, configurationIndex, commit } = core.status();
          return { configuration, index: configurationIndex, committed: configurationIndex <= commit };
        },
        incarnationOf: (id) => settings.peers.incarnationOf(id),
        change: (members) => {
          const outcome = this.#pump.step({ type: "change", members });
          assert(outcome !== undefined, "a change has an outcome");
          return outcome;
        },
      },
      this.#strangers,
    );
  }

  /** A node that was added by its address only, or has moved, tells its name and where clients find it. */
  publish(nowMs: number): void {
    if (nowMs < this.#publishAtMs || this.#pump.leader === undefined) return;
    const { nodeId: id, incarnation, self } = this.#pump.settings;
    const { name, clientUrls } = self;
    const mine = this.list.find((m) => m.id === id);
    if (mine === undefined || mine.incarnation !== incarnation) return; // not yet this folder's to tell
    if (mine.name === name && sameTexts(mine.clientUrls, clientUrls)) return;
    this.#publishAtMs = nowMs + PUBLISH_RETRY_MS;
    const change = (members: readonly Member[]): readonly Member[] =>
      members.map((m) => (m.id === id ? { ...m, name, clientUrls } : m));
    this.#port.changeMembers(change, { timeoutMs: PUBLISH_RETRY_MS }).catch(passOver); // tried again
  }
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, i) => text === b[i]);
}
