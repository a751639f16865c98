/**
 * Changes of the members of whole clusters while faults happen: growing and shrinking (case 8), replacing one member or all
 * of them at once, moving the leadership under load, a wiped disk that returns under its old id (case 9).
 * What all runs check: see `group-faults.test.ts`.
 */
import { describe, expect, test } from "vitest";
import { consensusEngines } from "../../src/config/node-config.ts";
import { nodeId } from "../../src/base/ids.ts";
import { incomingVoters, type Member } from "../../src/consensus/contract/configuration.ts";
import type { Fault } from "../../src/sim/faults.ts";
import type { SimClient } from "../../src/sim/sim-client.ts";
import { runGroup } from "./lib/group-run.ts";
import type { GroupNode } from "./lib/group-scenario.ts";

function voter(id: number, members: readonly Member[]): Member {
  const known = members.find((m) => m.id === id);
  if (known !== undefined) return { ...known, role: "voter", promote: false };
  return {
    id: nodeId(id),
    incarnation: 0,
    role: "voter",
    promote: false,
    name: `n${id}`,
    address: `n${id}:1`,
    clientUrls: [],
  };
}

/** Asks one node after the other until the voters are those that are wanted, and nothing else is under way. */
async function settleOn(c: SimClient<GroupNode>, wanted: readonly number[]): Promise<void> {
  while (!c.stopping) {
    const call = await c.call(c.anyNode(), async ({ group }) => {
      if (group.leader !== undefined) {
        await group
          .changeMembers((members) => wanted.map((id) => voter(id, members)), { timeoutMs: 2_000 })
          .catch(() => undefined); // whatever became of it, the list tells
      }
      const { configuration, configurationIndex, commit } = group.status();
      const isDone = group.isReadyLeader && configuration.outgoing.length === 0 && configurationIndex <= commit;
      return isDone && incomingVoters(configuration).join() === wanted.join();
    });
    if (call.type === "answer" && call.value) return;
    await c.sleep(200);
  }
}

const faultsOf = (seed: number): { kinds: Fault["type"][]; swarm: boolean; meanGapMs: number; electionMs: number } => ({
  kinds: seed % 2 === 0 ? ["partition", "crash", "reset"] : ["partition", "pause", "clog", "slow-disk"],
  swarm: false,
  meanGapMs: 1_000,
  electionMs: 1_000,
});

const ELECTION_MS = 500;

const isStanding = (event: { readonly type: string; readonly [field: string]: unknown }): boolean =>
  event.type === "role" && event["role"] !== "learner" && event["role"] !== "follower";

describe.each(consensusEngines)("%s", (consensus) => {
  const onEngine: typeof runGroup = (seed, options) => runGroup(seed, { consensus, ...options });

  describe("from three nodes to five and back, under faults (case 8)", () => {
    test.each([1, 2, 4])("never two leaders' worth of quorums, seed %i", async (seed) => {
      let rounds = 0;
      const run = await onEngine(seed, {
        nodes: 5,
        founders: 3,
        serving: [1, 2, 3],
        durationMs: 20_000,
        faults: faultsOf(seed),
        patienceMs: 1_000,
        operator: async (c) => {
          while (!c.stopping) {
            await settleOn(c, [1, 2, 3, 4, 5]);
            await c.sleep(500);
            await settleOn(c, [1, 2, 3]);
            rounds++;
          }
          // The run ends with three, whatever it was at.
        },
        check: ({ nodes }) => {
          for (const { group } of nodes) expect(group.members.length).toBeGreaterThan(0);
        },
      });
      expect(rounds).toBeGreaterThan(0);
      expect(run.acknowledgedMs.length).toBeGreaterThan(20);
    });
  });

  test.each([5, 6])("one member takes another's place in one change, under faults, seed %i", async (seed) => {
    let done = false;
    await onEngine(seed, {
      nodes: 4,
      founders: 3,
      serving: [1, 2, 4],
      durationMs: 12_000,
      faults: faultsOf(seed),
      patienceMs: 1_000,
      operator: async (c) => {
        await c.sleep(1_000);
        await settleOn(c, [1, 2, 4]);
        done = true;
      },
    });
    expect(done).toBe(true);
  });

  function cut(atMs: number, forMs: number, pairs: readonly (readonly [number, number])[]): Fault {
    return {
      type: "partition",
      atMs,
      forMs,
      shape: "link",
      cuts: pairs.flatMap(([a, b]) => [[a, b] as const, [b, a] as const]),
    };
  }

  /** The new ones cannot be reached, and the old ones lose each other, although no list of members names them any more. */
  test.each([8, 9, 10])("all members are replaced at once while links break, seed %i", async (seed) => {
    let done = false;
    const across = [1, 2, 3].flatMap((a) => [4, 5, 6].map((b) => [a, b] as const));
    const faults = [
      cut(2_000, 9_000, across),
      cut(6_000, 4_000, [
        [1, 2],
        [1, 3],
        [2, 3],
      ]),
    ];
    const run = await onEngine(seed, {
      nodes: 6,
      founders: 3,
      serving: [4, 5, 6],
      durationMs: 16_000,
      faults,
      patienceMs: 500,
      clients: 8,
      operator: async (c) => {
        await c.sleep(3_000);
        await settleOn(c, [4, 5, 6]);
        done = true;
      },
    });
    expect(done).toBe(true);
    const cutMs = run.events.findLast((e) => e.event.type === "fault-partition")?.timeMs ?? 0;
    for (const node of [1, 2, 3]) {
      const last = run.events.findLast((e) => e.node === node && e.timeMs < cutMs && e.event.type === "configuration");
      // Raft is on its way; Paxos has ended the era of the first three, and only they know.
      const isOnItsWay = { voters: [4, 5, 6], outgoing: [1, 2, 3], committed: false };
      const isOver = { voters: [4, 5, 6], outgoing: [], committed: true };
      expect(last?.event).toMatchObject(consensus === "raft" ? isOnItsWay : isOver);
    }
  });

  test.each([11, 13])("the leadership moves under load, and no call is lost, seed %i", async (seed) => {
    let moved = 0;
    const run = await onEngine(seed, {
      durationMs: 8_000,
      faults: "none",
      pauseMs: 4,
      clients: 8,
      operator: async (c) => {
        while (!c.stopping) {
          await c.sleep(300);
          const to = nodeId(c.anyNode());
          const call = await c.call(c.anyNode(), ({ group }) => group.transferLeader(to));
          if (call.type === "answer") moved++;
        }
      },
      check: ({ nodes }) => {
        for (const { group } of nodes) expect(group.status().damaged).toBe(false);
      },
    });
    expect(moved).toBeGreaterThan(10);
    expect(run.acknowledgedMs.length).toBeGreaterThan(300);
    const reasons = run.events.filter((e) => e.event.type === "role" && e.event["role"] === "pre-candidate");
    expect(reasons.length).toBeLessThan(5); // nobody had to wait for an election timeout
  });

  /**
   * Paxos takes no command between the proposal of a stop entry and its choice: what comes meanwhile must not wait much longer.
   * (Some callers are at the node that is no member at the time.)
   */
  test.each([41, 42])("members come and go under load without holding it up, seed %i", async (seed) => {
    let changes = 0;
    const run = await onEngine(seed, {
      nodes: 4,
      founders: 3,
      serving: [1, 2, 3],
      durationMs: 8_000,
      faults: "none",
      pauseMs: 4,
      clients: 24,
      patienceMs: 200, // at the node that is no member at the time
      operator: async (c) => {
        await c.sleep(1_500);
        while (!c.stopping) {
          await settleOn(c, changes % 2 === 0 ? [1, 2, 3, 4] : [1, 2, 3]);
          changes++;
          await c.sleep(150);
        }
      },
    });
    expect(changes).toBeGreaterThan(3);
    const during = run.acknowledgedMs.filter((ms) => ms > 1_500 && ms < 8_000);
    const gaps = during.slice(1).map((ms, i) => ms - (during[i] ?? ms));
    expect(Math.max(...gaps)).toBeLessThan(ELECTION_MS / 2);
  });

  describe("a disk that was wiped (case 9)", () => {
    test.each([14, 15])("returns as a learner, catches up, and votes again, seed %i", async (seed) => {
      const nodes = seed % 2 === 0 ? 3 : 5;
      const faults: Fault[] = [
        { type: "wipe", atMs: 2_000, node: 1, downMs: 500 },
        { type: "wipe", atMs: 7_000, node: 2, downMs: 500 },
        { type: "wipe", atMs: 12_000, node: 3, downMs: 1_500 },
      ];
      const run = await onEngine(seed, {
        nodes,
        durationMs: 18_000,
        faults,
        patienceMs: 1_000,
        check: ({ nodes: running }) => {
          for (const { group, foundation } of running) {
            const me = group.members.find((m) => m.id === group.nodeId);
            expect(me).toMatchObject({ role: "voter", incarnation: foundation.identity.incarnation });
          }
        },
      });
      expect(run.count("fault-wipe")).toBe(3);
      const without = run.events.filter((e) => {
        const voters = e.event["voters"];
        return e.event.type === "configuration" && Array.isArray(voters) && voters.length === nodes - 1;
      });
      expect(without.length).toBeGreaterThan(0); // it did not vote in between
    });
  });

  describe("a member that was removed", () => {
    const isRest = (e: { node?: number | undefined; event: { type: string } }): boolean =>
      e.node === 3 && e.event.type === "removed-from-group";

    /** Node 3 is cut off while the others remove it, or not cut off at all; the links are whole from 5 s on. */
    const removal = async (seed: number, faults: readonly Fault[] | "none", comesBack: boolean) => {
      let told: number | undefined;
      const run = await onEngine(seed, {
        nodes: 3,
        serving: comesBack ? [1, 2, 3] : [1, 2],
        durationMs: 14_000,
        faults,
        patienceMs: 1_000,
        operator: async (c) => {
          await c.sleep(2_000);
          await settleOn(c, [1, 2]);
          await c.sleep(7_000);
          const call = await c.call(3, async ({ group }) => group.status().removedAsOf);
          if (call.type === "answer") told = call.value;
          if (comesBack) await settleOn(c, [1, 2, 3]);
        },
        check: ({ nodes }) => {
          const removed = nodes.filter(({ group }) => group.status().removedAsOf !== undefined);
          expect(removed.map(({ group }) => group.nodeId)).toEqual(comesBack ? [] : [3]);
        },
      });
      const rests = run.events.filter(isRest);
      return { run, rests, told };
    };

    const cases: readonly (readonly [when: string, seed: number, faults: readonly Fault[] | "none"])[] = [
      [
        "while it was cut off",
        21,
        [
          cut(1_500, 4_000, [
            [1, 3],
            [2, 3],
          ]),
        ],
      ],
      ["while it listened", 22, "none"],
      ["and started again", 23, [{ type: "crash", mode: "power", atMs: 6_000, node: 3, downMs: 300 }]],
    ];
    test.each(cases)("%s learns of it, says so, and stands no more", async (_, seed, faults) => {
      const { run, rests, told } = await removal(seed, faults, false);
      expect(rests).toHaveLength(run.count("fault-crash") + 1); // once a process
      expect(told).toBeGreaterThan(0);
      const atMs = rests.at(-1)?.timeMs ?? 0;
      expect(atMs).toBeGreaterThan(2_000);
      const later = run.events.filter((e) => e.node === 3 && e.timeMs > atMs && isStanding(e.event));
      expect(later).toEqual([]);
      expect(run.acknowledgedBetween(atMs, 14_000)).toBeGreaterThan(20);
    });

    test("comes back when it is added again", async () => {
      const { run, rests } = await removal(
        24,
        [
          cut(1_500, 4_000, [
            [1, 3],
            [2, 3],
          ]),
        ],
        true,
      );
      expect(rests).toHaveLength(1);
      expect(run.count("returned-to-group")).toBe(1);
    });
  });
});
