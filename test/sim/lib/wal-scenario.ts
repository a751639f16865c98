/**
 * The write-ahead log alone on simulated disks, three machines with one log each: entries that replace others, slots, votes,
 * trims, rests, under crashes and disk faults. What must hold: `wal-oracle.ts`.
 */
import { hasCode } from "../../../src/base/errors.ts";
import { type GroupId, logIndex } from "../../../src/base/ids.ts";
import { type LogRecord, RecordKind } from "../../../src/consensus/contract/record.ts";
import type { Ports } from "../../../src/ports/ports.ts";
import type { FaultKind } from "../../../src/sim/faults.ts";
import type { SimClient } from "../../../src/sim/sim-client.ts";
import { runSimulation, type SimulationResult } from "../../../src/sim/simulate.ts";
import { Wal } from "../../../src/storage/wal/wal.ts";
import { nodeSimHost } from "../sim-host.ts";
import { entryGroups, slotGroups, WalOracle, walGroups } from "./wal-oracle.ts";

/** `crash`: power and processes; `errors`: syncs fail and disks are full; `kill`: at each kind of write; `rot`: bits flip. */
export const walKinds = ["crash", "errors", "kill", "rot"] as const;
export type WalKind = (typeof walKinds)[number];

const faults: Readonly<Record<WalKind, { readonly kinds: readonly FaultKind[]; readonly meanGapMs: number }>> = {
  crash: { kinds: ["crash", "pause", "slow-disk", "stalled-disk"], meanGapMs: 100 },
  errors: { kinds: ["crash", "sync-error", "full-disk", "stalled-disk"], meanGapMs: 120 },
  kill: { kinds: ["kill-at-write", "crash", "full-disk"], meanGapMs: 60 },
  rot: { kinds: ["rot", "crash"], meanGapMs: 250 },
};

const NODES = 3;
/** So that a batch gathers while another is written, or waits for space. */
const CLIENTS_A_NODE = 2;
const DURATION_MS = 8_000;

class LogNode {
  readonly wal: Wal;
  readonly stopped: Promise<unknown>;
  readonly next: Map<GroupId, number>;
  #stop: (why: unknown) => void = () => undefined;

  private constructor(wal: Wal, oracle: WalOracle) {
    this.wal = wal;
    this.next = new Map(entryGroups.map((group) => [group, oracle.durableIndex(group) + 1]));
    this.stopped = new Promise((resolve) => {
      this.#stop = resolve;
    });
  }

  static async start(ports: Ports, oracle: WalOracle, segmentBytes: number): Promise<LogNode> {
    const { wal, recovery } = await Wal.open(ports, { folder: "wal", segmentBytes, diskReserveBytes: 0 });
    oracle.check(recovery);
    const node = new LogNode(wal, oracle);
    for (const group of walGroups) {
      // What is gone stands in a checkpoint from here on, as a group does it that has repaired its log.
      if (recovery.damage.length > 0) oracle.trim(group, oracle.durableIndex(group));
      wal.trim(group, logIndex(oracle.trimOf(group)));
      if (recovery.damage.length > 0) wal.repaired(group);
    }
    return node;
  }

  /** True if durable; false if the log was closed meanwhile. */
  async flush(): Promise<boolean> {
    try {
      await this.wal.flush();
      return true;
    } catch (error) {
      if (!hasCode(error, "DISK_FULL") && !hasCode(error, "CLOSED")) this.#stop(error);
      return false;
    }
  }

  close(): Promise<void> {
    return this.wal.close();
  }
}

/** Some records for one group, noted by the oracle. */
function draw(node: LogNode, oracle: WalOracle, client: SimClient<LogNode>): readonly [GroupId, readonly LogRecord[]] {
  const { random } = client;
  const bytes = (): number => (random.chance(0.05) ? random.below(6_000) : random.below(900));
  if (random.chance(0.12)) {
    const isVote = random.chance(0.5);
    const group = random.pick(isVote ? entryGroups : slotGroups);
    return [group, [oracle.append(group, isVote ? RecordKind.vote : RecordKind.promise, 0, 12)]];
  }
  if (random.chance(0.25)) {
    const group = random.pick(slotGroups);
    const base = oracle.trimOf(group) + 1;
    const kinds = [RecordKind.acceptedCommand, RecordKind.acceptedNoop] as const;
    const count = random.between(1, 3);
    const records = Array.from({ length: count }, () =>
      oracle.append(group, random.pick(kinds), base + random.below(12), bytes()),
    );
    return [group, records];
  }
  const group = random.pick(entryGroups);
  let next = node.next.get(group) ?? 1;
  // Now and then a leader replaces the end of the log.
  const least = oracle.trimOf(group) + 1;
  if (random.chance(0.06)) next = Math.max(least, next - random.between(1, 4));
  const records = Array.from({ length: random.between(1, 3) }, () =>
    oracle.append(group, RecordKind.command, next++, bytes()),
  );
  node.next.set(group, next);
  return [group, records];
}

async function work(client: SimClient<LogNode>, at: number, oracle: WalOracle): Promise<void> {
  const { random } = client;
  while (!client.stopping) {
    await client.call(at, async (node) => {
      oracle.alive(client.nowMs);
      for (let i = random.below(4); i >= 0; i--) node.wal.append(...draw(node, oracle, client));
      const upTo = oracle.position;
      const life = oracle.recoveries;
      if (!(await node.flush()) || oracle.recoveries !== life) return;
      oracle.acknowledge(upTo, client.nowMs);
      oracle.alive(client.nowMs);
      if (!random.chance(0.3)) return;
      const group = random.pick(walGroups);
      oracle.trim(group, oracle.durableIndex(group) - random.below(5));
      node.wal.trim(group, logIndex(oracle.trimOf(group)));
    });
    if (random.chance(0.05)) {
      await client.sleep(random.between(350, 600)); // long enough for a note
      await client.call(at, async () => oracle.alive(client.nowMs));
    } else if (random.chance(0.3)) {
      await client.sleep(random.below(60));
    }
  }
}

export interface WalRun {
  readonly result: SimulationResult;
  readonly oracles: readonly WalOracle[];
}

/** One run from a seed. Rejects if a log broke a promise. `wrap` changes the world of the logs, for tests of this test. */
export async function runWal(
  kind: WalKind,
  seed: number,
  wrap: (ports: Ports) => Ports = (ports) => ports,
): Promise<WalRun> {
  const oracles = Array.from({ length: NODES }, () => new WalOracle({ mayDamage: kind === "rot" }));
  const of = (node: number): WalOracle => oracles[node - 1] ?? new WalOracle({ mayDamage: false });
  const segmentBytes = [4_096, 8_192, 16_384][seed % 3] ?? 4_096;
  const result = await runSimulation<LogNode>({
    seed,
    nodes: NODES,
    host: nodeSimHost,
    factory: { start: (ports, node) => LogNode.start(wrap(ports), of(node), segmentBytes) },
    durationMs: DURATION_MS,
    clients: CLIENTS_A_NODE * NODES,
    client: (client) => {
      const node = 1 + (client.number % NODES);
      return work(client, node, of(node));
    },
    faults: { ...faults[kind], electionMs: 100, rotPrefix: "wal/", swarm: false },
    startMayFail: (error) => error.code === "DISK_FAILED" || error.code === "DISK_FULL",
    isRepaired: (_, node) => !node.wal.isDamaged,
  });
  return { result, oracles };
}
