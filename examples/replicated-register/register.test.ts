import { describe, expect, test } from "vitest";
import { type Link, Register } from "./register.ts";

const all: Link = () => true;
const only =
  (...nodes: number[]): Link =>
  (node) =>
    nodes.includes(node);

/** Numbers from a seed: the same run each time (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe("a register that is written once", () => {
  test("holds what the first proposer wrote, and a later one writes the same again", () => {
    const register = new Register();
    expect(register.write("red", { number: 1, by: 1 }, all)).toBe("red");
    expect(register.write("blue", { number: 2, by: 2 }, all)).toBe("red");
    expect(register.chosen).toBe("red");
  });

  test("is written while one of three is out of reach, not with two", () => {
    const register = new Register();
    expect(register.write("red", { number: 1, by: 1 }, only(3))).toBeUndefined();
    expect(register.chosen).toBeUndefined();
    register.write("red", { number: 2, by: 1 }, only(1, 3));
    expect(register.chosen).toBe("red");
  });

  test("does not change, whoever writes over whatever links", () => {
    let chosen = 0;
    for (let seed = 1; seed <= 300; seed++) {
      const random = numbers(seed);
      const register = new Register();
      let first: string | undefined;
      for (let attempt = 1; attempt <= 8; attempt++) {
        const by = 1 + Math.floor(random() * 3);
        register.write(`${by}/${attempt}`, { number: attempt, by }, () => random() < 0.6); // and asserts P3 inside
        first ??= register.chosen;
        expect(register.chosen).toBe(first);
      }
      if (first !== undefined) chosen++;
    }
    expect(chosen).toBeGreaterThan(100);
  });
});
