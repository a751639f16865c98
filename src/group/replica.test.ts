/** Entries that are applied, with what the node's own handle is told, and the meta that goes with a state. */
import { crc32 } from "node:zlib";
import { describe, expect, test } from "vitest";
import { AppendMachine, type Appended, appendCommand } from "../../test/sim/lib/append-machine.ts";
import { BytesError, concatBytes, EMPTY_BYTES } from "../base/bytes.ts";
import { logIndex, nodeId, sessionId, term } from "../base/ids.ts";
import { EMPTY_CONFIGURATION } from "../consensus/contract/configuration.ts";
import type { LogStart } from "../consensus/contract/core.ts";
import { type LogRecord, RecordKind } from "../consensus/contract/record.ts";
import { type EntryPart, encodePart } from "./batch.ts";
import { Replica, startOfMeta } from "./replica.ts";

function entry(index: number, parts: readonly EntryPart[], kind: RecordKind = RecordKind.command): LogRecord {
  const body = concatBytes(parts.map(encodePart));
  return { kind, index: logIndex(index), term: term(1), chain: 0, body, bodyCrc: crc32(body) };
}

function startAt(index: number): LogStart {
  return { index: logIndex(index), term: term(1), chain: 7, configuration: EMPTY_CONFIGURATION };
}

class Told {
  readonly lines: string[] = [];

  sessionOpened(nonce: number, session: number): void {
    this.lines.push(`opened ${session} for ${nonce}`);
  }

  executed(session: number, sequence: number, index: number, result: { position: number }): void {
    this.lines.push(`${session}/${sequence} at ${index}: ${result.position}`);
  }

  outOfSequence(session: number, expected: number): void {
    this.lines.push(`gap in ${session}: wants ${expected}`);
  }

  noSession(session: number): void {
    this.lines.push(`no session ${session}`);
  }
}

function make(sessionsMax = 10): {
  replica: Replica<Appended, number, readonly number[]>;
  told: string[];
} {
  const told = new Told();
  const replica = new Replica<Appended, number, readonly number[]>(new AppendMachine(), {
    sessionsMax,
    listener: told,
  });
  return { replica, told: told.lines };
}

const put = (session: number, first: number, ...values: number[]): EntryPart => ({
  type: "commands",
  session: sessionId(session),
  first,
  resultsBelow: first,
  commands: values.map((value) => appendCommand(1, value)),
});

describe("Replica", () => {
  test("apply() takes an entry's parts in order, and each command once", () => {
    const { replica, told } = make();
    replica.apply(entry(1, [{ type: "open-session", nonce: 42 }, put(1, 1, 10, 11)]));
    replica.apply(entry(2, [put(1, 1, 10, 11), put(1, 2, 11, 12)])); // sent again, with one more
    expect(replica.machine.query(1)).toEqual([10, 11, 12]);
    expect(told).toEqual(["opened 1 for 42", "1/1 at 1: 0", "1/2 at 1: 1", "1/3 at 2: 2"]);
  });

  test("apply() executes nothing behind a gap, and nothing of a session that ended", () => {
    const { replica, told } = make(1);
    replica.apply(entry(1, [{ type: "open-session", nonce: 1 }]));
    replica.apply(entry(2, [put(1, 3, 30, 31)]));
    replica.apply(entry(3, [{ type: "open-session", nonce: 2 }]));
    replica.apply(entry(4, [put(1, 1, 10), put(2, 1, 20)]));
    expect(replica.machine.query(1)).toEqual([20]);
    expect(told.slice(1)).toEqual(["gap in 1: wants 1", "opened 2 for 2", "no session 1", "2/1 at 4: 0"]);
  });

  test("apply() asserts that entries come in order, each once", () => {
    const { replica } = make();
    replica.apply(entry(1, [], RecordKind.noop));
    expect(() => replica.apply(entry(1, [], RecordKind.noop))).toThrow("in order");
    expect(() => replica.apply(entry(3, [], RecordKind.noop))).toThrow("in order");
    expect(replica.applied).toBe(1);
  });

  test("encodeMeta() and restoreMeta() move sessions and applied point together (A1)", async () => {
    const { replica } = make();
    replica.apply(entry(1, [{ type: "open-session", nonce: 1 }, put(1, 1, 10, 11)]));
    const meta = replica.encodeMeta(startAt(1));
    expect(startOfMeta(meta)).toEqual(startAt(1));
    const other = make();
    await other.replica.machine.restore(replica.machine.snapshot().chunks());
    expect(other.replica.restoreMeta(meta)).toEqual({ start: startAt(1), leaving: [] });
    other.replica.apply(entry(2, [put(1, 2, 11, 12)])); // the first of them is known to have been executed
    expect(other.replica.machine.query(1)).toEqual([10, 11, 12]);
    expect(() => other.replica.encodeMeta(startAt(1))).toThrow("applied point");
  });

  test("encodeMeta() keeps where the voters are that a joint configuration leaves", () => {
    const { replica } = make();
    replica.apply(entry(1, [], RecordKind.noop));
    const leaving = [
      { id: nodeId(4), address: "n4:1", incarnation: 44 },
      { id: nodeId(5), address: "n5:1", incarnation: 0 },
    ];
    const meta = replica.encodeMeta(startAt(1), leaving);
    expect(startOfMeta(meta)).toEqual(startAt(1));
    expect(make().replica.restoreMeta(meta)).toEqual({ start: startAt(1), leaving });
    expect(replica.encodeMeta(startAt(1))[0], "what an earlier version wrote and reads").toBe(1);
  });

  test("restoreMeta() throws BytesError on every shorter meta and on an unknown version", () => {
    const { replica } = make();
    replica.apply(entry(1, [{ type: "open-session", nonce: 1 }, put(1, 1, 10)]));
    const meta = replica.encodeMeta(startAt(1));
    const leaving = [{ id: nodeId(4), address: "n4:1", incarnation: 44 }];
    for (const whole of [meta, replica.encodeMeta(startAt(1), leaving)]) {
      for (let length = 0; length < whole.length; length++) {
        expect(() => make().replica.restoreMeta(whole.subarray(0, length))).toThrow(BytesError);
      }
    }
    expect(() => make().replica.restoreMeta(new Uint8Array([0, ...meta.subarray(1)]))).toThrow(BytesError);
    expect(() => make().replica.restoreMeta(new Uint8Array([9, ...meta.subarray(1)]))).toThrow(BytesError);
    expect(() => startOfMeta(EMPTY_BYTES)).toThrow(BytesError);
  });
});
