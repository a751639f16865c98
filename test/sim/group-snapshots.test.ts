/**
 * Snapshots to followers whose entries the leader has dropped: after a long absence, over links that break, at a slow pace
 * under load, through crashes of the receiver and changes of the leader. What all runs check: see `group-faults.test.ts`.
 */
import { describe, expect, test } from "vitest";
import { consensusEngines } from "../../src/config/node-config.ts";
import type { Fault } from "../../src/sim/faults.ts";
import { runGroup } from "./lib/group-run.ts";

/** The leader keeps next to nothing of its log. */
const forgetful = { limits: { logBytesKept: 256, dirtyBytesMax: 512 } };
/** A snapshot of 200 chunks takes about two seconds. */
const slowly = { ...forgetful, snapshotBytesPerSecond: 1_500 };

const absence = (node: number, atMs: number): Fault => ({ type: "crash", atMs, node, mode: "process", downMs: 4_000 });

describe.each(consensusEngines)("%s", (consensus) => {
  const onEngine: typeof runGroup = (seed, options) => runGroup(seed, { consensus, ...options });

  test.each([1, 2])("a follower that was away for long takes a snapshot, seed %i", async (seed) => {
    const faults = [absence(1, 500), absence(2, 6_500), absence(3, 12_500)];
    const run = await onEngine(seed, { durationMs: 18_000, faults, settings: forgetful, pauseMs: 10 });
    expect(run.count("snapshot-installed")).toBeGreaterThanOrEqual(2);
  });

  test.each([4, 5])("a transfer goes on where the connection broke, seed %i", async (seed) => {
    const faults: Fault[] = [absence(2, 500)];
    for (let i = 0; i < 12; i++) {
      faults.push({ type: "reset", atMs: 4_800 + 300 * i, a: 2, b: i % 2 === 0 ? 1 : 3 });
    }
    const run = await onEngine(seed, { durationMs: 14_000, faults, settings: slowly, pauseMs: 10, keys: 200 });
    expect(run.count("fault-reset")).toBe(12);
    expect(run.count("snapshot-installed")).toBeGreaterThanOrEqual(1);
    const sending = run.events.filter((e) => e.event.type === "snapshot-sending" && e.event["to"] === 2);
    expect(sending.length).toBeLessThan(6); // not one a reset
  });

  test.each([7, 8])("a slow transfer under load ends, because what follows it is kept, seed %i", async (seed) => {
    const run = await onEngine(seed, {
      durationMs: 12_000,
      faults: [absence(2, 500)],
      settings: slowly,
      pauseMs: 4,
      clients: 6,
      keys: 200,
    });
    const sent = run.events.filter((e) => e.event.type === "snapshot-sent" && e.event["to"] === 2);
    expect(sent.filter((e) => e.event["ok"] === true).length).toBe(1);
    expect(sent.length).toBe(1);
  });

  test("a receiver that crashes on the way, or while it installs, begins again", async () => {
    let sending = 0;
    let installed = 0;
    for (const seed of [9, 10, 11]) {
      const faults: Fault[] = [absence(2, 500)];
      for (let i = 0; i < 5; i++) {
        faults.push({ type: "crash", atMs: 4_700 + 500 * i + 13 * seed, node: 2, mode: "power", downMs: 100 });
      }
      const run = await onEngine(seed, { durationMs: 12_000, faults, settings: slowly, pauseMs: 10, keys: 200 });
      sending += run.count("snapshot-sending");
      installed += run.count("snapshot-installed");
    }
    expect(installed).toBeGreaterThanOrEqual(3);
    expect(sending).toBeGreaterThan(installed);
  });

  let sendings = 0;
  test.each([13, 14, 16])("leaders come and go while snapshots are under way, seed %i", async (seed) => {
    const kinds = ["crash", "partition", "pause", "reset", "slow-disk", "stalled-disk"] as const;
    const run = await onEngine(seed, {
      nodes: seed % 2 === 0 ? 5 : 3,
      durationMs: 15_000,
      faults: { kinds, swarm: false, meanGapMs: 500, electionMs: 1_000 },
      settings: slowly,
      pauseMs: 10,
      patienceMs: 500,
      keys: 100,
    });
    sendings += run.count("snapshot-sending");
  });

  test("the runs above had snapshots under way", () => {
    expect(sendings).toBeGreaterThan(0);
  });

  test("a follower without space refuses a snapshot, and takes it when there is space", async () => {
    const faults: Fault[] = [absence(2, 500), { type: "full-disk", atMs: 4_400, node: 2, freeBytes: 0, forMs: 4_000 }];
    const run = await onEngine(17, { durationMs: 12_000, faults, settings: forgetful, pauseMs: 10, keys: 200 });
    expect(run.count("node-failed")).toBe(0);
    expect(run.count("snapshot-refused") + run.count("checkpoint-waits")).toBeGreaterThan(0);
    expect(run.count("snapshot-installed")).toBeGreaterThanOrEqual(1);
  });
});
