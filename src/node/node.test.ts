/** One whole node on fakes: what it says of its health and of its resources. Clusters are the simulator's part. */
import { expect, test } from "vitest";
import {
  FakeClock,
  FakeDisk,
  fakeKernels,
  FakeNetwork,
  FakeObserver,
  fakeRandom,
} from "../../test/sim/lib/fake-ports.ts";
import { configOf } from "../../test/sim/lib/group-scenario.ts";
import { logIndex } from "../base/ids.ts";
import { memoryEngineOpener } from "../storage/engine/memory-engine.ts";
import { AlthingNode } from "./node.ts";

test("AlthingNode.unreadiness() names what keeps requests away; resources are told until the node closes", async () => {
  const [clock, disk, observer] = [new FakeClock(), new FakeDisk(), new FakeObserver()];
  disk.roomBytes = 1_000_000_000;
  const ports = { clock, disk, observer, network: new FakeNetwork(), random: fakeRandom(3), kernels: fakeKernels };
  const node = await AlthingNode.open(ports, memoryEngineOpener(ports), configOf(1, 1));
  expect(node.unreadiness()).toEqual(["no leader is known"]);
  await clock.advance(3_000);
  expect(node.unreadiness()).toEqual([]);
  expect(observer.of("resources")).toMatchObject([{ engine: "meta", diskFreeBytes: expect.any(Number) }]);

  const status = node.group.status.bind(node.group);
  node.group.status = () => ({ ...status(), damaged: true });
  expect(node.unreadiness()).toEqual(["damaged log entries are being repaired"]);
  node.group.status = () => ({ ...status(), removedAsOf: logIndex(9) });
  expect(node.unreadiness()).toEqual(["this node was removed from the cluster"]);
  expect(node.status().group.removedAsOf).toBe(9);

  const closed = node.close();
  await clock.advance(2_000);
  await closed;
  expect(clock.pending).toBe(0);
});
