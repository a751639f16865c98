/**
 * The acceptor of a whole node, from outside: what it answers and what it writes, over every relation of promised, accepted
 * and asked ballot, chosen and unchosen slots, eras, damage and wiped disks. One core, frames in, effects out.
 */
import { crc32 } from "node:zlib";
import { describe, expect, test } from "vitest";
import { EMPTY_BYTES, utf8 } from "../../base/bytes.ts";
import { type LogIndex, logIndex, nodeId } from "../../base/ids.ts";
import type { Member } from "../contract/configuration.ts";
import type { CoreOptions, Effects, LogStart } from "../contract/core.ts";
import { type LogRecord, RecordKind } from "../contract/record.ts";
import { type Ballot, ballotOf, NO_BALLOT, openingBallot, settledBallot } from "./ballot.ts";
import { decodePaxosMessage, encodePaxosMessage, type PaxosMessage } from "./messages.ts";
import type { Paxos } from "./paxos.ts";
import { recoverPaxos } from "./recover.ts";
import { acceptedRecord, chosenRecord, promiseRecord, readAccepted, type SlotValue, ValueTag } from "./value.ts";

const self = nodeId(1);
const member = (id: number): Member => ({
  id: nodeId(id),
  incarnation: 1,
  role: "voter",
  promote: false,
  name: `n${id}`,
  address: `n${id}:1`,
  clientUrls: [],
});
const at = (round: number, node = 2, era = 0): Ballot => ballotOf({ era, round, node });
const value = (origin: Ballot): SlotValue => {
  const body = utf8(`v${origin}`);
  return { tag: ValueTag.command, origin, body, bodyCrc: crc32(body) };
};
const options: CoreOptions = {
  id: self,
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
const start: LogStart = {
  index: logIndex(0),
  term: NO_BALLOT,
  chain: 0,
  configuration: { members: [member(1), member(2), member(3)], outgoing: [] },
};

class Bench {
  readonly core: Paxos;
  nowMs = 0;
  readonly events: string[] = [];

  constructor(
    records: readonly LogRecord[],
    more: { damagedUpTo?: LogIndex; start?: LogStart; lostVoteTerm?: Ballot } = {},
  ) {
    this.core = recoverPaxos(
      options,
      { start: more.start ?? start, records, damagedUpTo: more.damagedUpTo, lostVoteTerm: more.lostVoteTerm },
      this.nowMs,
    );
  }

  step(input: Parameters<Paxos["step"]>[0]): Effects {
    const effects = this.core.step(input, this.nowMs);
    for (const event of effects.events) this.events.push(event.type);
    return effects;
  }

  /** What is sent at once, what is written, and what is sent when that is durable. */
  tell(
    from: number,
    message: PaxosMessage,
  ): { now: PaxosMessage[]; wrote: readonly LogRecord[]; later: PaxosMessage[] } {
    const effects = this.step({ type: "message", from: nodeId(from), frame: encodePaxosMessage(message) });
    const now = sent(effects);
    if (effects.persist === undefined) return { now, wrote: [], later: [] };
    const { ticket, records } = effects.persist;
    return { now, wrote: records, later: sent(this.step({ type: "durable", ticket })) };
  }
}

const sent = (effects: Effects): PaxosMessage[] => effects.send.map(({ frame }) => decodePaxosMessage(frame));
const prepare = (ballot: Ballot, chosen = 0, more: { isBlank?: boolean; transfer?: boolean } = {}): PaxosMessage => ({
  type: "prepare",
  ballot,
  chosen: logIndex(chosen),
  isBlank: false,
  transfer: false,
  hold: false,
  ...more,
});
const accept = (ballot: Ballot, first: number, values: readonly SlotValue[], chosen = 0): PaxosMessage => ({
  type: "accept",
  ballot,
  chosen: logIndex(chosen),
  first: logIndex(first),
  values,
});
const promised = (ballot: Ballot): LogRecord => promiseRecord(ballot, false, crc32);
const accepted = (slot: number, ballot: Ballot, what = value(ballot)): LogRecord =>
  acceptedRecord(logIndex(slot), ballot, what);
const types = (list: readonly PaxosMessage[]): string[] => list.map((m) => m.type);

describe("P1: every relation of ballots", () => {
  const ballots = [at(1), at(2), at(2, 3), at(3)];
  const cases = ballots.flatMap((own) =>
    [undefined, ...ballots.filter((b) => b <= own)].flatMap((held) => ballots.map((asked) => ({ own, held, asked }))),
  );

  test.each(cases)("promised $own, accepted $held, prepare $asked", ({ own, held, asked }) => {
    const bench = new Bench([promised(own), ...(held === undefined ? [] : [accepted(1, held)])]);
    const { now, wrote, later } = bench.tell(asked % 1024, prepare(asked));
    if (asked < own) {
      expect(now).toMatchObject([{ type: "refusal", ballot: asked, promised: own }]);
      expect(wrote).toEqual([]);
      return;
    }
    const answer = asked > own ? later : now; // a repeated one needs no second write
    expect(types(asked > own ? now : later)).toEqual([]);
    expect(wrote.map((r) => [r.kind, r.term])).toEqual(asked > own ? [[RecordKind.promise, asked]] : []);
    const reports = held === undefined ? [] : [{ index: 1, ballot: held, value: { origin: held } }];
    expect(answer).toMatchObject([{ type: "promise", ballot: asked, chosen: 0, reports }]);
  });

  test.each(cases)("promised $own, accepted $held, accept $asked", ({ own, held, asked }) => {
    const bench = new Bench([promised(own), ...(held === undefined ? [] : [accepted(1, held)])]);
    const { now, wrote, later } = bench.tell(asked % 1024, accept(asked, 1, [value(asked)]));
    if (asked < own) {
      expect(now).toMatchObject([{ type: "refusal", ballot: asked, promised: own }]);
      expect(wrote).toEqual([]);
      return;
    }
    const slots = wrote.filter((r) => r.kind === RecordKind.acceptedCommand);
    expect(slots.map((r) => [r.index, r.term])).toEqual(asked === held ? [] : [[1, asked]]);
    expect(wrote.some((r) => r.kind === RecordKind.promise && r.term === asked)).toBe(asked > own);
    const answer = wrote.length > 0 ? later : now;
    expect(answer).toMatchObject([{ type: "accepted", ballot: asked, ranges: [[1, 1]] }]);
  });
});

test("what is accepted out of order is acknowledged out of order, and comes back after a restart with its hole", () => {
  const bench = new Bench([promised(at(1))]);
  const first = bench.tell(2, accept(at(1), 5, [value(at(1)), value(at(1))]));
  expect(first.later).toMatchObject([{ ranges: [[5, 6]] }]);
  const again = new Bench([promised(at(1)), ...first.wrote]);
  const { later } = again.tell(2, prepare(at(4)));
  expect(later).toMatchObject([{ type: "promise", reports: [{ index: 5 }, { index: 6 }] }]);
});

describe("P4: what a watermark says of slots accepted under another ballot", () => {
  test("nothing: they are asked for, by digest", () => {
    const bench = new Bench([promised(at(1)), accepted(1, at(1)), accepted(2, at(1))]);
    const { now } = bench.tell(3, { type: "beat", ballot: at(2, 3), round: 1, chosen: logIndex(2) });
    expect(bench.core.commit).toBe(0);
    expect(now).toMatchObject([
      { type: "ask-chosen", after: 0, held: [{ index: 1 }, { index: 2 }] },
      { type: "beat-reply" },
    ]);
  });

  test("chosen, if they were accepted under that ballot, up to the first hole", () => {
    const bench = new Bench([promised(at(1)), accepted(1, at(1)), accepted(3, at(1))]);
    bench.tell(2, { type: "beat", ballot: at(1), round: 1, chosen: logIndex(3) });
    expect(bench.core.commit).toBe(1);
  });
});

describe("catching up", () => {
  test("takes the told value for the one it holds, and keeps what it holds if that was chosen", () => {
    const bench = new Bench([promised(at(1)), accepted(1, at(1)), accepted(2, at(1))]);
    const other = value(at(2, 3));
    const { wrote } = bench.tell(3, {
      type: "tell-chosen",
      after: logIndex(0),
      start: logIndex(0),
      chosen: logIndex(2),
      values: [
        { type: "held", digest: { ...value(at(1)), length: 0 } },
        { type: "value", value: other },
      ],
    });
    expect(bench.core.commit).toBe(2);
    expect(wrote.map((r) => [r.index, readAccepted(r).origin])).toEqual([[2, at(2, 3)]]);
    const again = new Bench([promised(at(1)), accepted(1, at(1)), accepted(2, at(1)), ...wrote]);
    again.tell(2, { type: "beat", ballot: at(1), round: 1, chosen: logIndex(1) });
    expect(again.core.commit).toBe(2); // the second was filed as chosen
  });

  test("hands up in order what its own disk holds, with the origin as term", () => {
    const bench = new Bench([promised(at(1)), accepted(1, at(1))]);
    const frame = encodePaxosMessage(accept(at(1), 2, [value(at(1))], 2));
    const effects = bench.step({ type: "message", from: nodeId(2), frame });
    expect(bench.core.commit).toBe(2);
    expect(effects.committed.map((r) => [r.index, r.term])).toEqual([[1, at(1)]]); // P7
    const done = bench.step({ type: "durable", ticket: effects.persist?.ticket ?? 0 });
    expect(done.committed.map((r) => r.index)).toEqual([2]);
  });

  test("a slot far ahead is left for later", () => {
    const bench = new Bench([promised(at(1))]);
    const { now, later } = bench.tell(2, accept(at(1), 1_000_000, [value(at(1))]));
    expect([...now, ...later]).toEqual([]);
  });
});

describe("an acceptance that comes late, for a slot that was chosen without its leader", () => {
  const late = value(at(1));
  const chosenOtherwise = value(at(2, 3));

  test("is neither acknowledged nor taken, though no higher ballot was ever promised here", () => {
    const bench = new Bench([promised(at(1)), accepted(1, at(1))]);
    const told: PaxosMessage = {
      type: "tell-chosen",
      after: logIndex(0),
      start: logIndex(0),
      chosen: logIndex(1),
      values: [{ type: "value", value: chosenOtherwise }],
    };
    bench.tell(3, told);
    expect(bench.core.commit).toBe(1);
    const { wrote, later } = bench.tell(2, accept(at(1), 1, [late, late]));
    expect([wrote, later]).toEqual([[], []]);
  });

  test("nor where a hole keeps the chosen value from being handed up", () => {
    const bench = new Bench([promised(at(1)), acceptedRecord(logIndex(2), settledBallot(0), chosenOtherwise)]);
    const { wrote, later } = bench.tell(2, accept(at(1), 1, [late, late]));
    expect(wrote.map((r) => r.index)).toEqual([1]);
    expect(later).toMatchObject([{ type: "accepted", ranges: [[1, 1]] }]);
  });
});

describe("P6: an acceptor that lost acknowledged slots", () => {
  const damaged = (): Bench => new Bench([promised(at(1)), accepted(2, at(1))], { damagedUpTo: logIndex(2) });

  test("promises nothing, acknowledges nothing, grants nothing, confirms nothing and never stands", () => {
    const bench = damaged();
    expect(bench.tell(3, prepare(at(5, 3)))).toEqual({ now: [], wrote: [], later: [] });
    const canvass: PaxosMessage = { type: "canvass", attempt: 1, era: 0, chosen: logIndex(0), isBlank: false };
    expect(bench.tell(3, canvass).now).toMatchObject([{ type: "canvass-reply", granted: false }]);
    const { now, later } = bench.tell(2, accept(at(1), 3, [value(at(1))]));
    expect(types([...now, ...later])).not.toContain("accepted");
    expect(bench.tell(2, { type: "beat", ballot: at(1), round: 1, chosen: logIndex(0) }).now).toMatchObject([
      { type: "beat-reply", isMute: true },
    ]);
    expect(bench.core.deadlineMs).toBe(Number.POSITIVE_INFINITY);
  });

  test("is itself again when all that it may have acknowledged is known to be chosen", () => {
    const bench = damaged();
    const one = value(at(1));
    bench.tell(2, accept(at(1), 1, [one, one], 1));
    expect(bench.core.status().damaged).toBe(true);
    bench.tell(2, { type: "beat", ballot: at(1), round: 1, chosen: logIndex(2) });
    expect(bench.core.status().damaged).toBe(false);
    expect(bench.events).toContain("repaired");
    expect(types(bench.tell(3, prepare(at(5, 3), 2, { transfer: true })).later)).toEqual(["promise"]);
  });

  test("is bound by a lost promise whose ballot is known, and writes it again", () => {
    for (const records of [[], [promised(at(1)), accepted(1, at(1))]]) {
      const bench = new Bench(records, { lostVoteTerm: at(4, 3) });
      const { persist } = bench.step({ type: "tick" });
      expect(persist?.records).toMatchObject([{ kind: RecordKind.promise, term: at(4, 3) }]);
      bench.step({ type: "durable", ticket: persist?.ticket ?? 0 });
      expect(bench.tell(2, accept(at(1), 1, [value(at(1))])).now).toMatchObject([
        { type: "refusal", promised: at(4, 3) },
      ]);
    }
    const newer = new Bench([promised(at(5))], { lostVoteTerm: at(4, 3) });
    expect(newer.step({ type: "tick" }).persist).toBeUndefined();
  });

  test("stays mute when its promise is lost", () => {
    const bench = new Bench([accepted(1, at(1)), accepted(2, at(1)), chosenRecord(logIndex(2), crc32)], {
      damagedUpTo: logIndex(2),
    });
    expect(bench.core.status()).toMatchObject({ commit: 0, damaged: true });
    expect(types(bench.tell(3, prepare(at(5, 3), 2)).now)).toEqual([]);
  });
});

describe("P5, P14: eras and forgeries", () => {
  test("a ballot of an era that is not reached is not served, and its sender is asked what ended this one", () => {
    const bench = new Bench([promised(at(1)), accepted(1, at(1))]);
    const { now, wrote } = bench.tell(2, accept(openingBallot(1, nodeId(2)), 2, [value(at(1, 2, 1))], 1));
    expect(types(now)).toEqual(["ask-chosen"]);
    expect(wrote).toEqual([]);
    expect(types(bench.tell(3, prepare(at(1, 3, 1), 2)).now)).not.toContain("promise");
  });

  test("a message of an older era is refused, observed, and changes nothing", () => {
    const bench = new Bench([promised(at(1, 2, 3))], { start: { ...start, index: logIndex(9), term: at(0, 2, 3) } });
    for (const message of [prepare(at(99), 9), accept(at(99), 10, [value(at(99))], 9)]) {
      const { now, wrote } = bench.tell(2, message);
      expect(now).toMatchObject([{ type: "refusal", why: "behind", chosen: 9 }]);
      expect(wrote).toEqual([]);
    }
    expect(bench.events.filter((type) => type === "ignored")).toHaveLength(2);
  });

  test("a ballot in another's name is ignored", () => {
    const bench = new Bench([promised(at(1))]);
    for (const message of [prepare(at(5)), accept(at(5), 1, [value(at(5))])]) {
      expect(bench.tell(3, message)).toEqual({ now: [], wrote: [], later: [] });
    }
    expect(bench.events).toEqual(["ignored", "ignored"]);
  });

  test("unreadable frames and those of another engine are ignored", () => {
    const bench = new Bench([]);
    for (const frame of [EMPTY_BYTES, new Uint8Array([1, 2, 3]), new Uint8Array([0x70, 9])]) {
      const effects = bench.step({ type: "message", from: nodeId(2), frame });
      expect(effects.events).toMatchObject([{ type: "ignored", message: "unreadable" }]);
    }
  });

  test("records of the other engine stop the node before anything is overwritten", () => {
    const vote: LogRecord = { ...promised(at(1)), kind: RecordKind.vote };
    expect(() => new Bench([vote])).toThrow(/Paxos group/);
  });
});

describe("P8, P9: who is answered", () => {
  test("a founder that holds nothing answers only candidates that hold nothing", () => {
    const bench = new Bench([]);
    expect(bench.tell(2, prepare(at(1), 4)).later).toEqual([]);
    expect(types(bench.tell(2, prepare(at(1), 0, { isBlank: true })).later)).toEqual(["promise"]);
    expect(types(bench.tell(3, prepare(at(2, 3), 4)).later)).toEqual(["promise"]); // blank no more
  });

  test("nobody who holds anything helps one that holds nothing to stand", () => {
    const canvass: PaxosMessage = { type: "canvass", attempt: 1, era: 0, chosen: logIndex(0), isBlank: true };
    const grants = (records: readonly LogRecord[]): unknown => new Bench(records).tell(2, canvass).now;
    expect(grants([])).toMatchObject([{ granted: true }]);
    expect(grants([promised(at(1))])).toMatchObject([{ granted: true }]); // else two of four could never begin
    expect(grants([promised(at(1)), accepted(1, at(1))])).toMatchObject([{ granted: false }]);
  });

  test("a trimmed acceptor sends a candidate away that lacks what is trimmed", () => {
    const bench = new Bench([promised(at(1))], { start: { ...start, index: logIndex(9), term: at(1) } });
    expect(bench.tell(3, prepare(at(2, 3), 5)).now).toMatchObject([{ type: "refusal", why: "behind", chosen: 9 }]);
    expect(bench.tell(3, prepare(at(2, 3), 9)).later).toMatchObject([{ type: "promise", chosen: 9, start: 9 }]);
  });

  test("a stranger under a member's id gets no promise and its answers do not count", () => {
    const bench = new Bench([promised(at(1))]);
    const frame = encodePaxosMessage(prepare(at(5, 3)));
    const effects = bench.step({ type: "message", from: nodeId(3), frame, isStranger: true });
    expect(effects.persist).toBeUndefined();
    expect(effects.events).toMatchObject([{ type: "ignored" }]);
  });

  test("while a leader is heard nobody else is promised anything, except at its own wish", () => {
    const bench = new Bench([promised(at(1))]);
    bench.tell(2, { type: "beat", ballot: at(1), round: 1, chosen: logIndex(0) });
    expect(types(bench.tell(3, prepare(at(2, 3))).later)).toEqual([]);
    expect(types(bench.tell(3, prepare(at(2, 3), 0, { transfer: true })).later)).toEqual(["promise"]);
  });
});

describe("what a replica says of its own disk", () => {
  test("a beat is answered with what is chosen and durable, not with what is merely known", () => {
    const bench = new Bench([promised(at(1))]);
    const one = value(at(1));
    const frame = encodePaxosMessage(accept(at(1), 1, [one], 1));
    const { persist } = bench.step({ type: "message", from: nodeId(2), frame });
    expect(bench.core.commit).toBe(1);
    const beat: PaxosMessage = { type: "beat", ballot: at(1), round: 1, chosen: logIndex(1) };
    expect(bench.tell(2, beat).now).toMatchObject([{ type: "beat-reply", chosen: 0 }]);
    bench.step({ type: "durable", ticket: persist?.ticket ?? 0 });
    expect(bench.tell(2, beat).now).toMatchObject([{ type: "beat-reply", chosen: 1 }]);
  });

  test("a trim is written down, so that a log without its checkpoint shows", () => {
    const bench = new Bench([promised(at(1))]);
    bench.tell(2, accept(at(1), 1, [value(at(1)), value(at(1))], 2));
    const trim = bench.core.startAt(logIndex(2));
    if (trim === undefined) throw new Error("two slots are chosen");
    const { persist } = bench.step({ type: "trim", start: trim });
    expect(persist?.records).toMatchObject([{ kind: RecordKind.start, index: 2, term: at(1), chain: trim.chain }]);
    expect(bench.step({ type: "trim", start: trim }).persist).toBeUndefined();
    const again = new Bench([promised(at(1)), ...(persist?.records ?? [])], { start: trim });
    expect(again.core.status()).toMatchObject({ commit: 2, first: 3, damaged: false });
  });
});

describe("a data folder that the configuration does not name under its id", () => {
  const bound = { ...start, index: logIndex(9), term: at(1) };
  const roleOf = (incarnation: number, unbound = false): string => {
    const members = [1, 2, 3].map((id) => ({ ...member(id), incarnation: unbound ? 0 : 100 + id }));
    const from = { ...bound, configuration: { members, outgoing: [] } };
    const recovered = { start: from, records: [promised(at(1))], damagedUpTo: undefined };
    const core = recoverPaxos({ ...options, incarnation }, recovered, 0);
    const nowMs = core.deadlineMs;
    return Number.isFinite(nowMs)
      ? core
          .step({ type: "tick" }, nowMs)
          .events.map((e) => "role" in e && e.role)
          .join()
      : "";
  };

  test("has no vote and does not stand", () => {
    expect(roleOf(101)).toBe("pre-candidate");
    expect(roleOf(556)).not.toContain("candidate");
    expect(roleOf(556, true)).toBe("pre-candidate"); // nobody is bound yet
    expect(roleOf(0)).toBe("pre-candidate"); // not told
  });
});

test("P13: a prepare leaves when its ballot is durable, and the next attempt uses a higher one, also after a restart", () => {
  const grant = (bench: Bench, attempt: number): Effects => {
    bench.nowMs = bench.core.deadlineMs;
    bench.step({ type: "tick" });
    const reply: PaxosMessage = {
      type: "canvass-reply",
      attempt,
      granted: true,
      promised: at(3, 3),
      chosen: logIndex(0),
    };
    return bench.step({ type: "message", from: nodeId(2), frame: encodePaxosMessage(reply) });
  };
  const bench = new Bench([promised(at(1))]);
  const stood = grant(bench, 1);
  expect(types(sent(stood))).toEqual([]);
  expect(stood.persist?.records).toMatchObject([{ kind: RecordKind.promise, term: at(4, 1) }]);
  const out = sent(bench.step({ type: "durable", ticket: stood.persist?.ticket ?? 0 }));
  expect(out).toMatchObject([
    { type: "prepare", ballot: at(4, 1) },
    { type: "prepare", ballot: at(4, 1) },
  ]);
  const again = new Bench(stood.persist?.records ?? []);
  expect(grant(again, 1).persist?.records).toMatchObject([{ term: at(5, 1) }]);
});
