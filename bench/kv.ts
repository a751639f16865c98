/**
 * `npm run bench kv`: Althing beside Debian's etcd, three nodes each, on this machine, in one run. See `README.md`.
 * Results go to stdout and `bench/results/`; progress to stderr.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { althingSpec } from "../test/e2e/lib/althing-spec.ts";
import { Cluster, type ClusterSpec } from "../test/e2e/lib/cluster.ts";
import { etcdSpec } from "../test/e2e/lib/etcd-spec.ts";
import { freePorts } from "../test/e2e/lib/free-ports.ts";
import { hardware, isInMemory } from "./lib/hardware.ts";
import { runVariant, type Variant, variants } from "./lib/kv-load.ts";
import { type KvResult, renderReport, type SystemResult } from "./lib/kv-report.ts";
import { killLeaders } from "./lib/leader-kills.ts";
import { memoryWithKeys, residentBytes } from "./lib/memory.ts";

const NODES = 3;
const QUICK_DIVISOR = 10;

interface Options {
  readonly rounds: number;
  readonly kills: number;
  readonly keys: number;
  readonly quick: boolean;
  readonly specs: readonly ClusterSpec[];
  readonly folder: string;
}

interface Contestant {
  readonly spec: ClusterSpec;
  readonly cluster: Cluster;
  readonly rates: Record<string, number[]>;
  readonly latenciesMs: Record<string, number[]>;
  memoryWithKeys: readonly number[];
}

/** Runs the benchmark with the command line's arguments. Fails with a message if a run did not do its work. */
export async function benchKv(args: readonly string[]): Promise<void> {
  const options = parse(args);
  if (isInMemory(options.folder)) {
    throw new Error(
      `Cannot measure in ${options.folder}: it is in memory, where fsync costs nothing. Give --dir on a disk`,
    );
  }
  const folder = mkdtempSync(join(options.folder, "althing-bench-"));
  const contestants: Contestant[] = [];
  try {
    for (const spec of options.specs) contestants.push(await enter(spec, folder));
    for (const contestant of contestants) {
      say(`${contestant.spec.name}: writing ${options.keys} keys`);
      contestant.memoryWithKeys = await memoryWithKeys(contestant.cluster, options.keys);
    }
    await runRounds(contestants, options);
    const systems: SystemResult[] = [];
    for (const contestant of contestants) systems.push(await finish(contestant, options.kills));
    const date = new Date().toISOString().slice(0, 10);
    publish({ date, hardware: hardware(folder), rounds: options.rounds, keys: options.keys, systems }, options.quick);
  } finally {
    for (const { cluster } of contestants) await cluster.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function enter(spec: ClusterSpec, folder: string): Promise<Contestant> {
  const own = join(folder, spec.name);
  mkdirSync(own);
  const cluster = await Cluster.start(spec, { ports: await freePorts(2 * NODES), folder: own });
  return { spec, cluster, rates: {}, latenciesMs: {}, memoryWithKeys: [] };
}

/** Round 0 warms up and is not counted: code compiles as it runs. In every second round the other system goes first. */
async function runRounds(contestants: readonly Contestant[], options: Options): Promise<void> {
  for (let round = 0; round <= options.rounds; round++) {
    for (const variant of variants) {
      const sized = options.quick ? smaller(variant) : variant;
      for (const contestant of round % 2 === 0 ? contestants : contestants.toReversed()) {
        const key = `bench/${round}/${variant.name}`;
        const result = await runVariant(contestant.cluster, sized, key);
        if (round === 0) continue;
        (contestant.rates[variant.name] ??= []).push(result.requestsPerSecond);
        (contestant.latenciesMs[variant.name] ??= []).push(result.meanLatencyMs);
        const rate = Math.round(result.requestsPerSecond);
        say(
          `round ${round} ${contestant.spec.name}: ${variant.name}: ${rate}/s, ${result.sampled} sampled answers good`,
        );
      }
    }
  }
}

async function finish(contestant: Contestant, kills: number): Promise<SystemResult> {
  const { spec, cluster, rates, latenciesMs } = contestant;
  const memoryAfterLoad = residentBytes(cluster);
  let gapsMs: SystemResult["gapsMs"];
  if (kills > 0) {
    const result = await killLeaders(cluster, kills, (index, gaps) => {
      say(`${spec.name}: kill ${index + 1} of ${kills}: ${gaps.map((gap) => `${gap.toFixed(0)} ms`).join(", ")}`);
    });
    say(`${spec.name}: ${result.acknowledged} writes acknowledged over ${kills} kills, all there`);
    gapsMs = result.gapsMs;
  }
  const memory = { memoryWithKeys: contestant.memoryWithKeys, memoryAfterLoad };
  return { name: spec.name, version: spec.version(), rates, latenciesMs, ...memory, gapsMs };
}

/** Ten times fewer requests: enough to see that the rig works. */
function smaller(variant: Variant): Variant {
  return { ...variant, requests: variant.requests / QUICK_DIVISOR };
}

function publish(result: KvResult, isQuick: boolean): void {
  const page = renderReport(result);
  process.stdout.write(page);
  if (isQuick) {
    say("Not written to bench/results: a quick run is no measurement");
    return;
  }
  const folder = join(dirname(fileURLToPath(import.meta.url)), "results");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `kv-${result.date}.json`), `${JSON.stringify(result, undefined, 2)}\n`);
  writeFileSync(join(folder, `kv-${result.date}.md`), page);
  say(`Written to bench/results/kv-${result.date}.md and .json`);
}

function parse(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: "string" },
      kills: { type: "string" },
      keys: { type: "string" },
      quick: { type: "boolean", default: false },
      only: { type: "string" },
      dir: { type: "string" },
    },
  });
  const quick = values.quick;
  const all: readonly ClusterSpec[] = [etcdSpec, althingSpec({ preferBuilt: true })];
  const specs = values.only === undefined ? all : all.filter((spec) => spec.name === values.only);
  if (specs.length === 0) throw new Error(`Cannot measure --only ${values.only}: the systems are etcd and althing`);
  return {
    rounds: count("rounds", values.rounds, quick ? 1 : 3, 1),
    kills: count("kills", values.kills, quick ? 3 : 50, 0),
    keys: count("keys", values.keys, quick ? 10_000 : 100_000, 1_000),
    quick,
    specs,
    folder: resolve(values.dir ?? tmpdir()),
  };
}

function count(flag: string, text: string | undefined, usual: number, least: number): number {
  const value = text === undefined ? usual : Number(text);
  if (!Number.isSafeInteger(value) || value < least)
    throw new Error(`Cannot use --${flag} ${text}: a whole number from ${least}`);
  return value;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
