/** Sender and receiver of snapshots over a link that loses, repeats and damages. Whole nodes: `group-snapshots.test.ts`. */
import { describe, expect, test } from "vitest";
import { FakeClock, FakeDisk, FakeObserver, fakeKernels, settle } from "../../test/sim/lib/fake-ports.ts";
import { concatBytes, utf8 } from "../base/bytes.ts";
import { logIndex, nodeId, term } from "../base/ids.ts";
import { EMPTY_CONFIGURATION } from "../consensus/contract/configuration.ts";
import type { PeerFrame } from "./frames.ts";
import { SnapshotReceiver, SnapshotSender } from "./snapshot-transfer.ts";

const LEADER = nodeId(1);
const start = { index: logIndex(100), term: term(3), chain: 5, configuration: EMPTY_CONFIGURATION };
const meta = utf8("meta");

/** A receiver, and senders of its leader, over one link. `spoil` changes or drops (undefined) what goes to the receiver. */
class Rig {
  readonly clock = new FakeClock();
  readonly disk = new FakeDisk();
  readonly observer = new FakeObserver();
  readonly installed: string[] = [];
  readonly progress: string[] = [];
  readonly failures: unknown[] = [];
  spoil: (frame: PeerFrame) => PeerFrame | undefined = (frame) => frame;
  isWanted = true;
  isDeaf = false;
  chunksSent = 0;
  closed = 0;
  receiver: SnapshotReceiver;
  readonly #senders = new Map<number, SnapshotSender>();
  readonly #chunks: readonly Uint8Array[];

  constructor(chunks: readonly Uint8Array[]) {
    this.#chunks = chunks;
    this.receiver = this.#makeReceiver();
  }

  /** The receiving process starts again: its memory is gone. */
  restart(): void {
    this.receiver = this.#makeReceiver();
  }

  send(id: number, from = LEADER): { readonly sender: SnapshotSender; readonly done: Promise<boolean> } {
    const chunks = this.#chunks;
    const sender = new SnapshotSender(this.clock, {
      id,
      term: term(3),
      source: {
        start,
        meta,
        async *chunks() {
          yield* chunks;
        },
        close: () => void this.closed++,
      },
      bytesPerSecond: 1_000_000,
      crc32: fakeKernels.crc32,
      send: (frame) => {
        if (frame.type === "snapshot-chunk") this.chunksSent++;
        const spoilt = this.spoil(frame);
        if (spoilt?.type === "snapshot-offer" || spoilt?.type === "snapshot-chunk") this.receive(spoilt, from);
        return true;
      },
    });
    this.#senders.set(id, sender);
    return { sender, done: sender.run() };
  }

  receive(frame: Extract<PeerFrame, { type: "snapshot-offer" | "snapshot-chunk" }>, from = LEADER): void {
    this.receiver.handle(from, frame).catch((error: unknown) => this.failures.push(error));
  }

  #makeReceiver(): SnapshotReceiver {
    const { clock, disk, observer } = this;
    return new SnapshotReceiver(
      { clock, disk, kernels: fakeKernels, observer },
      {
        folder: "group",
        wanted: () => this.isWanted,
        install: async (snapshot) => {
          const parts: Uint8Array[] = [];
          for await (const chunk of snapshot.chunks) parts.push(chunk);
          this.installed.push(
            `${snapshot.start.index}: ${concatBytes(parts).length} bytes, ${snapshot.meta.length} of meta`,
          );
        },
        send: (_, frame) => {
          if (frame.type !== "snapshot-progress") return;
          this.progress.push(`${frame.state} ${frame.offset}`);
          if (!this.isDeaf) queueMicrotask(() => this.#senders.get(frame.snapshot)?.onProgress(frame));
        },
      },
    );
  }
}

const chunksOf = (count: number, length = 100): Uint8Array[] =>
  Array.from({ length: count }, (_, i) => new Uint8Array(length).fill(i + 1));

async function finish(rig: Rig, done: Promise<boolean>, withinMs = 60_000): Promise<boolean> {
  let result: boolean | undefined;
  void done.then((ok) => {
    result = ok;
  });
  for (let ms = 0; ms < withinMs && result === undefined; ms += 50) await rig.clock.advance(50);
  if (result === undefined) throw new Error("the sender did not end");
  return result;
}

describe("a snapshot", () => {
  test.each([0, 1, 2, 30])("of %i chunks arrives whole, and leaves nothing behind", async (count) => {
    const rig = new Rig(chunksOf(count));
    expect(await finish(rig, rig.send(7).done)).toBe(true);
    expect(rig.installed).toEqual([`100: ${count * 100} bytes, 4 of meta`]);
    expect([rig.closed, rig.clock.pending, rig.disk.files.size, rig.disk.opened.size]).toEqual([1, 0, 0, 0]);
    expect(rig.failures).toEqual([]);
  });

  test("goes on where frames were lost, and sends again only what is missing", async () => {
    const rig = new Rig(chunksOf(40));
    let count = 0;
    rig.spoil = (frame) => (++count >= 20 && count < 25 ? undefined : frame);
    expect(await finish(rig, rig.send(7).done)).toBe(true);
    expect(rig.installed).toHaveLength(1);
    expect(rig.chunksSent).toBeLessThanOrEqual(40 + 2 * 8);
  });

  test("is not disturbed by frames that come twice, late, damaged or under another id", async () => {
    const rig = new Rig(chunksOf(20));
    const seen: PeerFrame[] = [];
    rig.spoil = (frame) => {
      seen.push(frame);
      if (frame.type !== "snapshot-chunk") return frame;
      rig.receive({ ...frame, bytes: frame.bytes.map((b) => b ^ 1) });
      rig.receive({ ...frame, snapshot: 8 });
      rig.receive(frame, nodeId(2));
      for (const old of seen.slice(-3))
        if (old.type === "snapshot-chunk" || old.type === "snapshot-offer") rig.receive(old);
      return undefined; // the three above have brought it
    };
    expect(await finish(rig, rig.send(7).done)).toBe(true);
    expect(rig.installed).toEqual(["100: 2000 bytes, 4 of meta"]);
    expect(rig.failures).toEqual([]);
  });

  test("that is not wanted is refused at once; one that is overtaken, at its end", async () => {
    const refused = new Rig(chunksOf(5));
    refused.isWanted = false;
    expect(await finish(refused, refused.send(7).done)).toBe(false);
    expect(refused.chunksSent).toBe(0);

    const overtaken = new Rig(chunksOf(5));
    overtaken.spoil = (frame) => {
      if (frame.type === "snapshot-chunk" && frame.last) overtaken.isWanted = false;
      return frame;
    };
    expect(await finish(overtaken, overtaken.send(7).done)).toBe(false);
    expect(overtaken.installed).toEqual([]);
    expect([overtaken.disk.files.size, overtaken.disk.opened.size]).toEqual([0, 0]);
  });

  test("gives way to a newer one of the leader", async () => {
    const rig = new Rig(chunksOf(30));
    rig.spoil = (frame) =>
      frame.type === "snapshot-chunk" && frame.snapshot === 7 && frame.offset > 500 ? undefined : frame;
    const old = rig.send(7);
    await rig.clock.advance(200);
    old.sender.stop();
    expect(await finish(rig, old.done)).toBe(false);
    expect(await finish(rig, rig.send(8).done)).toBe(true);
    expect(rig.installed).toHaveLength(1);
    expect(rig.closed).toBe(2);
  });

  test("is not disturbed by another replica's, which has its turn when the first has fallen silent (X4)", async () => {
    const rig = new Rig(chunksOf(200, 1_000));
    const first = rig.send(7);
    await rig.clock.advance(50);
    expect(await finish(rig, rig.send(8, nodeId(2)).done)).toBe(false);
    expect(rig.progress).toContain("refused 0");
    first.sender.stop();
    expect(await finish(rig, first.done)).toBe(false);
    expect(await finish(rig, rig.send(9, nodeId(2)).done)).toBe(false);
    await rig.clock.advance(3_000);
    expect(await finish(rig, rig.send(10, nodeId(2)).done)).toBe(true);
    expect(rig.installed).toHaveLength(1);
  });

  test("to a receiver that started again is given up soon, because its beginning is gone", async () => {
    const rig = new Rig(chunksOf(60));
    let restarted = false;
    rig.spoil = (frame) => {
      if (!restarted && frame.type === "snapshot-chunk" && frame.offset === 3_000) {
        restarted = true;
        rig.restart();
      }
      return frame;
    };
    const began = rig.clock.monotonicMs();
    expect(await finish(rig, rig.send(7).done)).toBe(false);
    expect(rig.clock.monotonicMs() - began).toBeLessThan(4_000);
    expect(await finish(rig, rig.send(8).done)).toBe(true);
    expect(rig.installed).toHaveLength(1);
  });

  test("to a receiver that falls silent is given up after some tries", async () => {
    const rig = new Rig(chunksOf(5));
    rig.isDeaf = true;
    expect(await finish(rig, rig.send(7).done)).toBe(false);
    expect(rig.clock.pending).toBe(0);
  });

  test("that finds no space is refused and its space given back (X3)", async () => {
    for (const roomBytes of [0, 3, 250, 1_000, 5_410]) {
      const rig = new Rig(chunksOf(50));
      rig.disk.roomBytes = roomBytes;
      expect(await finish(rig, rig.send(7).done)).toBe(false);
      expect([rig.disk.files.size, rig.disk.opened.size]).toEqual([0, 0]);
      expect([rig.failures, rig.installed]).toEqual([[], []]);
      rig.disk.roomBytes = 1_000_000;
      expect(await finish(rig, rig.send(8).done)).toBe(true);
    }
  });

  test("is not taken for whole when the disk fails (X1)", async () => {
    const rig = new Rig(chunksOf(5));
    rig.disk.failsAt = "snapshot.in";
    const { sender, done } = rig.send(7);
    await rig.clock.advance(500);
    expect(rig.failures).toEqual([expect.objectContaining({ code: "DISK_FAILED" })]);
    expect(rig.installed).toEqual([]);
    sender.stop();
    expect(await finish(rig, done)).toBe(false);
  });

  test("close() waits for what is being written and closes the file", async () => {
    const rig = new Rig(chunksOf(50));
    rig.spoil = (frame) => (frame.type === "snapshot-chunk" && frame.offset > 1_000 ? undefined : frame);
    const { sender, done } = rig.send(7);
    await rig.clock.advance(300);
    await rig.receiver.close();
    await settle();
    expect(rig.disk.opened.size).toBe(0);
    sender.stop();
    expect(await finish(rig, done)).toBe(false);
  });
});
