import { describe, expect, it } from "vitest";
import { Prng } from "../base/prng.ts";
import { drawFaults, drawPartition, type FaultPlan, faultKinds, furtherFaultKinds } from "./faults.ts";
import { Governor } from "./governor.ts";

const plan: FaultPlan = {
  nodes: 5,
  durationMs: 60_000,
  meanGapMs: 500,
  electionMs: 1_000,
  rotPrefix: "wal/",
  folders: [],
  kinds: faultKinds,
  swarm: true,
};

describe("drawFaults()", () => {
  it("is a function of the seed, ordered by time, inside the run", () => {
    const faults = drawFaults(new Prng(1), plan);
    expect(drawFaults(new Prng(1), plan)).toEqual(faults);
    expect(drawFaults(new Prng(2), plan)).not.toEqual(faults);
    expect(faults.map((f) => f.atMs)).toEqual([...faults.map((f) => f.atMs)].sort((a, b) => a - b));
    expect(faults.every((f) => f.atMs >= 0 && f.atMs < plan.durationMs)).toBe(true);
  });

  it("switches kinds off per seed, and reaches each kind and each pair of kinds over the seeds", () => {
    const pairs = new Set<string>();
    let fewest: number = faultKinds.length;
    for (let seed = 0; seed < 60; seed++) {
      const kinds = new Set(drawFaults(new Prng(seed), plan).map((f) => f.type));
      fewest = Math.min(fewest, kinds.size);
      for (const a of kinds) for (const b of kinds) pairs.add(`${a} ${b}`);
    }
    expect(fewest).toBeLessThan(faultKinds.length / 2 + 1);
    expect(pairs.size).toBe(faultKinds.length ** 2);
  });

  it("draws pauses and partitions both shorter and much longer than an election", () => {
    const spans = drawFaults(new Prng(1), { ...plan, swarm: false, kinds: ["pause"] }).map((f) =>
      f.type === "pause" ? f.forMs : 0,
    );
    expect(spans.some((ms) => ms < plan.electionMs)).toBe(true);
    expect(spans.some((ms) => ms > 4 * plan.electionMs)).toBe(true);
  });

  it("draws further kinds only where the plan names them, and folders only of the plan", () => {
    const seeds = Array.from({ length: 30 }, (_, seed) => seed);
    const types = (more: Partial<FaultPlan>): ReadonlySet<string> =>
      new Set(seeds.flatMap((seed) => drawFaults(new Prng(seed), { ...plan, ...more }).map((f) => f.type)));
    for (const kind of furtherFaultKinds) expect(types({}).has(kind), kind).toBe(false);
    const kinds = [...faultKinds, ...furtherFaultKinds];
    expect(types({ kinds }).has("lost-folder")).toBe(false); // no folder is named
    const drawn = seeds.flatMap((seed) => drawFaults(new Prng(seed), { ...plan, kinds, folders: ["wal", "meta"] }));
    const folders = new Set(drawn.flatMap((f) => (f.type === "lost-folder" ? [f.folder] : [])));
    expect([...folders].sort()).toEqual(["meta", "wal"]);
    const kills = drawn.flatMap((f) => (f.type === "kill-at-write" ? [`${f.when} ${f.mode}`] : []));
    expect(new Set(kills).size).toBe(4);
  });

  it("names nodes of the cluster only, and two different ones where it takes two", () => {
    for (const nodes of [1, 2, 3, 7]) {
      for (const fault of drawFaults(new Prng(nodes), { ...plan, nodes, swarm: false })) {
        if ("node" in fault) expect(fault.node >= 1 && fault.node <= nodes).toBe(true);
        if (fault.type === "clog") expect(fault.from).not.toBe(fault.to);
        if (fault.type === "reset") expect(fault.a).not.toBe(fault.b);
        if (fault.type === "partition") for (const [from, to] of fault.cuts) expect(from).not.toBe(to);
      }
    }
  });
});

describe("drawPartition()", () => {
  it("reaches every shape; one-way cuts are one-way; a bridge keeps one node on both sides", () => {
    const shapes = new Set<string>();
    for (let seed = 0; seed < 60; seed++) {
      const { shape, cuts } = drawPartition(new Prng(seed), 5);
      shapes.add(shape);
      const has = new Set(cuts.map(([from, to]) => `${from}>${to}`));
      const isMutual = cuts.every(([from, to]) => has.has(`${to}>${from}`));
      expect(isMutual).toBe(shape !== "one-way");
      const touched = new Set(cuts.flat());
      if (shape === "bridge") expect(touched.size).toBe(4);
      if (shape === "link") expect(touched.size).toBe(2);
      if (shape === "halves") expect(cuts).toHaveLength(12);
      if (shape === "isolate") expect(cuts).toHaveLength(8);
    }
    expect([...shapes].sort()).toEqual(["bridge", "halves", "isolate", "link", "one-way"]);
  });
});

describe("Governor", () => {
  it.each([
    [1, 0],
    [2, 0],
    [3, 1],
    [4, 1],
    [5, 2],
    [7, 3],
  ])("G1: of %i nodes at most %i are damaged at once", (nodes, most) => {
    const governor = new Governor(nodes);
    for (let node = 1; node <= nodes; node++) {
      if (governor.mayDamage(node)) governor.damage(node);
      else expect(() => governor.damage(node)).toThrow(/G1/);
    }
    expect(governor.damaged.size).toBe(most);
    if (most === 0) return;
    expect(governor.mayDamage(1)).toBe(true); // it is harmed already
    governor.repaired(1);
    expect(governor.mayDamage(nodes)).toBe(true);
  });
});
