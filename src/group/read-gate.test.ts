/** Reads on their way to permission: rounds, retries, deadlines. */
import { describe, expect, test } from "vitest";
import { AlthingError } from "../base/errors.ts";
import { logIndex } from "../base/ids.ts";
import { ReadGate, type Reader } from "./read-gate.ts";

class Log {
  readonly lines: string[] = [];

  reader(name: string, options: { deadlineMs?: number; signal?: AbortSignal } = {}): Reader {
    return {
      deadlineMs: options.deadlineMs ?? 1_000,
      signal: options.signal,
      ready: (error) => void this.lines.push(`${name}: ${error?.code ?? "ready"}`),
    };
  }
}

const at = logIndex;

describe("ReadGate", () => {
  test("a grant releases its round once the replica has applied the index", () => {
    const log = new Log();
    const gate = new ReadGate(10);
    gate.add(log.reader("a"));
    const context = gate.begin(0);
    gate.granted(context, at(5), at(3));
    expect(log.lines).toEqual([]);
    gate.applied(at(4));
    expect(log.lines).toEqual([]);
    gate.applied(at(5));
    expect(log.lines).toEqual(["a: ready"]);
    expect(gate.pending).toBe(false);
  });

  test("a read that came after the request went out waits for the next round (G1)", () => {
    const log = new Log();
    const gate = new ReadGate(1);
    gate.add(log.reader("a"));
    const first = gate.begin(0);
    gate.add(log.reader("b"));
    gate.granted(first, at(1), at(1));
    expect(log.lines).toEqual(["a: ready"]);
    expect(gate.wants).toBe(true);
    gate.granted(gate.begin(1), at(1), at(1));
    expect(log.lines).toEqual(["a: ready", "b: ready"]);
  });

  test("a refusal and a retry put readers back in front; the answer to the old context is void", () => {
    const log = new Log();
    const gate = new ReadGate(1);
    gate.add(log.reader("a"));
    const first = gate.begin(0);
    gate.granted(first, undefined, at(1));
    gate.add(log.reader("b"));
    const second = gate.begin(1);
    gate.retry();
    gate.granted(second, at(1), at(1)); // confirmed by a leader that may not be one any more
    expect(log.lines).toEqual([]);
    gate.granted(gate.begin(2), at(1), at(1));
    expect(log.lines).toEqual(["a: ready", "b: ready"]);
  });

  test("retry() with an age leaves young rounds and given grants alone", () => {
    const log = new Log();
    const gate = new ReadGate(1);
    gate.add(log.reader("granted"));
    gate.granted(gate.begin(0), at(9), at(1));
    gate.add(log.reader("old"));
    gate.begin(10);
    gate.add(log.reader("young"));
    const young = gate.begin(90);
    gate.retry(50);
    gate.granted(young, at(1), at(1));
    gate.applied(at(9));
    expect(log.lines).toEqual(["young: ready", "granted: ready"]);
    expect(gate.wants).toBe(true);
  });

  test("only so many rounds are under way", () => {
    const gate = new ReadGate(1);
    const log = new Log();
    for (let i = 0; i < 4; i++) {
      gate.add(log.reader(`${i}`));
      expect(gate.wants).toBe(true);
      gate.begin(i);
    }
    gate.add(log.reader("4"));
    expect(gate.wants).toBe(false);
  });

  test("expire() ends what is late or given up, wherever it waits", () => {
    const log = new Log();
    const gate = new ReadGate(1);
    const abort = new AbortController();
    gate.add(log.reader("granted", { deadlineMs: 50 }));
    gate.granted(gate.begin(0), at(9), at(1));
    gate.add(log.reader("asked", { deadlineMs: 50 }));
    gate.add(log.reader("patient"));
    gate.begin(1);
    gate.add(log.reader("waiting", { signal: abort.signal }));
    abort.abort();
    gate.expire(49);
    expect(log.lines).toEqual(["waiting: ABORTED"]);
    gate.expire(50);
    expect(log.lines.slice(1).sort()).toEqual(["asked: GROUP_NO_LEADER", "granted: GROUP_NO_LEADER"]);
    gate.applied(at(9));
    expect(log.lines).toHaveLength(3);
  });

  test("close() tells every reader", () => {
    const log = new Log();
    const gate = new ReadGate(1);
    gate.add(log.reader("granted"));
    gate.granted(gate.begin(0), at(9), at(1));
    gate.add(log.reader("asked"));
    gate.begin(1);
    gate.add(log.reader("waiting"));
    gate.close(new AlthingError("CLOSED", "Cannot read: closed"));
    expect(log.lines.sort()).toEqual(["asked: CLOSED", "granted: CLOSED", "waiting: CLOSED"]);
    expect(gate.pending).toBe(false);
  });
});
