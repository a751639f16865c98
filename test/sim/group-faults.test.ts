/**
 * One fault at a time against whole nodes, with the reaction that is due: one-way cuts, pauses, full and stalled disks,
 * restarts of everything, sessions that are evicted. Mixed faults: `group-seeds.test.ts`; snapshots:
 * `group-snapshots.test.ts`; members: `group-members.test.ts`.
 * Every run checks besides: nothing acknowledged is lost, nothing happens twice, nothing rejected happens at all, no read is
 * stale, replicas are equal.
 */
import { describe, expect, test } from "vitest";
import { consensusEngines } from "../../src/config/node-config.ts";
import type { Fault } from "../../src/sim/faults.ts";
import type { SimClient } from "../../src/sim/sim-client.ts";
import { onEach, runGroup } from "./lib/group-run.ts";
import type { GroupNode } from "./lib/group-scenario.ts";

const ELECTION_MS = 500;

describe.each(consensusEngines)("%s", (consensus) => {
  const onEngine: typeof runGroup = (seed, options) => runGroup(seed, { consensus, ...options });

  test("a leader that sends and cannot hear steps down within two election timeouts (one-way cut)", async () => {
    let hits = 0;
    for (const seed of [1, 2]) {
      const faults = onEach(3, 4_000, (node, atMs) => ({
        type: "partition",
        atMs,
        shape: "one-way",
        cuts: [1, 2, 3].filter((n) => n !== node).map((other) => [other, node] as const),
        forMs: 3_000,
        of: node,
      }));
      const run = await onEngine(seed, { durationMs: 13_000, faults, clients: 6, patienceMs: 300 });
      for (const { node, atMs } of run.hitsOnLeader("partition")) {
        hits++;
        expect(run.resignedMs(node, atMs) - atMs).toBeLessThan(2 * ELECTION_MS);
        expect(run.succeededMs(node, atMs) - atMs).toBeLessThan(4 * ELECTION_MS);
        expect(run.acknowledgedBetween(atMs + 4 * ELECTION_MS, atMs + 3_000)).toBeGreaterThan(0);
      }
    }
    expect(hits).toBeGreaterThanOrEqual(2);
  });

  test("a follower that hears and cannot send does not disturb the leader (one-way cut)", async () => {
    const faults: readonly Fault[] = onEach(3, 4_000, (node, atMs) => ({
      type: "partition",
      atMs,
      shape: "one-way",
      cuts: [1, 2, 3].filter((n) => n !== node).map((other) => [node, other] as const),
      forMs: 3_000,
      of: node,
    }));
    const run = await onEngine(4, { durationMs: 13_000, faults, clients: 6, patienceMs: 300 });
    const mute = run.events.filter(
      (e) => e.event.type === "fault-partition" && !run.leads(Number(e.event["of"]), e.timeMs),
    );
    expect(mute.length).toBeGreaterThan(0);
    for (const { timeMs } of mute) {
      const leader = [1, 2, 3].find((node) => run.leads(node, timeMs));
      if (leader !== undefined) expect(run.leads(leader, timeMs + 2_900)).toBe(true);
    }
  });

  test("a leader that was paused serves no stale read when it resumes", async () => {
    let hits = 0;
    for (const seed of [1, 2]) {
      const faults = onEach(3, 4_000, (node, atMs) => ({ type: "pause", atMs, node, forMs: 3_000 }));
      const run = await onEngine(seed, { durationMs: 13_000, faults, clients: 6, patienceMs: 300 });
      for (const { node, atMs } of run.hitsOnLeader("pause")) {
        hits++;
        const resumedMs = run.events.find((e) => e.event["fault"] === "pause" && e.timeMs > atMs + 1)?.timeMs ?? 0;
        expect(run.resignedMs(node, atMs)).toBeLessThan(resumedMs + ELECTION_MS);
        expect(run.succeededMs(node, atMs) - atMs).toBeLessThan(4 * ELECTION_MS); // the others went on
        expect(run.acknowledgedBetween(atMs + 4 * ELECTION_MS, resumedMs)).toBeGreaterThan(0);
      }
    }
    expect(hits).toBeGreaterThanOrEqual(2);
  });

  describe("lease reads, switched on", () => {
    const settings = { timings: { leaseMs: 400 } };
    const slow = { delayLeastMs: 20, delayMeanMs: 5, bytesPerMs: 125_000, lossChance: 0, retransmitMs: 200 };

    test("they answer from the leader's memory, without a round over slow links", async () => {
      let quick = 0;
      const operator = async (c: SimClient<GroupNode>): Promise<void> => {
        while (!c.stopping) {
          await c.sleep(100);
          const startedMs = c.nowMs;
          const call = await c.call(c.anyNode(), async ({ group }) => {
            if (group.isReadyLeader) await group.read(0, { level: "lease" });
            return group.isReadyLeader;
          });
          if (call.type === "answer" && call.value && c.nowMs - startedMs < 20) quick++;
        }
      };
      await onEngine(5, {
        durationMs: 5_000,
        faults: "none",
        settings,
        readLevel: "lease",
        operator,
        network: { datagram: undefined, resetChance: 0, corruptChance: 0, link: slow },
      });
      if (consensus === "raft") expect(quick).toBeGreaterThan(5);
      else expect(quick).toBe(0); // Paxos has no leases: such a read is confirmed like any other
    });

    test.each([11, 12, 13])("they are never stale: pauses, cuts, transfers, restarts, seed %i", async (seed) => {
      const operator = async (c: SimClient<GroupNode>): Promise<void> => {
        while (!c.stopping) {
          await c.sleep(c.random.between(200, 1_500));
          const to = c.anyNode();
          await c.call(to, ({ group }) =>
            group.transferLeader(group.nodeId, { timeoutMs: 500 }).catch(() => undefined),
          );
        }
      };
      const kinds = ["pause", "partition", "crash", "clog", "reset"] as const;
      const faults = { kinds, swarm: false, meanGapMs: 700, electionMs: 1_000 };
      const run = await onEngine(seed, {
        durationMs: 15_000,
        faults,
        settings,
        readLevel: "lease",
        operator,
        pauseMs: 10,
        clients: 8,
      });
      expect(run.acknowledgedMs.length).toBeGreaterThan(20);
    });
  });

  test("a full disk refuses writes and stops nobody; with space again all is well", async () => {
    let full = 0;
    for (const seed of [1, 2]) {
      const faults = onEach(3, 4_000, (node, atMs) => ({ type: "full-disk", atMs, node, freeBytes: 0, forMs: 3_000 }));
      const run = await onEngine(seed, { durationMs: 13_000, faults, pauseMs: 5, paddingBytes: 100 });
      expect(run.count("node-failed")).toBe(0);
      expect(run.count("booted")).toBe(3);
      full += run.count("wal-full") + run.count("checkpoint-waits");
      for (const { atMs } of run.hitsOnLeader("full-disk")) {
        expect(run.acknowledgedBetween(atMs + 3_250, atMs + 4_000)).toBeGreaterThan(0); // the fault is over
      }
    }
    expect(full).toBeGreaterThan(0);
  });

  test("a leader whose disk stalls gives its place away, and comes back as a follower", async () => {
    let hits = 0;
    for (const seed of [1, 2]) {
      const faults = onEach(3, 4_000, (node, atMs) => ({ type: "stalled-disk", atMs, node, forMs: 3_000 }));
      const run = await onEngine(seed, { durationMs: 13_000, faults, clients: 6, patienceMs: 300 });
      expect(run.count("booted")).toBe(3);
      for (const { node, atMs } of run.hitsOnLeader("stalled-disk")) {
        hits++;
        expect(run.resignedMs(node, atMs) - atMs).toBeLessThan(2 * ELECTION_MS);
        expect(run.succeededMs(node, atMs) - atMs).toBeLessThan(4 * ELECTION_MS);
        expect(run.acknowledgedBetween(atMs + 4 * ELECTION_MS, atMs + 3_000)).toBeGreaterThan(0);
      }
    }
    expect(hits).toBeGreaterThanOrEqual(2);
  });

  test.each([
    [1, 21],
    [3, 22],
    [5, 23],
    [7, 24],
  ] as const)("%i nodes lose power all at once, again and again", async (nodes, seed) => {
    const faults: Fault[] = [];
    for (let i = 0; i < 6; i++) {
      for (let node = 1; node <= nodes; node++) {
        faults.push({ type: "crash", atMs: 1_000 + 1_500 * i, node, mode: "power", downMs: 50 + 40 * node });
      }
    }
    const run = await onEngine(seed, { nodes, durationMs: 11_000, faults, pauseMs: 10 });
    expect(run.count("booted")).toBe(7 * nodes);
    expect(run.acknowledgedMs.length).toBeGreaterThan(100);
  });

  test.each([31, 32])(
    "sessions are evicted from a small table, and each command still happens once, seed %i",
    async (seed) => {
      const kinds = ["crash", "partition", "pause"] as const;
      const run = await onEngine(seed, {
        nodes: 5,
        durationMs: 10_000,
        clients: 8,
        settings: { limits: { sessionsMax: 3 } },
        faults: { kinds, swarm: false, meanGapMs: 1_500, electionMs: 1_000 },
      });
      expect(run.acknowledgedMs.length).toBeGreaterThan(20);
    },
  );
});
