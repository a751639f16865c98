/** A node that finds its copy of the store damaged, and its next start; on fakes. Real processes: `faults-damage.test.ts`. */
import { describe, expect, test } from "vitest";
import {
  FakeClock,
  FakeDisk,
  fakeKernels,
  FakeNetwork,
  FakeObserver,
  fakeRandom,
} from "../../test/sim/lib/fake-ports.ts";
import { configOf } from "../../test/sim/lib/group-scenario.ts";
import { utf8 } from "../base/bytes.ts";
import { AlthingError } from "../base/errors.ts";
import { PutRequest, RangeRequest } from "../coordination/messages.ts";
import type { Ports } from "../ports/ports.ts";
import type { Engine, EngineOpener } from "../storage/engine/engine.ts";
import { memoryEngineOpener } from "../storage/engine/memory-engine.ts";
import { AlthingNode } from "./node.ts";

const MARK = "meta/damaged";
const ENGINE = "meta/engine/engine.log";

/** Engines whose reads fail when they are told to. */
class RottingOpener implements EngineOpener {
  readonly #inner: EngineOpener;
  isRotten = false;
  discarded = 0;

  constructor(ports: Ports) {
    this.#inner = memoryEngineOpener(ports);
  }

  async open(folder: string): Promise<Engine> {
    const engine = await this.#inner.open(folder);
    const get = engine.get.bind(engine);
    engine.get = (key) => {
      if (this.isRotten)
        throw new AlthingError("DATA_CORRUPT", `Cannot read from ${folder}: a value fails its checksum`);
      return get(key);
    };
    return engine;
  }

  async discard(folder: string): Promise<void> {
    this.discarded++;
    await this.#inner.discard(folder);
  }
}

interface Site {
  readonly ports: Ports;
  readonly clock: FakeClock;
  readonly disk: FakeDisk;
  readonly observer: FakeObserver;
  readonly engines: RottingOpener;
}

function siteOn(disk: FakeDisk): Site {
  const [clock, observer] = [new FakeClock(), new FakeObserver()];
  const ports = { clock, disk, observer, network: new FakeNetwork(), random: fakeRandom(3), kernels: fakeKernels };
  return { ports, clock, disk, observer, engines: new RottingOpener(ports) };
}

const get = (node: AlthingNode): Promise<unknown> =>
  node.coordination.range(RangeRequest.make({ key: utf8("a"), serializable: true }));

/** A node alone that has a value in its engine; `clients` counts as the members that it was founded with. */
async function withValue(disk: FakeDisk): Promise<Site & { readonly node: AlthingNode }> {
  const site = siteOn(disk);
  const node = await AlthingNode.open(site.ports, site.engines, configOf(1, 1));
  await site.clock.advance(3_000);
  const put = node.coordination.put(PutRequest.make({ key: utf8("a"), value: utf8("1") }));
  await site.clock.advance(100);
  await put;
  const checkpoint = node.group.checkpoint();
  await site.clock.advance(100);
  await checkpoint;
  return { ...site, node };
}

async function closed({ clock }: Site, node: AlthingNode): Promise<void> {
  const closing = node.close();
  await clock.advance(3_000);
  await closing;
  expect(clock.pending).toBe(0);
}

describe("a node alone whose store is damaged", () => {
  test("tells it, answers nothing, ends with the reason, and keeps everything as it is, over starts too", async () => {
    const disk = new FakeDisk();
    const site = await withValue(disk);
    const { node, clock, observer, engines } = site;
    let ended: unknown;
    void node.failed.then((reason) => {
      ended = reason;
    });
    engines.isRotten = true;
    const read = get(node).catch((error: unknown) => error);
    await clock.advance(1);
    expect(await read).toMatchObject({ code: "CORRUPT" });
    await clock.advance(50);
    const why = "Cannot read revision 2.0 of the store: a value fails its checksum";
    expect(observer.of("store-damaged")).toMatchObject([{ level: "error", why, what: "revision 2.0" }]);
    expect(node.unreadiness()).toEqual(["the store is damaged, and the node about to stop"]);
    expect(ended).toMatchObject({
      code: "DATA_CORRUPT",
      message: `Cannot go on: the store is damaged (${why}); there is no other copy of the store: restore from a backup`,
    });
    const before = disk.files.get(ENGINE);
    await closed(site, node);
    expect(observer.of("store-damaged")).toHaveLength(1);
    for (let start = 1; start <= 2; start++) {
      const again = siteOn(disk);
      await expect(AlthingNode.open(again.ports, again.engines, configOf(1, 1))).rejects.toMatchObject({
        code: "DATA_CORRUPT",
        message: `Cannot open the store in meta: it was found damaged while the node ran (${why}); there is no other copy of the store: restore from a backup`,
      });
      expect(again.engines.discarded).toBe(0);
    }
    expect(disk.files.get(ENGINE)).toBe(before);
    expect(disk.opened.size).toBe(0);
  });

  test("founded with others that have left, it is alone all the same", async () => {
    const disk = new FakeDisk();
    const site = await withValue(disk);
    site.engines.isRotten = true;
    void get(site.node).catch(() => undefined);
    await site.clock.advance(50);
    await closed(site, site.node);
    const again = siteOn(disk);
    await expect(AlthingNode.open(again.ports, again.engines, configOf(1, 3))).rejects.toThrow(/no other copy/);
    expect(again.engines.discarded).toBe(0);
  });

  test("found in the turn in which it closes, it is marked all the same (K1)", async () => {
    const disk = new FakeDisk();
    const site = await withValue(disk);
    site.engines.isRotten = true;
    expect(() => site.node.store.range(RangeRequest.make({ key: utf8("a") }))).toThrow("checksum");
    await closed(site, site.node);
    expect(disk.files.has(MARK)).toBe(true);
    expect(site.observer.of("store-damaged")).toHaveLength(1);
    expect(site.observer.of("node-failed")).toEqual([]); // it was ending anyway
  });

  test("a disk that takes no mark is told, and the node ends all the same", async () => {
    const disk = new FakeDisk();
    const site = await withValue(disk);
    let ended = false;
    void site.node.failed.then(() => {
      ended = true;
    });
    disk.failsAt = MARK;
    site.engines.isRotten = true;
    void get(site.node).catch(() => undefined);
    await site.clock.advance(50);
    expect(site.observer.of("damage-mark-failed")).toHaveLength(1);
    expect(ended).toBe(true);
    await closed(site, site.node);
    expect(disk.files.has(MARK)).toBe(false);
  });
});

describe("a node with peers that starts beside a mark", () => {
  test("throws the engine away, then the mark, and says so (K1)", async () => {
    const disk = new FakeDisk();
    const site = await withValue(disk);
    await closed(site, site.node);
    disk.files.set(MARK, utf8("copies\nCannot read revision 2.0 of the store: a value fails its checksum\n"));
    const again = siteOn(disk);
    const marks: boolean[] = [];
    const discard = again.engines.discard.bind(again.engines);
    again.engines.discard = async (folder) => {
      marks.push(disk.files.has(MARK));
      await discard(folder);
    };
    const node = await AlthingNode.open(again.ports, again.engines, configOf(1, 3));
    expect(marks).toEqual([true]);
    expect(disk.files.has(MARK)).toBe(false);
    expect(again.observer.of("engine-discarded")).toMatchObject([
      { level: "warn", why: expect.stringContaining("found damaged while the node ran (Cannot read revision 2.0") },
    ]);
    expect(node.store.keyCount).toBe(0);
    await closed(again, node);
  });

  test("a cut-off discarding is done again: the mark stands until the engine is gone", async () => {
    const disk = new FakeDisk();
    const site = await withValue(disk);
    await closed(site, site.node);
    disk.files.set(MARK, utf8("copies\nwhy\n"));
    const again = siteOn(disk);
    again.engines.discard = () => Promise.reject(new AlthingError("DISK_FAILED", "Cannot remove meta/engine: EIO"));
    await expect(AlthingNode.open(again.ports, again.engines, configOf(1, 3))).rejects.toThrow("EIO");
    expect(disk.files.has(MARK)).toBe(true);
    expect(disk.opened.size).toBe(0);
  });
});
