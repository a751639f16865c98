/**
 * Watches on a node that lags and takes over a snapshot, slowly: whoever asks, before, during or after it, is told everything
 * up to the revision that a progress answer names (W1, W5). Nothing is compacted, so every revision has its events.
 */
import { expect, test } from "vitest";
import { utf8 } from "../../src/base/bytes.ts";
import { type KvSimNode, kvRun } from "../../src/cli/simulation/kv-scenario.ts";
import { PutRequest, WatchCreateRequest } from "../../src/coordination/messages.ts";
import type { Fault } from "../../src/sim/faults.ts";
import type { SimClient } from "../../src/sim/sim-client.ts";
import { runSimulation } from "../../src/sim/simulate.ts";

const FIRST = 2;
const WRITERS = 3;
const all = { key: new Uint8Array([0]), rangeEnd: new Uint8Array([0]) };

interface Told {
  readonly revisions: readonly number[];
  /** What the progress answer said. */
  readonly current: number;
}

/** Everything from the first revision on, until the node says that this was all. */
function watchAll({ node }: KvSimNode): Promise<Told> {
  return new Promise((resolve, reject) => {
    const revisions: number[] = [];
    const stream = node.coordination.watch({
      onResponse: (response) => {
        for (const { kv } of response.events) revisions.push(kv?.modRevision ?? 0);
        if (response.watchId !== -1) return;
        stream.close();
        resolve({ revisions, current: response.header?.revision ?? 0 });
      },
      onFailure: reject,
    });
    stream.request({
      requestUnion: { type: "createRequest", value: WatchCreateRequest.make({ ...all, startRevision: FIRST }) },
    });
    stream.request({ requestUnion: { type: "progressRequest", value: {} } });
  });
}

/** Enough for the log to be shortened behind a node that is cut off. */
async function write(client: SimClient<KvSimNode>, to: number): Promise<void> {
  for (let i = 0; !client.stopping; i++) {
    await client.sleep(1 + client.random.below(30));
    const request = PutRequest.make({ key: utf8(`${client.number}.${i % 20}`), value: new Uint8Array(500) });
    const result = await client.call(to, ({ node }) => node.coordination.put(request), { what: "put" });
    if (result.type === "answer") client.progress();
    else await client.sleep(100);
  }
}

/** Cuts a node off from the others for a while, and makes its disk slow when it is back. */
function lagOf(node: number, atMs: number): readonly Fault[] {
  const cuts = [1, 2, 3].flatMap((other): [number, number][] =>
    other === node
      ? []
      : [
          [node, other],
          [other, node],
        ],
  );
  return [
    { type: "partition", atMs, shape: "isolate", cuts, forMs: 3_000 },
    { type: "slow-disk", atMs: atMs + 2_500, node, factor: 100, forMs: 2_500 },
  ];
}

test.each([1, 2, 3])("a watcher is told of every revision, or that it must wait, seed %i", async (seed) => {
  const faults = lagOf(seed, 1_000);
  const { scenario } = kvRun({ seed, nodes: 3, durationMs: 7_000, staleReads: false, faults });
  let answers = 0;
  const result = await runSimulation<KvSimNode>({
    ...scenario,
    clients: WRITERS + 3,
    client: async (client) => {
      if (client.number <= WRITERS) return await write(client, (seed % 3) + 1);
      const number = client.number - WRITERS;
      while (!client.stopping) {
        await client.sleep(1 + client.random.below(60));
        const told = await client.call(number, watchAll, { what: "watch" });
        if (told.type !== "answer") continue;
        const { revisions, current } = told.value;
        const wanted = Array.from({ length: Math.max(0, current - FIRST + 1) }, (_, i) => FIRST + i);
        expect(revisions.filter((revision) => revision <= current)).toEqual(wanted);
        answers++;
        client.progress();
      }
    },
  });
  expect(result.trace.counts.get("snapshot-installed") ?? 0).toBeGreaterThanOrEqual(1);
  expect(answers).toBeGreaterThan(50);
});
