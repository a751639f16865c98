// A copy of the store that is found damaged while the node runs: it is told once, and from then on nothing comes out of it.
import { describe, expect, test } from "vitest";
import { equalBytes, utf8 } from "../base/bytes.ts";
import type { AlthingError } from "../base/errors.ts";
import type { Outcome } from "../group/outcome.ts";
import { simKernels } from "../sim/sim-kernels.ts";
import {
  AlarmRequest,
  AlarmType,
  CompactionRequest,
  Compare,
  CompareTarget,
  HashKVRequest,
  LeaseGrantRequest,
  LeaseKeepAliveRequest,
  LeaseTimeToLiveRequest,
  PutRequest,
  RangeRequest,
  TxnRequest,
} from "./messages.ts";
import { recordKey } from "./record.ts";
import { Store } from "./store.ts";
import type { StoreResult } from "./store-result.ts";
import { Fixture } from "./testing/fixture.ts";
import { settle } from "./testing/test-clock.ts";

const b = utf8;
const all = { key: new Uint8Array([0]), rangeEnd: new Uint8Array([0]) };
const corrupt = expect.objectContaining({ code: "CORRUPT", message: "etcdserver: corrupt cluster" });

/** Revisions 2 to 5 are in the engine, where that of `k3` (3) has rotted; 6 is in memory. */
async function rotten(): Promise<Fixture & { readonly damages: AlthingError[] }> {
  const f = new Fixture(simKernels);
  const damages: AlthingError[] = [];
  f.store.listen({
    published: () => undefined,
    replaced: () => undefined,
    damaged: (error) => damages.push(error),
  });
  for (let i = 2; i <= 5; i++) await f.put(`k${i}`, `${i}`);
  await f.group.checkpoint();
  await f.put("k6", "6");
  f.engine.rots = (key) => equalBytes(key, recordKey(3, 0));
  return Object.assign(f, { damages });
}

const get = (f: Fixture, key: string): Promise<unknown> => f.coordination.range(RangeRequest.make({ key: b(key) }));

describe("damage met by a read", () => {
  const meetings: readonly (readonly [string, (f: Fixture) => Promise<unknown>])[] = [
    ["a range", (f) => get(f, "k3")],
    ["a range in the past", (f) => f.coordination.range(RangeRequest.make({ ...all, revision: 4 }))],
    ["a serializable one", (f) => f.coordination.range(RangeRequest.make({ key: b("k3"), serializable: true }))],
    ["a digest", (f) => f.coordination.hashKv(HashKVRequest.make({ revision: 0 }))],
    ["a digest of everything", (f) => f.coordination.hash({})],
    [
      "a transaction that only reads",
      (f) =>
        f.coordination.txn(
          TxnRequest.make({
            success: [{ request: { type: "requestRange", value: RangeRequest.make({ key: b("k3") }) } }],
          }),
        ),
    ],
  ];

  test.each(meetings)("%s fails with etcd's CORRUPT, and says where once", async (_, meet) => {
    const f = await rotten();
    await expect(meet(f)).rejects.toEqual(corrupt);
    await settle();
    await expect(meet(f)).rejects.toEqual(corrupt);
    await settle();
    expect(f.damages).toEqual([expect.objectContaining({ code: "DATA_CORRUPT" })]);
    expect(f.damages[0]?.message).toMatch(/^Cannot read .*revision.* of the store: a value fails its checksum$/);
    expect(f.damages[0]).toBe(f.store.damage);
  });

  test("a value that is missing is damage too", async () => {
    const f = await rotten();
    f.engine.rots = undefined;
    await f.engine.write([{ type: "delete", key: recordKey(3, 0) }]);
    await expect(get(f, "k3")).rejects.toEqual(corrupt);
    expect(f.store.damage?.message).toBe("Cannot read revision 3.0 of the store: it is missing");
    expect(f.store.damage?.details).toMatchObject({ what: "revision 3.0" });
  });

  test("nothing is answered from that copy any more, whatever is sound of it (S5)", async () => {
    const f = await rotten();
    await f.coordination.leaseGrant(LeaseGrantRequest.make({ id: 9n, ttl: 100 }));
    await expect(get(f, "k3")).rejects.toEqual(corrupt);
    await settle();
    for (const call of [
      () => get(f, "k6"),
      () => f.coordination.leaseLeases({}),
      () => f.coordination.alarm(AlarmRequest.make()),
      () => f.coordination.hash({}),
      () => f.coordination.snapshot({})[Symbol.asyncIterator]().next(),
      () => f.coordination.memberList({ linearizable: true }),
    ]) {
      await expect(call()).rejects.toEqual(corrupt);
    }
    expect(() => f.group.exportSnapshot()).toThrow(f.store.damage);
    await expect(f.store.restore((async function* () {})())).rejects.toBe(f.store.damage);
  });

  test("the leader keeps no time of leases any more: nobody is told that theirs is gone", async () => {
    const f = await rotten();
    await f.coordination.leaseGrant(LeaseGrantRequest.make({ id: 9n, ttl: 100 }));
    await expect(get(f, "k3")).rejects.toEqual(corrupt);
    await settle();
    const failures: unknown[] = [];
    const options = { timeoutMs: 200 };
    for (const id of [9n, 10n]) {
      f.coordination
        .leaseKeepAlive(LeaseKeepAliveRequest.make({ id }), options)
        .catch((error: unknown) => failures.push(error));
      f.coordination
        .leaseTimeToLive(LeaseTimeToLiveRequest.make({ id }), options)
        .catch((error: unknown) => failures.push(error));
    }
    await f.clock.advance(1_000);
    expect(failures).toHaveLength(4);
    for (const failure of failures) expect(failure).toMatchObject({ code: "NO_LEADER" });
  });

  test("writes are refused before they are proposed; status says why; no checkpoint is made", async () => {
    const f = await rotten();
    await expect(get(f, "k3")).rejects.toEqual(corrupt);
    const proposals = f.group.proposalCount;
    await expect(f.put("new", "1")).rejects.toEqual(corrupt);
    await expect(
      new Promise((resolve, reject) => {
        f.coordination.putBytes(PutRequest.encode(PutRequest.make({ key: b("new") })), (error, response) =>
          response === undefined ? reject(error) : resolve(response),
        );
      }),
    ).rejects.toEqual(corrupt);
    expect(f.group.proposalCount).toBe(proposals);
    expect((await f.coordination.status({})).errors).toEqual(["memberID:1 alarm:CORRUPT "]);
    const writes = f.engine.writes;
    await expect(f.group.checkpoint()).rejects.toBe(f.store.damage);
    expect(f.engine.writes).toBe(writes);
  });
});

describe("a damaged tree that leaves out what it cannot reach, and says nothing (H4)", () => {
  /** Revisions 2 to 9 of one key, each of two changes, compacted at 4; the engine has lost `lost`. */
  async function withGap(lost: readonly (readonly [main: number, sub: number])[]): Promise<Fixture> {
    const f = new Fixture(simKernels);
    for (let i = 2; i <= 9; i++) {
      const put = (key: string) => ({
        request: { type: "requestPut" as const, value: PutRequest.make({ key: b(key), value: b(`${i}`) }) },
      });
      await f.coordination.txn(TxnRequest.make({ success: [put("a"), put(i < 4 ? `b${i}` : "b")] }));
    }
    await f.coordination.compact(CompactionRequest.make({ revision: 4, physical: true }));
    await f.group.checkpoint();
    await f.engine.write(lost.map(([main, sub]) => ({ type: "delete", key: recordKey(main, sub) })));
    return f;
  }

  const losses: readonly (readonly [string, readonly (readonly [number, number])[]])[] = [
    [
      "a revision in the middle",
      [
        [6, 0],
        [6, 1],
      ],
    ],
    ["the first change of one", [[6, 0]]],
    [
      "the last revisions of all",
      [
        [8, 0],
        [8, 1],
        [9, 0],
        [9, 1],
      ],
    ],
    [
      "the first one above the compacted one",
      [
        [5, 0],
        [5, 1],
      ],
    ],
  ];

  test.each(losses)("%s: no watcher skips it, no snapshot or digest goes without it", async (_, lost) => {
    for (const meet of [
      async (f: Fixture) => {
        const w = f.watch().create({ ...all, startRevision: 5 });
        await settle();
        expect(w.responses.flatMap((response) => response.events)).toEqual([]);
        expect(w.failures).toHaveLength(1);
        await Promise.reject(w.failures[0]);
      },
      async (f: Fixture) => {
        for await (const _chunk of f.store.snapshot().chunks());
      },
      async (f: Fixture) => f.store.hash(0),
      async (f: Fixture) => f.store.hashAll(),
    ]) {
      const f = await withGap(lost);
      await expect(meet(f)).rejects.toMatchObject({ code: "DATA_CORRUPT" });
      expect(f.store.damage?.message).toMatch(/missing$/);
    }
  });

  test("what lies below the compacted revision is counted", async () => {
    // Changes that nobody sees any more are gone; those of revision 3 are still what `b3` holds.
    const f = await withGap([[3, 1]]);
    expect(() => f.store.hash(0)).toThrow("Cannot read all revisions of the store: 1 records are missing");
  });

  test("so is the last change of a revision, of which no other record tells", async () => {
    const f = await withGap([[6, 1]]);
    expect(() => f.store.hash(0)).toThrow("Cannot read all revisions of the store: 1 records are missing");
  });

  test("such an engine is not loaded", async () => {
    const f = await withGap([
      [7, 0],
      [7, 1],
    ]);
    const loaded = new Store({ engine: f.engine, kernels: simKernels, clock: f.clock });
    await expect(loaded.durable.load()).rejects.toMatchObject({ code: "DATA_CORRUPT" });
    const sound = await withGap([]);
    await new Store({ engine: sound.engine, kernels: simKernels, clock: sound.clock }).durable.load();
  });
});

describe("damage met while a command is carried out", () => {
  const commands: readonly (readonly [string, (f: Fixture) => Promise<unknown>])[] = [
    ["a put that wants the value before", (f) => f.put("k3", "new", { prevKv: true })],
    [
      "a comparison of values",
      (f) =>
        f.coordination.txn(
          TxnRequest.make({
            compare: [
              Compare.make({
                target: CompareTarget.VALUE,
                key: b("k3"),
                targetUnion: { type: "value", value: b("3") },
              }),
            ],
            success: [{ request: { type: "requestPut", value: PutRequest.make({ key: b("x") }) } }],
          }),
        ),
    ],
  ];

  test.each(commands)("%s: the client hears of it, the group goes on, the state stands still", async (_, run) => {
    const f = await rotten();
    const revision = f.store.publishedRevision;
    const w = f.watch().create(all);
    await settle();
    await expect(run(f)).rejects.toEqual(corrupt);
    expect(f.damages).toHaveLength(1);
    const later = await new Promise<Outcome<StoreResult>>((resolve) => f.group.submit(b("anything"), resolve));
    expect(later).toMatchObject({ type: "committed", result: { type: "error", error: "CORRUPT" } });
    expect(f.store.publishedRevision).toBe(revision);
    expect(await w.lines()).toEqual(["0@6 created"]);
    expect(w.failures).toEqual([f.store.damage]);
  });
});

describe("damage and watches", () => {
  test("streams end with the reason, at once for those it leaves without events, and new ones do not begin", async () => {
    const f = await rotten();
    const live = f.watch().create({ key: b("k6") });
    const behind = f.watch().create({ ...all, startRevision: 2 });
    await settle();
    expect(await behind.lines()).toEqual(["0@6 created"]);
    for (const w of [live, behind]) expect(w.failures).toEqual([f.store.damage]);
    const late = f.watch().create(all);
    expect(late.failures).toEqual([f.store.damage]);
    expect(await late.lines()).toEqual([]);
    expect(f.coordination.watchCounts).toEqual({ streams: 0, watchers: 0, behind: 0 });
  });

  test("a watcher that wants the value before a change that is being published", async () => {
    const f = await rotten();
    const w = f.watch().create({ ...all, prevKv: true });
    await f.put("k3", "new");
    expect(await w.lines()).toEqual(["0@6 created"]);
    expect(w.failures).toEqual([f.store.damage]);
    expect(f.damages).toHaveLength(1);
  });
});

describe("the alarm CORRUPT", () => {
  test("is raised when told to, stops no other member, and is taken back by a member whose copy is sound", async () => {
    const f = await rotten();
    await expect(get(f, "k3")).rejects.toEqual(corrupt);
    const commands: Uint8Array[] = [];
    const { submit } = f.group;
    f.group.submit = (command, done, options) => {
      commands.push(command);
      submit.call(f.group, command, done, options);
    };
    await f.coordination.tellDamage();
    expect(commands).toHaveLength(1);

    const other = new Fixture(simKernels);
    await other.group.propose(commands[0] ?? b(""));
    expect(await other.coordination.alarm(AlarmRequest.make())).toMatchObject({
      alarms: [{ memberId: 1n, alarm: AlarmType.CORRUPT }],
    });
    expect((await other.coordination.status({})).errors).toEqual(["memberID:1 alarm:CORRUPT "]);
    expect(await other.put("goes", "on")).toBe(2);
    // In this cluster of one the other is the member itself, with a sound copy.
    await other.clock.advance(1_500);
    expect((await other.coordination.status({})).errors).toEqual([]);
    expect(other.observed).toContainEqual({ type: "damage-alarm-cleared", level: "warn", member: 1 });
  });
});
