/** Runs of the group scenario whose events are looked at afterwards. */
import type { Fault } from "../../../src/sim/faults.ts";
import { runSimulation, type SimulationResult } from "../../../src/sim/simulate.ts";
import type { TraceEntry } from "../../../src/sim/trace.ts";
import { type GroupScenarioOptions, groupScenario } from "./group-scenario.ts";

const TRACE_ENTRIES = 200_000;
const calmLinks = { datagram: undefined, resetChance: 0, corruptChance: 0 } as const;

export class GroupRun {
  readonly events: readonly TraceEntry[];
  /** When calls were acknowledged. */
  readonly acknowledgedMs: readonly number[];
  readonly result: SimulationResult;

  constructor(result: SimulationResult, acknowledgedMs: readonly number[]) {
    this.result = result;
    this.acknowledgedMs = acknowledgedMs;
    this.events = result.trace.entries(TRACE_ENTRIES);
  }

  count(type: string): number {
    return this.result.trace.counts.get(type) ?? 0;
  }

  /** True if the node led at that moment. */
  leads(node: number, atMs: number): boolean {
    const last = this.events.findLast((e) => e.node === node && e.timeMs <= atMs && isTurn(e));
    return last?.event.type === "role" && last.event["role"] === "leader";
  }

  /** When the node ceased to lead after that moment; Infinity: never. */
  resignedMs(node: number, afterMs: number): number {
    const next = this.events.find((e) => e.node === node && e.timeMs > afterMs && isTurn(e));
    return next?.timeMs ?? Number.POSITIVE_INFINITY;
  }

  /** Faults of a kind that began while their node led. */
  hitsOnLeader(fault: string): readonly { readonly node: number; readonly atMs: number }[] {
    return this.events
      .filter((e) => e.event.type === `fault-${fault}`)
      .map((e) => ({ node: Number(e.event["node"] ?? e.event["of"]), atMs: e.timeMs }))
      .filter(({ node, atMs }) => this.leads(node, atMs));
  }

  /** When another node began to lead after that moment; Infinity: never. */
  succeededMs(node: number, afterMs: number): number {
    const next = this.events.find(
      (e) => e.node !== node && e.timeMs > afterMs && e.event.type === "role" && e.event["role"] === "leader",
    );
    return next?.timeMs ?? Number.POSITIVE_INFINITY;
  }

  /** How many calls were acknowledged between two moments. */
  acknowledgedBetween(fromMs: number, toMs: number): number {
    return this.acknowledgedMs.filter((ms) => ms > fromMs && ms < toMs).length;
  }
}

function isTurn({ event }: TraceEntry): boolean {
  return event.type === "role" || event.type === "booted" || event.type === "killed";
}

/** Links are calm unless the options say otherwise: the fault under test is the only one. */
export async function runGroup(seed: number, options: GroupScenarioOptions): Promise<GroupRun> {
  const scenario = groupScenario(seed, { network: calmLinks, ...options });
  const result = await runSimulation({ ...scenario, traceEntriesMax: TRACE_ENTRIES });
  return new GroupRun(
    result,
    scenario.acknowledged.map((a) => a.byMs),
  );
}

/** The same fault on one node after the other, so that it hits the leader, whoever that is. */
export function onEach(nodes: number, gapMs: number, fault: (node: number, atMs: number) => Fault): readonly Fault[] {
  return Array.from({ length: nodes }, (_, i) => fault(i + 1, 500 + i * gapMs));
}
