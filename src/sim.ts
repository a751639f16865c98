/**
 * `althing/sim`: the deterministic simulator that tests Althing itself, for your own state machines and for any code that
 * is written against the ports. One seed is one run, bit for bit.
 *
 * ```ts
 * import { test } from "vitest"; // or "node:test"
 * import { replicatedGroup, simulationTests } from "althing/sim";
 * const simulationTest = simulationTests(test);
 * simulationTest("the bank keeps its money", (seed) => ({ ...replicatedGroup({ machine: () => new Bank() }), … }), { seeds: 50 });
 * ```
 */
import { relative } from "node:path";
import { crc32 } from "node:zlib";
import { type KillPointOptions, type KillPointsResult, killAtEveryWrite as killAtEvery } from "./sim/kill-points.ts";
import { macrotaskHost } from "./sim/macrotask-host.ts";
import { runScenario, type SimulateOptions, type SimulationScenario } from "./sim/scenario-run.ts";
import type { SimNode } from "./sim/sim-cluster.ts";
import { simKernels } from "./sim/sim-kernels.ts";
import type { SimulationResult } from "./sim/simulate.ts";
import {
  FAULTS_VARIABLE,
  type RegisterTest,
  registerSimulationTest,
  SEED_VARIABLE,
  type SimulationTestOptions,
  type TestEnvironment,
} from "./sim/simulation-test.ts";
import type { SimHost } from "./sim/world.ts";

export { ByteReader, ByteWriter, fromUtf8, utf8 } from "./base/bytes.ts";
export type { Codec, MachineSnapshot, StateMachine } from "./group/state-machine.ts";
export type { Ports } from "./ports/ports.ts";
export { type AnomalyName, anomalyNames, forbids, type Level, levels, meaningOf } from "./sim/checkers/anomalies.ts";
export {
  type QueueInput,
  queueModel,
  type QueueOutput,
  type SetInput,
  setModel,
  type SetOutput,
} from "./sim/checkers/collection-models.ts";
export { History, type Operation } from "./sim/checkers/history.ts";
export { checkLinearizability, type CheckOptions, type Model, type Verdict } from "./sim/checkers/linearizability.ts";
export { checkListAppend } from "./sim/checkers/list-append.ts";
export { type LockInput, lockModel, type LockOutput } from "./sim/checkers/lock-model.ts";
export {
  type KvInput,
  kvModel,
  type KvOutput,
  type RegisterInput,
  registerModel,
  type RegisterOutput,
} from "./sim/checkers/models.ts";
export { checkRwRegister, type VersionSources } from "./sim/checkers/rw-register.ts";
export {
  type AppendOp,
  type RegisterOp,
  type Transaction,
  TransactionHistory,
  type TxnValue,
} from "./sim/checkers/transaction.ts";
export { executeListAppend, executeRwRegister, type ExecutionOptions } from "./sim/checkers/txn-executor.ts";
export { makeStore, type StoreTransaction, type TxnStore } from "./sim/checkers/txn-stores.ts";
export {
  type Anomaly,
  type AnomalyExample,
  type TxnCheckOptions,
  type TxnVerdict,
  verdictText,
} from "./sim/checkers/txn-verdict.ts";
export { type PlannedOp, TxnWorkload, type WorkloadOptions } from "./sim/checkers/txn-workload.ts";
export { type Describe, violationText } from "./sim/checkers/violation-text.ts";
export type { Fault, FaultKind, FaultPlan } from "./sim/faults.ts";
export type { KillPointOptions, KillPointsResult } from "./sim/kill-points.ts";
export { type GroupSimNode, replicatedGroup, type ReplicatedGroupOptions } from "./sim/replicated-group.ts";
export type { SimulateOptions, SimulationScenario } from "./sim/scenario-run.ts";
export { type DiagramOptions, sequenceDiagram } from "./sim/sequence-diagram.ts";
export type { ShrinkBudget } from "./sim/shrink.ts";
export type { CallResult, SimClient } from "./sim/sim-client.ts";
export type { NodeFactory, SimNode } from "./sim/sim-cluster.ts";
export {
  checkReplay,
  runSimulation,
  type Scenario,
  type SimulationPlan,
  type SimulationResult,
} from "./sim/simulate.ts";
export type { SimulationTestOptions } from "./sim/simulation-test.ts";
export { SimulationFailure, type Trace, type TraceEntry } from "./sim/trace.ts";
export type { SimHost } from "./sim/world.ts";

/** The event loop of Node.js under a simulated world. */
export const nodeHost: SimHost = macrotaskHost({
  macrotask: setImmediate,
  watchRejections(report) {
    process.on("unhandledRejection", report);
    return () => void process.off("unhandledRejection", report);
  },
  realMs: () => performance.now(),
});

/** Equal in every result to the kernels that the simulator has by itself, and faster. */
const kernels = { ...simKernels, crc32: (bytes: Uint8Array, seed?: number): number => crc32(bytes, seed) };

/**
 * Runs a scenario under one seed. Rejects with `SimulationFailure`: it names the few faults that the failure takes, and how
 * to see it again.
 */
export function simulate<TNode extends SimNode>(
  scenario: SimulationScenario<TNode>,
  options: SimulateOptions,
): Promise<SimulationResult> {
  return runScenario(nodeHost, (seed) => ({ kernels, ...scenario(seed) }), options);
}

/** Runs a scenario once for each change of a node's disk, with the node killed there. Rejects with `SimulationFailure`. */
export function killAtEveryWrite<TNode extends SimNode>(
  scenario: SimulationScenario<TNode>,
  options: KillPointOptions,
): Promise<KillPointsResult> {
  return killAtEvery(nodeHost, (seed) => ({ kernels, ...scenario(seed) }), options);
}

/** Registers scenarios as tests: give it `test` of vitest or of node:test. */
export function simulationTests(
  test: RegisterTest,
): <TNode extends SimNode>(name: string, scenario: SimulationScenario<TNode>, options: SimulationTestOptions) => void {
  return (name, scenario, options) => {
    registerSimulationTest({ test, run: simulate, environment: testEnvironment }, name, scenario, options);
  };
}

function testEnvironment(): TestEnvironment {
  const { env } = process;
  const isVitest = env["VITEST"] !== undefined;
  return {
    replay: { seed: env[SEED_VARIABLE], faults: env[FAULTS_VARIABLE] },
    command({ name, file }) {
      const path = file === undefined ? "" : ` ${shellWord(relative(process.cwd(), file))}`;
      const pattern = shellWord(name.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
      return isVitest ? `npx vitest run${path} -t ${pattern}` : `node --test --test-name-pattern=${pattern}${path}`;
    },
  };
}

/** Quoted for a POSIX shell where that is needed. */
function shellWord(text: string): string {
  return /^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
