/**
 * `npm run torture -- --rounds 100`: the long run of kills, pauses and cuts on real processes; the tests run a short one.
 * One line a round on stderr; a summary on stdout; exit code 1 if anything acknowledged was lost or not linearizable.
 *
 *   --rounds N    default 100
 *   --minutes N   end after this time, if the rounds take longer
 *   --seed N      default: drawn, and printed. It fixes the faults and the clients' choices, not the machine's timing
 *   --faults LIST names separated by commas; default: all (for etcd: kills and pauses)
 *   --system NAME althing (default) or etcd, to see what the rig says of another system
 */
import { parseArgs } from "node:util";
import { althingSpec } from "./lib/althing-spec.ts";
import { etcdSpec } from "./lib/etcd-spec.ts";
import { allFaults, type Fault, linkFaults, torture } from "./lib/torture-run.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "100" },
    minutes: { type: "string" },
    seed: { type: "string" },
    faults: { type: "string" },
    system: { type: "string", default: "althing" },
  },
});

if (import.meta.main) {
  process.exitCode = await main();
}

async function main(): Promise<number> {
  const seed = whole("seed", values.seed ?? String(Math.floor(Math.random() * 2 ** 32)));
  const rounds = whole("rounds", values.rounds);
  const isEtcd = values.system === "etcd";
  // etcd takes one address per member, the same for all, so its links cannot have proxies of their own.
  const usual = isEtcd ? allFaults.filter((fault) => !linkFaults.includes(fault)) : allFaults;
  const faults = values.faults === undefined ? usual : values.faults.split(",").map(toFault);
  const limit =
    values.minutes === undefined ? {} : { endMs: performance.now() + whole("minutes", values.minutes) * 60_000 };
  process.stderr.write(`seed ${seed}, ${rounds} rounds, ${faults.join(", ")}\n`);
  try {
    const report = await torture({
      spec: isEtcd ? etcdSpec : althingSpec(),
      seed,
      rounds,
      faults,
      ...limit,
      onRound: (round) => {
        const counts = `${round.operations} operations, ${round.unknown} unknown, ${round.acknowledged} journal writes`;
        process.stderr.write(
          `round ${round.round} ${round.fault}: ${counts}, up in ${round.recoveryMs.toFixed(0)} ms\n`,
        );
      },
    });
    const worst = Math.max(...report.rounds.map((round) => round.recoveryMs));
    process.stdout.write(
      `${report.rounds.length} rounds, ${report.acknowledged} acknowledged journal writes, none lost, ` +
        `all histories linearizable, up again in ${worst.toFixed(0)} ms at worst\n`,
    );
    return 0;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

function whole(flag: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0)
    throw new Error(`Cannot use --${flag} ${text}: it takes a whole number`);
  return value;
}

function toFault(name: string): Fault {
  const fault = allFaults.find((known) => known === name);
  if (fault === undefined) throw new Error(`Cannot make the fault ${name}: there are ${allFaults.join(", ")}`);
  return fault;
}
