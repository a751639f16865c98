/** Questions between nodes: what ends them, and which errors travel. */
import { describe, expect, test } from "vitest";
import { settle } from "../../test/sim/lib/fake-ports.ts";
import { AssertionError } from "../base/assert.ts";
import { BytesError, fromUtf8, utf8 } from "../base/bytes.ts";
import { AlthingError } from "../base/errors.ts";
import { type NodeId, nodeId } from "../base/ids.ts";
import { Asks } from "./asks.ts";
import type { PeerFrame } from "./frames.ts";

const TWO = nodeId(2);
const options = { control: false, deadlineMs: 100, signal: undefined };

/** Two ends that hand frames to each other; `cut` makes sending fail. */
function pair(): { one: Asks; two: Asks; sent: PeerFrame[]; cut(): void } {
  const sent: PeerFrame[] = [];
  let isCut = false;
  const send = (_: NodeId, frame: PeerFrame): boolean => {
    if (!isCut) sent.push(frame);
    return !isCut;
  };
  const cut = (): void => {
    isCut = true;
  };
  return { one: new Asks(send), two: new Asks(send), sent, cut };
}

function answerOf(frame: PeerFrame | undefined): Extract<PeerFrame, { type: "answer" }> {
  if (frame?.type !== "answer") throw new Error("not an answer");
  return frame;
}

async function code(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "ok",
    (error: unknown) => (error instanceof AlthingError ? error.code : String(error)),
  );
}

describe("Asks", () => {
  test("a question brings back its own answer, whatever the order", async () => {
    const { one, two, sent } = pair();
    const first = one.ask(TWO, utf8("a"), options);
    const second = one.ask(TWO, utf8("b"), options);
    const [a, b] = sent.flatMap((f) => (f.type === "ask" ? [f.id] : []));
    two.reply(nodeId(1), b ?? 0, Promise.resolve(utf8("B")));
    two.reply(nodeId(1), a ?? 0, Promise.resolve(utf8("A")));
    await settle();
    for (const frame of sent.slice(2)) one.answered(answerOf(frame));
    one.answered(answerOf(sent[2])); // an answer that comes twice
    expect([fromUtf8(await first), fromUtf8(await second)]).toEqual(["A", "B"]);
  });

  test.each([
    [new AlthingError("DISK_FULL", "Cannot: full"), "DISK_FULL"],
    [new AlthingError("DATA_CORRUPT", "Cannot: broken"), "OUTCOME_UNKNOWN"],
    [new BytesError("short"), "REQUEST_INVALID"],
    [new Error("surprise"), "OUTCOME_UNKNOWN"],
  ])("an error travels as a code that means something elsewhere: %s", async (error, expected) => {
    const { one, two, sent } = pair();
    const asked = one.ask(TWO, utf8("?"), options);
    two.reply(nodeId(1), 1, Promise.reject(error));
    await settle();
    one.answered(answerOf(sent[1]));
    expect(await code(asked)).toBe(expected);
  });

  test("a bug in the answering node is told to the asker and stops that node", async () => {
    const { two, sent } = pair();
    const unhandled: unknown[] = [];
    const listener = (error: unknown): void => void unhandled.push(error);
    const before = process.listeners("unhandledRejection");
    process.removeAllListeners("unhandledRejection");
    process.on("unhandledRejection", listener);
    try {
      two.reply(nodeId(1), 1, Promise.reject(new AssertionError("a bug")));
      await settle();
      await settle();
    } finally {
      process.off("unhandledRejection", listener);
      for (const one of before) process.on("unhandledRejection", one);
    }
    expect(answerOf(sent[0]).ok).toBe(false);
    expect(unhandled).toEqual([expect.any(AssertionError)]);
  });

  test("no link, a lost link, a deadline, an abort and a close each have their own code", async () => {
    const { one, cut } = pair();
    const abort = new AbortController();
    const lost = code(one.ask(TWO, utf8("?"), options));
    one.lost(nodeId(3));
    one.lost(TWO);
    const late = code(one.ask(TWO, utf8("?"), options));
    const aborted = code(one.ask(TWO, utf8("?"), { ...options, deadlineMs: 500, signal: abort.signal }));
    one.expire(99);
    abort.abort();
    one.expire(100);
    const closed = code(one.ask(TWO, utf8("?"), options));
    one.close();
    cut();
    const unreachable = code(one.ask(TWO, utf8("?"), options));
    expect(await Promise.all([lost, late, aborted, closed, unreachable])).toEqual([
      "OUTCOME_UNKNOWN",
      "TIMEOUT",
      "ABORTED",
      "CLOSED",
      "UNREACHABLE",
    ]);
  });
});
