/**
 * A node's own commands against a log that loses, repeats and refuses parts. The table of sessions is the real one, so what
 * is tested is that both together execute every command once, in order, and end every call truthfully.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromUtf8, utf8 } from "../base/bytes.ts";
import { logIndex, type SessionId, sessionId } from "../base/ids.ts";
import { decodeParts } from "./batch.ts";
import type { Outcome } from "./outcome.ts";
import { Proposer } from "./proposer.ts";
import { Sessions } from "./sessions.ts";

const limits = { pendingCommandsMax: 50, pendingBytesMax: 1_000, partBytesMax: 20, commandBytesMax: 100 };

/** A proposer, the parts that it sent, and the replicated side of its node. */
class Rig {
  readonly sent: Uint8Array[] = [];
  readonly executed: string[] = [];
  readonly outcomes = new Map<string, Outcome<string>>();
  /** In the order in which they came. */
  readonly ended: string[] = [];
  isConnected = true;
  sessions = new Sessions<string>(100);
  readonly proposer: Proposer<string>;
  #index = 1;
  #nonce = 1;

  constructor(overrides: Partial<typeof limits> = {}) {
    this.proposer = new Proposer<string>(
      { ...limits, ...overrides },
      {
        send: (part) => {
          if (this.isConnected) this.sent.push(part);
          return this.isConnected;
        },
      },
      () => this.#nonce++,
    );
  }

  submit(text: string, options: { deadlineMs?: number; signal?: AbortSignal } = {}): string | undefined {
    return this.proposer.submit(
      utf8(text),
      (outcome) => {
        if (this.outcomes.has(text)) throw new Error(`${text} was answered twice`);
        this.outcomes.set(text, outcome);
        this.ended.push(text);
      },
      { deadlineMs: 1_000, ...options },
    );
  }

  /** Commits a part: the local replica applies it. */
  commit(part: Uint8Array, nowMs = 0): void {
    const index = logIndex(this.#index++);
    for (const one of decodeParts(part)) {
      if (one.type === "open-session") {
        this.proposer.sessionOpened(one.nonce, this.sessions.open(index));
        continue;
      }
      this.sessions.touch(one.session, index, one.resultsBelow);
      let n = one.first;
      for (const command of one.commands) {
        const check = this.sessions.check(one.session, n);
        if (check === "gap") {
          this.proposer.outOfSequence(one.session);
          break;
        }
        if (check === "no-session") {
          this.proposer.noSession(one.session);
          break;
        }
        if (check === "next") {
          const text = fromUtf8(command);
          this.executed.push(text);
          this.sessions.record(one.session, `done ${text}`);
          this.proposer.executed(one.session, n, index, `done ${text}`, nowMs);
        }
        n++;
      }
    }
  }

  /** Flushes and commits until nothing more comes. */
  run(): void {
    for (let i = 0; i < 100; i++) {
      this.proposer.flush(0);
      const parts = this.sent.splice(0);
      if (parts.length === 0) return;
      for (const part of parts) this.commit(part);
    }
  }

  type(text: string): string {
    const outcome = this.outcomes.get(text);
    if (outcome === undefined) return "open";
    return outcome.type === "committed" ? "committed" : `${outcome.type}: ${outcome.reason}`;
  }
}

describe("Proposer", () => {
  test("commands are executed in the order of submit, each with its own result", () => {
    const rig = new Rig();
    const texts = Array.from({ length: 20 }, (_, i) => `c${i}`);
    for (const text of texts) rig.submit(text);
    rig.run();
    expect(rig.executed).toEqual(texts);
    expect(rig.outcomes.get("c7")).toMatchObject({ type: "committed", result: "done c7" });
    expect(rig.proposer.pendingCommands).toBe(0);
    expect(rig.proposer.pendingBytes).toBe(0);
    expect(rig.proposer.wants).toBe(false);
  });

  test("submit() refuses what is over a limit, at the limit", () => {
    const rig = new Rig({ pendingCommandsMax: 2, pendingBytesMax: 10, commandBytesMax: 6 });
    expect(rig.submit("1234567")).toBe("too-large");
    expect(rig.submit("123456")).toBeUndefined();
    expect(rig.submit("abcde")).toBe("overloaded");
    expect(rig.submit("abcd")).toBeUndefined();
    expect(rig.submit("")).toBe("overloaded");
    rig.run();
    expect(rig.submit("again")).toBeUndefined();
    rig.proposer.close();
    expect(rig.submit("late")).toBe("closed");
  });

  test("a lost part is sent again with all that follow, and nothing happens twice (P1)", () => {
    const rig = new Rig();
    rig.submit("first");
    rig.run();
    for (const text of ["a234567890", "b234567890", "c234567890", "d234567890"]) rig.submit(text);
    rig.proposer.flush(0);
    const [lost, second] = rig.sent.splice(0);
    expect(lost).toBeDefined();
    if (second === undefined) throw new Error("two parts");
    rig.commit(second); // a gap: nothing of it counts, and everything goes again
    expect(rig.executed).toEqual(["first"]);
    rig.run();
    rig.commit(second); // the old one comes once more
    expect(rig.executed).toEqual(["first", "a234567890", "b234567890", "c234567890", "d234567890"]);
  });

  test("a part that was refused and also arrived is executed once", () => {
    const rig = new Rig();
    rig.submit("open");
    rig.run();
    rig.submit("x");
    rig.proposer.flush(0);
    const [part] = rig.sent.splice(0);
    rig.proposer.resend(); // the leader changed
    rig.proposer.flush(0);
    const [again] = rig.sent.splice(0);
    if (part === undefined || again === undefined) throw new Error("sent twice");
    rig.commit(again);
    rig.commit(part);
    expect(rig.executed).toEqual(["open", "x"]);
    expect(rig.type("x")).toBe("committed");
  });

  test("what was never sent ends rejected, what was sent ends unknown, and stays in line (P2)", () => {
    const rig = new Rig();
    rig.submit("open");
    rig.run();
    rig.submit("sent", { deadlineMs: 10 });
    rig.proposer.flush(0);
    const [part] = rig.sent.splice(0);
    rig.isConnected = false;
    rig.submit("unsent", { deadlineMs: 10 });
    rig.proposer.resend();
    rig.proposer.flush(0);
    rig.proposer.expire(9);
    expect(rig.type("sent")).toBe("open");
    rig.proposer.expire(10);
    expect(rig.type("sent")).toBe("unknown: timeout");
    expect(rig.type("unsent")).toBe("rejected: no-leader");
    rig.isConnected = true;
    rig.submit("next");
    if (part !== undefined) rig.commit(part);
    rig.run();
    expect(rig.executed).toEqual(["open", "sent", "next"]);
  });

  test("an abort ends a call at once, truthfully, and leaves no listener behind", () => {
    const rig = new Rig();
    const abort = new AbortController();
    rig.submit("a", { signal: abort.signal });
    abort.abort();
    expect(rig.type("a")).toBe("rejected: no-leader");
    const other = new AbortController();
    rig.submit("b", { signal: other.signal });
    rig.run();
    other.abort();
    expect(rig.type("b")).toBe("committed");
  });

  test("an evicted session makes what was sent unknown; the rest goes on in a new one", () => {
    const rig = new Rig({ partBytesMax: 4 });
    rig.submit("open");
    rig.run();
    for (let i = 0; i < 12; i++) rig.submit(`n${i}00`);
    rig.proposer.flush(0); // eight parts of one
    const parts = rig.sent.splice(0);
    expect(parts).toHaveLength(8);
    rig.sessions = new Sessions<string>(100); // the table was full of others
    rig.sessions.open(logIndex(1));
    rig.sessions.open(logIndex(2));
    const [first] = parts;
    if (first === undefined) throw new Error("a part");
    rig.sessions.restore(new Sessions<string>(1).encode({ encode: utf8, decode: fromUtf8 }), {
      encode: utf8,
      decode: fromUtf8,
    });
    rig.commit(first);
    expect(Array.from({ length: 8 }, (_, i) => rig.type(`n${i}00`))).toEqual(Array(8).fill("unknown: session-expired"));
    expect(rig.type("n800")).toBe("open");
    rig.run();
    expect(rig.executed.slice(1)).toEqual(["n800", "n900", "n1000", "n1100"]);
  });

  test("restored() answers from the results of a snapshot, and says which are lost", () => {
    const rig = new Rig({ partBytesMax: 1 });
    rig.submit("open");
    rig.run();
    for (const text of ["a", "b", "c", "d"]) rig.submit(text);
    rig.proposer.flush(0);
    const kept = new Map([[3, "from afar"]]); // number 2 has no result any more, 4 and 5 were not executed
    rig.proposer.restored(
      () => 3,
      (_: SessionId, n) => (kept.has(n) ? { value: kept.get(n) ?? "" } : undefined),
      logIndex(9),
      0,
    );
    expect([rig.type("a"), rig.type("b"), rig.type("c")]).toEqual(["unknown: result-lost", "committed", "open"]);
    expect(rig.outcomes.get("b")).toMatchObject({ result: "from afar", index: 9 });
    expect(rig.proposer.nextNumber).toBe(6);
    rig.proposer.restored(
      () => undefined,
      () => undefined,
      logIndex(20),
      0,
    ); // now the session itself is gone
    expect([rig.type("c"), rig.type("d")]).toEqual(Array(2).fill("unknown: session-expired"));
  });

  test("isStuck() counts from the last progress, also for a session that does not open", () => {
    const rig = new Rig();
    rig.submit("a");
    expect(rig.proposer.isStuck(10_000, 100)).toBe(false);
    rig.proposer.flush(0);
    expect([rig.proposer.isStuck(100, 100), rig.proposer.isStuck(101, 100)]).toEqual([false, true]);
    rig.proposer.resend();
    expect(rig.proposer.wants).toBe(true);
    rig.run();
    rig.submit("b");
    rig.proposer.flush(200);
    expect([rig.proposer.isStuck(300, 100), rig.proposer.isStuck(301, 100)]).toEqual([false, true]);
  });

  test("close() ends every call, in order", () => {
    const rig = new Rig();
    rig.submit("open");
    rig.run();
    rig.submit("sent");
    rig.proposer.flush(0);
    rig.isConnected = false;
    rig.submit("unsent");
    rig.proposer.close();
    expect([rig.type("sent"), rig.type("unsent")]).toEqual(["unknown: closed", "rejected: closed"]);
    for (const part of rig.sent) rig.commit(part); // too late for an answer
    expect(rig.ended).toEqual(["open", "sent", "unsent"]);
  });

  test("whatever the network does: order, at most once, rejected means never, and all ends when it is calm", () => {
    const action = fc.oneof(
      fc.record({ type: fc.constant("submit" as const), size: fc.nat(12) }),
      fc.record({ type: fc.constant("flush" as const) }),
      fc.record({ type: fc.constant("commit" as const), which: fc.nat(20), again: fc.boolean() }),
      fc.record({ type: fc.constant("lose" as const), which: fc.nat(20) }),
      fc.record({ type: fc.constant("resend" as const) }),
      fc.record({ type: fc.constant("cut" as const), isConnected: fc.boolean() }),
      fc.record({ type: fc.constant("evict" as const) }),
      fc.record({ type: fc.constant("expire" as const) }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 120 }), (actions) => {
        const rig = new Rig();
        let count = 0;
        let nowMs = 0;
        for (const a of actions) {
          nowMs += 10;
          const at = (which: number): number => (rig.sent.length === 0 ? -1 : which % rig.sent.length);
          switch (a.type) {
            case "submit":
              rig.submit(`${count++}${"-".repeat(a.size)}`, { deadlineMs: nowMs + 200 });
              break;
            case "flush":
              rig.proposer.flush(nowMs);
              break;
            case "commit": {
              const i = at(a.which);
              const part = rig.sent[i];
              if (part === undefined) break;
              if (!a.again) rig.sent.splice(i, 1);
              rig.commit(part, nowMs);
              break;
            }
            case "lose":
              if (at(a.which) >= 0) rig.sent.splice(at(a.which), 1);
              break;
            case "resend":
              rig.proposer.resend();
              break;
            case "cut":
              rig.isConnected = a.isConnected;
              break;
            case "evict":
              for (let i = 0; i < 100; i++) rig.sessions.open(logIndex(1_000_000));
              break;
            case "expire":
              rig.proposer.expire(nowMs);
              break;
          }
        }
        rig.isConnected = true;
        for (let i = 0; i < 4; i++) {
          rig.proposer.resend(); // what was lost is not told: housekeeping finds it stuck
          rig.run();
        }
        const numbers = rig.executed.map((text) => Number.parseInt(text, 10));
        expect(numbers).toEqual([...new Set(numbers)].sort((x, y) => x - y));
        expect(rig.proposer.pendingCommands).toBe(0);
        for (const [text, outcome] of rig.outcomes) {
          if (outcome.type === "rejected") expect(rig.executed).not.toContain(text);
          if (outcome.type === "committed") expect(outcome.result).toBe(`done ${text}`);
          if (outcome.type === "committed") expect(rig.executed).toContain(text);
        }
      }),
      { numRuns: 300 },
    );
  });
});

test("sessionId(0) is nobody's", () => {
  expect(new Sessions<string>(1).check(sessionId(0), 1)).toBe("no-session");
});
