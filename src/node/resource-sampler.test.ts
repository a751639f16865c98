/** What the node tells of its resources, and when it stops. */
import { expect, test } from "vitest";
import { FakeClock, FakeDisk, FakeObserver } from "../../test/sim/lib/fake-ports.ts";
import { Deferred } from "../base/deferred.ts";
import { AlthingError } from "../base/errors.ts";
import { ResourceSampler } from "./resource-sampler.ts";

class Worn extends FakeDisk {
  error: AlthingError | undefined;
  gate: Promise<void> | undefined;

  override async freeBytes(): Promise<number> {
    await this.gate;
    if (this.error !== undefined) throw this.error;
    return super.freeBytes();
  }
}

test("ResourceSampler tells at once and every ten seconds, also while the disk cannot say, and not after close()", async () => {
  const [clock, disk, observer] = [new FakeClock(), new Worn(), new FakeObserver()];
  disk.roomBytes = 77;
  let sized = 0;
  const sampler = new ResourceSampler(
    { clock, disk, observer },
    { size: () => ({ fileBytes: 4_096, usedBytes: ++sized }) },
  );
  await clock.advance(1);
  expect(observer.of("resources")).toEqual([
    { type: "resources", engine: "meta", engineFileBytes: 4_096, engineUsedBytes: 1, diskFreeBytes: 77 },
  ]);
  disk.error = new AlthingError("DISK_FAILED", "Cannot measure the free space: broken");
  await clock.advance(10_000);
  expect(observer.events.at(-1)).toMatchObject({ engineUsedBytes: 2, diskFreeBytes: undefined });
  disk.error = undefined;
  await clock.advance(10_000);
  expect(observer.events.at(-1)).toMatchObject({ engineUsedBytes: 3, diskFreeBytes: 77 });
  const gate = new Deferred<void>();
  disk.gate = gate.promise;
  await clock.advance(10_000);
  sampler.close();
  gate.resolve(); // the answer of the disk comes after the close
  await clock.advance(60_000);
  expect([sized, clock.pending]).toEqual([3, 0]);
});
