/**
 * What stands in a command entry of the log: one or more parts, each from one node's handle. The node that proposes encodes
 * a part once; the leader only puts parts one after another, so the bytes travel from there to every disk unchanged.
 */
import { ByteReader, ByteWriter, BytesError } from "../base/bytes.ts";
import { type SessionId, sessionId } from "../base/ids.ts";

/** Consecutive commands of one session: numbers `first`, `first + 1`, … */
export interface CommandBatch {
  readonly type: "commands";
  readonly session: SessionId;
  readonly first: number;
  /** The client has the results of all commands below this number: they may be forgotten. */
  readonly resultsBelow: number;
  readonly commands: readonly Uint8Array[];
}

/** A node asks for a session; the nonce tells it which one is its own. */
export interface OpenSession {
  readonly type: "open-session";
  readonly nonce: number;
}

export type EntryPart = CommandBatch | OpenSession;

const TAG_COMMANDS = 1;
const TAG_OPEN = 2;

export function encodePart(part: EntryPart): Uint8Array {
  if (part.type === "open-session") return new ByteWriter(16).u8(TAG_OPEN).u53(part.nonce).finish();
  let size = 40;
  for (const command of part.commands) size += command.length + 5;
  const out = new ByteWriter(size).u8(TAG_COMMANDS).varint(part.session).varint(part.first).varint(part.resultsBelow);
  out.varint(part.commands.length);
  for (const command of part.commands) out.bytes(command);
  return out.finish();
}

/** Commands are views of `body`. Throws `BytesError`. */
export function* decodeParts(body: Uint8Array): Generator<EntryPart> {
  const input = new ByteReader(body);
  while (input.remaining > 0) yield decodePart(input);
}

function decodePart(input: ByteReader): EntryPart {
  const tag = input.u8();
  if (tag === TAG_OPEN) return { type: "open-session", nonce: input.u53() };
  if (tag !== TAG_COMMANDS) throw new BytesError(`unknown part ${tag} of an entry`);
  const session = sessionId(input.varint());
  const first = input.varint();
  const resultsBelow = input.varint();
  const count = input.varint();
  if (count > input.remaining) throw new BytesError("more commands than bytes");
  const commands: Uint8Array[] = [];
  for (let i = 0; i < count; i++) commands.push(input.bytes());
  return { type: "commands", session, first, resultsBelow, commands };
}
