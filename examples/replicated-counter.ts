// A replicated state machine of your own, on three nodes in this process.
// Run it:  node examples/replicated-counter.ts
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ByteReader, ByteWriter, replicate, type StateMachine } from "../src/raft.ts"; // in your project: "althing/raft"

/** Adds numbers up. Every replica applies the same commands in the same order. */
class Counter implements StateMachine<number, undefined, number> {
  #total = 0;
  readonly results = {
    encode: (total: number) => new ByteWriter().f64(total).finish(),
    decode: (bytes: Uint8Array) => new ByteReader(bytes).f64(),
  };
  apply(command: Uint8Array): number {
    this.#total += new ByteReader(command).f64();
    return this.#total;
  }
  query(): number {
    return this.#total;
  }
  snapshot() {
    const total = this.results.encode(this.#total);
    return {
      chunks: async function* () {
        yield total;
      },
      close: () => undefined,
    };
  }
  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of chunks) this.#total = this.results.decode(chunk);
  }
}

const folder = await mkdtemp(join(tmpdir(), "counter-"));
const peers = [1, 2, 3].map((id) => ({ id, address: `127.0.0.1:${7600 + id}` }));
const start = (id: number) => replicate({ id, dir: join(folder, `n${id}`), peers, machine: new Counter() });
const [a, b, c] = [await start(1), await start(2), await start(3)];

const add = (amount: number) => new ByteWriter().f64(amount).finish();
for (const node of [a, b, c]) console.log("added 14:", await node.group.propose(add(14)));

const leader = [a, b, c].find((node) => node.group.isLeader) ?? a;
console.log(`closing the leader, node ${leader.group.nodeId}; the other two go on`);
await leader.close();
const rest = [a, b, c].filter((node) => node !== leader);
console.log("total:", await rest[0]?.group.read(undefined, { level: "linearizable" }));

for (const node of rest) await node.close();
await rm(folder, { recursive: true });
