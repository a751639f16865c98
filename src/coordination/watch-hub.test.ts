// Watches on an applied store: order, completeness, atomicity, slow consumers, compaction, progress.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { utf8 } from "../base/bytes.ts";
import { Prng } from "../base/prng.ts";
import { simKernels } from "../sim/sim-kernels.ts";
import {
  CompactionRequest,
  DeleteRangeRequest,
  TxnRequest,
  WatchCreateRequest,
  WatchFilter,
  type WatchResponse,
} from "./messages.ts";
import { Fixture } from "./testing/fixture.ts";
import { settle } from "./testing/test-clock.ts";
import { WatchHub } from "./watch-hub.ts";

const b = utf8;
const all = { key: new Uint8Array([0]), rangeEnd: new Uint8Array([0]) };

async function del(f: Fixture, key: string): Promise<void> {
  await f.coordination.deleteRange(DeleteRangeRequest.make({ key: b(key) }));
}
async function compact(f: Fixture, revision: number): Promise<void> {
  await f.coordination.compact(CompactionRequest.make({ revision, physical: true }));
}

describe("creating and cancelling", () => {
  test("ids are drawn or chosen; what cannot be is refused in etcd's words", async () => {
    const f = new Fixture(simKernels);
    const w = f.watch();
    w.create({ key: b("a") })
      .create({ key: b("b"), watchId: 7 })
      .create({ key: b("b"), watchId: 7 });
    w.create({ key: b("z"), rangeEnd: b("a") }).create({});
    w.cancel(7).cancel(70).progress();
    expect(await w.lines()).toEqual([
      "0@1 created",
      "7@1 created",
      "-1@1 created canceled mvcc: duplicate watch ID provided on the WatchStream",
      "-1@1 created canceled mvcc: watcher range is empty",
      "1@1 created",
      "7@1 canceled",
      "-1@1",
    ]);
  });

  test("a node takes no more watchers than its limit", async () => {
    const f = new Fixture(simKernels, { coordination: { watchersMax: 2 } });
    const w = f.watch().create(all).create(all).create(all);
    expect(await w.lines()).toEqual([
      "0@1 created",
      "1@1 created",
      "-1@1 created canceled etcdserver: too many requests",
    ]);
    w.cancel(0).create(all);
    expect(await w.lines()).toEqual(["0@1 canceled", "2@1 created"]);
  });

  test("a closed stream hears nothing more, and its watchers are gone", async () => {
    const f = new Fixture(simKernels);
    const w = f.watch().create(all);
    await settle();
    w.stream.close();
    await f.put("a");
    w.create(all);
    expect(await w.lines()).toEqual(["0@1 created"]);
    expect(f.coordination.watchCounts).toEqual({ streams: 0, watchers: 0, behind: 0 });
  });

  test("closing the coordination ends every stream with a reason", async () => {
    const f = new Fixture(simKernels);
    const w = f.watch().create(all);
    f.coordination.close();
    expect(w.failures).toMatchObject([{ code: "CLOSED" }]);
    expect(f.watch().failures).toMatchObject([{ code: "CLOSED" }]);
    expect(f.clock.timerCount).toBe(0);
  });
});

describe("live events", () => {
  test("all changes of a revision come in one response, in order, with what was before", async () => {
    const f = new Fixture(simKernels);
    const w = f.watch().create({ ...all, prevKv: true });
    await f.put("a", "1");
    await f.put("a", "2");
    await f.coordination.txn(
      TxnRequest.make({
        success: [
          { request: { type: "requestPut", value: { key: b("b"), value: b("3") } } },
          { request: { type: "requestDeleteRange", value: { key: b("a") } } },
          { request: { type: "requestPut", value: { key: b("c"), value: b("4") } } },
        ],
      }),
    );
    expect(await w.lines()).toEqual(["0@1 created", "0@2 2:a=1", "0@3 3:a=2(1)", "0@4 4:b=3 4:a-(2) 4:c=4"]);
  });

  test("filters leave out puts or deletions, and then nothing is sent", async () => {
    const f = new Fixture(simKernels);
    const puts = f.watch().create({ ...all, filters: [WatchFilter.NODELETE] });
    const deletions = f.watch().create({ ...all, filters: [WatchFilter.NOPUT] });
    await f.put("a", "1");
    await del(f, "a");
    expect(await puts.lines()).toEqual(["0@1 created", "0@2 2:a=1"]);
    expect(await deletions.lines()).toEqual(["0@1 created", "0@3 3:a-"]);
  });

  test("a watcher of a future revision hears nothing from before it", async () => {
    const f = new Fixture(simKernels);
    const w = f.watch().create({ ...all, startRevision: 4 });
    for (const value of ["1", "2", "3", "4"]) await f.put("a", value);
    expect(await w.lines()).toEqual(["0@1 created", "0@4 4:a=3", "0@5 5:a=4"]);
  });

  test("a consumer may cancel or close from within a delivery", async () => {
    const f = new Fixture(simKernels);
    const w = f.watch({
      onResponse: (response: WatchResponse) => {
        if (response.events.length > 0) w.stream.close();
      },
    });
    w.create(all).create(all).create(all);
    await f.put("a");
    await f.put("a");
    expect((await w.lines()).length).toBe(4); // three created, one event
  });

  test("a response is cut into fragments for those who take them, and for nobody else", async () => {
    const f = new Fixture(simKernels, { limits: { requestBytesMax: 900 } });
    const cut = f.watch().create({ ...all, fragment: true });
    const whole = f.watch().create(all);
    const success = Array.from({ length: 5 }, (_, i) => ({
      request: { type: "requestPut" as const, value: { key: b(`k${i}`), value: new Uint8Array(140) } },
    }));
    await f.coordination.txn(TxnRequest.make({ success }));
    await settle();
    const parts = (responses: readonly WatchResponse[]) =>
      responses.slice(1).map((r) => [r.fragment, r.events.length, r.header?.revision]);
    expect(parts(cut.responses)).toEqual([
      [true, 4, 2],
      [false, 1, 2],
    ]);
    expect(parts(whole.responses)).toEqual([[false, 5, 2]]);
  });
});

describe("history", () => {
  test("a watcher of the past reads what was, from memory and from disk, and goes on live", async () => {
    const f = new Fixture(simKernels);
    for (let i = 2; i <= 4; i++) await f.put("a", `${i}`);
    await f.store.durable.checkpoint(b("m"));
    for (let i = 5; i <= 6; i++) await f.put("a", `${i}`);
    const w = f.watch().create({ key: b("a"), startRevision: 3, prevKv: true });
    await settle();
    await f.put("a", "7");
    expect(await w.lines()).toEqual(["0@6 created", "0@6 3:a=3(2) 4:a=4(3) 5:a=5(4) 6:a=6(5)", "0@7 7:a=7(6)"]);
    expect(f.coordination.watchCounts.behind).toBe(0);
  });

  test("a watcher of a compacted revision is cancelled with the compacted revision", async () => {
    const f = new Fixture(simKernels);
    for (let i = 2; i <= 9; i++) await f.put("a", `${i}`);
    await compact(f, 6);
    const w = f
      .watch()
      .create({ key: b("a"), startRevision: 5 })
      .create({ key: b("a"), startRevision: 6 });
    expect(await w.lines()).toEqual([
      "0@9 created",
      "1@9 created",
      "0@0 canceled compacted 6",
      "1@9 6:a=6 7:a=7 8:a=8 9:a=9",
    ]);
  });

  test("long history comes in slices that end with whole revisions", async () => {
    const f = new Fixture(simKernels);
    for (let i = 0; i < 40; i++) {
      const success = Array.from({ length: 40 }, (_, k) => ({
        request: { type: "requestPut" as const, value: { key: b(`k${k}`), value: b(`${i}`) } },
      }));
      await f.coordination.txn(TxnRequest.make({ success }));
    }
    const w = f.watch().create({ ...all, startRevision: 1 });
    await settle();
    const responses = w.responses.slice(1);
    expect(responses.length).toBeGreaterThan(2);
    const revisions = responses.flatMap((r) => r.events.map((e) => e.kv?.modRevision ?? 0));
    expect(revisions).toEqual(Array.from({ length: 1_600 }, (_, i) => 2 + Math.floor(i / 40)));
    for (const r of responses) expect(r.events.length % 40).toBe(0);
  });
});

describe("slow consumers", () => {
  test("a paused stream gets nothing and holds nothing; the others do not notice; later it gets everything", async () => {
    const f = new Fixture(simKernels);
    const slow = f.watch().create({ ...all, prevKv: true });
    const fast = f.watch().create(all);
    await f.put("a", "1");
    slow.stream.pause();
    for (let i = 2; i <= 5; i++) await f.put("a", `${i}`);
    expect(await slow.lines()).toEqual(["0@1 created", "0@2 2:a=1"]);
    expect((await fast.lines()).length).toBe(6);
    expect(f.coordination.watchCounts.behind).toBe(1);
    await f.store.durable.checkpoint(b("m"));
    slow.stream.resume();
    await settle();
    await f.put("a", "6");
    expect(await slow.lines()).toEqual(["0@6 3:a=2(1) 4:a=3(2) 5:a=4(3) 6:a=5(4)", "0@7 7:a=6(5)"]);
  });

  test("what a paused watcher missed may be compacted away: it is told, and does not skip", async () => {
    const f = new Fixture(simKernels);
    const w = f.watch().create(all);
    await settle();
    w.stream.pause();
    for (let i = 2; i <= 8; i++) await f.put("a", `${i}`);
    await compact(f, 7);
    w.stream.resume();
    expect(await w.lines()).toEqual(["0@1 created", "0@0 canceled compacted 7"]);
  });

  test("a consumer that pauses with every response still gets everything once, in order", async () => {
    const f = new Fixture(simKernels);
    const w = f.watch({ onResponse: () => w.stream.pause() });
    w.create({ key: b("a") }).create({ ...all });
    for (let i = 2; i <= 30; i++) {
      await f.put("a", `${i}`);
      if (i % 3 === 0) w.stream.resume();
      await settle();
    }
    for (let i = 0; i < 10; i++) {
      w.stream.resume();
      await settle();
    }
    for (const id of [0, 1]) {
      const seen = w.responses.filter((r) => r.watchId === id).flatMap((r) => r.events.map((e) => e.kv?.modRevision));
      expect(seen).toEqual(Array.from({ length: 29 }, (_, i) => i + 2));
    }
  });
});

describe("a stream that is handed more than it has room for (W6)", () => {
  /** A hub of its own on the fixture's store, and what its one stream was handed, turn by turn. */
  function narrow(f: Fixture, queueBytesMax: number) {
    const hub = new WatchHub({
      store: f.store,
      clock: f.clock,
      observer: { observe: (event) => f.observed.push(event) },
      header: (revision) => ({ clusterId: 1n, memberId: 1n, revision, raftTerm: 1 }),
      progressIntervalMs: 600_000,
      fragmentBytes: 1_000_000,
      watchersMax: 1_000,
      queueBytesMax,
    });
    const turns: WatchResponse[][] = [];
    let open = false;
    const stream = hub.open({
      onResponse: (response) => {
        if (response.events.length === 0) return;
        if (!open) {
          open = true;
          turns.push([]);
          f.clock.afterTurn(() => {
            open = false;
          });
        }
        turns.at(-1)?.push(response);
      },
      onFailure: (error) => expect(error).toMatchObject({ code: "CLOSED" }),
    });
    const create = (request: Partial<WatchCreateRequest>): void =>
      stream.request({ requestUnion: { type: "createRequest", value: WatchCreateRequest.make(request) } });
    const revisionsOf = (id: number): readonly (number | undefined)[] =>
      turns.flat().flatMap((r) => (r.watchId === id ? r.events.map((e) => e.kv?.modRevision) : []));
    const bytesOf = (turn: readonly WatchResponse[]): number =>
      turn.flatMap((r) => r.events).reduce((sum, e) => sum + (e.kv?.value.length ?? 0), 0);
    return { hub, stream, turns, create, revisionsOf, bytesOf };
  }
  const five = (value: string) =>
    TxnRequest.make({
      success: ["a", "b", "c", "d", "e"].map((key) => ({
        request: { type: "requestPut", value: { key: b(key), value: b(value) } },
      })),
    });

  test("gets the rest from the store in later turns: all of it, in order, once; a revision is never torn", async () => {
    const f = new Fixture(simKernels);
    const value = "x".repeat(100);
    for (let i = 0; i < 30; i++) await f.coordination.txn(five(value));
    const { hub, turns, create, revisionsOf, bytesOf } = narrow(f, 2_000);
    for (let i = 0; i < 4; i++) create({ ...all, startRevision: 1, watchId: i + 1 });
    await settle();
    for (let i = 0; i < 4; i++) {
      expect(revisionsOf(i + 1)).toEqual(Array.from({ length: 150 }, (_, k) => 2 + Math.floor(k / 5)));
    }
    for (const turn of turns) expect(bytesOf(turn)).toBeLessThan(2_000);
    expect(turns.length).toBeGreaterThan(25);
    expect(hub.behindCount).toBe(0);
    hub.close();
  });

  test("falls behind while it is live, and is live again; the others do not notice", async () => {
    const f = new Fixture(simKernels);
    const { hub, turns, create, revisionsOf } = narrow(f, 300);
    const other = f.watch().create(all);
    for (let i = 0; i < 3; i++) create({ ...all, watchId: i + 1 });
    await other.lines();
    for (let i = 0; i < 5; i++) void f.coordination.txn(five("y".repeat(100)));
    await settle();
    for (let i = 0; i < 3; i++) {
      expect(revisionsOf(i + 1)).toEqual(Array.from({ length: 25 }, (_, k) => 2 + Math.floor(k / 5)));
    }
    for (const turn of turns) expect(turn, "one revision for one watcher, as it does not fit").toHaveLength(1);
    expect(turns.length).toBeGreaterThan(10);
    expect((await other.lines()).length).toBeGreaterThan(0);
    expect([hub.behindCount, hub.watcherCount]).toEqual([0, 3]);
    hub.close();
  });

  test("names no revision as reached before it is (W5)", async () => {
    const f = new Fixture(simKernels);
    for (let i = 0; i < 4; i++) await f.put("a", "z".repeat(100));
    const { hub, stream, turns, create } = narrow(f, 50);
    const heard: string[] = [];
    stream.close();
    const second = hub.open({
      onResponse: (r) => heard.push(r.watchId === -1 ? `at ${r.header?.revision}` : `${r.events.length} events`),
      onFailure: () => undefined,
    });
    second.request({
      requestUnion: { type: "createRequest", value: WatchCreateRequest.make({ ...all, startRevision: 1 }) },
    });
    second.request({ requestUnion: { type: "progressRequest", value: {} } });
    await settle();
    expect(heard).toEqual(["0 events", "1 events", "1 events", "1 events", "1 events", "at 5"]);
    create(all);
    expect(turns).toEqual([]);
    hub.close();
  });
});

describe("progress", () => {
  test("a manual request waits until everything before it is delivered", async () => {
    const f = new Fixture(simKernels);
    for (let i = 2; i <= 4; i++) await f.put("a", `${i}`);
    const w = f
      .watch()
      .create({ key: b("a"), startRevision: 3 })
      .progress();
    expect(await w.lines()).toEqual(["0@4 created", "0@4 3:a=3 4:a=4", "-1@4"]);
    w.stream.pause();
    await f.put("a", "5");
    w.progress();
    expect(await w.lines()).toEqual([]);
    w.stream.resume();
    expect(await w.lines()).toEqual(["0@5 5:a=5", "-1@5"]);
  });

  test("quiet watchers that asked for it hear of progress, the others do not", async () => {
    const f = new Fixture(simKernels, { coordination: { watchProgressMs: 1_000 } });
    const w = f
      .watch()
      .create({ key: b("quiet"), progressNotify: true })
      .create({ key: b("quiet") });
    await w.lines();
    await f.put("x");
    await f.clock.advance(2_000);
    expect(await w.lines()).toEqual(["0@2"]);
    await f.put("quiet", "1");
    await f.clock.advance(1_000);
    expect(await w.lines()).toEqual(["0@3 3:quiet=1", "1@3 3:quiet=1"]);
    await f.clock.advance(1_000);
    expect(await w.lines()).toEqual(["0@3"]);
  });
});

describe("a replica that is replaced by a snapshot", () => {
  test("its watchers get what the snapshot holds of what they missed, or hear of the compaction", async () => {
    const source = new Fixture(simKernels);
    const target = new Fixture(simKernels);
    for (const f of [source, target]) await f.put("a", "2");
    const w = target.watch().create(all);
    const future = target.watch().create({ ...all, startRevision: 6 });
    await settle();
    for (let i = 3; i <= 6; i++) await source.put("a", `${i}`);
    let snapshot = source.store.snapshot();
    await target.store.restore(snapshot.chunks());
    snapshot.close();
    expect(await w.lines()).toEqual(["0@2 created", "0@6 3:a=3 4:a=4 5:a=5 6:a=6"]);
    expect(await future.lines()).toEqual(["0@2 created", "0@6 6:a=6"]);
    for (let i = 7; i <= 9; i++) await source.put("a", `${i}`);
    await compact(source, 9);
    snapshot = source.store.snapshot();
    await target.store.restore(snapshot.chunks());
    snapshot.close();
    expect(await w.lines()).toEqual(["0@0 canceled compacted 9"]);
  });
});

describe("many watchers", () => {
  test("any mix of starts, filters, pauses and checkpoints gives each watcher exactly its changes", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 2 ** 31 }), async (seed) => {
        const random = new Prng(seed);
        const f = new Fixture(simKernels);
        const streams = Array.from({ length: 3 }, () => f.watch());
        const wanted: {
          stream: number;
          id: number;
          from: number;
          match: (name: string) => boolean;
          puts: boolean;
          deletes: boolean;
        }[] = [];
        const names = ["a", "b", "ba", "c"];
        const history: { revision: number; name: string; deleted: boolean }[] = [];
        let id = 1;
        for (let step = 0; step < 60; step++) {
          const what = random.below(10);
          const name = random.pick(names);
          if (what < 5) {
            const revision = await f.put(name, `${step}`);
            history.push({ revision, name, deleted: false });
          } else if (what < 6) {
            const before = f.store.revision;
            await del(f, name);
            if (f.store.revision > before) history.push({ revision: f.store.revision, name, deleted: true });
          } else if (what < 8) {
            const to = random.pick(["", "", "b", "bz", "\0"]);
            const key = to === "b" || to === "bz" ? "a" : name;
            const startRevision = random.below(f.store.revision + 3);
            const filters = random.chance(0.2) ? [random.below(2)] : [];
            const stream = random.below(streams.length);
            streams[stream]?.create({ key: b(key), rangeEnd: b(to), startRevision, filters, watchId: id });
            wanted.push({
              stream,
              id: id++,
              from: startRevision === 0 ? f.store.revision + 1 : startRevision,
              match: (n) => (to === "" ? n === key : n >= key && (to === "\0" || n < to)),
              puts: !filters.includes(0),
              deletes: !filters.includes(1),
            });
          } else if (what < 9) {
            const stream = streams[random.below(streams.length)]?.stream;
            if (random.chance(0.5)) stream?.pause();
            else stream?.resume();
          } else if (random.chance(0.5)) await f.store.durable.checkpoint(b("m"));
          if (random.chance(0.3)) await settle();
        }
        for (const { stream } of streams) stream.resume();
        await settle();
        for (const w of wanted) {
          const got = (streams[w.stream]?.responses ?? [])
            .filter((r) => r.watchId === w.id)
            .flatMap((r) => r.events.map((e) => `${e.kv?.modRevision}${e.type === 1 ? "-" : "+"}`));
          const want = history
            .filter((h) => h.revision >= w.from && w.match(h.name) && (h.deleted ? w.deletes : w.puts))
            .map((h) => `${h.revision}${h.deleted ? "-" : "+"}`);
          expect(got, `watcher ${w.id} of seed ${seed}`).toEqual(want);
        }
      }),
      { numRuns: 60 },
    );
  });

  test("of ten thousand watchers each hears of its own keys only", async () => {
    const f = new Fixture(simKernels);
    const w = f.watch();
    for (let i = 0; i < 10_000; i++) {
      const key = `w${String(i).padStart(5, "0")}`;
      w.create(i % 2 === 0 ? { key: b(key) } : { key: b(key), rangeEnd: b(`${key}~`) });
    }
    await w.lines();
    await f.put("other", "1");
    await f.put("w00007", "x");
    await f.put("w00008", "y");
    expect(await w.lines()).toEqual(["7@3 3:w00007=x", "8@4 4:w00008=y"]);
  });
});
