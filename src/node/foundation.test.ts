/** What a node's groups share, on fakes: a single node, because clusters are the simulator's part. */
import { describe, expect, test } from "vitest";
import { AppendMachine, appendCommand } from "../../test/sim/lib/append-machine.ts";
import {
  FakeClock,
  FakeDisk,
  fakeKernels,
  FakeNetwork,
  FakeObserver,
  fakeRandom,
} from "../../test/sim/lib/fake-ports.ts";
import { configOf } from "../../test/sim/lib/group-scenario.ts";
import { groupId } from "../base/ids.ts";
import { AlthingError } from "../base/errors.ts";
import { type ConsensusEngine, consensusEngines } from "../config/node-config.ts";
import type { DiskFile, DiskLock } from "../ports/disk.ts";
import { markJoined } from "./data-folder.ts";
import { clusterId, Foundation } from "./foundation.ts";

class MarkedDisk extends FakeDisk {
  /** While true, nothing new fits beside the log. */
  isFull = false;
  refused = 0;

  override async open(path: string, options: { readonly create: boolean }): Promise<DiskFile | undefined> {
    if (this.isFull && path === "identity.new") {
      this.refused++;
      throw new AlthingError("DISK_FULL", `Cannot create ${path}: no space`);
    }
    return super.open(path, options);
  }
}

let starts = 0;

async function start(
  disk: FakeDisk,
  founders: number,
  consensus: ConsensusEngine,
): Promise<{ clock: FakeClock; observer: FakeObserver; foundation: Foundation }> {
  const clock = new FakeClock();
  const observer = new FakeObserver();
  const ports = {
    clock,
    disk,
    observer,
    network: new FakeNetwork(),
    random: fakeRandom(++starts),
    kernels: fakeKernels,
  };
  return { clock, observer, foundation: await Foundation.open(ports, configOf(1, founders, { consensus })) };
}

describe.each(consensusEngines)("Foundation on %s", (consensus) => {
  test("a node serves, and notes that it was a member; a full disk delays the note and stops nobody", async () => {
    const disk = new MarkedDisk();
    const { clock, observer, foundation } = await start(disk, 1, consensus);
    disk.isFull = true;
    const machine = new AppendMachine();
    const group = await foundation.openGroup(groupId(7), { folder: "group", machine });
    await clock.advance(500);
    let outcome = "";
    group.submit(appendCommand(1, 5), (o) => {
      outcome = o.type;
    });
    await clock.advance(3_000);
    expect(outcome).toBe("committed");
    expect(machine.query(1)).toEqual([5]);
    expect(disk.refused).toBeGreaterThan(1);
    expect([foundation.identity.joined, observer.of("node-failed")]).toEqual([false, []]);
    disk.isFull = false;
    await clock.advance(1_500);
    expect(foundation.identity.joined).toBe(true);
    const closed = group.close().then(() => foundation.close());
    await clock.advance(2_000);
    await closed;
    expect(clock.pending).toBe(0);
  });

  test.each([1, 2])("fails with what went wrong first, when closing what is open fails too: sync %i", async (fatal) => {
    let syncs = 0;
    const disk = new (class extends FakeDisk {
      override async lock(): Promise<DiskLock> {
        return { close: () => Promise.reject(new AlthingError("DISK_FAILED", "Cannot unlock: input/output error")) };
      }
      override async syncDirectory(): Promise<void> {
        if (++syncs >= fatal) throw new AlthingError("DISK_FAILED", "Cannot sync: input/output error");
      }
    })();
    await expect(start(disk, 1, consensus)).rejects.toMatchObject({
      code: "DISK_FAILED",
      message: "Cannot sync: input/output error",
    });
  });

  test("a log that is gone from a member's folder makes it another data folder (F1)", async () => {
    const disk = new FakeDisk();
    const first = await start(disk, 2, consensus);
    const { identity } = first.foundation;
    await first.foundation.close();
    await markJoined(disk, identity);
    for (const path of [...disk.files.keys()]) if (path.startsWith("wal/")) disk.files.delete(path);
    const second = await start(disk, 2, consensus);
    expect(second.observer.of("log-lost")).toHaveLength(1);
    expect(second.foundation.identity.incarnation).not.toBe(identity.incarnation);
    const group = await second.foundation.openGroup(groupId(7), { folder: "group", machine: new AppendMachine() });
    expect(group.members).toEqual([]); // no founder any more: it waits to be added
    await group.close();
    await second.foundation.close();
    await second.clock.advance(5_000);
    expect(second.clock.pending).toBe(0);
  });

  test("a single node whose log is gone says so and does not begin anew", async () => {
    const disk = new FakeDisk();
    const first = await start(disk, 1, consensus);
    const { identity } = first.foundation;
    await first.foundation.close();
    await markJoined(disk, identity);
    for (const path of [...disk.files.keys()]) if (path.startsWith("wal/")) disk.files.delete(path);
    await expect(start(disk, 1, consensus)).rejects.toMatchObject({ code: "GROUP_DAMAGED" });
    expect(disk.opened.size).toBe(0);
  });

  test("a log that was cut short may have held a vote: another data folder, and the rest of the log goes (F1)", async () => {
    const disk = await withCutLog(consensus);
    const before = new TextDecoder().decode(disk.files.get("identity"));
    const { foundation, observer } = await start(disk, 3, consensus);
    expect(observer.of("log-lost")).toHaveLength(1);
    expect(before).not.toContain(String(foundation.identity.incarnation));
    const group = await foundation.openGroup(groupId(1), { folder: "group", machine: new AppendMachine() });
    expect(group.members).toEqual([]);
    expect(observer.of("log-damaged")).toEqual([]); // nothing is left that could be found damaged again
    await group.close();
    await foundation.close();
  });

  test("a single node whose log was cut short keeps what is left, and says so", async () => {
    const disk = await withCutLog(consensus);
    const before = new Map(disk.files);
    await expect(start(disk, 1, consensus)).rejects.toMatchObject({ code: "GROUP_DAMAGED" });
    const names = [...before.keys()].filter((name) => name.startsWith("wal/"));
    expect(names.every((name) => disk.files.has(name))).toBe(true);
    expect(disk.opened.size).toBe(0);
  });
});

/** A folder whose only log file ends in the middle of acknowledged commands. */
async function withCutLog(consensus: ConsensusEngine): Promise<FakeDisk> {
  const disk = new FakeDisk();
  const { clock, foundation } = await start(disk, 1, consensus);
  const group = await foundation.openGroup(groupId(1), { folder: "group", machine: new AppendMachine() });
  let answered = 0;
  for (let i = 1; i <= 50; i++) {
    group.submit(appendCommand(1, i), () => answered++);
    await clock.advance(100);
  }
  await clock.advance(2_000);
  expect(answered).toBe(50);
  const closed = group.close().then(() => foundation.close());
  await clock.advance(2_000);
  await closed;
  const written = [...disk.files].find(
    ([path, bytes]) => path.startsWith("wal/") && bytes.subarray(1_000).some(Boolean),
  );
  if (written === undefined) throw new Error("no log file holds a command");
  disk.files.set(written[0], written[1].slice(0, 1_000));
  return disk;
}

test("clusterId() tells names apart and is the same for ever", () => {
  expect(clusterId("althing")).toBe(clusterId("althing"));
  expect(new Set(["althing", "althinG", "lthinga", "", "a"].map(clusterId)).size).toBe(5);
  expect(Number.isSafeInteger(clusterId("x".repeat(1_000)))).toBe(true);
});
