/** One leader, from outside: which answers count for choosing and for reads. */
import { crc32 } from "node:zlib";
import { expect, test } from "vitest";
import { utf8 } from "../../base/bytes.ts";
import { logIndex, nodeId } from "../../base/ids.ts";
import type { Effects, Input } from "../contract/core.ts";
import { type Ballot, ballotOf, NO_BALLOT } from "./ballot.ts";
import { encodePaxosMessage, type PaxosMessage } from "./messages.ts";
import { recoverPaxos } from "./recover.ts";

const zero = logIndex(0);
const members = [1, 2, 3].map((id) => ({
  id: nodeId(id),
  incarnation: 1,
  role: "voter" as const,
  promote: false,
  name: `n${id}`,
  address: `n${id}:1`,
  clientUrls: [],
}));

/** Node 1, leading with the promise of node 2, with everything it has written durable. */
function leading() {
  const options = {
    id: nodeId(1),
    heartbeatMs: 10,
    electionMs: 100,
    leaseMs: 0,
    priority: 0,
    uncommittedEntriesMax: 100,
    uncommittedBytesMax: 10_000,
    inflightMessagesMax: 4,
    inflightBytesMax: 10_000,
    messageBytesMax: 1_000,
    random: () => 0.5,
    crc32,
  };
  const start = { index: zero, term: NO_BALLOT, chain: 0, configuration: { members, outgoing: [] } };
  const core = recoverPaxos(options, { start, records: [], damagedUpTo: undefined }, 0);
  const step = (input: Input): Effects => {
    const effects = core.step(input, 200);
    if (effects.persist === undefined) return effects;
    const done = step({ type: "durable", ticket: effects.persist.ticket });
    return { ...done, reads: [...effects.reads, ...done.reads], outcome: effects.outcome };
  };
  const tell = (message: PaxosMessage, more: { isStranger?: boolean } = {}): Effects =>
    step({ type: "message", from: nodeId(2), frame: encodePaxosMessage(message), ...more });
  step({ type: "tick" });
  tell({ type: "canvass-reply", attempt: 1, granted: true, promised: NO_BALLOT, chosen: zero });
  const ballot = ballotOf({ era: 0, round: 1, node: 1 });
  tell({ type: "promise", ballot, chosen: zero, start: zero, part: 0, parts: 1, reports: [] });
  expect(core.role).toBe("leader");
  const accepted = (under: Ballot, slot: number): PaxosMessage => {
    const index = logIndex(slot);
    return { type: "accepted", ballot: under, chosen: zero, ranges: [[index, index]] };
  };
  return { core, step, tell, ballot, accepted };
}

test("P3: an acceptance counts under this ballot only, and not from a stranger", () => {
  const { core, tell, ballot, accepted } = leading();
  tell(accepted(ballotOf({ era: 0, round: 2, node: 1 }), 1));
  tell(accepted(ballotOf({ era: 0, round: 0, node: 1 }), 1));
  tell(accepted(ballot, 1), { isStranger: true });
  expect(core.commit).toBe(0);
  tell(accepted(ballot, 1));
  expect(core.commit).toBe(1);
});

test("P3: acceptances in any order, chosen in order", () => {
  const { core, step, tell, ballot, accepted } = leading();
  for (const text of ["a", "b"]) step({ type: "propose", body: utf8(text), bodyCrc: crc32(utf8(text)) });
  tell(accepted(ballot, 3));
  tell(accepted(ballot, 2));
  expect(core.commit).toBe(0);
  tell(accepted(ballot, 1));
  expect(core.commit).toBe(3);
});

test("P11: a read waits for the opening, and for an answer to a round that began after it", () => {
  const { step, tell, ballot, accepted } = leading();
  const reply = (round: number, more: Partial<Extract<PaxosMessage, { type: "beat-reply" }>> = {}): PaxosMessage => ({
    type: "beat-reply",
    ballot,
    round,
    chosen: zero,
    isMute: false,
    ...more,
  });
  expect(step({ type: "read", context: 7 }).reads).toEqual([]);
  expect(tell(reply(1)).reads).toEqual([]); // the round of taking over, before anything is chosen
  expect(tell(accepted(ballot, 1)).reads).toEqual([]); // begins round 2
  expect(tell(reply(1)).reads).toEqual([]);
  expect(tell(reply(2, { isMute: true })).reads).toEqual([]);
  expect(tell(reply(2, { ballot: ballotOf({ era: 0, round: 5, node: 1 }) })).reads).toEqual([]);
  expect(tell(reply(2)).reads).toEqual([{ context: 7, index: 1 }]);
});
