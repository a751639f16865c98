import { describe, expect, test } from "vitest";
import { CliFailure } from "../failure.ts";
import { nodeFlags, type PlanOptions, planCluster, profileOf } from "./plan.ts";

const options = (parts: Partial<PlanOptions> = {}): PlanOptions => ({
  folder: "/data",
  nodes: undefined,
  port: undefined,
  consensus: undefined,
  ...parts,
});

const exitOf = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    if (error instanceof CliFailure) return error.exit;
  }
  return "no failure";
};

describe("planCluster()", () => {
  test("an empty folder gets three nodes from port 7400, ten apart", () => {
    expect(
      planCluster(options(), undefined).nodes.map((node) => [node.id, node.port, node.peerPort, node.dir]),
    ).toEqual([
      [1, 7400, 7401, "node-1"],
      [2, 7410, 7411, "node-2"],
      [3, 7420, 7421, "node-3"],
    ]);
  });

  test("a folder with data decides what the flags leave open", () => {
    const before = profileOf(planCluster(options({ nodes: 5, port: 9000 }), undefined));
    const after = planCluster(options(), before);
    expect(profileOf(after)).toEqual(before);
  });

  test("flags that contradict the data are a conflict", () => {
    const before = profileOf(planCluster(options(), undefined));
    expect(exitOf(() => planCluster(options({ nodes: 5 }), before))).toBe("conflict");
    expect(exitOf(() => planCluster(options({ port: 9000 }), before))).toBe("conflict");
    expect(exitOf(() => planCluster(options({ consensus: "paxos" }), before))).toBe("conflict");
    expect(exitOf(() => planCluster(options({ nodes: 3, port: 7400 }), before))).toBe("no failure");
  });

  test("ports beyond 65535 are refused with the highest that fits", () => {
    expect(() => planCluster(options({ port: 65_530 }), undefined)).toThrow("65530");
    expect(exitOf(() => planCluster(options({ port: 65_514 }), undefined))).toBe("no failure");
    expect(exitOf(() => planCluster(options({ port: 65_515 }), undefined))).toBe("usage");
  });

  test("nodeFlags() names every peer", () => {
    const plan = planCluster(options({ nodes: 2 }), undefined);
    const [, second] = plan.nodes;
    if (second === undefined) throw new Error("two nodes were planned");
    expect(nodeFlags(plan, second).join(" ")).toBe(
      "node --json --exit-with-parent --id 2 --name node-2 --dir /data/node-2 --listen 127.0.0.1:7410 " +
        "--peer-listen 127.0.0.1:7411 --initial-cluster 1=127.0.0.1:7401,2=127.0.0.1:7411 --consensus raft",
    );
  });
});
