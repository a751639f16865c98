/**
 * Workers that take turns under the lock: each adds one to a number in a storage service, by reading it and writing it
 * back. The lock is right, and yet the number can come out wrong: a worker whose lease has ended may not know it. Its calls
 * wait for a node that is paused, or its own answer is late, and it writes over what the next holder wrote. With `fencing`
 * the storage refuses a token that is older than one it has seen.
 */
import { replicatedGroup, type GroupSimNode, type SimClient, type SimulationPlan } from "../../src/sim.ts"; // "althing/sim"
import { acquireCommand, LockMachine, type LockResult, type LockState, releaseCommand } from "./lock-machine.ts";

export type LockNode = GroupSimNode<LockResult, undefined, LockState>;

const LEASE_MS = 1_000;
const WORKERS = 3;

/** The storage that the lock protects: it lives outside of the cluster, as in real life, and never fails. */
class Storage {
  #value = 0;
  #newestToken = 0;
  readonly #fencing: boolean;

  constructor(fencing: boolean) {
    this.#fencing = fencing;
  }

  get value(): number {
    return this.#value;
  }

  /** False if the token is refused: a later holder has been here. */
  read(token: number): number | undefined {
    return this.#admits(token) ? this.#value : undefined;
  }

  write(token: number, value: number): boolean {
    if (!this.#admits(token)) return false;
    this.#value = value;
    return true;
  }

  #admits(token: number): boolean {
    if (this.#fencing && token < this.#newestToken) return false;
    this.#newestToken = Math.max(this.#newestToken, token);
    return true;
  }
}

/** The scenario with the planted bug (`fencing: false`), or without it. */
export function lockScenario({ fencing }: { readonly fencing: boolean }): (seed: number) => SimulationPlan<LockNode> {
  return () => {
    const storage = new Storage(fencing);
    let additions = 0;
    return {
      ...replicatedGroup({ machine: () => new LockMachine() }),
      faults: { kinds: ["crash", "pause", "partition"], electionMs: 1_000, meanGapMs: 1_000 },
      durationMs: 20_000,
      clients: WORKERS,
      client: async (worker) => {
        while (!worker.stopping) {
          await worker.sleep(worker.random.below(200));
          if (await addOne(worker, storage)) additions++;
        }
      },
      check: () => {
        if (storage.value !== additions) {
          throw new Error(`lost update: ${additions} additions were made, and the number is ${storage.value}`);
        }
      },
    };
  };
}

/** One turn: lock, read, work, write, unlock. True if the storage took the write. */
async function addOne(worker: SimClient<LockNode>, storage: Storage): Promise<boolean> {
  const acquire = acquireCommand(worker.number, worker.nowMs, LEASE_MS);
  const lock = await worker.call(worker.anyNode(), ({ group }) => group.propose(acquire), { what: "acquire" });
  if (lock.type !== "answer" || lock.value.type !== "committed") return false;
  const { result } = lock.value;
  if (!result.granted) return false;
  worker.progress();
  const before = storage.read(result.token);
  if (before === undefined) return false;
  await worker.sleep(worker.random.below(100)); // the work
  const written = storage.write(result.token, before + 1);
  const release = releaseCommand(worker.number, result.token);
  await worker.call(worker.anyNode(), ({ group }) => group.propose(release), { what: "release" });
  return written;
}
