import { describe, expect, test } from "vitest";
import { utf8 } from "../../base/bytes.ts";
import { logIndex, nodeId } from "../../base/ids.ts";
import { type Configuration, encodeConfiguration } from "../contract/configuration.ts";
import { chainHash, RecordKind } from "../contract/record.ts";
import { type Ballot, ballotOf, NO_BALLOT, openingBallot } from "./ballot.ts";
import { PaxosLog } from "./log.ts";
import { acceptedRecord, readAccepted, type SlotValue, ValueTag } from "./value.ts";

const configuration: Configuration = {
  members: [
    { id: nodeId(1), incarnation: 1, role: "voter", promote: false, name: "n1", address: "n1:1", clientUrls: [] },
  ],
  outgoing: [],
};
const start = { index: logIndex(0), term: NO_BALLOT, chain: 0, configuration };
const at = (round: number, era = 0): Ballot => ballotOf({ era, round, node: 1 });
const value = (origin: Ballot, tag: SlotValue["tag"] = ValueTag.command, body = utf8("x")): SlotValue => ({
  tag,
  origin,
  body,
  bodyCrc: origin % 1_000,
});
const stop = value(openingBallot(1, nodeId(2)), ValueTag.stop, encodeConfiguration(configuration));

describe("PaxosLog", () => {
  test("keeps slots with holes, and chooses in order only", () => {
    const log = new PaxosLog(start);
    log.put(logIndex(3), at(1), value(at(1)), 1);
    expect([log.last, log.chosen, log.slot(logIndex(2))]).toEqual([3, 0, undefined]);
    expect(() => log.choose()).toThrow(/only what is held/);
  });

  test("L1: a chosen slot is final", () => {
    const log = new PaxosLog(start);
    log.put(logIndex(1), at(1), value(at(1)), 1);
    log.choose();
    expect(() => log.put(logIndex(1), at(2), value(at(2)), 2)).toThrow(/L1/);
  });

  test("L2: the chain and the term know origins and not ballots", () => {
    const logs = [at(1), at(7)].map((ballot) => {
      const log = new PaxosLog(start);
      log.put(logIndex(1), ballot, value(at(1)), 1);
      log.choose();
      return log.entry(logIndex(1));
    });
    expect(logs[0]).toEqual(logs[1]);
    expect(logs[0]).toMatchObject({ kind: RecordKind.command, term: at(1), chain: chainHash(0, at(1), at(1) % 1_000) });
  });

  test("L4: a value found again behind those of a later leader carries its term, and a snapshot goes on from there", () => {
    const log = new PaxosLog(start);
    for (const [i, origin] of [at(1), at(4), at(2), at(5)].entries()) {
      log.put(logIndex(i + 1), at(6), value(origin), 1);
      log.choose();
    }
    expect([1, 2, 3, 4].map((i) => log.entry(logIndex(i)).term)).toEqual([at(1), at(4), at(4), at(5)]);
    const from = log.startAt(logIndex(2));
    if (from === undefined) throw new Error("slot 2 is chosen");
    const later = new PaxosLog(from);
    later.put(logIndex(3), at(6), value(at(2)), 1);
    later.choose();
    expect(later.entry(logIndex(3))).toEqual(log.entry(logIndex(3)));
  });

  test("L3: a stop entry begins the next era, and the era is known again from where the log starts", () => {
    const log = new PaxosLog(start);
    log.put(logIndex(1), at(1), stop, 1);
    log.choose();
    expect([log.era, log.configurationIndex]).toEqual([1, 1]);
    const from = log.startAt(logIndex(1));
    expect(from === undefined ? undefined : new PaxosLog(from).era).toBe(1);
    log.put(logIndex(2), at(1), value(at(1)), 1);
    expect(() => log.choose()).toThrow(/L3/); // a leftover of the era before
  });

  test("trim() forgets chosen slots only; install() keeps what was accepted above", () => {
    const log = new PaxosLog(start);
    for (const slot of [1, 2, 5]) log.put(logIndex(slot), at(1), value(at(1)), 1);
    log.choose();
    const one = log.startAt(logIndex(1));
    if (one === undefined) throw new Error("slot 1 is chosen");
    log.trim(one);
    expect([log.first, log.last, log.startAt(logIndex(2))]).toEqual([2, 5, undefined]);
    log.install({ index: logIndex(3), term: at(1), chain: 77, configuration });
    expect([log.chosen, log.last, log.slot(logIndex(5))?.ballot]).toEqual([3, 5, at(1)]);
    expect(() => log.install({ ...start, index: logIndex(3) })).toThrow(/forward/);
  });
});

test("a slot's record gives back its value, stop entries too", () => {
  for (const [ballot, what] of [
    [at(9), value(at(3))],
    [at(9, 5), value(at(3, 5), ValueTag.noop)],
    [at(9), stop],
  ] as const) {
    expect(readAccepted(acceptedRecord(logIndex(4), ballot, what))).toEqual(what);
  }
});
