/**
 * A replicated group under faults, with the production `node/` parts: clients append unique numbers to lists and read them.
 * Checked at the end: nothing acknowledged is lost, nothing happens twice, reads see what was acknowledged before they
 * began, all replicas are equal.
 */
import { crc32 } from "node:zlib";
import { groupId } from "../../../src/base/ids.ts";
import { defaultLimits, defaultTimings, type Limits, type Timings } from "../../../src/config/limits.ts";
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
/** After the faults, until a node has acknowledged a command of its own. */
const SERVES_WITHIN_MS = 20_000;

/** What a run changes in the configuration of its nodes. */
export interface Settings {
  readonly consensus?: NodeConfig["consensus"];
  readonly limits?: Partial<Limits>;
  readonly timings?: Partial<Timings>;
  readonly snapshotBytesPerSecond?: number;
}

/** Nodes beyond the `founders` wait until a member adds them. */
export function configOf(node: number, founders: number, settings: Settings = {}): NodeConfig {
  const { limits, timings, ...rest } = settings;
  const initialMembers = Array.from({ length: founders }, (_, i) => ({
    id: i + 1,
    name: `n${i + 1}`,
    address: `n${i + 1}:1`,
    clientUrls: [],
  }));
  return {
    ...nodeDefaults,
    ...rest,
    id: node,
    name: `n${node}`,
    peerListen: `n${node}:1`,
    clientUrls: [],
    initialMembers: node > founders ? undefined : initialMembers,
    walSegmentBytes: 64 * 1024,
    limits: {
      ...defaultLimits,
      diskReserveBytes: 256 * 1024,
      dirtyBytesMax: 8 * 1024,
      logBytesKept: 4 * 1024,
      ...limits,
    },
    timings: { ...defaultTimings, ...timings },
  };
}

export async function startGroupNode(ports: Ports, config: NodeConfig): Promise<GroupNode> {
  const foundation = await Foundation.open(ports, config);
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
  /** Nodes 1 to this one form the cluster; the others wait to be added. Default: all. */
  readonly founders?: number;
  /** Default: that of every node. */
  readonly consensus?: NodeConfig["consensus"];
  readonly durationMs?: number;
  readonly clients?: number;
  readonly pauseMs?: number;
  /** How long a client waits for an answer. Default 5 s. */
  readonly patienceMs?: number;
  readonly faults?: Scenario<GroupNode>["faults"];
  readonly network?: Scenario<GroupNode>["network"];
  readonly disk?: Scenario<GroupNode>["disk"];
  readonly settings?: Settings;
  readonly readLevel?: "linearizable" | "lease";
  /** How many lists there are: each is a chunk of a snapshot. Default 3. */
  readonly keys?: number;
  /** Bytes that each command carries beside its number. */
  readonly paddingBytes?: number;
  /** One more client, which does what people do: changes members, moves the leadership. */
  readonly operator?: (client: SimClient<GroupNode>) => Promise<void>;
  /** Nodes that serve and are level in the end. Default: all. */
  readonly serving?: readonly number[];
  readonly observe?: Scenario<GroupNode>["observe"];
  /** More to check at the end. */
  readonly check?: Scenario<GroupNode>["check"];
}

export function groupScenario(
  seed: number,
  options: GroupScenarioOptions = {},
): Scenario<GroupNode> & { acknowledged: Acknowledged[] } {
  const nodes = options.nodes ?? 3;
  const clients = options.clients ?? 4;
  const { consensus = nodeDefaults.consensus } = options;
  const settings: Settings = { consensus, ...options.settings };
  const serving = options.serving ?? Array.from({ length: nodes }, (_, i) => i + 1);
  const acknowledged: Acknowledged[] = [];
  const rejected = new Set<number>();
  const sent = new Set<number>();
  let next = 1;
  /** True if it was acknowledged. */
  const append = async (c: SimClient<GroupNode>, node: number, key: number): Promise<boolean> => {
    const value = next++;
    sent.add(value);
    const command = appendCommand(key, value, options.paddingBytes);
    const call = await c.call(node, ({ group }) => group.propose(command));
    if (call.type === "answer" && call.value.type === "rejected") rejected.add(value);
    if (call.type !== "answer" || call.value.type !== "committed") return false;
    acknowledged.push({ key, value, position: call.value.result.position, byMs: c.nowMs });
    return true;
  };
  const client = async (c: SimClient<GroupNode>): Promise<void> => {
    while (!c.stopping) {
      await c.sleep(c.random.below((options.pauseMs ?? 50) * 2) + 1);
      const key = c.random.below(options.keys ?? 3);
      const node = c.anyNode();
      if (c.random.chance(0.6)) {
        if (await append(c, node, key)) c.progress();
      } else {
        const startedMs = c.nowMs;
        const call = await c.call(node, ({ group }) => group.read(key, { level: options.readLevel ?? "linearizable" }));
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
    if (c.number === 1) for (const node of serving) await visit(c, node);
  };
  /** The faults are over: now every node must serve, not only some. */
  const visit = async (c: SimClient<GroupNode>, node: number): Promise<void> => {
    const untilMs = c.nowMs + SERVES_WITHIN_MS;
    while (!(await append(c, node, 0))) {
      if (c.nowMs > untilMs) throw new Error(`node ${node} does not serve after the faults`);
      await c.sleep(100);
    }
  };
  return {
    acknowledged,
    seed,
    nodes,
    durationMs: options.durationMs ?? 20_000,
    clientOptions: { timeoutMs: options.patienceMs ?? 5_000 },
    clients: clients + (options.operator === undefined ? 0 : 1),
    client: (c) => (c.number > clients && options.operator !== undefined ? options.operator(c) : client(c)),
    host: {
      drain: () => new Promise((resolve) => setImmediate(resolve)),
      watchRejections: (report) => {
        process.on("unhandledRejection", report);
        return () => void process.off("unhandledRejection", report);
      },
    },
    kernels: { ...simKernels, crc32: (bytes, start) => crc32(bytes, start) },
    factory: {
      start: (ports, node) => startGroupNode(ports, configOf(node, options.founders ?? nodes, settings)),
    },
    isReady: (running) => {
      if (running.length < nodes || !running.some((n) => n.group.isReadyLeader)) return false;
      if (acknowledged.length === 0) return true; // at the start those who are to be added have nothing yet
      const applied = running.filter((n) => serving.includes(n.group.nodeId)).map((n) => n.group.applied);
      return Math.max(...applied) - Math.min(...applied) < 20;
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
    ...(options.disk === undefined ? {} : { disk: options.disk }),
    ...(options.observe === undefined ? {} : { observe: options.observe }),
    check: async (run) => {
      const running = run.nodes;
      await options.check?.(run);
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
          if (rejected.has(value)) throw new Error(`${value} was rejected, and executed`);
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
