/**
 * `althing/sim`: the deterministic simulator that tests Althing itself, for your own state machines and for any code that
 * is written against the ports. One seed is one run, bit for bit.
 */
export type { Ports } from "./ports/ports.ts";
export { History, type Operation } from "./sim/checkers/history.ts";
export { checkLinearizability } from "./sim/checkers/linearizability.ts";
export { kvModel, registerModel } from "./sim/checkers/models.ts";
export type { Fault, FaultKind, FaultPlan } from "./sim/faults.ts";
export type { CallResult, SimClient } from "./sim/sim-client.ts";
export type { NodeFactory, SimNode } from "./sim/sim-cluster.ts";
export { checkReplay, runSimulation, type Scenario, type SimulationResult } from "./sim/simulate.ts";
export { SimulationFailure } from "./sim/trace.ts";
export type { SimHost } from "./sim/world.ts";
