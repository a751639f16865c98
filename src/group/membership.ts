/**
 * The leader's duties towards the set of members, and changes asked for by users.
 * Owns    binding members to their data folders, turning a wiped member into a learner, carrying out `changeMembers`.
 *
 * M1. A member whose disk was lost returns as a learner and becomes a voter again only when it has caught up.
 * M2. Every voter is bound to a data folder, from before the first command on: a voter of whom any folder is welcome could
 *     acknowledge, lose its disk, and vote against what it has acknowledged. The first binding needs a majority of the
 *     founders; those it has not met become learners, and voters when they have come and caught up.
 */
import { AlthingError } from "../base/errors.ts";
import { ByteReader, ByteWriter, BytesError } from "../base/bytes.ts";
import { type Incarnation, isReplacement, type LogIndex, type NodeId } from "../base/ids.ts";
import {
  type Configuration,
  decodeConfiguration,
  encodeConfiguration,
  isJoint,
  type Member,
} from "../consensus/contract/configuration.ts";
import type { StepOutcome } from "../consensus/contract/core.ts";
import { majority } from "../consensus/quorum/quorum.ts";

/** A node that came with another data folder than the one the configuration named at that time. */
export interface Stranger {
  readonly met: Incarnation;
  readonly insteadOf: number;
}

/** What the duties need of the group. */
export interface MembershipPort {
  readonly nodeId: NodeId;
  readonly incarnation: Incarnation;
  readonly isReadyLeader: boolean;
  configuration(): { readonly configuration: Configuration; readonly index: LogIndex; readonly committed: boolean };
  incarnationOf(id: NodeId): Incarnation | undefined;
  change(members: readonly Member[]): StepOutcome;
}

/** Nobody has been bound yet: a new cluster before its first binding (M2). */
export function isUnbound(configuration: Configuration): boolean {
  return configuration.members.length > 0 && configuration.members.every((m) => m.incarnation === 0);
}

/**
 * One round of duties: proposes at most one change. `strangers` are nodes that returned with another data folder; those
 * that the configuration has overtaken are taken out. Returns true if a change was proposed.
 */
export function tendMembers(port: MembershipPort, strangers: Map<NodeId, Stranger>): boolean {
  if (!port.isReadyLeader) return false;
  const { configuration, committed } = port.configuration();
  if (!committed || isJoint(configuration)) return false;
  let changed = false;
  const isFirst = isUnbound(configuration);
  const metBy = (m: Member): Incarnation | undefined =>
    m.id === port.nodeId ? port.incarnation : port.incarnationOf(m.id);
  if (isFirst) {
    const voters = configuration.members.filter((m) => m.role === "voter");
    const founders = voters.filter((m) => {
      const met = metBy(m);
      return met !== undefined && !isReplacement(met);
    });
    if (founders.length < majority(voters.length)) return false;
  }
  const members = configuration.members.map((m): Member => {
    const met = metBy(m);
    if (m.incarnation === 0 && met !== undefined) {
      changed = true;
      if (m.role === "voter" && isReplacement(met)) return { ...m, incarnation: met, role: "learner", promote: true }; // M1
      return { ...m, incarnation: met };
    }
    if (isFirst && m.role === "voter" && met === undefined) return { ...m, role: "learner", promote: true }; // M2
    const stranger = strangers.get(m.id);
    if (stranger?.insteadOf === m.incarnation && met === stranger.met && m.id !== port.nodeId) {
      changed = true;
      return { ...m, incarnation: met, role: "learner", promote: true }; // M1
    }
    return m;
  });
  for (const [id, { insteadOf }] of strangers) {
    if (configuration.members.find((m) => m.id === id)?.incarnation !== insteadOf) strangers.delete(id);
  }
  if (!changed || !members.some((m) => m.role === "voter")) return false;
  return port.change(members).type === "accepted";
}

/**
 * A control question: "make these the members, if they now are what I think". `base` is the checksum of the configuration
 * that the change was made from: an index would differ between nodes that start from different checkpoints. Fails with
 * MEMBERSHIP_REFUSED if they are no valid set.
 */
export function encodeChange(base: number, members: readonly Member[]): Uint8Array {
  if (new Set(members.map((m) => m.id)).size !== members.length) throw invalid("one id stands for two of them");
  if (!members.some((m) => m.role === "voter")) throw invalid("nobody of them votes");
  return new ByteWriter(256)
    .u8(1)
    .u32(base)
    .raw(encodeConfiguration({ members: [...members].sort((a, b) => a.id - b.id), outgoing: [] }))
    .finish();
}

export function encodeTransfer(to: NodeId): Uint8Array {
  return new ByteWriter(16).u8(2).varint(to).finish();
}

export type Control =
  | { readonly type: "change"; readonly base: number; readonly members: readonly Member[] }
  | { readonly type: "transfer"; readonly to: number };

/** Throws `BytesError` on what cannot be read; REQUEST_INVALID. */
export function decodeControl(bytes: Uint8Array): Control {
  const input = new ByteReader(bytes);
  const tag = input.u8();
  if (tag === 1) {
    const base = input.u32();
    return { type: "change", base, members: decodeConfiguration(input.raw(input.remaining)).members };
  }
  if (tag === 2) {
    const to = input.varint();
    if (to === 0) throw new BytesError("a transfer to nobody");
    return { type: "transfer", to };
  }
  throw new AlthingError("REQUEST_INVALID", "Cannot answer: unknown control question");
}

function invalid(why: string): AlthingError {
  return new AlthingError("MEMBERSHIP_REFUSED", `Cannot change the members: ${why}`);
}

/** A refused step as the error its caller sees; `retry` says whether waiting a little may help. */
export function refusal(
  outcome: Extract<StepOutcome, { type: "refused" }>,
  what: string,
): { readonly error: AlthingError; readonly retry: boolean } {
  switch (outcome.reason) {
    case "not-leader":
      return { error: new AlthingError("NOT_LEADER", `Cannot ${what}: this node does not lead`), retry: true };
    case "not-ready":
    case "change-pending":
    case "transferring":
    case "overloaded":
      return { error: new AlthingError("MEMBERSHIP_REFUSED", `Cannot ${what}: ${outcome.reason}`), retry: true };
    case "invalid-members":
      return {
        error: new AlthingError("MEMBERSHIP_REFUSED", `Cannot ${what}: the members are not a valid set`),
        retry: false,
      };
  }
}
