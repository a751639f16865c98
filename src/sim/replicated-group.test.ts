/** A user's own machine in a simulated cluster. Whole histories of it: the example under examples/lock-service. */
import { describe, expect, it } from "vitest";
import { type GroupSimNode, replicatedGroup, type SimulationPlan, simulate, type StateMachine } from "../sim.ts";
import { ByteReader, ByteWriter } from "../base/bytes.ts";

/** Adds up; with `forgetsInSnapshots` a follower that was given a snapshot begins at zero. */
class Sum implements StateMachine<number, undefined, number> {
  #total = 0;
  readonly #forgets: boolean;
  readonly results = {
    encode: (total: number) => new ByteWriter().varint(total).finish(),
    decode: (bytes: Uint8Array) => new ByteReader(bytes).varint(),
  };

  constructor(forgets: boolean) {
    this.#forgets = forgets;
  }

  apply(command: Uint8Array): number {
    this.#total += command.length;
    return this.#total;
  }

  query(): number {
    return this.#total;
  }

  snapshot() {
    const bytes = this.results.encode(this.#total);
    return {
      async *chunks() {
        yield bytes;
      },
      close: () => undefined,
    };
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of chunks) this.#total = this.#forgets ? 0 : this.results.decode(chunk);
  }
}

type Node = GroupSimNode<number, undefined, number>;

function sums(forgets: boolean, more: Partial<SimulationPlan<Node>> = {}): SimulationPlan<Node> {
  let last = 0;
  return {
    ...replicatedGroup({ machine: () => new Sum(forgets), limits: { logBytesKept: 256, dirtyBytesMax: 512 } }),
    durationMs: 2_500,
    clients: 2,
    client: async (client) => {
      while (!client.stopping) {
        await client.sleep(client.random.below(20));
        const done = await client.call(client.anyNode(), ({ group }) => group.propose(new Uint8Array(3)));
        if (done.type !== "answer" || done.value.type !== "committed") continue;
        last = Math.max(last, done.value.result);
        client.progress();
      }
    },
    check: ({ nodes }) => {
      const totals = nodes.map(({ group }) => group.query(undefined));
      if (Math.max(...totals) < last)
        throw new Error(`lost: ${last} was acknowledged, and the replicas have ${totals.join()}`);
      // Replicas are level to within some entries when the faults have ended, and clients go on for a moment.
      const behind = totals.find((total) => total < last - 3 * 50);
      if (behind !== undefined) throw new Error(`a replica lost its state: ${behind} of ${last}`);
    },
    ...more,
  };
}

describe("replicatedGroup()", () => {
  it("runs a machine on production nodes, survives faults, and repeats itself", async () => {
    const totals: number[] = [];
    for (const seed of [1, 2]) {
      const { trace } = await simulate(() => sums(false), { seed, twice: seed === 1 });
      totals.push(trace.counts.get("checkpoint") ?? 0);
    }
    expect(Math.min(...totals)).toBeGreaterThan(0);
  });

  it("finds a machine whose restore forgets", async () => {
    const wipe = { type: "wipe", atMs: 1_000, node: 2, downMs: 300 } as const;
    await simulate(() => sums(false, { faults: [wipe] }), { seed: 1 });
    await expect(simulate(() => sums(true, { faults: [wipe] }), { seed: 1, shrink: false })).rejects.toThrow(
      /lost its state|^.*lost: /,
    );
  });

  it("names what nodes say to each other, and leaves heartbeats out", async () => {
    const { trace } = await simulate(
      () => sums(false, { traceMessages: true, faults: "none", traceEntriesMax: 100_000 }),
      {
        seed: 1,
      },
    );
    const said = trace.entries().flatMap(({ event }) => (event.type === "message" ? [String(event["what"])] : []));
    for (const what of [
      /^handshake$/,
      /^vote for me\? term 1/,
      /^vote: yes/,
      /^append \d/,
      /^holds up to \d/,
      /^commands, /,
    ]) {
      expect(
        said.some((words) => what.test(words)),
        String(what),
      ).toBe(true);
    }
    expect(said.some((words) => words.includes("heartbeat"))).toBe(false);
  });
});
