/**
 * What restarts and snapshots can do to the engine below a group, at the engine itself: the moments are too rare for seeds.
 */
import { crc32 } from "node:zlib";
import { expect, test } from "vitest";
import { logIndex, nodeId, term } from "../../src/base/ids.ts";
import type { Configuration } from "../../src/consensus/contract/configuration.ts";
import type { CoreOptions, LogStart } from "../../src/consensus/contract/core.ts";
import { chainHash, type LogRecord, RecordKind } from "../../src/consensus/contract/record.ts";
import { recoverRaft } from "../../src/consensus/raft/raft.ts";

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

function vote(t: number): LogRecord {
  const body = new Uint8Array([0, 0]);
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
