/**
 * `npm run torture -- --minutes 30`: the long run of faults on real processes; the tests run a short one. One line a round on
 * stderr; on stdout what was fired and measured; exit code 1 if anything acknowledged was lost or not linearizable.
 *
 *   --rounds N    end after so many rounds; default 100, or no bound with --minutes
 *   --minutes N   end after this time; the round that is under way is finished
 *   --seed N      default: drawn, and printed. It fixes the faults and the clients' choices, not the machine's timing
 *   --faults LIST names separated by commas; default: all that this machine can make
 *   --system NAME althing (default) or etcd, to see what the rig says of another system
 */
import { parseArgs } from "node:util";
import { tortureSpec } from "./lib/althing-spec.ts";
import { etcdSpec } from "./lib/etcd-spec.ts";
import { allFaults, type Fault, missingFor, ownFaults } from "./lib/torture-faults.ts";
import { roundLine, summary } from "./lib/torture-report.ts";
import { torture } from "./lib/torture-run.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string" },
    minutes: { type: "string" },
    seed: { type: "string" },
    faults: { type: "string" },
    system: { type: "string", default: "althing" },
  },
});

if (import.meta.main) {
  try {
    await main();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}

async function main(): Promise<void> {
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : whole("seed", values.seed);
  const { rounds, endMs } = bounds();
  const isEtcd = values.system === "etcd";
  if (!isEtcd && values.system !== "althing") throw new Error(`Cannot run ${values.system}: there are althing, etcd`);
  const faults = values.faults === undefined ? possible(isEtcd) : named(values.faults);
  process.stderr.write(`seed ${seed}, ${faults.join(", ")}\n`);
  const report = await torture({
    spec: isEtcd ? etcdSpec : tortureSpec(),
    seed,
    rounds,
    endMs,
    faults,
    onRound: (round) => process.stderr.write(`${roundLine(round)}\n`),
  });
  process.stdout.write(summary(report));
}

function bounds(): { readonly rounds: number; readonly endMs: number } {
  const { rounds, minutes } = values;
  if (minutes === undefined) {
    return { rounds: whole("rounds", rounds ?? "100"), endMs: Number.POSITIVE_INFINITY };
  }
  const length = Number(minutes);
  if (!(length > 0)) throw new Error(`Cannot use --minutes ${minutes}: it takes a number above 0`);
  return {
    rounds: rounds === undefined ? Number.POSITIVE_INFINITY : whole("rounds", rounds),
    endMs: performance.now() + length * 60_000,
  };
}

/** Kinds that cannot be made here are left out, and said. */
function possible(isEtcd: boolean): readonly Fault[] {
  return allFaults.filter((fault) => {
    if (isEtcd && ownFaults.includes(fault)) return false;
    const missing = missingFor(fault);
    if (missing.length > 0) process.stderr.write(`NOT RUN: ${fault} needs ${missing.join(" and ")}\n`);
    return missing.length === 0;
  });
}

function named(list: string): readonly Fault[] {
  return list.split(",").map((name) => {
    const fault = allFaults.find((known) => known === name);
    if (fault === undefined) throw new Error(`Cannot make the fault ${name}: there are ${allFaults.join(", ")}`);
    const missing = missingFor(fault);
    if (missing.length > 0) throw new Error(`Cannot make the fault ${name}: it needs ${missing.join(" and ")}`);
    return fault;
  });
}

function whole(flag: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new Error(`Cannot use --${flag} ${text}: it takes a whole number`);
  }
  return value;
}
