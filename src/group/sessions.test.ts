/** The table of sessions against a twin that remembers everything, and its corners one by one. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteReader, ByteWriter, BytesError } from "../base/bytes.ts";
import { logIndex, type SessionId, sessionId } from "../base/ids.ts";
import { Sessions } from "./sessions.ts";
import type { Codec } from "./state-machine.ts";

const numbers: Codec<number> = {
  encode: (value) => new ByteWriter(8).varint(value).finish(),
  decode: (bytes) => new ByteReader(bytes).varint(),
};

function table(sessionsMax = 10): Sessions<number> {
  return new Sessions<number>(sessionsMax);
}

describe("Sessions", () => {
  test("check() tells next, repeated, gap and nobody apart (S1)", () => {
    const sessions = table();
    const id = sessions.open(logIndex(5));
    expect(sessions.check(id, 1)).toBe("next");
    expect(sessions.check(id, 2)).toBe("gap");
    sessions.record(id, 100);
    expect(sessions.check(id, 1)).toBe("repeated");
    expect(sessions.check(id, 2)).toBe("next");
    expect(sessions.check(sessionId(99), 1)).toBe("no-session");
  });

  test("touch() forgets what the client has, and nothing above it (S2)", () => {
    const sessions = table();
    const id = sessions.open(logIndex(1));
    for (let i = 1; i <= 5; i++) sessions.record(id, i * 10);
    sessions.touch(id, logIndex(2), 4);
    expect([3, 4, 5].map((n) => sessions.result(id, n)?.value)).toEqual([undefined, 40, 50]);
    sessions.touch(id, logIndex(3), 2); // an older batch that came later
    expect(sessions.result(id, 4)?.value).toBe(40);
    sessions.touch(id, logIndex(4), 1_000); // more than there is
    expect(sessions.result(id, 5)).toBeUndefined();
    expect(sessions.check(id, 6)).toBe("next");
    sessions.record(id, 60);
    expect(sessions.result(id, 6)?.value).toBe(60);
  });

  test("open() in a full table ends the session that was unused for longest (S3)", () => {
    const sessions = table(2);
    const a = sessions.open(logIndex(1));
    const b = sessions.open(logIndex(2));
    sessions.touch(a, logIndex(3), 0);
    const c = sessions.open(logIndex(4));
    expect([a, b, c].map((id) => sessions.has(id))).toEqual([true, false, true]);
    expect(sessions.check(b, 1)).toBe("no-session");
    expect(sessions.size).toBe(2);
    const d = sessions.open(logIndex(5));
    expect([a, c].map((id) => sessions.has(id))).toEqual([false, true]);
    expect(new Set([a, b, c, d]).size, "no id is used twice").toBe(4);
  });

  test("encode() and restore() keep everything, and the next id with it", () => {
    const sessions = table(3);
    const a = sessions.open(logIndex(1));
    sessions.record(a, 7);
    sessions.record(a, 8);
    sessions.touch(a, logIndex(9), 2);
    sessions.open(logIndex(2));
    const copy = table(3);
    copy.restore(sessions.encode(numbers), numbers);
    expect(copy.encode(numbers)).toEqual(sessions.encode(numbers));
    expect(copy.result(a, 2)?.value).toBe(8);
    expect(copy.open(logIndex(10))).toBe(sessions.open(logIndex(10)));
  });

  test("restore() throws BytesError on what is cut short or too long", () => {
    const sessions = table();
    sessions.record(sessions.open(logIndex(1)), 5);
    const bytes = sessions.encode(numbers);
    for (let length = 0; length < bytes.length; length++) {
      expect(() => table().restore(bytes.subarray(0, length), numbers)).toThrow(BytesError);
    }
    expect(() => table().restore(new Uint8Array([...bytes, 0]), numbers)).toThrow(BytesError);
  });

  test("each command is executed once and in order, whatever is repeated, lost or swapped; copies agree", () => {
    const part = fc.record({ session: fc.nat(2), first: fc.integer({ min: 1, max: 12 }), count: fc.nat(4) });
    fc.assert(
      fc.property(fc.array(part, { maxLength: 60 }), (parts) => {
        let sessions = table();
        const ids: SessionId[] = [0, 1, 2].map((i) => sessions.open(logIndex(i + 1)));
        const executed = ids.map((): number[] => []);
        for (const [at, { session, first, count }] of parts.entries()) {
          const id = ids[session] as SessionId; // one of three
          sessions.touch(id, logIndex(at + 10), 0);
          for (let n = first; n < first + count; n++) {
            const check = sessions.check(id, n);
            if (check === "gap") break;
            if (check !== "next") continue;
            executed[session]?.push(n);
            sessions.record(id, n * 2);
          }
          if (at % 7 === 3) {
            const copy = table();
            copy.restore(sessions.encode(numbers), numbers);
            sessions = copy;
          }
        }
        for (const [i, done] of executed.entries()) {
          expect(done).toEqual(done.map((_, k) => k + 1));
          const id = ids[i] as SessionId; // one of three
          expect(sessions.last(id)).toBe(done.length);
          for (const n of done) expect(sessions.result(id, n)?.value).toBe(n * 2);
        }
      }),
      { numRuns: 200 },
    );
  });
});
