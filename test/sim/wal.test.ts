/**
 * The write-ahead log on the simulated disk: crashes at any moment, torn and lost sectors, failed syncs, full and stalled
 * disks. What was acknowledged is recovered, always; what was never appended never appears; no damage is reported where
 * there is none. (`wal-crash.test.ts` beside the log tests the same against a disk of its own, cut by operation count.)
 */
import { describe, expect, it } from "vitest";
import { assert } from "../../src/base/assert.ts";
import { hasCode } from "../../src/base/errors.ts";
import { type GroupId, groupId, logIndex, term } from "../../src/base/ids.ts";
import { type LogRecord, RecordKind } from "../../src/consensus/contract/record.ts";
import type { Ports } from "../../src/ports/ports.ts";
import { crc32 } from "../../src/sim/sim-kernels.ts";
import { runSimulation, type SimulationResult } from "../../src/sim/simulate.ts";
import type { WalRecovery } from "../../src/storage/wal/contract.ts";
import { Wal } from "../../src/storage/wal/wal.ts";
import { nodeSimHost } from "./sim-host.ts";

const GROUPS = [groupId(1), groupId(2), groupId(3)];

/** What one group may expect to find again. */
interface Expected {
  /** Chains by index, as last appended. */
  readonly chains: Map<number, number>;
  /** Every chain that was ever appended at an index. */
  readonly ever: Set<string>;
  acknowledged: number;
  trimmed: number;
  voteAcknowledged: number;
  voteAppended: number;
}

class Oracle {
  readonly groups = new Map<GroupId, Expected>();
  recoveries = 0;
  torn = 0;
  flushes = 0;
  #unique = 1;

  constructor() {
    for (const group of GROUPS) {
      this.groups.set(group, {
        chains: new Map(),
        ever: new Set(),
        acknowledged: 0,
        trimmed: 0,
        voteAcknowledged: 0,
        voteAppended: 0,
      });
    }
  }

  of(group: GroupId): Expected {
    const expected = this.groups.get(group);
    assert(expected !== undefined, "a known group");
    return expected;
  }

  entry(group: GroupId, index: number, bytes: number): LogRecord {
    const chain = this.#unique++;
    const body = new Uint8Array(bytes).fill(chain & 0xff);
    const expected = this.of(group);
    for (const above of expected.chains.keys()) if (above >= index) expected.chains.delete(above);
    expected.chains.set(index, chain);
    expected.ever.add(`${index}:${chain}`);
    const at = { index: logIndex(index), term: term(1) };
    return { kind: RecordKind.command, ...at, chain, body, bodyCrc: crc32(body) };
  }

  vote(group: GroupId): LogRecord {
    const number = ++this.of(group).voteAppended;
    const body = Uint8Array.of(number & 0xff);
    return { kind: RecordKind.vote, index: logIndex(0), term: term(number), chain: 0, body, bodyCrc: crc32(body) };
  }

  /** Checks a recovery and returns the last index of each group. */
  check(recovery: WalRecovery): Map<GroupId, number> {
    this.recoveries++;
    if (recovery.tornBytes > 0) this.torn++;
    assert(recovery.damage.length === 0, "no damage where nothing was damaged", recovery.damage);
    const last = new Map<GroupId, number>();
    for (const group of GROUPS) last.set(group, this.#checkGroup(group, recovery.groups.get(group) ?? []));
    return last;
  }

  #checkGroup(group: GroupId, records: readonly LogRecord[]): number {
    const expected = this.of(group);
    const log = new Map<number, LogRecord>();
    let vote = 0;
    for (const record of records) {
      if (record.kind === RecordKind.vote) {
        vote = record.term;
        continue;
      }
      for (const above of log.keys()) if (above >= record.index) log.delete(above);
      log.set(record.index, record);
      assert(expected.ever.has(`${record.index}:${record.chain}`), "nothing that was never appended", record);
      assert(crc32(record.body) === record.bodyCrc, "bodies are whole", record);
    }
    for (let index = expected.trimmed + 1; index <= expected.acknowledged; index++) {
      const found = log.get(index)?.chain;
      const wanted = expected.chains.get(index);
      assert(found === wanted, "an acknowledged record is recovered", { group, index, found, wanted });
    }
    assert(vote >= expected.voteAcknowledged, "an acknowledged vote is recovered", { group, vote, expected });
    assert(vote <= expected.voteAppended, "no vote that was never cast", { group, vote });
    // From here on the log is what was found: that part is durable, or will be once it is written over.
    let end = Math.max(expected.acknowledged, expected.trimmed);
    while (log.has(end + 1)) end++;
    for (const index of [...expected.chains.keys()]) if (index > end) expected.chains.delete(index);
    for (let index = expected.acknowledged + 1; index <= end; index++) {
      const record = log.get(index);
      if (record !== undefined) expected.chains.set(index, record.chain);
    }
    expected.acknowledged = end;
    expected.voteAcknowledged = vote;
    expected.voteAppended = vote;
    return end;
  }
}

class WalNode {
  readonly stopped: Promise<unknown>;
  readonly next: Map<GroupId, number>;
  readonly wal: Wal;
  #stop: (why: unknown) => void = () => undefined;

  constructor(wal: Wal, last: Map<GroupId, number>) {
    this.wal = wal;
    this.next = new Map([...last].map(([group, index]) => [group, index + 1]));
    this.stopped = new Promise((resolve) => {
      this.#stop = resolve;
    });
  }

  static async start(ports: Ports, oracle: Oracle, segmentBytes: number): Promise<WalNode> {
    const { wal, recovery } = await Wal.open(ports, { folder: "wal", segmentBytes, diskReserveBytes: 0 });
    return new WalNode(wal, oracle.check(recovery));
  }

  /** True if durable, false if the disk is full: then nothing of it counts. */
  async flush(): Promise<boolean> {
    try {
      await this.wal.flush();
      return true;
    } catch (error) {
      if (hasCode(error, "DISK_FULL")) return false;
      this.#stop(error);
      throw error;
    }
  }

  close(): Promise<void> {
    return this.wal.close();
  }
}

/** A disk that lies about `sync`: what the test must be able to find. */
function withoutSync(ports: Ports): Ports {
  const { disk } = ports;
  const lying: Ports["disk"] = {
    ...disk,
    open: async (path, options) => {
      const file = await disk.open(path, options);
      return file === undefined ? undefined : { ...file, sync: () => Promise.resolve() };
    },
  };
  return { ...ports, disk: lying };
}

function run(
  seed: number,
  wrap: (ports: Ports) => Ports = (ports) => ports,
): Promise<{ readonly result: SimulationResult; readonly oracle: Oracle }> {
  const oracle = new Oracle();
  const segmentBytes = [4_096, 8_192, 65_536][seed % 3] ?? 4_096;
  return runSimulation<WalNode>({
    seed,
    nodes: 1,
    host: nodeSimHost,
    factory: { start: (ports) => WalNode.start(wrap(ports), oracle, segmentBytes) },
    durationMs: 8_000,
    clients: 1,
    faults: {
      meanGapMs: 250,
      electionMs: 100,
      kinds: ["crash", "pause", "slow-disk", "stalled-disk", "sync-error", "full-disk"],
    },
    startMayFail: (error) => error.code === "DISK_FAILED" || error.code === "DISK_FULL",
    client: async (client) => {
      while (!client.stopping) {
        await client.call(1, async (node) => {
          const appended: { readonly group: GroupId; readonly index: number }[] = [];
          const votes: { readonly group: GroupId; readonly number: number }[] = [];
          for (let i = client.random.below(6); i >= 0; i--) {
            const group = client.random.pick(GROUPS);
            const expected = oracle.of(group);
            if (client.random.chance(0.1)) {
              node.wal.append(group, [oracle.vote(group)]);
              votes.push({ group, number: expected.voteAppended });
              continue;
            }
            const index = node.next.get(group) ?? 1;
            node.wal.append(group, [oracle.entry(group, index, client.random.below(900))]);
            node.next.set(group, index + 1);
            appended.push({ group, index });
          }
          const durable = await node.flush();
          for (const { group, index } of appended) {
            const expected = oracle.of(group);
            if (durable) expected.acknowledged = Math.max(expected.acknowledged, index);
            else node.next.set(group, expected.acknowledged + 1);
          }
          for (const { group, number } of votes) {
            if (durable) oracle.of(group).voteAcknowledged = number;
          }
          if (!durable) return;
          oracle.flushes++;
          if (client.random.chance(0.3)) {
            const group = client.random.pick(GROUPS);
            const expected = oracle.of(group);
            expected.trimmed = Math.max(expected.trimmed, expected.acknowledged - client.random.below(5));
            node.wal.trim(group, logIndex(expected.trimmed));
          }
        });
        if (client.random.chance(0.3)) await client.sleep(client.random.below(100));
      }
    },
  }).then((result) => ({ result, oracle }));
}

describe("the write-ahead log on the simulated disk", () => {
  it("recovers all that was acknowledged, over 40 seeds of crashes and disk faults", async () => {
    const reached = { recoveries: 0, torn: 0, flushes: 0, syncFailures: 0, full: 0 };
    for (let seed = 1; seed <= 40; seed++) {
      const { result, oracle } = await run(seed);
      reached.recoveries += oracle.recoveries;
      reached.torn += oracle.torn;
      reached.flushes += oracle.flushes;
      reached.syncFailures += result.trace.counts.get("sync-failed") ?? 0;
      reached.full += result.trace.counts.get("fault-full-disk") ?? 0;
    }
    expect(reached.recoveries).toBeGreaterThan(100);
    expect(reached.torn).toBeGreaterThan(5);
    expect(reached.flushes).toBeGreaterThan(5_000);
    expect(reached.syncFailures).toBeGreaterThan(5);
    expect(reached.full).toBeGreaterThan(5);
  });

  it("would find a log that acknowledges before its data are durable", async () => {
    let failure = "";
    for (let seed = 1; seed <= 20 && failure === ""; seed++) {
      await run(seed, withoutSync).catch((error: unknown) => {
        failure = String(error);
      });
    }
    expect(failure).toMatch(/an acknowledged (record|vote) is recovered|no damage where nothing was damaged/);
  });
});
