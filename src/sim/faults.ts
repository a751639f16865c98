/**
 * Faults as data: what goes wrong, when, for how long. A schedule is drawn from the seed before the run, so that it can be
 * printed, replayed and shrunk by leaving faults out.
 * Swarm testing (Groce et al. 2012): each seed switches a random subset of the kinds off, because some bugs need the
 * absence of other faults to show.
 */
import type { Prng } from "../base/prng.ts";
import type { KillMode } from "./machine.ts";

/** Drawn by default. Their order and number are part of what a seed means. */
export const faultKinds = [
  "crash",
  "pause",
  "partition",
  "clog",
  "reset",
  "clock-jump",
  "slow-disk",
  "stalled-disk",
  "sync-error",
  "full-disk",
  "rot",
  "wipe",
] as const;
/** Drawn if a plan names them. */
export const furtherFaultKinds = ["lost-folder", "kill-at-write"] as const;
export type FaultKind = (typeof faultKinds)[number] | (typeof furtherFaultKinds)[number];

/** How the nodes fall apart. `bridge`: one node sees both sides, which do not see each other. */
export type PartitionShape = "isolate" | "halves" | "one-way" | "bridge" | "link";

export type Fault = { readonly atMs: number } & (
  | { readonly type: "crash"; readonly node: number; readonly mode: KillMode; readonly downMs: number }
  | { readonly type: "pause"; readonly node: number; readonly forMs: number }
  /** `cuts` are directed: [from, to] carries nothing. */
  | {
      readonly type: "partition";
      readonly shape: PartitionShape;
      readonly cuts: readonly (readonly [from: number, to: number])[];
      readonly forMs: number;
    }
  | { readonly type: "clog"; readonly from: number; readonly to: number; readonly forMs: number }
  | { readonly type: "reset"; readonly a: number; readonly b: number }
  | { readonly type: "clock-jump"; readonly node: number; readonly byMs: number }
  | { readonly type: "slow-disk"; readonly node: number; readonly factor: number; readonly forMs: number }
  | { readonly type: "stalled-disk"; readonly node: number; readonly forMs: number }
  /** The next sync fails; a node that stops, as it must, is started again after `downMs`. */
  | { readonly type: "sync-error"; readonly node: number; readonly downMs: number }
  | { readonly type: "full-disk"; readonly node: number; readonly freeBytes: number; readonly forMs: number }
  /** A bit of a file under `prefix` flips while the node is down. */
  | { readonly type: "rot"; readonly node: number; readonly prefix: string; readonly downMs: number }
  /** The node returns with an empty disk. */
  | { readonly type: "wipe"; readonly node: number; readonly downMs: number }
  /** One folder of the node's disk is gone, the others remain. */
  | { readonly type: "lost-folder"; readonly node: number; readonly folder: string; readonly downMs: number }
  /**
   * The node ends at a change of its disk (a write, a sync, a new, renamed or removed name): `write` counts them from the
   * fault's time on, from 1. `before`: the change is under way and only a part of it may land; `after`: it is done, and the
   * process never hears of it. With `atMs` 0 the count begins with the node's first life, before the cluster is ready.
   */
  | {
      readonly type: "kill-at-write";
      readonly node: number;
      readonly write: number;
      readonly when: "before" | "after";
      readonly mode: KillMode;
      readonly downMs: number;
    }
);

export interface FaultPlan {
  readonly nodes: number;
  readonly durationMs: number;
  /** The mean time between two faults. */
  readonly meanGapMs: number;
  /** The longest election timeout: pauses and partitions are drawn to both sides of it. */
  readonly electionMs: number;
  /** Where a file must lie for `rot` to hit it. */
  readonly rotPrefix: string;
  /** Folders that `lost-folder` may take. Without any, none is lost. */
  readonly folders: readonly string[];
  /** Kinds that may be drawn; each seed takes a subset of them unless `swarm` is false. */
  readonly kinds: readonly FaultKind[];
  readonly swarm: boolean;
}

/** Draws the faults of one run, ordered by time. */
export function drawFaults(prng: Prng, plan: FaultPlan): readonly Fault[] {
  const kinds = plan.swarm ? plan.kinds.filter(() => prng.chance(0.6)) : plan.kinds;
  const faults: Fault[] = [];
  if (kinds.length === 0) return faults;
  let atMs = 0;
  for (;;) {
    atMs += -Math.log(1 - prng.unit()) * plan.meanGapMs;
    if (atMs >= plan.durationMs) return faults;
    const fault = drawFault(prng, plan, prng.pick(kinds), atMs);
    if (fault !== undefined) faults.push(fault);
  }
}

/** Long enough to matter: half of the draws are over two election timeouts, half are short. */
function drawSpan(prng: Prng, electionMs: number): number {
  return prng.chance(0.5) ? prng.between(10, electionMs) : electionMs * (2 + prng.unit() * 6);
}

function drawFault(prng: Prng, plan: FaultPlan, kind: FaultKind, atMs: number): Fault | undefined {
  const { nodes, electionMs } = plan;
  const node = prng.between(1, nodes);
  const forMs = drawSpan(prng, electionMs);
  switch (kind) {
    case "crash":
      return { type: kind, atMs, node, mode: prng.chance(0.5) ? "power" : "process", downMs: forMs };
    case "pause":
      return { type: kind, atMs, node, forMs };
    case "partition":
      return nodes < 2 ? undefined : { type: kind, atMs, ...drawPartition(prng, nodes), forMs };
    case "clog": {
      const to = otherNode(prng, nodes, node);
      return to === undefined ? undefined : { type: kind, atMs, from: node, to, forMs: Math.min(forMs, 5_000) };
    }
    case "reset": {
      const b = otherNode(prng, nodes, node);
      return b === undefined ? undefined : { type: kind, atMs, a: node, b };
    }
    case "clock-jump":
      return { type: kind, atMs, node, byMs: Math.floor((prng.unit() * 2 - 1) * 3_600_000) };
    case "slow-disk":
      return { type: kind, atMs, node, factor: prng.pick([5, 20, 100]), forMs };
    case "stalled-disk":
      return { type: kind, atMs, node, forMs };
    case "sync-error":
      return { type: kind, atMs, node, downMs: forMs };
    case "full-disk":
      return { type: kind, atMs, node, freeBytes: prng.pick([0, 4_096, 65_536, 1_048_576]), forMs };
    case "rot":
      return { type: kind, atMs, node, prefix: plan.rotPrefix, downMs: prng.between(10, electionMs) };
    case "wipe":
      return { type: kind, atMs, node, downMs: forMs };
    case "lost-folder":
      if (plan.folders.length === 0) return undefined;
      return { type: kind, atMs, node, folder: prng.pick(plan.folders), downMs: forMs };
    case "kill-at-write": {
      const when = prng.chance(0.5) ? "before" : "after";
      const mode = prng.chance(0.5) ? "power" : "process";
      return { type: kind, atMs, node, write: prng.between(1, KILL_AT_WRITE_MAX), when, mode, downMs: forMs };
    }
  }
}

const KILL_AT_WRITE_MAX = 100;

function otherNode(prng: Prng, nodes: number, node: number): number | undefined {
  return nodes < 2 ? undefined : ((node - 1 + prng.between(1, nodes - 1)) % nodes) + 1;
}

/** Draws which directed links a partition cuts. */
export function drawPartition(
  prng: Prng,
  nodes: number,
): { readonly shape: PartitionShape; readonly cuts: readonly (readonly [number, number])[] } {
  const shape = prng.pick<PartitionShape>(["isolate", "halves", "one-way", "bridge", "link"]);
  const order = prng.shuffle(Array.from({ length: nodes }, (_, i) => i + 1));
  const first = order[0] ?? 1;
  const half = nodes >> 1;
  switch (shape) {
    case "isolate":
      return { shape, cuts: cutBetween([first], order.slice(1)) };
    case "halves":
      return { shape, cuts: cutBetween(order.slice(0, half), order.slice(half)) };
    case "one-way": {
      const others = order.slice(1);
      const deaf = prng.chance(0.5); // it sends and cannot hear, or hears and cannot send
      return { shape, cuts: others.map((other): [number, number] => (deaf ? [other, first] : [first, other])) };
    }
    case "bridge": // with two nodes there is no bridge; the slice is then empty and nothing is cut
      return { shape, cuts: cutBetween(order.slice(1, 1 + half), order.slice(1 + half)) };
    case "link":
      return { shape, cuts: cutBetween([first], order.slice(1, 2)) };
  }
}

function cutBetween(left: readonly number[], right: readonly number[]): (readonly [number, number])[] {
  const cuts: (readonly [number, number])[] = [];
  for (const a of left) for (const b of right) cuts.push([a, b], [b, a]);
  return cuts;
}
