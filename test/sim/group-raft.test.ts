/**
 * What restarts and snapshots can do to the engine below a group, at the engine itself: the moments are too rare for seeds.
 */
import { crc32 } from "node:zlib";
import { describe, expect, test } from "vitest";
import { logIndex, nodeId, term } from "../../src/base/ids.ts";
import type { Configuration } from "../../src/consensus/contract/configuration.ts";
import type { CoreOptions, LogStart } from "../../src/consensus/contract/core.ts";
import { chainHash, type LogRecord, RecordKind } from "../../src/consensus/contract/record.ts";
import { decodeRaftMessage, encodeRaftMessage } from "../../src/consensus/raft/messages.ts";
import { type Raft, recoverRaft } from "../../src/consensus/raft/raft.ts";

const configuration: Configuration = {
  members: [1, 2, 3].map((id) => ({
    id: nodeId(id),
    incarnation: id,
    role: "voter",
    promote: false,
    name: `n${id}`,
    address: `n${id}:1`,
    clientUrls: [],
  })),
  outgoing: [],
};

const options: CoreOptions = {
  id: nodeId(3),
  heartbeatMs: 50,
  electionMs: 500,
  leaseMs: 0,
  priority: 0,
  uncommittedEntriesMax: 100,
  uncommittedBytesMax: 1_000_000,
  inflightMessagesMax: 8,
  inflightBytesMax: 1_000_000,
  messageBytesMax: 100_000,
  random: () => 0.5,
  crc32: (bytes) => crc32(bytes),
};

function entries(from: { index: number; chain: number }, terms: readonly number[]): LogRecord[] {
  let { index, chain } = from;
  return terms.map((t) => {
    const body = new Uint8Array([t, ++index]);
    const bodyCrc = crc32(body);
    chain = chainHash(chain, t, bodyCrc);
    return { kind: RecordKind.command, index: logIndex(index), term: term(t), chain, body, bodyCrc };
  });
}

/** What the disk keeps of a term in which it voted for nobody. */
function vote(t: number, state: { readonly blank: boolean } = { blank: false }): LogRecord {
  const body = new Uint8Array([0, state.blank ? 1 : 0]);
  return { kind: RecordKind.vote, index: logIndex(0), term: term(t), chain: 0, body, bodyCrc: crc32(body) };
}

/**
 * The node had 90 to 100 of term 1, nobody else did; a snapshot up to 95 of term 2 was checkpointed, and the process died
 * before the log said so. It came back, acknowledged 96 and 97 of term 2, and died again before the next checkpoint.
 */
test("recover() keeps what was acknowledged on top of a snapshot whose start never reached the log", () => {
  const old = entries({ index: 89, chain: 7 }, new Array<number>(11).fill(1));
  const start: LogStart = { index: logIndex(95), term: term(2), chain: 4711, configuration };
  const acknowledged = entries({ index: 95, chain: start.chain }, [2, 2]);

  const first = recoverRaft(options, { start, records: [vote(2), ...old], damagedUpTo: undefined }, 0);
  expect(first.status().last).toBe(95);

  const records = [vote(2), ...old, ...acknowledged];
  const second = recoverRaft(options, { start, records, damagedUpTo: undefined }, 0);
  expect(second.status().last).toBe(97);
  expect(second.startAt(logIndex(97))?.chain).toBe(acknowledged[1]?.chain);
});

describe("R9: a founder that holds nothing and has never voted", () => {
  const founded = { index: logIndex(0), term: term(0), chain: 0, configuration };
  const recover = (records: readonly LogRecord[]): Raft =>
    recoverRaft(options, { start: founded, records, damagedUpTo: undefined }, 0);
  const request = (asked: number, lastIndex: number, pre: boolean, boundTo = 0): Uint8Array =>
    encodeRaftMessage({
      type: "vote",
      term: term(asked),
      pre,
      transfer: false,
      lastIndex: logIndex(lastIndex),
      lastTerm: term(lastIndex > 0 ? 1 : 0),
      boundTo,
    });

  /** Whether node 3 gives its vote, once its disk has it. */
  function votes(core: Raft, frame: Uint8Array, from = nodeId(2)): boolean {
    const step = core.step({ type: "message", from, frame }, 0);
    const later =
      step.persist === undefined ? undefined : core.step({ type: "durable", ticket: step.persist.ticket }, 0);
    const answers = [...step.send, ...(later?.send ?? [])].map((out) => decodeRaftMessage(out.frame));
    const answer = answers.find((message) => message.type === "vote-response");
    if (answer?.type !== "vote-response") throw new Error("no answer");
    return answer.granted;
  }

  test("votes for a candidate that holds nothing either: the first election of a new cluster", () => {
    const core = recover([]);
    expect(votes(core, request(1, 0, true))).toBe(true);
    expect(votes(core, request(1, 0, false))).toBe(true);
  });

  test("does not help a candidate with entries: it may have held more itself, before its disk was wiped", () => {
    const core = recover([]);
    expect(votes(core, request(2, 8, true))).toBe(false);
    expect(votes(core, request(2, 8, false))).toBe(false);
    // Terms that it hears of, and restarts, do not change that.
    expect(votes(recover([vote(2, { blank: true })]), request(3, 8, false))).toBe(false);
  });

  test("helps a candidate whose configuration names its very folder: nothing was wiped since", () => {
    const start = { start: founded, records: [], damagedUpTo: undefined };
    const core = recoverRaft({ ...options, incarnation: 8 }, start, 0);
    expect(votes(core, request(2, 8, true, 6))).toBe(false);
    expect(votes(core, request(2, 8, true, 8))).toBe(true);
    expect(votes(core, request(2, 8, false, 8))).toBe(true);
  });

  test("votes like everybody once it has voted, or has entries of a leader", () => {
    const voter = recover([]);
    expect(votes(voter, request(1, 0, false))).toBe(true);
    expect(votes(voter, request(2, 8, false))).toBe(true);
    expect(votes(recover([vote(1)]), request(2, 8, false))).toBe(true);
    const [first] = entries({ index: 0, chain: 0 }, [1]);
    if (first === undefined) throw new Error("an entry");
    expect(votes(recover([vote(1, { blank: true }), first]), request(2, 8, false))).toBe(true);
  });
});
