// What `status` says of the node's state: sizes, and what is wrong. The rest of maintenance: `coordination.test.ts`.
import { expect, test } from "vitest";
import { utf8 } from "../base/bytes.ts";
import { logIndex } from "../base/ids.ts";
import { simKernels } from "../sim/sim-kernels.ts";
import { Fixture } from "./testing/fixture.ts";

const statusOf = (f: Fixture) => f.coordination.status({});

test("data counts as in use before the first checkpoint, and is not counted twice after it", async () => {
  const f = new Fixture(simKernels);
  const { dbSizeInUse: empty } = await statusOf(f);
  for (let i = 0; i < 10; i++) await f.put(`k${i}`, "x".repeat(1_000));
  const before = await statusOf(f);
  expect(before.dbSizeInUse).toBeGreaterThan(empty + 10_000);
  expect(before.dbSize).toBeGreaterThanOrEqual(before.dbSizeInUse);
  await f.store.durable.checkpoint(utf8("m"));
  const after = await statusOf(f);
  expect(after.dbSizeInUse).toBeGreaterThan(10_000);
  expect(after.dbSizeInUse).toBeLessThan(20_000);
  expect(after.dbSize).toBeGreaterThanOrEqual(after.dbSizeInUse);
});

test("a node that was removed says that, and not that it knows no leader", async () => {
  const f = new Fixture(simKernels);
  const status = f.group.status.bind(f.group);
  f.group.status = () => ({ ...status(), leader: undefined });
  expect((await statusOf(f)).errors).toEqual(["etcdserver: no leader"]);
  f.group.status = () => ({ ...status(), leader: undefined, removedAsOf: logIndex(7) });
  expect((await statusOf(f)).errors).toEqual(["the member has been removed from the cluster"]);
});
