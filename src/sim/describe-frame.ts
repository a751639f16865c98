/** A few words for what nodes of a group say to each other, for traces and diagrams. Heartbeats are left out. */
import { BytesError } from "../base/bytes.ts";
import type { NodeConfig } from "../config/node-config.ts";
import type { LogRecord } from "../consensus/contract/record.ts";
import { decodeRaftMessage, type RaftMessage } from "../consensus/raft/messages.ts";
import { decodePeerFrame, type PeerFrame } from "../group/frames.ts";

/**
 * Says what a frame between nodes with this consensus engine says; undefined for Raft's heartbeats and their answers, which
 * would fill every trace. Messages of other engines are named by their size.
 */
export function frameDescriber(engine: NodeConfig["consensus"]): (bytes: Uint8Array) => string | undefined {
  const consensus = engine === "raft" ? describeRaftFrame : describeSize;
  return (bytes) => {
    const frame = tolerant(() => decodePeerFrame(bytes)?.frame);
    if (frame === undefined) return "handshake";
    return frame.type === "consensus" ? consensus(frame.frame) : describeOther(frame);
  };
}

function describeSize(frame: Uint8Array): string {
  return `consensus, ${frame.length} bytes`;
}

function describeRaftFrame(frame: Uint8Array): string | undefined {
  const message = tolerant(() => decodeRaftMessage(frame));
  return message === undefined ? describeSize(frame) : describeRaft(message);
}

function describeRaft(message: RaftMessage): string | undefined {
  switch (message.type) {
    case "append":
      return `append ${entriesText(message.entries)}term ${message.term}, commit ${message.commit}`;
    case "append-response":
      return message.refused > 0 ? `refused behind ${message.refused}` : `holds up to ${message.match}`;
    case "heartbeat":
    case "heartbeat-response":
      return undefined;
    case "vote":
      return `${message.pre ? "would you vote" : "vote"} for me? term ${message.term}, log up to ${message.lastIndex}`;
    case "vote-response":
      return `${message.pre ? "would vote" : "vote"}: ${message.granted ? "yes" : "no"}, term ${message.asked}`;
    case "timeout-now":
      return `stand for election, term ${message.term}`;
  }
}

function entriesText(entries: readonly LogRecord[]): string {
  const first = entries[0]?.index;
  const last = entries.at(-1)?.index;
  if (first === undefined || last === undefined) return "";
  return first === last ? `${first}, ` : `${first}–${last}, `;
}

function describeOther(frame: Exclude<PeerFrame, { readonly type: "consensus" }>): string {
  const { type } = frame;
  switch (frame.type) {
    case "forward":
      return `commands, ${frame.part.length} bytes`;
    case "forward-refused":
      return "commands not taken";
    case "read":
      return `may I read? ${frame.context}`;
    case "read-grant":
      return frame.index === 0 ? `read ${frame.context}: ask again` : `read ${frame.context} at ${frame.index}`;
    case "ask":
    case "answer":
      return `${type} ${frame.id}`;
    case "snapshot-offer":
      return `snapshot up to ${frame.start.index}`;
    case "snapshot-chunk":
      return `snapshot bytes ${frame.offset} to ${frame.offset + frame.bytes.length}`;
    case "snapshot-progress":
      return `snapshot ${frame.state} at ${frame.offset}`;
    default: // what says no more than its name
      return type;
  }
}

/** undefined for bytes of another format. */
function tolerant<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof BytesError) return undefined;
    throw error;
  }
}
