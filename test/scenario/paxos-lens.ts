/** The window into Paxos: who watches its clusters, and one line of each frame for traces. Ballots are `era.round.node`. */
import { term } from "../../src/base/ids.ts";
import { ballotText } from "../../src/consensus/paxos/ballot.ts";
import { decodePaxosMessage, type PaxosMessage } from "../../src/consensus/paxos/messages.ts";
import type { QuorumsOf } from "../../src/consensus/paxos/replica.ts";
import { type Digest, digestOf, type SlotValue, ValueTag } from "../../src/consensus/paxos/value.ts";
import { PaxosSafety } from "./paxos-safety.ts";
import type { Lens } from "./safety.ts";

/** `quorumsOf`: of groups whose quorums are not majorities. */
export const paxosLensWith = (quorumsOf?: QuorumsOf): Lens => ({
  ownTermOnly: false,
  watch: (crc32) => new PaxosSafety(crc32, quorumsOf),
  claims: () => [], // the watcher reads frames itself
  votedFor: () => undefined,
  describe: (frame) => describeMessage(decodePaxosMessage(frame)),
  term: (shown) => ballotText(term(shown)),
});

export const paxosLens: Lens = paxosLensWith();

function describeMessage(message: PaxosMessage): string {
  const { type } = message;
  switch (message.type) {
    case "canvass":
      return `canvass era ${message.era} chosen ${message.chosen}${message.isBlank ? " blank" : ""}`;
    case "canvass-reply":
      return `canvass-reply ${message.granted ? "yes" : "no"} promised ${ballotText(message.promised)} chosen ${message.chosen}`;
    case "prepare": {
      const flags = `${message.isBlank ? " blank" : ""}${message.transfer ? " transfer" : ""}${message.hold ? " hold" : ""}`;
      return `prepare ${ballotText(message.ballot)} chosen ${message.chosen}${flags}`;
    }
    case "promise": {
      const reports = message.reports.map(
        (r) => `${r.index}@${ballotText(r.ballot)} ${r.value === undefined ? "digest" : name(r.digest)}`,
      );
      const part = message.parts > 1 ? ` part ${message.part + 1} of ${message.parts}` : "";
      return `promise ${ballotText(message.ballot)} chosen ${message.chosen} [${reports.join(", ")}]${part}`;
    }
    case "refusal":
      return `refusal ${message.why} ${ballotText(message.ballot)}, promised ${ballotText(message.promised)}`;
    case "accept":
      return `accept ${ballotText(message.ballot)} ${message.values.map((v, i) => `${message.first + i} ${name(digestOf(v))}`).join(", ")} chosen ${message.chosen}`;
    case "accepted":
      return `accepted ${ballotText(message.ballot)} ${message.ranges.map(([a, b]) => (a === b ? a : `${a}…${b}`)).join(", ")}`;
    case "beat":
      return `beat ${ballotText(message.ballot)} round ${message.round} chosen ${message.chosen}`;
    case "beat-reply":
      return `beat-reply ${ballotText(message.ballot)} round ${message.round}${message.isMute ? " mute" : ""}`;
    case "ask-chosen":
      return `ask-chosen after ${message.after}`;
    case "tell-chosen": {
      const values = message.values.map((v) => (v.type === "held" ? "held" : name(digestOf(v.value))));
      return `tell-chosen after ${message.after} [${values.join(", ")}] chosen ${message.chosen}`;
    }
    case "ask-accepted":
      return `ask-accepted ${message.slots.join(", ")}`;
    case "tell-accepted":
      return `tell-accepted ${message.values.map((v) => v.index).join(", ")}`;
    case "stand-now":
      return `${type} ${ballotText(message.ballot)}`;
  }
}

function name(value: Digest | SlotValue): string {
  const origin = ballotText(value.origin);
  switch (value.tag) {
    case ValueTag.noop:
      return `noop of ${origin}`;
    case ValueTag.stop:
      return `stop of ${origin}`;
    default:
      return `command of ${origin}`;
  }
}
