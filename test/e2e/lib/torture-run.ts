/**
 * Rounds of faults on a real cluster under load. After each round every node runs again, and then must hold:
 * - every write acknowledged in the round is on every node's own disk state, and still is at the end of all rounds;
 * - the history of the registers is linearizable, and no answer spoke of damaged data;
 * - the cluster serves again within a bound, and no node has ended that should not have.
 * A round that fails leaves its folder, with the nodes' data and logs and the history, and says how to run it again.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Prng } from "../../../src/base/prng.ts";
import type { Cluster, ClusterSpec } from "./cluster.ts";
import { KvClient } from "./kv-client.ts";
import { type Acknowledged, type Epoch, Load, lostWrites } from "./load.ts";
import { type Fault, makeFault, needsDisks, needsHosts } from "./torture-faults.ts";
import { TortureSite } from "./torture-site.ts";
import { sleep, until } from "./until.ts";

export interface TortureOptions {
  readonly spec: ClusterSpec;
  readonly seed: number;
  /** Ends after this many rounds … */
  readonly rounds: number;
  /** … or at this time of `performance.now()`, whichever comes first. */
  readonly endMs?: number;
  /** Each comes once, in a drawn order, before any comes again. */
  readonly faults: readonly Fault[];
  readonly onRound?: (round: RoundReport) => void;
}

export interface RoundReport {
  readonly round: number;
  readonly fault: Fault;
  /** Journal writes that were acknowledged. */
  readonly acknowledged: number;
  readonly done: number;
  readonly failed: number;
  readonly unknown: number;
  /** The longest time in milliseconds without an acknowledged write of any client. */
  readonly worstGapMs: number;
  /** Milliseconds from the end of the fault until every node ran and named one leader. */
  readonly recoveryMs: number;
}

export interface TortureReport {
  readonly rounds: readonly RoundReport[];
  readonly acknowledged: number;
}

const CLIENTS = 6;
const REGISTERS = 3;
const CALL_TIMEOUT_MS = 1_000;
const CATCH_UP_LIMIT_MS = 15_000;

/** Runs the rounds. Fails at the first thing that must hold and does not; the message says what is kept and where. */
export async function torture(options: TortureOptions): Promise<TortureReport> {
  const { spec, seed, faults } = options;
  const site = await TortureSite.open({ spec, hosts: needsHosts(faults), disks: needsDisks(faults) });
  const run = new Run(options, site);
  try {
    const report = await run.all();
    await site.close({ keep: false });
    return report;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const repeat = [
      `npm run torture -- --rounds ${run.round} --seed ${seed} --faults ${faults.join(",")}`,
      ...(spec.name === "althing" ? [] : [`--system ${spec.name}`]),
    ].join(" ");
    const ends = site.cluster.nodes.map((node) => `node ${node.plan.id}:\n${node.process.logTail()}`).join("\n");
    await site.close({ keep: true });
    const images = site.images.map((image) => `\n  mount -o loop ${image} DIRECTORY`).join("");
    const kept = `Kept: ${site.folder} (data, logs, history.jsonl)${images}\nRepeat: ${repeat}`;
    const message = `${why}\n${ends}\n${kept}`;
    writeFileSync(join(site.folder, "failure.txt"), `${message}\n`);
    throw new Error(message, { cause: error });
  }
}

class Run {
  readonly #options: TortureOptions;
  readonly #site: TortureSite;
  readonly #prng: Prng;
  readonly #load: Load;
  readonly #epochs: { readonly prefix: string; readonly acknowledged: readonly Acknowledged[] }[] = [];
  /** Faults still to come before all come again. */
  #deck: Fault[] = [];
  round = 0;

  constructor(options: TortureOptions, site: TortureSite) {
    this.#options = options;
    this.#site = site;
    this.#prng = new Prng(options.seed);
    this.#load = Load.start({
      endpoints: site.cluster.endpoints,
      clients: CLIENTS,
      registers: REGISTERS,
      seed: options.seed,
      timeoutMs: CALL_TIMEOUT_MS,
      pauseMs: 2,
    });
  }

  async all(): Promise<TortureReport> {
    const { rounds, endMs = Number.POSITIVE_INFINITY, onRound } = this.#options;
    const reports: RoundReport[] = [];
    try {
      while (this.round < rounds && performance.now() < endMs) {
        this.round++;
        const report = await this.#one(this.#nextFault());
        reports.push(report);
        onRound?.(report);
      }
    } finally {
      await this.#load.stop();
    }
    for (const { prefix, acknowledged } of this.#epochs) {
      await mustBeOnEveryNode(this.#site.cluster, prefix, acknowledged, "after all rounds");
    }
    return { rounds: reports, acknowledged: this.#epochs.reduce((sum, epoch) => sum + epoch.acknowledged.length, 0) };
  }

  #nextFault(): Fault {
    if (this.#deck.length === 0) this.#deck = this.#prng.shuffle([...this.#options.faults]);
    const fault = this.#deck.pop();
    if (fault === undefined) throw new Error("Cannot run a round: there is no fault to make");
    return fault;
  }

  async #one(fault: Fault): Promise<RoundReport> {
    const { cluster, folder } = this.#site;
    const prng = this.#prng.fork(); // what one round draws does not shift what the next ones do
    const where = `seed ${this.#options.seed}, round ${this.round}, ${fault}`;
    await sleep(prng.between(100, 500));
    try {
      await makeFault(fault, this.#site, prng);
      const healedAt = performance.now();
      await cluster.ready();
      const dead = cluster.nodes.find((node) => !node.process.running);
      if (dead !== undefined) throw new Error(`node ${dead.plan.id} has ended`);
      const recoveryMs = performance.now() - healedAt;
      await until("a write that is acknowledged", CATCH_UP_LIMIT_MS, () =>
        this.#load.lastWriteMs > healedAt ? true : undefined,
      );
      await sleep(prng.between(50, 200));
      const epoch = await this.#load.turn();
      await this.#mustHold(epoch, where);
      this.#epochs.push({ prefix: epoch.journal, acknowledged: epoch.acknowledged });
      const { acknowledged, counts, worstGapMs } = epoch;
      return { round: this.round, fault, acknowledged: acknowledged.length, ...counts, worstGapMs, recoveryMs };
    } catch (error) {
      const { history } = this.#load.epoch;
      writeFileSync(join(folder, "history.jsonl"), history.operations().map(toLine).join(""));
      throw new Error(`Cannot go on (${where}): ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
  }

  async #mustHold(epoch: Epoch, where: string): Promise<void> {
    try {
      const [damage] = epoch.damage;
      if (damage !== undefined) throw new Error(`${epoch.damage.length} answers that data is damaged, first ${damage}`);
      await mustBeOnEveryNode(this.#site.cluster, epoch.journal, epoch.acknowledged, where);
      const verdict = epoch.judge();
      this.#load.excuse();
      if (verdict.type === "violation") {
        const order = verdict.order.slice(-10).map((operation) => JSON.stringify(operation));
        const stuck = JSON.stringify(verdict.stuck);
        throw new Error(
          `not linearizable: on ${verdict.partition}, after\n${order.join("\n")}\nthere is no place for\n${stuck}`,
        );
      }
      if (verdict.type === "unknown") {
        throw new Error(`no verdict: the search ended for ${verdict.why}; make rounds shorter or registers more`);
      }
    } catch (error) {
      writeFileSync(join(this.#site.folder, "judged.jsonl"), epoch.history.operations().map(toLine).join(""));
      throw error;
    }
  }
}

const toLine = (operation: unknown): string => `${JSON.stringify(operation)}\n`;

/** Asks each node for what it holds itself, and waits a while for one that lags. */
async function mustBeOnEveryNode(
  cluster: Cluster,
  prefix: string,
  acknowledged: readonly Acknowledged[],
  where: string,
): Promise<void> {
  for (const node of cluster.nodes) {
    const kv = new KvClient(node.endpoint);
    let lost: readonly string[] = [];
    try {
      await until("all acknowledged writes", CATCH_UP_LIMIT_MS, async () => {
        lost = await lostWrites(kv, prefix, acknowledged, { serializable: true });
        return lost.length === 0 ? true : undefined;
      });
    } catch (error) {
      const what = lost.length === 0 ? String(error) : `${lost.length} of ${acknowledged.length}, ${lost[0]} first`;
      throw new Error(`Lost acknowledged writes on node ${node.plan.id} (${where}): ${what}`, { cause: error });
    } finally {
      kv.close();
    }
  }
}
