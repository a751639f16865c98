/**
 * `npm run bench consensus [--rounds N] [--seconds N] [--part cores|weather|processes]`: Raft beside Paxos. See `README.md`.
 *
 * cores      three cores in one process, every frame delivered and every record durable at once: what the protocol costs
 * weather    whole groups in the simulator, in simulated time: calm, 1 % of the frames lost, one slow disk, both
 * processes  three processes each, with fsync, under the loads of `bench kv`
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { crc32 } from "node:zlib";
import { logIndex, nodeId, term } from "../src/base/ids.ts";
import { Prng } from "../src/base/prng.ts";
import type { NodeConfig } from "../src/config/node-config.ts";
import type { ConsensusCore, CoreFactory, Effects, Input } from "../src/consensus/contract/core.ts";
import { recoverPaxos } from "../src/consensus/paxos/recover.ts";
import { recoverRaft } from "../src/consensus/raft/raft.ts";
import type { Fault } from "../src/sim/faults.ts";
import { runSimulation } from "../src/sim/simulate.ts";
import { calmDisk } from "../src/sim/sim-disk.ts";
import { calmNetwork, type NetworkOptions } from "../src/sim/sim-network.ts";
import { althingSpec } from "../test/e2e/lib/althing-spec.ts";
import { Cluster } from "../test/e2e/lib/cluster.ts";
import { freePorts } from "../test/e2e/lib/free-ports.ts";
import { appendCommand } from "../test/sim/lib/append-machine.ts";
import { groupScenario } from "../test/sim/lib/group-scenario.ts";
import { hardware, isInMemory } from "./lib/hardware.ts";
import { runVariant, variants } from "./lib/kv-load.ts";
import { median } from "./lib/stats.ts";

type Engine = NodeConfig["consensus"];
const engines: readonly Engine[] = ["raft", "paxos"];
const factories: Readonly<Record<Engine, CoreFactory>> = { raft: recoverRaft, paxos: recoverPaxos };

/** A table: a row per kind of run, a column per engine, and Paxos ÷ Raft. */
interface Row {
  readonly name: string;
  readonly raft: string;
  readonly paxos: string;
  readonly ratio: string;
}

const BODY = new Uint8Array(256).fill(7);
const HEARTBEAT_MS = 50;

interface Pending {
  readonly to: number;
  readonly input: Input;
}

/** Three cores and the frames between them, each handed over in the order in which it was sent. */
class CoreCluster {
  readonly #cores = new Map<number, ConsensusCore>();
  readonly #queue: Pending[] = [];
  #nowMs = 0;
  committed = 0;

  constructor(factory: CoreFactory) {
    const ids = [1, 2, 3].map((id) => nodeId(id));
    const members = ids.map((id) => ({
      id,
      incarnation: 0,
      role: "voter" as const,
      promote: false,
      name: "",
      address: "",
      clientUrls: [],
    }));
    const start = { index: logIndex(0), term: term(0), chain: 0, configuration: { members, outgoing: [] } };
    for (const id of ids) {
      const prng = new Prng(id);
      const options = {
        id,
        heartbeatMs: HEARTBEAT_MS,
        electionMs: 500,
        leaseMs: 0,
        priority: 0,
        uncommittedEntriesMax: 4_096,
        uncommittedBytesMax: 64 * 1024 * 1024,
        inflightMessagesMax: 256,
        inflightBytesMax: 16 * 1024 * 1024,
        messageBytesMax: 1024 * 1024,
        random: () => prng.unit(),
        crc32: (bytes: Uint8Array) => crc32(bytes),
      };
      this.#cores.set(id, factory(options, { start, records: [], damagedUpTo: undefined }, 0));
    }
  }

  get #leader(): ConsensusCore | undefined {
    return [...this.#cores.values()].find((core) => core.role === "leader");
  }

  /** Lets time pass until somebody leads and has committed its first entry. */
  elect(): void {
    for (let turns = 0; ; turns++) {
      if (turns > 10_000) throw new Error("Cannot measure: no core was elected");
      this.#nowMs += 10;
      for (const [id, core] of this.#cores) if (core.deadlineMs <= this.#nowMs) this.#step(id, { type: "tick" });
      this.#drain();
      if (this.#leader !== undefined && this.#leader.commit > 0) return;
    }
  }

  /** Proposes `count` bodies, `window` under way at a time, until the leader has handed all of them out. */
  propose(count: number, window: number, body: Uint8Array): void {
    const leader = this.#leader;
    const id = [...this.#cores].find(([, core]) => core === leader)?.[0];
    if (leader === undefined || id === undefined) throw new Error("Cannot measure: the leader was lost");
    const bodyCrc = crc32(body);
    this.committed = 0;
    let proposed = 0;
    while (this.committed < count) {
      while (proposed < count && proposed - this.committed < window) {
        const { outcome } = this.#step(id, { type: "propose", body, bodyCrc });
        if (outcome?.type !== "accepted") break;
        proposed++;
      }
      this.#drain();
      this.#nowMs += 0.01; // so that deadlines come as rarely as they would
      this.#trim(leader);
    }
  }

  /** Records are forgotten as a checkpoint would have them forgotten, or memory would be what is measured. */
  #trim(leader: ConsensusCore): void {
    const { commit, first } = leader.status();
    if (commit - first < 20_000) return;
    for (const [each, core] of this.#cores) {
      const start = core.startAt(logIndex(Math.min(commit, core.commit) - 1_000));
      if (start !== undefined) this.#step(each, { type: "trim", start });
    }
  }

  #step(id: number, input: Input): Effects {
    const core = this.#cores.get(id);
    if (core === undefined) throw new Error(`no core ${id}`);
    const effects = core.step(input, this.#nowMs);
    for (const { to, frame } of effects.send) {
      this.#queue.push({ to, input: { type: "message", from: nodeId(id), frame } });
    }
    if (effects.persist !== undefined) {
      this.#queue.push({ to: id, input: { type: "durable", ticket: effects.persist.ticket } });
    }
    if (core.role === "leader") this.committed += effects.committed.length;
    return effects;
  }

  #drain(): void {
    for (let i = 0; i < this.#queue.length; i++) {
      const { to, input } = this.#queue[i] as Pending; // in range by the loop's condition
      this.#step(to, input);
    }
    this.#queue.length = 0;
  }
}

interface CoreLoad {
  readonly name: string;
  readonly count: number;
  readonly window: number;
  readonly commandsPerBody: number;
}

const coreLoads: readonly CoreLoad[] = [
  { name: "one proposal at a time", count: 60_000, window: 1, commandsPerBody: 1 },
  { name: "256 proposals under way", count: 200_000, window: 256, commandsPerBody: 1 },
  { name: "256 under way, 64 commands each", count: 30_000, window: 256, commandsPerBody: 64 },
];

function benchCores(rounds: number): Row[] {
  return coreLoads.map((load) => {
    const rates: Record<Engine, number[]> = { raft: [], paxos: [] };
    const body = new Uint8Array(BODY.length * load.commandsPerBody).fill(7);
    for (let round = 0; round <= rounds; round++) {
      for (const engine of round % 2 === 0 ? engines : engines.toReversed()) {
        const cluster = new CoreCluster(factories[engine]);
        cluster.elect();
        const startedMs = performance.now();
        cluster.propose(load.count, load.window, body);
        const rate = (load.count * load.commandsPerBody) / ((performance.now() - startedMs) / 1000);
        if (round > 0) rates[engine].push(rate); // the first one warms up
      }
    }
    return row(load.name, median(rates.raft), median(rates.paxos), perSecond);
  });
}

interface Weather {
  readonly name: string;
  readonly datagram: NetworkOptions["datagram"];
  readonly slowDisk: boolean;
}

const lossy: NetworkOptions["datagram"] = { dropChance: 0.01, duplicateChance: 0, reorderChance: 0 };
const weathers: readonly Weather[] = [
  { name: "calm", datagram: undefined, slowDisk: false },
  { name: "1 % of frames lost", datagram: lossy, slowDisk: false },
  { name: "one disk 20 × slower", datagram: undefined, slowDisk: true },
  { name: "both", datagram: lossy, slowDisk: true },
];
const WRITERS = 32;

interface Climate {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Closed loops of writers on a simulated group of three; all times are simulated. */
async function simulateWeather(engine: Engine, weather: Weather, seed: number, seconds: number): Promise<Climate> {
  const latenciesMs: number[] = [];
  const durationMs = seconds * 1000;
  const slow: readonly Fault[] = weather.slowDisk
    ? [{ type: "slow-disk", atMs: 0, node: 3, factor: 20, forMs: durationMs } as Fault]
    : [];
  const base = groupScenario(seed, {
    nodes: 3,
    consensus: engine,
    durationMs,
    faults: slow.length === 0 ? "none" : slow,
  });
  let value = 1;
  await runSimulation({
    ...base,
    clients: WRITERS,
    client: async (c) => {
      while (!c.stopping) {
        const startedMs = c.nowMs;
        const command = appendCommand(c.number, value++, BODY.length);
        const call = await c.call(1, ({ group }) => group.propose(command));
        if (call.type !== "answer" || call.value.type !== "committed") continue;
        latenciesMs.push(c.nowMs - startedMs);
        c.progress();
      }
    },
    check: () => undefined,
    network: { ...calmNetwork, datagram: weather.datagram },
    disk: calmDisk,
  });
  latenciesMs.sort((a, b) => a - b);
  const at = (share: number): number => latenciesMs[Math.floor(latenciesMs.length * share)] ?? Number.NaN;
  return { perSecond: latenciesMs.length / seconds, p50Ms: at(0.5), p99Ms: at(0.99) };
}

async function benchWeather(rounds: number, seconds: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const weather of weathers) {
    const seen: Record<Engine, Climate[]> = { raft: [], paxos: [] };
    for (let seed = 1; seed <= rounds; seed++) {
      for (const engine of engines) seen[engine].push(await simulateWeather(engine, weather, seed, seconds));
    }
    const middle = (engine: Engine, key: keyof Climate): number => median(seen[engine].map((one) => one[key]));
    rows.push(row(`${weather.name}: appends/s`, middle("raft", "perSecond"), middle("paxos", "perSecond"), perSecond));
    rows.push(row(`${weather.name}: p50`, middle("raft", "p50Ms"), middle("paxos", "p50Ms"), milliseconds));
    rows.push(row(`${weather.name}: p99`, middle("raft", "p99Ms"), middle("paxos", "p99Ms"), milliseconds));
    say(`${weather.name}: done`);
  }
  return rows;
}

async function benchProcesses(rounds: number, folder: string): Promise<Row[]> {
  const clusters: Partial<Record<Engine, Cluster>> = {};
  try {
    for (const engine of engines) {
      const own = join(folder, engine);
      mkdirSync(own);
      const spec = althingSpec({ preferBuilt: true, flags: ["--consensus", engine] });
      clusters[engine] = await Cluster.start(spec, { ports: await freePorts(6), folder: own });
    }
    const rates: Record<string, Record<Engine, number[]>> = {};
    for (let round = 0; round <= rounds; round++) {
      for (const variant of variants) {
        const sized = round === 0 ? { ...variant, requests: variant.requests / 10 } : variant;
        for (const engine of round % 2 === 0 ? engines : engines.toReversed()) {
          const cluster = clusters[engine];
          if (cluster === undefined) throw new Error(`no cluster of ${engine}`);
          const result = await runVariant(cluster, sized, `bench/${round}/${variant.name}`);
          if (round === 0) continue;
          ((rates[variant.name] ??= { raft: [], paxos: [] })[engine] ??= []).push(result.requestsPerSecond);
          say(`round ${round} ${engine}: ${variant.name}: ${Math.round(result.requestsPerSecond)}/s`);
        }
      }
    }
    return Object.entries(rates).map(([name, one]) => row(name, median(one.raft), median(one.paxos), perSecond));
  } finally {
    for (const cluster of Object.values(clusters)) await cluster.close();
  }
}

const perSecond = (value: number): string => Math.round(value).toLocaleString("en");
const milliseconds = (value: number): string => `${value.toFixed(2)} ms`;

function row(name: string, raft: number, paxos: number, show: (value: number) => string): Row {
  return { name, raft: show(raft), paxos: show(paxos), ratio: (paxos / raft).toFixed(2) };
}

function table(title: string, rows: readonly Row[]): string {
  const lines = rows.map((one) => `| ${one.name} | ${one.raft} | ${one.paxos} | ${one.ratio} |`);
  return [`## ${title}`, "", "| | raft | paxos | paxos ÷ raft |", "|---|--:|--:|--:|", ...lines, ""].join("\n");
}

export async function benchConsensus(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: "string", default: "3" },
      seconds: { type: "string", default: "10" },
      part: { type: "string" },
      dir: { type: "string" },
    },
  });
  const rounds = Number(values.rounds);
  const folder = resolve(values.dir ?? tmpdir());
  if (isInMemory(folder)) throw new Error(`Cannot measure in ${folder}: it is in memory, where fsync costs nothing`);
  const own = mkdtempSync(join(folder, "althing-bench-"));
  const wants = (part: string): boolean => values.part === undefined || values.part === part;
  try {
    const parts: string[] = [];
    if (wants("cores")) parts.push(table("Cores in one process, commands/s", benchCores(rounds)));
    if (wants("weather")) {
      parts.push(
        table(`Simulated groups, ${WRITERS} writers on one node`, await benchWeather(rounds, Number(values.seconds))),
      );
    }
    if (wants("processes")) parts.push(table("Three processes each, with fsync", await benchProcesses(rounds, own)));
    const date = new Date().toISOString().slice(0, 10);
    const { cpu, cores, memoryGiB, kernel, disk, node } = hardware(own);
    const machine = `${cpu}, ${cores} cores, ${memoryGiB} GiB, Linux ${kernel}, ${disk}, Node.js ${node}`;
    const page = [`# Raft beside Paxos, ${date}`, "", `${machine}. Medians of ${rounds} rounds.`, "", ...parts].join(
      "\n",
    );
    process.stdout.write(page);
    if (values.part !== undefined) return;
    const results = join(dirname(fileURLToPath(import.meta.url)), "results");
    writeFileSync(join(results, `consensus-${date}.md`), page);
    say(`Written to bench/results/consensus-${date}.md`);
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
