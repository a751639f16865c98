import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { silentObserver } from "../ports/observer.ts";
import { NodeClock } from "./node-clock.ts";
import { nodeKernels } from "./node-kernels.ts";
import { openNodePorts } from "./node-ports.ts";
import { NodeRandom } from "./node-random.ts";
import { notifySystemd, startWatchdog } from "./sd-notify.ts";
import { Turn } from "./turn.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

describe("openNodePorts()", () => {
  test("a frame sent from an afterTurn callback leaves in the same turn", async () => {
    const folder = mkdtempSync(join(tmpdir(), "althing-ports-"));
    folders.push(folder);
    const { clock, network } = await openNodePorts({ folder, observer: silentObserver });
    const listener = await network.listen("127.0.0.1:0", () => undefined);
    const connection = await network.dial(listener.address);
    const buffered = await new Promise<number>((resolve) => {
      clock.afterTurn(() => {
        connection.send(new Uint8Array(10));
        expect(connection.bufferedBytes).toBe(18);
        queueMicrotask(() => resolve(connection.bufferedBytes)); // after the whole turn's end, before any other input
      });
    });
    expect(buffered).toBe(0);
    connection.close();
    await listener.close();
  });
});

describe("Turn", () => {
  test("after() callbacks run in order, then the ends; one that is added meanwhile waits for the next turn", async () => {
    const turn = new Turn();
    const ran: string[] = [];
    await new Promise<void>((resolve) => {
      turn.atEnd(() => ran.push("end"));
      turn.after(() => {
        ran.push("a");
        turn.after(() => {
          ran.push("next");
          resolve();
        });
      });
      turn.after(() => ran.push("b"));
      queueMicrotask(() => ran.push("microtask"));
    });
    expect(ran).toEqual(["microtask", "a", "b", "end", "next"]);
  });
});

describe("NodeClock", () => {
  test("timer() never fires early, and cancel() keeps it from firing", async () => {
    const clock = new NodeClock();
    let cancelled = false;
    clock
      .timer(1, () => {
        cancelled = true;
      })
      .cancel();
    const early: number[] = [];
    await Promise.all(
      Array.from({ length: 40 }, (_, i) => {
        const startMs = clock.monotonicMs();
        const delayMs = 1 + i * 0.37;
        return new Promise<void>((resolve) => {
          clock.timer(delayMs, () => {
            const overMs = clock.monotonicMs() - startMs - delayMs;
            if (overMs < 0) early.push(overMs);
            resolve();
          });
          setTimeout(() => undefined, 30); // timers alone keep no process alive
        });
      }),
    );
    expect(early).toEqual([]);
    expect(cancelled).toBe(false);
  });

  test("timer() of more than 24.8 days, or for ever, does not fire at once", async () => {
    const clock = new NodeClock();
    let fired = 0;
    const timers = [2 ** 31, Number.POSITIVE_INFINITY].map((delayMs) => clock.timer(delayMs, () => fired++));
    await new Promise((resolve) => setTimeout(resolve, 10));
    for (const timer of timers) timer.cancel();
    expect(fired).toBe(0);
  });
});

describe("NodeRandom", () => {
  test("below() stays below its bound and reaches every value; unit() stays in [0, 1)", () => {
    const random = new NodeRandom();
    const seen = new Set<number>();
    for (let i = 0; i < 2_000; i++) {
      seen.add(random.below(7));
      const unit = random.unit();
      expect(unit >= 0 && unit < 1).toBe(true);
      expect(random.below(2 ** 48)).toBeLessThan(2 ** 48);
    }
    expect([...seen].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(() => random.below(0)).toThrow("bound out of range");
    expect(random.bytes(16)).toHaveLength(16);
  });
});

describe("nodeKernels", () => {
  test("crc32() is IEEE 802.3 and can be continued; latin1() keeps the order of bytes", () => {
    const digits = new TextEncoder().encode("123456789");
    expect(nodeKernels.crc32(digits)).toBe(0xcbf43926);
    expect(nodeKernels.crc32(digits.subarray(4), nodeKernels.crc32(digits.subarray(0, 4)))).toBe(0xcbf43926);
    expect(nodeKernels.latin1(Uint8Array.of(0, 65, 255))).toBe("\u0000A\u00ff");
  });
});

describe("notifySystemd()", () => {
  test("does nothing outside systemd", async () => {
    expect(process.env["NOTIFY_SOCKET"]).toBeUndefined();
    await notifySystemd("READY=1");
    startWatchdog().close();
  });
});
