/** Tickets and what waits for them: D1 and D2 of `durability.ts`. */
import { describe, expect, test } from "vitest";
import { logIndex, nodeId, term } from "../../base/ids.ts";
import { type LogRecord, RecordKind } from "../contract/record.ts";
import { Durability } from "./durability.ts";
import type { RaftMessage } from "./messages.ts";

const record = (kind: RecordKind, index: number, recordTerm = 1): LogRecord => ({
  kind,
  index: logIndex(index),
  term: term(recordTerm),
  chain: 0,
  body: new Uint8Array(0),
  bodyCrc: 0,
});
const entry = (index: number): LogRecord => record(RecordKind.command, index);
const note = (n: number): RaftMessage => ({ type: "timeout-now", term: term(n) });
const to = nodeId(2);

describe("Durability", () => {
  test("D1: a message leaves after its own ticket and all before it, in order", () => {
    const disk = new Durability(logIndex(0));
    expect(disk.hold(to, note(0)), "nothing is open: it may leave at once").toBe(false);
    const one = disk.begin([entry(1)], logIndex(1));
    expect(disk.hold(to, note(1))).toBe(true);
    const two = disk.begin([entry(2)], logIndex(2));
    expect(disk.hold(to, note(2))).toBe(true);
    expect([one, two]).toEqual([1, 2]);
    expect(disk.complete(one).released.map((held) => held.message)).toEqual([note(1)]);
    expect(disk.index).toBe(1);
    expect(disk.complete(two).released.map((held) => held.message)).toEqual([note(2)]);
    expect(disk.index).toBe(2);
  });

  test("D1: completing a later ticket completes those before it", () => {
    const disk = new Durability(logIndex(0));
    disk.begin([entry(1)], logIndex(1));
    disk.hold(to, note(1));
    const two = disk.begin([entry(2)], logIndex(2));
    disk.hold(to, note(2));
    expect(disk.complete(two).released).toHaveLength(2);
    expect(disk.complete(two).released, "twice is once").toHaveLength(0);
  });

  test("D2: a cut lowers what is durable and what open writes will claim", () => {
    const disk = new Durability(logIndex(5));
    const old = disk.begin([entry(6), entry(7)], logIndex(7));
    disk.truncate(logIndex(4));
    expect(disk.index).toBe(3);
    const fresh = disk.begin([entry(4)], logIndex(4));
    disk.complete(old);
    expect(disk.index, "the old write does not vouch for the new entry").toBe(3);
    disk.complete(fresh);
    expect(disk.index).toBe(4);
  });

  test("a vote alone makes no entry durable, and shows while it is open", () => {
    const disk = new Durability(logIndex(2));
    expect(disk.voteOpen).toBe(false);
    const ticket = disk.begin([record(RecordKind.vote, 0, 9)], logIndex(8));
    expect(disk.voteOpen).toBe(true);
    expect(disk.complete(ticket).votes).toEqual([9]);
    expect([disk.index, disk.voteOpen]).toEqual([2, false]);
  });

  test("after a snapshot, writes of the log before it claim nothing above it", () => {
    const disk = new Durability(logIndex(0));
    const old = disk.begin([entry(1), entry(2), entry(3)], logIndex(3));
    disk.reset(logIndex(2));
    expect(disk.index).toBe(2);
    disk.complete(old);
    expect(disk.index).toBe(2);
  });
});
