/** What a group makes of damage in its log, before its engine is there. Repair itself: `test/sim/group-faults.test.ts`. */
import { describe, expect, test } from "vitest";
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
import { type LogRecord, RecordKind } from "../consensus/contract/record.ts";
import { recoverRaft } from "../consensus/raft/raft.ts";
import type { SlotLog, WalDamage } from "../storage/wal/contract.ts";
import { Peers } from "./peers.ts";
import { recoverGroup } from "./recovery.ts";

const GROUP = groupId(1);
const wal: SlotLog = {
  append: () => undefined,
  trim: () => undefined,
  flushed: async () => undefined,
  stats: () => ({ segments: 1, bytes: 0, oldestWriteMs: undefined, hasRoom: true }),
  onRoom: () => () => undefined,
  close: async () => undefined,
} as unknown as SlotLog; // nothing but `trim` is used here

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

async function recover(
  bootstrap: Configuration,
  damage: readonly WalDamage[],
  records: readonly LogRecord[] = [],
): Promise<Recovered> {
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
    peers: new Peers(ports, { clusterId: 1, nodeId: nodeId(1), incarnation: incarnation(1), consensus: "raft" }),
    self: { name: "n1", clientUrls: [] },
    priority: 0,
    limits: defaultLimits,
    timings: defaultTimings,
    snapshotBytesPerSecond: 1,
    fatal: () => undefined,
    machine: new AppendMachine(),
    core: (options, recovered, nowMs) => {
      seen = recovered;
      return recoverRaft(options, { ...recovered, records: [] }, nowMs); // of either engine
    },
    records,
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

describe("of slots", () => {
  const slot = (index: number, kind: RecordKind = RecordKind.acceptedCommand): LogRecord => {
    return { kind, index: logIndex(index), term: term(1_025), chain: 0, body: new Uint8Array(0), bodyCrc: 0 };
  };
  const upTo = async (records: readonly LogRecord[], damage: readonly WalDamage[] = []): Promise<number | undefined> =>
    (await recover(configurationOf(1, 2, 3), damage, records)).damagedUpTo;

  test("holes are no damage", async () => {
    expect(await upTo([slot(9), slot(3), slot(5)])).toBeUndefined();
  });

  test("a damaged one means that all up to the highest may have been acknowledged", async () => {
    const five = damaged(RecordKind.acceptedNoop, 5, 1_025);
    expect(await upTo([slot(9), slot(3)], [five])).toBe(9);
    expect(await upTo([slot(3)], [five])).toBe(5);
  });

  test("what was known to be chosen must be there, or in the checkpoint that a start stands for", async () => {
    const chosen = slot(3, RecordKind.chosen);
    expect(await upTo([slot(1), slot(2), slot(3), chosen, slot(7)])).toBeUndefined();
    expect(await upTo([slot(1), slot(3), chosen, slot(7)])).toBe(7);
    expect(await upTo([slot(7, RecordKind.start), slot(8)])).toBe(8);
  });

  test("of a damaged word of what is chosen, the header says enough", async () => {
    const chosen = damaged(RecordKind.chosen, 2, 0);
    expect(await upTo([slot(1), slot(2), slot(4)], [chosen])).toBeUndefined();
    expect(await upTo([slot(2), slot(4)], [chosen])).toBe(4);
  });
});

test("the only voter cannot get an entry back", async () => {
  const failing = recover(configurationOf(1), [damaged(RecordKind.command, 5, 2)]);
  await expect(failing).rejects.toMatchObject({ code: "GROUP_DAMAGED" });
});
