/**
 * Clients under whose load faults are made. Two kinds of keys, for two questions:
 * - registers, few, written and read by all clients: is the history linearizable?
 * - journal keys, each written once by one client: is an acknowledged write ever lost? That needs no search, so it stays
 *   exact over any number of operations.
 * Every written value is written once only, so that a reader's answer names its writer. Keys belong to an epoch: a long run
 * starts a new one now and then, and each is checked by itself.
 */
import { Prng } from "../../../src/base/prng.ts";
import { History } from "../../../src/sim/checkers/history.ts";
import { checkLinearizability, type Verdict } from "../../../src/sim/checkers/linearizability.ts";
import { type RegisterInput, type RegisterOutput, registerModel } from "../../../src/sim/checkers/models.ts";
import { KvClient, type Outcome } from "./kv-client.ts";
import { sleep } from "./until.ts";

export interface LoadOptions {
  readonly endpoints: readonly string[];
  readonly clients: number;
  readonly registers: number;
  readonly seed: number;
  /** Milliseconds a client waits between operations; 0: none. */
  readonly pauseMs?: number;
  readonly timeoutMs?: number;
}

/** A write of a journal key that was acknowledged: it must be found, with this value, for ever. */
export interface Acknowledged {
  readonly key: string;
  readonly value: string;
}

/** What was done in one epoch. */
export class Epoch {
  readonly number: number;
  readonly history = new History<RegisterInput, RegisterOutput>();
  readonly acknowledged: Acknowledged[] = [];
  readonly counts = { done: 0, failed: 0, unknown: 0 };
  /** The longest time in milliseconds in which no write of any client was acknowledged, as far as it ended in this epoch. */
  worstGapMs = 0;
  /** Answers that said that data is damaged or missing. No fault that the rig makes may lead to one. */
  readonly damage: string[] = [];

  constructor(number: number) {
    this.number = number;
  }

  /** Where this epoch's journal keys begin. */
  get journal(): string {
    return `journal/${this.number}/`;
  }

  /** Is the history of the registers linearizable? Searches for at most `limitMs` milliseconds. */
  judge(limitMs = 20_000): Verdict<RegisterInput, RegisterOutput> {
    const end = performance.now() + limitMs;
    return checkLinearizability(registerModel, this.history.operations(), { isOver: () => performance.now() > end });
  }
}

export class Load {
  readonly #options: LoadOptions;
  readonly #running: Promise<void>[] = [];
  #epoch = new Epoch(0);
  #isStopping = false;
  #lastWriteMs = performance.now();

  private constructor(options: LoadOptions) {
    this.#options = options;
  }

  /** Starts the clients; client i first talks to endpoint i, and turns to the next one when a call does not succeed. */
  static start(options: LoadOptions): Load {
    const load = new Load(options);
    const prng = new Prng(options.seed);
    for (let client = 0; client < options.clients; client++) load.#running.push(load.#run(client, prng.fork()));
    return load;
  }

  get epoch(): Epoch {
    return this.#epoch;
  }

  /** When a write was acknowledged last, by `performance.now()`. */
  get lastWriteMs(): number {
    return this.#lastWriteMs;
  }

  /** Starts the next epoch and returns the last, once every call of it has ended. */
  async turn(): Promise<Epoch> {
    const last = this.#epoch;
    this.#epoch = new Epoch(last.number + 1);
    await sleep((this.#options.timeoutMs ?? TIMEOUT_MS) + 100); // a call that is still open then counts as unknown
    return last;
  }

  /** The clients were held up by this process itself: the time until now is no gap. */
  excuse(): void {
    this.#lastWriteMs = performance.now();
  }

  #acknowledged(epoch: Epoch): void {
    const nowMs = performance.now();
    epoch.worstGapMs = Math.max(epoch.worstGapMs, nowMs - this.#lastWriteMs);
    this.#lastWriteMs = nowMs;
  }

  /** Lets each client finish the call it is in. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#running);
  }

  async #run(client: number, prng: Prng): Promise<void> {
    const { endpoints, timeoutMs = TIMEOUT_MS, pauseMs = 0 } = this.#options;
    const connections = endpoints.map((endpoint) => new KvClient(endpoint, { timeoutMs }));
    let at = client % connections.length;
    try {
      for (let serial = 0; !this.#isStopping; serial++) {
        const connection = connections[at];
        if (connection === undefined) throw new Error("Cannot load a cluster without endpoints");
        const outcome = await this.#step(client, serial, connection, prng, prng.pick(connections));
        if (outcome.type !== "done") {
          at = (at + 1) % connections.length;
          await sleep(20);
        }
        if (pauseMs > 0) await sleep(pauseMs);
      }
    } finally {
      for (const connection of connections) connection.close();
    }
  }

  async #step(client: number, serial: number, kv: KvClient, prng: Prng, any: KvClient): Promise<Outcome<unknown>> {
    const epoch = this.#epoch;
    const { type, run } = this.#draw(epoch, client, serial, kv, prng, any);
    const outcome = await run();
    if (type === "write" && outcome.type === "done") this.#acknowledged(this.#epoch);
    if (outcome.type !== "done" && outcome.reason.startsWith(DATA_LOSS)) epoch.damage.push(outcome.reason);
    return type === "peek" ? PEEKED : outcome;
  }

  /** One operation, drawn: a journal write, a register's write or swap, a read, or a look at what the node itself holds. */
  #draw(epoch: Epoch, client: number, serial: number, kv: KvClient, prng: Prng, any: KvClient): Drawn {
    const key = `register/${epoch.number}/${prng.below(this.#options.registers)}`;
    const value = `${client}.${serial}`;
    switch (prng.below(5)) {
      case 0:
        return { type: "write", run: () => journal(epoch, `${epoch.journal}${client}/${serial}`, value, kv) };
      case 1:
        return { type: "write", run: () => write(epoch, client, key, value, kv) };
      case 2:
        return { type: "write", run: () => swap(epoch, client, key, value, kv) };
      case 3:
        return { type: "read", run: () => read(epoch, client, key, kv) };
      default:
        return { type: "peek", run: () => peek(epoch, any) };
    }
  }
}

interface Drawn {
  /** A write is acknowledged only by the cluster as a whole, a swap that does not match as well. */
  readonly type: "read" | "write" | "peek";
  readonly run: () => Promise<Outcome<unknown>>;
}

const TIMEOUT_MS = 2_000;
/** gRPC's DATA_LOSS. */
const DATA_LOSS = "grpc-status 15:";

function read(epoch: Epoch, client: number, key: string, kv: KvClient): Promise<Outcome<RegisterOutput>> {
  return record(epoch, client, { type: "read", key }, async () =>
    mapDone(await kv.get(key), (found) => ({
      type: "read",
      value: found === undefined ? undefined : Buffer.from(found.value).toString(),
    })),
  );
}

/**
 * What any node holds itself, one in its recovery too: old keys, which it has on disk. The answer may be old, and belongs to no
 * history, but it must be whole.
 */
function peek(epoch: Epoch, kv: KvClient): Promise<Outcome<unknown>> {
  return kv.list(`journal/${Math.max(0, epoch.number - 1)}/`, { serializable: true });
}

/** A node that is down does not drive a client away from the one it talks to. */
const PEEKED: Outcome<undefined> = { type: "done", value: undefined };

function write(
  epoch: Epoch,
  client: number,
  key: string,
  value: string,
  kv: KvClient,
): Promise<Outcome<RegisterOutput>> {
  return record(epoch, client, { type: "write", key, value }, async () =>
    mapDone(await kv.put(key, value), () => ({ type: "written" })),
  );
}

/** Reads, and writes unless somebody else has written meanwhile. */
async function swap(
  epoch: Epoch,
  client: number,
  key: string,
  to: string,
  kv: KvClient,
): Promise<Outcome<RegisterOutput>> {
  const seen = await read(epoch, client, key, kv);
  if (seen.type !== "done") return seen;
  const from = seen.value.type === "read" ? seen.value.value : undefined;
  return await record(epoch, client, { type: "cas", key, from, to }, async () =>
    mapDone(await kv.compareAndPut(key, from, to), (swapped) => ({ type: "cas", swapped })),
  );
}

async function record(
  epoch: Epoch,
  client: number,
  input: RegisterInput,
  run: () => Promise<Outcome<RegisterOutput>>,
): Promise<Outcome<RegisterOutput>> {
  const id = epoch.history.begin(client, input);
  const outcome = await run();
  epoch.counts[outcome.type] += 1;
  switch (outcome.type) {
    case "done":
      epoch.history.end(id, outcome.value);
      break;
    case "failed":
      epoch.history.refused(id);
      break;
    case "unknown":
      epoch.history.unknown(id);
      break;
  }
  return outcome;
}

async function journal(epoch: Epoch, key: string, value: string, kv: KvClient): Promise<Outcome<bigint>> {
  const outcome = await kv.put(key, value);
  epoch.counts[outcome.type] += 1;
  if (outcome.type === "done") epoch.acknowledged.push({ key, value });
  return outcome;
}

function mapDone<T>(outcome: Outcome<T>, map: (value: T) => RegisterOutput): Outcome<RegisterOutput> {
  return outcome.type === "done" ? { type: "done", value: map(outcome.value) } : outcome;
}

/**
 * Keys of acknowledged writes that `kv`'s node does not have, or has with another value. All keys begin with `prefix`.
 * With `serializable` it is what the node itself holds, which may lag; else what the cluster answers through it.
 */
export async function lostWrites(
  kv: KvClient,
  prefix: string,
  acknowledged: readonly Acknowledged[],
  options: { readonly serializable: boolean },
): Promise<readonly string[]> {
  const listed = await kv.list(prefix, options);
  if (listed.type !== "done") throw new Error(`Cannot read the journal back from ${kv.endpoint}: ${listed.reason}`);
  const found = new Map(listed.value.map((pair) => [pair.key, Buffer.from(pair.value).toString()]));
  return acknowledged.filter(({ key, value }) => found.get(key) !== value).map(({ key }) => key);
}
