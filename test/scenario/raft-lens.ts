/** The safety observer's window into Raft: what its frames claim, whom its vote records name, and one line for traces. */
import type { NodeId } from "../../src/base/ids.ts";
import { type LogRecord, RecordKind } from "../../src/consensus/contract/record.ts";
import { decodeRaftMessage, type RaftMessage } from "../../src/consensus/raft/messages.ts";
import { decodeVote } from "../../src/consensus/raft/vote-record.ts";
import type { Claim, Lens } from "./safety.ts";

export const raftLens: Lens = {
  ownTermOnly: true,

  claims(frame: Uint8Array, link: { readonly from: NodeId; readonly to: NodeId }): readonly Claim[] {
    const message = decodeRaftMessage(frame);
    switch (message.type) {
      case "append-response": {
        const shown: Claim = { type: "term", term: message.term };
        if (message.refused > 0 || message.match === 0) return [shown];
        return [shown, { type: "holds", term: message.term, index: message.match, leader: link.to }];
      }
      case "heartbeat-response":
        return [{ type: "term", term: message.term }];
      case "vote-response": {
        const shown: Claim = { type: "term", term: message.term };
        if (message.pre || !message.granted) return [shown];
        return [shown, { type: "voted", term: message.asked, candidate: link.to }];
      }
      case "vote":
        return message.pre ? [] : [{ type: "voted", term: message.term, candidate: link.from }];
      case "append":
      case "heartbeat":
      case "timeout-now":
        return []; // a leader's own words promise nothing about its disk
    }
  },

  votedFor(record: LogRecord): NodeId | "unreadable" | undefined {
    return decodeVote(record).votedFor;
  },

  describe(frame: Uint8Array): string {
    return describeMessage(decodeRaftMessage(frame));
  },
};

function describeMessage(message: RaftMessage): string {
  switch (message.type) {
    case "append": {
      const previous = `after ${message.previousIndex}@${message.previousTerm}`;
      const entries = message.entries.map(
        (e) => `${e.index}@${e.term}${e.kind === RecordKind.command ? "" : kindName(e)}`,
      );
      return `append term ${message.term} ${previous} [${entries.join(" ")}] commit ${message.commit}`;
    }
    case "append-response":
      return message.refused > 0
        ? `append-response term ${message.term} refused ${message.refused}, try ${message.hintIndex}@${message.hintTerm}`
        : `append-response term ${message.term} match ${message.match}`;
    case "heartbeat":
      return `heartbeat term ${message.term} round ${message.round} commit ${message.commit}`;
    case "heartbeat-response":
      return `heartbeat-response term ${message.term} round ${message.round} last ${message.last}`;
    case "vote": {
      const kind = message.pre ? "pre-vote" : message.transfer ? "vote (transfer)" : "vote";
      return `${kind} term ${message.term} last ${message.lastIndex}@${message.lastTerm}`;
    }
    case "vote-response": {
      const kind = message.pre ? "pre-vote-response" : "vote-response";
      return `${kind} term ${message.term} for ${message.asked}: ${message.granted ? "yes" : "no"}`;
    }
    case "timeout-now":
      return `timeout-now term ${message.term}`;
  }
}

function kindName(record: LogRecord): string {
  return record.kind === RecordKind.noop ? "(noop)" : "(configuration)";
}
