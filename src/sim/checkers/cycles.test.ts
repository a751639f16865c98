import { describe, expect, it } from "vitest";
import type { AnomalyName } from "./anomalies.ts";
import { type Cycle, findCycles } from "./cycles.ts";
import { EdgeList, PROCESS, REALTIME, RW, strongComponents, WR, WW } from "./dependency-graph.ts";

type Edge = readonly [from: number, to: number, kind: Parameters<EdgeList["add"]>[2]];

function find(edges: readonly Edge[]): readonly { readonly name: AnomalyName; readonly cycle: Cycle }[] {
  const list = new EdgeList();
  for (const [from, to, kind] of edges) list.add(from, to, kind);
  const nodes = Math.max(...edges.flatMap(([from, to]) => [from, to])) + 1;
  return findCycles(list.graph(nodes), { wants: () => true, workMax: 1e6, examplesMax: 3 }).found;
}

function names(edges: readonly Edge[]): readonly AnomalyName[] {
  return find(edges).map(({ name }) => name);
}

describe("findCycles()", () => {
  it("takes an edge of several kinds for the gravest", () => {
    const both: readonly Edge[] = [
      [0, 1, WW],
      [0, 1, WR],
      [0, 1, REALTIME],
      [1, 0, WW],
      [1, 0, RW],
    ];
    expect(names(both)).toEqual(["G0"]);
    expect(
      names([
        [0, 1, RW],
        [0, 1, PROCESS],
        [0, 1, REALTIME],
        [1, 0, WR],
      ]),
    ).toEqual(["G-single", "G1c-process"]);
  });

  it("does not make one cycle of two that share a transaction", () => {
    expect(
      names([
        [0, 1, RW],
        [1, 0, WR],
        [1, 2, RW],
        [2, 1, WR],
      ]),
    ).toEqual(["G-single"]);
  });

  it("names by anti-dependencies in a row, also across the seam", () => {
    expect(
      names([
        [0, 1, RW],
        [1, 2, WW],
        [2, 0, RW],
      ]),
    ).toEqual(["G2-item"]);
    expect(
      names([
        [0, 1, RW],
        [1, 2, WW],
        [2, 3, RW],
        [3, 0, WR],
      ]),
    ).toEqual(["G-nonadjacent"]);
    expect(
      names([
        [0, 1, RW],
        [1, 2, RW],
        [2, 0, RW],
      ]),
    ).toEqual(["G2-item"]);
  });

  it("shows the shortest cycle, and one step for a chain through time", () => {
    const long: readonly Edge[] = [
      [0, 1, WW],
      [1, 2, WW],
      [2, 3, WW],
      [3, 0, WW],
      [2, 0, WW],
    ];
    expect(find(long)[0]?.cycle).toHaveLength(3);
    const chain: readonly Edge[] = [
      [4, 0, RW],
      [0, 1, REALTIME],
      [1, 2, PROCESS],
      [2, 3, REALTIME],
      [3, 4, REALTIME],
    ];
    expect(find(chain)).toEqual([
      {
        name: "G-single-realtime",
        cycle: [
          { from: 4, to: 0, kind: RW },
          { from: 0, to: 4, kind: REALTIME },
        ],
      },
    ]);
  });

  it("gives an example of each component", () => {
    expect(
      names([
        [0, 1, WW],
        [1, 0, WW],
        [2, 3, WW],
        [3, 2, WW],
        [1, 2, WW],
      ]),
    ).toEqual(["G0", "G0"]);
  });
});

describe("strongComponents()", () => {
  it("agrees with reachability on small random graphs", () => {
    for (let seed = 1; seed < 200; seed++) {
      const list = new EdgeList();
      const reach = Array.from({ length: 8 }, () => new Array<boolean>(8).fill(false));
      let state = seed;
      for (let i = 0; i < 11; i++) {
        state = (state * 48_271) % 2_147_483_647;
        const [from, to] = [state % 8, Math.floor(state / 8) % 8];
        list.add(from, to, i % 3 === 0 ? RW : WW);
        if (i % 3 !== 0 && from !== to) (reach[from] as boolean[])[to] = true;
      }
      for (let k = 0; k < 8; k++) {
        for (let i = 0; i < 8; i++)
          for (let j = 0; j < 8; j++) if (reach[i]?.[k] && reach[k]?.[j]) (reach[i] as boolean[])[j] = true;
      }
      const expected = Array.from({ length: 8 }, (_, i) =>
        Array.from({ length: 8 }, (_node, j) => j).filter((j) => i === j || (reach[i]?.[j] && reach[j]?.[i])),
      ).filter((members, i) => members.length > 1 && members[0] === i);
      const found = strongComponents(list.graph(8), WW).map((members) => members.toSorted((a, b) => a - b));
      expect(found.toSorted((a, b) => (a[0] ?? 0) - (b[0] ?? 0))).toEqual(expected);
    }
  });

  it("walks a chain of 100,000 transactions without running out of stack", () => {
    const list = new EdgeList();
    for (let i = 0; i < 100_000; i++) list.add(i, (i + 1) % 100_000, WW);
    expect(strongComponents(list.graph(100_000), WW)).toHaveLength(1);
  });
});
