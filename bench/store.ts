/**
 * How fast the coordination store applies puts on one core, log bytes to result: `node bench/store.ts [seconds]`.
 * Keys: 100,000 distinct ones first, then the same again; values of 256 bytes; checkpoints as a node would make them.
 */
import { logIndex, sessionId, term } from "../src/base/ids.ts";
import { CommandTag, command } from "../src/coordination/command.ts";
import { PutRequest, RangeRequest } from "../src/coordination/messages.ts";
import { Store } from "../src/coordination/store.ts";
import { MapEngine } from "../src/coordination/testing/map-engine.ts";
import { nodeKernels } from "../src/host/node-kernels.ts";

const KEYS = 100_000;
const DIRTY_BYTES_MAX = 16 * 1024 * 1024;
const rounds = Number(process.argv[2] ?? 4);

const clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  timer: (ms: number, callback: () => void) => {
    const handle = setTimeout(callback, ms);
    return { cancel: () => clearTimeout(handle) };
  },
  afterTurn: (callback: () => void) => void setImmediate(callback),
};
const engine = new MapEngine(nodeKernels);
const store = new Store({ engine, kernels: nodeKernels, clock });
const value = new Uint8Array(256).fill(0x61);
const commands = Array.from({ length: KEYS }, (_, i) =>
  command(CommandTag.put, PutRequest, {
    key: new TextEncoder().encode(`bench/key/${String((i * 7919) % KEYS).padStart(8, "0")}`),
    value,
  }).slice(),
);

let index = 0;
let applyMs = 0;
for (let round = 0; round < rounds; round++) {
  applyMs = 0;
  let checkpoints = 0;
  let checkpointMs = 0;
  for (let i = 0; i < KEYS; ) {
    const start = performance.now();
    const end = Math.min(i + 5_000, KEYS);
    for (; i < end; i++) {
      const at = logIndex(++index);
      store.apply(commands[i] as Uint8Array, { index: at, term: term(1), session: sessionId(1), sequence: index });
      if (i % 32 === 31) store.entryApplied(at);
    }
    applyMs += performance.now() - start;
    if (store.durable.dirtyBytes() > DIRTY_BYTES_MAX) {
      const begun = performance.now();
      await store.durable.checkpoint(new Uint8Array(1));
      checkpointMs += performance.now() - begun;
      checkpoints++;
    }
  }
  const rate = Math.round(KEYS / (applyMs / 1_000));
  const each = checkpoints === 0 ? 0 : checkpointMs / checkpoints;
  process.stdout.write(
    `round ${round + 1}: ${rate} puts/s applied, ${checkpoints} checkpoints of ${each.toFixed(0)} ms (in-memory engine)\n`,
  );
}

let start = performance.now();
for (let i = 0; i < KEYS; i++) {
  store.range(RangeRequest.make({ key: new TextEncoder().encode(`bench/key/${String(i % 1_000).padStart(8, "0")}`) }));
}
process.stdout.write(`reads of hot keys: ${Math.round(KEYS / ((performance.now() - start) / 1_000))}/s\n`);
start = performance.now();
const revision = store.revision;
const { CompactionRequest } = await import("../src/coordination/messages.ts");
store.apply(command(CommandTag.compact, CompactionRequest, { revision }), {
  index: logIndex(++index),
  term: term(1),
  session: sessionId(1),
  sequence: index,
});
let steps = 1;
let longest = 0;
for (;;) {
  const begun = performance.now();
  const more = store.compactStep();
  longest = Math.max(longest, performance.now() - begun);
  if (!more) break;
  steps++;
}
process.stdout.write(
  `compaction of ${revision} revisions: ${(performance.now() - start).toFixed(0)} ms in ${steps} steps, longest ${longest.toFixed(1)} ms\n`,
);
process.stdout.write(`memory: ${Math.round(process.memoryUsage().rss / 1_048_576)} MB\n`);
