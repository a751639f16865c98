import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { replicate, type QuorumSpec } from "../../src/paxos.ts";
import { replicate as replicateByRaft } from "../../src/raft.ts";
import { append, Log, type LogNode, read, startLog } from "./log.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "log-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** Free now, and asked for at once. */
async function freeAddress(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("a port");
  return `127.0.0.1:${address.port}`;
}

const peersOf = async (...ids: number[]): Promise<{ id: number; address: string }[]> =>
  Promise.all(ids.map(async (id) => ({ id, address: await freeAddress() })));

test("appends through any node, survives the leader's end and a restart, and every node has the same lines", async () => {
  const peers = await peersOf(1, 2, 3);
  const dir = (id: number): string => join(folder, `n${id}`);
  const start = (id: number): Promise<LogNode> => startLog(id, dir(id), peers);
  let nodes = await Promise.all([1, 2, 3].map(start));
  for (const [i, node] of nodes.entries()) expect(await append(node, `line ${i + 1}`)).toBe(i + 1);
  expect(nodes[0]?.group.status().consensus).toBe("paxos");

  const leader = nodes.find((node) => node.group.isLeader) ?? nodes[0];
  const gone = leader?.group.nodeId ?? 1;
  await leader?.close();
  nodes = nodes.filter((node) => node !== leader);
  const [one] = nodes;
  if (one === undefined) throw new Error("two are left");
  expect(await append(one, "line 4")).toBe(4);

  const back = await start(gone);
  const lines = ["line 1", "line 2", "line 3", "line 4"];
  expect(await read(back)).toEqual(lines);
  expect(back.group.query(undefined)).toEqual(lines); // its own copy

  const address = await freeAddress();
  const reader = await replicate({ id: 4, dir: dir(4), peers: undefined, listen: address, machine: new Log() });
  await one.addLearner({ id: 4, address });
  expect(await read(reader)).toEqual(lines);
  expect(reader.group.members.find((m) => m.id === 4)).toMatchObject({ role: "learner", promote: false });

  for (const node of [...nodes, back, reader]) await node.close();
  const asRaft = replicateByRaft({ id: 1, dir: dir(1), peers, machine: new Log() });
  await expect(asRaft).rejects.toMatchObject({ code: "DATA_FOREIGN" });
});

test("with quorums of your own, and a node that only accepts", async () => {
  const peers = await peersOf(1, 2, 3, 4);
  // Three of four take over, two choose: an append waits for one other node only.
  const quorums = (voters: readonly number[]): QuorumSpec =>
    voters.length === 4 ? { type: "sizes", phase1: 3, phase2: 2 } : { type: "majority" };
  const start = (id: number): Promise<LogNode> =>
    replicate({ id, dir: join(folder, `q${id}`), peers, machine: new Log(), quorums, acceptorOnly: id === 4 });
  const nodes = await Promise.all([1, 2, 3, 4].map(start));
  const [one, , , four] = nodes;
  if (one === undefined || four === undefined) throw new Error("four nodes");
  expect(await append(one, "a")).toBe(1);
  expect(four.group.isLeader).toBe(false);
  await Promise.all(nodes.slice(1, 3).map((node) => node.close()));
  // Whoever leads of the two that are left goes on; if that was one of the others, three would have to take over.
  if (one.group.isLeader) expect(await append(one, "b")).toBe(2);
  await Promise.all([one.close(), four.close()]);
});

test("quorums that could miss each other are refused, with two that do", async () => {
  const peers = await peersOf(1, 2, 3);
  const quorums = (): QuorumSpec => ({ type: "sizes", phase1: 2, phase2: 1 });
  const refused = replicate({ id: 1, dir: join(folder, "unsafe"), peers, machine: new Log(), quorums });
  await expect(refused).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    message: "Cannot use the quorums: phase-1 quorum {1, 2} misses phase-2 quorum {3}",
  });
});
