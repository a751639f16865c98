/**
 * Who belongs to a group. A configuration counts from the moment it is appended (Ongaro 2014, section 4.1), is rolled back
 * when its entry is cut off, and changes only through joint consensus (section 4.3), also for a single member.
 */
import { assert } from "../../base/assert.ts";
import { ByteReader, ByteWriter, BytesError } from "../../base/bytes.ts";
import { isReplacement, type NodeId, nodeId } from "../../base/ids.ts";

export type MemberRole = "voter" | "learner";

export interface Member {
  readonly id: NodeId;
  /** The data folder behind the id; 0 until the leader has met the member and bound it. */
  readonly incarnation: number;
  readonly role: MemberRole;
  /** A learner that becomes a voter by itself once it has caught up. */
  readonly promote: boolean;
  readonly name: string;
  /** `host:port` of the peer port. */
  readonly address: string;
  /** URLs of the public port, for clients. */
  readonly clientUrls: readonly string[];
}

export interface Configuration {
  /** Sorted by id. Roles are those of the configuration being entered. */
  readonly members: readonly Member[];
  /** Voters of the configuration being left; empty unless joint. */
  readonly outgoing: readonly NodeId[];
}

export const EMPTY_CONFIGURATION: Configuration = { members: [], outgoing: [] };

export function incomingVoters(configuration: Configuration): readonly NodeId[] {
  return configuration.members.filter((m) => m.role === "voter").map((m) => m.id);
}

export function isJoint(configuration: Configuration): boolean {
  return configuration.outgoing.length > 0;
}

/** Everyone who takes part in a decision: voters of either half. */
export function isVoter(configuration: Configuration, id: NodeId): boolean {
  return configuration.outgoing.includes(id) || configuration.members.some((m) => m.id === id && m.role === "voter");
}

/**
 * True of a data folder that took the place of a lost one, as long as `configuration` does not name it: what the lost one
 * promised, a vote, a promise, an acknowledgement, still binds, and this one does not know it. When a configuration names
 * it, a leader that did know has given it the log up to there.
 */
export function isUnboundReplacement(configuration: Configuration, id: NodeId, folder: number): boolean {
  return isReplacement(folder) && findMember(configuration, id)?.incarnation !== folder;
}

export function findMember(configuration: Configuration, id: NodeId): Member | undefined {
  return configuration.members.find((m) => m.id === id);
}

/** Everyone who is sent the log: members, and voters being left. Sorted. */
export function replicas(configuration: Configuration): readonly NodeId[] {
  const ids = new Set<NodeId>(configuration.outgoing);
  for (const member of configuration.members) ids.add(member.id);
  return [...ids].sort((a, b) => a - b);
}

const VERSION = 1;
const VOTER = 1;
const PROMOTE = 2;

export function encodeConfiguration(configuration: Configuration): Uint8Array {
  const out = new ByteWriter().u8(VERSION).varint(configuration.members.length);
  for (const m of configuration.members) {
    out.varint(m.id).u53(m.incarnation);
    out.u8((m.role === "voter" ? VOTER : 0) | (m.promote ? PROMOTE : 0));
    out.text(m.name).text(m.address).varint(m.clientUrls.length);
    for (const url of m.clientUrls) out.text(url);
  }
  out.varint(configuration.outgoing.length);
  for (const id of configuration.outgoing) out.varint(id);
  return out.finish();
}

/** Throws `BytesError` on anything but what `encodeConfiguration` writes of a valid configuration. */
export function decodeConfiguration(bytes: Uint8Array): Configuration {
  const input = new ByteReader(bytes);
  if (input.u8() !== VERSION) throw new BytesError("unknown configuration version");
  const members: Member[] = [];
  for (let left = input.varint(); left > 0; left--) members.push(decodeMember(input));
  const outgoing: NodeId[] = [];
  for (let left = input.varint(); left > 0; left--) outgoing.push(decodeId(input));
  input.end();
  const configuration = { members, outgoing };
  const fault = faultOf(configuration);
  if (fault !== undefined) throw new BytesError(`not a configuration: ${fault}`);
  return configuration;
}

function decodeMember(input: ByteReader): Member {
  const id = decodeId(input);
  const incarnation = input.u53();
  const flags = input.u8();
  if (flags > (VOTER | PROMOTE)) throw new BytesError("unknown flags of a member");
  const name = input.text();
  const address = input.text();
  const clientUrls: string[] = [];
  for (let left = input.varint(); left > 0; left--) clientUrls.push(input.text());
  const role = (flags & VOTER) !== 0 ? "voter" : "learner";
  return { id, incarnation, role, promote: (flags & PROMOTE) !== 0, name, address, clientUrls };
}

function decodeId(input: ByteReader): NodeId {
  const id = input.varint();
  if (id < 1) throw new BytesError("node ids begin at 1");
  return nodeId(id);
}

/** Asserts that members are sorted by id, that no id comes twice, and that a configuration which names anybody has a voter. */
export function checkConfiguration(configuration: Configuration): void {
  const fault = faultOf(configuration);
  assert(fault === undefined, "a valid configuration", { fault, configuration });
}

/** What is wrong with it, or undefined. */
function faultOf({ members, outgoing }: Configuration): string | undefined {
  if (!members.every((m, i) => i === 0 || (members[i - 1]?.id ?? m.id) < m.id)) return "members are not sorted by id";
  if (new Set(outgoing).size !== outgoing.length) return "a voter being left is named twice";
  const isEmpty = members.length === 0 && outgoing.length === 0;
  return isEmpty || members.some((m) => m.role === "voter") ? undefined : "no member is a voter";
}
