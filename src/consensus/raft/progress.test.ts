/** What the leader knows of one follower: windows, probing, and a follower that lost what it had. */
import { describe, expect, test } from "vitest";
import { logIndex } from "../../base/ids.ts";
import { Progress } from "./progress.ts";

const limits = { inflightMessagesMax: 2, inflightBytesMax: 100 };
const made = (next = 10): Progress => new Progress(limits, { next: logIndex(next), nowMs: 0 });

/** A follower known to match up to 9. */
function replicating(): Progress {
  const progress = made();
  progress.sent(logIndex(9), 0, 0);
  progress.accepted(logIndex(9));
  return progress;
}

describe("Progress", () => {
  test("probes with one message at a time, and replicates once it is accepted", () => {
    const progress = made();
    expect([progress.state, progress.open]).toEqual(["probe", true]);
    progress.sent(logIndex(12), 10, 5);
    expect([progress.open, progress.next, progress.oldestSentMs]).toEqual([false, 10, 5]);
    progress.accepted(logIndex(12));
    expect([progress.state, progress.match, progress.next]).toEqual(["replicate", 12, 13]);
  });

  test("the window closes at its messages and opens as they are accepted, several at once too", () => {
    const progress = replicating();
    progress.sent(logIndex(10), 10, 1);
    expect(progress.open).toBe(true);
    progress.sent(logIndex(11), 10, 2);
    expect(progress.open).toBe(false);
    expect(() => progress.sent(logIndex(12), 10, 3)).toThrow("within the window");
    progress.accepted(logIndex(11));
    expect([progress.open, progress.oldestSentMs, progress.next]).toEqual([true, undefined, 12]);
  });

  test("the window closes at its bytes, with a single message over the limit let through", () => {
    const progress = replicating();
    progress.sent(logIndex(10), 1_000, 1);
    expect(progress.open).toBe(false);
    progress.accepted(logIndex(10));
    expect(progress.open).toBe(true);
  });

  test("accepted() never takes match back", () => {
    const progress = replicating();
    progress.accepted(logIndex(4));
    expect([progress.match, progress.next]).toEqual([9, 10]);
  });

  test("rejected() goes back to the hint, and not below what is known to match", () => {
    const progress = replicating();
    progress.sent(logIndex(20), 10, 1);
    expect(progress.rejected(logIndex(20), logIndex(15))).toBe(true);
    expect([progress.state, progress.next]).toEqual(["probe", 16]);
    progress.sent(logIndex(20), 10, 2);
    expect(progress.rejected(logIndex(15), logIndex(3))).toBe(true);
    expect(progress.next).toBe(10);
  });

  test("rejected() ignores the answer to a probe that another has overtaken", () => {
    const progress = made();
    progress.sent(logIndex(12), 10, 0);
    expect(progress.rejected(logIndex(5), logIndex(2))).toBe(false);
    expect(progress.next).toBe(10);
  });

  test("a follower that keeps refusing what it once acknowledged is believed", () => {
    const progress = replicating();
    const refuse = (): boolean => progress.rejected(logIndex(9), logIndex(3));
    expect([refuse(), refuse()], "it may be an old frame").toEqual([false, false]);
    progress.probe();
    expect(refuse(), "patience that ran out in between does not start the count anew").toBe(true);
    expect([progress.match, progress.next, progress.state]).toEqual([0, 4, "probe"]);
  });

  test("nothing is sent while a snapshot is under way; afterwards the log goes on from its end", () => {
    const progress = replicating();
    progress.snapshot();
    expect([progress.open, progress.rejected(logIndex(30), logIndex(1))]).toEqual([false, false]);
    progress.probe();
    expect(progress.state).toBe("snapshot");
    progress.snapshotEnded(logIndex(40), logIndex(30));
    expect([progress.state, progress.next]).toEqual(["probe", 41]);
    progress.snapshot();
    progress.snapshotEnded(undefined, logIndex(5));
    expect(progress.next, "a failure proves nothing").toBe(10);
    progress.snapshot();
    progress.snapshotEnded(undefined, logIndex(30));
    expect(progress.next, "it may be that the follower has more: the log is tried first").toBe(30);
  });

  test("forget() takes nothing for granted any more", () => {
    const progress = replicating();
    progress.round = 5;
    progress.forget();
    expect([progress.match, progress.round, progress.state]).toEqual([0, 0, "probe"]);
  });

  test("silence moves nothing: not knowing what a follower holds is no reason for a snapshot", () => {
    const progress = replicating();
    progress.forget();
    expect(progress.next).toBe(10);
    progress.forget();
    progress.probe();
    progress.probe();
    expect([progress.match, progress.next, progress.open]).toEqual([0, 10, true]);
  });
});
