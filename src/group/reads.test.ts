/** Local reads while the state is being replaced. Levels and their confirmation: `group.test.ts` and the simulator's group tests. */
import { expect, test } from "vitest";
import {
  FakeClock,
  FakeDisk,
  fakeKernels,
  FakeNetwork,
  FakeObserver,
  fakeRandom,
} from "../../test/sim/lib/fake-ports.ts";
import type { AlthingError } from "../base/errors.ts";
import { groupId, incarnation, type LogIndex, logIndex, nodeId, term } from "../base/ids.ts";
import { defaultLimits, defaultTimings } from "../config/limits.ts";
import { EMPTY_CONFIGURATION } from "../consensus/contract/configuration.ts";
import type { ConsensusCore, Effects } from "../consensus/contract/core.ts";
import type { SlotLog } from "../storage/wal/contract.ts";
import { Peers } from "./peers.ts";
import { Pump } from "./pump.ts";
import { Reads } from "./reads.ts";

const nothing: Effects = { send: [], persist: undefined, committed: [], reads: [], events: [], outcome: undefined };

/** A leader that grants every read at once, at index 5. */
class Granting implements ConsensusCore {
  readonly role = "leader";
  readonly term = term(1);
  readonly leader = nodeId(1);
  readonly commit: LogIndex = logIndex(5);
  readonly snapshotsFrom = "leader";
  readonly takesProposals = true;
  readonly deadlineMs = Number.POSITIVE_INFINITY;

  step(input: Parameters<ConsensusCore["step"]>[0]): Effects {
    return input.type === "read" ? { ...nothing, reads: [{ context: input.context, index: this.commit }] } : nothing;
  }

  status(): ReturnType<ConsensusCore["status"]> {
    const { role, leader, commit } = this;
    return {
      role,
      term: this.term,
      leader,
      commit,
      last: commit,
      first: logIndex(1),
      configuration: EMPTY_CONFIGURATION,
      configurationIndex: logIndex(1),
      uncommitted: { entries: 0, bytes: 0 },
      peers: [],
      damaged: false,
    };
  }

  leaseHolds(): boolean {
    return false;
  }

  startAt(): undefined {
    return undefined;
  }
}

const wal: SlotLog = {
  hasRoom: true,
  isDamaged: false,
  stats: { segments: 1, bytes: 0, flushes: 0, recycled: 0, lastFlushMs: 0 },
  append: () => undefined,
  flush: () => Promise.resolve(),
  trim: () => undefined,
  repaired: () => undefined,
  oldestOpenMs: () => 0,
  close: () => Promise.resolve(),
};

function rig() {
  const clock = new FakeClock();
  const ports = {
    clock,
    disk: new FakeDisk(),
    network: new FakeNetwork(),
    observer: new FakeObserver(),
    kernels: fakeKernels,
    random: fakeRandom(5),
  };
  const self = { nodeId: nodeId(1), incarnation: incarnation(1) };
  const settings = {
    ...self,
    group: groupId(1),
    folder: "group",
    wal,
    peers: new Peers(ports, { ...self, clusterId: 1, consensus: "raft" }),
    self: { name: "", clientUrls: [] },
    priority: 0,
    limits: defaultLimits,
    timings: defaultTimings,
    snapshotBytesPerSecond: 1_000,
    fatal: (error: unknown) => expect.unreachable(String(error)),
  };
  const state = { applied: logIndex(5), isWhole: true };
  const pump: Pump = new Pump(ports, settings, new Granting(), {
    committed: () => undefined,
    granted: (context, index) => reads.coreGranted(context, index),
    event: () => undefined,
    stepped: () => undefined,
    turn: () => reads.sendAll(),
  });
  const reads: Reads = new Reads(pump, state, { nextNumber: 1, answeredBelow: 1 });
  const told: string[] = [];
  const read = (level: "linearizable" | "stale", signal?: AbortSignal): void => {
    const ready = (error: AlthingError | undefined): number => told.push(`${level}: ${error?.code ?? "ready"}`);
    reads.whenReadable(level, ready, signal === undefined ? {} : { signal });
  };
  return { clock, state, reads, told, read };
}

test("a read that was granted while the state was held is due when it is whole again, whether it was replaced or not", async () => {
  const { clock, state, reads, told, read } = rig();
  read("linearizable");
  await clock.advance(1);
  expect(told.splice(0)).toEqual(["linearizable: ready"]);
  state.isWhole = false;
  read("linearizable");
  read("stale");
  await clock.advance(50);
  expect(told).toEqual([]);
  state.isWhole = true; // entries had overtaken the snapshot: nothing was applied, nothing will be
  reads.whole();
  reads.replaced();
  await clock.advance(1);
  expect(told.sort()).toEqual(["linearizable: ready", "stale: ready"]);
});

test("a caller who gives up does not wait for the end of an installation", async () => {
  const { clock, state, reads, told, read } = rig();
  state.isWhole = false;
  const controller = new AbortController();
  read("stale", controller.signal);
  read("stale");
  await clock.advance(10);
  reads.expire(clock.monotonicMs());
  expect(told).toEqual([]);
  controller.abort();
  reads.expire(clock.monotonicMs());
  expect(told).toEqual(["stale: ABORTED"]);
  reads.close();
  expect(told).toEqual(["stale: ABORTED", "stale: CLOSED"]);
});
