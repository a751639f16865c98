/** What a group makes of damage in its log, before its engine is there. Repair itself: `test/sim/group-faults.test.ts`. */
import { expect, test } from "vitest";
import { AppendMachine } from "../../test/sim/lib/append-machine.ts";
import {
  FakeClock,
  FakeDisk,
  fakeKernels,
  FakeNetwork,
  FakeObserver,
  fakeRandom,
} from "../../test/sim/lib/fake-ports.ts";
import { groupId, incarnation, logIndex, nodeId, term } from "../base/ids.ts";
import { defaultLimits, defaultTimings } from "../config/limits.ts";
import type { Configuration } from "../consensus/contract/configuration.ts";
import type { Recovered } from "../consensus/contract/core.ts";
import { RecordKind } from "../consensus/contract/record.ts";
import { recoverRaft } from "../consensus/raft/raft.ts";
import type { WalDamage, WriteAheadLog } from "../storage/wal/contract.ts";
import { Peers } from "./peers.ts";
import { recoverGroup } from "./recovery.ts";

const GROUP = groupId(1);
const wal: WriteAheadLog = {
  append: () => undefined,
  trim: () => undefined,
  flushed: async () => undefined,
  stats: () => ({ segments: 1, bytes: 0, oldestWriteMs: undefined, hasRoom: true }),
  onRoom: () => () => undefined,
  close: async () => undefined,
} as unknown as WriteAheadLog; // nothing but `trim` is used here

function configurationOf(...ids: number[]): Configuration {
  const members = ids.map((id) => ({
    id: nodeId(id),
    incarnation: 0,
    role: "voter" as const,
    promote: false,
    name: "",
    address: `n${id}`,
    clientUrls: [],
  }));
  return { members, outgoing: [] };
}

function damaged(kind: number, index: number, inTerm: number): WalDamage {
  const record = { group: GROUP, kind, index: logIndex(index), term: inTerm };
  return { segment: "1", offset: 0, why: "body", records: 1, record };
}

async function recover(bootstrap: Configuration, damage: readonly WalDamage[]): Promise<Recovered> {
  const observer = new FakeObserver();
  const clock = new FakeClock();
  const disk = new FakeDisk();
  const ports = { clock, random: fakeRandom(), network: new FakeNetwork(), disk, kernels: fakeKernels, observer };
  let seen: Recovered | undefined;
  await recoverGroup(ports, {
    group: GROUP,
    folder: "g",
    nodeId: nodeId(1),
    incarnation: incarnation(1),
    wal,
    peers: new Peers(ports, { clusterId: 1, nodeId: nodeId(1), incarnation: incarnation(1) }),
    self: { name: "n1", clientUrls: [] },
    priority: 0,
    limits: defaultLimits,
    timings: defaultTimings,
    snapshotBytesPerSecond: 1,
    fatal: () => undefined,
    machine: new AppendMachine(),
    core: (options, recovered, nowMs) => {
      seen = recovered;
      return recoverRaft(options, recovered, nowMs);
    },
    records: [],
    damage,
    bootstrap,
  });
  if (seen === undefined) throw new Error("no engine was made");
  return seen;
}

test("a lost vote of a known term binds, and is no hole in the log", async () => {
  const one = await recover(configurationOf(1, 2, 3), [damaged(RecordKind.vote, 0, 4), damaged(RecordKind.vote, 0, 7)]);
  expect(one).toMatchObject({ lostVoteTerm: term(7), damagedUpTo: undefined });
});

test("a lost promise is a lost vote", async () => {
  expect(await recover(configurationOf(1), [damaged(RecordKind.promise, 0, 9)])).toMatchObject({ lostVoteTerm: 9 });
});

test("a lost entry is a hole, and so is a record that nobody can name", async () => {
  const entry = await recover(configurationOf(1, 2, 3), [damaged(RecordKind.command, 5, 2)]);
  expect(entry.damagedUpTo).toBe(5);
  expect("lostVoteTerm" in entry).toBe(false);
  const nameless: WalDamage = { segment: "1", offset: 0, why: "header", records: 2, record: undefined };
  expect((await recover(configurationOf(1, 2, 3), [nameless])).damagedUpTo).toBe(2);
});

test("the only voter cannot get an entry back", async () => {
  const failing = recover(configurationOf(1), [damaged(RecordKind.command, 5, 2)]);
  await expect(failing).rejects.toMatchObject({ code: "GROUP_DAMAGED" });
});
