import { describe, expect, test } from "vitest";
import { logIndex, nodeId } from "../../base/ids.ts";
import { ballotOf } from "./ballot.ts";
import { decodePaxosMessage, type PaxosMessage } from "./messages.ts";
import { Outbox } from "./outbox.ts";
import { promiseRecord } from "./value.ts";

const to = nodeId(2);
const ballot = ballotOf({ era: 0, round: 1, node: 2 });
const record = promiseRecord(ballot, false, () => 0);
const accepted = (first: number, last: number): PaxosMessage => ({
  type: "accepted",
  ballot,
  chosen: logIndex(0),
  ranges: [[logIndex(first), logIndex(last)]],
});
const finish = (out: Outbox): ReturnType<Outbox["finish"]> => out.finish(() => []);
const sent = (out: Outbox): PaxosMessage[] => finish(out).send.map(({ frame }) => decodePaxosMessage(frame));

describe("Outbox.sendDurable()", () => {
  test("waits for the records of its step and of all before it", () => {
    const out = new Outbox();
    out.persist(record);
    expect(finish(out).persist?.ticket).toBe(1);
    out.persist(record);
    out.sendDurable(to, accepted(1, 1));
    expect(finish(out)).toMatchObject({ send: [], persist: { ticket: 2 } });
    out.complete(1, () => false);
    expect(sent(out)).toEqual([]);
    out.complete(2, () => false);
    expect(sent(out)).toEqual([accepted(1, 1)]);
    expect(out.completed).toBe(2);
  });

  test("leaves at once when nothing is being written", () => {
    const out = new Outbox();
    out.sendDurable(to, accepted(1, 1));
    expect(sent(out)).toEqual([accepted(1, 1)]);
  });

  test("joins acknowledgements that wait for one write, also with holes between them", () => {
    const out = new Outbox();
    out.persist(record);
    for (const [first, last] of [
      [1, 2],
      [3, 3],
      [7, 8],
    ] as const)
      out.sendDurable(to, accepted(first, last));
    finish(out);
    out.complete(1, () => false);
    expect(sent(out)).toMatchObject([
      {
        ranges: [
          [1, 3],
          [7, 8],
        ],
      },
    ]);
  });

  test("is dropped when it stands for nothing any more", () => {
    const out = new Outbox();
    out.persist(record);
    out.sendDurable(to, accepted(1, 1));
    finish(out);
    out.complete(1, () => true);
    expect(sent(out)).toEqual([]);
  });

  test("a completion that was never begun stops the node", () => {
    expect(() => new Outbox().complete(1, () => false)).toThrow(/ticket/);
  });
});
