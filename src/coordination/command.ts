/**
 * What the coordination group's log holds: one tag byte, then a protobuf message. For client requests that message is the
 * request as it came in at the door, byte for byte.
 */
import { field, type Infer, message, repeatedNested } from "../base/protobuf.ts";
import { Slab } from "../base/slab.ts";
import { LeaseCheckpoint } from "./messages.ts";

/** Never renumber: logs on disk hold these. */
export const CommandTag = {
  put: 1,
  deleteRange: 2,
  txn: 3,
  compact: 4,
  leaseGrant: 5,
  leaseRevoke: 6,
  /** `LeaseNotes`. */
  leaseCheckpoint: 7,
  /** A revocation by the leader's clock; void in any other term than the one it names. */
  leaseExpire: 8,
  alarm: 9,
  /** Draws the next member id, at least the given one. */
  memberId: 10,
} as const;
export type CommandTag = (typeof CommandTag)[keyof typeof CommandTag];

export const LeaseExpire = message({ id: field(1, "int64"), term: field(2, "uint53") });
export type LeaseExpire = Infer<typeof LeaseExpire>;

/** What is left of leases by the clock of the leader of `term`; void in any other. */
export const LeaseNotes = message({ term: field(1, "uint53"), checkpoints: repeatedNested(2, LeaseCheckpoint) });
export type LeaseNotes = Infer<typeof LeaseNotes>;

export const MemberIdRequest = message({ least: field(1, "uint53"), used: field(2, "uint53") });
export type MemberIdRequest = Infer<typeof MemberIdRequest>;

interface Encoder<In> {
  encode(value: In, headroom?: number): Uint8Array;
}

/** The command that carries `request`. */
export function command<In>(tag: CommandTag, codec: Encoder<In>, request: In): Uint8Array {
  const bytes = codec.encode(request, 1);
  bytes[0] = tag;
  return bytes;
}

/** Commands live until their answer. */
const slab = new Slab();

/** The command that carries a request already encoded. */
export function commandOfBytes(tag: CommandTag, request: Uint8Array): Uint8Array {
  const bytes = slab.take(request.length + 1);
  bytes[0] = tag;
  bytes.set(request, 1);
  return bytes;
}
