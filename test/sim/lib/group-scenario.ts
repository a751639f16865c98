/**
 * A replicated group under faults, with the production `node/` parts: clients append unique numbers to lists and read them.
 * Checked at the end: nothing acknowledged is lost, nothing happens twice, reads see what was acknowledged before they
 * began, all replicas are equal.
 */
import { crc32 } from "node:zlib";
import { groupId } from "../../../src/base/ids.ts";
import { defaultLimits } from "../../../src/config/limits.ts";
import { type NodeConfig, nodeDefaults } from "../../../src/config/node-config.ts";
import type { Group } from "../../../src/group/group.ts";
import { Foundation } from "../../../src/node/foundation.ts";
import type { Ports } from "../../../src/ports/ports.ts";
import type { SimClient } from "../../../src/sim/sim-client.ts";
import { simKernels } from "../../../src/sim/sim-kernels.ts";
import type { Scenario } from "../../../src/sim/simulate.ts";
import { AppendMachine, type Appended, appendCommand } from "./append-machine.ts";

export interface GroupNode {
  readonly foundation: Foundation;
  readonly group: Group<Appended, number, readonly number[]>;
  readonly machine: AppendMachine;
  readonly stopped: Promise<unknown>;
  close(): Promise<void>;
}

const GROUP = groupId(7);

export function configOf(node: number, nodes: number): NodeConfig {
  return {
    ...nodeDefaults,
    id: node,
    name: `n${node}`,
    peerListen: `n${node}:1`,
    clientUrls: [],
    initialMembers: Array.from({ length: nodes }, (_, i) => ({
      id: i + 1,
      name: `n${i + 1}`,
      address: `n${i + 1}:1`,
      clientUrls: [],
    })),
    walSegmentBytes: 64 * 1024,
    limits: { ...defaultLimits, diskReserveBytes: 256 * 1024, dirtyBytesMax: 8 * 1024, logBytesKept: 4 * 1024 },
  };
}

export async function startGroupNode(ports: Ports, node: number, nodes: number): Promise<GroupNode> {
  const foundation = await Foundation.open(ports, configOf(node, nodes));
  try {
    const machine = new AppendMachine();
    const group = await foundation.openGroup(GROUP, { folder: "group", machine });
    return {
      foundation,
      group,
      machine,
      stopped: foundation.failed,
      async close() {
        await group.close();
        await foundation.close();
      },
    };
  } catch (error) {
    await foundation.close();
    throw error;
  }
}

interface Acknowledged {
  readonly key: number;
  readonly value: number;
  readonly position: number;
  readonly byMs: number;
}

export interface GroupScenarioOptions {
  readonly nodes?: number;
  readonly durationMs?: number;
  readonly clients?: number;
  readonly pauseMs?: number;
  readonly faults?: Scenario<GroupNode>["faults"];
  readonly network?: Scenario<GroupNode>["network"];
}

export function groupScenario(
  seed: number,
  options: GroupScenarioOptions = {},
): Scenario<GroupNode> & { acknowledged: Acknowledged[] } {
  const nodes = options.nodes ?? 3;
  const acknowledged: Acknowledged[] = [];
  const sent = new Set<number>();
  let next = 1;
  const client = async (c: SimClient<GroupNode>): Promise<void> => {
    while (!c.stopping) {
      await c.sleep(c.random.below((options.pauseMs ?? 50) * 2) + 1);
      const key = c.random.below(3);
      const node = c.anyNode();
      if (c.random.chance(0.6)) {
        const value = next++;
        sent.add(value);
        const call = await c.call(node, ({ group }) => group.propose(appendCommand(key, value)));
        if (call.type !== "answer" || call.value.type !== "committed") continue;
        acknowledged.push({ key, value, position: call.value.result.position, byMs: c.nowMs });
        c.progress();
      } else {
        const startedMs = c.nowMs;
        const call = await c.call(node, ({ group }) => group.read(key, { level: "linearizable" }));
        if (call.type !== "answer") continue;
        c.progress();
        const list = call.value;
        for (const a of acknowledged) {
          if (a.key !== key || a.byMs > startedMs) continue;
          if (list[a.position] !== a.value)
            throw new Error(`stale read: ${a.value} was acknowledged at ${a.byMs} ms, read began ${startedMs} ms`);
        }
      }
    }
  };
  return {
    acknowledged,
    seed,
    nodes,
    durationMs: options.durationMs ?? 20_000,
    clients: options.clients ?? 4,
    client,
    host: {
      drain: () => new Promise((resolve) => setImmediate(resolve)),
      watchRejections: (report) => {
        process.on("unhandledRejection", report);
        return () => void process.off("unhandledRejection", report);
      },
    },
    kernels: { ...simKernels, crc32: (bytes, start) => crc32(bytes, start) },
    factory: { start: (ports, node) => startGroupNode(ports, node, nodes) },
    isReady: (running) => {
      const applied = running.map((n) => n.group.applied);
      const isLevel = Math.max(...applied) - Math.min(...applied) < 20;
      return running.length === nodes && running.some((n) => n.group.isReadyLeader) && isLevel;
    },
    isRepaired: (node, instance) => {
      const status = instance.group.status();
      const me = status.configuration.members.find((m) => m.id === node);
      const bound = me?.incarnation === instance.foundation.identity.incarnation;
      return (
        !status.damaged &&
        me?.role === "voter" &&
        bound &&
        status.commit > 0 &&
        status.configuration.outgoing.length === 0
      );
    },
    faults: options.faults ?? { rotPrefix: "wal/", meanGapMs: 1_500, electionMs: 1_000 },
    network: options.network ?? {},
    check: async ({ nodes: running }) => {
      const seen = new Set<number>();
      const furthest = [...running].sort((a, b) => b.group.applied - a.group.applied)[0]?.machine.lists;
      for (const { machine } of running) {
        for (const [key, list] of machine.lists) {
          const longest = furthest?.get(key) ?? [];
          const isPrefix = list.every((value, i) => longest[i] === value);
          if (!isPrefix) throw new Error(`replicas differ at ${key}:\n${list.join()}\n${longest.join()}`);
        }
      }
      for (const [, list] of furthest ?? []) {
        for (const value of list) {
          if (seen.has(value)) throw new Error(`${value} was executed twice`);
          if (!sent.has(value)) throw new Error(`${value} was never proposed`);
          seen.add(value);
        }
      }
      for (const a of acknowledged) {
        if (furthest?.get(a.key)?.[a.position] !== a.value)
          throw new Error(`lost: ${a.value} at ${a.position} of ${a.key}`);
      }
    },
  };
}
