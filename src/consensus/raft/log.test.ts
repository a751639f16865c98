/** The log in memory against a naive twin: a plain array of entries from index 1, nothing ever forgotten. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { logIndex, nodeId, term } from "../../base/ids.ts";
import { type Configuration, encodeConfiguration, type Member } from "../contract/configuration.ts";
import type { LogStart } from "../contract/core.ts";
import { chainHash, type LogRecord, RecordKind } from "../contract/record.ts";
import { RaftLog } from "./log.ts";

fc.configureGlobal({ seed: 2014 }); // the same cases in every run

const member = (id: number): Member => ({
  id: nodeId(id),
  incarnation: 0,
  role: "voter",
  promote: false,
  name: "",
  address: "",
  clientUrls: [],
});
const configurationOf = (voters: number): Configuration => ({
  members: Array.from({ length: voters }, (_, i) => member(i + 1)),
  outgoing: [],
});
const begin = (): LogStart => ({ index: logIndex(0), term: term(0), chain: 0, configuration: configurationOf(1) });

interface Twin {
  entries: { readonly record: LogRecord; readonly voters: number | undefined }[];
  startIndex: number;
}

type Act =
  | { readonly type: "make"; readonly termStep: number; readonly body: number; readonly voters: number | undefined }
  | { readonly type: "truncate"; readonly at: number }
  | { readonly type: "trim"; readonly at: number };

const acts: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant("make" as const),
      termStep: fc.nat(2),
      body: fc.nat(40),
      voters: fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined, freq: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("truncate" as const), at: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("trim" as const), at: fc.nat(20) }) },
);

function perform(log: RaftLog, twin: Twin, act: Act): void {
  switch (act.type) {
    case "make": {
      const isConfiguration = act.voters !== undefined;
      const body =
        act.voters === undefined ? new Uint8Array(act.body) : encodeConfiguration(configurationOf(act.voters));
      const record = log.make({
        kind: isConfiguration ? RecordKind.configuration : RecordKind.command,
        term: term(log.lastTerm + act.termStep),
        body,
        bodyCrc: body.length * 7 + 1,
      });
      twin.entries.push({ record, voters: act.voters });
      return;
    }
    case "truncate": {
      const from = twin.startIndex + 1 + (act.at % (twin.entries.length - twin.startIndex + 1));
      log.truncate(logIndex(from));
      twin.entries.length = from - 1;
      return;
    }
    case "trim": {
      const at = twin.startIndex + (act.at % (twin.entries.length - twin.startIndex + 1));
      const start = log.startAt(logIndex(at));
      expect(start).toBeDefined();
      if (start !== undefined) log.trim(start);
      twin.startIndex = at;
    }
  }
}

describe("RaftLog", () => {
  test("answers as a plain array would, through appends, cuts and trims", () => {
    fc.assert(
      fc.property(fc.array(acts, { maxLength: 30 }), (list) => {
        const log = new RaftLog(begin());
        const twin: Twin = { entries: [], startIndex: 0 };
        for (const act of list) perform(log, twin, act);
        expect(log.lastIndex).toBe(twin.entries.length);
        expect(log.firstIndex).toBe(twin.startIndex + 1);
        let voters = 1;
        let chain = 0;
        for (let i = 0; i <= twin.entries.length + 1; i++) {
          const here = twin.entries[i - 1];
          if (here !== undefined) {
            voters = here.voters ?? voters;
            chain = chainHash(chain, here.record.term, here.record.bodyCrc);
          }
          const isKept = i >= twin.startIndex && i <= twin.entries.length;
          const start = log.startAt(logIndex(i));
          expect(start === undefined, `index ${i}`).toBe(!isKept);
          if (start === undefined) continue;
          expect([start.term, start.chain]).toEqual([here?.record.term ?? 0, chain]);
          expect(start.configuration.members.length).toBe(voters);
        }
        expect(log.configuration.members.length).toBe(voters);
      }),
      { numRuns: 300 },
    );
  });

  test("slice() takes what fits, and one entry always", () => {
    const log = new RaftLog(begin());
    for (const length of [10, 0, 5, 100, 1]) {
      log.make({ kind: RecordKind.command, term: term(1), body: new Uint8Array(length), bodyCrc: length });
    }
    const lengths = (from: number, bytesMax: number): number[] =>
      log.slice(logIndex(from), log.lastIndex, bytesMax).map((entry) => entry.body.length);
    expect(lengths(1, 0)).toEqual([10]);
    expect(lengths(1, 15)).toEqual([10, 0, 5]);
    expect(lengths(4, 50)).toEqual([100]);
    expect(lengths(1, 1_000)).toEqual([10, 0, 5, 100, 1]);
  });

  test("lastIndexWithTermAtMost() is the last such index, and never below the start", () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(2), { maxLength: 12 }),
        fc.nat(14),
        fc.nat(8),
        fc.nat(12),
        (steps, index, most, cut) => {
          const log = new RaftLog(begin());
          const terms: number[] = [];
          for (const step of steps) {
            const next = (terms.at(-1) ?? 1) + step;
            log.make({ kind: RecordKind.command, term: term(next), body: new Uint8Array(0), bodyCrc: 0 });
            terms.push(next);
          }
          const startIndex = Math.min(cut, terms.length);
          const start = log.startAt(logIndex(startIndex));
          if (start !== undefined) log.trim(start);
          let expected = Math.min(index, terms.length);
          while (expected > startIndex && (terms[expected - 1] ?? 0) > most) expected--;
          const found = log.lastIndexWithTermAtMost(logIndex(index), term(most));
          expect(found).toBe(Math.max(expected, startIndex));
        },
      ),
      { numRuns: 300 },
    );
  });

  test("L1, L2: refuses a gap, a falling term and a broken chain", () => {
    const log = new RaftLog(begin());
    const first = log.make({ kind: RecordKind.command, term: term(2), body: new Uint8Array(0), bodyCrc: 0 });
    const next = { ...first, index: logIndex(2), chain: chainHash(first.chain, 2, 0) };
    expect(() => log.push({ ...next, index: logIndex(3) })).toThrow("L1");
    expect(() => log.push({ ...next, term: term(1), chain: chainHash(first.chain, 1, 0) })).toThrow("L1");
    expect(() => log.push({ ...next, chain: next.chain ^ 1 })).toThrow("L2");
    log.push(next);
    expect(log.lastIndex).toBe(2);
  });
});
