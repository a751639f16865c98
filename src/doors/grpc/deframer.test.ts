import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { frame } from "../testing/grpc-client.ts";
import { ByteBudget } from "./byte-budget.ts";
import { Deframer } from "./deframer.ts";

const LIMIT = 10_000;

/** Feeds the chunks and collects the messages; the name of a fault ends the list. */
function run(chunks: readonly Uint8Array[], budget = new ByteBudget(1 << 20), limit = LIMIT): (Uint8Array | string)[] {
  const deframer = new Deframer(limit, budget);
  const out: (Uint8Array | string)[] = [];
  for (const chunk of chunks) {
    deframer.push(chunk);
    for (;;) {
      const next = deframer.next();
      if (next.type === "starved") break;
      if (next.type === "message") out.push(Uint8Array.from(next.bytes));
      else {
        out.push(next.type);
        expect(deframer.next().type).toBe(next.type); // D3
        return out;
      }
    }
  }
  out.push(deframer.atBoundary ? "boundary" : "inside");
  deframer.close();
  expect(budget.used).toBe(0);
  return out;
}

describe("Deframer", () => {
  it("gives the same messages however the bytes are cut", () => {
    const messages = fc.array(fc.uint8Array({ maxLength: 3_000 }), { maxLength: 6 });
    const cuts = fc.array(fc.nat({ max: 20_000 }), { maxLength: 30 });
    fc.assert(
      fc.property(messages, cuts, (sent, at) => {
        const body = Buffer.concat(sent.map((message) => frame(message)));
        const marks = [0, ...at.map((one) => one % (body.length + 1)), body.length].sort((a, b) => a - b);
        const chunks = marks.slice(1).map((to, i) => body.subarray(marks[i], to));
        expect(run(chunks)).toEqual([...sent.map((one) => Uint8Array.from(one)), "boundary"]);
      }),
      { numRuns: 300 },
    );
  });

  it("gives the same messages byte by byte", () => {
    const sent = [Uint8Array.of(1, 2, 3), new Uint8Array(0), new Uint8Array(2_000).fill(7)];
    const body = Buffer.concat(sent.map((one) => frame(one)));
    expect(run([...body].map((byte) => Uint8Array.of(byte)))).toEqual([...sent, "boundary"]);
  });

  it("hands on a whole message as a view, without a copy", () => {
    const chunk = frame(Uint8Array.of(1, 2, 3));
    const deframer = new Deframer(LIMIT, new ByteBudget(0));
    deframer.push(chunk);
    const next = deframer.next();
    expect(next.type === "message" && next.bytes.buffer === chunk.buffer).toBe(true);
  });

  it("refuses a declared length over the limit before it keeps a byte", () => {
    const budget = new ByteBudget(1 << 20);
    const head = frame(new Uint8Array(0), 0, 0x7fff_ffff);
    expect(run([head], budget)).toEqual(["too-large"]);
    expect(run([head.subarray(0, 3), head.subarray(3)], budget)).toEqual(["too-large"]);
    expect(run([frame(new Uint8Array(0), 0, 0xffff_ffff)], budget)).toEqual(["too-large"]);
    expect(budget.used).toBe(0);
  });

  it("takes a message of exactly the limit, and not one byte more", () => {
    expect(run([frame(new Uint8Array(LIMIT))])).toHaveLength(2);
    expect(run([frame(new Uint8Array(LIMIT + 1))])).toEqual(["too-large"]);
  });

  it("refuses every flag but 0 and 1", () => {
    for (let flag = 2; flag < 256; flag++) expect(run([frame(Uint8Array.of(1), flag)])).toEqual(["bad-flag"]);
  });

  it("keeps no more than the message that arrives, and gives all of it back", () => {
    const budget = new ByteBudget(1 << 20);
    const deframer = new Deframer(LIMIT, budget);
    const body = frame(new Uint8Array(LIMIT));
    for (let at = 0; at < body.length - 1; at += 7) {
      deframer.push(body.subarray(at, Math.min(at + 7, body.length - 1)));
      expect(deframer.next().type).toBe("starved");
      expect(budget.used).toBeLessThanOrEqual(LIMIT + 5);
    }
    expect(budget.used).toBeGreaterThan(0);
    deframer.push(body.subarray(body.length - 1));
    expect(deframer.next().type).toBe("message");
    expect(budget.used).toBe(0);
  });

  it("refuses when the budget is spent, and gives back what it had", () => {
    const budget = new ByteBudget(5_000);
    const body = frame(new Uint8Array(9_000));
    expect(run([body.subarray(0, 3_000), body.subarray(3_000, 8_000)], budget)).toEqual(["over-budget"]);
    expect(budget.used).toBe(0);
  });

  it("tells a cut message from a boundary", () => {
    expect(run([])).toEqual(["boundary"]);
    expect(run([Uint8Array.of(0, 0)])).toEqual(["inside"]);
    expect(run([frame(Uint8Array.of(1, 2, 3)).subarray(0, 6)])).toEqual(["inside"]);
  });
});

describe("ByteBudget", () => {
  it("charges the parent too, and neither when one refuses", () => {
    const parent = new ByteBudget(10);
    const child = new ByteBudget(8, parent);
    expect(child.take(9)).toBe(false);
    expect(parent.take(5)).toBe(true);
    expect(child.take(6)).toBe(false);
    expect([child.used, parent.used]).toEqual([0, 5]);
    expect(child.take(5)).toBe(true);
    child.give(5);
    expect([child.used, parent.used]).toEqual([0, 5]);
    expect(() => child.give(1)).toThrow(/gave back more/);
  });
});
